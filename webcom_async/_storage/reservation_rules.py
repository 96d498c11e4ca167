"""
The rules of every journal: who may be sent to, whose result counts, and what alarms.

Between what is stored and what is told; pure. How it is stored, and how it is looked up, each kind of journal knows.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from webcom_async._batching.batcher import DUPLICATE_WORDS, not_sent
from webcom_async._domain.messages import Message
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._storage.contracts import CampaignHeader, Reservation
from webcom_async._storage.rows import asked
from webcom_async._wire.base import WirePhone

__all__ = ["DUPLICATES", "KnownRecipient", "Triage", "better", "changed_settings", "shared"]

DUPLICATES = frozenset({Reason.DUPLICATE, Reason.ID_REUSED})  # of items that never owned the row under their id


def changed_settings(header: CampaignHeader, id_bits: int, fingerprint: str) -> str:
    """Return words for what of *header* is not what the campaign was started with; empty if nothing is."""
    changes: list[str] = []
    if id_bits != header.id_bits:
        changes.append(f"id_bits={id_bits}, not {header.id_bits}")
    if fingerprint != header.fingerprint:
        changes.append("another message or sender")
    if not changes:
        return ""
    return (
        f"campaign {header.campaign!r} was started with {' and with '.join(changes)}; "
        "go on with what it was started with, or give the new campaign another name"
    )


class KnownRecipient(NamedTuple):
    """What a campaign knows of an id; the message is what it is stored under."""

    result: SendResult
    message: object
    held: bool = False  # by another worker, who may be sending to them now

    def belongs_to(self, phone: str, message: object) -> bool:
        """Whether it is about *phone* and *message*, which the gateway would not look at again."""
        return (self.result.phone, self.message) == (phone, message)


class Triage:
    """
    Who of a batch may be sent to.

    Args:
        own: What this campaign knows of the batch's ids.
        others: What other campaigns know of them.
        resend_rejected: Reasons for which a refusal is not final.

    Attributes:
        reserved: What to tell the caller.
        new: Rows to write for those who are sent to for the first time.
        again: Rows to write for those who are asked for again.
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

    def sort(self, message: Message, number: object, phones: list[WirePhone]) -> None:
        """Give each of *phones*, who all get *message*, its place."""
        leaving = [phone for phone in phones if self._may_leave(phone, number)]
        if leaving:
            self.reserved.addressed.append((message, leaving))

    def _may_leave(self, to: WirePhone, number: object) -> bool:
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
    """Return *result*, or what is known better of the same recipient."""
    if row is None or result.reason in DUPLICATES or row.result.phone != result.phone:
        return result
    return row.result


def shared(results: Iterable[SendResult], owners: Iterable[tuple[str, object]]) -> dict[str, set[str]]:
    """
    Return the `id_sms` that more than one id was answered with, and those ids.

    Args:
        results: What was answered now.
        owners: Each `id_sms` of *results* that was an answer before, and to which id.
    """
    ids: dict[str, set[str]] = {}
    for result in results:
        if result.id_sms is not None:
            ids.setdefault(result.id_sms, set()).add(result.client_id_sms)
    for id_sms, client_id in owners:
        ids[id_sms].add(str(client_id))
    return {id_sms: those for id_sms, those in ids.items() if len(those) > 1}
