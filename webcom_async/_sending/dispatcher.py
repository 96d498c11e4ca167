"""
The campaign under way: workers that share one source, one request at a time each.

The only task group of the library lives here. A worker takes a batch, posts it until its fate is known, counts it,
and hands its results on; the hand-over is rendezvous, so that a slow reader slows the sending down.

Cancellation: what has left is awaited under a shield that is bounded by `Options.grace` once the stream is closing;
what has not left does not leave any more. Nothing is dropped: whatever happens, every recipient that was taken from
the source is counted with the outcome that is known.
"""

import logging
import math
from collections import deque
from collections.abc import Generator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager

import anyio
from anyio import CancelScope
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from webcom_async._batching.batcher import Batch, Cutter, not_sent
from webcom_async._domain.errors import IdCollision, JournalError, UsageError
from webcom_async._domain.outcome_rules import in_doubt_among
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.sources import Source
from webcom_async._domain.types import ClientIdSms
from webcom_async._gateway.gateway_session import Line
from webcom_async._gateway.safeguards import Safeguards
from webcom_async._sending.batch_sender import Flight, Grace
from webcom_async._sending.counters import Tally
from webcom_async._sending.puller import Puller, puller_of
from webcom_async._storage.contracts import Books, Reserved
from webcom_async._wire.base import Addressed, WirePhone

__all__ = ["Sender"]

logger: logging.Logger = logging.getLogger("webcom_async")


class Sender:
    """
    A campaign under way.

    Args:
        line: The way to the gateway.
        source: Where recipients come from.
        batcher: How they are cut.
        tally: Where everything is counted.
        books: Where what leaves is written down first.
        safeguards: What it has learnt so far.

    Attributes:
        failure: What ended the campaign early; None if nothing did.
    """

    def __init__(
        self, line: Line, source: Source, batcher: Cutter, tally: Tally, books: Books, *, safeguards: Safeguards
    ) -> None:
        self.failure: Exception | None = None
        self._line = line
        self._source = source
        self._batcher = batcher
        self._tally = tally
        self._books = books
        self._settled: dict[int, list[SendResult]] = {}
        self._waiting: deque[object] = deque()
        self._cutting = anyio.Lock(fast_acquire=True)
        self._waits: set[CancelScope] = set()
        self._grace = Grace()
        self._safeguards = safeguards
        self._tasks = anyio.create_task_group()
        self._puller: Puller

    async def open(self) -> ObjectReceiveStream[list[SendResult]]:
        """Start the workers and return the stream of what they settle."""
        # No buffer: a worker goes on when its results are received, and this is the backpressure.
        outbox, inbox = anyio.create_memory_object_stream[list[SendResult]](0)
        await self._tasks.__aenter__()
        grace = self._line.options.grace
        self._puller = puller_of(self._source, self._waiting, self._tally, self._tasks, grace)
        for _ in range(self._line.options.in_flight):
            self._tasks.start_soon(self._work, outbox.clone())
        outbox.close()
        return inbox

    async def close(self) -> None:
        """Stop: no new batch leaves, requests under way get `Options.grace` seconds, the rest is not sent."""
        self._grace.end_at(anyio.current_time() + self._line.options.grace)
        self._puller.end()
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            while self._waiting:
                batch = self._cut()
                unsent = known = _unsent(batch, Reason.CANCELLED)
                try:
                    known = await self._write_down(unsent, None)
                finally:
                    self._count(batch.unusable + known, _from_journal(unsent, known))
            await self._puller.aclose()

    def take(self, results: list[SendResult]) -> bool:
        """Note that a reader has received *results*; False if they were taken for left before he woke up."""
        return self._settled.pop(id(results), None) is not None

    def take_left(self) -> list[SendResult]:
        """Return what is settled and was never received, and note that it is now."""
        left = self.unread
        self._settled.clear()
        return left

    @property
    def unread(self) -> list[SendResult]:
        """What is settled and was not received."""
        return [result for batch in self._settled.values() for result in batch]

    async def _work(self, outbox: MemoryObjectSendStream[list[SendResult]]) -> None:
        async with outbox:
            try:
                while (batch := await self._next()) is not None:
                    results = await self._deliver(batch)
                    await _hand_over(results, outbox)
            except anyio.BrokenResourceError:
                return  # nobody listens any more; `close` is on its way
            except Exception as exc:  # noqa: BLE001 - the reader raises it, bare
                self._halt(exc)
            except anyio.get_cancelled_exc_class():
                if anyio.current_effective_deadline() == -math.inf:
                    raise
                # Nobody has cancelled us. Let out, it would cancel the reader, at any time and for no reason.
                self._halt(UsageError("the source, or the transport, raised a cancellation of its own"))

    async def _next(self) -> Batch | None:
        """Take the next batch, or None at the end. After a halt nothing more is asked of the source."""
        async with self._cutting:
            if self.failure is None:
                await self._pull()
            if self.failure is not None:
                await self._puller.stop()
            if not self._waiting:
                return None
            batch = self._cut()
            self._line.take_on(batch)
            return batch

    async def _pull(self) -> None:
        with self._interruptible():
            await self._puller.fill(self._line.options.largest_batch)
        if self._puller.failure is not None:
            self._halt(self._puller.failure)

    def _cut(self) -> Batch:
        return self._batcher.cut(self._waiting, self._line.under_way, self._line.clock.now())

    async def _deliver(self, batch: Batch) -> list[SendResult]:
        """Send *batch* and count what became of it, whatever happens on the way."""
        course = _Course(batch)
        try:
            with self._interruptible():
                await self._reserve(course)
                if batch.addressed and self.failure is None:
                    course.flight = Flight(
                        self._line,
                        batch,
                        self._tally,
                        self._safeguards.quota,
                        self._grace,
                        doubtful=course.doubtful,
                    )
                    await course.flight.run()
        except Exception as exc:
            self._halt(exc)
            raise
        finally:
            ours = results = course.results(Reason.CANCELLED if self.failure is None else Reason.HALTED)
            try:
                results = await self._write_down(ours, course.reserved)
            finally:
                from_journal = course.settled_before + _from_journal(ours, results)
                everyone = self._count(course.known + results if course.known else results, from_journal)
                self._line.let_go(batch, everyone)
        if course.flight is not None:
            self._learn(course.flight, batch, results[len(course.held_back) :] if course.held_back else results)
        return everyone

    async def _reserve(self, course: "_Course") -> None:
        """Write down who is about to be sent to, and take out of the batch those who are not."""
        batch = course.batch
        if self.failure is not None or not batch.addressed:
            return
        try:
            reserved = await self._books.reserve(batch.addressed)
        except JournalError as exc:
            self._halt(exc)
            return
        course.reserved = reserved
        course.known += reserved.settled + reserved.refused
        batch.narrow(reserved.addressed)
        course.held_back = self._hold_back(batch)

    def _learn(self, flight: Flight, batch: Batch, results: list[SendResult]) -> None:
        """Draw the conclusions from what the gateway answered, for what is still to be sent."""
        self._safeguards.stopped.look(batch.addressed, results)
        if flight.too_large is not None:
            self._batcher.shrink(flight.too_large // 2)
        halt = flight.halt or self._safeguards.systematic.look(results)
        if halt is not None:
            self._halt(halt)

    async def _write_down(self, results: list[SendResult], reserved: Reserved | None) -> list[SendResult]:
        """
        Put *results* of who was *reserved*, or was not, into the books before anybody sees them; return what is known.

        Who was not sent to now may have been before: the books know better then.
        """
        if not results:
            return results
        try:
            if reserved is None:
                return await self._books.recall(results)
            results = await self._books.settle(results, reserved)
        except IdCollision as exc:
            self._halt(exc)
            results = list(exc.results)
        except JournalError as exc:
            # They stay reserved there, so that the next run asks again under the same ids.
            self._halt(exc)
        return results

    def _hold_back(self, batch: Batch) -> list[SendResult]:
        """Take out of *batch*, as results, who is late, and whose message or sender the gateway takes from nobody."""
        held_back: list[SendResult] = []
        stopped = self._safeguards.stopped
        if not (batch.late or stopped):
            return held_back
        timely: list[Addressed] = []
        for message, phones in batch.addressed:
            why = stopped.against(message)
            leaving: list[WirePhone] = []
            for phone in phones:
                late = batch.late.get(phone.client_id_sms)
                if why is not None:
                    held_back.append(not_sent(phone, why.reason, why.error))
                elif late is not None:
                    held_back.append(not_sent(phone, late.reason, str(late)))
                else:
                    leaving.append(phone)
            if leaving:
                timely.append((message, leaving))
        batch.narrow(timely)
        return held_back

    def _count(self, results: list[SendResult], from_journal: int) -> list[SendResult]:
        self._tally.settle(results, self._line.clock.monotonic(), from_journal)
        self._settled[id(results)] = results
        return results

    def _halt(self, failure: Exception) -> None:
        """End the campaign: requests under way may finish, back-offs and queues are left at once."""
        if self.failure is None:
            self.failure = failure
            self._tally.halted = True
            logger.warning("campaign_halted", extra={"error": type(failure).__name__})
            for scope in self._waits:
                scope.cancel()

    @contextmanager
    def _interruptible(self) -> Generator[None, None, None]:
        """Let `_halt` end what is awaited in the block; requests under way have a shield of their own."""
        with CancelScope() as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)


class _Course:
    """
    How far one batch has come.

    Attributes:
        batch: The batch.
        known: Results that were known before anything left.
        reserved: What the books said; None if they were not asked, or failed.
        held_back: Results of those who were not to be sent to any more.
        flight: Their way; None as long as it has not begun.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.known: list[SendResult] = list(batch.unusable)
        self.reserved: Reserved | None = None
        self.held_back: list[SendResult] = []
        self.flight: Flight | None = None

    @property
    def settled_before(self) -> int:
        """How many were settled before anything left."""
        return 0 if self.reserved is None else len(self.reserved.settled)

    @property
    def doubtful(self) -> AbstractSet[ClientIdSms]:
        """Ids of those who may have been sent to before."""
        return frozenset() if self.reserved is None else self.reserved.doubtful

    def results(self, reason: Reason) -> list[SendResult]:
        """Return what is known of everyone else; what is still open was cut short because of *reason*."""
        fresh = _unsent(self.batch, reason) if self.flight is None else self.flight.unfinished(reason)
        return in_doubt_among(self.held_back + fresh if self.held_back else fresh, self.doubtful)


async def _hand_over(results: list[SendResult], outbox: MemoryObjectSendStream[list[SendResult]]) -> None:
    """Give *results* to a reader: to one who waits at once, where anyio would let the event loop turn before."""
    try:
        outbox.send_nowait(results)
    except anyio.WouldBlock:
        await outbox.send(results)


def _from_journal(ours: list[SendResult], known: list[SendResult]) -> int:
    """Return how many of *ours* are open, and settled in what is *known*: by an earlier run, or by another worker."""
    if known is ours:
        return 0
    settled = (Outcome.ACCEPTED, Outcome.REJECTED)
    pairs = zip(ours, known, strict=True)
    return sum(mine.outcome not in settled and theirs.outcome in settled for mine, theirs in pairs)


def _unsent(batch: Batch, reason: Reason) -> list[SendResult]:
    words = f"{reason.value} before it was sent"
    return [not_sent(phone, reason, words) for phone in batch.phones]
