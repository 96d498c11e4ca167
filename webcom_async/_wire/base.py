"""What a request and its answer are made of, whatever their format."""

from collections.abc import Sequence
from itertools import chain

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.messages import Message
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = ["CONTENT_TYPE", "Addressed", "Payload", "RefusedRequest", "Reply", "WirePhone", "encoder", "phones_of"]


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


class Reply(msgspec.Struct, frozen=True):
    """
    An answer as it came.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.
        body: The whole body, decoded from any transfer or content coding.
        repeated: Whether the request had gone out before, on a connection that broke without an answer: a refusal of
            this one then proves nothing about the first.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    repeated: bool = False

    def __repr__(self) -> str:
        # The body may repeat the request, and with it the credentials.
        return f"<Reply: {self.status}, {len(self.body)} bytes>"


class RefusedRequest(Exception):
    """The answer is `{"error": …}`: the request as a whole was refused, in these words."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Payload:
    """
    A request body: credentials and messages.

    Its repr shows a size, so that a traceback with local variables shows no credentials.

    Attributes:
        left: Whether somebody has asked for its `bytes()`: as long as nobody has, it has not been sent.
        received: Bytes of the answer's body. This and the following are counted by the transport.
        connections: Connections that were opened for it.
        reply: The answer, once it is whole.
        given_up_blocked: Whether it was given up at its deadline although the event loop was blocked then, so that an
            answer may have been there.
    """

    __slots__ = ("_body", "_messages", "connections", "given_up_blocked", "left", "received", "reply")

    def __init__(self, credentials: Credentials, messages: bytes) -> None:
        self._messages = messages
        self._enclose(encoder.encode(credentials.reveal() | {"message": msgspec.Raw(messages)}))

    def _enclose(self, body: bytes) -> None:
        self._body = body
        self.left: bool = False
        self.received: int = 0
        self.connections: int = 0
        self.reply: Reply | None = None
        self.given_up_blocked: bool = False

    def __len__(self) -> int:
        return len(self._body)

    def __bytes__(self) -> bytes:
        self.left = True
        return self._body

    def __repr__(self) -> str:
        return f"<Payload: {len(self._messages)} bytes of messages, credentials ***>"


def phones_of(addressed: Sequence[Addressed]) -> list[WirePhone]:
    """Return all recipients of *addressed*, in their order. Not to be changed."""
    if len(addressed) == 1:
        return addressed[0][1]
    return list(chain.from_iterable([phones for _, phones in addressed]))


encoder = msgspec.json.Encoder()
