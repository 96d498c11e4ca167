"""
Phones that nothing is sent to, and the compact map that remembers phones and where they were seen.

The map takes two machine words a slot, with at least a third of the slots free: 16 to 48 bytes an entry, where a `dict`
of ints takes over 150. A million phones take 34 MB.
"""

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

from webcom_async._domain.errors import InputError
from webcom_async._domain.phones import is_home_form, normalise_phone, shown
from webcom_async._domain.reasons import Reason
from webcom_async._domain.sentences import Quote, Sentence
from webcom_async._domain.types import Phone
from webcom_async.audience._columns import ColumnNames, Places, find_places, need
from webcom_async.files import open_table

__all__ = ["NumberMap", "StopList"]


class StopList:
    """
    A compact set of phones: 34 MB for a million.

    Args:
        phones: The first phones.

    Raises:
        InputError: `update` refuses one of *phones*.
    """

    def __init__(self, phones: Iterable[str] = ()) -> None:
        self._phones = NumberMap()
        self.update(phones)

    @classmethod
    def from_file(cls, path: str | Path, *, encoding: str | None = None) -> "StopList":
        """Return the phones of a file; blocks for about 5 s per million lines. See `update_from`."""
        stopped = cls()
        stopped.update_from(path, encoding=encoding)
        return stopped

    def update_from(
        self,
        path: str | Path,
        normalise: Callable[[str], Phone] = normalise_phone,
        *,
        encoding: str | None = None,
    ) -> None:
        """
        Add the phones of a file: a column of a table, or a list. Blocks for about 5 s per million lines.

        Args:
            path: The file.
            normalise: The function that reads a phone; give the one of the audience, so that one spelling means one
                phone.
            encoding: The Python name of a CSV file's encoding; detected by default.

        Raises:
            InputError: The file cannot be read, its encoding has to be named, or `update` refuses a line: skipping it
                would mean sending to it.
        """
        table = open_table(path, encoding=encoding)
        place = find_places(table, ColumnNames()).phone
        need(table, Places(place))
        for row in table.rows():
            try:
                self.update((row.cells[place],), normalise)
            except InputError as exc:
                place_in_file = Sentence("{path}, line {line}: {why}", path=table.path, line=row.line, why=exc.sentence)
                raise InputError(place_in_file) from None

    def update(self, phones: Iterable[str], normalise: Callable[[str], Phone] = normalise_phone) -> None:
        """
        Add *phones*, read by *normalise*.

        Raises:
            InputError: An item is not a phone number; or it is ten digits that begin with 9 without a plus, and
                *normalise* is the default, which does not know the country: it could read a Russian mobile as a number
                in Lebanon.
        """
        for raw in phones:
            phone = normalise(raw)
            if normalise is normalise_phone and is_home_form(raw, phone):
                raise InputError(
                    Sentence(
                        "{phone} may be a Russian mobile without its 7: write it as 7… or +…, or give --region RU",
                        phone=Quote(shown(raw)),
                    ),
                    Reason.BAD_PHONE,
                )
            self._phones.setdefault(int(phone), 1)

    def __contains__(self, phone: Phone) -> bool:
        return int(phone) in self._phones

    def __len__(self) -> int:
        return len(self._phones)


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
