"""
The ledger: what was really sent.

Tests compare it with what a client claims. Append-only; it knows nothing of requests or answers.
"""

from collections import Counter
from datetime import UTC, datetime

import msgspec

from webcom_async._domain.records import PrivateRecord

__all__ = ["Ledger", "Sms", "parts_of"]

_ALONE, _JOINED = 160, 153  # characters of one part, and of each of several: GSM 03.38 in 140 bytes
_WIDE_ALONE, _WIDE_JOINED = 70, 67  # the same in UCS-2
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Sms(PrivateRecord, msgspec.Struct, frozen=True, gc=False):
    """
    One message that left the gateway.

    Attributes:
        id_sms: The gateway's id.
        account: The account's login.
        client_id_sms: The client's id; empty if it gave none.
        channel: `sms` or `viber`.
        sender: As received.
        text: As received.
        phone: As received.
        validity_period: As received; empty if there was none.
        parts: Parts that are billed.
        sent_at: When it was accepted.
    """

    id_sms: str
    account: str
    client_id_sms: str
    channel: str
    sender: str
    text: str
    phone: str
    validity_period: str
    parts: int = 1
    sent_at: datetime = _NO_TIME


def parts_of(text: str) -> int:
    """Return the parts that are billed: of 160 characters if *text* is ASCII, of 70 if it is not."""
    length = len(text.encode("utf-16-le", errors="surrogatepass")) // 2
    alone, joined = (_ALONE, _JOINED) if text.isascii() else (_WIDE_ALONE, _WIDE_JOINED)
    return 1 if length <= alone else -(-length // joined)


class Ledger:
    """
    Everything that was sent, in order.

    Attributes:
        sent: The messages.
        repeats: Recipients that came again under a used id, and were answered with the first `id_sms`.
    """

    def __init__(self) -> None:
        self.sent: list[Sms] = []
        self.repeats = 0
        self._by_id: dict[str, Sms] = {}
        self._indexed = 0

    def __len__(self) -> int:
        return len(self.sent)

    def ids(self) -> dict[str, str]:
        """Return the `id_sms` of every `client_id_sms`."""
        return {sms.client_id_sms: sms.id_sms for sms in self.sent}

    def find(self, id_sms: str) -> Sms | None:
        """Return the message with this id; None if there is none."""
        if self._indexed != len(self.sent):
            self._by_id.update((sms.id_sms, sms) for sms in self.sent[self._indexed :])
            self._indexed = len(self.sent)
        return self._by_id.get(id_sms)

    def to(self, phone: str) -> list[Sms]:
        """Return what was sent to *phone*."""
        return [sms for sms in self.sent if sms.phone == phone]

    def billed_twice(self) -> dict[str, int]:
        """Return phones with more than one message, and how many they got."""
        counts = Counter(sms.phone for sms in self.sent)
        return {phone: count for phone, count in counts.items() if count > 1}
