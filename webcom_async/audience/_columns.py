"""Which columns of a table mean what, by their usual names or by a caller's word."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from webcom_async._given import refuse_blank
from webcom_async._untrusted import listed, printable
from webcom_async.errors import InputError
from webcom_async.files import Table

__all__ = ["ColumnNames", "Places", "find_places", "refuse_imprecise"]


class ColumnNames(msgspec.Struct, frozen=True, kw_only=True):
    """
    Names of a table's columns; case does not matter. What is left out is found by its usual name, if it is there.

    Attributes:
        phone: The phone: `phone`, `телефон`, `номер телефона`, `mobile` and the like.
        text: A text of one's own: `text`, `текст`.
        key: What tells messages to one phone apart: `key`.
        client_id_sms: An id of one's own: `client_id_sms`.

    Raises:
        InputError: A name is empty or blank.
    """

    phone: str | None = None
    text: str | None = None
    key: str | None = None
    client_id_sms: str | None = None

    def __post_init__(self) -> None:
        for field, name in msgspec.structs.asdict(self).items():
            # A data frame's index has no name: as keys, its numbers would let every duplicate through.
            refuse_blank(f"the name of the column for {field}", name)


class Places(NamedTuple):
    """Where these columns stand; None for one that is not there."""

    phone: int
    text: int | None = None
    key: int | None = None
    client_id_sms: int | None = None


# In the order of `ColumnNames`.
_USUAL = (
    (
        "phone",
        "телефон",
        "номер телефона",
        "номер",
        "мобильный телефон",
        "мобильный",
        "моб. телефон",
        "тел",
        "тел.",
        "phone number",
        "phone_number",
        "mobile",
        "msisdn",
        "tel",
    ),
    ("text", "текст"),
    ("key",),
    ("client_id_sms",),
)


def find_places(table: Table, names: ColumnNames) -> Places:
    """
    Return where the columns stand.

    Raises:
        InputError: One that was named is not there, or stands there twice; or there is none for phones, or one that
            cannot hold them.
    """
    known = [column.strip().casefold() for column in table.columns]
    places = [
        _find(table, known, usual) if name is None else _named(table, known, name)
        for name, usual in zip(msgspec.structs.astuple(names), _USUAL, strict=True)
    ]
    phone = places[0]
    if phone is None:
        raise InputError(f"{table.path}: no column 'phone'; {_there(table)}. Name the phones' column (--phone-column)")
    refuse_imprecise(table, phone)
    return Places(phone, *places[1:])


def refuse_imprecise(table: Table, place: int | None) -> None:
    """
    Let no phone or id be read from a column whose type has rounded it.

    Raises:
        InputError: It is such a column.
    """
    imprecise: frozenset[int] = getattr(table, "imprecise", frozenset())
    if place in imprecise:
        raise InputError(
            f"{table.path}: column {printable(table.columns[place])!r}: a float of 32 bits or fewer has rounded it; "
            "write the column as text or int64, and fill it in anew"
        )


def _find(table: Table, known: Sequence[str], usual: Sequence[str]) -> int | None:
    found = next((name for name in usual if name in known), None)
    return None if found is None else _named(table, known, found)


def _named(table: Table, known: Sequence[str], name: str) -> int:
    wanted = name.strip().casefold()
    if known.count(wanted) != 1:
        what = "no column" if wanted not in known else f"{known.count(wanted)} columns"
        raise InputError(f"{table.path}: {what} {printable(name)!r}; {_there(table)}")
    return known.index(wanted)


def _there(table: Table) -> str:
    return f"its columns are: {listed(table.columns)}"
