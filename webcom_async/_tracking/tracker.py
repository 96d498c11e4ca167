"""
Track a campaign's SMS to their terminal states, for `WebcomClient.track`.

An iterator class: each step reads the file of webhook reports, asks a round of questions, or waits. A step commits what
it learns to the journal before it yields it, and no task outlives the step. It can be cancelled or killed at any
moment, and continued.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import tzinfo
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

import anyio
import msgspec

from webcom_async._domain.clock import Clock
from webcom_async._domain.delivery import Delivery, DeliveryReport, Pace, TrackReport
from webcom_async._domain.delivery_rules import wait_before_asking
from webcom_async._domain.errors import GatewayUnavailable, UsageError
from webcom_async._domain.given import StrPath
from webcom_async._events.observers import Observers
from webcom_async._events.sending import DeliveryChanged, TrackingPaused
from webcom_async._storage.waiting import check_wait, wait_until_free
from webcom_async._storage.worker_thread import WorkerThread
from webcom_async._tracking.polling import StatusInquiry

if TYPE_CHECKING:
    from webcom_async._storage.sqlite.deliveries import Deliveries
    from webcom_async._storage.sqlite.report_file import ReportFile

__all__ = ["Track", "Tracking"]

T = TypeVar("T")

_PAGE = 1_000  # reports


class Terms(msgspec.Struct, frozen=True):
    """When to ask, the clock, the zone of an older journal's times, and a check that the client is open."""

    pace: Pace
    clock: Clock
    zone: tzinfo
    check_usable: Callable[[], None]
    observers: Observers


class Tracking:
    """
    Yields each change as a `Delivery`; first the SMS that reached a terminal state in earlier runs.

    Iteration ends when every SMS is in a terminal state or overdue. If the gateway is down, tracking waits and retries.
    After a cancelled step, iterate again to continue.

    Raises:
        AuthenticationError, AccountLocked, ConfigurationError: The gateway refuses this account.
        JournalError: The journal or the file of reports cannot be read or written.
    """

    def __init__(
        self,
        name: str,
        held: "WorkerThread[Deliveries]",
        inquiry: StatusInquiry,
        reports: "ReportFile | None",
        terms: Terms,
    ) -> None:
        self._name = name
        self._held = held
        self._inquiry = inquiry
        self._reports = reports
        self._pace = terms.pace
        self._clock = terms.clock
        self._check_usable = terms.check_usable
        self._observers = terms.observers
        self._started = terms.clock.monotonic()
        self._changes: deque[Delivery] = deque()
        self._known: TrackReport | None = None
        self._ended: Iterator[list[Delivery]] | None = None  # of earlier runs
        self._improvable: Iterator[list[str]] | None = None  # SMS that may have reports from before this run
        self._seen = 0  # number of the latest report read
        self._failures = 0  # failed rounds in a row
        self._ask_from = self._started

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while not self._changes:
            await self._step()
        return self._changes.popleft()

    @property
    def report(self) -> TrackReport:
        """The states of the SMS in the journal."""
        if self._known is None:
            raise UsageError("this tracking has not begun: open it with async with")
        return self._known

    async def begin(self) -> None:
        """Continue where an earlier run stopped."""
        self._seen = 0 if self._reports is None else await self._reports.latest()
        await self._in_journal(self._take_up)

    def _take_up(self, deliveries: "Deliveries") -> None:
        self._ended = deliveries.ended()
        self._improvable = None if self._reports is None else deliveries.improvable()

    async def _step(self) -> None:
        self._check_usable()
        if await self._repeat() or await self._join() or await self._look():
            return
        asking = self._clock.monotonic() >= self._ask_from
        due = await self._in_journal(lambda deliveries: deliveries.due(self._inquiry.appetite)) if asking else []
        if due:
            await self._ask(due)
        else:
            await self._wait()

    async def _repeat(self) -> bool:
        """Yield the SMS that reached a terminal state in earlier runs; False once all are yielded."""
        if self._ended is None:
            return False
        ended = self._ended
        page = await self._in_journal(lambda _: self._told(next(ended, None)))
        if page is None:
            self._ended = None
        return page is not None

    async def _join(self) -> bool:
        """Apply reports from before this run; False once that is done."""
        if self._improvable is None or self._reports is None:
            return False
        improvable = self._improvable
        page = await self._in_journal(lambda _: next(improvable, None))
        if page is None:
            self._improvable = None
            return False
        known = await self._reports.known(page)
        await self._advance(list(known.values()))
        return True

    async def _look(self) -> bool:
        """Apply new reports; False if there are none."""
        if self._reports is None:
            return False
        seen, reports = await self._reports.after(self._seen, _PAGE)
        if reports:
            await self._advance(reports, seen=seen)
        return bool(reports)

    async def _ask(self, due: list[str]) -> None:
        waiting, told = deque(due), deque[DeliveryReport]()
        try:
            await self._inquiry.round(waiting, told)
        finally:
            await self._advance(list(told), asked=True)
        failure = self._inquiry.failure
        if failure is None:
            self._failures = 0
            return
        if failure.halts and not isinstance(failure, GatewayUnavailable):
            raise failure
        # The gateway may be down for hours, and SMS take up to days.
        self._ask_from = self._clock.monotonic() + wait_before_asking(self._failures, self._pace)
        self._failures += 1
        error = type(failure).__name__
        self._observers.emit(TrackingPaused(campaign=self._name, error=error, failures=self._failures))
        self._emit(await self._in_journal(lambda deliveries: self._told(deliveries.close_overdue(waiting))))

    async def _wait(self) -> None:
        pause = await self._in_journal(lambda deliveries: deliveries.next_due())
        if pause is None:
            raise StopAsyncIteration
        pause = max(pause, self._ask_from - self._clock.monotonic())
        await self._clock.sleep(pause if self._reports is None else min(pause, self._pace.look))

    async def _advance(self, reports: list[DeliveryReport], *, seen: int | None = None, asked: bool = False) -> None:
        """Commit new reports, even if the caller is being cancelled."""

        def advance(deliveries: "Deliveries") -> list[Delivery] | None:
            changes = self._told(deliveries.advance(reports, asked=asked))
            self._seen = self._seen if seen is None else seen
            return changes

        if reports:
            self._emit(await self._in_journal(advance, shielded=True))

    def _emit(self, changes: list[Delivery] | None) -> None:
        for change in changes or () if self._observers.listening(DeliveryChanged.level) else ():
            changed = DeliveryChanged(
                campaign=self._name,
                client_id_sms=change.client_id_sms,
                id_sms=change.report.id_sms,
                state=change.report.state,
                overdue=change.overdue,
            )
            self._observers.emit(changed)

    def _told(self, changes: list[Delivery] | None) -> list[Delivery] | None:
        """Keep *changes* for the reader, in the thread that committed them: the waiting task may be cancelled."""
        self._changes.extend(changes or ())
        return changes

    async def _in_journal(self, call: "Callable[[Deliveries], T]", *, shielded: bool = False) -> T:
        def count_states(deliveries: "Deliveries") -> T:
            returned = call(deliveries)
            self._count(deliveries)
            return returned

        return await self._held.call(count_states, shielded=shielded)

    def _count(self, deliveries: "Deliveries") -> None:
        counts = deliveries.counts
        self._known = TrackReport(
            campaign=self._name,
            states=dict(counts.states),
            overdue=counts.overdue,
            parts=counts.parts,
            spent=counts.spent,
            priced=counts.priced,
            requests=self._inquiry.requests,
            seconds=self._clock.monotonic() - self._started,
        )


class Track:
    """
    Tracks a campaign's SMS inside an `async with` block.

    The block may be left at any moment; the same call continues from the journal.
    """

    def __init__(
        self,
        journal: StrPath,
        campaign: str,
        reports: "ReportFile | StrPath | None",
        inquiry: StatusInquiry,
        terms: Terms,
        *,
        prices: bool,
        wait: float = 0.0,
    ) -> None:
        self._journal = journal
        self._campaign = campaign
        self._reports = reports
        self._inquiry = inquiry
        self._terms = terms
        self._prices = prices
        self._wait = check_wait(wait)
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Tracking:
        # Importing sqlite3 costs time, and a client may have no journal.
        from webcom_async._storage.sqlite.deliveries import Deliveries  # noqa: PLC0415
        from webcom_async._storage.sqlite.report_file import ReportFile  # noqa: PLC0415

        self._terms.check_usable()
        pace, now, zone = self._terms.pace, self._terms.clock.now, self._terms.zone
        async with AsyncExitStack() as opened:
            held = await wait_until_free(
                lambda: WorkerThread[Deliveries].open(
                    lambda: Deliveries(self._journal, self._campaign, pace, now, prices=self._prices, zone=zone)
                ),
                self._wait,
                self._terms.clock,
            )
            opened.push_async_callback(_close, held)
            reports = self._reports
            if reports is not None and not isinstance(reports, ReportFile):
                reports = await opened.enter_async_context(ReportFile(reports, clock=self._terms.clock))
            tracking = Tracking(self._campaign, held, self._inquiry, reports, self._terms)
            await tracking.begin()
            self._opened = opened.pop_all()
        return tracking

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    def __aiter__(self) -> NoReturn:
        raise TypeError(
            "tracking is opened first, so that the journal is closed in the end:\n"
            "    async with client.track(...) as changes:\n"
            "        async for change in changes: ..."
        )


async def _close(held: "WorkerThread[Deliveries]") -> None:
    with anyio.CancelScope(shield=True):
        await held.aclose()
