"""Emit the events of requests: of a campaign's batch, of single sends, or of a call."""

from collections.abc import Sequence

from webcom_async._domain.errors import GatewayBusy, WebcomError
from webcom_async._domain.outbound import OutboundRecipient
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
from webcom_async._gateway.safeguards import RetryQuota

__all__ = ["RequestEvents"]


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
        emit, recipients = self._observers.emit, len(phones)
        if self._campaign:
            emit(BatchSent(campaign=self._campaign, batch=self._batch, attempt=attempt, recipients=recipients))
            return
        for phone in phones:
            emit(SendSent(client_id_sms=phone.client_id_sms, attempt=attempt, recipients=recipients))

    def answered(self, phones: Sequence[OutboundRecipient], attempt: int, status: int, seconds: float) -> None:
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
