"""
A file of delivery reports from webhooks, also of SMS that no journal holds yet.

It is separate from the journals: reports arrive while a campaign has its journal locked, for several campaigns, and in
several processes. Commits are on disk (fsync).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from webcom_async._domain.delivery import DeliveryReport, DeliveryState
from webcom_async._domain.delivery_rules import advanced
from webcom_async._domain.given import StrPath
from webcom_async._storage.rows import array, milliseconds, moment, storable
from webcom_async._storage.sqlite import delivery_sql as _sql
from webcom_async._storage.sqlite.database import StoredFile

__all__ = ["Inbox", "InboxFile", "report_columns", "report_of"]


class InboxFile(StoredFile):
    """An open file of reports, which other processes may have open too."""

    kind = "file of reports"
    application_id = _sql.REPORTS_ID
    migrations = (_sql.REPORTS,)
    locking = "NORMAL"
    beside = ("-wal", "-shm")
    patience = 10.0
    cache_kib = 4_000


class Inbox:
    """
    The reports of webhooks.

    Args:
        path: The file. It is created if missing; its directory is not.

    Raises:
        JournalError: The file cannot be used; the message says why. Raised by every method.
    """

    def __init__(self, path: StrPath) -> None:
        self._file = InboxFile(path, create=True)

    def store(self, reports: Iterable[DeliveryReport], now: datetime) -> int:
        """Return the number of SMS changed."""
        with self._file.transaction():
            reports = list(reports)
            known = self.find({report.id_sms for report in reports})
            changed: dict[str, DeliveryReport] = {}
            for report in reports:
                before = changed.get(report.id_sms, known.get(report.id_sms))
                after = advanced(before, report)
                if after is not before:
                    changed[report.id_sms] = after
            if changed:
                [(latest,)] = self._file.fetch(_sql.LATEST)
                rows = array(map(report_columns, changed.values()))
                self._file.change(_sql.STORE_REPORTS, rows, latest, milliseconds(now))
                self._file.change(_sql.NEXT_NUMBERS, len(changed))
        return len(changed)

    def find(self, ids: Iterable[str]) -> dict[str, DeliveryReport]:
        rows = self._file.fetch(_sql.FIND_REPORTS, array(ids))
        return {row[0]: report_of(row) for row in rows}

    def latest(self) -> int:
        [(number,)] = self._file.fetch(_sql.LATEST)
        return int(number)

    def after(self, number: int, count: int) -> tuple[int, list[DeliveryReport]]:
        rows = self._file.fetch(_sql.PAGE_OF_REPORTS, number, count)
        return (rows[-1][0] if rows else number), [report_of(row[1:]) for row in rows]

    def purge(self, before: datetime) -> int:
        return self._file.change(_sql.PURGE_REPORTS, milliseconds(before))

    def close(self) -> None:
        self._file.close()


def report_columns(report: DeliveryReport) -> tuple[object, ...]:
    return (
        report.id_sms,
        report.state.value,
        storable(report.said),
        None if report.changed_at is None else milliseconds(report.changed_at),
        report.num_parts,
        None if report.price is None else str(report.price),
    )


def report_of(row: Sequence[Any]) -> DeliveryReport:
    id_sms, state, said, changed_at, num_parts, price = row
    changed = None if changed_at is None else moment(changed_at)
    return DeliveryReport(
        id_sms, DeliveryState(state), said, changed, num_parts, None if price is None else Decimal(price)
    )
