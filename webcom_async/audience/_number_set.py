"""
A compact map from large numbers to small ones; remembers which phones were seen, and where.

Two machine words a slot, with at least a third of the slots free: 16 to 48 bytes an entry, where a `dict` of ints takes
over 150. A million phones take 34 MB.
"""

from array import array

__all__ = ["NumberMap"]

_FIRST_BITS = 10
_SPREAD = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: Knuth's multiplicative hashing
_WORD = (1 << 64) - 1


class NumberMap:
    """Maps numbers from 1 to 2**64 - 1 to numbers of at most 64 bits."""

    def __init__(self) -> None:
        self._count = 0
        self._resize(_FIRST_BITS)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return self._keys[self._slot(number)] != 0

    def setdefault(self, number: int, value: int) -> int:
        """Return the value of *number*; set it to *value* first if it has none."""
        # `_slot`, inlined: this is called for every row of a file.
        keys, mask = self._keys, self._mask
        slot = (number * _SPREAD & _WORD) >> self._shift
        while keys[slot]:
            if keys[slot] == number:
                return self._values[slot]
            slot = slot + 1 & mask
        keys[slot] = number
        self._values[slot] = value
        self._count += 1
        if self._count > self._limit:
            self._grow()
        return value

    def _slot(self, number: int) -> int:
        """Return the slot that holds *number*, or would."""
        keys, mask = self._keys, self._mask
        slot = (number * _SPREAD & _WORD) >> self._shift
        while keys[slot] and keys[slot] != number:
            slot = slot + 1 & mask
        return slot

    def _resize(self, bits: int) -> None:
        self._keys = array("Q", bytes(8 << bits))
        self._values = array("Q", bytes(8 << bits))
        self._mask = (1 << bits) - 1
        self._shift = 64 - bits
        self._limit = (2 << bits) // 3

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._resize(64 - self._shift + 1)
        for number, value in zip(keys, values, strict=True):
            if number:
                slot = self._slot(number)
                self._keys[slot] = number
                self._values[slot] = value
