"""Open a file as the kind of table it is."""

from pathlib import Path

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import StrPath, refuse_blank
from webcom_async.files._csv import CsvTable
from webcom_async.files._jsonl import JsonLinesTable
from webcom_async.files._table import JSON_LINES, Table, readable

__all__ = ["open_table"]

_ARROW_MAGIC = (b"PAR1", b"ARROW1")


def open_table(path: StrPath, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """
    Return the table in a file: Parquet and Arrow by their first bytes, JSON Lines by its name, else CSV.

    Args:
        path: A regular file: it is read more than once.
        encoding: The Python name of a CSV file's encoding; detected by default.
        delimiter: A CSV file's delimiter; detected by default.

    Raises:
        InputError: The path is empty or blank, or the file cannot be read, or needs an extra that is not installed.
    """
    refuse_blank("the path of the file", path)
    path = Path(path)
    with readable(path), path.open("rb") as file:
        start = file.read(6)
    if start.startswith(_ARROW_MAGIC):
        return _arrow(path)
    if path.suffix.casefold() in JSON_LINES:
        return JsonLinesTable(path)
    return CsvTable(path, encoding=encoding, delimiter=delimiter)


def _arrow(path: Path) -> Table:
    try:
        from webcom_async.files._arrow import ArrowTable  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError(f"{path}: Parquet and Arrow need: pip install 'webcom-async[parquet]'") from None
    return ArrowTable(path)
