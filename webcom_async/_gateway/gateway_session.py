"""The session that all requests of a client share: account, transport, limits, ids in flight, and its events."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from webcom_async._domain.clock import Clock
from webcom_async._domain.credentials import Credentials
from webcom_async._domain.errors import ConnectionLost, GatewayBusy, GatewayError, UsageError, WebcomError, another
from webcom_async._domain.exchange import Reply, Request, RequestTrace, Transport
from webcom_async._domain.messages import OutboundRecipient
from webcom_async._domain.options import Options
from webcom_async._domain.results import SettledResults
from webcom_async._events.observers import Observers
from webcom_async._events.sending import (
    AttemptFailed,
    BatchAnswered,
    BatchSent,
    RequestRetried,
    RetryAfterObeyed,
    RetryQuotaLow,
    SendAnswered,
    SendSent,
)
from webcom_async._gateway.account_traffic import AccountTraffic
from webcom_async._gateway.admission import Priority
from webcom_async._gateway.policy import judge, judge_call
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
        traffic: The account's requests; those of this client alone if it is None.

    Attributes:
        send_format: The same.
        observers: The same.
        traffic: The account's requests: limits and ids in flight.
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
        traffic: AccountTraffic | None = None,
    ) -> None:
        self.observers: Observers = observers
        self.transport = transport
        self.options = options
        self.clock = clock
        self.send_format = send_format
        self.traffic: AccountTraffic = traffic or AccountTraffic(options.in_flight, options.rate, clock)
        self.traffic.observers.append(observers)
        self.closed: bool = False
        self._credentials = credentials

    def account(self, campaign: str) -> str:
        """Return a digest that identifies the account, per campaign, and reveals nothing."""
        return self._credentials.digest(campaign)

    @property
    def limit(self) -> int:
        """The current limit on requests in flight."""
        return self.traffic.admission.limit.limit

    def close(self) -> None:
        """Send nothing more."""
        if not self.closed:
            self.closed = True
            self.traffic.observers.remove(self.observers)

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
        async with self.traffic.admission.slot(0, Priority.QUESTION) as slot:
            try:
                request = call.request(self._credentials, self.options)
                reply = await self.send(request, trace, call.entries)
                judged = _judged(lambda: judge_call(reply, call, request.url, self.options, self.clock.now()))
                if isinstance(judged, WebcomError):
                    raise self._redacted(judged)
            except WebcomError as exc:
                slot.finish(exc)
                raise
            slot.finish(None)
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
