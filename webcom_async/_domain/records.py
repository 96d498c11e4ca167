"""
Public values: their reprs keep phones and texts private, and they are easily written as JSON.

A log, a traceback or a test's output shows reprs, and those who read it may not be those who may read phones.
"""

import re
from collections.abc import Hashable, KeysView, Sized
from functools import lru_cache
from typing import Any, ClassVar, cast

import msgspec

__all__ = ["PlainRecord", "PrivateRecord", "mask_phones", "private_repr"]

_BETWEEN = r"[ \t\u00a0\u2009\u202f()\-.\u2010-\u2013\u2212]{0,3}"  # what people write between digits
_phone = re.compile(rf"\d(?:{_BETWEEN}\d){{6,}}")
_LONG = 10  # digits: from here on, four at the start say no more than country and network
# Fields whose values are or quote phones, fields of a message's content, and fields of which only the size is shown.
_PHONES = frozenset({"phone", "error", "said", "words", "cell", "work", "fax"})
_CONTENT = frozenset(
    {
        *("text", "text_viber", "image_viber", "button_viber", "action_viber", "url", "body"),
        *("name", "email", "position", "organization", "post_office_box", "street", "city", "region"),
        *("cells", "headers", "stop_list"),
    }
)
_SECRETS = frozenset({"token", "login", "password"})


def mask_phones(text: str) -> str:
    """Return *text* with every phone in it as `7961…43`."""
    return _phone.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    digits = "".join(filter(str.isdigit, found.group()))
    return f"{digits[: 4 if len(digits) >= _LONG else 2]}…{digits[-2:]}"


def private_repr(name: str, value: object) -> str:
    """Return the repr of the field *name*: phones are masked, of a content only the size is shown."""
    if name in _SECRETS:
        return "***"
    if name in _CONTENT and isinstance(value, Sized):
        unit = "characters" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else "entries"
        return f"<{len(value)} {unit}>"
    return mask_phones(repr(value)) if name in _PHONES else repr(value)


class PrivateRecord:
    """
    Gives a struct a repr that masks phones, leaves texts out, and omits what is None.

    Not a struct itself: a frozen one cannot inherit from one that is not.
    """

    __slots__ = ()
    __struct_fields__: ClassVar[tuple[str, ...]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={shown}' for name, shown in self._shown())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own method, whose output rich's tracebacks print, shows every field.
        return [(name, _Shown(shown)) for name, shown in self._shown()]

    def _shown(self) -> list[tuple[str, str]]:
        fields = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, private_repr(name, value)) for name, value in fields if value is not None]


class _Shown(str):
    """A repr, which shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str.__str__(self)


class PlainRecord(PrivateRecord):
    """
    A record that a web framework can return, and `json` can write.

    `dict(record)` has its fields; `json.dumps(records, default=dict)` writes them. FastAPI takes it as a return type,
    Litestar as any msgspec struct.
    """

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as what JSON has: moments in ISO 8601, money as text, enums as their values."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    def keys(self) -> KeysView[str]:
        """Return the names of the fields, so that `dict(record)` works."""
        return dict.fromkeys(self.__struct_fields__).keys()

    def __getitem__(self, name: str) -> Any:
        """Return the value of the field *name*."""
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: Any) -> Any:
        """Return pydantic's schema: the fields, as FastAPI documents and writes them."""
        from pydantic_core import core_schema as schema  # noqa: PLC0415 - pydantic itself calls this

        fields = schema.typed_dict_schema(
            {
                field.name: schema.typed_dict_field(handler.generate_schema(field.type), required=field.required)
                for field in msgspec.structs.fields(cast("type[msgspec.Struct]", cls))
            }
        )
        made = schema.no_info_after_validator_function(lambda given: cls(**given), fields)
        return schema.json_or_python_schema(
            made,
            schema.union_schema([schema.is_instance_schema(cls), made]),
            serialization=schema.plain_serializer_function_ser_schema(dict, return_schema=fields),
        )

    @property
    def __pydantic_serializer__(self) -> Any:
        """How pydantic writes the record without a type, as for a return annotation of `Any`."""
        return _serializer_of(cast("Hashable", type(self)))


@lru_cache
def _serializer_of(kind: Hashable) -> object:
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415 - pydantic itself asks
    except ImportError:
        raise AttributeError("__pydantic_serializer__") from None
    return TypeAdapter(cast("Any", kind)).serializer
