"""What all tables share: columns, and rows with their line."""

from collections.abc import Callable, Collection, Container, Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Protocol

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import check_file
from webcom_async._domain.phones import EXACT_FLOAT
from webcom_async._domain.records import private_repr

__all__ = [
    "JSON_LINES",
    "LONGEST_LINE",
    "PHONE_COLUMNS",
    "RESULT_COLUMNS",
    "Row",
    "Table",
    "Unreadable",
    "readable",
    "spelling",
]

JSON_LINES = frozenset({".jsonl", ".ndjson", ".jsonlines"})  # endings of names
RESULT_COLUMNS = ("phone", "client_id_sms", "outcome", "id_sms", "reason", "error", "attempts")  # of files of results
PHONE_COLUMNS = (  # usual names of the column of phones, the likeliest first
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
)
LONGEST_LINE = 1 << 20  # bytes; ours: a message is a few hundred


class Row(NamedTuple):
    """
    One row of a table.

    Attributes:
        line: The line where it begins, from 1; the row's number for Parquet and Arrow.
        cells: The cells as the file has them, one for each column.
    """

    line: int
    cells: list[str]

    def __repr__(self) -> str:
        return f"Row(line={self.line}, cells={private_repr('cells', self.cells)})"


class Table(Protocol):
    """
    A file of rows.

    Attributes:
        path: The file.
        columns: The columns' names, as the file has them.
        described: The kind of file in a few words, such as `CSV, Windows-1251, semicolons`.
    """

    @property
    def path(self) -> Path: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def described(self) -> str: ...

    def rows(self) -> Iterator[Row]:
        """
        Yield the rows lazily, without blank ones; each call starts at the first row.

        Raises:
            InputError: The file cannot be read, or a line does not fit the others.
        """
        ...


@contextmanager
def readable(path: Path) -> Generator[None, None, None]:
    """Refuse anything but a regular file, and turn its errors into an `InputError` that names it."""
    try:
        check_file(path)  # tables are read more than once, and opening a pipe would block
        yield
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror or exc}") from None
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not {exc.encoding} at byte {exc.start}; name its encoding") from None


class Unreadable:
    """A value of a typed table that Python cannot hold."""


def as_cell(value: object) -> str | None:
    """
    Return a typed table's value as text; None if it is not a text or a number.

    The spelling of numbers is frozen: ids are derived from keys, and a resumed campaign must derive the same ones.
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN, a data frame's None
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # spreadsheets and data frames with gaps turn phones into floats
    if isinstance(value, bytes | list | dict | tuple | set | Unreadable):
        return None
    return str(value)


def text_cell(value: object) -> str | None:
    """Return a value as a text shows it: a decimal as people write it, `0` and not `0E-18`, `1000` and not `1E+3`."""
    if isinstance(value, Decimal) and "E" in str(value):
        return f"{value:f}" if value else "0"
    return as_cell(value)


def exact_cell(value: object) -> str | None:
    """Return a phone or id as text; a float that has lost digits is spelled so that its reader refuses it."""
    if isinstance(value, float) and abs(value) >= EXACT_FLOAT:
        return f"{value:e}"
    if isinstance(value, Decimal):
        return f"{value:f}"  # exact; an exponent would mark it as rounded
    return as_cell(value)


def loose_cell(value: object) -> str:
    """Return a value of a column that nothing needs; it is only copied into files of results."""
    cell = as_cell(value)
    if cell is not None:
        return cell
    return "\ufffd" if isinstance(value, Unreadable) else str(value)


def spelling(
    columns: int, exact: Container[int], *, texts: Container[int] = (), needed: Collection[int] = ()
) -> list[Callable[[object], str | None]]:
    """
    Return a function for each column that turns values into cells.

    *exact* columns are strict, and *texts* go into texts. If columns are *needed*, cells of others are never None.
    """

    def of(place: int) -> Callable[[object], str | None]:
        if needed and place not in needed:
            return loose_cell
        if place in exact:
            return exact_cell
        return text_cell if place in texts else as_cell

    return list(map(of, range(columns)))
