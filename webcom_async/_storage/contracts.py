"""
Contracts of journals: reserve before a batch leaves, settle when its answer has arrived.

A campaign without a journal keeps in memory only what it needs while it runs. A journal survives the run.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from webcom_async._domain.messages import Addressed, Message, OutboundRecipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms

__all__ = [
    "CampaignHeader",
    "CampaignJournal",
    "CampaignNotBegun",
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
    What a journal decides about a batch that is about to leave.

    Attributes:
        addressed: The recipients to send to now, grouped and ordered as given.
        settled: Stored results of recipients that are not sent to again.
        refused: `NOT_SENT` results: the id belongs to another phone or message (`Reason.ID_REUSED`), or another worker
            may be sending to the recipient (`Reason.DUPLICATE`).
        possibly_sent: Ids in `addressed` that an earlier run may have sent to.
        entry: The number of the batch in the journal's own log; None if it has none.
    """

    addressed: list[Addressed]
    settled: list[SendResult]
    refused: list[SendResult]
    possibly_sent: set[ClientIdSms] = set()
    entry: int | None = None


class CampaignHeader(msgspec.Struct, frozen=True, kw_only=True):
    """
    Settings that must be equal in all runs of a campaign.

    Attributes:
        campaign: The campaign's name.
        id_bits: The width of derived ids.
        fingerprint: The digest of the call's message and sender; see `fingerprint`. Recipients' own texts are compared
            one by one.
        new_ids: The width of the new ids of recipients that were never sent to; 0 if they keep their derived ids. Once
            a run has set it, all later runs have it.
    """

    campaign: str
    id_bits: int
    fingerprint: str
    new_ids: int = 0


class CampaignJournal(Protocol):
    """Records what leaves in a campaign, and the results."""

    async def reserve(
        self, addressed: list[Addressed], *, new_ids: Mapping[ClientIdSms, ClientIdSms] = {}
    ) -> Reservation:
        """
        Record which recipients of a batch leave now; written before this returns.

        Args:
            addressed: Messages and their recipients; no id twice.
            new_ids: New ids by the ids in *addressed*, if the campaign has such. A recipient takes its new id unless it
                was possibly sent to, or is settled, under the other one; from then on it has that id alone.

        Raises:
            JournalError: The reservation cannot be written; nothing of the batch may be sent.
        """
        ...

    async def settle(
        self, results: list[SendResult], reserved: Reservation, *, all_accepted: bool = False
    ) -> list[SendResult]:
        """
        Store the results of *reserved* recipients, and return the stored ones in the same order; written before this
        returns.

        An accepted recipient stays accepted, and an unknown one never becomes not sent. If nothing else is stored,
        *results* itself is returned.

        Args:
            results: One per recipient.
            reserved: What `reserve` returned for their batch.
            all_accepted: Whether all are known to be accepted, each with an `id_sms` of its own. Left out, the same is
                stored, and it takes longer.

        Raises:
            IdCollision: Two ids got one `id_sms`. The other results are stored; those that share it are unknown. The
                exception has the `results`.
            JournalError: The results cannot be written.
        """
        ...

    async def lookup(self, results: list[SendResult]) -> list[SendResult]:
        """Return the stored results of recipients that were not reserved; the given result where none is stored."""
        ...

    async def aclose(self) -> None:
        """Close the journal."""
        ...


class DurableCampaignJournal(CampaignJournal, Protocol):
    """A campaign's journal that survives the run."""

    @property
    def header(self) -> CampaignHeader:
        """The campaign's header, as stored."""
        ...

    def unsettled(self) -> AsyncGenerator[tuple[Message, OutboundRecipient], None]:
        """
        Yield the recipients that were possibly sent to, with all that sending again needs.

        A recipient that is settled during the iteration is not yielded again.
        """
        ...


class StoredCampaign(msgspec.Struct, frozen=True):
    """
    A campaign in a journal.

    Attributes:
        header: The header.
        created: When the campaign was first run.
        opened: When the campaign was last run.
        counts: Recipients per outcome, with every outcome as a key.
        reasons: Recipients per reason, of those that were not accepted; most frequent first.
    """

    header: CampaignHeader
    created: datetime
    opened: datetime
    counts: dict[Outcome, int]
    reasons: dict[Reason, int]


class CampaignNotBegun(Exception):
    """The journal has no recipient of the campaign, and this call may not begin it."""


class Journal(Protocol):
    """Where campaigns are stored by name: a file, or tables on a server."""

    async def open(
        self,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Collection[Reason] = (),
        require_begun: bool = False,
    ) -> DurableCampaignJournal:
        """
        Open a campaign's journal; its header is on disk when this returns.

        Args:
            header: The campaign, and the settings that must equal those of its last run.
            now: The time, for human readers of the stored rows.
            resend_rejected: Reasons whose rejections are not final: such recipients may be sent to again.
            require_begun: Whether the campaign must have recipients already.

        Raises:
            CampaignNotBegun: The campaign must have recipients and has none; nothing was written.
            JournalError: The journal cannot be used for this campaign; the message says why, and what to do.
        """
        ...

    async def header(self, campaign: str) -> CampaignHeader:
        """
        Return the header of a campaign that was run before.

        Raises:
            JournalError: The journal cannot be used, or does not hold the campaign.
        """
        ...


class JournalReader(Journal, Protocol):
    """
    Reads and purges journals between runs.

    Raises:
        JournalError: The journal cannot be used, or does not hold the campaign. Raised by every method; by a generator
            at its first item.
    """

    async def stored_campaigns(self) -> list[StoredCampaign]:
        """Return the stored campaigns, in the order of their first runs."""
        ...

    async def counts(self, campaign: str) -> dict[Outcome, int]:
        """Return a campaign's recipients per outcome, with every outcome as a key."""
        ...

    def results(self, campaign: str, *outcomes: Outcome) -> AsyncGenerator[SendResult, None]:
        """
        Yield the results of a campaign's recipients, in the order of their first reservations.

        Lazily, in bounded memory. A recipient that was reserved and never settled is unknown.

        Args:
            campaign: The campaign's name.
            outcomes: The outcomes to yield; all if none is given.
        """
        ...

    def export(self, campaign: str | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Yield all stored fields of every recipient of one campaign, or of all, ready for JSON; lazily."""
        ...

    async def purge(self, campaign: str) -> int:
        """
        Remove a campaign with its texts, unless it is in use, and return the number of its recipients.

        Afterwards, only the gateway's own memory of ids keeps a later run of the campaign from sending again.
        """
        ...


def digest(content: bytes) -> str:
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def fingerprint(message: Message | None, sender: str | None) -> str:
    """Return a digest of a call's message, as it is on the wire, and its sender."""
    return digest(msgspec.json.encode({"message": message, "sender": sender}))
