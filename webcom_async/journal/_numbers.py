"""
Which numbers a run has met, however many, in some ten bytes each.

The latest are a Python set, which is looked through in a tenth of the time; beyond a bound they are packed into an
eighth of its memory.
"""

import secrets
import struct
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated

import msgspec

__all__ = ["Numbers", "as_numbers"]

_UNPACKED = 65_536  # some 5 MB
_WORD_BITS = 64
_PLACES = 1 << 16
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
        chance: 64 bits; by default another ones for each, so that nobody can choose numbers that share a place.
    """

    def __init__(self, unpacked: int = _UNPACKED, chance: int | None = None) -> None:
        self._unpacked = unpacked
        self._latest: set[int] = set()
        # By the two upper bytes of what is made of them: the six lower ones of each, in a row.
        self._packed: list[bytes] = []
        # Odd, so that no two numbers become one.
        self._factor = (secrets.randbits(_WORD_BITS) if chance is None else chance) | 1

    def add(self, numbers: Collection[int]) -> bool:
        """Add *numbers* and return whether all of them are new, and no two alike."""
        met = self._meet_packed(numbers)
        before = len(self._latest)
        self._latest.update(numbers)
        new = len(self._latest) - before == len(numbers)
        if len(self._latest) > self._unpacked:
            self._pack()
        return new and not met

    def meet(self, numbers: Collection[int]) -> bool:
        """Whether any of *numbers* was added."""
        return not self._latest.isdisjoint(numbers) or self._meet_packed(numbers)

    def clear(self) -> None:
        """Forget all of them."""
        self._latest.clear()
        self._packed.clear()

    def _meet_packed(self, numbers: Collection[int]) -> bool:
        packed = self._packed
        # `in` first: it says no to nearly all of them, and takes no call.
        return bool(packed) and any(
            lower in packed[upper] and _holds(packed[upper], lower) for lower, upper in self._spread(numbers)
        )

    def _pack(self) -> None:
        packed = self._packed or [b""] * _PLACES
        for lower, upper in self._spread(self._latest):
            packed[upper] += lower
        self._packed = packed
        self._latest.clear()

    def _spread(self, numbers: Collection[int]) -> Iterator[tuple[bytes, int]]:
        """
        Yield of each of *numbers* what is kept and where, even if they count up or have their last bits in common.

        The upper bits of a product are as good as chance (Knuth's multiplicative hashing).
        """
        factor, word = self._factor, (1 << _WORD_BITS) - 1
        products = [number * factor & word for number in numbers]
        return struct.iter_unpack("<6sH", struct.pack(f"<{len(products)}Q", *products))


def _holds(packed: bytes, number: bytes) -> bool:
    """Whether *number* is one of *packed*, and not made of the ends of two."""
    place = packed.find(number)
    while place % len(number) and place >= 0:
        place = packed.find(number, place + 1)
    return place >= 0
