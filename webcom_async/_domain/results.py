"""Results: one per recipient, and the figures of a campaign."""

import enum
from collections.abc import Iterable, Mapping

import msgspec

from webcom_async._domain.reasons import Reason
from webcom_async._domain.records import PlainRecord
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = ["NetworkStats", "Outcome", "Progress", "Report", "SendResult", "SettledResults", "given_ids", "not_accepted"]


class Outcome(enum.StrEnum):
    """What is known of a recipient: a claim of fact."""

    ACCEPTED = "accepted"  #: the gateway accepted it and gave an `id_sms`
    REJECTED = "rejected"  #: the gateway refused this recipient; nothing was sent
    UNKNOWN = "unknown"  #: it may have been sent: send it again, under the same id only
    NOT_SENT = "not_sent"  #: it never left, or the whole request was refused; send it again


class SendResult(PlainRecord, msgspec.Struct, frozen=True, gc=False):
    """
    The result of one recipient.

    Attributes:
        client_id_sms: The idempotency key; empty if the recipient was unusable and had none.
        phone: The phone, digits only; as given, if it was unusable.
        outcome: What is known.
        id_sms: The gateway's id, to track delivery; None if it gave none.
        reason: Why the recipient was not accepted.
        error: The gateway's own words, or ours if nothing was sent; empty if nothing is wrong. Untrusted text.
        attempts: The number of requests with this recipient.
    """

    client_id_sms: ClientIdSms
    phone: Phone
    outcome: Outcome
    id_sms: str | None = None
    reason: Reason = Reason.NONE
    error: str = ""
    attempts: int = 0


class SettledResults(msgspec.Struct, frozen=True):
    """
    The results of recipients that are settled together.

    Nearly every batch is accepted as a whole. The decoder notices that and records it here, so that code that looks for
    other results reads none of them, which saves a tenth of a campaign's work.

    Attributes:
        results: One result per recipient.
        all_accepted: Whether every recipient is known to be accepted, under an `id_sms` of its own. False if one is
            not, or if this is not known.
    """

    results: list[SendResult]
    all_accepted: bool = False

    def others(self) -> list[SendResult]:
        return [] if self.all_accepted else not_accepted(self.results)


_ACCEPTED = Outcome.ACCEPTED  # Python 3.11 takes 60 ns for every access to an Enum's member


def not_accepted(results: Iterable[SendResult]) -> list[SendResult]:
    accepted = _ACCEPTED
    return [result for result in results if result.outcome is not accepted]


def given_ids(results: Iterable[SendResult]) -> list[str]:
    return [result.id_sms for result in results if result.id_sms is not None]


class NetworkStats(PlainRecord, msgspec.Struct, frozen=True, kw_only=True):
    """
    The network traffic of a campaign.

    Attributes:
        requests: The number of requests, retries included.
        retries: The number of requests that repeated an earlier one.
        bytes_sent: The bytes of the requests' bodies.
        bytes_received: The bytes of the answers' bodies, decoded.
        connections: The number of connections opened. A caller's own HTTP client or transport may not report it.
        false_timeouts: The number of requests that missed their deadline while the event loop was blocked, so that the
            answer may have been there. Above zero, something in the program blocks the loop for longer than `timeout`.
    """

    requests: int
    retries: int
    bytes_sent: int = 0
    bytes_received: int = 0
    connections: int = 0
    false_timeouts: int = 0


class Report(NetworkStats, frozen=True, kw_only=True):
    """
    The counts of a campaign, beside its `NetworkStats`.

    Attributes:
        campaign: The campaign's name; a random one if the call gave none.
        outcomes: The number of recipients per outcome.
        reasons: The number of recipients per reason, among those that were not accepted.
        seconds: The time from the opening of the stream to the last result.
        complete: Whether the source was read to its end, every recipient from it has a result, and nothing ended the
            campaign early.
        from_journal: The number of recipients whose result was in the journal already, from an earlier run, another
            worker, or an earlier place in the same source. Nothing was sent for them.
    """

    campaign: str
    outcomes: Mapping[Outcome, int]
    reasons: Mapping[Reason, int]
    seconds: float
    complete: bool
    from_journal: int = 0

    @property
    def recipients(self) -> int:
        """The number of recipients with a result."""
        return sum(self.outcomes.values())

    @property
    def accepted(self) -> int:
        """The number of recipients that the gateway accepted."""
        return self.outcomes[Outcome.ACCEPTED]

    @property
    def rejected(self) -> int:
        """The number of recipients that the gateway refused."""
        return self.outcomes[Outcome.REJECTED]

    @property
    def unknown(self) -> int:
        """The number of recipients that were possibly sent to."""
        return self.outcomes[Outcome.UNKNOWN]

    @property
    def not_sent(self) -> int:
        """The number of recipients that were not sent to."""
        return self.outcomes[Outcome.NOT_SENT]

    @property
    def recipients_per_second(self) -> float:
        """The number of results per second; 0.0 before the first."""
        return self.recipients / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {outcome.value}" for outcome, count in self.outcomes.items())
        reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in self.reasons.items())
        return (
            f"{self.recipients:,} recipients{'' if self.complete else ' (incomplete)'}: {counts}"
            + (f" ({reasons})" if reasons else "")
            + (f"; {self.from_journal:,} from the journal" if self.from_journal else "")
            + f"; {self.requests:,} requests, {self.retries:,} retries, "
            f"{self.seconds:.2f} s, {self.recipients_per_second:,.0f} recipients/s"
        )


class Progress(Report, frozen=True, kw_only=True):
    """
    The report of a running campaign.

    Attributes:
        taken: The number of recipients taken from the source so far.
        in_flight: The number of requests in flight.
        limit: The current limit on requests in flight, over the whole client.
        rate: The limit on recipients per second, over the whole client; None for no limit.
    """

    taken: int
    in_flight: int
    limit: int
    rate: float | None
