"""
Rules that all journals share: which recipients may be sent to, which result counts, and which answers collide.

Pure: each journal reads and writes the rows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from webcom_async._batching.batcher import DUPLICATE_WORDS, not_sent
from webcom_async._domain.errors import IdCollision
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient
from webcom_async._domain.outcome_rules import Repeats, claims_among, collision
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.contracts import CampaignHeader, Reservation
from webcom_async._storage.rows import asked

__all__ = [
    "DUPLICATES",
    "KnownRecipient",
    "Triage",
    "better",
    "changed_settings",
    "renumbered",
    "repeats_error",
    "with_new_ids",
]

DUPLICATES = frozenset({Reason.DUPLICATE, Reason.ID_REUSED})  # of items that do not own their id's row


def changed_settings(header: CampaignHeader, stored: CampaignHeader) -> str:
    """Return what differs between *header* and the *stored* one; an empty text if a run may go on."""
    changes: list[str] = []
    if header.id_bits not in {stored.id_bits, stored.new_ids, header.new_ids}:
        changes.append(f"id_bits={stored.id_bits}, not {header.id_bits}")
    if stored.fingerprint != header.fingerprint:
        changes.append("another message or sender")
    if header.new_ids and stored.new_ids not in {0, header.new_ids}:
        changes.append(f"new ids of id_bits={stored.new_ids}, not {header.new_ids}")
    if not changes:
        return ""
    return (
        f"campaign {header.campaign!r} was started with {' and with '.join(changes)}; "
        "go on with what it was started with. A new campaign needs another name, under which recipients that were "
        "accepted in this one are sent to, and billed, again"
    )


def with_new_ids(header: CampaignHeader, stored: CampaignHeader) -> CampaignHeader:
    """Return the *stored* header with the new ids that *header* asks for."""
    return msgspec.structs.replace(stored, new_ids=stored.new_ids or header.new_ids)


def renumbered(
    addressed: Iterable[Addressed], new_ids: Mapping[ClientIdSms, ClientIdSms], kept: AbstractSet[str]
) -> list[Addressed]:
    """Return *addressed* under *new_ids*, but for recipients whose ids are *kept*."""
    return [(message, [_renumbered(to, new_ids, kept) for to in phones]) for message, phones in addressed]


def _renumbered(
    to: OutboundRecipient, new_ids: Mapping[ClientIdSms, ClientIdSms], kept: AbstractSet[str]
) -> OutboundRecipient:
    new = None if to.client_id_sms in kept else new_ids.get(to.client_id_sms)
    return to if new is None else msgspec.structs.replace(to, client_id_sms=new)


class KnownRecipient(NamedTuple):
    """A stored result, and the key of its message."""

    result: SendResult
    message: object
    held: bool = False  # reserved by another worker, which may be sending now

    def belongs_to(self, phone: str, message: object) -> bool:
        """Under a used id, the gateway looks at neither phone nor message."""
        return (self.result.phone, self.message) == (phone, message)


class Triage:
    """
    Sorts a batch into recipients that may be sent to and others.

    Args:
        own: This campaign's rows of the batch's ids.
        others: Other campaigns' rows of these ids.
        resend_rejected: Reasons whose rejections are not final.

    Attributes:
        reserved: The reservation to return.
        new: Rows to insert, for recipients sent to for the first time.
        again: Rows to update, for recipients sent to again.
    """

    def __init__(
        self,
        own: Mapping[str, KnownRecipient],
        others: Mapping[str, Sequence[KnownRecipient]],
        resend_rejected: AbstractSet[Reason],
    ) -> None:
        self.reserved = Reservation([], [], [], set())
        self.new: list[tuple[object, ...]] = []
        self.again: list[tuple[object, ...]] = []
        self._own = own
        self._others = others
        self._resend_rejected = resend_rejected

    def sort(self, message: Message, number: object, phones: list[OutboundRecipient]) -> None:
        leaving = [phone for phone in phones if self._may_leave(phone, number)]
        if leaving:
            self.reserved.addressed.append((message, leaving))

    def _may_leave(self, to: OutboundRecipient, number: object) -> bool:
        own = self._own.get(to.client_id_sms)
        rows = [*self._others.get(to.client_id_sms, ()), *(() if own is None else (own,))]
        if not all(row.belongs_to(to.phone, number) for row in rows):
            words = f"client_id_sms {to.client_id_sms} belongs to another phone or message in the journal"
            self.reserved.refused.append(not_sent(to, Reason.ID_REUSED, words))
            return False
        if own is not None and self._is_final(own.result):
            self.reserved.settled.append(own.result)
            return False
        if own is not None and own.held:
            self.reserved.refused.append(not_sent(to, Reason.DUPLICATE, DUPLICATE_WORDS))
            return False

        if own is None:
            self.new.append((*asked(to), to.phone, number))
        else:
            self.again.append(asked(to))
        if any(row.result.outcome is Outcome.UNKNOWN for row in rows):
            self.reserved.possibly_sent.add(to.client_id_sms)
        return True

    def _is_final(self, result: SendResult) -> bool:
        if result.outcome is Outcome.REJECTED:
            return result.reason not in self._resend_rejected
        return result.outcome is Outcome.ACCEPTED


def better(result: SendResult, row: KnownRecipient | None) -> SendResult:
    """Return *result*, or the stored one of the same recipient, which counts more."""
    if row is None or result.reason in DUPLICATES or row.result.phone != result.phone:
        return result
    return row.result


def repeats_error(
    repeats: Repeats,
    owners: AbstractSet[tuple[str, str]],
    *,
    given: Sequence[SendResult],
    results: Sequence[SendResult],
    campaign: str,
    campaigns: AbstractSet[str],
) -> IdCollision:
    """
    Return the alarm for *repeats*, which says whether the journal knew all of them before.

    Args:
        repeats: Each repeated `id_sms`, and the ids that it answered.
        owners: Every stored `id_sms` of the batch, and an id that was answered with it.
        given: The batch's answers.
        results: Their results, as stored now.
        campaign: The campaign's name.
        campaigns: The names of the campaigns in which a repeated `id_sms` is stored.
    """
    claims = claims_among(given, repeats)
    stored = Counter(id_sms for id_sms, _ in owners)
    known = all((id_sms, client_id) in owners and stored[id_sms] > 1 for client_id, id_sms in claims.items())
    return collision(repeats, claims, results=results, campaign=campaign, campaigns=campaigns, known=known)
