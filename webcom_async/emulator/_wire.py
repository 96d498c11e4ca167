"""
The gateway's JSON, as the gateway reads and writes it.

Written from the vendor's pages with the standard library's `json`, apart from the client's wire, so that a mistake on
one side shows on the other. The documents in `tests/wire` measure both.

A reader returns records, or raises `BadDocument`. Fields of the JSON page are checked for their types; fields that only
the XML page has are read unchecked.

Source: apidocs.webcom.mobi, JSON specification: sending, status, webhook, balance.
"""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import NoReturn, TypeAlias, TypeVar

import msgspec

from webcom_async._domain.records import PrivateRecord

__all__ = [
    "BALANCE_PATH",
    "CONTENT_TYPE",
    "GATEWAY_ZONE",
    "SEND_PATHS",
    "STATUS_PATH",
    "AccountQuestion",
    "BadDocument",
    "Document",
    "ReceivedMessage",
    "ReceivedRecipient",
    "SendRequest",
    "StatusQuestion",
    "accepted_entry",
    "balance_answer",
    "number",
    "push_entry",
    "read_acknowledgement",
    "read_balance_question",
    "read_send_request",
    "read_status_questions",
    "refused_entry",
    "status_entry",
    "write_answer",
    "write_error",
    "write_json",
    "write_send_answer",
]

SEND_PATHS = ("/json", "/json/")
STATUS_PATH = "/json/state.php"
BALANCE_PATH = "/json/balance.php"
CONTENT_TYPE = "text/json; charset=utf-8"
GATEWAY_ZONE = timezone(timedelta(hours=3), "Europe/Moscow")

_LONGEST_ID = 18  # digits: what fits into 64 bits

Document: TypeAlias = dict[str, "str | int | Decimal | list[Document]"]
"""A JSON object that is to be written."""

_T = TypeVar("_T")


class BadDocument(ValueError):
    """A body is not the documented JSON."""


# ---------------------------------------------------------------------------- what arrives


class ReceivedRecipient(PrivateRecord, msgspec.Struct, frozen=True, gc=False):
    """
    One entry of `message[].phones[]`, as it arrived.

    Attributes:
        phone: The phone; empty if it is missing.
        client_id_sms: The client's own id.
        validity_period: `YYYY-MM-DD HH:MM:SS`; empty if it is missing.
        time_send: XML page; unchecked.
        number_sms: XML page; unchecked.
    """

    phone: str | int = ""
    client_id_sms: str | int | None = None
    validity_period: str = ""
    time_send: object = None
    number_sms: object = None


class ReceivedMessage(PrivateRecord, msgspec.Struct, frozen=True):
    """
    One entry of `message[]`, as it arrived, with the vendor's names. A missing text is empty, any other field None.

    Attributes:
        type_send_1: `sms` or `viber`.
        sender: The sender.
        text: The text.
        phones: The recipients.
        type: Such as `flashsms`, `wappush` or `vcard`. XML page.
        url: The link of a WAP-Push. XML page.
        name: The contact's name on a business card. XML page.
        type_send_2: XML page, as the rest; unchecked.
    """

    type_send_1: str = ""
    sender: str = ""
    text: str = ""
    phones: list[ReceivedRecipient] = msgspec.field(default_factory=list)
    type: str = ""
    url: str = ""
    name: str = ""
    type_send_2: object = None
    sender_viber: object = None
    text_viber: object = None
    image_viber: object = None
    button_viber: object = None
    action_viber: object = None
    email: object = None
    position: object = None
    organization: object = None
    phone: object = None
    address: object = None


class AccountQuestion(PrivateRecord, msgspec.Struct, frozen=True):
    """The credentials of a request: a token, or login and password."""

    login: str | None = None
    password: str | None = None
    token: str | None = None


class SendRequest(AccountQuestion, frozen=True):
    """A request to send."""

    message: list[ReceivedMessage] = msgspec.field(default_factory=list)


class StatusQuestion(AccountQuestion, frozen=True):
    """A question about one SMS. `detail` 1 asks for parts and price too."""

    id_sms: str | int | None = None
    detail: int | str = 0


class _Acknowledged(msgspec.Struct, frozen=True, gc=False):
    id_sms: str | int | None = None


def read_send_request(body: bytes) -> SendRequest:
    return _record(_document(body), SendRequest)


def read_status_questions(body: bytes) -> list[StatusQuestion] | StatusQuestion:
    """Read a question about statuses: an array, as the page's example has it, or the bare object of its table."""
    document = _document(body)
    in_array = body.lstrip().startswith(b"[")
    return _record(document, list[StatusQuestion]) if in_array else _record(document, StatusQuestion)


def read_balance_question(body: bytes) -> AccountQuestion:
    return _record(_document(body), AccountQuestion)


def read_acknowledgement(body: bytes) -> list[str]:
    """Return the ids that the answer echoes; none if it is anything else."""
    try:
        echoed = _record(_document(body), list[_Acknowledged])
    except BadDocument:
        return []
    return [str(entry.id_sms) for entry in echoed if entry.id_sms is not None]


def _document(body: bytes) -> object:
    try:
        document: object = json.loads(body.decode(), parse_constant=_refuse_constant)
        if b"\\u" in body:
            json.dumps(document, ensure_ascii=False).encode()  # raises for half of a surrogate pair
    except (ValueError, RecursionError) as exc:
        raise BadDocument(f"not JSON: {exc}") from None
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")  # Python's `json` reads NaN and Infinity


def _record(document: object, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as exc:
        raise BadDocument(str(exc)) from None


# ---------------------------------------------------------------------------- what is answered


def accepted_entry(id_sms: str | int, client_id_sms: str | int | None) -> Document:
    """*client_id_sms* is None unless it is echoed."""
    return _echoing({"state": "send", "id_sms": id_sms}, client_id_sms)


def refused_entry(sentence: str, client_id_sms: str | int | None) -> Document:
    return _echoing({"error": sentence}, client_id_sms)


def _echoing(entry: Document, client_id_sms: str | int | None) -> Document:
    if client_id_sms is not None:
        entry["client_id_sms"] = client_id_sms
    return entry


def write_send_answer(entries: list[Document]) -> bytes:
    return write_json({"information": entries})


def write_error(sentence: str) -> bytes:
    """Write the answer that refuses a whole request."""
    return write_json({"error": sentence})


def status_entry(state: str, changed_at: datetime | None, detail: tuple[int, Decimal] | None = None) -> Document:
    """*state* may be a sentence; *changed_at* is None if unknown; *detail* has the parts and the price of each."""
    said: Document = {"time_change_state": _second(changed_at), "state": state}
    return said if detail is None else said | {"num_parts": detail[0], "price": Decimal(f"{detail[1]:.7f}")}


def balance_answer(money: Decimal | str, currency: str, count: Document) -> Document:
    """*money* as text goes out in quotes; *count* is the key and value of the number of messages."""
    direction: Document = {"type_sms": "sms", "area": "Russia"}
    return {"money": money, "currency": currency, "information": [direction | count]}


def write_answer(answer: list[Document] | Document) -> bytes:
    return _with_decimals(answer).encode()


def push_entry(id_sms: str, state: str, changed_at: datetime, *, numeric: bool) -> Document:
    return {"id_sms": number(id_sms) if numeric else id_sms, "time": _second(changed_at), "state": state}


def number(id_sms: str) -> str | int:
    """Return *id_sms* as a number if it is one."""
    plain = id_sms.isascii() and id_sms.isdigit() and len(id_sms) <= _LONGEST_ID and not id_sms.startswith("0")
    return int(id_sms) if plain else id_sms


def write_json(document: list[Document] | Document) -> bytes:
    """Write a document without decimals."""
    return _compact.encode(document).encode()


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _with_decimals(value: list[Document] | Document | Decimal | str | int) -> str:
    """Write *value* with every digit of its decimals: `json` knows only floats, and 10.6000000 would lose six."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list):
        return f"[{','.join(map(_with_decimals, value))}]"
    if isinstance(value, dict):
        members = [f"{_compact.encode(key)}:{_with_decimals(member)}" for key, member in value.items()]
        return f"{{{','.join(members)}}}"
    return _compact.encode(value)


def _second(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(GATEWAY_ZONE).strftime("%Y-%m-%d %H:%M:%S")
