"""Outbound recipients: addressed and under an id, but in no format yet."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

import msgspec

from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Message
from webcom_async._domain.reasons import Reason
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = ["Addressed", "OutboundRecipient", "phones_of", "utc_moment"]


class OutboundRecipient(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """
    A recipient's phone, id and times, as every format encodes them.

    Attributes:
        phone: The phone, digits only.
        client_id_sms: The idempotency key.
        validity_period: The time after which delivery is no longer attempted; in UTC.
        time_send: The time at which to send; in UTC.
        number_sms: The number of this SMS within the request.
    """

    phone: Phone
    client_id_sms: ClientIdSms
    validity_period: datetime | None = None
    time_send: datetime | None = None
    number_sms: int | None = None


Addressed = tuple[Message, list[OutboundRecipient]]
"""A message and its recipients."""


def phones_of(addressed: Sequence[Addressed]) -> list[OutboundRecipient]:
    """Return all recipients; the caller must not change the list."""
    if len(addressed) == 1:
        return addressed[0][1]
    return list(chain.from_iterable([phones for _, phones in addressed]))


def utc_moment(field: str, moment: object) -> datetime:
    """
    Return *moment* in UTC; *field* names it in the error.

    Raises:
        InputError: It is not an aware datetime, or is out of range.
    """
    if not isinstance(moment, datetime):
        raise InputError(f"{field} must be an aware datetime, not {type(moment).__name__}", Reason.BAD_TIME)
    if moment.utcoffset() is None:
        raise InputError(
            f"{field} must be an aware datetime: give it a tzinfo, as in datetime.now(UTC)", Reason.BAD_TIME
        )
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InputError(f"{field} {moment.isoformat()} is out of range", Reason.BAD_TIME) from None
