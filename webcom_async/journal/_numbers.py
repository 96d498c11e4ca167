"""
Which numbers a run has met, however many, in some ten bytes each.

The latest are a Python set, which is looked through in a tenth of the time; beyond a bound they are packed into an
eighth of its memory.
"""

import struct
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated

import msgspec

__all__ = ["Numbers", "as_numbers"]

_UNPACKED = 65_536  # some 5 MB
_SLOTS = 1 << 16
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
    Numbers from 0 to 2**63 - 1 that were met.

    Args:
        unpacked: Numbers beyond which they are packed.
    """

    def __init__(self, unpacked: int = _UNPACKED) -> None:
        self._unpacked = unpacked
        self._latest: set[int] = set()
        # By their two lower bytes, which differ even where numbers count up: the six upper ones of each, in a row.
        self._packed: list[bytes] = []

    def add(self, numbers: Collection[int]) -> bool:
        """Add *numbers* and return whether all of them are new, and no two alike; see `meet`."""
        met = self._meet_packed(numbers)
        before = len(self._latest)
        self._latest.update(numbers)
        new = len(self._latest) - before == len(numbers)
        if len(self._latest) > self._unpacked:
            self._pack()
        return new and not met

    def meet(self, numbers: Collection[int]) -> bool:
        """
        Whether any of *numbers* was added.

        That it was may be wrong, about once in 10**12 numbers: where the ends of two others read like it.
        """
        return not self._latest.isdisjoint(numbers) or self._meet_packed(numbers)

    def clear(self) -> None:
        """Forget all of them."""
        self._latest.clear()
        self._packed.clear()

    def _meet_packed(self, numbers: Collection[int]) -> bool:
        packed = self._packed
        return bool(packed) and any(upper in packed[lower] for lower, upper in _halves(numbers))

    def _pack(self) -> None:
        packed = self._packed or [b""] * _SLOTS
        for lower, upper in _halves(self._latest):
            packed[lower] += upper
        self._packed = packed
        self._latest.clear()


def _halves(numbers: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the two lower bytes of each of *numbers*, as a number, and the six upper ones."""
    return struct.iter_unpack("<H6s", struct.pack(f"<{len(numbers)}Q", *numbers))
