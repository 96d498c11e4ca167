"""
The gateway's behaviour, without a wire: a request in, an answer out, and a ledger in between.

What the vendor documents is the default; what it leaves open is an option, so that nothing in a client can come to
depend on a guess. No socket, clock or task here.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from secrets import randbelow

import msgspec

from webcom_async._domain.messages import MAX_SENDER_CHARACTERS, MAX_SENDER_DIGITS
from webcom_async._domain.reasons import Reason
from webcom_async._domain.records import PrivateRecord
from webcom_async._domain.refusals import Language, refusal
from webcom_async.emulator._faults import Faults
from webcom_async.emulator._inquiries import Inquiries, InquiryContext, InquiryRefused
from webcom_async.emulator._ledger import Ledger, Sms, parts_of
from webcom_async.emulator._pushing import Post
from webcom_async.emulator._scenarios import DeliveryScenarios
from webcom_async.emulator._webhooks import Webhooks
from webcom_async.emulator._wire import (
    BALANCE_PATH,
    CONTENT_TYPE,
    SEND_PATHS,
    STATUS_PATH,
    AccountQuestion,
    BadDocument,
    Document,
    ReceivedMessage,
    ReceivedRecipient,
    accepted_entry,
    read_balance_question,
    read_send_request,
    refused_entry,
    write_answer,
    write_error,
    write_json,
    write_send_answer,
)

__all__ = ["Account", "Behaviour", "Gateway", "GatewayAnswer", "Received"]

_LEDGER_PATH = "/emulator/ledger"
_MAX_PHONE = 15  # the gateway's own words: "less than 15 characters"
_KEPT_REQUESTS = 1_000
_FIRST_ID_SMS, _LAST_ID_SMS = 10**9, 10**15  # a JSON number up to here is exact in every reader
_PLENTY = Decimal(1_000_000)  # of money, where there is no limit
_LONGEST_NUMBER = 100  # digits; Python refuses to read thousands
_SECOND = timedelta(seconds=1)
_JSON = {"content-type": CONTENT_TYPE}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Account(PrivateRecord, msgspec.Struct, kw_only=True):
    """
    One customer of the gateway. Change it while the emulator runs.

    Attributes:
        token: Its secret key.
        login: Its login.
        password: Its password.
        balance: Parts of messages it may still send; None for no limit.
        money: What it may still spend; None for no limit, which is answered as a million.
        price: What a part costs.
        locked: Refuse every request.
        blocked: Refuse every recipient.
        senders: Senders it may use; None for any.
        unmoderated: Senders that wait for moderation.
        stop_list: Phones that must not get anything.
        closed: Prefixes of phones it may not send to.
    """

    token: str = "emulator-token"  # noqa: S105 - a dummy
    login: str = "emulator-login"
    password: str = "emulator-password"  # noqa: S105 - a dummy
    balance: int | None = None
    money: Decimal | None = None
    price: Decimal = Decimal("10.6")
    locked: bool = False
    blocked: bool = False
    senders: set[str] | None = None
    unmoderated: set[str] = msgspec.field(default_factory=set)
    stop_list: set[str] = msgspec.field(default_factory=set)
    closed: tuple[str, ...] = ()


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the vendor leaves open.

    Attributes:
        language: Of the gateway's sentences. English is documented; production is probably Russian.
        final_dot: End sentences with a dot, as production probably does.
        error_status: HTTP status of an answer that refuses the request.
        refusal_status: HTTP status of an answer in which a recipient is refused.
        numeric_ids: Write `id_sms` as a number, not in quotes.
        echo_client_ids: Write each entry's `client_id_sms` into the answer.
        reverse: Answer in reverse order.
        id_bits: Keep only so many bits of `client_id_sms`.
        refused_uses_up_id: A refused `client_id_sms` cannot be used again: it is answered `already sent`.
        redirect: Answer `/json` with a redirect to `/json/`.
        max_recipients: Answer 413 to larger requests; None for no limit.
        requests_per_second: Answer 429 to more messages' requests in any second; None for no limit.
        requests_at_once: Answer 503 at once, without the latency, to a message's request that arrives while so many
            are being answered; None for no limit.
        rejected_words: Words that a moderator rejects.
        closed: Prefixes of phones that are closed to every account.
        out_of_service: The provider itself has run out.
        inquiries: What it leaves open about statuses and balances.
    """

    language: Language = Language.ENGLISH
    final_dot: bool = False
    error_status: int = 200
    refusal_status: int = 200
    numeric_ids: bool = False
    echo_client_ids: bool = False
    reverse: bool = False
    id_bits: int = 64
    refused_uses_up_id: bool = False
    redirect: bool = False
    max_recipients: int | None = None
    requests_per_second: int | None = None
    requests_at_once: int | None = None
    rejected_words: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    out_of_service: bool = False
    inquiries: Inquiries = Inquiries()


class Received(PrivateRecord, msgspec.Struct, frozen=True):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def messages(self) -> list[ReceivedMessage]:
        """
        The messages of a request to send, with their recipients.

        Raises:
            ValueError: The body is not the documented JSON.
        """
        return read_send_request(self.body).message

    @property
    def recipients(self) -> list[ReceivedRecipient]:
        """
        The recipients of all messages.

        Raises:
            ValueError: The body is not the documented JSON.
        """
        return [recipient for message in self.messages for recipient in message.phones]


class GatewayAnswer(msgspec.Struct, frozen=True):
    """An answer before it is put on a wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Gateway:
    """
    An emulated gateway: accounts, a ledger, and a memory for ids.

    Args:
        accounts: Its customers; one with dummy credentials if none is given.
        behaviour: What the vendor leaves open.
        latency: Seconds that every answer takes.
        seed: For what strikes by chance.
        now: The time, in which SMS are delivered.
        first_id_sms: The `id_sms` of the first SMS; those that follow count up from it. By default a random number, so
            that an emulator that starts again gives no SMS a number of an earlier one, which a journal may hold.

    Attributes:
        ledger: What was really sent.
        scenarios: What becomes of it then.
        webhooks: The delivery reports that are due.
        push: Where webhooks go that are due when a request was processed and is not answered yet; None for nowhere.
        faults: What the next requests meet.
        received: The latest requests, oldest first.
        requests: How many have arrived.
    """

    def __init__(
        self,
        *accounts: Account,
        behaviour: Behaviour | None = None,
        latency: float = 0.0,
        seed: int = 0,
        now: Callable[[], datetime] = _utc_now,
        first_id_sms: int | None = None,
    ) -> None:
        first = _FIRST_ID_SMS + randbelow(_LAST_ID_SMS - _FIRST_ID_SMS) if first_id_sms is None else first_id_sms
        self.accounts: list[Account] = list(accounts) or [Account()]
        self.behaviour: Behaviour = behaviour or Behaviour()
        self.latency = latency
        self.now = now
        self.ledger: Ledger = Ledger()
        self.scenarios: DeliveryScenarios = DeliveryScenarios(seed)
        self.webhooks: Webhooks = Webhooks(now, self.scenarios, seed)
        self.push: Post | None = None
        self.faults: Faults = Faults(seed)
        self.received: deque[Received] = deque(maxlen=_KEPT_REQUESTS)
        self.requests: int = 0
        self._numbers = count(first)
        self._used: dict[tuple[str, str], str] = {}
        self._latest: deque[datetime] = deque()
        self._serving = 0

    @property
    def token(self) -> str:
        """The first account's token."""
        return self.accounts[0].token

    def arrive(self, request: Received) -> None:
        """Note that *request* is here, whatever becomes of it."""
        self.requests += 1
        self.received.append(request)

    @contextmanager
    def serving(self, request: Received) -> Generator[GatewayAnswer | None, None, None]:
        """Answer *request* inside the block; the value is the refusal if too many are being answered, or None."""
        most = self.behaviour.requests_at_once
        if request.path not in SEND_PATHS:
            yield None
            return
        if most is not None and self._serving >= most:
            yield GatewayAnswer(503, {"content-type": "text/html"}, b"<h1>Service Unavailable</h1>")
            return
        self._serving += 1
        try:
            yield None
        finally:
            self._serving -= 1

    def process(self, request: Received) -> GatewayAnswer:
        """Do what *request* asks for, and answer."""
        if request.path == _LEDGER_PATH:
            return self._ledger_answer()
        if request.path in (STATUS_PATH, BALANCE_PATH):
            return self._inquire(request)
        if request.path not in SEND_PATHS:
            return GatewayAnswer(404, {"content-type": "text/html"}, b"<h1>Not Found</h1>")
        if self.behaviour.redirect and request.path == SEND_PATHS[0]:
            return GatewayAnswer(301, {"location": SEND_PATHS[1]}, b"")
        if self._too_many():
            return GatewayAnswer(429, {"content-type": "text/html"}, b"<h1>Too Many Requests</h1>")
        return self._send(request.body)

    def _too_many(self) -> bool:
        """Whether the latest second was full before this request; if not, it is one of them."""
        most = self.behaviour.requests_per_second
        if most is None:
            return False
        now = self.now()
        while self._latest and now - self._latest[0] >= _SECOND:
            self._latest.popleft()
        if len(self._latest) >= most:
            return True
        self._latest.append(now)
        return False

    def _inquire(self, request: Received) -> GatewayAnswer:
        inquire = self._statuses if request.path == STATUS_PATH else self._balance
        try:
            return GatewayAnswer(200, _JSON, write_answer(inquire(request.body)))
        except InquiryRefused as refused:
            return self._error(refused.reason)

    def _statuses(self, body: bytes) -> list[Document] | Document:
        if not body:
            raise InquiryRefused(Reason.NO_POST_DATA)
        inquiries = self.behaviour.inquiries
        questions = inquiries.questions(body)
        accounts = [self._open_account(asked) for asked in questions]
        account = accounts[0]
        return inquiries.answer(
            questions, InquiryContext(account.login, self.ledger, self.scenarios, self.now(), account.price)
        )

    def _balance(self, body: bytes) -> Document:
        if not body:
            raise InquiryRefused(Reason.NO_POST_DATA)
        try:
            asked = read_balance_question(body)
        except BadDocument:
            raise InquiryRefused(Reason.BAD_DOCUMENT) from None
        account = self._open_account(asked)
        return self.behaviour.inquiries.balance(
            _PLENTY if account.money is None else account.money, _parts_left(account)
        )

    def _open_account(self, asked: AccountQuestion) -> Account:
        account = self._account(asked)
        if account is None:
            raise InquiryRefused(Reason.BAD_LOGIN)
        if account.locked:
            raise InquiryRefused(Reason.ACCOUNT_LOCKED)
        return account

    def _send(self, body: bytes) -> GatewayAnswer:
        if not body:
            return self._error(Reason.NO_POST_DATA)
        try:
            request = read_send_request(body)
        except BadDocument:
            return self._error(Reason.BAD_DOCUMENT)
        account = self._account(request)
        if account is None:
            return self._error(Reason.BAD_LOGIN)
        if account.locked:
            return self._error(Reason.ACCOUNT_LOCKED)
        recipients = sum(len(message.phones) for message in request.message)
        if self.behaviour.max_recipients is not None and recipients > self.behaviour.max_recipients:
            return GatewayAnswer(413, {"content-type": "text/html"}, b"<h1>Request Entity Too Large</h1>")
        entries = [self._entry(account, message, phone) for message in request.message for phone in message.phones]
        if self.behaviour.reverse:
            entries.reverse()
        refused = any("error" in entry for entry in entries)
        status = self.behaviour.refusal_status if refused else 200
        return GatewayAnswer(status, _JSON, write_send_answer(entries))

    def _entry(self, account: Account, message: ReceivedMessage, phone: ReceivedRecipient) -> Document:
        echoed = phone.client_id_sms if self.behaviour.echo_client_ids else None
        used = self._used_key(account, phone)
        if used is not None and used in self._used:
            self.ledger.repeats += 1
            first = self._used[used]
            if not first:
                return refused_entry(self._sentence(Reason.ALREADY_SENT), echoed)
            return accepted_entry(self._id(first), echoed)
        reason = self._refusal(account, message, phone)
        if reason is not None:
            if used is not None and self.behaviour.refused_uses_up_id:
                self._used[used] = ""
            return refused_entry(self._sentence(reason), echoed)
        id_sms = self._deliver(account, message, phone)
        if used is not None:
            self._used[used] = id_sms
        return accepted_entry(self._id(id_sms), echoed)

    def _deliver(self, account: Account, message: ReceivedMessage, phone: ReceivedRecipient) -> str:
        id_sms = str(next(self._numbers))
        parts = parts_of(message.text)
        if account.balance is not None:
            account.balance -= parts
        if account.money is not None:
            account.money -= parts * account.price
        client_id = "" if phone.client_id_sms is None else str(phone.client_id_sms)
        sms = Sms(
            id_sms,
            account.login,
            client_id,
            message.type_send_1,
            message.sender,
            message.text,
            str(phone.phone),
            phone.validity_period,
            parts,
            self.now(),
        )
        self.ledger.sent.append(sms)
        self.webhooks.sent(sms)
        return id_sms

    def _refusal(self, account: Account, message: ReceivedMessage, phone: ReceivedRecipient) -> Reason | None:
        """The order of the reasons is the manual's."""
        return (
            self._account_refusal(account, parts_of(message.text))
            or self._phone_refusal(account, str(phone.phone))
            or self._message_refusal(account, message)
        )

    def _account_refusal(self, account: Account, parts: int) -> Reason | None:
        if self.behaviour.out_of_service:
            return Reason.PROVIDER_OUT_OF_SMS
        left = _parts_left(account)
        if left is not None and left < parts:
            return Reason.OUT_OF_SMS
        return Reason.ACCOUNT_BLOCKED if account.blocked else None

    def _phone_refusal(self, account: Account, phone: str) -> Reason | None:
        if not phone:
            return Reason.NO_PHONE
        if phone in account.stop_list:
            return Reason.STOP_LIST
        if account.closed and phone.startswith(account.closed):
            return Reason.DESTINATION_CLOSED_FOR_YOU
        if self.behaviour.closed and phone.startswith(self.behaviour.closed):
            return Reason.DESTINATION_CLOSED
        return Reason.PHONE_TOO_LONG if len(phone) >= _MAX_PHONE else None

    def _message_refusal(self, account: Account, message: ReceivedMessage) -> Reason | None:
        return self._text_refusal(message) or self._sender_refusal(account, message.sender)

    def _text_refusal(self, message: ReceivedMessage) -> Reason | None:
        if any(word in message.text for word in self.behaviour.rejected_words):
            return Reason.TEXT_REJECTED
        if message.type == "vcard" and not message.name:
            return Reason.NO_CONTACT
        if message.type == "wappush" and not message.url:
            return Reason.NO_LINK
        return None if message.text else Reason.NO_TEXT

    def _sender_refusal(self, account: Account, sender: str) -> Reason | None:
        if not sender:
            return Reason.NO_SENDER
        if len(sender) > (MAX_SENDER_DIGITS if sender.isascii() and sender.isdigit() else MAX_SENDER_CHARACTERS):
            return Reason.SENDER_TOO_LONG
        if sender in account.unmoderated:
            return Reason.SENDER_NOT_MODERATED
        return Reason.UNKNOWN_SENDER if account.senders is not None and sender not in account.senders else None

    def _account(self, asked: AccountQuestion) -> Account | None:
        for account in self.accounts:
            if asked.token == account.token or (asked.login, asked.password) == (account.login, account.password):
                return account
        return None

    def _used_key(self, account: Account, phone: ReceivedRecipient) -> tuple[str, str] | None:
        given = phone.client_id_sms
        if given is None or given == "":
            return None
        text = str(given)
        if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER:
            text = str(int(text) & ((1 << self.behaviour.id_bits) - 1))
        return account.login, text

    def _id(self, id_sms: str) -> str | int:
        return int(id_sms) if self.behaviour.numeric_ids else id_sms

    def _sentence(self, reason: Reason) -> str:
        row = refusal(reason)
        russian = self.behaviour.language is Language.RUSSIAN or not row.english
        return (row.russian if russian else row.english) + ("." if self.behaviour.final_dot else "")

    def _error(self, reason: Reason) -> GatewayAnswer:
        return GatewayAnswer(self.behaviour.error_status, _JSON, write_error(self._sentence(reason)))

    def _ledger_answer(self) -> GatewayAnswer:
        summary: Document = {
            "sent": len(self.ledger),
            "billed_twice": len(self.ledger.billed_twice()),
            "repeats": self.ledger.repeats,
            "requests": self.requests,
        }
        return GatewayAnswer(200, {"content-type": "application/json"}, write_json(summary))


def _parts_left(account: Account) -> int | None:
    """Return None if *account* may send any number."""
    affordable = None if account.money is None or not account.price else int(account.money / account.price)
    limits = [limit for limit in (account.balance, affordable) if limit is not None]
    return min(limits, default=None)
