"""
Write results to a file as they arrive: CSV, JSON Lines or Parquet, by the file's name.

The results' own columns come first, under fixed names; then the line of the input, and the input's columns. Cells are
escaped, so that no spreadsheet runs them as formulas and no terminal obeys them.
"""

import csv
import errno
import json
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from os.path import lexists
from pathlib import Path
from secrets import token_hex
from typing import IO, Protocol

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import Identity, StrPath, check_file, identity_of, new_private_file, refuse_blank
from webcom_async._domain.results import SendResult
from webcom_async.files._table import JSON_LINES, RESULT_COLUMNS, Row
from webcom_async.files._text_rows import Cells, TextRows, csv_rows

__all__ = ["RESULT_COLUMNS", "Cells", "ResultsFile", "results_file"]

_LINE = "line"
_MADE_MEANWHILE = "another program has made a file there meanwhile; name a new file"
_PARQUET = ".parquet"


class _Format(Protocol):
    """Writes rows in one file format."""

    def write(self, rows: Sequence[Cells]) -> None: ...
    def close(self) -> None: ...


def _json_lines(file: IO[bytes], columns: Cells) -> TextRows:
    """All but ASCII is escaped, so that no control character reaches a terminal."""
    return TextRows(
        file, "", lambda rows: "".join(f"{json.dumps(dict(zip(columns, row, strict=True)))}\n" for row in rows)
    )


class ResultsFile:
    """
    A new file of results, for its owner alone.

    Args:
        path: The file's path.
        columns: The input's columns; each result gets the cells of its row. A name that results use themselves is
            prefixed with `input_`.
        delimiter: The delimiter of CSV.
        replace: Whether to rename an existing file of results to `NAME.1`, `NAME.2`, … when the first results arrive.
        whole: Whether the file gets its name when it is closed, and not before; it is written beside its place under
            a hidden name.

    Attributes:
        path: The file's path.
        rows: How many results the file holds. A Parquet file whose writing has failed holds none, and is removed.

    Raises:
        InputError: The path is empty or blank, or the file exists and may not be replaced, or cannot be created.
    """

    def __init__(
        self, path: StrPath, columns: Cells = (), *, delimiter: str = ",", replace: bool = False, whole: bool = False
    ) -> None:
        refuse_blank("the path of the results", path)
        self.path: Path = Path(path)
        self.rows: int = 0
        self._delimiter = delimiter
        self._replace = replace
        self._whole = whole
        self._place = self.path.with_name(f".webcom-async-{token_hex(8)}.part") if whole else self.path
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
            InputError: The results cannot be written, such as to a full disk. CSV and JSON Lines keep the results of
                earlier calls, and none of this one's.
        """
        form = self._format or self._open_late()
        with_rows = len(self._columns) > len(RESULT_COLUMNS)
        cells = [_cells(result, (row or self._blank) if with_rows else None) for result, row in results]
        with self._writing():
            form.write(cells)
        self.rows += len(cells)
        self._written = True

    def close(self) -> None:
        """
        Close the file, and remove it if it has no results. Parquet can be read from then on.

        Raises:
            InputError: The remaining rows cannot be written, or the file cannot get its name, and no earlier call has
                said so.
        """
        if self._format is None:
            return
        try:
            with suppress(InputError) if self._failed else nullcontext(), self._writing():
                self._format.close()
                if self._whole and self._written:
                    self._publish()
        finally:
            if not self._written:
                self._remove()

    def discard(self) -> None:
        """Close the file and remove it."""
        if self._format is not None:
            with suppress(OSError, ValueError):
                self._format.close()
            self._remove()

    @property
    def in_place(self) -> bool:
        """Whether the written file is still where it was made; it may have been moved or removed."""
        return self._opened is None or self._opened == identity_of(self._place)

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        try:
            yield
        except (OSError, ValueError) as exc:
            self._fail()
            why = getattr(exc, "strerror", None) or exc
            raise InputError(f"{self.path}: the results could not be written: {why}") from None

    def _fail(self) -> None:
        self._failed = True
        if self._whole or self._is_parquet:
            self.rows = 0
            self._written = False

    def _remove(self) -> None:
        if self.in_place and self._opened is not None:
            with suppress(OSError):
                self._place.unlink()
            self._opened = None

    def _publish(self) -> None:
        """Give the file its name, on the disk before that."""
        if self._replace and _holds_results(self.path):
            _put_aside(self.path)
        _sync(self._place)
        _rename_new(self._place, self.path)
        self._place = self.path

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix.casefold() == _PARQUET

    def _open_late(self) -> _Format:
        """The file may have changed meanwhile."""
        if not self._whole and _holds_results(self.path):
            with self._writing():
                _put_aside(self.path)
        return self._open()

    def _open(self) -> _Format:
        try:
            self._format = self._make()
        except FileExistsError:
            raise InputError(f"{self.path}: exists already, and is not overwritten; name a new file") from None
        except OSError as exc:
            raise InputError(f"{self.path}: {exc.strerror}") from None
        return self._format

    def _make(self) -> _Format:
        if self.path.suffix.casefold() in JSON_LINES:
            return _json_lines(self._new(buffering=0), self._columns)
        if not self._is_parquet:
            return csv_rows(self._new(buffering=0), self._columns, self._delimiter)
        try:
            from webcom_async.files._arrow import ParquetResults  # noqa: PLC0415 - an extra
        except ImportError:
            raise InputError(f"{self.path}: Parquet needs: pip install 'webcom-async[parquet]'") from None
        return ParquetResults(self._new(), self._columns)

    def _new(self, buffering: int = -1) -> IO[bytes]:
        if self._whole and lexists(self.path) and not (self._replace and _holds_results(self.path)):
            raise FileExistsError
        file = new_private_file(self._place, buffering)
        self._opened = identity_of(file.fileno())
        return file


@contextmanager
def results_file(
    path: StrPath | None,
    columns: Cells = (),
    *,
    delimiter: str = ",",
    replace: bool = False,
    whole: bool = False,
) -> Generator[ResultsFile | None, None, None]:
    """Open a `ResultsFile` and close it at the end; yield None if *path* is None."""
    if path is None:
        yield None
        return
    with ExitStack() as opened:
        file = ResultsFile(path, columns, delimiter=delimiter, replace=replace, whole=whole)
        opened.callback(file.close)
        yield file


def _sync(path: Path) -> None:
    """Raise `OSError` if the disk has not taken all that was written."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _rename_new(source: Path, target: Path) -> None:
    """Raise `FileExistsError` if *target* exists: unlike a rename, a link replaces nothing."""
    try:
        target.hardlink_to(source)
    except OSError:
        if lexists(target):
            raise FileExistsError(errno.EEXIST, _MADE_MEANWHILE, str(target)) from None
        source.replace(target)  # FAT and some network drives have no links
    else:
        source.unlink()


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
