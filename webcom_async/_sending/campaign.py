"""
The caller's side of a campaign: the context manager that starts and stops it, and the results that it streams.

A class with `__anext__`, never an async generator around a task group: a consumer's plain `break` would then cancel the
consumer at its next, unrelated await (PEP 789).
"""

from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, NoReturn, Self

import anyio
from anyio.abc import ObjectReceiveStream

from webcom_async._batching.batcher import Batcher
from webcom_async._domain.errors import UsageError, WebcomError, another
from webcom_async._domain.results import Progress, Report, SendResult
from webcom_async._domain.sources import Source
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.safeguards import RepeatedIds, Safeguards
from webcom_async._sending.counters import CampaignCounters, CampaignEvents
from webcom_async._sending.dispatcher import Dispatcher, SettledBatch
from webcom_async._storage.contracts import CampaignJournal

__all__ = ["Batches", "Campaign", "CampaignParts", "Results"]


class CampaignParts(NamedTuple):
    """A campaign's journal, source and batcher, and what a repeated `id_sms` does to it."""

    journal: CampaignJournal
    source: Source
    cutter: Batcher
    repeated_ids: RepeatedIds


class Results:
    """
    The results of a campaign, one per recipient, in completion order.

    Iterate over it, or over its `batches()`. Several tasks may share it: each result goes to one of them.

    Raises:
        WebcomError: A failure ended the campaign: see `errors`. It follows the results that are settled, and its
            `report` has the counts.
        Exception: The source's own error, raised in the same way; a note on it has the counts.
    """

    def __init__(
        self,
        sender: Dispatcher,
        inbox: ObjectReceiveStream[SettledBatch],
        counters: CampaignCounters,
        session: GatewaySession,
    ) -> None:
        self._dispatcher = sender
        self._inbox = inbox
        self._counters = counters
        self._session = session
        self._received: deque[SendResult] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SendResult:
        while not self._received:
            self._received.extend(await self._receive())
        return self._received.popleft()

    def batches(self) -> "Batches":
        """Return an async iterator over the results in non-empty lists, which awaits less."""
        return Batches(self)

    async def next_batch(self) -> list[SendResult]:
        """
        Return the unread results that are here, or wait for the next batch.

        Raises:
            StopAsyncIteration: There are no more results.
        """
        if not self._received:
            return await self._receive()
        batch = list(self._received)
        self._received.clear()
        return batch

    @property
    def report(self) -> Report:
        """The counts up to the last result, read or not."""
        return self._counters.report()

    @property
    def progress(self) -> Progress:
        """The counts up to now, while the campaign runs."""
        session = self._session
        return self._counters.progress(session.clock.monotonic(), limit=session.limit, rate=session.options.rate)

    @property
    def unread(self) -> list[SendResult]:
        """
        Results that `report` counts but no reader has read, as after a `break`.

        Bounded: at most those of the requests in flight, and of one batch that was not sent.
        """
        return [*self._received, *self._dispatcher.unread]

    async def _receive(self) -> list[SendResult]:
        while True:
            try:
                batch = await self._inbox.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                # A reader that was cancelled while it received a batch has left the batch here.
                return self._dispatcher.collect_unread() or self._end()
            if self._dispatcher.take(batch):
                return batch.results

    def _end(self) -> NoReturn:
        failure = self._dispatcher.failure
        if failure is None:
            raise StopAsyncIteration
        if isinstance(failure, WebcomError):
            raise another(failure, report=self.report) from failure.__cause__
        failure.add_note(f"webcom_async, when this ended the campaign: {self.report}")
        raise failure


class Batches:
    """The results of a campaign, in lists."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[SendResult]:
        return await self._results.next_batch()


class Campaign:
    """
    A campaign that starts with `async with`, and has stopped when the block is left.

    Leaving early (`break`, an exception, a time-out) is safe: no new batch starts, requests in flight get
    `Options.grace` seconds, and recipients without an answer count as unknown in `results.report`.

    Attributes:
        safeguards: What the campaign learns while it runs. A caller that sends a campaign in pieces gives all pieces
            the same safeguards, before it enters them.
        events: The emitter of the campaign's events.
    """

    def __init__(
        self,
        session: GatewaySession,
        name: str,
        check_usable: Callable[[], None],
        plan: Callable[[], Awaitable[CampaignParts]],
    ) -> None:
        self.safeguards: Safeguards = Safeguards(session.options)
        self.events: CampaignEvents = CampaignEvents(session.observers, name)
        self._session = session
        self._name = name
        self._check_usable = check_usable
        self._plan = plan
        self._journal: CampaignJournal | None = None
        self._dispatcher: Dispatcher | None = None

    async def __aenter__(self) -> Results:
        self._check_usable()
        if self._dispatcher is not None:
            raise UsageError("a campaign is entered once: call client.stream() again")
        self._journal, source, cutter, repeated_ids = await self._plan()
        self.events.started()
        self._counters = CampaignCounters(self._name, self._session.clock.monotonic())
        self._dispatcher = Dispatcher(
            self._session,
            source,
            cutter,
            self._counters,
            self._journal,
            safeguards=self.safeguards,
            events=self.events,
            repeated_ids=repeated_ids,
        )
        self._inbox = await self._dispatcher.open()
        return Results(self._dispatcher, self._inbox, self._counters, self._session)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._dispatcher is not None:
            try:
                await self._dispatcher.close()
            finally:
                self.events.ended(self._counters.report())
                await self._inbox.aclose()
                if self._journal is not None:
                    with anyio.CancelScope(shield=True):
                        await self._journal.aclose()

    def __aiter__(self) -> NoReturn:
        raise TypeError(
            "a campaign is opened first, so that leaving it early can wait for requests in flight:\n"
            "    async with client.stream(...) as results:\n"
            "        async for result in results: ..."
        )
