"""Read JSON Lines: one object a line, in UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path

import msgspec

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import StrPath
from webcom_async.files._table import LONGEST_LINE, Row, readable, spelling

__all__ = ["JsonLinesTable"]

_MOST_COLUMNS = 1_000
_decode = msgspec.json.Decoder(dict[str, object]).decode


class JsonLinesTable:
    """
    A file of JSON objects, one a line; its columns are the keys of all objects.

    Args:
        path: The file. It is read once here, because any line may add a key.

    Attributes:
        exact: Positions of columns whose numbers are refused if they have lost digits.
        needed: Positions of columns whose values must be texts or numbers; empty for all.

    Raises:
        InputError: The file cannot be read, or a line is not an object of texts and numbers.
    """

    described: str = "JSON Lines"

    def __init__(self, path: StrPath) -> None:
        self.path: Path = Path(path)
        self.exact: set[int] = set()
        self.needed: set[int] = set()
        columns: dict[str, None] = {}
        for line, found in self._objects():
            if not columns.keys() >= found.keys():
                columns |= dict.fromkeys(found)
                if len(columns) > _MOST_COLUMNS:
                    raise InputError(f"{self.path}, line {line}: more than {_MOST_COLUMNS:,} different keys")
        self.columns: tuple[str, ...] = tuple(columns)
        if not columns:
            raise InputError(f"{self.path}: it is empty")

    def rows(self) -> Iterator[Row]:
        columns = self.columns
        spell = spelling(len(columns), self.exact, needed=self.needed)
        for line, found in self._objects():
            cells = [spelled(found.get(column)) for spelled, column in zip(spell, columns, strict=True)]
            if None in cells:
                raise InputError(
                    f"{self.path}, line {line}: {columns[cells.index(None)]!r} is neither a text nor a number"
                )
            yield Row(line, [cell or "" for cell in cells])

    def _objects(self) -> Iterator[tuple[int, dict[str, object]]]:
        with readable(self.path), self.path.open("rb") as file:
            line = 0
            while text := file.readline(LONGEST_LINE):
                line += 1
                if line == 1:
                    text = text.removeprefix(codecs.BOM_UTF8)
                if len(text) == LONGEST_LINE:
                    raise InputError(f"{self.path}, line {line}: longer than {LONGEST_LINE:,} bytes")
                if text.isspace() or not text:
                    continue
                try:
                    yield line, _decode(text)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
                    raise InputError(f"{self.path}, line {line}: not a JSON object in UTF-8: {exc}") from None
