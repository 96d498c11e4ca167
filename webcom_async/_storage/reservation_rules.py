"""
Rules that all journals share: which recipients may be sent to, which result counts, and which answers collide.

Pure: each journal reads and writes the rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from webcom_async._batching.batcher import DUPLICATE_WORDS, not_sent
from webcom_async._domain.messages import Message, OutboundRecipient
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._storage.contracts import CampaignHeader, Reservation
from webcom_async._storage.rows import asked

__all__ = ["DUPLICATES", "KnownRecipient", "Triage", "better", "changed_settings", "shared"]

DUPLICATES = frozenset({Reason.DUPLICATE, Reason.ID_REUSED})  # of items that do not own their id's row


def changed_settings(header: CampaignHeader, id_bits: int, fingerprint: str) -> str:
    """Return an empty text if nothing differs from the first run."""
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


def shared(results: Iterable[SendResult], owners: Iterable[tuple[str, object]]) -> dict[str, set[str]]:
    """Return each `id_sms` that several ids got, in *results* or before (*owners*), with those ids."""
    ids: dict[str, set[str]] = {}
    for result in results:
        if result.id_sms is not None:
            ids.setdefault(result.id_sms, set()).add(result.client_id_sms)
    for id_sms, client_id in owners:
        ids[id_sms].add(str(client_id))
    return {id_sms: those for id_sms, those in ids.items() if len(those) > 1}
