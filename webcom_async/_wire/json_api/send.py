"""
The client's JSON for sending: encode requests, decode answers.

Wire names stay in this module. The emulator has its own wire code; both are tested against the documents in
`tests/wire`. Nothing here opens a socket, waits, reads a clock or judges an HTTP status.

Source: apidocs.webcom.mobi, JSON specification, sending SMS and Viber.
"""

import sys
from collections.abc import Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from itertools import repeat
from typing import Annotated, Literal

import msgspec
from msgspec.structs import asdict, astuple

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.errors import InputError, PairingError, ReplyError
from webcom_async._domain.exchange import Reply, Request
from webcom_async._domain.messages import Addressed, Channel, Message, OutboundRecipient
from webcom_async._domain.options import Options
from webcom_async._domain.reasons import Reason
from webcom_async._domain.refusals import classify, refused_outcome
from webcom_async._domain.results import Outcome, SendResult, SettledResults
from webcom_async._wire.base import CONTENT_TYPE, RefusedRequest, encoder

__all__ = [
    "BOM",
    "HEADERS",
    "Entry",
    "JsonFormat",
    "SendReply",
    "WireMessage",
    "all_taken",
    "decode_entries",
    "decode_send",
    "known_id",
    "wire_minute",
    "wire_second",
]


_ACCEPTED_STATE = "send"
_LONGEST_ID = 64  # characters; ids of ten digits were seen
_NOT_IDS = frozenset({"none", "null", "false"})
BOM = b"\xef\xbb\xbf"  # tolerated before an answer
HEADERS = {"content-type": CONTENT_TYPE}


class WirePhone(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One entry of `message[].phones[]`: the fields of an `OutboundRecipient`, with times as the gateway's texts."""

    phone: str
    client_id_sms: str
    validity_period: str | None = None
    time_send: str | None = None
    number_sms: int | None = None


WirePhones = Sequence[OutboundRecipient | WirePhone]


class WireText(msgspec.Struct, frozen=True, gc=False):
    """One entry of `message[]`: a plain text and its recipients."""

    type_send_1: Channel
    sender: str
    text: str
    phones: WirePhones


class WireMessage(Message, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One entry of `message[]`: any message and its recipients."""

    phones: WirePhones

    def __post_init__(self) -> None:
        """Skip the checks: the original message has passed them."""


class JsonFormat:
    """
    The gateway's JSON as a `SendFormat`.

    Args:
        zone: The gateway's time zone.
    """

    repeatable: bool = True
    max_recipients: int = sys.maxsize  # the gateway states no limit
    limit: int = sys.maxsize  # no stated limit either

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def size_of(self, message: Message) -> int:
        """Return the bytes of *message* and its comma."""
        try:
            return len(encoder.encode(_wire_message(message, []))) + 1
        except (TypeError, ValueError, OverflowError) as exc:
            raise InputError(f"this message cannot be written as JSON: {exc}", Reason.BAD_TEXT) from None

    def size_of_recipient(self, recipient: OutboundRecipient) -> int:
        """Return the bytes of *recipient* and its comma."""
        if (recipient.validity_period, recipient.time_send, recipient.number_sms) == (None, None, None):
            return _BARE_SIZE + len(recipient.phone) + len(recipient.client_id_sms)  # workload H pays for it
        return len(encoder.encode(self._wire_phone(recipient))) + 1

    def encode(self, groups: Sequence[Addressed]) -> bytes:
        return encoder.encode([_wire_message(message, list(map(self._wire_phone, to))) for message, to in groups])

    def encode_alike(
        self,
        groups: Sequence[Addressed],
        template: Message,
        validity_period: datetime | None,
        time_send: datetime | None,
    ) -> bytes:
        """Workloads A and B pay for this: recipients without times are encoded as they are."""
        phones: list[WirePhones] = [to for _, to in groups]
        if validity_period is not None or time_send is not None:
            times = self._times(validity_period, time_send)
            phones = [_with_times(to, *times) for _, to in groups]
        if not _is_plain_text(template):
            return encoder.encode([_wire_message(message, to) for (message, _), to in zip(groups, phones, strict=True)])
        texts = [message.text for message, _ in groups]
        return encoder.encode(list(map(WireText, repeat(template.type_send_1), repeat(template.sender), texts, phones)))

    def request(self, encoded: bytes, credentials: Credentials, options: Options) -> Request:
        # No local variable holds the body: a traceback with local variables would show the credentials.
        return Request(
            "POST", options.url, HEADERS, encoder.encode(credentials.reveal() | {"message": msgspec.Raw(encoded)})
        )

    def decode(self, reply: Reply, recipients: Sequence[OutboundRecipient], attempts: int) -> SettledResults:
        return decode_send(reply.body, recipients, attempts)

    def _wire_phone(self, to: OutboundRecipient) -> OutboundRecipient | WirePhone:
        if to.validity_period is None and to.time_send is None:
            return to  # it is JSON as it stands
        return WirePhone(to.phone, to.client_id_sms, *self._times(to.validity_period, to.time_send), to.number_sms)

    def _times(self, validity_period: datetime | None, time_send: datetime | None) -> tuple[str | None, str | None]:
        return (
            None if validity_period is None else _written("validity_period", validity_period, self._zone),
            None if time_send is None else _written("time_send", time_send, self._zone),
        )


def wire_second(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def wire_minute(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def decode_send(body: bytes, recipients: Sequence[OutboundRecipient], attempts: int) -> SettledResults:
    """
    Pair the gateway's answer with *recipients*, one to one, or settle none.

    On the documented wire, entries name no recipient, so they are paired by position; entries with a `client_id_sms`
    are paired by that.

    Raises:
        ReplyError: It is not the documented JSON.
        PairingError: There is not one entry per recipient, or an entry neither accepts nor refuses.
        RefusedRequest: The gateway refused the whole request.
    """
    return all_taken(body, recipients, attempts) or decode_entries(body, recipients, attempts)


def decode_entries(body: bytes, recipients: Sequence[OutboundRecipient], attempts: int) -> SettledResults:
    """Return what `decode_send` returns, entry by entry; it raises what that raises."""
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
        # An answer names neither phone nor id, so a different count cannot be paired.
        raise PairingError(f"{len(entries)} answers for {len(recipients)} recipients")
    if any(entry.client_id_sms is not None for entry in entries):
        entries = _in_order(entries, recipients)
    return SettledResults([_result(to, entry, attempts) for to, entry in zip(recipients, entries, strict=True)])


# ---------------------------------------------------------------------------- answers


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One entry of `information[]`. Ids are text or number."""

    state: str | None = None
    id_sms: str | int | None = None
    error: str | None = None
    client_id_sms: str | int | None = None


class Taken(msgspec.Struct, gc=False):
    """One entry of `information[]` that accepts, and needs no further check."""

    state: Literal["send"]
    id_sms: Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_ID)]
    error: None = None
    client_id_sms: None = None


class AllTaken(msgspec.Struct):
    """An answer that accepts every recipient."""

    information: list[Taken]


class SendReply(msgspec.Struct, omit_defaults=True):
    """An answer: entries, or one error for the whole request."""

    information: list[Entry] | None = None
    error: str | None = None


# ---------------------------------------------------------------------------- inside


_taken_reply = msgspec.json.Decoder(AllTaken)
_send_reply = msgspec.json.Decoder(SendReply)
_BARE_SIZE = len(encoder.encode(WirePhone("", ""))) + 1
_PLAIN_FIELDS = len(("type_send_1", "sender", "text"))
_NO_OTHERS = (None,) * (len(Message.__struct_fields__) - _PLAIN_FIELDS)


# A campaign has few times and many recipients.
@lru_cache(maxsize=256)
def _written(field: str, moment: datetime, zone: tzinfo) -> str:
    """Return *moment*, in UTC: a local time occurs twice when a clock is set back, which the cache would confuse."""
    try:
        return wire_second(moment, zone) if field == "validity_period" else wire_minute(moment, zone)
    except (OverflowError, ValueError):
        raise InputError(f"{field} {moment.isoformat()} is out of range", Reason.BAD_TIME) from None


def _with_times(
    recipients: list[OutboundRecipient], validity_period: str | None, time_send: str | None
) -> list[WirePhone]:
    phones = [to.phone for to in recipients]
    ids = [to.client_id_sms for to in recipients]
    return list(map(WirePhone, phones, ids, repeat(validity_period), repeat(time_send)))


def _is_plain_text(message: Message) -> bool:
    return astuple(message)[_PLAIN_FIELDS:] == _NO_OTHERS


def _wire_message(message: Message, phones: WirePhones) -> WireText | WireMessage:
    if _is_plain_text(message):
        # Nearly every message is plain, up to 500 in a batch, and this takes a third of the time.
        return WireText(message.type_send_1, message.sender, message.text, phones)
    return WireMessage(**asdict(message), phones=phones)


def all_taken(body: bytes, recipients: Sequence[OutboundRecipient], attempts: int) -> SettledResults | None:
    """
    Return what `decode_entries` returns, if the answer accepts every recipient under an id of its own; else None.

    msgspec checks that while decoding, in a third of the time; workload A pays for it.
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
    results = list(map(SendResult, client_ids, phones, repeat(Outcome.ACCEPTED), ids, *clean))
    return SettledResults(results, all_accepted=True)


def _in_order(entries: list[Entry], recipients: Sequence[OutboundRecipient]) -> list[Entry]:
    by_id = {str(entry.client_id_sms): entry for entry in entries}
    try:
        return [by_id[phone.client_id_sms] for phone in recipients]
    except KeyError as exc:
        raise PairingError(f"no answer for client_id_sms {exc}") from None


def _result(to: OutboundRecipient, entry: Entry, attempts: int) -> SendResult:
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
    return SendResult(to.client_id_sms, to.phone, outcome, id_sms, reason, error, attempts)


def known_id(id_sms: str | int | None) -> str | None:
    """Return a gateway's id as text; None if it cannot be an id."""
    text = str(id_sms or "").strip()
    plausible = text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST_ID
    return text if plausible and text.strip("0") and text[0] != "-" and text.casefold() not in _NOT_IDS else None
