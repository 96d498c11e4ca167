"""
Which numbers a run has met: exact, however many, in little memory.

The latest are a Python set, which takes a twentieth of the time of a table; beyond a bound they are moved, sorted, to a
temporary table, which SQLite keeps in a file of its own that nobody else can open and no crash leaves behind.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Annotated

import msgspec

from webcom_async.errors import JournalError
from webcom_async.journal import _sql
from webcom_async.journal._rows import Statements, array

__all__ = ["Numbers", "as_numbers"]

_IN_MEMORY = 32_768  # some 3 MB
_WRITTEN = b"0123456789,"
_decode = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]]).decode  # SQLite's integers


def as_numbers(texts: Sequence[str]) -> list[int] | None:
    """
    Return *texts* as numbers; None unless each is the one way to write a number of SQLite's.

    JSON knows one way only, so that reading them as an array takes a third of the time of looking at each.
    """
    written = ",".join(texts).encode("ascii", "replace")
    if written.translate(None, _WRITTEN):
        return None
    try:
        numbers = _decode(b"[%b]" % written)
    except msgspec.DecodeError:
        return None
    return numbers if len(numbers) == len(texts) else None


class Numbers:
    """
    Numbers that were met.

    Args:
        file: Where there may be a temporary table.
        table: Its name.
        in_memory: Numbers beyond which it is used.
    """

    def __init__(self, file: Statements, table: str, in_memory: int = _IN_MEMORY) -> None:
        self._file = file
        self._table = table
        self._in_memory = in_memory
        self._latest: set[int] = set()
        self._moved = False

    def add(self, numbers: Collection[int]) -> bool:
        """Add *numbers* and return whether all of them are new, and no two alike."""
        moved = self._among_moved(numbers)
        before = len(self._latest)
        self._latest.update(numbers)
        new = len(self._latest) - before == len(numbers)
        if len(self._latest) > self._in_memory:
            # A temporary disk that is full costs memory, and no campaign.
            with suppress(JournalError):
                self._move()
        return new and not moved

    def meet(self, numbers: Collection[int]) -> bool:
        """Whether any of *numbers* was added."""
        return not self._latest.isdisjoint(numbers) or self._among_moved(numbers)

    def clear(self) -> None:
        """Forget all of them."""
        self._latest.clear()
        if self._moved:
            self._file.change(_sql.CLEAR_NUMBERS.format(self._table))
            self._moved = False

    def _among_moved(self, numbers: Collection[int]) -> bool:
        return self._moved and bool(self._file.fetch(_sql.FIND_NUMBERS.format(self._table), array(sorted(numbers))))

    def _move(self) -> None:
        self._file.change(_sql.MAKE_NUMBERS.format(self._table))
        self._moved = True
        self._file.change(_sql.ADD_NUMBERS.format(self._table), array(sorted(self._latest)))
        self._latest.clear()
