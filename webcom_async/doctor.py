"""
A check-up of the gateway: tests what its manual leaves open, with a phone of your own.

The check-up sends at most `MOST_SMS` messages; it learns the rest from refusals and repeated ids. Its findings are
saved in a capabilities file, which gives a client its options.

It cannot find the gateway's time zone, how long the gateway remembers an id, or its rate limit.
"""

import enum
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.errors import ConfigurationError, ReplyError, RequestRefused
from webcom_async._domain.exchange import Reply, RequestTrace, Transport
from webcom_async._domain.given import StrPath, check_file, open_file, refuse_blank
from webcom_async._domain.messages import Message, OutboundRecipient
from webcom_async._domain.options import OptionFields, Options
from webcom_async._domain.phones import normalise_phone
from webcom_async._domain.reasons import Reason
from webcom_async._domain.refusals import Language, classify
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async._http.exchange import exchange
from webcom_async._wire.json_api.send import BOM, JsonFormat, SendReply

__all__ = ["MOST_SMS", "Capabilities", "Order", "Repeat", "examine"]

MOST_SMS = 4
_MAX_BYTES = 4 << 20  # of an answer
_REDIRECTS, _TOO_LARGE = range(300, 400), 413
_TOP_BIT, _FLOAT_BIT = 1 << 62, 1 << 52  # beyond 32 bits, and beyond a float's precision
_NARROWEST = 53


class Repeat(enum.StrEnum):
    """How the gateway answers a repeated id."""

    FIRST_ID = "first id_sms"  #: as documented: no second SMS, and the `id_sms` of the first
    REFUSED = "already sent"  #: no second SMS, and an error without an id
    SENT_AGAIN = "sent again"  #: a second SMS: retries are unsafe


class Order(enum.StrEnum):
    """The order of the entries in an answer."""

    REQUEST = "the request's"  #: entries match recipients by position
    NAMED = "named"  #: each entry has its `client_id_sms`
    OTHER = "another"  #: only answers to one recipient can be matched


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a check-up found about a gateway.

    Attributes:
        base_url: The gateway's URL.
        checked: The time of the check-up, as ISO 8601.
        tls: Whether the gateway was reached over TLS with a trusted certificate.
        path: The path that takes messages; `/json/` if the gateway redirects `/json` there.
        repeat: The answer to a repeated id.
        id_bits: The bits of an id that the gateway distinguishes: 63, 53, or 0 for fewer.
        order: The order of entries in answers.
        refused_uses_up_id: Whether the id of a refused attempt cannot be used again; None if the check-up could not
            find out.
        largest_batch: The most recipients that the gateway took in a request, up to the batch size in the options.
        error_status: The HTTP status of a refused document.
        refusal_status: The HTTP status of an answer with a refused recipient.
        language: The language of errors.
        final_dot: Whether errors end with a dot.
        numeric_ids: Whether `id_sms` is a number.
        sms: The number of SMS that the check-up sent.
    """

    base_url: str
    checked: str
    tls: bool
    path: str
    repeat: Repeat
    id_bits: int
    order: Order
    refused_uses_up_id: bool | None
    largest_batch: int
    error_status: int
    refusal_status: int
    language: str
    final_dot: bool
    numeric_ids: bool
    sms: int

    @classmethod
    def from_file(cls, path: StrPath) -> "Capabilities":
        """
        Read a file that `save` has written.

        Raises:
            ConfigurationError: The file cannot be read, or holds something else.
        """
        refuse_blank("the path of the capabilities file", path, ConfigurationError)
        try:
            with _usable(path), open_file(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"capabilities {path}: not written by a check-up: {exc}") from None

    @property
    def as_documented(self) -> bool:
        """Whether a client is safe with the default options."""
        return (self.repeat, self.id_bits) == (Repeat.FIRST_ID, 63) and self.order is not Order.OTHER

    def save(self, path: StrPath) -> None:
        """
        Write the capabilities to a file, and replace an earlier one.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        refuse_blank("the path of the capabilities file", path, ConfigurationError)
        with _usable(path), open_file(path, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    @staticmethod
    def check_path(path: StrPath) -> None:
        """
        Check that `save` can write to *path*, before a check-up is paid for.

        Raises:
            ConfigurationError: The path is not a regular file, or its directory is missing.
        """
        with _usable(path):
            check_file(path, new=True)

    def options(self) -> OptionFields:
        """
        Return the options that suit the gateway.

        Raises:
            ConfigurationError: No options do: derived ids would collide.
        """
        if not self.id_bits:
            raise ConfigurationError(f"{self.base_url} tells fewer than 53 bits of an id apart: some would get nothing")
        found: OptionFields = {"path": self.path, "id_bits": 63 if self.id_bits > _NARROWEST else 53}
        if self.repeat is Repeat.SENT_AGAIN:
            found["attempts"] = 1
        if self.order is Order.OTHER:
            found["batch_size"] = 1
        else:
            found["batch_size"] = min(self.largest_batch, Options().batch_size)
        return found


async def examine(
    transport: Transport,
    credentials: Credentials,
    options: Options,
    phone: str,
    *,
    sender: str,
    text: str = "webcom-async doctor",
    now: datetime | None = None,
) -> Capabilities:
    """
    Test what the gateway's manual leaves open. Sends up to `MOST_SMS` messages to *phone*.

    Args:
        transport: The transport.
        credentials: The credentials of the account that pays.
        options: The options, with the gateway's URL.
        phone: A phone whose owner has agreed.
        sender: A sender of the account.
        text: The text of the messages.
        now: The time that is written to the file.

    Raises:
        WebcomError: The gateway does not answer, or the account cannot send to the phone, so nothing can be found.
    """
    checkup = _CheckUp(transport, credentials, options, normalise_phone(phone), Message(sender=sender, text=text))
    await checkup.find_path()
    refusal = await checkup.refuse_document()
    largest = await checkup.find_largest_batch()
    first = await checkup.send(checkup.known)
    repeat = await checkup.repeat(first)
    id_bits = await checkup.find_width(first, repeat)
    order, mixed = await checkup.find_order(first, largest)
    sentence = mixed.sentence or refusal.sentence
    return Capabilities(
        base_url=options.base_url,
        checked=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        tls=urlsplit(options.base_url).scheme == "https",
        path=checkup.path,
        repeat=repeat,
        id_bits=id_bits,
        order=order,
        refused_uses_up_id=await checkup.find_what_refusals_use_up(),
        largest_batch=largest,
        error_status=refusal.status,
        refusal_status=mixed.status,
        language=(Language.ENGLISH if sentence.isascii() else Language.RUSSIAN).value,
        final_dot=sentence.rstrip().endswith("."),
        numeric_ids=first.is_number,
        sms=checkup.sms,
    )


@contextmanager
def _usable(path: StrPath) -> Generator[None, None, None]:
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(f"capabilities {path}: {exc.strerror}") from None


class _ProbeAnswer(msgspec.Struct, frozen=True):
    """An answer: its status, and an id or an error for each entry."""

    status: int
    entries: list[tuple[str, str, str]] = []  # id_sms, error, client_id_sms
    error: str = ""
    is_number: bool = False

    @property
    def sentence(self) -> str:
        """The first error in the answer."""
        return self.error or next((error for _, error, _ in self.entries if error), "")

    @property
    def id_sms(self) -> str:
        return self.entries[0][0] if len(self.entries) == 1 else ""


class _CheckUp:
    """
    One check-up.

    Attributes:
        path: The path that messages are posted to.
        known: The id of the first message.
        refused: The id of a refused attempt.
        sms: The number of SMS sent.
    """

    def __init__(
        self, transport: Transport, credentials: Credentials, options: Options, phone: Phone, message: Message
    ) -> None:
        self.path: str = options.path
        # Between 2**60 and 2**61 floats are 256 apart: they cannot distinguish ids that differ in the last byte.
        self.known: int = secrets.randbits(61) & ~0xFF | 1 << 60 | 1
        self.refused: int = self.known ^ (1 << 20)
        self.sms: int = 0
        self._transport = transport
        self._credentials = credentials
        self._options = options
        self._format = JsonFormat(options.zone)
        self._phone = phone
        self._message = message

    async def find_path(self) -> None:
        """Follow redirects to another path of the same host, with a request that has no recipients."""
        for _ in range(2):
            reply = await self._post(b"[]")
            if reply.status not in _REDIRECTS:
                return
            here = self._url()
            there = urlsplit(urljoin(here, reply.headers.get("location", "")))
            if there[:2] != urlsplit(here)[:2]:
                raise ConfigurationError(f"{here} redirects to another host, and credentials are not sent there")
            self.path = there.path
        raise ConfigurationError(f"{self._options.base_url} redirects from path to path")

    async def refuse_document(self) -> _ProbeAnswer:
        return _read(await self._post(b"0"))

    async def find_largest_batch(self) -> int:
        """Return how many recipients fit in a request. They have no phones, so that nothing is sent."""
        size = self._options.batch_size
        fits, fails = 0, size + 1
        while fails - fits > 1:
            phones = [self._nobody(number) for number in range(size)]
            if (await self._post(self._encoded(phones))).status == _TOO_LARGE:
                fails = size
            else:
                fits = size
            size = (fits + fails) // 2
        if not fits:
            raise ConfigurationError("the gateway takes not even one recipient in a request")
        return fits

    async def send(self, client_id: int) -> _ProbeAnswer:
        answer = await self._ask([self._to(client_id)])
        if not answer.id_sms:
            error = self._credentials.redact(answer.sentence)
            raise RequestRefused(f"the first message was refused, so nothing can be learnt: {error}", error=error)
        self.sms += 1
        return answer

    async def repeat(self, first: _ProbeAnswer) -> Repeat:
        answer = await self._ask([self._to(self.known)])
        if answer.id_sms == first.id_sms:
            return Repeat.FIRST_ID
        if not answer.id_sms:
            return Repeat.REFUSED
        self.sms += 1
        return Repeat.SENT_AGAIN

    async def find_width(self, first: _ProbeAnswer, repeat: Repeat) -> int:
        """Return the bits of an id that the gateway distinguishes, by ids that differ in one bit."""
        if repeat is Repeat.SENT_AGAIN:
            return 63  # the gateway does not deduplicate
        if not await self._is_another(self.known ^ _TOP_BIT, first):
            # The gateway cuts the top bit off, or ignores ids: does it keep at least a float's precision?
            return 53 if await self._is_another(self.known ^ _FLOAT_BIT, first) else 0
        return 63 if await self._is_another(self.known ^ 2, first) else 53

    async def find_order(self, first: _ProbeAnswer, largest: int) -> tuple[Order, _ProbeAnswer]:
        """Return the order of an answer to a recipient without a phone and a known id; and the answer."""
        nobody = OutboundRecipient(Phone(""), ClientIdSms(str(self.refused)))
        if largest == 1:
            return Order.REQUEST, await self._ask([nobody])
        answer = await self._ask([nobody, self._to(self.known)])
        if len(answer.entries) != 2:  # noqa: PLR2004 - one each
            return Order.OTHER, answer
        if [name for _, _, name in answer.entries if name]:
            return Order.NAMED, answer
        (nothing, _, _), (found, _, _) = answer.entries
        self.sms += first.id_sms not in (nothing, found)
        return (Order.REQUEST if found or not nothing else Order.OTHER), answer

    async def find_what_refusals_use_up(self) -> bool | None:
        answer = await self._ask([self._to(self.refused)])
        if answer.id_sms:
            self.sms += 1
            return False
        return True if classify(answer.sentence) is Reason.ALREADY_SENT else None

    async def _is_another(self, client_id: int, first: _ProbeAnswer) -> bool:
        answer = await self._ask([self._to(client_id)])
        if not answer.id_sms or answer.id_sms == first.id_sms:
            return False
        self.sms += 1
        return True

    def _to(self, client_id: int) -> OutboundRecipient:
        return OutboundRecipient(self._phone, ClientIdSms(str(client_id)))

    def _nobody(self, number: int) -> OutboundRecipient:
        return OutboundRecipient(Phone(""), ClientIdSms(str(self.refused ^ (number + 1) << 24)))

    def _encoded(self, phones: list[OutboundRecipient]) -> bytes:
        return self._format.encode([(self._message, phones)])

    async def _ask(self, phones: list[OutboundRecipient]) -> _ProbeAnswer:
        return _read(await self._post(self._encoded(phones)))

    async def _post(self, messages: bytes) -> Reply:
        """Post once, without retries."""
        options = msgspec.structs.replace(self._options, path=self.path)
        request = self._format.request(messages, self._credentials, options)
        return await exchange(self._transport, request, RequestTrace(), timeout=options.timeout, max_bytes=_MAX_BYTES)

    def _url(self) -> str:
        return msgspec.structs.replace(self._options, path=self.path).url


def _read(reply: Reply) -> _ProbeAnswer:
    """Decode *reply*; raise `ReplyError` if it is not the documented JSON."""
    try:
        said = msgspec.json.decode(reply.body.removeprefix(BOM), type=SendReply)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ReplyError(f"HTTP status {reply.status}, and no document as the manual has it") from None
    entries = said.information or []
    return _ProbeAnswer(
        reply.status,
        [(printable(str(entry.id_sms or "")), entry.error or "", str(entry.client_id_sms or "")) for entry in entries],
        said.error or "",
        any(isinstance(entry.id_sms, int) for entry in entries),
    )
