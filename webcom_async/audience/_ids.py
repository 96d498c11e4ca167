"""Read the caller's ids from a column, and refuse those that a spreadsheet has rounded."""

import math
from collections import Counter
from functools import cached_property

from webcom_async._domain.client_ids import check_client_id
from webcom_async._domain.errors import InputError
from webcom_async._domain.phones import EXACT_FLOAT, ROUNDED, shown, whole_number
from webcom_async._domain.reasons import Reason
from webcom_async._domain.sentences import Sentence
from webcom_async._domain.types import ClientIdSms
from webcom_async.audience._columns import read_exactly
from webcom_async.files import Row, Table

__all__ = ["GivenIds"]

_EXCEL_DIGITS = 15  # Microsoft, "Excel specifications and limits": number precision; later digits become zeros
_DEVIATIONS = 3  # standard deviations, Poisson: chance alone exceeds them in one table of several hundred


class GivenIds:
    """
    The caller's ids in a table.

    Args:
        table: The table.
        place: The position of their column; None if there is none, or it is ignored.

    Raises:
        InputError: The column's type cannot hold ids.
    """

    def __init__(self, table: Table, place: int | None) -> None:
        read_exactly(table, place)
        self._table = table
        self._place = place

    def of(self, row: Row) -> ClientIdSms | None:
        """
        Return a row's id; None if it has none.

        Raises:
            InputError: The id is not usable, or may be rounded.
        """
        given = "" if self._place is None else row.cells[self._place].strip()
        return self._read(given) if given else None

    def _read(self, given: str) -> ClientIdSms:
        try:
            whole = whole_number(given)
        except InputError as exc:
            raise _bad(given, exc.sentence) from None
        client_id = check_client_id(whole)
        was_decimal = whole != given
        if (was_decimal and int(client_id) >= EXACT_FLOAT) or self._is_rounded(client_id):
            raise _bad(given, ROUNDED)
        return client_id

    def _is_rounded(self, client_id: ClientIdSms) -> bool:
        return _ends_as_excel_writes(client_id) and len(client_id) in self._rounded_lengths

    @cached_property
    def _rounded_lengths(self) -> frozenset[int]:
        """
        Lengths of ids that were rounded: half of them, or more than chance gives, end as Excel writes them.

        The table is read for this when the first id looks rounded.
        """
        rows = self._table.rows()
        cells = (row.cells[self._place].strip() for row in rows if self._place is not None)
        long = Counter((len(cell), _ends_as_excel_writes(cell)) for cell in cells if cell.isdecimal())
        lengths = {length for length, _ in long}
        return frozenset(length for length in lengths if _is_odd(length, long[length, True], long[length, False]))


def _is_odd(length: int, rounded: int, others: int) -> bool:
    """Return whether chance cannot explain *rounded* ids of a *length* beside so many *others*."""
    by_chance = (rounded + others) * 10.0 ** (_EXCEL_DIGITS - length)
    return rounded > 0 and (rounded >= others or rounded > by_chance + _DEVIATIONS * math.sqrt(by_chance))


def _ends_as_excel_writes(client_id: str) -> bool:
    return len(client_id) > _EXCEL_DIGITS and not client_id[_EXCEL_DIGITS:].strip("0")


def _bad(given: str, why: str | Sentence) -> InputError:
    sentence = Sentence("client_id_sms {id} cannot be used: {why}", id=shown(given), why=why)
    return InputError(sentence, Reason.BAD_CLIENT_ID)
