"""The base of all events."""

import logging
import re
from typing import ClassVar

import msgspec

from webcom_async._domain.untrusted_text import printable

__all__ = ["DEBUG", "ERROR", "INFO", "WARNING", "Event"]

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event", tag=_snake_case):
    """
    An event: something that has happened. `str(event)` is a sentence; the fields are data: ids, counts, names, seconds.

    No event holds a phone, a text or a credential. `msgspec.json.encode(event)` writes the fields, and the name as
    `event`.

    Attributes:
        level: The level at which `logging` logs it.
        traceback: Whether the log shows the exception that is being handled.
        sentence: The template of `str(event)`, with the fields in braces.
    """

    level: ClassVar[int] = INFO
    traceback: ClassVar[bool] = False
    sentence: ClassVar[str]

    @property
    def name(self) -> str:
        """The event's name, in snake case: `campaign_halted`."""
        return str(self.__struct_config__.tag)

    @property
    def fields(self) -> dict[str, object]:
        """The event's name, as `event`, and its fields, as plain values."""
        fields: dict[str, object] = msgspec.to_builtins(self)
        return fields

    def __str__(self) -> str:
        return printable(self.sentence.format_map(self.fields))
