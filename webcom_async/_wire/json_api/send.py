"""
The client's JSON for sending: requests are encoded, answers are decoded.

Everything that knows a wire name lives here. The emulator has a wire of its own; the documents in `tests/wire` measure
both. Nothing here opens a socket, sleeps, reads a clock or judges an HTTP status.

Source: apidocs.webcom.mobi, JSON specification, sending SMS and Viber.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from itertools import repeat
from typing import Annotated, Literal

import msgspec
from msgspec.structs import asdict, astuple

from webcom_async._domain.errors import InputError, PairingError, ReplyError
from webcom_async._domain.messages import Channel, Message
from webcom_async._domain.reasons import Reason
from webcom_async._domain.refusals import Scope, classify, scope_of
from webcom_async._domain.results import AllAccepted, Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._wire.base import Addressed, RefusedRequest, WirePhone, encoder

__all__ = [
    "BOM",
    "Entry",
    "SendReply",
    "WireMessage",
    "decode_send",
    "encode_messages",
    "encode_texts",
    "known_id",
    "message_size",
    "phone_size",
    "refused_outcome",
    "wire_minute",
    "wire_second",
]


_ACCEPTED_STATE = "send"
_LONGEST_ID = 64  # characters; ten digits are seen
_NOT_IDS = frozenset({"none", "null", "false"})
BOM = b"\xef\xbb\xbf"  # tolerated before an answer


class WireText(msgspec.Struct, frozen=True, gc=False):
    """One entry of `message[]`: a plain text, and to whom."""

    type_send_1: Channel
    sender: str
    text: str
    phones: list[WirePhone]


class WireMessage(Message, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One entry of `message[]`: what is said, whatever it is, and to whom."""

    phones: list[WirePhone]

    def __post_init__(self) -> None:
        """Leave out the checks: the message that this is made of has passed them."""


def encode_messages(addressed: Iterable[Addressed]) -> bytes:
    """Return `message`'s array. Called once per batch, so that every attempt carries the same bytes and ids."""
    return encoder.encode([_wire_message(message, phones) for message, phones in addressed])


def encode_texts(said: Message, addressed: Sequence[Addressed]) -> bytes:
    """Return the same for messages that differ from *said* in nothing but their text."""
    channel, sender, _, *others = astuple(said)
    if others != _NO_OTHERS:
        return encode_messages(addressed)
    texts = [message.text for message, _ in addressed]
    phones = [phones for _, phones in addressed]
    return encoder.encode(list(map(WireText, repeat(channel), repeat(sender), texts, phones)))


def message_size(message: Message) -> int:
    """
    Return the bytes that *message* takes in the array without its recipients, its comma included.

    Raises:
        InputError: A field of it holds what JSON cannot.
    """
    try:
        return len(encoder.encode(_wire_message(message, []))) + 1
    except (TypeError, ValueError, OverflowError) as exc:
        raise InputError(f"this message cannot be written as JSON: {exc}", Reason.BAD_TEXT) from None


def phone_size(phone: WirePhone) -> int:
    """Return the bytes that *phone* takes in `phones`, its comma included."""
    size = _PHONE_SIZE + len(phone.phone) + len(phone.client_id_sms)
    if phone.validity_period is not None:
        size += len(',"validity_period":""') + len(phone.validity_period)
    if phone.time_send is not None:
        size += len(',"time_send":""') + len(phone.time_send)
    if phone.number_sms is not None:
        size += len(',"number_sms":') + len(str(phone.number_sms))
    return size


def wire_second(moment: datetime, zone: tzinfo) -> str:
    """Return *moment* as `validity_period` wants it: `YYYY-MM-DD HH:MM:SS` in *zone*."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def wire_minute(moment: datetime, zone: tzinfo) -> str:
    """Return *moment* as `time_send` wants it: `YYYY-MM-DD HH:MM` in *zone*."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def decode_send(body: bytes, recipients: Sequence[WirePhone], attempts: int) -> list[SendResult]:
    """
    Pair the gateway's answer with *recipients*, one to one, or settle none.

    Entries name no recipient on the documented wire, so they are paired by position. Should every entry carry the
    `client_id_sms` it answers, they are paired by that.

    Args:
        body: The answer.
        recipients: Those of the request, in the request's order.
        attempts: How often they were asked for, for the results.

    Raises:
        ReplyError: Not the documented JSON.
        PairingError: Not one entry per recipient, or an entry that says neither yes nor no.
        RefusedRequest: The gateway refused the whole request.
    """
    everyone = _all_taken(body, recipients, attempts)
    if everyone is not None:
        return everyone
    try:
        reply = _send_reply.decode(body.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ReplyError(f"the answer is not the documented JSON: {exc}") from None

    entries = reply.information
    if not entries and reply.error:
        raise RefusedRequest(reply.error)
    if entries is None:
        raise ReplyError("the answer has neither information nor error")
    if len(entries) != len(recipients):
        # An answer names neither phone nor id: a differing count must not be guessed at.
        raise PairingError(f"{len(entries)} answers for {len(recipients)} recipients")
    if any(entry.client_id_sms is not None for entry in entries):
        entries = _in_order(entries, recipients)
    return [_result(phone, entry, attempts) for phone, entry in zip(recipients, entries, strict=True)]


def refused_outcome(reason: Reason, *, has_id: bool = False) -> Outcome:
    """Return what a sentence says of its recipient, with an `id_sms` beside it or without."""
    if has_id:
        return Outcome.ACCEPTED if reason in _TAKEN_ANYWAY else Outcome.UNKNOWN
    if reason in _TAKEN_ANYWAY:
        return Outcome.UNKNOWN
    if scope_of(reason) is Scope.CAMPAIGN:
        return Outcome.NOT_SENT
    return Outcome.REJECTED


# ---------------------------------------------------------------------------- answers


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One entry of `information[]`. Ids come as text or number."""

    state: str | None = None
    id_sms: str | int | None = None
    error: str | None = None
    client_id_sms: str | int | None = None


class Taken(msgspec.Struct, gc=False):
    """One entry of `information[]` that says yes, and nothing that needs a second look."""

    state: Literal["send"]
    id_sms: Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_ID)]
    error: None = None
    client_id_sms: None = None


class AllTaken(msgspec.Struct):
    """An answer in which every recipient is accepted."""

    information: list[Taken]


class SendReply(msgspec.Struct, omit_defaults=True):
    """An answer: entries, or one error for everything."""

    information: list[Entry] | None = None
    error: str | None = None


# ---------------------------------------------------------------------------- inside


_taken_reply = msgspec.json.Decoder(AllTaken)
_send_reply = msgspec.json.Decoder(SendReply)
_NO_OTHERS = [None] * (len(Message.__struct_fields__) - len(("type_send_1", "sender", "text")))
_PHONE_SIZE = len(encoder.encode(WirePhone(Phone(""), ClientIdSms("")))) + 1

# A sentence that comes with an id speaks of an SMS that exists: sibling platforms say so of these two.
_TAKEN_ANYWAY = frozenset({Reason.HELD_FOR_FUNDS, Reason.ALREADY_SENT})


def _wire_message(message: Message, phones: list[WirePhone]) -> WireText | WireMessage:
    channel, sender, text, *others = astuple(message)
    if others == _NO_OTHERS:
        # Nearly every message is so, and 500 of a batch may be: it takes a third of the time.
        return WireText(channel, sender, text, phones)
    return WireMessage(**asdict(message), phones=phones)


def _all_taken(body: bytes, recipients: Sequence[WirePhone], attempts: int) -> AllAccepted | None:
    """
    Return what an answer means that says a plain yes to each of *recipients*, no two alike; None for any other.

    Most answers are so, and msgspec finds it out on the way: a third of the time of looking at each entry.
    """
    try:
        ids = [entry.id_sms for entry in _taken_reply.decode(body).information]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    written = "".join(ids)
    plain = written.encode("ascii", "replace").isdigit() and min(ids) >= "1"
    if not (plain and len(ids) == len(set(ids)) == len(recipients)):
        return None
    client_ids = [phone.client_id_sms for phone in recipients]
    phones = [phone.phone for phone in recipients]
    clean = (repeat(Reason.NONE), repeat(""), repeat(attempts))
    return AllAccepted(map(SendResult, client_ids, phones, repeat(Outcome.ACCEPTED), ids, *clean), ids)


def _in_order(entries: list[Entry], recipients: Sequence[WirePhone]) -> list[Entry]:
    by_id = {str(entry.client_id_sms): entry for entry in entries}
    try:
        return [by_id[phone.client_id_sms] for phone in recipients]
    except KeyError as exc:
        raise PairingError(f"no answer for client_id_sms {exc}") from None


def _result(phone: WirePhone, entry: Entry, attempts: int) -> SendResult:
    error = (entry.error or "").strip()
    id_sms = known_id(entry.id_sms)
    has_id = id_sms is not None
    if has_id and entry.state is not None and entry.state.casefold() == _ACCEPTED_STATE:
        reason = Reason.NONE if not error else classify(error)
        outcome = Outcome.ACCEPTED
    elif error:
        reason = classify(error)
        outcome = refused_outcome(reason, has_id=has_id)
    else:
        raise PairingError("an entry is neither accepted nor refused")
    return SendResult(phone.client_id_sms, phone.phone, outcome, id_sms, reason, error, attempts)


def known_id(id_sms: str | int | None) -> str | None:
    """Return a gateway's id as text; None for none, zero, or what is plainly no id."""
    text = str(id_sms or "").strip()
    plausible = text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST_ID
    return text if plausible and text.strip("0") and text[0] != "-" and text.casefold() not in _NOT_IDS else None
