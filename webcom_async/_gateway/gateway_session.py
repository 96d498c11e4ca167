"""The session that all requests of a client share: account, transport, limits, ids in flight, and its events."""

import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from webcom_async._batching.batcher import Batch
from webcom_async._domain.clock import Clock
from webcom_async._domain.credentials import Credentials
from webcom_async._domain.errors import ConnectionLost, GatewayBusy, GatewayError, UsageError, WebcomError, another
from webcom_async._domain.exchange import Reply, Request, RequestTrace, Transport
from webcom_async._domain.messages import OutboundRecipient
from webcom_async._domain.options import Options
from webcom_async._domain.results import SendResult, SettledResults
from webcom_async._domain.types import ClientIdSms
from webcom_async._events.observers import Observers
from webcom_async._events.sending import (
    AttemptFailed,
    BatchAnswered,
    BatchSent,
    LimitChanged,
    RequestRetried,
    RetryAfterObeyed,
    RetryQuotaLow,
    SendAnswered,
    SendSent,
)
from webcom_async._gateway.limits import AdaptiveLimit, Round, Throttle
from webcom_async._gateway.policy import judge, judge_call, shrinks
from webcom_async._gateway.retry import retrying
from webcom_async._gateway.safeguards import RetryQuota
from webcom_async._http.exchange import exchange
from webcom_async._wire.base import Call, Retry, SendFormat

__all__ = ["GatewaySession", "RequestEvents"]


T = TypeVar("T")

_REPLY_BASE = 65_536  # bytes of an answer that carries no entry: an error, a proxy's page
_REPLY_PER_RECIPIENT = 2_048  # a documented entry has about 60 bytes; a refusal in Russian 300


class GatewaySession:
    """
    The account, transport, limits and ids in flight that all requests of a client share.

    Args:
        transport: The carrier of requests.
        credentials: The account's credentials.
        options: The client's settings.
        clock: Time and chance.
        send_format: The adapter that encodes messages and decodes answers.
        observers: The client's observers.

    Attributes:
        send_format: The same.
        observers: The same.
        ids_in_flight: Ids in requests without an answer yet. An id is in one request at a time: the manual does not say
            whether the gateway deduplicates two at once.
        limit: The limit on requests in flight.
        throttle: The limit on recipients per second; None for no limit.
        closed: Whether the client is closed, so that nothing may be sent.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        options: Options,
        clock: Clock,
        *,
        send_format: SendFormat,
        observers: Observers,
    ) -> None:
        self.observers: Observers = observers
        self.transport = transport
        self.options = options
        self.clock = clock
        self.send_format = send_format
        self.ids_in_flight: set[ClientIdSms] = set()
        self._batches: list[Batch] = []
        self._expected: dict[ClientIdSms, ExpectedResult] = {}
        self.limit: AdaptiveLimit = AdaptiveLimit(options.in_flight)
        self.throttle: Throttle | None = None if options.rate is None else Throttle(options.rate)
        self.closed: bool = False
        self._rate_lock = anyio.Lock()
        self._slots = anyio.CapacityLimiter(self.limit.limit)
        self._credentials = credentials

    def account(self, campaign: str) -> str:
        """Return a digest that identifies the account, per campaign, and reveals nothing."""
        return self._credentials.digest(campaign)

    def register(self, batch: Batch) -> None:
        self._batches.append(batch)
        self.ids_in_flight.update(batch.client_ids)

    def unregister(self, batch: Batch, results: Sequence[SendResult]) -> None:
        """Take *batch* out of those in flight, and resolve the calls that wait for its ids."""
        self._batches.remove(batch)
        self.ids_in_flight.difference_update(batch.client_ids)
        if self._expected:
            for result in results:
                expected = self._expected.pop(result.client_id_sms, None)
                if expected is not None:
                    expected.resolve(result)
            for client_id in self._expected.keys() & batch.client_ids:
                self._expected.pop(client_id).resolve(None)

    def find_batch(self, client_id: ClientIdSms) -> Batch | None:
        if client_id not in self.ids_in_flight:
            return None
        return next((batch for batch in self._batches if client_id in batch.client_ids), None)

    async def wait_for_result(self, client_id: ClientIdSms) -> SendResult | None:
        """Wait for the batch in flight with *client_id*; None if its result is not known."""
        expected = self._expected.setdefault(client_id, ExpectedResult())
        await expected.resolved.wait()
        return expected.result

    def slot(self) -> "Slot":
        return Slot(self._slots)

    async def acquire_rate(self, recipients: int) -> None:
        """Wait until *recipients* may leave. A cancelled caller gives its turn back."""
        if self.throttle is None:
            return
        async with self._rate_lock:
            try:
                await self.clock.sleep(self.throttle.reserve(recipients, self.clock.monotonic()))
            except BaseException:
                self.throttle.release(recipients)
                raise

    def adapt_limit(self, sent_in: Round, error: WebcomError | None) -> None:
        """Feed the outcome of a request of round *sent_in* to the adaptive limit."""
        before = self.limit.limit
        if error is None:
            self.limit.succeeded(sent_in)
        elif shrinks(error):
            self.limit.pushed_back(sent_in)
        limit = self._slots.total_tokens = self.limit.limit
        if limit != before:
            self.observers.emit(LimitChanged(before=before, limit=limit))

    def request(self, encoded: bytes) -> Request:
        return self.send_format.request(encoded, self._credentials, self.options)

    async def send(self, request: Request, trace: RequestTrace, recipients: int) -> Reply:
        """Send *request* once; the number of *recipients* bounds the answer's size."""
        self.check_open()
        max_bytes = _REPLY_BASE + _REPLY_PER_RECIPIENT * recipients
        # A patience of less than a time-out ends the request, too.
        seconds = min(self.options.timeout, self.options.patience or math.inf)
        with self.observers.hearing():
            return await exchange(self.transport, request, trace, timeout=seconds, max_bytes=max_bytes)

    def judge(
        self, reply: Reply, phones: Sequence[OutboundRecipient], attempts: int, *, allow_repeats: bool = False
    ) -> SettledResults:
        """Return `policy.judge`'s results, or raise its error, with the credentials redacted."""
        redact, now = self._credentials.redact, self.clock.now()
        judged = _judged(
            lambda: judge(
                reply,
                phones,
                attempts,
                self.options,
                now,
                send_format=self.send_format,
                allow_repeats=allow_repeats,
            )
        )
        if isinstance(judged, WebcomError):
            raise self._redacted(judged)
        if judged.all_accepted:
            return judged  # no sentence that could repeat a credential
        replace = msgspec.structs.replace
        return SettledResults([replace(result, error=redact(result.error)) for result in judged.results])

    async def call(self, call: Call[T], quota: RetryQuota, count: Callable[[], None]) -> T:
        """
        Send *call* in a slot, and return the decoded answer; *quota* pays for retries, *count* is called per attempt.

        Raises:
            WebcomError: There is no usable answer after as many attempts as the options and the call allow.
        """
        lost = False

        async def attempt() -> T:
            nonlocal lost
            count()
            try:
                return await self._ask(call, RequestTrace(fresh_connection=lost))
            except ConnectionLost:
                lost = True
                raise

        attempts = self.options.attempts if call.retry is Retry.SAFE else 1
        retried = RequestEvents(self.observers).retried
        answer = await retrying(attempt, attempts, quota.spend, self.options, self.clock, retried=retried)
        quota.refund()
        return answer

    async def _ask(self, call: Call[T], trace: RequestTrace) -> T:
        async with self.slot():
            await checkpoint()  # a cancelled call sends nothing
            sent_in = self.limit.sent()
            try:
                request = call.request(self._credentials, self.options)
                reply = await self.send(request, trace, call.entries)
                judged = _judged(lambda: judge_call(reply, call, request.url, self.options, self.clock.now()))
                if isinstance(judged, WebcomError):
                    raise self._redacted(judged)
            except WebcomError as exc:
                self.adapt_limit(sent_in, exc)
                raise
            self.adapt_limit(sent_in, None)
            return judged

    def check_open(self) -> None:
        if self.closed:
            raise UsageError("this client is closed: make another one")

    def _redacted(self, error: WebcomError) -> WebcomError:
        redact = self._credentials.redact
        words = [redact(str(each)) for each in error.args]
        if isinstance(error, GatewayError):
            return another(error, *words, error=redact(error.error))
        return another(error, *words)


class ExpectedResult:
    """
    A result that a call waits for.

    Attributes:
        resolved: An event that is set when the result is here.
        result: The result; None if it is not known.
    """

    def __init__(self) -> None:
        self.resolved = anyio.Event()
        self.result: SendResult | None = None

    def resolve(self, result: SendResult | None) -> None:
        self.result = result
        self.resolved.set()


class Slot:
    """
    A context manager that holds one of *slots*.

    It takes a free slot at once, where `CapacityLimiter` would first let the event loop turn.
    """

    def __init__(self, slots: anyio.CapacityLimiter) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            await self._slots.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._slots.release()


def _judged(judge: Callable[[], T]) -> T | WebcomError:
    """Return the results, or the error without its traceback: the frames' variables hold the gateway's words."""
    try:
        return judge()
    except WebcomError as exc:
        return another(exc).with_traceback(None)


class RequestEvents:
    """
    Emits the events of the requests of one batch.

    Args:
        observers: The client's observers.
        campaign: The campaign's name; empty for single sends and calls.
        batch: The batch's number; 0 for calls.
    """

    def __init__(self, observers: Observers, campaign: str = "", batch: int = 0) -> None:
        self._observers = observers
        self._campaign = campaign
        self._batch = batch

    def sent(self, phones: Sequence[OutboundRecipient], attempt: int) -> None:
        if not self._observers.listening():
            return
        emit, recipients = self._observers.emit, len(phones)
        if self._campaign:
            emit(BatchSent(campaign=self._campaign, batch=self._batch, attempt=attempt, recipients=recipients))
            return
        for phone in phones:
            emit(SendSent(client_id_sms=phone.client_id_sms, attempt=attempt, recipients=recipients))

    def answered(self, phones: Sequence[OutboundRecipient], attempt: int, status: int, seconds: float) -> None:
        if not self._observers.listening():
            return
        if self._campaign:
            answered = BatchAnswered(
                campaign=self._campaign,
                batch=self._batch,
                attempt=attempt,
                recipients=len(phones),
                status=status,
                seconds=seconds,
            )
            self._observers.emit(answered)
            return
        for phone in phones:
            answer = SendAnswered(client_id_sms=phone.client_id_sms, attempt=attempt, status=status, seconds=seconds)
            self._observers.emit(answer)

    def failed(self, attempt: int, error: WebcomError) -> None:
        name = type(error).__name__
        self._observers.emit(AttemptFailed(campaign=self._campaign, batch=self._batch, attempt=attempt, error=name))

    def retried(self, attempt: int, error: WebcomError, seconds: float) -> None:
        campaign, batch, emit = self._campaign, self._batch, self._observers.emit
        name = type(error).__name__
        emit(RequestRetried(campaign=campaign, batch=batch, attempt=attempt, error=name, seconds=seconds))
        if isinstance(error, GatewayBusy) and error.retry_after:
            emit(RetryAfterObeyed(campaign=campaign, batch=batch, attempt=attempt, seconds=error.retry_after))

    def spent(self, quota: RetryQuota) -> None:
        if self._campaign and quota.became_low():
            self._observers.emit(RetryQuotaLow(campaign=self._campaign, left=quota.left))
