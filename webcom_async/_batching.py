"""
Batches: from what a source yields to what one request carries.

Pure arithmetic on values: the moment of cutting and the ids under way are arguments. Nothing here reads a clock or
awaits. A bad recipient becomes a result with its reason, and the others go on.
"""

from collections import deque
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Protocol, cast

import msgspec

from webcom_async._client_ids import ClientIdSms, IdScheme, check_client_id
from webcom_async._phones import Phone, normalise_phone, shown
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone, message_size, phone_size, wire_minute, wire_second
from webcom_async.errors import InputError
from webcom_async.models import Message, Outcome, Recipient, SendResult

__all__ = [
    "DUPLICATE_WORDS",
    "Batch",
    "Batcher",
    "CallDefaults",
    "Cutter",
    "OneByOne",
    "address",
    "call_defaults",
    "not_sent",
]


DUPLICATE_WORDS = "the same id is in a request that has no answer yet: is the phone in the source twice?"
_LARGEST_NUMBER = 2**63 - 1


class CallDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a call says for every recipient that does not say it itself.

    Attributes:
        message: The message; None if every recipient brings a text or message.
        sender: The sender for recipients that bring a text only.
        validity_period: See `Recipient`.
        time_send: See `Recipient`.
        zone: The zone of times on the wire.
    """

    message: Message | None = None
    sender: str | None = None
    validity_period: datetime | None = None
    time_send: datetime | None = None
    zone: tzinfo

    def message_for(self, recipient: Recipient) -> Message:
        """
        Return what *recipient* is to be told.

        Raises:
            InputError: Nobody says what, or the text cannot be sent.
        """
        if recipient.message is not None:
            return _checked(recipient.message)
        if recipient.text is not None:
            return self._with_text(recipient.text)
        if self.message is None:
            raise InputError("no text: neither the call nor the recipient gives one", Reason.NO_TEXT)
        return self.message

    def _with_text(self, text: str) -> Message:
        if self.message is not None:
            return msgspec.structs.replace(self.message, text=text)
        if self.sender is None:
            raise InputError("no sender: neither the call nor the recipient's message gives one", Reason.NO_SENDER)
        return Message(sender=self.sender, text=text)

    def past(self, now: datetime, recipient: Recipient | None = None) -> InputError | None:
        """Return an error that names the time that lies before *now*, of *recipient* or of everyone; None if none."""
        validity_period, time_send = self.validity_period, self.time_send
        if recipient is not None:
            validity_period = recipient.validity_period or validity_period
            time_send = recipient.time_send or time_send
        for field, moment in (("validity_period", validity_period), ("time_send", time_send)):
            if moment is not None and moment <= now:
                return InputError(f"{field} {moment.isoformat()} is past", Reason.BAD_TIME)
        return None


def call_defaults(
    text: str | None,
    sender: str | None,
    message: Message | None,
    validity_period: datetime | None,
    time_send: datetime | None,
    *,
    zone: tzinfo,
) -> CallDefaults:
    """
    Return what a call says for everyone, checked; except that its times may be `past`.

    Raises:
        InputError: It contradicts itself, or cannot be sent.
    """
    if message is not None and (text is not None or sender is not None):
        raise InputError("give message=, or text= and sender=, not both")
    if text is not None:
        if sender is None:
            raise InputError("sender= is missing: who is the message from?", Reason.NO_SENDER)
        message = Message(sender=sender, text=text)
    elif sender is not None:
        Message(sender=sender, text="checks the sender")
    if message is not None:
        message_size(_checked(message))
    for field, moment in (("validity_period", validity_period), ("time_send", time_send)):
        if moment is not None:
            _time(field, moment, zone)
    return CallDefaults(message=message, sender=sender, validity_period=validity_period, time_send=time_send, zone=zone)


def _checked(message: object) -> Message:
    if not isinstance(message, Message):
        raise InputError(f"message must be a Message, not {type(message).__name__}")
    return message


class Batch(msgspec.Struct):
    """
    One request's worth of recipients.

    Attributes:
        number: 1, 2, 3, … within the campaign.
        addressed: Messages and their recipients, in source order.
        phones: All recipients, in source order.
        unusable: Recipients that cannot be sent to, as results.
        late: Why some of `phones` may not be sent to any more; unless they have been, in an earlier run.
    """

    number: int
    addressed: list[Addressed] = []
    phones: list[WirePhone] = []
    unusable: list[SendResult] = []
    late: dict[ClientIdSms, InputError] = {}

    @property
    def client_ids(self) -> list[ClientIdSms]:
        """The ids that this batch carries."""
        return [phone.client_id_sms for phone in self.phones]

    def ends_with(self, message: Message) -> bool:
        """Whether the next recipient of *message* can share the wire's last `message`."""
        return bool(self.addressed) and (self.addressed[-1][0] is message or self.addressed[-1][0] == message)

    def add(self, message: Message, phone: WirePhone) -> None:
        """Append one recipient."""
        if self.ends_with(message):
            self.addressed[-1][1].append(phone)
        else:
            self.addressed.append((message, [phone]))
        self.phones.append(phone)


def address(recipient: Recipient, defaults: CallDefaults, ids: IdScheme) -> tuple[Message, WirePhone]:
    """
    Return the message for *recipient* and its entry on the wire. Its times may be past.

    Raises:
        InputError: Something about it cannot be sent; the message says what.
    """
    phone = normalise_phone(recipient.phone)
    message = defaults.message_for(recipient)
    if recipient.client_id_sms is None:
        client_id = ids.derive(phone, recipient.key)
    else:
        client_id = check_client_id(recipient.client_id_sms)
    number = recipient.number_sms
    if number is not None and not (isinstance(number, int) and 0 <= number <= _LARGEST_NUMBER):
        raise InputError(f"number_sms {shown(number)} must be an int of at most 63 bits", Reason.BAD_RECIPIENT)
    validity_period = recipient.validity_period or defaults.validity_period
    time_send = recipient.time_send or defaults.time_send
    return message, WirePhone(
        phone,
        client_id,
        None if validity_period is None else _time("validity_period", validity_period, defaults.zone),
        None if time_send is None else _time("time_send", time_send, defaults.zone),
        number,
    )


def not_sent(phone: WirePhone, reason: Reason, error: str, attempts: int = 0) -> SendResult:
    """Return the result of a recipient to whom nothing was sent."""
    return SendResult(phone.client_id_sms, phone.phone, Outcome.NOT_SENT, None, reason, error, attempts)


class Cutter(Protocol):
    """What takes batches from what a source has yielded."""

    def cut(self, waiting: deque[object], under_way: AbstractSet[ClientIdSms], now: datetime) -> Batch:
        """Take one batch from the left of *waiting*; see `Batcher.cut`."""
        ...

    def shrink(self, max_bytes: int) -> None:
        """Cut smaller batches from now on."""
        ...


class OneByOne:
    """Cut recipients that are ready for the wire, one a batch: so that each answer means the one and only."""

    def __init__(self) -> None:
        self._number = 0

    def cut(self, waiting: deque[object], under_way: AbstractSet[ClientIdSms], now: datetime) -> Batch:  # noqa: ARG002
        """Take a `(Message, WirePhone)` from the left of *waiting*."""
        self._number += 1
        message, phone = cast("tuple[Message, WirePhone]", waiting.popleft())
        if phone.client_id_sms in under_way:
            return Batch(self._number, [], [], [not_sent(phone, Reason.DUPLICATE, DUPLICATE_WORDS)])
        return Batch(self._number, [(message, [phone])], [phone])

    def shrink(self, max_bytes: int) -> None:
        """Do nothing: a batch of one is as small as it gets."""


class Batcher:
    """
    Cut recipients into batches by count and by bytes.

    Args:
        defaults: What the call says for everyone.
        ids: How ids are derived.
        size: Recipients in a batch, at most.
        max_bytes: Bytes of a batch's messages, at most; a single recipient may exceed it, alone.
    """

    def __init__(self, defaults: CallDefaults, ids: IdScheme, *, size: int, max_bytes: int) -> None:
        self._defaults = defaults
        self._ids = ids
        self._size = size
        self._max_bytes = max_bytes
        self._number = 0

    def shrink(self, max_bytes: int) -> None:
        """Cut batches of at most *max_bytes* from now on: the gateway has found larger ones too large."""
        self._max_bytes = max(1, min(self._max_bytes, max_bytes))

    def cut(self, waiting: deque[object], under_way: AbstractSet[ClientIdSms], now: datetime) -> Batch:
        """
        Take one batch from the left of *waiting*; what does not fit stays there.

        Args:
            waiting: What the source yielded: phones or recipients.
            under_way: Ids in requests that have not been answered.
            now: Times before this moment are past.
        """
        self._number += 1
        batch = Batch(self._number, [], [], [])
        mine: set[ClientIdSms] = set()
        room = self._max_bytes
        while waiting and len(batch.phones) + len(batch.unusable) < self._size:
            given = waiting[0]
            try:
                recipient = _as_recipient(given)
                message, phone = address(recipient, self._defaults, self._ids)
                bytes_needed = phone_size(phone) + (0 if batch.ends_with(message) else message_size(message))
            except Exception as exc:  # noqa: BLE001 - an item's own methods may raise anything; the others go on
                batch.unusable.append(_unusable(given, exc))
                waiting.popleft()
                continue
            if phone.client_id_sms in mine or phone.client_id_sms in under_way:
                batch.unusable.append(not_sent(phone, Reason.DUPLICATE, DUPLICATE_WORDS))
                waiting.popleft()
                continue
            room -= bytes_needed
            if room < 0 and batch.phones:
                break
            batch.add(message, phone)
            mine.add(phone.client_id_sms)
            past = self._defaults.past(now, recipient)
            if past is not None:
                batch.late[phone.client_id_sms] = past
            waiting.popleft()
        return batch


def _as_recipient(given: object) -> Recipient:
    if isinstance(given, Recipient):
        return given
    if isinstance(given, str | int):
        return Recipient(given)
    raise InputError(
        f"a source yields phones or Recipients, not {type(given).__name__}: wrap it, as in Recipient(phone, text=text)",
        Reason.BAD_RECIPIENT,
    )


def _unusable(given: object, exc: Exception) -> SendResult:
    written = given.phone if isinstance(given, Recipient) else given
    client_id = given.client_id_sms if isinstance(given, Recipient) else None
    return SendResult(
        ClientIdSms("" if client_id is None else _text(client_id)),
        Phone(_text(written).strip()),
        Outcome.NOT_SENT,
        reason=exc.reason if isinstance(exc, InputError) else Reason.BAD_RECIPIENT,
        error=str(exc) if isinstance(exc, InputError) else f"{type(exc).__name__}: {shown(exc.args)}",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else shown(value)


def _time(field: str, moment: datetime, zone: tzinfo) -> str:
    if not isinstance(moment, datetime):
        raise InputError(f"{field} must be an aware datetime, not {type(moment).__name__}", Reason.BAD_TIME)
    if moment.utcoffset() is None:
        raise InputError(
            f"{field} must be an aware datetime: give it a tzinfo, as in datetime.now(UTC)", Reason.BAD_TIME
        )
    try:
        # In UTC: two moments that a clock shows alike when it is set back are equal to a cache.
        return _written(field, moment.astimezone(UTC), zone)
    except (OverflowError, ValueError):
        raise InputError(f"{field} {moment.isoformat()} is out of range", Reason.BAD_TIME) from None


# A campaign has few different times and many recipients.
@lru_cache(maxsize=256)
def _written(field: str, moment: datetime, zone: tzinfo) -> str:
    return wire_second(moment, zone) if field == "validity_period" else wire_minute(moment, zone)
