"""Phones that nothing is sent to."""

from collections.abc import Callable, Iterable
from pathlib import Path

from webcom_async._domain.errors import InputError
from webcom_async._domain.phones import is_home_form, normalise_phone, shown
from webcom_async._domain.reasons import Reason
from webcom_async._domain.types import Phone
from webcom_async.audience._columns import ColumnNames, find_places
from webcom_async.audience._number_set import NumberMap
from webcom_async.files import open_table

__all__ = ["StopList"]


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
    def from_file(cls, path: str | Path) -> "StopList":
        """Return the phones of a file; see `update_from`."""
        stopped = cls()
        stopped.update_from(path)
        return stopped

    def update_from(self, path: str | Path, normalise: Callable[[str], Phone] = normalise_phone) -> None:
        """
        Add the phones in a table's column of phones, or in a plain list.

        Args:
            path: The file.
            normalise: The function that reads a phone; give the one of the audience, so that one spelling means one
                phone.

        Raises:
            InputError: The file cannot be read, or `update` refuses a line: skipping it would mean sending to it.
        """
        table = open_table(path)
        place = find_places(table, ColumnNames()).phone
        for row in table.rows():
            try:
                self.update((row.cells[place],), normalise)
            except InputError as exc:
                raise InputError(f"{table.path}, line {row.line}: {exc}") from None

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
                    f"{shown(raw)} may be a Russian mobile without its 7: write it as 7… or +…, or give --region RU",
                    Reason.BAD_PHONE,
                )
            self._phones.setdefault(int(phone), 1)

    def __contains__(self, phone: Phone) -> bool:
        return int(phone) in self._phones

    def __len__(self) -> int:
        return len(self._phones)
