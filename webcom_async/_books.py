"""
The books of a campaign: what is written down before a batch leaves, and when its answer has come.

A campaign without a journal keeps no more than what must not be forgotten while it runs. A journal's books outlive the
run; here is what every kind of journal promises, and nothing of how it does so.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from webcom_async._client_ids import ClientIdSms
from webcom_async._policy import collision, doubted, in_doubt_among
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone
from webcom_async.models import AllAccepted, Message, Outcome, SendResult, given_ids, not_accepted

__all__ = [
    "Archive",
    "Books",
    "CampaignHeader",
    "Journals",
    "KeptBooks",
    "Reserved",
    "Scratchpad",
    "StoredCampaign",
    "digest",
    "fingerprint",
]

_DIGEST_BYTES = 16
_REMEMBERED = 4_096  # answers, at least; twice as many at most


class Reserved(msgspec.Struct, frozen=True):
    """
    What becomes of a batch that is about to leave.

    Attributes:
        addressed: What is to be sent now, grouped and ordered as it was given.
        settled: What is known from before: not sent again.
        refused: `NOT_SENT`: the id belongs to another phone or message (`Reason.ID_REUSED`), or another worker may be
            sending to them now (`Reason.DUPLICATE`).
        doubtful: Ids of those in `addressed` who may have been sent to in an earlier run.
        entry: The number of the batch in a log; None if it is in none. Of interest to the books only.
    """

    addressed: list[Addressed]
    settled: list[SendResult]
    refused: list[SendResult]
    doubtful: set[ClientIdSms] = set()
    entry: int | None = None


class Books(Protocol):
    """Where a campaign writes down what leaves and what became of it."""

    async def reserve(self, addressed: list[Addressed]) -> Reserved:
        """Say who of a batch may leave now, and that they do."""
        ...

    async def settle(self, results: list[SendResult], reserved: Reserved) -> list[SendResult]:
        """Say what became of those who were *reserved*, and return what is known now, in the same order."""
        ...

    async def recall(self, results: list[SendResult]) -> list[SendResult]:
        """Return what is known of those who were not reserved, *results* as far as nothing is."""
        ...

    async def aclose(self) -> None:
        """Close the books."""
        ...


class KeptBooks(Books, Protocol):
    """The books of a campaign that a journal remembers."""

    def unsettled(self) -> AsyncGenerator[tuple[Message, WirePhone], None]:
        """
        Yield everyone of whom it is not known whether they were sent to, with what it takes to ask again.

        Those who are settled on the way do not come again.
        """
        ...


class CampaignHeader(msgspec.Struct, frozen=True, kw_only=True):
    """
    What may not change between two runs of a campaign.

    Attributes:
        campaign: The campaign's name.
        id_bits: The width of its derived ids.
        fingerprint: Of the call's own message and sender; see `fingerprint`. Texts that recipients bring are compared
            one by one.
    """

    campaign: str
    id_bits: int
    fingerprint: str


class StoredCampaign(msgspec.Struct, frozen=True):
    """
    A campaign as it stands in a journal.

    Attributes:
        header: What may not change.
        created: When it was first run.
        opened: When it was last run.
        counts: Recipients per outcome; all outcomes are there.
        reasons: Recipients per reason, of those who were not accepted; the most frequent first.
    """

    header: CampaignHeader
    created: datetime
    opened: datetime
    counts: dict[Outcome, int]
    reasons: dict[Reason, int]


class Journals(Protocol):
    """Where campaigns are remembered by their names: a file, or tables of a server."""

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        against_first_run: Exception | None = None,
    ) -> KeptBooks:
        """
        Open the books of a campaign; its header is on the disk when this returns.

        Args:
            header: Which campaign, and what may not have changed since its last run.
            now: The time, for people who read what is stored.
            resend_rejected: Reasons for which a refusal is not final: who was rejected for one of them may leave again.
            against_first_run: Raised unless the campaign has recipients already.

        Raises:
            JournalError: The journal cannot be used for this campaign; the message says why, and what to do.
        """
        ...

    async def header(self, campaign: str) -> CampaignHeader:
        """
        Return the header of a campaign that was run before.

        Raises:
            JournalError: The journal cannot be used, or holds no such campaign.
        """
        ...


class Archive(Journals, Protocol):
    """Journals between runs: what is in them, all of it as data, and how a campaign leaves them."""

    async def stored_campaigns(self) -> list[StoredCampaign]:
        """
        Return the campaigns that are remembered, in the order of their first runs.

        Raises:
            JournalError: The journal cannot be used. So does every method.
        """
        ...

    async def counts(self, campaign: str) -> dict[Outcome, int]:
        """
        Return a campaign's recipients per outcome; all outcomes are there.

        Raises:
            JournalError: There is no such campaign.
        """
        ...

    def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult, None]:
        """
        Yield what is known of a campaign's recipients, in the order of their first reservations.

        Lazily, in bounded memory. Who was reserved and never settled is unknown.

        Args:
            campaign: Its name.
            outcomes: Only these; all, if none is given.

        Raises:
            JournalError: There is no such campaign. Raised at the first item.
        """
        ...

    def export(self, campaign: str | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """
        Yield everything that is known of every recipient, as it may be written as JSON; lazily.

        Args:
            campaign: This one only.

        Raises:
            JournalError: There is no such campaign. Raised at the first item.
        """
        ...

    async def purge(self, campaign: str) -> int:
        """
        Remove a campaign, and the texts that only it had, and return how many recipients it had.

        Nothing but the gateway's own memory of ids then stops a later run of the campaign from sending again.

        Raises:
            JournalError: There is no such campaign, or it is in use.
        """
        ...


def digest(content: bytes) -> str:
    """Return what *content* is known by."""
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def fingerprint(message: Message | None, sender: str | None) -> str:
    """Return a digest of what a call says for everyone: its message as it stands on the wire, and its sender."""
    return digest(msgspec.json.encode({"message": message, "sender": sender}))


class Scratchpad:
    """
    The books of a campaign without a journal: the little that must not be forgotten while it runs.

    Whom it has asked for in vain, so that no later word denies it: a phone may stand in a source twice, and if the
    first request for it is in question, and the second is held back, it may have been sent to all the same. This grows
    with the number of unknown recipients only. And the latest answers, to notice one that comes twice.
    """

    def __init__(self) -> None:
        self._unknown: set[ClientIdSms] = set()
        self._latest = _Answers()
        self._older = _Answers()

    async def reserve(self, addressed: list[Addressed]) -> Reserved:
        """Let everyone leave."""
        unknown = self._unknown
        if not unknown:
            return Reserved(addressed, [], [])
        again = {to.client_id_sms for _, phones in addressed for to in phones if to.client_id_sms in unknown}
        return Reserved(addressed, [], [], again)

    async def settle(self, results: list[SendResult], reserved: Reserved) -> list[SendResult]:  # noqa: ARG002
        """
        Remember who is unknown, and what was answered.

        Raises:
            IdCollision: Two ids were answered with one `id_sms`, as far as the first of them is not too long ago.
        """
        known = await self.recall(results)
        twice = self._look_back(known)
        shared = {
            before.id_sms or "": {now.client_id_sms, before.client_id_sms}
            for now, before in twice
            if now.client_id_sms != before.client_id_sms
        }
        if twice:
            swallowed = {now for now, before in twice if now.phone != before.phone and now.id_sms not in shared}
            known = [_swallowed(each) if each in swallowed else each for each in known]
            known = [doubted(each) if each.id_sms in shared else each for each in known]
        if self._unknown:
            self._unknown.difference_update(each.client_id_sms for each in known)
        self._unknown.update(each.client_id_sms for each in not_accepted(known) if each.outcome is Outcome.UNKNOWN)
        if shared:
            raise collision(shared, known)
        return known

    async def recall(self, results: list[SendResult]) -> list[SendResult]:
        """Return *results*, in which who is unknown stays so."""
        return in_doubt_among(results, self._unknown)

    async def aclose(self) -> None:
        """Do nothing."""

    def _look_back(self, results: list[SendResult]) -> list[tuple[SendResult, SendResult]]:
        """Return those who were answered with an `id_sms` that was an answer lately, each with whose it was."""
        ids = given_ids(results)
        answered = results if len(ids) == len(results) else [each for each in results if each.id_sms is not None]
        whose = self._latest.among(ids) | self._older.among(ids)
        # An SMS is whose it was first: who comes later was sent nothing.
        self._latest.add([*whose, *ids], [*whose.values(), *answered])
        if len(self._latest) > _REMEMBERED:
            self._older, self._latest = self._latest, _Answers()
        if not whose and isinstance(results, AllAccepted):
            return []
        # Halves of a batch have an answer each.
        pairs = [(now, whose.setdefault(id_sms, now)) for id_sms, now in zip(ids, answered, strict=True)]
        return [(now, before) for now, before in pairs if now is not before]


class _Answers:
    """
    Answers by their `id_sms`.

    Nearly always there is none of a batch's, which a set of ids tells in a third of the time that a dict takes.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._by_id: dict[str, SendResult] = {}
        self._to_enter: list[tuple[Sequence[str], Sequence[SendResult]]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], answered: Sequence[SendResult]) -> None:
        """Remember *answered*, each under its one of *ids*; the first of several counts."""
        self._ids.update(ids)
        if ids:
            self._to_enter.append((ids, answered))

    def among(self, ids: Sequence[str]) -> dict[str, SendResult]:
        """Return those that were answered with one of *ids*."""
        known = self._ids.intersection(ids)
        if known:
            self._enter()
        return {id_sms: self._by_id[id_sms] for id_sms in known}

    def _enter(self) -> None:
        for ids, answered in self._to_enter:
            for id_sms, each in zip(ids, answered, strict=True):
                self._by_id.setdefault(id_sms, each)
        self._to_enter.clear()


def _swallowed(result: SendResult) -> SendResult:
    """Return *result*, whose id was another phone's before: the gateway answers with that one's SMS, and sends none."""
    words = f"client_id_sms {result.client_id_sms} was another phone's: the gateway sends one SMS per id"
    return msgspec.structs.replace(result, outcome=Outcome.NOT_SENT, id_sms=None, reason=Reason.ID_REUSED, error=words)
