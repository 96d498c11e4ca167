"""
What became of a batch, counted: who is settled, who may be asked for again, and who never came to the journal.

It has no event loop of its own to care for: the journal that it looks over the shoulder of does the work.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, not_accepted
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.campaign_store import BatchDone
from webcom_async._storage.contracts import CampaignHeader, DurableCampaignJournal, Journal, Reservation
from webcom_async._wire.base import Addressed

__all__ = ["RecordingJournal", "summarize"]

_CUT_SHORT = frozenset({Reason.HALTED, Reason.CANCELLED})


class RecordingJournal:
    """
    A journal that remembers whom it has let into its books.

    Args:
        journals: The journal.

    Attributes:
        known: The ids of those.
    """

    def __init__(self, journals: Journal) -> None:
        self.known: set[ClientIdSms] = set()
        self._journals = journals

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        against_first_run: Exception | None = None,
    ) -> DurableCampaignJournal:
        """See `Journal.open`."""
        journal = await self._journals.open(
            header, now, resend_rejected=resend_rejected, against_first_run=against_first_run
        )
        return RecordingCampaignJournal(journal, self.known)

    async def header(self, campaign: str) -> CampaignHeader:
        """See `Journal.header`."""
        return await self._journals.header(campaign)


class RecordingCampaignJournal:
    def __init__(self, journal: DurableCampaignJournal, known: set[ClientIdSms]) -> None:
        self._known = known
        self._journal = journal
        self.settle = journal.settle
        self.lookup = journal.lookup
        self.unsettled = journal.unsettled
        self.aclose = journal.aclose

    async def reserve(self, addressed: list[Addressed]) -> Reservation:
        reserved = await self._journal.reserve(addressed)
        self._known.update(to.client_id_sms for _, phones in reserved.addressed for to in phones)
        self._known.update(result.client_id_sms for result in reserved.settled)
        return reserved


def summarize(results: Sequence[SendResult], recipients: int, recording: RecordingJournal) -> BatchDone:
    """
    Return what became of a batch.

    Args:
        results: What the client said of it; those whose turn never came have none.
        recipients: How many it has.
        recording: Who of it is in the journal.
    """
    never_asked = recipients - len(results)
    others = not_accepted(results)
    outcomes = Counter(result.outcome for result in others)
    outcomes[Outcome.ACCEPTED] = len(results) - len(others)
    outcomes[Outcome.NOT_SENT] += never_asked
    left_out: list[SendResult] = []
    still_open = never_asked
    asked_elsewhere: set[ClientIdSms] = set()
    for result in others:
        if _is_left_out(result, recording.known | asked_elsewhere):
            left_out.append(result)
        elif _is_open(result):
            still_open += 1
            asked_elsewhere.add(result.client_id_sms)
    return BatchDone(outcomes={outcome: outcomes[outcome] for outcome in Outcome}, open=still_open, left_out=left_out)


def _is_left_out(result: SendResult, known: Collection[ClientIdSms]) -> bool:
    """Whether somebody is in no row of the journal, and never will be; *known* are those who are in one."""
    if result.reason is Reason.ID_REUSED:
        return True
    if result.reason is Reason.DUPLICATE:
        # If this batch has nobody else under the id, another one is asking for it now.
        return result.client_id_sms in known
    return result.client_id_sms not in known and result.reason not in _CUT_SHORT


def _is_open(result: SendResult) -> bool:
    """Whether asking again may help: whose time has passed stays late."""
    if result.outcome is Outcome.NOT_SENT:
        return result.reason is not Reason.BAD_TIME
    return result.outcome is Outcome.UNKNOWN
