"""
A check-up of the gateway: what its manual leaves open, asked of the gateway itself with a phone of one's own.

It sends at most `MOST_SMS` messages; whatever can be learnt from a refusal or from a repeated id is. What it finds is
kept in a file of capabilities, from which the options of a client follow.

Not to be learnt so: the gateway's time zone, how long it remembers an id, and its rate limit.
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
from webcom_async._domain.given import refuse_blank
from webcom_async._domain.messages import Message
from webcom_async._domain.options import OptionFields, Options
from webcom_async._domain.paths import StrPath, check_file, open_file
from webcom_async._domain.phones import normalise_phone
from webcom_async._domain.reasons import Reason
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async._http.exchange import Transport, exchange
from webcom_async._wire.base import Payload, Reply, WirePhone
from webcom_async._wire.json_api.send import BOM, SendReply, encode_messages
from webcom_async._wire.refusals import Language, classify

__all__ = ["MOST_SMS", "Capabilities", "Order", "Repeat", "examine"]

MOST_SMS = 4
_MAX_BYTES = 4 << 20  # of an answer
_REDIRECTS, _TOO_LARGE = range(300, 400), 413
_TOP_BIT, _FLOAT_BIT = 1 << 62, 1 << 52  # beyond what 32 bits, and what floats, hold
_NARROWEST = 53


class Repeat(enum.Enum):
    """What the gateway answers to an id that it has seen."""

    FIRST_ID = "first id_sms"  #: as documented: no second SMS, and the first one's `id_sms`
    REFUSED = "already sent"  #: no second SMS, and a sentence without an id
    SENT_AGAIN = "sent again"  #: another SMS: nothing may be retried


class Order(enum.Enum):
    """In which order the entries of an answer stand."""

    REQUEST = "the request's"  #: so that they can be paired
    NAMED = "named"  #: each names its `client_id_sms`
    OTHER = "another"  #: only a request of one recipient can be read


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a gateway was found to do.

    Attributes:
        base_url: Of which gateway.
        checked: When, as ISO 8601.
        tls: Whether it was asked over TLS, and its certificate is trusted.
        path: Where it takes messages; `/json/` where it redirects `/json`.
        repeat: What it answers to an id that it has seen.
        id_bits: How many bits of an id it tells apart: 63, 53, or 0 for fewer.
        order: How its answers are ordered.
        refused_uses_up_id: Whether an id of a refused attempt cannot be used again; None if that was not to be learnt.
        largest_batch: Recipients in a request that it was seen to take; what was asked for, or fewer.
        error_status: HTTP status with which it refuses a document.
        refusal_status: HTTP status of an answer in which a recipient is refused.
        language: Of its sentences.
        final_dot: Whether these end with a dot.
        numeric_ids: Whether `id_sms` comes as a number.
        sms: How many SMS the check-up has sent.
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
        Read what `save` has written.

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
        """Whether a client needs no setting of its own to be safe."""
        return (self.repeat, self.id_bits) == (Repeat.FIRST_ID, 63) and self.order is not Order.OTHER

    def save(self, path: StrPath) -> None:
        """
        Write them into a file, over an earlier one.

        Raises:
            ConfigurationError: It cannot be written.
        """
        refuse_blank("the path of the capabilities file", path, ConfigurationError)
        with _usable(path), open_file(path, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    @staticmethod
    def check_path(path: StrPath) -> None:
        """
        Look whether `save` may write into a file, before a check-up is paid for.

        Raises:
            ConfigurationError: It may not: it is no regular file, or its directory is not there.
        """
        with _usable(path):
            check_file(path, new=True)

    def options(self) -> OptionFields:
        """
        Return the settings with which a client suits the gateway.

        Raises:
            ConfigurationError: No setting does: ids that the library derives would collide.
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
    Ask the gateway what its manual leaves open. Sends up to `MOST_SMS` messages to *phone*.

    Args:
        transport: Posts bodies.
        credentials: Whose account pays.
        options: Where the gateway is.
        phone: Whose owner has agreed.
        sender: A sender of the account.
        text: What the messages say.
        now: The time, for the file.

    Raises:
        WebcomError: There is no answer, or the account cannot send to the phone; nothing can be learnt then.
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
    """An answer: its status, and for each entry an id, or a sentence."""

    status: int
    entries: list[tuple[str, str, str]] = []  # id_sms, error, client_id_sms
    error: str = ""
    is_number: bool = False

    @property
    def sentence(self) -> str:
        """The first sentence in it."""
        return self.error or next((error for _, error, _ in self.entries if error), "")

    @property
    def id_sms(self) -> str:
        """The only entry's id; empty if there is none."""
        return self.entries[0][0] if len(self.entries) == 1 else ""


class _CheckUp:
    """
    One check-up.

    Attributes:
        path: Where messages go.
        known: The id of the first message.
        refused: An id of which an attempt was refused.
        sms: How many were sent.
    """

    def __init__(
        self, transport: Transport, credentials: Credentials, options: Options, phone: Phone, message: Message
    ) -> None:
        self.path: str = options.path
        # Between 2**60 and 2**61, where floats are 256 apart: ids that differ in the last byte are one to them.
        self.known: int = secrets.randbits(61) & ~0xFF | 1 << 60 | 1
        self.refused: int = self.known ^ (1 << 20)
        self.sms: int = 0
        self._transport = transport
        self._credentials = credentials
        self._options = options
        self._phone = phone
        self._message = message

    async def find_path(self) -> None:
        """Follow a redirect to another path of the same host; nobody is in the request."""
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
        """Return the answer to what is no document."""
        return _read(await self._post(b"0"))

    async def find_largest_batch(self) -> int:
        """Return how many recipients a request may hold; those in it have no phone, so that none is sent to."""
        size = self._options.batch_size
        fits, fails = 0, size + 1
        while fails - fits > 1:
            phones = [self._nobody(number) for number in range(size)]
            if (await self._post(encode_messages([(self._message, phones)]))).status == _TOO_LARGE:
                fails = size
            else:
                fits = size
            size = (fits + fails) // 2
        if not fits:
            raise ConfigurationError("the gateway takes not even one recipient in a request")
        return fits

    async def send(self, client_id: int) -> _ProbeAnswer:
        """Send one message and return its answer; there is an `id_sms` in it."""
        answer = await self._ask([self._to(client_id)])
        if not answer.id_sms:
            error = self._credentials.redact(answer.sentence)
            raise RequestRefused(f"the first message was refused, so nothing can be learnt: {error}", error=error)
        self.sms += 1
        return answer

    async def repeat(self, first: _ProbeAnswer) -> Repeat:
        """Return what a second request under the first message's id is answered."""
        answer = await self._ask([self._to(self.known)])
        if answer.id_sms == first.id_sms:
            return Repeat.FIRST_ID
        if not answer.id_sms:
            return Repeat.REFUSED
        self.sms += 1
        return Repeat.SENT_AGAIN

    async def find_width(self, first: _ProbeAnswer, repeat: Repeat) -> int:
        """Return how many bits of an id are told apart, by ids that differ from the first one's in a single bit."""
        if repeat is Repeat.SENT_AGAIN:
            return 63  # no two ids are one to it
        if not await self._is_another(self.known ^ _TOP_BIT, first):
            # A mask, or nothing: is it at least as wide as a float?
            return 53 if await self._is_another(self.known ^ _FLOAT_BIT, first) else 0
        return 63 if await self._is_another(self.known ^ 2, first) else 53

    async def find_order(self, first: _ProbeAnswer, largest: int) -> tuple[Order, _ProbeAnswer]:
        """Return how the answer to someone without a phone and to a known id is ordered, and that answer."""
        nobody = WirePhone(Phone(""), ClientIdSms(str(self.refused)))
        if largest == 1:
            return Order.REQUEST, await self._ask([nobody])
        answer = await self._ask([nobody, self._to(self.known)])
        if len(answer.entries) != 2:  # noqa: PLR2004 - those asked for
            return Order.OTHER, answer
        if [name for _, _, name in answer.entries if name]:
            return Order.NAMED, answer
        (nothing, _, _), (found, _, _) = answer.entries
        self.sms += first.id_sms not in (nothing, found)
        return (Order.REQUEST if found or not nothing else Order.OTHER), answer

    async def find_what_refusals_use_up(self) -> bool | None:
        """Return whether the id of someone who was refused can be used no more."""
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

    def _to(self, client_id: int) -> WirePhone:
        return WirePhone(self._phone, ClientIdSms(str(client_id)))

    def _nobody(self, number: int) -> WirePhone:
        return WirePhone(Phone(""), ClientIdSms(str(self.refused ^ (number + 1) << 24)))

    async def _ask(self, phones: list[WirePhone]) -> _ProbeAnswer:
        return _read(await self._post(encode_messages([(self._message, phones)])))

    async def _post(self, messages: bytes) -> Reply:
        """Post once: a check-up repeats nothing by itself."""
        body = Payload(self._credentials, messages)
        timeout = self._options.timeout
        return await exchange(self._transport, self._url(), body, timeout=timeout, max_bytes=_MAX_BYTES)

    def _url(self) -> str:
        return msgspec.structs.replace(self._options, path=self.path).url


def _read(reply: Reply) -> _ProbeAnswer:
    """
    Return what *reply* says.

    Raises:
        ReplyError: It is not the documented JSON.
    """
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
