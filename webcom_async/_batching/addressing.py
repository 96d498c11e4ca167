"""
Addressing: combine a recipient with the call's defaults into an outbound recipient.

Pure: the current time is an argument. A recipient that cannot be sent to raises an `InputError` that says why.
"""

from datetime import datetime

import msgspec

from webcom_async._domain.client_ids import Derive, check_client_id
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Channel, Message, MessageType, OutboundRecipient, Recipient, utc_moment
from webcom_async._domain.phones import normalise_phone, plain_int, quoted
from webcom_async._domain.reasons import Reason
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._wire.base import SendFormat
from webcom_async.segments import count_parts

__all__ = ["CallDefaults", "address", "call_defaults"]

_LARGEST_NUMBER = 2**63 - 1
_IN_ANY_PART = 33  # characters: 67 units of UCS-2, and none takes more than two


class CallDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a call gives for recipients that do not give it themselves.

    Attributes:
        message: The message; None if every recipient has a text or message.
        sender: The sender for recipients that have a text only.
        validity_period: The default for `Recipient.validity_period`.
        time_send: The default for `Recipient.time_send`.
        max_parts: The maximum number of SMS that a text may take; None for no limit.
    """

    message: Message | None = None
    sender: str | None = None
    validity_period: datetime | None = None
    time_send: datetime | None = None
    max_parts: int | None = None

    def message_for(self, recipient: Recipient) -> Message:
        """
        Return the message for *recipient*.

        Raises:
            InputError: There is no text, or it cannot be sent.
        """
        if recipient.message is not None:
            return _checked(recipient.message)
        if recipient.text is not None:
            return self._with_text(recipient.text)
        if self.message is None:
            raise InputError("no text: neither the call nor the recipient gives one", Reason.NO_TEXT)
        return self.message

    @property
    def template(self) -> Message | None:
        """The message that takes a recipient's own text; None without a sender."""
        if self.message is None and self.sender is not None:
            return Message(sender=self.sender, text="a recipient's own")
        return self.message

    def moments(self) -> tuple[datetime | None, datetime | None]:
        return _moment("validity_period", self.validity_period), _moment("time_send", self.time_send)

    def _with_text(self, text: str) -> Message:
        if self.message is not None:
            return msgspec.structs.replace(self.message, text=text)
        if self.sender is None:
            raise InputError("no sender: neither the call nor the recipient's message gives one", Reason.NO_SENDER)
        return Message(sender=self.sender, text=text)

    def past(self, now: datetime, recipient: Recipient | None = None) -> InputError | None:
        """Return an error that names a time before *now*, of *recipient* or the call."""
        validity_period, time_send = self.validity_period, self.time_send
        if recipient is not None:
            validity_period = recipient.validity_period or validity_period
            time_send = recipient.time_send or time_send
        for field, moment in (("validity_period", validity_period), ("time_send", time_send)):
            if moment is not None and moment <= now:
                return InputError(f"{field} {moment.isoformat()} is past", Reason.BAD_TIME)
        return None

    def excess(self, message: Message) -> InputError | None:
        """Return an error if *message* takes more SMS than `max_parts`; the call's own is checked with the call."""
        if message is self.message or not self.is_long(message.text) or not _is_billed_by_parts(message):
            return None
        parts = count_parts(message.text)
        if self.max_parts is None or parts <= self.max_parts:
            return None
        return InputError(
            f"the text takes {parts} SMS, and max_parts is {self.max_parts}: shorten it, or give max_parts={parts}, or "
            "None for no limit",
            Reason.TOO_MANY_PARTS,
        )

    def is_long(self, text: str) -> bool:
        """Whether *text* is worth counting; far faster than to count."""
        return self.max_parts is not None and len(text) > self.max_parts * _IN_ANY_PART


def call_defaults(
    text: str | None,
    sender: str | None,
    message: Message | None,
    validity_period: datetime | None,
    time_send: datetime | None,
    *,
    send_format: SendFormat,
    max_parts: int | None = None,
) -> CallDefaults:
    """
    Check a call's arguments, and return its defaults. Its times may be past.

    Raises:
        InputError: They contradict each other, cannot be sent in *send_format*, or the text takes more SMS than
            *max_parts*.
    """
    if message is not None and (text is not None or sender is not None):
        raise InputError("give message=, or text= and sender=, not both")
    if message is not None:
        send_format.size_of(_checked(message))
    elif text is not None:
        if sender is None:
            raise InputError("sender= is missing: who is the message from?", Reason.NO_SENDER)
        message = Message(sender=sender, text=text)
    elif sender is not None:
        Message(sender=sender, text="checks the sender")
    excess = None if message is None else CallDefaults(max_parts=max_parts).excess(message)
    if excess is not None:
        raise excess
    defaults = CallDefaults(
        message=message,
        sender=sender,
        validity_period=validity_period,
        time_send=time_send,
        max_parts=max_parts,
    )
    send_format.size_of_recipient(OutboundRecipient(Phone(""), ClientIdSms(""), *defaults.moments()))
    return defaults


def _is_billed_by_parts(message: Message) -> bool:
    """Whether an SMS carries the text, be it as the second channel."""
    sms = Channel.SMS in (message.type_send_1, message.type_send_2)
    return sms and message.type not in {MessageType.WAP_PUSH, MessageType.VCARD}


def _checked(message: object) -> Message:
    if not isinstance(message, Message):
        raise InputError(f"message must be a Message, not {type(message).__name__}")
    # Not in `Message`: messages that an earlier release put into a journal must stay readable.
    if isinstance(message.sender_viber, str) and not message.sender_viber.strip():
        raise InputError("sender_viber is empty: give it a value, or leave it out", Reason.BAD_SENDER)
    return message


def address(recipient: Recipient, defaults: CallDefaults, derive: Derive) -> tuple[Message, OutboundRecipient]:
    """
    Return the message and the outbound recipient for *recipient*. Its times may be past.

    Raises:
        InputError: It cannot be sent to; the message says why.
    """
    phone = normalise_phone(recipient.phone)
    if not isinstance(recipient.key, str):
        raise InputError(f"key {quoted(recipient.key)} must be a str", Reason.BAD_RECIPIENT)
    if recipient.key.isspace():
        raise InputError("key is blank: give it a value, or leave it out", Reason.BAD_RECIPIENT)
    message = defaults.message_for(recipient)
    if recipient.client_id_sms is None:
        client_id = derive(phone, recipient.key)
    else:
        client_id = check_client_id(recipient.client_id_sms)
    return message, OutboundRecipient(
        phone,
        client_id,
        _moment("validity_period", recipient.validity_period or defaults.validity_period),
        _moment("time_send", recipient.time_send or defaults.time_send),
        None if recipient.number_sms is None else _number_sms(recipient.number_sms),
    )


def _number_sms(given: object) -> int:
    given = plain_int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= _LARGEST_NUMBER:
        raise InputError(f"number_sms {quoted(given)} must be an int of at most 63 bits", Reason.BAD_RECIPIENT)
    return int(given)  # msgspec cannot encode subclasses of int


def _moment(field: str, given: datetime | None) -> datetime | None:
    return None if given is None else utc_moment(field, given)
