"""
Cut what a source yields into batches.

Pure: the current time and the ids in flight are arguments; nothing here reads a clock or awaits. A bad recipient
becomes a result with its reason, and the others continue.
"""

from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from typing import Protocol, cast

import msgspec

from webcom_async._batching.addressing import CallDefaults, address
from webcom_async._batching.vectorized import prepare_batch
from webcom_async._domain.client_ids import IdScheme
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient, Recipient, phones_of
from webcom_async._domain.phones import plain_int, quoted, shown
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._wire.base import SendFormat

__all__ = ["DUPLICATE_WORDS", "Batch", "Batcher", "RecipientBatcher", "SingleRecipientBatcher", "not_sent"]

DUPLICATE_WORDS = "the same id is in a request that has no answer yet: is the phone in the source twice?"


class Batch(msgspec.Struct):
    """
    The recipients of one request.

    Attributes:
        number: 1, 2, 3, … within the campaign.
        addressed: Messages and their recipients, in source order.
        client_ids: The ids of all recipients.
        unusable: Results of the recipients that cannot be sent to.
        barred: Errors of the recipients whose time is past or whose text takes too many SMS. They are not sent; a
            journal may have an earlier result.
        new_ids: New ids by the ids in `addressed`, of recipients that take them if they were never sent to. Both are in
            `client_ids`.
        messages: `addressed` as encoded for the wire; None if it is not encoded yet.
    """

    number: int
    addressed: list[Addressed] = []
    client_ids: list[ClientIdSms] = []
    unusable: list[SendResult] = []
    barred: dict[ClientIdSms, InputError] = {}
    new_ids: dict[ClientIdSms, ClientIdSms] = {}
    messages: bytes | None = None

    @property
    def phones(self) -> list[OutboundRecipient]:
        return phones_of(self.addressed)

    def narrow(self, addressed: list[Addressed]) -> None:
        if addressed is not self.addressed:
            self.addressed = addressed
            self.messages = None

    def ends_with(self, message: Message) -> bool:
        return bool(self.addressed) and (self.addressed[-1][0] is message or self.addressed[-1][0] == message)

    def told(self, client_id: ClientIdSms) -> tuple[Message, Phone] | None:
        """Return the message and the phone of an id, if the batch still has it."""
        for message, phones in self.addressed:
            found = next((to.phone for to in phones if to.client_id_sms == client_id), None)
            if found is not None:
                return message, found
        return None

    def add(self, message: Message, phone: OutboundRecipient) -> None:
        if self.ends_with(message):
            self.addressed[-1][1].append(phone)
        else:
            self.addressed.append((message, [phone]))
        self.client_ids.append(phone.client_id_sms)


def not_sent(phone: OutboundRecipient, reason: Reason, error: str, attempts: int = 0) -> SendResult:
    return SendResult(phone.client_id_sms, phone.phone, Outcome.NOT_SENT, None, reason, error, attempts)


class Batcher(Protocol):
    """Takes batches from what a source has yielded."""

    def cut(self, waiting: deque[object], ids_in_flight: AbstractSet[ClientIdSms], now: datetime) -> Batch:
        """Take one batch from the left of *waiting*."""
        ...

    def shrink(self, max_bytes: int) -> None:
        """Cut smaller batches from now on."""
        ...


class SingleRecipientBatcher:
    """
    Cuts recipients that are already addressed into batches of one, so that an answer can only mean that recipient.

    Args:
        send_format: The format of the requests.
    """

    def __init__(self, send_format: SendFormat) -> None:
        self._format = send_format
        self._number = 0

    def cut(self, waiting: deque[object], ids_in_flight: AbstractSet[ClientIdSms], now: datetime) -> Batch:  # noqa: ARG002
        self._number += 1
        message, phone = cast("tuple[Message, OutboundRecipient]", waiting.popleft())
        if phone.client_id_sms in ids_in_flight:
            return Batch(self._number, [], [], [not_sent(phone, Reason.DUPLICATE, DUPLICATE_WORDS)], {})
        batch = Batch(self._number, [(message, [phone])], [phone.client_id_sms], [], {})
        try:
            self._format.size_of_recipient(phone)
        except InputError as exc:  # a moment that is out of range in this client's zone
            batch.barred[phone.client_id_sms] = exc
        return batch

    def shrink(self, max_bytes: int) -> None:
        """Do nothing: a batch of one cannot shrink."""


class RecipientBatcher:
    """
    Cuts recipients into batches by count and by bytes.

    Args:
        defaults: The call's defaults.
        ids: The scheme that derives ids.
        send_format: The format of the requests.
        size: The maximum number of recipients in a batch.
        max_bytes: The maximum size of a batch's messages. A single recipient may exceed it, in a batch of one.
        new_ids: The scheme of the new ids; None if the campaign has none.
    """

    def __init__(
        self,
        defaults: CallDefaults,
        ids: IdScheme,
        send_format: SendFormat,
        *,
        size: int,
        max_bytes: int,
        new_ids: IdScheme | None = None,
    ) -> None:
        self._new_ids = new_ids
        self._defaults = defaults
        self._ids = ids
        self._format = send_format
        self._size = min(size, send_format.max_recipients)
        self._max_bytes = min(max_bytes, send_format.limit)
        self._number = 0

    def shrink(self, max_bytes: int) -> None:
        self._max_bytes = max(1, min(self._max_bytes, max_bytes))

    def cut(self, waiting: deque[object], ids_in_flight: AbstractSet[ClientIdSms], now: datetime) -> Batch:
        """
        Take one batch of phones or recipients from the left of *waiting*; those that do not fit stay there.

        Ids in *ids_in_flight* are duplicates, and times before *now* are past.
        """
        self._number += 1
        return self._cut_whole(waiting, ids_in_flight, now) or self._cut_one_by_one(waiting, ids_in_flight, now)

    def _cut_whole(
        self, waiting: deque[object], ids_in_flight: AbstractSet[ClientIdSms], now: datetime
    ) -> Batch | None:
        """Take a batch as columns, or nothing if `prepare_batch` cannot."""
        if not waiting or self._new_ids is not None or self._defaults.past(now) is not None:
            return None
        given = list(islice(waiting, self._size))
        try:
            whole = prepare_batch(given, self._defaults, self._ids, self._format)
        except Exception:  # noqa: BLE001 - an item's own methods may raise anything; one by one it gets its reason
            return None
        if whole is None or len(whole.messages) > self._max_bytes or not ids_in_flight.isdisjoint(whole.client_ids):
            return None
        _drop(waiting, len(given))
        return Batch(self._number, whole.addressed, whole.client_ids, messages=whole.messages)

    def _cut_one_by_one(self, waiting: deque[object], ids_in_flight: AbstractSet[ClientIdSms], now: datetime) -> Batch:
        batch = Batch(self._number, [], [], [], {})
        mine: set[ClientIdSms] = set()
        room = self._max_bytes
        while waiting and len(batch.client_ids) - len(batch.new_ids) + len(batch.unusable) < self._size:
            given = waiting[0]
            try:
                recipient = _as_recipient(given)
                message, phone = address(recipient, self._defaults, self._ids.derive)
                new_id = self._new_id(recipient, phone)
                bytes_needed = self._largest(phone, new_id)
                bytes_needed += 0 if batch.ends_with(message) else self._format.size_of(message)
                bar = self._defaults.past(now, recipient) or self._defaults.excess(message)
            except Exception as exc:  # noqa: BLE001 - an item's own methods may raise anything; the others go on
                batch.unusable.append(_unusable(given, exc))
                waiting.popleft()
                continue
            its_ids = {phone.client_id_sms, phone.client_id_sms if new_id is None else new_id}
            if not (its_ids.isdisjoint(mine) and its_ids.isdisjoint(ids_in_flight)):
                batch.unusable.append(not_sent(phone, Reason.DUPLICATE, DUPLICATE_WORDS))
                waiting.popleft()
                continue
            room -= bytes_needed
            if room < 0 and mine:
                break
            batch.add(message, phone)
            if new_id is not None:
                batch.new_ids[phone.client_id_sms] = new_id
                batch.client_ids.append(new_id)
            mine |= its_ids
            if bar is not None:
                batch.barred.update(dict.fromkeys(its_ids, bar))
            waiting.popleft()
        return batch

    def _new_id(self, recipient: Recipient, to: OutboundRecipient) -> ClientIdSms | None:
        """Return None if the recipient keeps its id, as one that the caller gave does."""
        if self._new_ids is None or recipient.client_id_sms is not None:
            return None
        return self._new_ids.derive(to.phone, recipient.key)

    def _largest(self, to: OutboundRecipient, new_id: ClientIdSms | None) -> int:
        size = self._format.size_of_recipient(to)
        if new_id is None:
            return size
        return max(size, self._format.size_of_recipient(msgspec.structs.replace(to, client_id_sms=new_id)))


def _drop(waiting: deque[object], count: int) -> None:
    if count == len(waiting):
        waiting.clear()
    else:
        for _ in range(count):
            waiting.popleft()


def _as_recipient(given: object) -> Recipient:
    if isinstance(given, Recipient):
        return given
    plain = plain_int(given)
    if isinstance(plain, str | int):
        return Recipient(plain)
    raise InputError(
        f"a source yields phones or Recipients, not {type(given).__name__}: wrap it, as in Recipient(phone, text=text)",
        Reason.BAD_RECIPIENT,
    )


def _unusable(given: object, exc: Exception) -> SendResult:
    said = exc if isinstance(exc, InputError) else None
    return SendResult(
        ClientIdSms(_written(lambda: _given_id(given))),
        Phone(_written(lambda: given.phone if isinstance(given, Recipient) else given).strip()),
        Outcome.NOT_SENT,
        reason=Reason.BAD_RECIPIENT if said is None else said.reason,
        error=f"{type(exc).__name__}: {_written(lambda: quoted(exc.args))}" if said is None else str(said),
    )


def _given_id(given: object) -> object:
    client_id = given.client_id_sms if isinstance(given, Recipient) else None
    return "" if client_id is None else client_id


def _written(read: Callable[[], object]) -> str:
    try:
        value = read()
        return str.__str__(value) if isinstance(value, str) else shown(value)
    except Exception:  # noqa: BLE001 - an item's own methods may raise anything
        return "?"
