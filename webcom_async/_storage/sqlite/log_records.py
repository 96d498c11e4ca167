"""
Encode and decode the entries of a journal's log.

A batch is encoded as columns in msgpack, which take a third of the bytes of JSON rows: writing the bytes is most of an
entry's cost. Results other than a batch accepted as a whole are JSON rows, as are all entries of version 3. Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from itertools import chain, repeat
from typing import TypeVar

import msgspec

from webcom_async._domain.messages import Addressed, phones_of
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._storage.rows import columns, from_wall_clock, stored_moment

__all__ = ["Said", "accepted_payload", "reserved_payload", "reserved_rows", "results_payload", "settled_rows"]

T = TypeVar("T")

Said = int | bytes
"""A message: its number, or the message as JSON."""


class ReservationRecord(msgspec.Struct, array_like=True):
    """
    Messages, the number of recipients of each, and the recipients as columns; a column of None only is None.

    Moments are texts in ISO 8601 with an offset. Version 4 wrote them as the gateway's clock shows them.
    """

    said: Sequence[Said]
    sizes: list[int]
    phones: Sequence[str]
    client_ids: list[int]
    validity_period: list[str | None] | None
    time_send: list[str | None] | None
    number_sms: list[int | None] | None


class AcceptedRecord(msgspec.Struct, array_like=True):
    """A batch whose recipients were all accepted, after the same number of attempts."""

    attempts: int
    client_ids: list[int]
    phones: list[str]
    id_sms: list[int]


class RecipientRecord(msgspec.Struct):
    """A recipient as version 3 wrote it, with times of the gateway's clock."""

    phone: str
    client_id_sms: str
    validity_period: str | None = None
    time_send: str | None = None
    number_sms: int | None = None


_YES = Outcome.ACCEPTED.value
_NONE = Reason.NONE.value
_ROWS = b"["  # of JSON; an array of msgpack never begins so
_pack = msgspec.msgpack.Encoder().encode
_reserved = msgspec.msgpack.Decoder(ReservationRecord)
_accepted = msgspec.msgpack.Decoder(AcceptedRecord)
_reserved_in_rows = msgspec.json.Decoder(list[tuple[msgspec.Raw, list[RecipientRecord]]])
_settled_in_rows = msgspec.json.Decoder(list[tuple[str, str, str, str | None, str, str, int]])


def reserved_payload(said: Sequence[Said], addressed: Sequence[Addressed], client_ids: list[int]) -> bytes:
    everyone = phones_of(addressed)
    batch = ReservationRecord(
        said,
        [len(phones) for _, phones in addressed],
        [to.phone for to in everyone],
        client_ids,
        _moments([to.validity_period for to in everyone]),
        _moments([to.time_send for to in everyone]),
        _unless_none([to.number_sms for to in everyone]),
    )
    return _pack(batch)


def accepted_payload(results: Sequence[SendResult], client_ids: list[int], id_sms: list[int]) -> bytes:
    return _pack(AcceptedRecord(results[0].attempts, client_ids, [result.phone for result in results], id_sms))


def results_payload(results: Sequence[SendResult]) -> bytes:
    return msgspec.json.encode(list(map(columns, results)))


def reserved_rows(
    payload: bytes, number: Callable[[list[bytes]], Iterable[int]], zone: tzinfo
) -> list[tuple[object, ...]]:
    """*zone* is that of times that version 4 or an older one wrote."""
    if payload.startswith(_ROWS):
        groups = [(bytes(said), phones) for said, phones in _reserved_in_rows.decode(payload)]
        messages = _numbered([int(said) if said.isdigit() else said for said, _ in groups], number)
        pairs = zip(groups, messages, strict=True)
        return [(*_recorded(to, zone), to.phone, message) for (_, phones), message in pairs for to in phones]
    batch = _reserved.decode(payload)
    messages = _numbered(batch.said, number)
    moments = (_read_moments(column, zone) for column in (batch.validity_period, batch.time_send))
    given = (*moments, batch.number_sms)
    others = ([None] * len(batch.phones) if column is None else column for column in given)
    message_of_each = chain.from_iterable(map(repeat, messages, batch.sizes))
    return list(zip(batch.client_ids, *others, batch.phones, message_of_each, strict=True))


def _recorded(to: RecipientRecord, zone: tzinfo) -> tuple[object, ...]:
    times = (to.validity_period, to.time_send)
    return (to.client_id_sms, *(from_wall_clock(time, zone) for time in times), to.number_sms)


def _read_moments(column: list[str | None] | None, zone: tzinfo) -> list[str | None] | None:
    return None if column is None else [from_wall_clock(each, zone) for each in column]


def settled_rows(payload: bytes) -> Sequence[tuple[object, ...]]:
    if payload.startswith(_ROWS):
        return _settled_in_rows.decode(payload)
    batch = _accepted.decode(payload)
    everybody = zip(batch.client_ids, batch.phones, batch.id_sms, strict=True)
    return [(client_id, phone, _YES, str(id_sms), _NONE, "", batch.attempts) for client_id, phone, id_sms in everybody]


def _numbered(said: Sequence[Said], number: Callable[[list[bytes]], Iterable[int]]) -> list[int]:
    contents = [each for each in said if isinstance(each, bytes)]
    new = dict(zip(contents, number(contents), strict=True)) if contents else {}
    return [new[each] if isinstance(each, bytes) else each for each in said]


def _moments(column: list[datetime | None]) -> list[str | None] | None:
    return None if column.count(None) == len(column) else list(map(stored_moment, column))


def _unless_none(column: list[T | None]) -> list[T | None] | None:
    return None if column.count(None) == len(column) else column
