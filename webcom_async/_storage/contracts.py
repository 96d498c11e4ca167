"""
The books of a campaign: what is written down before a batch leaves, and when its answer has come.

A campaign without a journal keeps no more than what must not be forgotten while it runs. A journal's books outlive the
run; here is what every kind of journal promises, and nothing of how it does so.
"""

from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from webcom_async._domain.messages import Message
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms
from webcom_async._wire.base import Addressed, WirePhone

__all__ = [
    "CampaignHeader",
    "CampaignJournal",
    "DurableCampaignJournal",
    "Journal",
    "JournalReader",
    "Reservation",
    "StoredCampaign",
    "digest",
    "fingerprint",
]

_DIGEST_BYTES = 16


class Reservation(msgspec.Struct, frozen=True):
    """
    What becomes of a batch that is about to leave.

    Attributes:
        addressed: What is to be sent now, grouped and ordered as it was given.
        settled: What is known from before: not sent again.
        refused: `NOT_SENT`: the id belongs to another phone or message (`Reason.ID_REUSED`), or another worker may be
            sending to them now (`Reason.DUPLICATE`).
        possibly_sent: Ids of those in `addressed` who may have been sent to in an earlier run.
        entry: The number of the batch in a log; None if it is in none. Of interest to the books only.
    """

    addressed: list[Addressed]
    settled: list[SendResult]
    refused: list[SendResult]
    possibly_sent: set[ClientIdSms] = set()
    entry: int | None = None


class CampaignJournal(Protocol):
    """Where a campaign writes down what leaves and what became of it."""

    async def reserve(self, addressed: list[Addressed]) -> Reservation:
        """Say who of a batch may leave now, and that they do."""
        ...

    async def settle(self, results: list[SendResult], reserved: Reservation) -> list[SendResult]:
        """Say what became of those who were *reserved*, and return what is known now, in the same order."""
        ...

    async def lookup(self, results: list[SendResult]) -> list[SendResult]:
        """Return what is known of those who were not reserved, *results* as far as nothing is."""
        ...

    async def aclose(self) -> None:
        """Close the books."""
        ...


class DurableCampaignJournal(CampaignJournal, Protocol):
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


class Journal(Protocol):
    """Where campaigns are remembered by their names: a file, or tables of a server."""

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        against_first_run: Exception | None = None,
    ) -> DurableCampaignJournal:
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


class JournalReader(Journal, Protocol):
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
