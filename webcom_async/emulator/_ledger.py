"""
The ledger: what was really sent.

Tests compare it with what a client claims. Append-only; it knows nothing of requests or answers.
"""

from collections import Counter

import msgspec

__all__ = ["Ledger", "Sms"]


class Sms(msgspec.Struct, frozen=True, gc=False):
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
    """

    id_sms: str
    account: str
    client_id_sms: str
    channel: str
    sender: str
    text: str
    phone: str
    validity_period: str


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

    def __len__(self) -> int:
        return len(self.sent)

    def ids(self) -> dict[str, str]:
        """Return the `id_sms` of every `client_id_sms`."""
        return {sms.client_id_sms: sms.id_sms for sms in self.sent}

    def to(self, phone: str) -> list[Sms]:
        """Return what was sent to *phone*."""
        return [sms for sms in self.sent if sms.phone == phone]

    def billed_twice(self) -> dict[str, int]:
        """Return phones with more than one message, and how many they got."""
        counts = Counter(sms.phone for sms in self.sent)
        return {phone: count for phone, count in counts.items() if count > 1}
