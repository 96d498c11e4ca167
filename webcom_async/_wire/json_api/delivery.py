"""
The client's JSON for delivery and balance: encode questions, decode answers and webhooks.

Like `send`, this module keeps wire names to itself, and opens no socket, waits for nothing and reads no clock. For any
bytes, a decoder returns or raises a documented error.

Source: apidocs.webcom.mobi, JSON specification: status, webhook, balance.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.delivery import Balance, DeliveryReport, DeliveryState, Direction
from webcom_async._domain.delivery_rules import advanced
from webcom_async._domain.errors import ReplyError, WebhookRefused
from webcom_async._domain.exchange import Reply, Request
from webcom_async._domain.options import Options
from webcom_async._wire.base import RefusedRequest, Retry, encoder
from webcom_async._wire.json_api.send import BOM, HEADERS, known_id

__all__ = [
    "BALANCE_PAGE",
    "STATUS_PAGE",
    "BalanceCall",
    "BalanceEntry",
    "BalanceReply",
    "StatusCall",
    "StatusEntry",
    "decode_balance",
    "decode_reports",
    "decode_statuses",
    "encode_acknowledgement",
    "wire_id",
]

STATUS_PAGE = "state.php"  # below `/json`
BALANCE_PAGE = "balance.php"

_LONGEST_WORDS = 500  # characters of a state that is a sentence
_LONGEST_NUMBER = 18  # digits: such a number fits into 64 bits everywhere
_LONGEST_TIME = 32  # characters
_NOTHING = msgspec.Raw()  # the value of a missing field
_DEEPEST = 2  # an array of objects
_UNLIMITED = frozenset({"unlim", "безлимит"})
_STATES = {state.value: state for state in DeliveryState if state is not DeliveryState.UNKNOWN}
T = TypeVar("T")
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# ---------------------------------------------------------------------------- calls


class StatusCall(msgspec.Struct, frozen=True):
    """
    Asks for the state of SMS, with parts and prices.

    Attributes:
        ids: One or several `id_sms`.
        zone: The gateway's time zone.
        array: Whether the question is an array of objects, one per id, as the page's example begins. If not, it is for
            one id, and the bare object that the page's table describes.
    """

    ids: Sequence[str]
    zone: tzinfo
    array: bool

    @property
    def retry(self) -> Retry:
        return Retry.SAFE

    @property
    def entries(self) -> int:
        return len(self.ids)

    def request(self, credentials: Credentials, options: Options) -> Request:
        url = options.below(STATUS_PAGE).url
        return Request("POST", url, HEADERS, encoder.encode(self._questions(credentials)))

    def decode(self, reply: Reply) -> dict[str, DeliveryReport]:
        return decode_statuses(reply.body, self.ids, self.zone)

    def _questions(self, credentials: Credentials) -> object:
        # This frame, which holds the credentials, ends before anything is sent.
        asked = [{**credentials.reveal(), "id_sms": wire_id(id_sms), "detail": 1} for id_sms in self.ids]
        return asked if self.array else asked[0]


class BalanceCall:
    """Asks for the balance."""

    retry: Retry = Retry.SAFE
    entries: int = 1_000

    def request(self, credentials: Credentials, options: Options) -> Request:
        return Request("POST", options.below(BALANCE_PAGE).url, HEADERS, encoder.encode(credentials.reveal()))

    def decode(self, reply: Reply) -> Balance:
        return decode_balance(reply.body)


def decode_statuses(body: bytes, asked: Sequence[str], zone: tzinfo) -> dict[str, DeliveryReport]:
    """
    Return the reports on the ids in *asked*, some of which may be missing.

    An entry without an id answers a question for one id.

    Raises:
        ReplyError: It is not the documented JSON.
        RefusedRequest: The gateway refused the whole request.
    """
    try:
        entries = _answer_entries(body.removeprefix(BOM))
    except _BROKEN as exc:
        raise ReplyError(f"the answer is not the documented JSON: {exc}") from None
    alone = asked[0] if len(asked) == 1 else None
    found: dict[str, DeliveryReport] = {}
    for entry in entries:
        report = _report(entry, zone, default=alone)
        if report is not None:
            found[report.id_sms] = advanced(found.get(report.id_sms), report)
    if not found:
        refusal = next((entry.error for entry in entries if entry.error and entry.id_sms is None), None)
        if refusal is not None:
            raise RefusedRequest(refusal)
    return {id_sms: found[id_sms] for id_sms in asked if id_sms in found}


def decode_balance(body: bytes) -> Balance:
    """
    Return the balance in an answer.

    Raises:
        ReplyError: It is not the documented JSON, or has no sum.
        RefusedRequest: The gateway refused the request.
    """
    try:
        reply = _balance_reply.decode(body.removeprefix(BOM))
    except _BROKEN as exc:
        raise ReplyError(f"the answer is not the documented JSON: {exc}") from None
    if reply.error and not bytes(reply.money):
        raise RefusedRequest(reply.error)
    money = _decimal(reply.money)
    if money is None:
        raise ReplyError("the answer names no sum of money")
    return Balance(money, reply.currency, tuple(map(_direction, reply.information)))


# ---------------------------------------------------------------------------- the webhook


def decode_reports(body: bytes, zone: tzinfo, max_reports: int) -> list[DeliveryReport]:
    """
    Return the reports in a webhook's body, in order, without entries that have no usable id.

    Raises:
        WebhookRefused: It is not an array of objects or one object, is nested deeper, or has more than *max_reports*.
    """
    # Counted before decoding, which allocates memory for each.
    if body.count(b"{") > max_reports and _STRING.sub(b"", body).count(b"{") > max_reports:
        raise WebhookRefused(f"the body has more than {max_reports} reports", status=413)
    try:
        entries = _entries(body.removeprefix(BOM))
        depth = _depth(body, len(entries))
    except _BROKEN as exc:
        # Without the parser's words, which may quote the body.
        raise WebhookRefused(f"the body is not a list of reports ({type(exc).__name__})") from None
    if depth > _DEEPEST:
        raise WebhookRefused(f"the body is {depth} levels deep; a list of reports has {_DEEPEST}")
    reports = (_report(entry, zone) for entry in entries)
    return [report for report in reports if report is not None]


def encode_acknowledgement(reports: Iterable[DeliveryReport]) -> bytes:
    """Return the ids of *reports*, each in the type in which it arrived."""
    return encoder.encode(
        [{"id_sms": int(report.id_sms) if report.numeric_id else report.id_sms} for report in reports]
    )


# ---------------------------------------------------------------------------- answers


class StatusEntry(msgspec.Struct, omit_defaults=True, gc=False):
    """One entry of a status answer, or of a webhook, where the time is `time`. Ids are text or number."""

    id_sms: str | int | None = None
    time_change_state: str | None = None
    time: str | None = None
    state: str | None = None
    num_parts: msgspec.Raw = _NOTHING
    price: msgspec.Raw = _NOTHING
    error: str | None = None


class OddEntry(msgspec.Struct, gc=False):
    """An entry with a field of another type than the documented one, such as a time that is a number."""

    id_sms: msgspec.Raw = _NOTHING
    time_change_state: msgspec.Raw = _NOTHING
    time: msgspec.Raw = _NOTHING
    state: msgspec.Raw = _NOTHING
    num_parts: msgspec.Raw = _NOTHING
    price: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING

    def plain(self) -> StatusEntry:
        """Keep what can be read: a state or error of another type as it is written, a time of another type as none."""
        return StatusEntry(
            _decoded(_id, self.id_sms),
            _decoded(_string, self.time_change_state),
            _decoded(_string, self.time),
            _words(self.state),
            self.num_parts,
            self.price,
            _words(self.error),
        )


class BalanceEntry(msgspec.Struct):
    """One direction of a balance: the count is `num_sms` in the page's example and `sms` in its table."""

    type_sms: str = ""
    area: str = ""
    num_sms: msgspec.Raw = msgspec.Raw()
    sms: msgspec.Raw = msgspec.Raw()


class BalanceReply(msgspec.Struct):
    """An answer to a balance question."""

    money: msgspec.Raw = msgspec.Raw()
    currency: str = ""
    information: list[BalanceEntry] = []
    error: str | None = None


def wire_id(id_sms: str) -> str | int:
    """Return *id_sms* as a number, the documented type, if it is one."""
    plain = id_sms.isdigit() and len(id_sms) <= _LONGEST_NUMBER and id_sms[0] != "0"
    return int(id_sms) if plain else id_sms


# ---------------------------------------------------------------------------- inside


_status_entries = msgspec.json.Decoder(list[StatusEntry])
_status_entry = msgspec.json.Decoder(StatusEntry)
_odd_entry = msgspec.json.Decoder(OddEntry)
_id = msgspec.json.Decoder(str | int | None)
_string = msgspec.json.Decoder(str | None)
_raw_entries = msgspec.json.Decoder(list[msgspec.Raw])
_balance_reply = msgspec.json.Decoder(BalanceReply)
# An unclosed string extends to the end, so that the search runs once, and not from each of its quotes.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def _entries(body: bytes) -> list[StatusEntry]:
    """Return the entries of an array, or a single one, without those of other types."""
    if body.lstrip()[:1] != b"[":
        return [_any_entry(body)]
    try:
        return _status_entries.decode(body)
    except msgspec.ValidationError:
        # One odd entry does not cost the others.
        return [entry for raw in _raw_entries.decode(body) if (entry := _sound(raw)) is not None]


def _answer_entries(body: bytes) -> list[StatusEntry]:
    entries = _entries(body)
    if body.lstrip()[:1] != b"[" and entries[0].id_sms is None and entries[0].state is None and not entries[0].error:
        raise msgspec.DecodeError("neither an entry nor an error")
    return entries


def _sound(raw: msgspec.Raw) -> StatusEntry | None:
    try:
        return _any_entry(raw)
    except _BROKEN:
        return None


def _any_entry(written: msgspec.Raw | bytes) -> StatusEntry:
    try:
        return _status_entry.decode(written)
    except msgspec.ValidationError:
        return _odd_entry.decode(written).plain()


def _decoded(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> T | None:
    try:
        return decoder.decode(raw) if bytes(raw) else None
    except _BROKEN:
        return None


def _words(raw: msgspec.Raw) -> str | None:
    """Return a text; a value of another type as it is written, and null as nothing."""
    text = _decoded(_string, raw)
    written = bytes(raw).decode(errors="replace").strip()
    return text if text is not None or written == "null" else written


def _report(entry: StatusEntry, zone: tzinfo, *, default: str | None = None) -> DeliveryReport | None:
    """Return the report in *entry*; None without a usable id, which *default* replaces if there is a state."""
    id_sms = known_id(entry.id_sms)
    if id_sms is None and default is not None and entry.id_sms is None and entry.state:
        id_sms = default
    if id_sms is None:
        return None
    said = (entry.state or entry.error or "").strip()[:_LONGEST_WORDS]
    return DeliveryReport(
        id_sms,
        _STATES.get(said.casefold(), DeliveryState.UNKNOWN),
        said,
        _moment(entry.time_change_state or entry.time, zone),
        None if entry.num_parts is _NOTHING else _count(entry.num_parts),
        None if entry.price is _NOTHING else _decimal(entry.price),
        type(entry.id_sms) is int,
    )


def _moment(written: str | None, zone: tzinfo) -> datetime | None:
    """Return the moment of `YYYY-MM-DD HH:MM:SS` in *zone*, if it is one."""
    # ISO 8601 may leave out the hyphens; then a count of seconds or milliseconds would be a date too.
    dated = written is not None and len(written) <= _LONGEST_TIME and "-" in written[1:]
    return _known_moment(written, zone) if dated else None


# Many reports carry the same second, and zone arithmetic is slow.
@lru_cache(maxsize=4_096)
def _known_moment(written: str, zone: tzinfo) -> datetime | None:
    try:
        moment = datetime.fromisoformat(written.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode(errors="replace").strip().strip('"').strip()


def _count(raw: msgspec.Raw) -> int | None:
    text = _text(raw)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def _decimal(raw: msgspec.Raw) -> Decimal | None:
    """Return a sum: a number or text, with point or comma, and spaces between thousands."""
    text = re.sub(r"\s", "", _text(raw)).replace(",", ".")
    return Decimal(text) if re.fullmatch(r"[+-]?\d{1,15}(\.\d{0,15})?", text, re.ASCII) else None


def _direction(entry: BalanceEntry) -> Direction:
    raw = entry.num_sms if bytes(entry.num_sms) else entry.sms
    try:
        said = str(msgspec.json.decode(raw)) if bytes(raw) else ""
    except _BROKEN:
        said = _text(raw)
    count = said.replace(" ", "")
    number = int(count) if count.isascii() and count.isdigit() and len(count) <= _LONGEST_NUMBER else None
    return Direction(entry.type_sms, entry.area, number, said.strip().casefold() in _UNLIMITED, said)


def _depth(body: bytes, entries: int) -> int:
    openers = body.count(b"[") + body.count(b"{")
    if openers <= entries + 1:
        return min(openers, _DEEPEST)  # one per entry, and one around them: none is left for a third level
    depth = deepest = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
