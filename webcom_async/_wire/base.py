"""What goes out and comes back, whatever its format."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.exchange import Reply, Request
from webcom_async._domain.messages import Message
from webcom_async._domain.options import Options
from webcom_async._domain.outbound import Addressed, OutboundRecipient
from webcom_async._domain.results import SettledResults

__all__ = ["CONTENT_TYPE", "Call", "RefusedRequest", "Retry", "SendFormat", "encoder"]

T_co = TypeVar("T_co", covariant=True)

CONTENT_TYPE = "text/json; charset=utf-8"  # as the status and balance pages print it; the send page adds a `;`


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


class SendFormat(Protocol):
    """
    How an interface of the gateway writes messages and reads what it answers.

    Moments and numbers go in, results come out: nothing else knows the format's names and texts.
    """

    @property
    def repeatable(self) -> bool:
        """Whether the gateway answers an id that it has seen with the first SMS, so that a request may be repeated."""
        ...

    @property
    def max_recipients(self) -> int:
        """Recipients that one request may hold."""
        ...

    @property
    def limit(self) -> int:
        """Bytes that the messages of one request may take."""
        ...

    def size_of(self, message: Message) -> int:
        """
        Return the bytes that *message* takes without its recipients.

        Raises:
            InputError: The format cannot write it.
        """
        ...

    def size_of_recipient(self, recipient: OutboundRecipient) -> int:
        """
        Return the bytes that *recipient* takes.

        Raises:
            InputError: The format cannot write one of its moments.
        """
        ...

    def encode(self, groups: Sequence[Addressed]) -> bytes:
        """Return messages and their recipients as bytes: once per batch, so that every attempt sends the same ones."""
        ...

    def encode_alike(
        self,
        groups: Sequence[Addressed],
        template: Message,
        validity_period: datetime | None,
        time_send: datetime | None,
    ) -> bytes:
        """
        Return the same as `encode`, for recipients that differ in nothing but phone, id and text.

        Args:
            groups: Messages and their recipients, none of which has a `number_sms`.
            template: A message from which all of these differ in nothing but the text.
            validity_period: That of every recipient.
            time_send: Likewise.
        """
        ...

    def request(self, encoded: bytes, credentials: Credentials, options: Options) -> Request:
        """Return the request that sends what `encode` returned, once per attempt."""
        ...

    def decode(self, reply: Reply, recipients: Sequence[OutboundRecipient], attempts: int) -> SettledResults:
        """
        Return one result per recipient, in their order.

        Args:
            reply: The answer.
            recipients: Those of the request, in its order.
            attempts: Requests so far, for the results.

        Raises:
            ReplyError: The answer settles no recipient.
            RefusedRequest: The gateway refused the whole request.
        """
        ...


encoder = msgspec.json.Encoder()
