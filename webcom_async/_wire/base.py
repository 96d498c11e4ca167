"""What goes out and comes back, whatever its format."""

import enum
from collections.abc import Sequence
from itertools import chain
from typing import Protocol, TypeVar

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.exchange import Reply, Request
from webcom_async._domain.messages import Message
from webcom_async._domain.options import Options
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = ["CONTENT_TYPE", "Addressed", "Call", "RefusedRequest", "Retry", "WirePhone", "encoder", "phones_of"]

T_co = TypeVar("T_co", covariant=True)

CONTENT_TYPE = "text/json; charset=utf-8"  # as the status and balance pages print it; the send page adds a `;`


class WirePhone(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One entry of `message[].phones[]`."""

    phone: Phone
    client_id_sms: ClientIdSms
    validity_period: str | None = None
    time_send: str | None = None
    number_sms: int | None = None


Addressed = tuple[Message, list[WirePhone]]
"""A message and its recipients: one entry of `message[]` before it is encoded."""


class RefusedRequest(Exception):
    """The answer is `{"error": …}`: the request as a whole was refused, in these words."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Retry(enum.Enum):
    """Whether a call may be made again when it is not known what became of the first."""

    SAFE = "safe"  #: it changes nothing at the gateway
    NEVER = "never"


class Call(Protocol[T_co]):
    """One question to the gateway; `GatewaySession.call` asks it."""

    @property
    def retry(self) -> Retry:
        """Whether it may be made again."""
        ...

    @property
    def entries(self) -> int:
        """How many entries the answer has, at most, which bounds its size."""
        ...

    def request(self, credentials: Credentials, options: Options) -> Request:
        """Return what goes out, once per attempt."""
        ...

    def decode(self, reply: Reply) -> T_co:
        """
        Return what *reply* says.

        Raises:
            ReplyError: Not the documented answer.
            RefusedRequest: The gateway refused the request.
        """
        ...


def phones_of(addressed: Sequence[Addressed]) -> list[WirePhone]:
    """Return all recipients of *addressed*, in their order. Not to be changed."""
    if len(addressed) == 1:
        return addressed[0][1]
    return list(chain.from_iterable([phones for _, phones in addressed]))


encoder = msgspec.json.Encoder()
