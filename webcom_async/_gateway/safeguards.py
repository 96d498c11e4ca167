"""
What a campaign learns while it runs, so that it stops sending what cannot succeed.

Pure: each safeguard reads results and answers with a decision. Nothing here sends, waits or logs.
"""

import enum
from collections.abc import Sequence

from webcom_async._domain.errors import IdCollision, ReplyTimeout, SystematicRefusal, WebcomError
from webcom_async._domain.messages import Addressed, Channel, Message
from webcom_async._domain.options import Options
from webcom_async._domain.reasons import Reason
from webcom_async._domain.refusals import Scope, scope_of
from webcom_async._domain.results import Outcome, SendResult, SettledResults
from webcom_async._gateway.patience import Patience, patience_of
from webcom_async._gateway.request_size import RequestSize

__all__ = ["RepeatedIds", "RetryQuota", "Safeguards", "StoppedMessages", "SystematicRefusals"]

_LOW = 0.25  # of the tokens: ours
_REFUND = 0.5  # ours: up to a third of all requests may be retries, without end
_SILENT_ROUNDS = 5  # of requests in flight, which empty the bucket: ours
_SYSTEMATIC = 200  # recipients
_REMEMBERED = 10_000  # messages; a campaign of personal texts may have a million
_SENDERS_FAULT = frozenset(
    {Reason.NO_SENDER, Reason.SENDER_TOO_LONG, Reason.UNKNOWN_SENDER, Reason.SENDER_NOT_MODERATED}
)


class RepeatedIds(enum.Enum):
    """What a repeated `id_sms` does to a campaign; its recipients are unknown in any case."""

    HALT = "halt"  #: it ends the campaign
    HALT_IF_NEW = "halt if new"  #: it ends the campaign unless the journal knew of it
    GO_ON = "go on"  #: its author has acknowledged that ids repeat

    def halts(self, error: IdCollision) -> bool:
        return self is RepeatedIds.HALT or (self is RepeatedIds.HALT_IF_NEW and not error.known)


class RetryQuota:
    """
    The number of requests that a campaign may spend on retries.

    A token bucket, as in the AWS SDKs: every retry costs a token, and every usable answer refunds half of one. A
    gateway that is down costs one bucket and no more; one that fails now and then never empties it.

    With many requests in flight, one stall of the gateway is as many time-outs at once. So a retry after a time-out
    costs no more than the share of one request in five rounds of *in_flight*.

    Args:
        tokens: The size of the bucket, in requests.
        in_flight: The maximum number of requests in flight.

    Attributes:
        spent: Whether a retry was refused for want of tokens.
    """

    def __init__(self, tokens: int, in_flight: int = 1) -> None:
        self.spent: bool = False
        self._full = float(tokens)
        self._left = float(tokens)
        self._told_low = False
        self._timeout_costs = min(1.0, tokens / (_SILENT_ROUNDS * in_flight))

    @property
    def left(self) -> int:
        return int(self._left)

    def spend(self, requests: float = 1) -> bool:
        if self._left < requests:
            self.spent = True
            return False
        self._left -= requests
        return True

    def spend_after(self, error: WebcomError | None) -> bool:
        """Spend what a retry after *error* costs."""
        return self.spend(self._timeout_costs if isinstance(error, ReplyTimeout) else 1)

    def refill(self) -> None:
        self.spent = False
        self._left = self._full

    def became_low(self) -> bool:
        """Whether at most a quarter is left; True once, until refunds lift it above that."""
        low = self._left <= self._full * _LOW
        became_low = low and not self._told_low
        self._told_low = low
        return became_low

    def refund(self) -> None:
        self._left = min(self._full, self._left + _REFUND)


class SystematicRefusals:
    """Notices a campaign that begins with nothing but one refusal that is not in the table of refusals."""

    def __init__(self) -> None:
        self._words: str | None = None
        self._count = 0
        self._ruled_out = False

    def look(self, results: Sequence[SendResult]) -> WebcomError | None:
        for result in results if not self._ruled_out else ():
            self._words = result.error if self._words is None else self._words
            if result.reason is not Reason.OTHER or result.error != self._words:
                self._ruled_out = True
                break
            self._count += 1
        if self._ruled_out or self._count < _SYSTEMATIC:
            return None
        return SystematicRefusal(error=self._words or "")


class StoppedMessages:
    """Remembers the messages, and the senders, that the gateway refuses for every recipient."""

    def __init__(self) -> None:
        self._senders: dict[tuple[Channel, str], SendResult] = {}
        self._messages: dict[Message, SendResult] = {}

    def __bool__(self) -> bool:
        return bool(self._senders or self._messages)

    def look(self, addressed: Sequence[Addressed], settled: SettledResults) -> None:
        if not settled.others():
            return
        answers = iter(settled.results)
        for message, phones in addressed:
            for _ in phones:
                result = next(answers)
                if result.outcome is Outcome.REJECTED and scope_of(result.reason) is Scope.MESSAGE:
                    self._remember(message, result)

    def against(self, message: Message) -> SendResult | None:
        return self._senders.get((message.type_send_1, message.sender)) or self._messages.get(message)

    def _remember(self, message: Message, result: SendResult) -> None:
        if result.reason in _SENDERS_FAULT:
            self._senders[message.type_send_1, message.sender] = result
        elif len(self._messages) < _REMEMBERED:
            self._messages[message] = result


class Safeguards:
    """
    The safeguards of a campaign; several runs that share them learn together.

    Args:
        options: The client's settings.

    Attributes:
        quota: The budget for retries.
        systematic: The check for one refusal of every recipient.
        stopped: The messages that are refused for every recipient.
        sizes: The size of a request that works.
        patience: The patience with a gateway that does not answer.
    """

    def __init__(self, options: Options) -> None:
        self.quota: RetryQuota = RetryQuota(options.retry_quota, options.in_flight)
        self.systematic: SystematicRefusals = SystematicRefusals()
        self.stopped: StoppedMessages = StoppedMessages()
        self.sizes: RequestSize = RequestSize()
        self.patience: Patience = patience_of(options)
