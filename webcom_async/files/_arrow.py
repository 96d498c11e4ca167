"""Read and write Parquet and Arrow files; the only module that imports pyarrow, an extra."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false
import pyarrow as pa
from pyarrow import ipc, parquet

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import StrPath
from webcom_async.files._table import Row, Unreadable, readable, spelling

__all__ = ["ArrowTable", "ParquetResults", "columns_of"]

_BATCH = 4_096  # rows
# What pyarrow raises for nanoseconds, years after 9999, unknown time zones, and texts that are not UTF-8.
_CANNOT_HOLD = (ValueError, ArithmeticError, LookupError, pa.ArrowException)


class ArrowTable:
    """
    A Parquet or Arrow (Feather) file.

    Args:
        path: The file.

    Attributes:
        imprecise: Positions of float columns that keep seven digits at most.
        exact: Positions of columns whose numbers are refused if they have lost digits.
        texts: Positions of columns that go into texts.
        needed: Positions of columns whose values must be texts or numbers; empty for all.

    Raises:
        InputError: The file cannot be read.
    """

    def __init__(self, path: StrPath) -> None:
        self.path: Path = Path(path)
        with readable(self.path), self.path.open("rb") as file:
            self._is_parquet = file.read(4) == b"PAR1"
        self.exact: set[int] = set()
        self.texts: set[int] = set()
        self.needed: set[int] = set()
        schema = _schema_of(self.path, is_parquet=self._is_parquet)
        self.columns: tuple[str, ...] = tuple(schema.names)
        self.imprecise: frozenset[int] = frozenset(
            place for place, kind in enumerate(schema.types) if _plain(kind) in (pa.float16(), pa.float32())
        )

    @property
    def described(self) -> str:
        """The kind of file."""
        return "Parquet" if self._is_parquet else "Arrow"

    def rows(self) -> Iterator[Row]:
        number = 0
        spell = spelling(len(self.columns), self.exact, texts=self.texts, needed=self.needed)
        for batch in self._batches():
            columns = [list(map(each, _values(column))) for each, column in zip(spell, batch.columns, strict=True)]
            for cells in zip(*columns, strict=True):
                number += 1
                if None in cells:
                    place = cells.index(None)
                    why = _why_not_a_cell(batch.column(place), columns[place].index(None))
                    raise InputError(f"{self.path}, row {number}: {self.columns[place]!r} {why}")
                if any(map(str.strip, cells)):
                    yield Row(number, list(cells))

    def _batches(self) -> Iterator[Any]:
        with readable(self.path):
            try:
                if self._is_parquet:
                    # With the defaults, pyarrow keeps all that it has read until the end.
                    with parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20) as opened:
                        yield from opened.iter_batches(_BATCH, use_threads=False)
                else:
                    with pa.memory_map(str(self.path)) as source, ipc.open_file(source) as arrow:
                        for number in range(arrow.num_record_batches):
                            whole = arrow.get_batch(number)
                            yield from (whole.slice(start, _BATCH) for start in range(0, whole.num_rows, _BATCH))
            except pa.ArrowException as exc:
                raise InputError(f"{self.path}: cannot be read as {self.described}: {exc}") from None


def _values(column: Any) -> list[object]:
    try:
        return list(column.to_pylist())
    except _CANNOT_HOLD:
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except _CANNOT_HOLD:
        return Unreadable()


def _why_not_a_cell(column: Any, place: int) -> str:
    try:
        column[place].as_py()
    except UnicodeDecodeError:
        return "is not UTF-8; write the file again"
    except _CANNOT_HOLD:
        return f"is a {column.type} that Python cannot hold; write the column as text"
    return "is neither a text nor a number"


def columns_of(path: Path, *, is_parquet: bool) -> tuple[str, ...]:
    return tuple(_schema_of(path, is_parquet=is_parquet).names)


def _schema_of(path: Path, *, is_parquet: bool) -> Any:
    with readable(path):
        try:
            schema = _read_schema(path, is_parquet=is_parquet)
            _ = schema.names
        except UnicodeDecodeError:
            raise InputError(f"{path}: a column's name is not UTF-8; rename it, and write the file again") from None
        except pa.ArrowException as exc:
            raise InputError(f"{path}: neither Parquet nor Arrow: {exc}") from None
    return schema


def _read_schema(path: Path, *, is_parquet: bool) -> Any:
    if is_parquet:
        return parquet.read_schema(path)
    with pa.memory_map(str(path)) as source, ipc.open_file(source) as arrow:
        return arrow.schema


def _plain(kind: Any) -> Any:
    """Return the type of a column's values, which a dictionary, run-end or extension type may wrap."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    return _plain(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


class ParquetResults:
    """
    Writes rows of text as Parquet. The file can be read once it is closed.

    Args:
        file: A new binary file.
        columns: The columns' names.
    """

    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self._schema = pa.schema([(column, pa.string()) for column in columns])
        self._file = file
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._waiting: list[Sequence[str]] = []

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        self._waiting.extend(rows)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows and the file's footer."""
        with self._file:
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            arrays = [pa.array(column, pa.string()) for column in zip(*self._waiting, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
            self._waiting.clear()
