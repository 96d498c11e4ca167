"""Write rows of text so that a full disk cuts none of them."""

import csv
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import StringIO
from typing import IO, TypeAlias

from webcom_async._domain.untrusted_text import csv_cell

__all__ = ["Cells", "TextRows", "csv_rows"]

Cells: TypeAlias = Sequence[str]
"""One row of a table, a text per column."""


class TextRows:
    """
    Writes rows of text, and a header before the first. A page of rows is in the file as a whole, or not at all.

    Args:
        file: A new file, not buffered: what could not be written must not be tried again when it is closed.
        header: What the first page begins with.
        encode: Makes text of rows.
    """

    def __init__(self, file: IO[bytes], header: str, encode: Callable[[Sequence[Cells]], str]) -> None:
        self._file = file
        self._header = header
        self._encode = encode
        self._size = 0

    def write(self, rows: Sequence[Cells]) -> None:
        page = f"{self._header}{self._encode(rows)}".encode()
        try:
            _write_all(self._file, page)
        except BaseException:
            with suppress(OSError):
                self._file.truncate(self._size)
                self._file.seek(self._size)
            raise
        self._size += len(page)
        self._header = ""

    def close(self) -> None:
        self._file.close()


def csv_rows(file: IO[bytes], columns: Cells, delimiter: str) -> TextRows:
    def encode(rows: Iterable[Cells]) -> str:
        text = StringIO(newline="")
        csv.writer(text, delimiter=delimiter).writerows(list(map(csv_cell, row)) for row in rows)
        return text.getvalue()

    # Semicolons are for Excel, which needs a byte order mark to open the file as UTF-8.
    mark = "\ufeff" if delimiter == ";" else ""
    return TextRows(file, mark + encode([columns]), encode)


def _write_all(file: IO[bytes], content: bytes) -> None:
    """A disk that fills up takes a part, and refuses the rest."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
