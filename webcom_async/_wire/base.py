"""The protocols of a format: what it encodes and decodes."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.exchange import Reply, Request
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient
from webcom_async._domain.options import Options
from webcom_async._domain.results import SettledResults

__all__ = ["CONTENT_TYPE", "Call", "RefusedRequest", "Retry", "SendFormat", "encoder"]

T_co = TypeVar("T_co", covariant=True)

CONTENT_TYPE = "text/json; charset=utf-8"  # as the status and balance pages print it; the send page adds a `;`


class RefusedRequest(Exception):
    """The gateway refused the whole request: the answer is `{"error": …}`."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Retry(enum.StrEnum):
    """Whether a call may be retried when its first result is unknown."""

    SAFE = "safe"  #: the call changes nothing at the gateway
    NEVER = "never"


class Call(Protocol[T_co]):
    """One question to the gateway, which `GatewaySession.call` sends."""

    @property
    def retry(self) -> Retry: ...

    @property
    def entries(self) -> int:
        """The maximum number of entries in the answer."""
        ...

    def request(self, credentials: Credentials, options: Options) -> Request: ...

    def decode(self, reply: Reply) -> T_co:
        """
        Return the decoded answer.

        Raises:
            ReplyError: It is not the documented answer.
            RefusedRequest: The gateway refused the request.
        """
        ...


class SendFormat(Protocol):
    """
    The adapter that encodes messages for one interface of the gateway and decodes its answers.

    It takes moments and numbers, and returns results. No other module knows the format's names and texts.
    """

    @property
    def repeatable(self) -> bool:
        """Whether the gateway answers a repeated id with the first SMS."""
        ...

    @property
    def max_recipients(self) -> int: ...

    @property
    def limit(self) -> int:
        """The maximum size of the messages of a request, in bytes."""
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
        """Encode once per batch, so that every attempt sends the same bytes."""
        ...

    def encode_alike(
        self,
        groups: Sequence[Addressed],
        template: Message,
        validity_period: datetime | None,
        time_send: datetime | None,
    ) -> bytes:
        """
        Do the same as `encode`, for recipients that differ only in phone, id and text.

        No recipient has a `number_sms`, and *template* differs from the messages only in its text.
        """
        ...

    def request(self, encoded: bytes, credentials: Credentials, options: Options) -> Request:
        """Return the request that sends *encoded*; called per attempt."""
        ...

    def decode(self, reply: Reply, recipients: Sequence[OutboundRecipient], attempts: int) -> SettledResults:
        """
        Return one result per recipient, in the order of *recipients*.

        Raises:
            ReplyError: The answer settles no recipient.
            RefusedRequest: The gateway refused the whole request.
        """
        ...


encoder = msgspec.json.Encoder()
