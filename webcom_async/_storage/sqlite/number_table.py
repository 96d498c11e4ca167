"""
A compact set of the numbers that a run has used.

Small sets are a Python set, with three times faster lookups. Beyond a limit, numbers are kept in tables, which take 14
to 29 bytes a number instead of over 80.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import count
from math import isqrt
from typing import Annotated

import msgspec

__all__ = ["Numbers", "as_numbers"]

_FEW = 131_072  # a set of this size takes some 11 MB, as do the first tables
_PLACES = 1 << 20
_FILLED = 3 / 4
_TABLES = 4
_AT_ONCE = 4096  # numbers that are Python objects while tables grow, at three times the size
_WRITTEN = b"0123456789,"
_decode = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]]).decode  # SQLite's integers


def as_numbers(texts: Sequence[str]) -> list[int] | None:
    """
    Return None unless each is in the one form that JSON has for a SQLite integer.

    Parsing them as an array takes a third of the time of checking each.
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
    A set of numbers from 0 to 2**63 - 1.

    Each table has one slot for a number, by its remainder. If that is taken, the number goes to the next table, a
    quarter of the size, and after the last to a set, which gets a fiftieth of random numbers. Sizes are prime, which
    spreads numbers that count up or end alike. Any number takes only a few steps.

    Args:
        few: The most numbers that are kept in a set, without tables.
        places: The first size of the first table. Tables double.
    """

    def __init__(self, few: int = _FEW, places: int = _PLACES) -> None:
        self._few = few
        self._places = places
        self.clear()

    def add(self, numbers: Sequence[int]) -> bool:
        """Return whether all are new and distinct."""
        while self._count + len(numbers) > self._room:
            self._grow()
        return self._enter(numbers) == len(numbers)

    def meet(self, numbers: Iterable[int]) -> bool:
        return any(map(self._has, numbers))

    def clear(self) -> None:
        self._tables: list[array[int]] = []
        self._others: set[int] = set()
        self._room = self._few
        self._count = 0

    def _enter(self, numbers: Sequence[int]) -> int:
        new = len(numbers)
        for table in self._tables:
            size = len(table)
            others: list[int] = []
            for number in numbers:
                place = number % size
                there = table[place]
                if there < 0:
                    table[place] = number
                elif there == number:
                    new -= 1
                else:
                    others.append(number)
            numbers = others
        before = len(self._others)
        self._others.update(numbers)
        new -= len(numbers) - (len(self._others) - before)
        self._count += new
        return new

    def _has(self, number: int) -> bool:
        for table in self._tables:
            there = table[number % len(table)]
            if there < 0 or there == number:
                return there == number
        return number in self._others

    def _grow(self) -> None:
        """Change nothing if memory runs out."""
        places = 2 * len(self._tables[0]) if self._tables else self._places
        grown = Numbers()
        grown._tables = [array("q", [-1]) * _prime(places >> 2 * step) for step in range(_TABLES)]
        for table in self._tables:
            for first in range(0, len(table), _AT_ONCE):
                grown._enter([number for number in table[first : first + _AT_ONCE] if number >= 0])
        grown._enter(list(self._others))
        self._tables, self._others = grown._tables, grown._others
        self._room = int(places * _FILLED)


def _prime(least: int) -> int:
    candidates = count(max(3, least | 1), 2)
    return next(each for each in candidates if all(each % divisor for divisor in range(3, isqrt(each) + 1, 2)))
