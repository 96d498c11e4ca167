"""Events of campaigns, batches and single sends."""

from webcom_async._domain.delivery import DeliveryState
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome
from webcom_async._domain.types import ClientIdSms
from webcom_async._domain.untrusted_text import printable
from webcom_async._events.base import DEBUG, WARNING, Event

__all__ = [
    "AttemptFailed",
    "BatchAnswered",
    "BatchSent",
    "BatchSettled",
    "CampaignEnded",
    "CampaignHalted",
    "CampaignResumed",
    "CampaignStarted",
    "ClosingFailed",
    "DeliveryChanged",
    "GatewayAway",
    "GatewayBack",
    "LimitChanged",
    "RequestRetried",
    "RetryAfterObeyed",
    "RetryQuotaLow",
    "SendAnswered",
    "SendEnded",
    "SendQueued",
    "SendSent",
    "SendSettled",
    "TrackingPaused",
    "TransportFailed",
]


class CampaignStarted(Event, frozen=True):
    """
    A campaign starts; its journal, if it has one, is open.

    Attributes:
        campaign: The campaign's name.
    """

    sentence = "campaign {campaign} starts"
    campaign: str


class CampaignResumed(Event, frozen=True):
    """
    A campaign continues where an earlier run left it. Emitted before the first batch of this run leaves.

    Attributes:
        campaign: The campaign's name.
        from_journal: Recipients up to here that the journal had settled. `CampaignEnded` has the final count.
    """

    sentence = "campaign {campaign} resumes after {from_journal} recipients that its journal has settled"
    campaign: str
    from_journal: int


class CampaignHalted(Event, frozen=True):
    """
    A failure ends a campaign early.

    Attributes:
        campaign: The campaign's name.
        error: The type of the failure.
        reason: The failure as a `Reason`; None for failures outside the gateway and the network.
        why: The failure in words, if a worker halts a campaign for all workers; else empty.
    """

    level = WARNING
    sentence = "campaign {campaign} is halted: {error}"
    campaign: str
    error: str
    reason: Reason | None = None
    why: str = ""


class CampaignEnded(Event, frozen=True):
    """
    A campaign has stopped: it is complete, was halted, or was left early.

    Attributes:
        campaign: The campaign's name.
        complete: Whether each recipient of the source has a result, and nothing halted the campaign.
        accepted: Accepted recipients.
        rejected: Rejected recipients.
        unknown: Recipients whose outcome is unknown.
        not_sent: Recipients that were not sent to.
        from_journal: Recipients that the journal had settled before.
        requests: Requests, retries included.
        retries: Requests that repeated an earlier one.
        seconds: The time from the start to the last result.
    """

    sentence = (
        "campaign {campaign} ends after {seconds:.1f} s: {accepted} accepted, {rejected} rejected, {unknown} unknown, "
        "{not_sent} not sent"
    )
    campaign: str
    complete: bool
    accepted: int
    rejected: int
    unknown: int
    not_sent: int
    from_journal: int
    requests: int
    retries: int
    seconds: float


class BatchSent(Event, frozen=True):
    """
    A request with recipients of a campaign is handed to the transport.

    Attributes:
        campaign: The campaign's name.
        batch: The batch's number in this run; parts of a split batch share it.
        attempt: 1 for the first request with these recipients.
        recipients: Recipients in the request.
    """

    level = DEBUG
    sentence = "campaign {campaign}, batch {batch}: attempt {attempt} with {recipients} recipients is sent"
    campaign: str
    batch: int
    attempt: int
    recipients: int


class BatchAnswered(Event, frozen=True):
    """
    The gateway has answered a request with recipients of a campaign; the answer may be a refusal.

    Attributes:
        campaign: The campaign's name.
        batch: The batch's number in this run.
        attempt: Which request with these recipients.
        recipients: Recipients in the request.
        status: The HTTP status of the answer.
        seconds: The time from `BatchSent` to the whole answer.
    """

    level = DEBUG
    sentence = "campaign {campaign}, batch {batch}: attempt {attempt} is answered with {status} after {seconds:.3f} s"
    campaign: str
    batch: int
    attempt: int
    recipients: int
    status: int
    seconds: float


class BatchSettled(Event, frozen=True):
    """
    Each recipient of a batch has a result, which the journal, if there is one, has recorded.

    Attributes:
        campaign: The campaign's name.
        batch: The batch's number in this run.
        accepted: Accepted recipients of the batch.
        rejected: Rejected recipients.
        unknown: Recipients whose outcome is unknown.
        not_sent: Recipients that were not sent to.
        from_journal: Recipients that the journal had settled before.
        seconds: The time from taking the batch to its results.
    """

    level = DEBUG
    sentence = (
        "campaign {campaign}, batch {batch}: {accepted} accepted, {rejected} rejected, {unknown} unknown, "
        "{not_sent} not sent after {seconds:.3f} s"
    )
    campaign: str
    batch: int
    accepted: int
    rejected: int
    unknown: int
    not_sent: int
    from_journal: int
    seconds: float


class _RequestEvent(Event, frozen=True):
    """An event of one request of a batch, a single send or a question."""

    campaign: str
    batch: int
    attempt: int

    def __str__(self) -> str:
        return printable(self.sentence.format(where=self._where, **self.fields))

    @property
    def _where(self) -> str:
        if self.campaign:
            return f"campaign {self.campaign}, batch {self.batch}"
        return "a single send" if self.batch else "a question"


class AttemptFailed(_RequestEvent, frozen=True):
    """
    A request with recipients has failed as a whole.

    Attributes:
        campaign: The campaign's name; empty for single sends.
        batch: The batch's number in this run.
        attempt: Which request with these recipients.
        error: The type of the failure.
    """

    sentence = "{where}: attempt {attempt} fails with {error}"
    error: str


class RequestRetried(_RequestEvent, frozen=True):
    """
    A request that failed is sent again after a wait.

    Attributes:
        campaign: The campaign's name; empty for single sends and for questions about statuses and the balance.
        batch: The batch's number in this run; 0 for questions.
        attempt: The attempt that has failed.
        error: The type of its failure.
        seconds: The wait.
    """

    sentence = "{where}: attempt {attempt} failed with {error} and is repeated in {seconds:.1f} s"
    error: str
    seconds: float


class RetryAfterObeyed(_RequestEvent, frozen=True):
    """
    The gateway has asked for a pause, and the next attempt waits for it.

    Attributes:
        campaign: The campaign's name; empty for single sends and questions.
        batch: The batch's number in this run; 0 for questions.
        attempt: The attempt that was answered.
        seconds: The seconds of `Retry-After`.
    """

    sentence = "{where}: the next attempt waits {seconds:g} s, as Retry-After asks"
    seconds: float


class RetryQuotaLow(Event, frozen=True):
    """
    A campaign has spent three quarters of its retry quota. Without answers that refill it, the campaign will halt.

    Attributes:
        campaign: The campaign's name.
        left: Retries that are left.
    """

    level = WARNING
    sentence = "campaign {campaign}: {left} retries are left before it halts"
    campaign: str
    left: int


class GatewayAway(Event, frozen=True):
    """
    The gateway does not answer; the campaign waits, and probes it with one request at a time.

    Attributes:
        campaign: The campaign's name.
        error: The last failure in words.
        patience: The seconds of silence after which the campaign ends.
    """

    level = WARNING
    sentence = "campaign {campaign} waits for the gateway, up to {patience:g} s: {error}"
    campaign: str
    error: str
    patience: float


class GatewayBack(Event, frozen=True):
    """
    The gateway answers again, and the campaign goes on.

    Attributes:
        campaign: The campaign's name.
        seconds: The seconds of silence.
    """

    sentence = "campaign {campaign} goes on: the gateway answers after {seconds:.1f} s"
    campaign: str
    seconds: float


class LimitChanged(Event, frozen=True):
    """
    The client changes how many requests may be in flight at once.

    Attributes:
        before: The limit until now.
        limit: The limit from now on.
    """

    level = DEBUG
    sentence = "the limit on requests in flight goes from {before} to {limit}"
    before: int
    limit: int


class SendQueued(Event, frozen=True):
    """
    A single send is queued.

    Attributes:
        client_id_sms: The message's id.
    """

    level = DEBUG
    sentence = "{client_id_sms} is queued"
    client_id_sms: ClientIdSms


class SendSent(Event, frozen=True):
    """
    A request with a single send is handed to the transport.

    Attributes:
        client_id_sms: The message's id.
        attempt: 1 for the first request with it.
        recipients: The number of messages in the request: above 1 if sends share it.
    """

    level = DEBUG
    sentence = "{client_id_sms} is sent, attempt {attempt}"
    client_id_sms: ClientIdSms
    attempt: int
    recipients: int


class SendAnswered(Event, frozen=True):
    """
    The gateway has answered a request with a single send; the answer may be a refusal.

    Attributes:
        client_id_sms: The message's id.
        attempt: Which request with it.
        status: The HTTP status of the answer.
        seconds: The time from `SendSent` to the whole answer.
    """

    level = DEBUG
    sentence = "{client_id_sms} is answered with {status} after {seconds:.3f} s"
    client_id_sms: ClientIdSms
    attempt: int
    status: int
    seconds: float


class SendSettled(Event, frozen=True):
    """
    A single send has its result.

    Attributes:
        client_id_sms: The message's id.
        outcome: The result's outcome.
        reason: The result's reason.
        attempts: The number of requests with this message.
    """

    level = DEBUG
    sentence = "{client_id_sms} is {outcome}"
    client_id_sms: ClientIdSms
    outcome: Outcome
    reason: Reason
    attempts: int


class SendEnded(Event, frozen=True):
    """
    A call of `send` ends with an exception; send again under this id only.

    Attributes:
        client_id_sms: The message's id.
        outcome: What is known of the message.
    """

    level = WARNING
    sentence = "{client_id_sms} is {outcome}: its call was cancelled or failed; send again under this id only"
    client_id_sms: ClientIdSms
    outcome: Outcome


class TransportFailed(Event, frozen=True):
    """
    The HTTP library has raised an unforeseen exception after the request may have been sent.

    Attributes:
        error: The type of the exception. Its words may repeat the request.
    """

    level = WARNING
    sentence = "the HTTP client fails with {error}; the request may have been processed"
    error: str


class ClosingFailed(Event, frozen=True):
    """
    The HTTP library has failed after a whole answer, which is kept.

    Attributes:
        error: The type of the exception.
    """

    level = WARNING
    sentence = "the HTTP client fails with {error} after a whole answer"
    error: str


class DeliveryChanged(Event, frozen=True):
    """
    Tracking has a new report on an accepted SMS.

    Attributes:
        campaign: The campaign's name.
        client_id_sms: The message's id.
        id_sms: The gateway's id of the SMS.
        state: The state of the SMS.
        overdue: Whether tracking ends before a terminal state.
    """

    level = DEBUG
    sentence = "campaign {campaign}: SMS {id_sms} is {state}"
    campaign: str
    client_id_sms: ClientIdSms
    id_sms: str
    state: DeliveryState
    overdue: bool


class TrackingPaused(Event, frozen=True):
    """
    Tracking cannot ask the gateway now; it waits and retries.

    Attributes:
        campaign: The campaign's name.
        error: The type of the failure.
        failures: Rounds of questions that failed in a row.
    """

    level = WARNING
    sentence = "tracking of campaign {campaign} pauses: {error}"
    campaign: str
    error: str
    failures: int
