"""
Write results to a file as they arrive: CSV, JSON Lines or Parquet, by the file's name.

The results' own columns come first, under fixed names; then the line of the input, and the input's columns. Cells are
escaped, so that no spreadsheet runs them as formulas and no terminal obeys them.
"""

import csv
import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Protocol

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import Identity, StrPath, check_file, identity_of, refuse_blank
from webcom_async._domain.results import SendResult
from webcom_async._domain.untrusted_text import csv_cell
from webcom_async.files._table import JSON_LINES, RESULT_COLUMNS, Row

__all__ = ["RESULT_COLUMNS", "Cells", "ResultsFile", "results_file"]

_LINE = "line"
_PARQUET = ".parquet"

Cells = Sequence[str]
"""One row of a table, a text per column."""


class _Format(Protocol):
    """Writes rows in one file format."""

    def write(self, rows: Sequence[Cells]) -> None: ...
    def close(self) -> None: ...


class _Csv:
    """Rows with a header."""

    def __init__(self, file: IO[str], columns: Cells, delimiter: str) -> None:
        self._file = file
        self._writer = csv.writer(file, delimiter=delimiter)
        self._writer.writerow(map(csv_cell, columns))

    def write(self, rows: Sequence[Cells]) -> None:
        self._writer.writerows(list(map(csv_cell, row)) for row in rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    """Objects; all but ASCII is escaped, so that no control character reaches a terminal."""

    def __init__(self, file: IO[str], columns: Cells) -> None:
        self._file = file
        self._columns = columns

    def write(self, rows: Sequence[Cells]) -> None:
        self._file.writelines(f"{json.dumps(dict(zip(self._columns, row, strict=True)))}\n" for row in rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class ResultsFile:
    """
    A new file of results.

    Args:
        path: The file's path.
        columns: The input's columns; each result gets the cells of its row. A name that results use themselves is
            prefixed with `input_`.
        delimiter: The delimiter of CSV.
        replace: Whether to rename an existing file of results to `NAME.1`, `NAME.2`, … when the first results arrive.

    Attributes:
        path: The file's path.

    Raises:
        InputError: The path is empty or blank, or the file exists and may not be replaced, or cannot be created.
    """

    def __init__(self, path: StrPath, columns: Cells = (), *, delimiter: str = ",", replace: bool = False) -> None:
        refuse_blank("the path of the results", path)
        self.path: Path = Path(path)
        self._delimiter = delimiter
        self._blank = Row(0, [""] * len(columns))
        self._columns = _named([*RESULT_COLUMNS, *([_LINE] if columns else [])], columns)
        self._format: _Format | None = None
        self._opened: Identity | None = None
        self._written = False
        self._failed = False
        if not (replace and _holds_results(self.path)):
            self._open()

    def write(self, results: Iterable[tuple[SendResult, Row | None]]) -> None:
        """
        Append results, each with its row of the input. Except for Parquet, they are in the file when this returns.

        Raises:
            InputError: The results cannot be written, such as to a full disk.
        """
        form = self._format
        if form is None:
            if _holds_results(self.path):  # it may have changed meanwhile
                _put_aside(self.path)
            form = self._open()
        self._written = True
        with_rows = len(self._columns) > len(RESULT_COLUMNS)
        with self._writing():
            form.write([_cells(result, (row or self._blank) if with_rows else None) for result, row in results])

    def close(self) -> None:
        """
        Close the file, and remove it if it has no results. Parquet can be read from then on.

        Raises:
            InputError: The remaining rows cannot be written, and no earlier call has said so.
        """
        if self._format is not None:
            with suppress(InputError) if self._failed else nullcontext(), self._writing():
                self._format.close()
            if not self._written and self.in_place:
                self.path.unlink()
                self._opened = None

    @property
    def in_place(self) -> bool:
        """Whether `path` still leads to the written file, which may have been moved or removed."""
        return self._opened is None or self._opened == identity_of(self.path)

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as exc:
            self._failed = True
            raise InputError(f"{self.path}: the results could not be written: {exc.strerror or exc}") from None

    def _open(self) -> _Format:
        try:
            self._format = self._make()
        except FileExistsError:
            raise InputError(f"{self.path}: exists already, and is not overwritten; name a new file") from None
        except OSError as exc:
            raise InputError(f"{self.path}: {exc.strerror}") from None
        return self._format

    def _make(self) -> _Format:
        suffix = self.path.suffix.casefold()
        if suffix in JSON_LINES:
            return _JsonLines(self._new("utf-8"), self._columns)
        if suffix != _PARQUET:
            # Semicolons are for Excel, which needs a byte order mark to open the file as UTF-8.
            file = self._new("utf-8-sig" if self._delimiter == ";" else "utf-8")
            return _Csv(file, self._columns, self._delimiter)
        try:
            from webcom_async.files._arrow import ParquetResults  # noqa: PLC0415 - an extra
        except ImportError:
            raise InputError(f"{self.path}: Parquet needs: pip install 'webcom-async[parquet]'") from None
        return ParquetResults(self._new(), self._columns)

    def _new(self, encoding: str | None = None) -> IO[Any]:
        """Create the file, for text in *encoding* or for bytes."""
        newline = None if encoding is None else ""
        file = self.path.open("xb" if encoding is None else "x", encoding=encoding, newline=newline)
        self._opened = identity_of(file.fileno())
        return file


@contextmanager
def results_file(
    path: StrPath | None, columns: Cells = (), *, delimiter: str = ",", replace: bool = False
) -> Generator[ResultsFile | None, None, None]:
    """Open a `ResultsFile` and close it at the end; yield None if *path* is None."""
    if path is None:
        yield None
        return
    with ExitStack() as opened:
        file = ResultsFile(path, columns, delimiter=delimiter, replace=replace)
        opened.callback(file.close)
        yield file


def _named(ours: Sequence[str], theirs: Cells) -> list[str]:
    """Return the names of all columns, each unique."""
    names = list(ours)
    for name in theirs:
        taken = name
        while taken in names:
            taken = f"input_{taken}"
        names.append(taken)
    return names


def _cells(result: SendResult, row: Row | None) -> list[str]:
    cells = [
        result.phone,
        result.client_id_sms,
        result.outcome.value,
        result.id_sms or "",
        result.reason.value,
        result.error,
        str(result.attempts),
    ]
    return cells if row is None else [*cells, str(row.line or ""), *row.cells]


def _put_aside(path: Path) -> None:
    """Rename the file to the first free `NAME.1`, `NAME.2`, …."""
    names = (path.with_name(f"{path.name}.{number}") for number in count(1))
    path.rename(next(name for name in names if not (name.exists() or name.is_symlink())))


def _holds_results(path: Path) -> bool:
    try:
        check_file(path)
        return path.stat().st_size == 0 or tuple(_first_columns(path))[: len(RESULT_COLUMNS)] == RESULT_COLUMNS
    except (OSError, ValueError, InputError, ImportError, csv.Error):
        return False


def _first_columns(path: Path) -> Iterable[str]:
    suffix = path.suffix.casefold()
    if suffix == _PARQUET:
        from webcom_async.files._arrow import columns_of  # noqa: PLC0415 - an extra

        return columns_of(path, is_parquet=True)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(1 << 16)
    if suffix in JSON_LINES:
        return list(json.loads(first))
    delimiter = ";" if first.count(";") > first.count(",") else ","
    return [cell for record in csv.reader([first], delimiter=delimiter) for cell in record]
