"""Find the columns of a table, by their usual names or by the caller's."""

import enum
from collections.abc import Collection, Container, Sequence
from typing import NamedTuple, Self

import msgspec

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import refuse_blank
from webcom_async._domain.untrusted_text import listed, printable
from webcom_async.files import Table
from webcom_async.files._table import PHONE_COLUMNS

__all__ = ["ColumnNames", "Places", "Unused", "find_places", "need", "read_exactly", "unused_of"]


class ColumnNames(msgspec.Struct, frozen=True, kw_only=True):
    """
    Names of a table's columns; case does not matter. A column that is left out is found by its usual names, if the
    table has it.

    Attributes:
        phone: The phone: `phone`, `телефон`, `номер телефона`, `mobile` and the like.
        text: The recipient's own text: `text`, `текст`.
        key: What tells messages to one phone apart: `key`.
        client_id_sms: The caller's id: `client_id_sms`; in a file of results only if it is named here.

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


class Unused(enum.StrEnum):
    """Columns of a file of results that belong to an earlier campaign, and are ignored by default."""

    IDS = "ids"  #: the gateway sends nothing more under the ids of accepted recipients
    TEXTS = "texts"  #: they would be sent instead of the new text


class Places(NamedTuple):
    """Positions of the columns; None for a column that the table lacks."""

    phone: int
    text: int | None = None
    key: int | None = None
    client_id_sms: int | None = None

    def without(self, unused: Container[Unused]) -> Self:
        """Return these positions without the *unused* columns."""
        return self._replace(
            text=None if Unused.TEXTS in unused else self.text,
            client_id_sms=None if Unused.IDS in unused else self.client_id_sms,
        )


# Columns that `send`, `export`, `retry`, `campaign results` and `track` write beside `client_id_sms`. A file of results
# has one of _ANSWERS, or two of the others, at least one of them from _OUR_WORDS: tables use the rest for other things.
_ANSWERS = frozenset({"outcome", "id_sms"})
_OUR_WORDS = frozenset({"attempts", "said", "final", "changed_at", "num_parts", "overdue", "delivery"})
_ANYBODYS_WORDS = frozenset({"reason", "error", "state", "price"})
_TYPED_AROUND = " \t\ufeff'\""  # remains of byte order marks and quotes, as spreadsheets and editors leave them
_RENAMED = "input_"  # prefix of an input's column whose name a file of results uses itself

# In the order of `ColumnNames`.
_USUAL = (
    PHONE_COLUMNS,
    ("text", "текст"),
    ("key",),
    ("client_id_sms",),
)


def find_places(table: Table, names: ColumnNames) -> Places:
    """Return the positions of the columns; raise `InputError` if one is missing, ambiguous or unusable."""
    known = [column.strip().casefold() for column in table.columns]
    places = [
        _find(table, known, usual) if name is None else _named(table, known, name)
        for name, usual in zip(msgspec.structs.astuple(names), _USUAL, strict=True)
    ]
    phone = places[0]
    if phone is None:
        raise InputError(f"{table.path}: no column 'phone'; {_there(table)}. Name the phones' column (--phone-column)")
    read_exactly(table, phone)
    return Places(phone, *places[1:])


def read_exactly(table: Table, place: int | None) -> None:
    """Mark a column of phones or ids, so that numbers that have lost digits are refused."""
    imprecise: frozenset[int] = getattr(table, "imprecise", frozenset())
    if place in imprecise:
        raise InputError(
            f"{table.path}: column {printable(table.columns[place])!r}: a float of 32 bits or fewer has rounded it; "
            "write the column as text or int64, and fill it in again"
        )
    exact: set[int] = getattr(table, "exact", set())
    if place is not None:
        exact.add(place)


def need(table: Table, places: Places, texts: Collection[int] = ()) -> None:
    """
    Mark the columns that are read: in all others, values that are not texts or numbers do not matter.

    *texts* go into texts, and so does the texts' own column; but a key is spelled as ever, whatever else it is for.
    """
    needed: set[int] = getattr(table, "needed", set())
    needed.update(texts, (place for place in places if place is not None))
    shown: set[int] = getattr(table, "texts", set())
    shown.update(place for place in (*texts, places.text) if place not in (None, places.key))


def unused_of(table: Table, names: ColumnNames, places: Places, *, has_text: bool, use_ids: bool) -> dict[Unused, str]:
    """Return the columns of an earlier campaign that are ignored: *names* and *use_ids* select them."""
    unused: dict[Unused, str] = {}
    if _holds_results(table.columns):
        if places.client_id_sms is not None and names.client_id_sms is None and not use_ids:
            unused[Unused.IDS] = table.columns[places.client_id_sms]
        if places.text is not None and names.text is None and has_text:
            unused[Unused.TEXTS] = table.columns[places.text]
    return unused


def _holds_results(columns: Sequence[str]) -> bool:
    known = {_bare(column) for column in columns}
    has_circumstances = bool(known & _OUR_WORDS) and len(known & (_OUR_WORDS | _ANYBODYS_WORDS)) > 1
    return "client_id_sms" in known and (not known.isdisjoint(_ANSWERS) or has_circumstances)


def _bare(column: str) -> str:
    name = column.strip().strip(_TYPED_AROUND).strip().casefold()
    while name.startswith(_RENAMED):
        name = name.removeprefix(_RENAMED)
    return name


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
