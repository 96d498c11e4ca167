"""
The messages of the library, and their recipients: as a caller gives them, and addressed under an id.

Frozen msgspec structs and enums, without actions. Names that go on the wire are the vendor's own.

Confidence marks in field descriptions: *documented* is on the vendor's JSON page; *XML page* is documented for XML
only, so the gateway may ignore or refuse it in JSON: try it with your own phone first.
"""

import enum
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain

import msgspec

from webcom_async._domain.errors import InputError
from webcom_async._domain.reasons import Reason
from webcom_async._domain.records import PrivateRecord
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = [
    "Addressed",
    "Channel",
    "Message",
    "MessageType",
    "OutboundRecipient",
    "Recipient",
    "VcardAddress",
    "VcardPhone",
    "phones_of",
    "utc_moment",
]


MAX_SENDER_CHARACTERS = 11  # the gateway's own refusal: 11 characters, or 15 for a number
MAX_SENDER_DIGITS = 15


class Channel(enum.StrEnum):
    """The channel of a message: `type_send_1`."""

    SMS = "sms"
    VIBER = "viber"


class MessageType(enum.StrEnum):
    """The kind of a message: `type` (XML page)."""

    SMS = "sms"
    FLASH = "flashsms"
    SILENT = "silence"
    WAP_PUSH = "wappush"
    VCARD = "vcard"


class VcardPhone(PrivateRecord, msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Phones on a business card (XML page)."""

    cell: str | None = None
    work: str | None = None
    fax: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, _TEXTS)


class VcardAddress(PrivateRecord, msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The address on a business card (XML page)."""

    post_office_box: str | None = None
    street: str | None = None
    city: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        _check_types(self, _TEXTS)


def _sms() -> Channel:
    return Channel.SMS


class Message(PrivateRecord, msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """
    A message, in the vendor's own field names.

    Attributes:
        type_send_1: The channel; by default SMS. Documented.
        sender: The name or number shown to the recipient; for SMS at most 11 characters, or 15 digits. Documented.
        text: The text, or a WAP link's description. Documented.
        type_send_2: The second channel, if the first does not deliver. XML page.
        type: Flash, silent, WAP-Push or business card. XML page.
        sender_viber: The sender in Viber, for cascades. XML page.
        text_viber: The text in Viber, for cascades. XML page.
        image_viber: The URL of the picture. XML page.
        button_viber: The button's caption. XML page.
        action_viber: The button's link. XML page.
        url: The link of a WAP-Push. XML page.
        name: The contact's name on a business card. XML page.
        email: The email on a business card. XML page.
        position: The position on a business card. XML page.
        organization: The organization on a business card. XML page.
        phone: The phones on a business card. XML page.
        address: The address on a business card. XML page.

    Raises:
        InputError: Sender or text is empty or not text, or the sender is too long for SMS.
    """

    # In the order of the vendor's example. A factory, because msgspec omits a field whose value *is* its default.
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
            # msgspec cannot encode subclasses of str, such as numpy's.
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


class Recipient(PrivateRecord, msgspec.Struct, frozen=True, gc=False):
    """
    One phone that gets one message. The call gives every field that is left out.

    Attributes:
        phone: The phone as people write it, or a number.
        client_id_sms: Your own id, decimal digits up to 2**63 - 1. By default it is derived from campaign, phone and
            `key`. The gateway sends one SMS per id and account, ever.
        key: What tells several messages to one phone in one campaign apart, such as an order number; empty for none. A
            blank one is refused.
        text: The recipient's own text.
        message: The recipient's own message, instead of `text`.
        validity_period: The time after which delivery is no longer attempted. Aware, in the future. Documented.
        time_send: The time at which to send, to the minute. Aware, in the future. XML page.
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


class OutboundRecipient(PrivateRecord, msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """
    A recipient's phone, id and times, as every format encodes them.

    Attributes:
        phone: The phone, digits only.
        client_id_sms: The idempotency key.
        validity_period: The time after which delivery is no longer attempted; in UTC.
        time_send: The time at which to send; in UTC.
        number_sms: The number of this SMS within the request.
    """

    phone: Phone
    client_id_sms: ClientIdSms
    validity_period: datetime | None = None
    time_send: datetime | None = None
    number_sms: int | None = None


Addressed = tuple[Message, list[OutboundRecipient]]
"""A message and its recipients."""


def phones_of(addressed: Sequence[Addressed]) -> list[OutboundRecipient]:
    """Return all recipients; the caller must not change the list."""
    if len(addressed) == 1:
        return addressed[0][1]
    return list(chain.from_iterable([phones for _, phones in addressed]))


def utc_moment(field: str, moment: object) -> datetime:
    """
    Return *moment* in UTC; *field* names it in the error.

    Raises:
        InputError: It is not an aware datetime, or is out of range.
    """
    if not isinstance(moment, datetime):
        raise InputError(f"{field} must be an aware datetime, not {type(moment).__name__}", Reason.BAD_TIME)
    if moment.utcoffset() is None:
        raise InputError(
            f"{field} must be an aware datetime: give it a tzinfo, as in datetime.now(UTC)", Reason.BAD_TIME
        )
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InputError(f"{field} {moment.isoformat()} is out of range", Reason.BAD_TIME) from None
