"""Count the results of a batch: settled recipients, open ones, and those that never reached the journal."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from webcom_async._domain.messages import Addressed
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, not_accepted
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.campaign_store import BatchDone
from webcom_async._storage.contracts import CampaignHeader, DurableCampaignJournal, Journal, Reservation

__all__ = ["RecordingJournal", "summarize"]

_CUT_SHORT = frozenset({Reason.HALTED, Reason.CANCELLED})


class RecordingJournal:
    """
    A journal that records the ids it has accepted.

    Args:
        journals: The journal.

    Attributes:
        known: The recorded ids.
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
        require_begun: bool = False,
    ) -> DurableCampaignJournal:
        journal = await self._journals.open(header, now, resend_rejected=resend_rejected, require_begun=require_begun)
        # A caller's own journal may not tell its header.
        return RecordingCampaignJournal(journal, self.known, getattr(journal, "header", header))

    async def header(self, campaign: str) -> CampaignHeader:
        return await self._journals.header(campaign)


class RecordingCampaignJournal:
    def __init__(self, journal: DurableCampaignJournal, known: set[ClientIdSms], header: CampaignHeader) -> None:
        self._known = known
        self._journal = journal
        self.header = header
        self.settle = journal.settle
        self.lookup = journal.lookup
        self.unsettled = journal.unsettled
        self.aclose = journal.aclose

    async def reserve(
        self, addressed: list[Addressed], *, new_ids: Mapping[ClientIdSms, ClientIdSms] = {}
    ) -> Reservation:
        reserve = self._journal.reserve
        reserved = await (reserve(addressed, new_ids=new_ids) if new_ids else reserve(addressed))
        self._known.update(to.client_id_sms for _, phones in reserved.addressed for to in phones)
        self._known.update(result.client_id_sms for result in reserved.settled)
        # A duplicate of such a recipient has its other id.
        self._known.update(old for old, new in new_ids.items() if new in self._known)
        return reserved


def summarize(results: Sequence[SendResult], recipients: int, recording: RecordingJournal) -> BatchDone:
    """Return the counts of a batch; recipients that the client never reached have no result."""
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
    """Return whether a recipient will never have a row in the journal; *known* ids have one."""
    if result.reason is Reason.ID_REUSED:
        return True
    if result.reason is Reason.DUPLICATE:
        # If no other recipient of this batch has the id, another batch is sending under it now.
        return result.client_id_sms in known
    return result.client_id_sms not in known and result.reason not in _CUT_SHORT


def _is_open(result: SendResult) -> bool:
    """Return whether sending again may help; a recipient whose time has passed stays late."""
    if result.outcome is Outcome.NOT_SENT:
        return result.reason is not Reason.BAD_TIME
    return result.outcome is Outcome.UNKNOWN
