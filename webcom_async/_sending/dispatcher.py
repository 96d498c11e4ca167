"""
Run a campaign: workers that share one source, and send one request at a time each.

A worker takes a batch, sends it until every recipient has a result, counts it, and hands the results to a reader. The
hand-over has no buffer, so a slow reader slows the sending.

On cancellation, requests in flight continue under a shield, which `Options.grace` bounds once the stream is closing; no
other request is sent. Every recipient that was taken from the source is counted, with the outcome that is known.
"""

import math
from collections import deque
from collections.abc import Generator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import NamedTuple, TypedDict

import anyio
import msgspec
from anyio import CancelScope
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from webcom_async._batching.batcher import Batch, Batcher, not_sent
from webcom_async._domain.errors import IdCollision, JournalError, UsageError
from webcom_async._domain.messages import Addressed, OutboundRecipient
from webcom_async._domain.outcome_rules import possibly_sent_among, unclaimed
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, SettledResults
from webcom_async._domain.sources import Source
from webcom_async._domain.types import ClientIdSms
from webcom_async._gateway.admission import Expected
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.owned_tasks import OwnedTasks
from webcom_async._gateway.safeguards import RepeatedIds, Safeguards
from webcom_async._sending.batch_sender import BatchSender, GracePeriod
from webcom_async._sending.counters import CampaignCounters, CampaignEvents
from webcom_async._sending.puller import Puller, puller_of
from webcom_async._storage.contracts import CampaignJournal, Reservation

__all__ = ["Dispatcher", "SettledBatch"]


class SettledBatch(NamedTuple):
    """The results of a batch, and its number, which is unique within the campaign."""

    number: int
    results: list[SendResult]


class Dispatcher:
    """
    Sends one campaign.

    Args:
        session: The gateway session.
        source: The source of recipients.
        batcher: What cuts recipients into batches.
        counters: The campaign's counts.
        journal: The journal, which is written before a batch leaves.
        safeguards: What the campaign has learnt so far.
        events: The emitter of the campaign's events.
        repeated_ids: What a repeated `id_sms` does to the campaign.

    Attributes:
        failure: The exception that ended the campaign early; None if there is none.
    """

    def __init__(
        self,
        session: GatewaySession,
        source: Source,
        batcher: Batcher,
        counters: CampaignCounters,
        journal: CampaignJournal,
        *,
        safeguards: Safeguards,
        events: CampaignEvents,
        repeated_ids: RepeatedIds = RepeatedIds.HALT,
    ) -> None:
        self.failure: Exception | None = None
        self._session = session
        self._source = source
        self._batcher = batcher
        self._counters = counters
        self._journal = journal
        self._settled: dict[int, list[SendResult]] = {}
        self._waiting: deque[object] = deque()
        self._cutting = anyio.Lock(fast_acquire=True)
        self._waits: set[CancelScope] = set()
        self._grace = GracePeriod()
        self._safeguards = safeguards
        self._events = events
        self._repeated_ids = repeated_ids
        self._tasks = OwnedTasks("a campaign")
        self._puller: Puller

    async def open(self) -> ObjectReceiveStream[SettledBatch]:
        """Start the workers, and return the stream of settled batches."""
        # No buffer: a worker continues when a reader has received its results, which is the backpressure.
        outbox, inbox = anyio.create_memory_object_stream[SettledBatch](0)
        await self._tasks.open()
        grace = self._session.options.grace
        self._puller = puller_of(self._source, self._waiting, self._counters, self._tasks, grace)
        for _ in range(self._session.options.in_flight):
            self._tasks.start_soon(self._work, outbox.clone())
        outbox.close()
        return inbox

    async def close(self) -> None:
        """
        Stop: no new batch leaves, requests in flight get `Options.grace` seconds.

        Raises:
            UsageError: Another task opened the campaign, which has stopped.
        """
        self._grace.end_at(anyio.current_time() + self._session.options.grace)
        self._puller.end()
        try:
            await self._tasks.close()
        finally:
            while self._waiting:
                batch = self._cut()
                as_not_sent = known = _unsent(batch, self._why_open())
                try:
                    known = await self._write_down(as_not_sent, None, batch.new_ids)
                finally:
                    everyone = SettledResults(batch.unusable + known.results)
                    self._count(batch.number, everyone, _from_journal(as_not_sent, known), 0.0)
            await self._puller.aclose()

    def take(self, batch: SettledBatch) -> bool:
        """Record that a reader has *batch*; False if `collect_unread` returned it first."""
        return self._settled.pop(batch.number, None) is not None

    def collect_unread(self) -> list[SendResult]:
        left = self.unread
        self._settled.clear()
        return left

    @property
    def unread(self) -> list[SendResult]:
        return [result for batch in self._settled.values() for result in batch]

    async def _work(self, outbox: MemoryObjectSendStream[SettledBatch]) -> None:
        async with outbox:
            try:
                while (batch := await self._next()) is not None:
                    await _hand_over(await self._deliver(batch), outbox)
            except anyio.BrokenResourceError:
                return  # the readers are gone; `close` follows
            except Exception as exc:  # noqa: BLE001 - the reader raises it, bare
                self._halt(exc)
            except anyio.get_cancelled_exc_class():
                if anyio.current_effective_deadline() == -math.inf:
                    raise
                # The cancellation is not ours. Uncaught, it would cancel the reader, at any time and for no reason.
                self._halt(UsageError("the source, or the transport, raised a cancellation of its own"))

    async def _next(self) -> Batch | None:
        async with self._cutting:
            if self.failure is None and (self._waiting or not self._counters.exhausted):
                await self._pull()
            if self.failure is not None:
                await self._puller.stop()
            if not self._waiting:
                return None
            batch = self._cut()
            self._session.traffic.register(batch)
            return batch

    async def _pull(self) -> None:
        with self._interruptible():
            await self._session.traffic.admission.room()
            await self._puller.fill(self._session.options.largest_batch)
        if self._puller.failure is not None:
            self._halt(self._puller.failure)

    def _cut(self) -> Batch:
        return self._batcher.cut(self._waiting, self._session.traffic.ids_in_flight, self._session.clock.now())

    async def _deliver(self, batch: Batch) -> SettledBatch:
        """Send *batch*, and count its results even if that fails."""
        progress = BatchProgress(batch)
        expected = Expected(self._session.traffic.admission)
        began = self._session.clock.monotonic()
        try:
            with self._interruptible():
                await self._reserve(progress)
                if batch.addressed and self.failure is None:
                    progress.batch_sender = BatchSender(
                        self._session,
                        batch,
                        self._counters,
                        self._safeguards.quota,
                        self._grace,
                        possibly_sent=progress.possibly_sent,
                        allow_repeats=self._repeated_ids is not RepeatedIds.HALT,
                        sizes=self._safeguards.sizes,
                        patience=self._safeguards.patience,
                        expected=expected,
                    )
                    await progress.batch_sender.run()
        except Exception as exc:
            self._halt(exc)
            raise
        finally:
            expected.end()
            ours = results = progress.results(self._why_open(progress))
            try:
                results = await self._write_down(ours, progress.reserved, batch.new_ids)
            finally:
                from_journal = progress.settled_before + _from_journal(ours, results)
                everyone = progress.with_known(results)
                self._session.traffic.unregister(batch, everyone.results)
                self._count(batch.number, everyone, from_journal, self._session.clock.monotonic() - began)
        if progress.batch_sender is not None:
            self._learn(progress.batch_sender, batch, progress.without_held_back(results))
        return SettledBatch(batch.number, everyone.results)

    def _why_open(self, progress: "BatchProgress | None" = None) -> Reason:
        """Return why recipients that have no result get none now."""
        halted = self.failure is not None or (progress is not None and progress.halted)
        return Reason.HALTED if halted else Reason.CANCELLED

    async def _reserve(self, progress: "BatchProgress") -> None:
        """Reserve the batch, and take out recipients that are not to be sent."""
        batch = progress.batch
        if self.failure is not None or not batch.addressed:
            return
        try:
            reserved = await self._journal.reserve(batch.addressed, **_if_any(batch.new_ids))
        except JournalError as exc:
            self._halt(exc)
            return
        progress.reserved = reserved
        self._events.reserved(reserved)
        progress.known += reserved.settled + reserved.refused
        batch.narrow(reserved.addressed)
        progress.held_back = self._hold_back(batch)

    def _learn(self, batch_sender: BatchSender, batch: Batch, answered: SettledResults) -> None:
        self._safeguards.stopped.look(batch.addressed, answered)
        if batch_sender.too_large is not None:
            self._batcher.shrink(batch_sender.too_large // 2)
        halt = batch_sender.halt or self._safeguards.systematic.look(answered.results)
        if halt is not None:
            self._halt(halt)

    async def _write_down(
        self, ours: SettledResults, reserved: Reservation | None, new_ids: Mapping[ClientIdSms, ClientIdSms]
    ) -> SettledResults:
        """
        Settle *ours* in the journal before any reader sees them, and return what is known now.

        Without a reservation, an earlier run's results replace ours, under either of a recipient's ids.
        """
        if not ours.results:
            return ours
        try:
            if reserved is None:
                known = await self._journal.lookup(ours.results)
                known = await self._journal.lookup(_renamed(known, ours.results, new_ids)) if new_ids else known
            else:
                known = await self._journal.settle(ours.results, reserved, all_accepted=ours.all_accepted)
        except IdCollision as exc:
            if self._repeated_ids.halts(exc):
                self._halt(exc)
            known = list(exc.results)
        except JournalError as exc:
            # They stay reserved in the journal, so that the next run sends them again under the same ids.
            self._halt(exc)
            return ours if ours.all_accepted else SettledResults(list(map(unclaimed, ours.results)))
        return ours if known is ours.results else SettledResults(known)

    def _hold_back(self, batch: Batch) -> list[SendResult]:
        """Take out recipients that are barred, or whose message or sender the gateway refuses."""
        held_back: list[SendResult] = []
        stopped = self._safeguards.stopped
        if not (batch.barred or stopped):
            return held_back
        timely: list[Addressed] = []
        for message, phones in batch.addressed:
            why = stopped.against(message)
            leaving: list[OutboundRecipient] = []
            for phone in phones:
                bar = batch.barred.get(phone.client_id_sms)
                if why is not None:
                    held_back.append(not_sent(phone, why.reason, why.error))
                elif bar is not None:
                    held_back.append(not_sent(phone, bar.reason, str(bar)))
                else:
                    leaving.append(phone)
            if leaving:
                timely.append((message, leaving))
        batch.narrow(timely)
        return held_back

    def _count(self, number: int, settled: SettledResults, from_journal: int, seconds: float) -> None:
        """Count *settled*, keep it for a reader, and emit that it took *seconds*."""
        self._counters.settle(settled, self._session.clock.monotonic(), from_journal)
        self._settled[number] = settled.results
        self._events.settled(number, settled, from_journal, seconds)

    def _halt(self, failure: Exception) -> None:
        """End the campaign: requests in flight may finish, other waits end at once."""
        if self.failure is None:
            self.failure = _as_visible(failure)
            self._counters.halted = True
            self._events.halted(failure)
            for scope in self._waits:
                scope.cancel()

    @contextmanager
    def _interruptible(self) -> Generator[None, None, None]:
        """Let `_halt` cancel the block, except for requests in flight."""
        with CancelScope() as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)


class BatchProgress:
    """
    The progress of one batch.

    Attributes:
        batch: The batch.
        known: Results that were known before anything was sent.
        reserved: The journal's reservation; None if there is none, or it failed.
        held_back: Results of recipients that are not sent to any more.
        batch_sender: The sender of the batch; None before it starts.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.known: list[SendResult] = list(batch.unusable)
        self.reserved: Reservation | None = None
        self.held_back: list[SendResult] = []
        self.batch_sender: BatchSender | None = None

    @property
    def settled_before(self) -> int:
        return 0 if self.reserved is None else len(self.reserved.settled)

    @property
    def halted(self) -> bool:
        """Whether the batch met the error that ends the campaign."""
        return self.batch_sender is not None and self.batch_sender.halt is not None

    @property
    def possibly_sent(self) -> AbstractSet[ClientIdSms]:
        return frozenset() if self.reserved is None else self.reserved.possibly_sent

    def results(self, reason: Reason) -> SettledResults:
        """Return the results that are not in `known`; *reason* is why open ones were cut short."""
        fresh = _unsent(self.batch, reason) if self.batch_sender is None else self.batch_sender.unfinished(reason)
        if fresh.all_accepted and not self.held_back:
            return fresh
        return SettledResults(possibly_sent_among(self.held_back + fresh.results, self.possibly_sent))

    def with_known(self, results: SettledResults) -> SettledResults:
        return SettledResults(self.known + results.results) if self.known else results

    def without_held_back(self, results: SettledResults) -> SettledResults:
        return SettledResults(results.results[len(self.held_back) :]) if self.held_back else results


class _NewIds(TypedDict, total=False):
    """Journals without new ids need not know the argument."""

    new_ids: Mapping[ClientIdSms, ClientIdSms]


def _if_any(new_ids: Mapping[ClientIdSms, ClientIdSms]) -> _NewIds:
    return {"new_ids": new_ids} if new_ids else {}


def _renamed(
    known: list[SendResult], ours: list[SendResult], new_ids: Mapping[ClientIdSms, ClientIdSms]
) -> list[SendResult]:
    """Return *known*, with results that no journal knows (they are *ours* still) under their new ids."""
    return [
        msgspec.structs.replace(result, client_id_sms=new_ids.get(result.client_id_sms, result.client_id_sms))
        if result is mine or result.outcome is Outcome.NOT_SENT
        else result
        for result, mine in zip(known, ours, strict=True)
    ]


def _as_visible(failure: Exception) -> Exception:
    """Return *failure* as an exception that does not end a reader's `async for` in silence (PEP 479)."""
    if not isinstance(failure, StopAsyncIteration):
        return failure
    visible = RuntimeError("the journal, or the transport, raised StopAsyncIteration")
    visible.__cause__ = failure
    return visible


async def _hand_over(batch: SettledBatch, outbox: MemoryObjectSendStream[SettledBatch]) -> None:
    """Give *batch* to a reader. anyio's `send` would first let the event loop turn."""
    try:
        outbox.send_nowait(batch)
    except anyio.WouldBlock:
        await outbox.send(batch)


def _from_journal(ours: SettledResults, known: SettledResults) -> int:
    """Return how many of *ours* are open but settled in *known*."""
    if known is ours:
        return 0
    settled = (Outcome.ACCEPTED, Outcome.REJECTED)
    pairs = zip(ours.results, known.results, strict=True)
    return sum(mine.outcome not in settled and theirs.outcome in settled for mine, theirs in pairs)


def _unsent(batch: Batch, reason: Reason) -> SettledResults:
    words = f"{reason.value} before it was sent"
    return SettledResults([not_sent(phone, reason, words) for phone in batch.phones])
