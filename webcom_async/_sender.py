"""
The campaign under way: workers that share one source, one request at a time each.

The only task group of the library lives here. A worker takes a batch, posts it until its fate is known, counts it,
and hands its results on; the hand-over is rendezvous, so that a slow reader slows the sending down.

Cancellation: what has left is awaited under a shield that is bounded by `Options.grace` once the stream is closing;
what has not left does not leave any more. Nothing is dropped: whatever happens, every recipient that was taken from
the source is counted with the outcome that is known.
"""

import logging
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

import anyio
from anyio import CancelScope
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from webcom_async import _policy
from webcom_async._batching import Batch, Batcher, not_sent
from webcom_async._client_ids import ClientIdSms
from webcom_async._clock import Clock
from webcom_async._reasons import Reason
from webcom_async._retry import retrying
from webcom_async._sources import Source
from webcom_async._tally import Tally
from webcom_async._transport import Transport, exchange
from webcom_async._wire import Payload, Reply, encode_messages
from webcom_async.credentials import Credentials
from webcom_async.errors import ConnectionLost, Knowledge, WebcomError
from webcom_async.models import Outcome, SendResult
from webcom_async.options import Options

__all__ = ["Flight", "Line", "Sender"]

logger: logging.Logger = logging.getLogger("webcom_async")

_REPLY_BASE = 65_536  # bytes of an answer that carries no entry: an error, a proxy's page
_REPLY_PER_RECIPIENT = 2_048  # a documented entry has about 60 bytes; a refusal in Russian 300


class Line:
    """
    The way to the gateway that all campaigns of a client share.

    Args:
        transport: Posts bodies.
        credentials: Whose account it is.
        options: The client's settings.
        clock: Time and chance.

    Attributes:
        under_way: Ids in requests that have not been answered: an id is in one request at a time, because whether the
            gateway notices two at once is not documented.
    """

    def __init__(self, transport: Transport, credentials: Credentials, options: Options, clock: Clock) -> None:
        self.transport = transport
        self.options = options
        self.clock = clock
        self.under_way: set[ClientIdSms] = set()
        self.limiter: anyio.CapacityLimiter = anyio.CapacityLimiter(options.in_flight)
        self._credentials = credentials

    def payload(self, messages: bytes) -> Payload:
        """Return the body for *messages*."""
        return Payload(self._credentials, messages)


class Flight:
    """
    One batch on its way, over all its attempts.

    Args:
        line: The way to the gateway.
        batch: What to send.
        tally: Where requests are counted.
        shields: Where the scope of a request under way is kept, so that whoever closes the stream can bound it; None
            if a request ends as soon as its caller is cancelled.

    Attributes:
        attempts: Requests so far.
        halt: The error that ends the campaign, once this batch has met it.
    """

    def __init__(self, line: Line, batch: Batch, tally: Tally, shields: set[CancelScope] | None = None) -> None:
        self.attempts = 0
        self.halt: WebcomError | None = None
        self._line = line
        self._batch = batch
        self._tally = tally
        self._shields = shields
        self._knowledge = Knowledge.NOT_REACHED

    async def run(self) -> list[SendResult]:
        """
        Post until the fate of the batch is known or retrying ends.

        Raises nothing of ours. When it is cancelled, `unfinished` has the results.
        """
        # Encoded outside the attempts: each of them must carry the same bytes and ids.
        payload = self._line.payload(encode_messages(self._batch.addressed))
        try:
            results = await retrying(lambda: self._attempt(payload), self._line.options, self._line.clock)
        except WebcomError as exc:
            self.halt = exc if exc.halts else None
            return _policy.conclude(exc, self._knowledge, self._batch.phones, self.attempts)
        self.halt = _policy.halting(results)
        return results

    def unfinished(self, reason: Reason) -> list[SendResult]:
        """Return the results of a batch whose sending was cut short, because of *reason*."""
        left = self._knowledge is Knowledge.IN_QUESTION
        outcome = Outcome.UNKNOWN if left else Outcome.NOT_SENT
        words = f"{reason.value} before {'the answer came' if left else 'it was sent'}"
        return [
            SendResult(phone.client_id_sms, phone.phone, outcome, None, reason, words, self.attempts)
            for phone in self._batch.phones
        ]

    async def _attempt(self, payload: Payload) -> list[SendResult]:
        async with self._line.limiter:
            before = self._knowledge
            self._knowledge = Knowledge.IN_QUESTION  # from the first byte, until something better is known
            self.attempts += 1
            try:
                reply = await self._post(payload)
                return _policy.judge(
                    reply, self._batch.phones, self.attempts, self._line.options, self._line.clock.now()
                )
            except WebcomError as exc:
                # The most doubtful attempt counts: a refusal after a lost answer proves nothing about the first.
                self._knowledge = max(before, exc.knowledge)
                logger.info(
                    "attempt_failed",
                    extra={
                        "batch": self._batch.number,
                        "attempt": self.attempts,
                        "error": type(exc).__name__,
                    },
                )
                raise

    async def _post(self, payload: Payload) -> Reply:
        line = self._line
        with (
            self._tally.request(again=self.attempts > 1),
            CancelScope(shield=self._shields is not None) as scope,
        ):
            if self._shields is None:
                return await self._exchange(payload)
            self._shields.add(scope)
            try:
                return await self._exchange(payload)
            finally:
                self._shields.discard(scope)
        raise ConnectionLost(f"the stream was left, and no answer came within {line.options.grace:g} s")

    async def _exchange(self, payload: Payload) -> Reply:
        line = self._line
        return await exchange(
            line.transport,
            line.options.url,
            payload,
            timeout=line.options.timeout,
            max_bytes=_REPLY_BASE + _REPLY_PER_RECIPIENT * len(self._batch.phones),
        )


class Sender:
    """
    A campaign under way.

    Args:
        line: The way to the gateway.
        source: Where recipients come from.
        batcher: How they are cut.
        tally: Where everything is counted.

    Attributes:
        failure: What ended the campaign early; None if nothing did.
        settled: Batches of results that nobody has received yet.
    """

    def __init__(self, line: Line, source: Source, batcher: Batcher, tally: Tally) -> None:
        self.failure: Exception | None = None
        self.settled: list[list[SendResult]] = []
        self._line = line
        self._source = source
        self._batcher = batcher
        self._tally = tally
        self._waiting: deque[object] = deque()
        self._pulling = anyio.Lock()
        self._waits: set[CancelScope] = set()
        self._shields: set[CancelScope] = set()
        self._tasks = anyio.create_task_group()

    async def open(self) -> ObjectReceiveStream[list[SendResult]]:
        """Start the workers and return the stream of what they settle."""
        # No buffer: a worker goes on when its results are received, and this is the backpressure.
        outbox, inbox = anyio.create_memory_object_stream[list[SendResult]](0)
        await self._tasks.__aenter__()
        for _ in range(self._line.options.in_flight):
            self._tasks.start_soon(self._work, outbox.clone())
        outbox.close()
        return inbox

    async def close(self) -> None:
        """Stop: no new batch leaves, requests under way get `Options.grace` seconds, the rest is not sent."""
        deadline = anyio.current_time() + self._line.options.grace
        for shield in self._shields:
            shield.deadline = min(shield.deadline, deadline)
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            while self._waiting:
                self._record(self._unsent(self._cut(), Reason.CANCELLED))
            with CancelScope(shield=True, deadline=anyio.current_time() + self._line.options.grace):
                await self._source.aclose()

    async def _work(self, outbox: ObjectSendStream[list[SendResult]]) -> None:
        async with outbox:
            try:
                while (batch := await self._next()) is not None:
                    results = await self._deliver(batch)
                    await outbox.send(results)
            except anyio.BrokenResourceError:
                return  # nobody listens any more; `close` is on its way
            except Exception as exc:  # noqa: BLE001 - the reader raises it, bare
                self._halt(exc)

    async def _next(self) -> Batch | None:
        """Take the next batch, or None at the end. After a halt nothing more is pulled from the source."""
        async with self._pulling:
            if self.failure is None:
                await self._pull()
            if not self._waiting:
                return None
            batch = self._cut()
            self._line.under_way.update(batch.client_ids)
            return batch

    async def _pull(self) -> None:
        held = len(self._waiting)
        try:
            with self._interruptible():
                await self._source.fill(self._waiting, self._line.options.batch_size)
        except Exception as exc:  # noqa: BLE001 - the source is the caller's, and so is its error
            self._halt(exc)
        finally:
            self._tally.taken += len(self._waiting) - held
            self._tally.exhausted = self._source.exhausted

    def _cut(self) -> Batch:
        return self._batcher.cut(self._waiting, self._line.under_way, self._line.clock.now())

    async def _deliver(self, batch: Batch) -> list[SendResult]:
        """Send *batch* and count what became of it, whatever happens on the way."""
        if self.failure is not None or not batch.phones:
            return self._record(self._unsent(batch, Reason.HALTED), batch)
        flight = Flight(self._line, batch, self._tally, self._shields)
        results: list[SendResult] = []
        with self._interruptible():
            try:
                results = await flight.run()
            except BaseException:
                results = flight.unfinished(Reason.CANCELLED if self.failure is None else Reason.HALTED)
                raise
            finally:
                results = self._record(batch.unusable + results, batch)
        if flight.halt is not None:
            self._halt(flight.halt)
        return results

    def _record(self, results: list[SendResult], batch: Batch | None = None) -> list[SendResult]:
        if batch is not None:
            self._line.under_way.difference_update(batch.client_ids)
        self._tally.settle(results, self._line.clock.monotonic())
        self.settled.append(results)
        return results

    def _unsent(self, batch: Batch, reason: Reason) -> list[SendResult]:
        words = f"{reason.value} before it was sent"
        return batch.unusable + [not_sent(phone, reason, words) for phone in batch.phones]

    def _halt(self, failure: Exception) -> None:
        """End the campaign: requests under way may finish, back-offs and queues are left at once."""
        if self.failure is None:
            self.failure = failure
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
