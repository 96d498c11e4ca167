"""
Track deliveries of a campaign's SMS in its journal: which to ask for and when, which have ended, which are overdue.

Each call commits its changes before it returns; after a crash, tracking continues from there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from webcom_async._domain.delivery import Delivery, DeliveryReport, DeliveryState, Pace
from webcom_async._domain.delivery_rules import ENDED, advanced, wait_before_asking
from webcom_async._domain.given import StrPath
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._storage.rows import array, milliseconds
from webcom_async._storage.sqlite import delivery_sql as _sql
from webcom_async._storage.sqlite.archive import number_of
from webcom_async._storage.sqlite.database import JournalFile
from webcom_async._storage.sqlite.reports import report_columns, report_of

__all__ = ["Counts", "Deliveries"]

_PAGE = 1_000  # SMS
_SECOND = 1_000  # the file's times are milliseconds


class Counts:
    """
    Counts of SMS.

    Attributes:
        states: SMS per state.
        overdue: SMS that are no longer tracked and have no final state.
        parts: Parts, as far as known.
        spent: Money, as far as parts and price are known.
        priced: SMS with known parts and price.
    """

    def __init__(self) -> None:
        self.states: Counter[DeliveryState] = Counter(dict.fromkeys(DeliveryState, 0))
        self.overdue = 0
        self.parts = 0
        self.spent = Decimal(0)
        self.priced = 0

    def add(self, report: DeliveryReport, *, followed: bool, count: int = 1) -> None:
        """A negative *count* subtracts SMS."""
        self.states[report.state] += count
        self.overdue += 0 if followed or report.final else count
        self.parts += count * (report.num_parts or 0)
        if report.cost is not None:
            self.spent += count * report.cost
            self.priced += count


class _DeliveryRow(NamedTuple):
    """A row: one SMS and its latest report."""

    number: int
    client_id_sms: ClientIdSms
    phone: Phone
    report: DeliveryReport
    asked: int
    until: int
    due_at: int | None

    @property
    def delivery(self) -> Delivery:
        return Delivery(
            self.client_id_sms, self.phone, self.report, overdue=self.due_at is None and not self.report.final
        )


class Deliveries:
    """
    The deliveries of one campaign: a row for every accepted SMS.

    Args:
        path: The journal.
        campaign: The campaign's name.
        pace: When SMS are asked for.
        now: The time.
        prices: Whether to ask once more for an SMS with a final state and no price.
        zone: See `JournalFile`.

    Attributes:
        counts: Counts of the SMS.

    Raises:
        JournalError: The file cannot be used, is in use, or does not hold the campaign. Raised by every method.
    """

    def __init__(
        self,
        path: StrPath,
        campaign: str,
        pace: Pace,
        now: Callable[[], datetime],
        *,
        prices: bool = False,
        zone: tzinfo | None = None,
    ) -> None:
        self._pace = pace
        self._now = now
        self._prices = prices
        self._file = JournalFile(path, zone=zone)
        with self._file.closing_on_error():
            self._campaign = number_of(self._file, campaign)
            self._enrol()
            self._file.flush()
            self._file.relax()
            self.counts = self._counted()

    def advance(self, reports: Iterable[DeliveryReport], *, asked: bool = False) -> list[Delivery]:
        """
        Store what is new, and return changed deliveries; other SMS are ignored.

        If *reports* answer questions, an SMS without a final state is then due later, or overdue.
        """
        reports = list(reports)
        with self._file.transaction():
            before = self._rows({report.id_sms for report in reports})
            after = dict(before)
            for report in reports:
                row = after.get(report.id_sms)
                if row is not None:
                    after[report.id_sms] = self._moved(row, report, asked=asked)
            changed = [(before[id_sms], row) for id_sms, row in after.items() if row is not before[id_sms]]
            self._write([row for _, row in changed])
        for old, new in changed:
            self.counts.add(old.report, followed=old.due_at is not None, count=-1)
            self.counts.add(new.report, followed=new.due_at is not None)
        return [new.delivery for old, new in changed if _tells(old.delivery, new.delivery)]

    def close_overdue(self, ids: Iterable[str]) -> list[Delivery]:
        """Stop tracking those of *ids* whose deadline has passed while the gateway was down."""
        now = milliseconds(self._now())
        over = [row for row in self._rows(ids).values() if row.until <= now and row.due_at is not None]
        return self.advance((DeliveryReport(row.report.id_sms, DeliveryState.SEND) for row in over), asked=True)

    def due(self, count: int) -> list[str]:
        """Return the longest waiting first."""
        rows = self._file.fetch(_sql.PAGE_OF_DUE, self._campaign, milliseconds(self._now()), count)
        return [id_sms for (id_sms,) in rows]

    def next_due(self) -> float | None:
        """Return seconds; None if no SMS is tracked any more."""
        [(due_at,)] = self._file.fetch(_sql.NEXT_DUE, self._campaign)
        return None if due_at is None else max(0.0, (due_at - milliseconds(self._now())) / _SECOND)

    def improvable(self) -> Iterator[list[str]]:
        """Yield pages of ids that a report may still change."""
        rows = self._file.pages(_sql.PAGE_OF_OPEN, self._campaign, _states(ENDED))
        while page := [row[1] for row in islice(rows, _PAGE)]:
            yield page

    def ended(self) -> Iterator[list[Delivery]]:
        """Yield deliveries that are final or overdue."""
        rows = self._file.pages(_sql.PAGE_OF_DELIVERIES, self._campaign)
        while page := [_row(row) for row in islice(rows, _PAGE)]:
            yield [row.delivery for row in page if row.due_at is None or row.report.final]

    def close(self) -> None:
        self._file.close()

    def _enrol(self) -> None:
        """Add rows for new accepted SMS, and reopen overdue ones if the deadline is longer now."""
        first, deadline = int(self._pace.first * _SECOND), int(self._pace.deadline * _SECOND)
        [(latest,)] = self._file.fetch(_sql.LAST_RECIPIENT, self._campaign)
        for start in range(0, latest or 0, _PAGE * 10):
            self._file.change(_sql.ADD_DELIVERIES, self._campaign, start, first, deadline, _PAGE * 10)
        final = filter(lambda state: state.final, DeliveryState)
        self._file.change(_sql.REOPEN_OVERDUE, self._campaign, milliseconds(self._now()), deadline, _states(final))

    def _counted(self) -> Counts:
        counts = Counts()
        for state, parts, price, ended, count in self._file.fetch(_sql.COUNT_DELIVERIES, self._campaign):
            counts.add(report_of(("", state, "", None, parts, price)), followed=not ended, count=count)
        return counts

    def _rows(self, ids: Iterable[str]) -> dict[str, _DeliveryRow]:
        return {row[3]: _row(row) for row in self._file.fetch(_sql.FIND_DELIVERIES, self._campaign, array(ids))}

    def _moved(self, row: _DeliveryRow, news: DeliveryReport, *, asked: bool) -> _DeliveryRow:
        """Return *row* itself if nothing changes."""
        report = advanced(row.report, news) if news.said else row.report
        if report.numeric_id:
            report = msgspec.structs.replace(report, numeric_id=False)  # as the file returns it
        due_at = self._due_after(row, report, asked=asked)
        if report is row.report and due_at == row.due_at and not asked:
            return row
        return row._replace(report=report, due_at=due_at, asked=row.asked + asked)

    def _due_after(self, row: _DeliveryRow, report: DeliveryReport, *, asked: bool) -> int | None:
        """Return None for never."""
        if row.due_at is None:
            return None
        now = milliseconds(self._now())
        if report.final:
            return now if self._prices and report.cost is None and not asked else None
        if not asked:
            return row.due_at
        if now >= row.until:
            return None
        return min(now + int(wait_before_asking(row.asked + 1, self._pace) * _SECOND), row.until)

    def _write(self, rows: Sequence[_DeliveryRow]) -> None:
        if rows:
            columns = [(row.number, *report_columns(row.report)[1:], row.asked, row.due_at) for row in rows]
            self._file.change(_sql.WRITE_DELIVERIES, array(columns))


def _states(states: Iterable[DeliveryState]) -> str:
    return array(state.value for state in states)


def _row(columns: Sequence[Any]) -> _DeliveryRow:
    number, client_id, phone, id_sms, state, said, changed_at, parts, price, asked, until, due_at = columns
    report = report_of((id_sms, state, said, changed_at, parts, price))
    return _DeliveryRow(number, ClientIdSms(str(client_id)), Phone(phone), report, asked, until, due_at)


def _tells(old: Delivery, new: Delivery) -> bool:
    """A price alone is not worth reporting."""
    return (old.report.state, old.report.said, old.overdue) != (new.report.state, new.report.said, new.overdue)
