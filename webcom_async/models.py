"""
The words of the library: what is said, to whom, and what became of it.

Frozen msgspec structs and enums, nothing that acts. Names that go on the wire are the vendor's own.

Confidence marks in field descriptions: *documented* is on the vendor's JSON page; *XML page* is documented for XML
only, so the gateway may ignore or refuse it in JSON: try it with your own phone first.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

from webcom_async._client_ids import ClientIdSms
from webcom_async._phones import Phone
from webcom_async._reasons import Reason
from webcom_async.errors import InputError

__all__ = [
    "Channel",
    "Message",
    "MessageType",
    "Outcome",
    "Progress",
    "Recipient",
    "Report",
    "SendResult",
    "Traffic",
    "VcardAddress",
    "VcardPhone",
    "not_accepted",
]

MAX_SENDER_CHARACTERS = 11  # the gateway's own refusal: 11 characters, or 15 for a number
MAX_SENDER_DIGITS = 15


class Channel(enum.Enum):
    """Where a message goes: `type_send_1`."""

    SMS = "sms"
    VIBER = "viber"


class MessageType(enum.Enum):
    """What kind of message it is: `type` (XML page)."""

    SMS = "sms"
    FLASH = "flashsms"
    SILENT = "silence"
    WAP_PUSH = "wappush"
    VCARD = "vcard"


class VcardPhone(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Phones on a business card (XML page)."""

    cell: str | None = None
    work: str | None = None
    fax: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, _TEXTS)


class VcardAddress(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The address on a business card (XML page)."""

    post_office_box: str | None = None
    street: str | None = None
    city: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, _TEXTS)


def _sms() -> Channel:
    return Channel.SMS


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """
    What is said, in the vendor's own field names.

    Attributes:
        type_send_1: The channel; SMS unless said otherwise. Documented.
        sender: The name or number shown to the recipient; for SMS at most 11 characters, or 15 digits. Documented.
        text: The text, or a WAP link's description. Documented.
        type_send_2: The second channel, if the first does not deliver. XML page.
        type: Flash, silent, WAP-Push or business card. XML page.
        sender_viber: The sender in Viber, for cascades. XML page.
        text_viber: The text in Viber, for cascades. XML page.
        image_viber: URL of the picture. XML page.
        button_viber: The button's caption. XML page.
        action_viber: The button's link. XML page.
        url: The link of a WAP-Push. XML page.
        name: The contact's name on a business card. XML page.
        email: Email on a business card. XML page.
        position: Position on a business card. XML page.
        organization: Organization on a business card. XML page.
        phone: Phones on a business card. XML page.
        address: Address on a business card. XML page.

    Raises:
        InputError: Sender or text is empty, is not text, or the sender is too long for SMS.
    """

    # In the order of the vendor's example. A factory, because msgspec leaves out a field that *is* its default.
    type_send_1: Channel = msgspec.field(default_factory=_sms)
    sender: str
    text: str
    type_send_2: Channel | None = None
    type: MessageType | None = None
    sender_viber: str | None = None
    text_viber: str | None = None
    image_viber: str | None = None
    button_viber: str | None = None
    action_viber: str | None = None
    url: str | None = None
    name: str | None = None
    email: str | None = None
    position: str | None = None
    organization: str | None = None
    phone: VcardPhone | None = None
    address: VcardAddress | None = None

    def __post_init__(self) -> None:
        _check_text("sender", self.sender, Reason.BAD_SENDER)
        _check_text("text", self.text, Reason.BAD_TEXT)
        if not isinstance(self.type_send_1, Channel):
            raise InputError(f"type_send_1 must be a Channel, not {self.type_send_1!r}")
        _check_sender(str.__str__(self.sender), self.type_send_1)
        if type(self.sender) is not str or type(self.text) is not str:
            # Other kinds of str, such as numpy's, cannot be written as JSON.
            msgspec.structs.force_setattr(self, "sender", str.__str__(self.sender))
            msgspec.structs.force_setattr(self, "text", str.__str__(self.text))
        _check_types(self, _FIELD_TYPES)


_TEXTS: frozenset[type] = frozenset({str, type(None)})
_FIELD_TYPES: frozenset[type] = _TEXTS | {Channel, MessageType, VcardPhone, VcardAddress}


def _check_types(said: msgspec.Struct, allowed: frozenset[type]) -> None:
    if allowed.issuperset(map(type, msgspec.structs.astuple(said))):
        return
    for field, value in msgspec.structs.asdict(said).items():
        if type(value) not in allowed:
            raise InputError(f"{field} is {type(value).__name__}, which a message cannot hold", Reason.BAD_TEXT)


# A campaign has few senders and many texts.
@lru_cache(maxsize=256)
def _check_sender(sender: str, channel: Channel) -> None:
    limit = MAX_SENDER_DIGITS if sender.isascii() and sender.isdigit() else MAX_SENDER_CHARACTERS
    if channel is Channel.SMS and len(sender) > limit:
        raise InputError(
            f"sender {sender!r} has {len(sender)} characters; SMS allows {MAX_SENDER_CHARACTERS}, "
            f"or {MAX_SENDER_DIGITS} if all are digits",
            Reason.BAD_SENDER,
        )


def _check_text(field: str, value: object, reason: Reason) -> None:
    if not isinstance(value, str):
        raise InputError(f"{field} must be a str, not {type(value).__name__}", reason)
    if not value.strip():
        raise InputError(f"{field} is empty", reason)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{field} holds half of a character (a lone surrogate); UTF-8 cannot carry it", reason
        ) from None


class Recipient(msgspec.Struct, frozen=True, gc=False):
    """
    To whom, and what is this recipient's own. What is left out comes from the call.

    Attributes:
        phone: The phone as people write it, or a number.
        client_id_sms: Your own id, decimal digits up to 2**63 - 1. Left out, it is derived from campaign, phone and
            `key`. The gateway sends one SMS per id and account, ever.
        key: Tells several messages to one phone in one campaign apart, such as an order number; empty for none. A blank
            one is refused.
        text: A text of this recipient's own.
        message: A whole message of this recipient's own, instead of `text`.
        validity_period: No attempt is made after this moment. Aware, in the future. Documented.
        time_send: Send at this moment, to the minute. Aware, in the future. XML page.
        number_sms: The number of this SMS within the request. XML page.
    """

    phone: str | int
    client_id_sms: str | int | None = None
    key: str = ""
    text: str | None = None
    message: Message | None = None
    validity_period: datetime | None = None
    time_send: datetime | None = None
    number_sms: int | None = None


class Outcome(enum.Enum):
    """What became of a recipient: a claim of fact, and nothing beyond what is known."""

    ACCEPTED = "accepted"  #: the gateway took it and gave an `id_sms`
    REJECTED = "rejected"  #: the gateway refused this recipient; nothing was sent
    UNKNOWN = "unknown"  #: it may have been sent: ask again, under the same id only
    NOT_SENT = "not_sent"  #: it never left, or was refused before it was looked at; send it again


class SendResult(msgspec.Struct, frozen=True, gc=False):
    """
    What became of one recipient.

    Attributes:
        client_id_sms: The idempotency key; empty if the recipient was unusable and brought none.
        phone: Digits only; as it was given, if it was unusable.
        outcome: What is known.
        id_sms: The gateway's id, to follow delivery; None if it gave none.
        reason: Why it was not accepted.
        error: The gateway's own words, or ours for what never left; empty if nothing is wrong. Untrusted text.
        attempts: Requests that carried this recipient.
    """

    client_id_sms: ClientIdSms
    phone: Phone
    outcome: Outcome
    id_sms: str | None = None
    reason: Reason = Reason.NONE
    error: str = ""
    attempts: int = 0


class AllAccepted(list[SendResult]):
    """
    The results of a batch in which everybody is accepted, each with an id_sms of their own.

    Nearly every batch is so, and nobody who looks for others has to look at its results one by one: a tenth of a
    campaign's work. Not to be changed.

    Args:
        results: They.
        id_sms: Their ids, if they are known already.

    Attributes:
        id_sms: Their ids.
    """

    __slots__ = ("id_sms",)

    def __init__(self, results: Iterable[SendResult], id_sms: Sequence[str] | None = None) -> None:
        super().__init__(results)
        self.id_sms: Sequence[str] = _given_ids(self) if id_sms is None else id_sms


_ACCEPTED = Outcome.ACCEPTED  # Python 3.11 takes 60 ns for every look into an Enum


def not_accepted(results: Iterable[SendResult]) -> list[SendResult]:
    """Return those of *results* that are anything but accepted: few, as a rule, and all that needs a second look."""
    if isinstance(results, AllAccepted):
        return []
    accepted = _ACCEPTED
    return [result for result in results if result.outcome is not accepted]


def given_ids(results: Iterable[SendResult]) -> Sequence[str]:
    """Return the `id_sms` of those of *results* that have one, in their order."""
    return results.id_sms if isinstance(results, AllAccepted) else _given_ids(results)


def _given_ids(results: Iterable[SendResult]) -> list[str]:
    return [result.id_sms for result in results if result.id_sms is not None]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a campaign has cost the network.

    Attributes:
        requests: Requests sent, retries included.
        retries: Requests that repeated an earlier one.
        bytes_sent: Bytes of the requests' bodies.
        bytes_received: Bytes of the answers' bodies, decoded.
        connections: Connections opened. A caller's own HTTP client, or transport, may not tell.
        false_timeouts: Requests given up at their deadline although the event loop was blocked then, so that the
            answer may have been there: above zero, something in the program blocks the loop for longer than `timeout`.
    """

    requests: int
    retries: int
    bytes_sent: int = 0
    bytes_received: int = 0
    connections: int = 0
    false_timeouts: int = 0


class Report(Traffic, frozen=True, kw_only=True):
    """
    What a campaign has achieved, beside its `Traffic`.

    Attributes:
        campaign: The campaign's name; a random one if the call gave none.
        outcomes: Recipients per outcome.
        reasons: Recipients per reason, of those who were not accepted.
        seconds: Time from the opening of the stream to the last result.
        complete: Whether the source was read to its end, everything taken from it has a result, and nothing ended the
            campaign early.
        from_journal: Recipients whose result was in the journal already, from an earlier run, from another worker, or
            from the same source in which they stand twice: nothing was sent for them.
    """

    campaign: str
    outcomes: Mapping[Outcome, int]
    reasons: Mapping[Reason, int]
    seconds: float
    complete: bool
    from_journal: int = 0

    @property
    def recipients(self) -> int:
        """Recipients with a result."""
        return sum(self.outcomes.values())

    @property
    def accepted(self) -> int:
        """Recipients the gateway took."""
        return self.outcomes[Outcome.ACCEPTED]

    @property
    def rejected(self) -> int:
        """Recipients the gateway refused."""
        return self.outcomes[Outcome.REJECTED]

    @property
    def unknown(self) -> int:
        """Recipients who may have been sent to."""
        return self.outcomes[Outcome.UNKNOWN]

    @property
    def not_sent(self) -> int:
        """Recipients to whom nothing was sent."""
        return self.outcomes[Outcome.NOT_SENT]

    @property
    def recipients_per_second(self) -> float:
        """Recipients with a result per second; 0.0 before the first."""
        return self.recipients / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {outcome.value}" for outcome, count in self.outcomes.items())
        reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in self.reasons.items())
        return (
            f"{self.recipients:,} recipients{'' if self.complete else ' (incomplete)'}: {counts}"
            + (f" ({reasons})" if reasons else "")
            + (f"; {self.from_journal:,} from the journal" if self.from_journal else "")
            + f"; {self.requests:,} requests, {self.retries:,} retries, "
            f"{self.seconds:.2f} s, {self.recipients_per_second:,.0f} recipients/s"
        )


class Progress(Report, frozen=True, kw_only=True):
    """
    A report in the making.

    Attributes:
        taken: Recipients taken from the source so far.
        in_flight: Requests on their way now.
        limit: Requests that may be on their way at once now, over the whole client.
        rate: Recipients per second that may leave, over the whole client; None for no limit.
    """

    taken: int
    in_flight: int
    limit: int
    rate: float | None
