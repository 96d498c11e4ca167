"""What all tables have in common: columns, and rows with the line they stand in."""

from collections.abc import Callable, Container, Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, Protocol

from webcom_async._domain.errors import InputError
from webcom_async._domain.paths import check_file
from webcom_async._domain.phones import EXACT_FLOAT

__all__ = ["JSON_LINES", "LONGEST_LINE", "RESULT_COLUMNS", "Row", "Table", "readable", "spelling"]

JSON_LINES = frozenset({".jsonl", ".ndjson", ".jsonlines"})  # endings of names
RESULT_COLUMNS = ("phone", "client_id_sms", "outcome", "id_sms", "reason", "error", "attempts")  # of our own files
LONGEST_LINE = 1 << 20  # bytes; ours: a message is a few hundred


class Row(NamedTuple):
    """
    One row of a table.

    Attributes:
        session: The line it begins in, from 1; for Parquet and Arrow the number of the row.
        cells: As the file has them, one for each column.
    """

    line: int
    cells: list[str]


class Table(Protocol):
    """
    A file of rows.

    Attributes:
        path: The file.
        columns: Their names, as the file has them.
        described: What it was taken for, in a few words, such as `CSV, Windows-1251, semicolons`.
    """

    @property
    def path(self) -> Path: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def described(self) -> str: ...

    def rows(self) -> Iterator[Row]:
        """
        Yield the rows from the first on, without blank ones; lazily, at every call anew.

        Raises:
            InputError: The file cannot be read, or a line is not what the others are.
        """
        ...


@contextmanager
def readable(path: Path) -> Generator[None, None, None]:
    """Refuse what is no regular file, and turn what goes wrong with one into an `InputError` that names it."""
    try:
        check_file(path)  # tables are read more than once, and a pipe would be waited for
        yield
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror or exc}") from None
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not {exc.encoding} at byte {exc.start}; name its encoding") from None


def as_cell(value: object) -> str | None:
    """
    Return a value of a typed table as text; None if it is a list or another thing that is none.

    How a number is spelled is a frozen format: ids are derived from keys, and a campaign that goes on must find them.
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN, which a data frame with gaps has in place of None
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # phones that went through a spreadsheet or a data frame with gaps
    if isinstance(value, bytes | list | dict | tuple | set):
        return None
    return str(value)


def exact_cell(value: object) -> str | None:
    """Return the same for a phone or an id: a float that has lost digits is spelled so that its reader refuses it."""
    if isinstance(value, float) and abs(value) >= EXACT_FLOAT:
        return f"{value:e}"
    if isinstance(value, Decimal):
        return f"{value:f}"  # exact, so that it needs no exponent, which stands for a number that was rounded
    return as_cell(value)


def spelling(columns: int, exact: Container[int]) -> list[Callable[[object], str | None]]:
    """Return what spells the cells of so many columns, some of which are to be *exact*."""
    return [exact_cell if place in exact else as_cell for place in range(columns)]
