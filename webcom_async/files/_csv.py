"""Read CSV: commas or semicolons, UTF-8 or Windows-1251, with a header, or a plain list of phones."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import StrPath
from webcom_async._domain.phones import normalise_phone
from webcom_async._domain.untrusted_text import csv_text, listed
from webcom_async.files._encoding import ENCODING_NAMES, find_encoding
from webcom_async.files._table import PHONE_COLUMNS, RESULT_COLUMNS, Row, readable

__all__ = ["CsvTable"]

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE = 50  # records that the delimiter is chosen by
_EXCEL_SAYS = "sep="  # the first line of some of Excel's files
_QUOTES = "close each double quote, and write one within a cell twice"
_NO_FIT = (0, 0, 0)


class _Sample(NamedTuple):
    """The first records as a delimiter separates them, the header first; up to one that is not CSV."""

    records: list[list[str]]

    @property
    def widths(self) -> list[int]:
        """The number of cells of each record."""
        return list(map(len, self.records))

    @property
    def fit(self) -> tuple[int, int, int]:
        """Whether the delimiter separates phones, how many records are as wide as the header, and the width."""
        if not self.records or len(self.records[0]) == 1:
            return _NO_FIT
        width = len(self.records[0])
        wide = [cells for cells in self.records if len(cells) == width]
        return self._has_phones(wide), len(wide), width

    def _has_phones(self, wide: list[list[str]]) -> int:
        """Return 2 if the header names a column of phones, 1 if a column holds them, else 0."""
        header, *rows = wide
        has_rows = rows or len(self.records) == 1
        if has_rows and any(name.strip().casefold() in PHONE_COLUMNS for name in header):
            return 2
        return int(any(2 * sum(map(_is_phone, column)) > len(rows) for column in zip(*rows, strict=True)))


class CsvTable:
    """
    A CSV file.

    Args:
        path: A regular file: it is read more than once.
        encoding: The encoding's Python name. Detected by default: UTF-8, UTF-8 or UTF-16 with a byte order mark, or
            Windows-1251 with Russian letters.
        delimiter: One character. Detected by default: comma, semicolon, tab or bar.

    Attributes:
        encoding: The encoding's Python name.
        delimiter: The delimiter.

    Raises:
        InputError: The file cannot be read, its encoding has to be named, or it has no header and is not a list of
            phones.
    """

    def __init__(self, path: StrPath, *, encoding: str | None = None, delimiter: str | None = None) -> None:
        self.path: Path = Path(path)
        self.columns: tuple[str, ...]
        if delimiter is not None and len(delimiter) != 1:
            raise InputError(f"a delimiter is one character, not {delimiter!r}")
        with readable(self.path):
            self.encoding: str = find_encoding(self.path, encoding)
            self._skipped, said = self._first_line()
            self.delimiter: str = delimiter or said or self._find_delimiter()
            self.columns, self._has_header = self._find_columns()

    @property
    def described(self) -> str:
        """The kind of file, with its encoding and delimiter."""
        name = ENCODING_NAMES.get(self.encoding, self.encoding)
        return f"CSV, {name}, {_DELIMITERS.get(self.delimiter, repr(self.delimiter))}"

    def rows(self) -> Iterator[Row]:
        width = len(self.columns)
        quoted = self.columns[: len(RESULT_COLUMNS)] == RESULT_COLUMNS  # escaped by `csv_cell`
        records = self._records()
        if self._has_header:
            next(records, None)
        for line, cells in records:
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
            elif len(cells) > width:
                if any(map(str.strip, cells[width:])):
                    raise InputError(
                        f"{self.path}, line {line}: {len(cells)} cells under {width} columns; "
                        f"put a cell that holds {self.delimiter!r} in double quotes"
                    )
                del cells[width:]
            yield Row(line, list(map(csv_text, cells)) if quoted else cells)

    def _records(self, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
        """Yield the line and cells of each record, except blank ones."""
        with readable(self.path), self.path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self._skipped):
                file.readline()
            records = csv.reader(file, delimiter=delimiter or self.delimiter, strict=True)
            line = before = self._skipped
            try:
                for cells in records:
                    line, before = before + 1, self._skipped + records.line_num
                    if any(map(str.strip, cells)):
                        yield line, cells
            except csv.Error as exc:
                raise InputError(f"{self.path}, line {before + 1}: not CSV: {exc}; {_QUOTES}") from None

    def _first_line(self) -> tuple[int, str | None]:
        """Return how many lines precede the header, and the delimiter that they name."""
        with self.path.open(encoding=self.encoding, newline="") as file:
            first = file.readline().rstrip("\r\n")
        said = first[len(_EXCEL_SAYS) :]
        return (1, said) if first.casefold().startswith(_EXCEL_SAYS) and len(said) == 1 else (0, None)

    def _find_delimiter(self) -> str:
        """Return the delimiter that separates phones from other cells in most of the first records."""
        samples = {delimiter: self._sample(delimiter) for delimiter in _DELIMITERS}
        best = max(_DELIMITERS, key=lambda delimiter: samples[delimiter].fit)
        if samples[best].fit > _NO_FIT:
            return best
        # One column: its cells may hold a delimiter, as 79612242243,00 does.
        single = [delimiter for delimiter, sample in samples.items() if set(sample.widths) == {1}]
        return single[0] if single and samples[","].records else ","

    def _sample(self, delimiter: str) -> _Sample:
        found: list[list[str]] = []
        with suppress(InputError):  # if this delimiter is chosen, reading the rows tells it
            for _, cells in islice(self._records(delimiter), _SAMPLE):
                found.append(cells)
        return _Sample(found)

    def _find_columns(self) -> tuple[tuple[str, ...], bool]:
        names = tuple(name.strip() for _, first in islice(self._records(), 1) for name in first)
        if not names:
            raise InputError(f"{self.path}: it is empty")
        if not any(map(_is_phone, names)):
            return names, True
        if len(names) == 1:
            return ("phone",), False
        shown = listed(names, self.delimiter)
        raise InputError(f"{self.path}: no header; name its columns in a first line above: {shown}")


def _is_phone(text: str) -> bool:
    try:
        normalise_phone(text)
    except InputError:
        return False
    return True
