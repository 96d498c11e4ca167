"""Ids of one's own in a table's column, and which of them a spreadsheet has rounded."""

from collections import Counter
from functools import cached_property

from webcom_async._client_ids import ClientIdSms, check_client_id
from webcom_async._phones import EXACT_FLOAT, ROUNDED, shown, whole_number
from webcom_async._reasons import Reason
from webcom_async.audience._columns import refuse_imprecise
from webcom_async.errors import InputError
from webcom_async.files import Row, Table

__all__ = ["GivenIds"]

_EXCEL_DIGITS = 15  # Microsoft, "Excel specifications and limits": number precision; zeros stand for the others


class GivenIds:
    """
    The ids of a table.

    Args:
        table: The table.
        place: Their column; None if it has none, or none that is used.

    Raises:
        InputError: The column's type cannot hold ids.
    """

    def __init__(self, table: Table, place: int | None) -> None:
        refuse_imprecise(table, place)
        self._table = table
        self._place = place

    def of(self, row: Row) -> ClientIdSms | None:
        """
        Return a row's id; None if it has none.

        Raises:
            InputError: It cannot be used, or it may have been another id.
        """
        given = "" if self._place is None else row.cells[self._place].strip()
        return self._read(given) if given else None

    def _read(self, given: str) -> ClientIdSms:
        try:
            whole = whole_number(given)
        except ValueError as exc:
            raise _bad(given, str(exc)) from None
        client_id = check_client_id(whole)
        was_decimal = whole != given
        if (was_decimal and int(client_id) >= EXACT_FLOAT) or self._is_rounded(client_id):
            raise _bad(given, ROUNDED)
        return client_id

    def _is_rounded(self, client_id: ClientIdSms) -> bool:
        # Of honest ids of 16 digits, one in ten ends in a zero; of longer ones, one in a hundred at most.
        return _ends_as_excel_writes(client_id) and (len(client_id) > _EXCEL_DIGITS + 1 or self._are_rounded)

    @cached_property
    def _are_rounded(self) -> bool:
        """Whether at least half of the ids of 16 digits end in a zero; the table is read for it at the first doubt."""
        rows = self._table.rows()
        cells = (row.cells[self._place].strip() for row in rows if self._place is not None)
        endings = Counter(cell[-1] for cell in cells if len(cell) == _EXCEL_DIGITS + 1 and cell.isdigit())
        return 2 * endings["0"] >= endings.total()


def _ends_as_excel_writes(client_id: ClientIdSms) -> bool:
    return len(client_id) > _EXCEL_DIGITS and not client_id[_EXCEL_DIGITS:].strip("0")


def _bad(given: str, why: str) -> InputError:
    return InputError(f"client_id_sms {shown(given)} cannot be used: {why}", Reason.BAD_CLIENT_ID)
