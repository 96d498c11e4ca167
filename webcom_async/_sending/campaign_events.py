"""Emit the events of one run of a campaign."""

from collections import Counter
from collections.abc import Sequence

from webcom_async._domain.errors import WebcomError
from webcom_async._domain.results import Outcome, Report, SendResult, not_accepted
from webcom_async._events.observers import Observers
from webcom_async._events.sending import (
    BatchSettled,
    CampaignEnded,
    CampaignHalted,
    CampaignResumed,
    CampaignStarted,
)
from webcom_async._storage.contracts import Reservation

__all__ = ["CampaignEvents"]


class CampaignEvents:
    """
    Emits the events of one run of a campaign.

    Args:
        observers: The client's observers.
        campaign: The campaign's name.

    Attributes:
        whole: Whether the run is the whole campaign. A worker sends a campaign in pieces, and emits its halts itself.
    """

    def __init__(self, observers: Observers, campaign: str) -> None:
        self.whole: bool = True
        self._observers = observers
        self._campaign = campaign
        self._from_journal = 0
        self._leaves = False

    def started(self) -> None:
        if self.whole:
            self._observers.emit(CampaignStarted(campaign=self._campaign))

    def reserved(self, reserved: Reservation) -> None:
        """Emit once, before this run's first batch leaves, that it resumes an earlier run."""
        if self._leaves or not self.whole:
            return
        self._from_journal += len(reserved.settled)
        self._leaves = bool(reserved.addressed)
        if self._leaves and (self._from_journal or reserved.possibly_sent):
            self._observers.emit(CampaignResumed(campaign=self._campaign, from_journal=self._from_journal))

    def settled(self, batch: int, results: Sequence[SendResult], from_journal: int, seconds: float) -> None:
        """Emit the counts of a batch, if there are observers."""
        if not self._observers.listening():
            return
        others = Counter(result.outcome for result in not_accepted(results))
        settled = BatchSettled(
            campaign=self._campaign,
            batch=batch,
            accepted=len(results) - others.total(),
            rejected=others[Outcome.REJECTED],
            unknown=others[Outcome.UNKNOWN],
            not_sent=others[Outcome.NOT_SENT],
            from_journal=from_journal,
            seconds=seconds,
        )
        self._observers.emit(settled)

    def halted(self, failure: Exception) -> None:
        if not self.whole:
            return
        reason = failure.reason if isinstance(failure, WebcomError) else None
        self._observers.emit(CampaignHalted(campaign=self._campaign, error=type(failure).__name__, reason=reason))

    def ended(self, report: Report) -> None:
        if not self.whole:
            return
        ended = CampaignEnded(
            campaign=self._campaign,
            complete=report.complete,
            accepted=report.outcomes[Outcome.ACCEPTED],
            rejected=report.outcomes[Outcome.REJECTED],
            unknown=report.outcomes[Outcome.UNKNOWN],
            not_sent=report.outcomes[Outcome.NOT_SENT],
            from_journal=report.from_journal,
            requests=report.requests,
            retries=report.retries,
            seconds=report.seconds,
        )
        self._observers.emit(ended)
