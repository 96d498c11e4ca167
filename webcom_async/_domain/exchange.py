"""
One exchange with the gateway: request, answer, trace and transport.

A transport, whether ours, the emulator's or a user's, needs nothing else of this library.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

__all__ = ["Reply", "Request", "RequestTrace", "Transport"]


class Request(msgspec.Struct, frozen=True):
    """
    A request as sent, credentials included. It is made once per attempt and kept nowhere.

    Its repr shows neither the query, nor the headers' values, nor the body: each may hold credentials. Do not keep a
    request in a local variable of your own, which a traceback may show.

    Attributes:
        method: `POST`, or `GET`, whose body is empty.
        url: The URL, with the query.
        headers: The headers, names in lower case. The transport adds the length, and what its library needs.
        body: The whole body.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Request: {self.method} {self._place()}, {len(self.headers)} headers, {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own method, whose output rich's tracebacks print, shows every field.
        return [("to", f"{self.method} {self._place()}"), ("headers", len(self.headers)), ("bytes", len(self.body))]

    def _place(self) -> str:
        parts = urlsplit(self.url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        return f"{host}{parts.path}"


class Reply(msgspec.Struct, frozen=True):
    """
    An answer as received.

    Its repr shows neither the headers' values nor the body: a server may repeat the request in them.

    Attributes:
        status: The HTTP status.
        headers: The headers, names in lower case.
        body: The whole body, decoded from any transfer or content coding.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Reply: {self.status}, {len(self.headers)} headers, {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("status", self.status), ("headers", len(self.headers)), ("bytes", len(self.body))]


class RequestTrace:
    """
    The progress of one request: the caller makes the trace, and the transport updates it.

    The trace says what was sent, also after an exception, a deadline or a cancellation. A transport calls `connecting`
    first, `connected` for each new connection, `sending` before it hands over the first byte, and `answering` when the
    head of an answer has arrived. A transport that makes none of these calls counts as having sent the request.

    Args:
        fresh_connection: Whether the request should use a connection that no request has used before: an earlier
            attempt broke on a reused one, and a pool may hold more such.

    Attributes:
        fresh_connection: The same.
        sent: Whether `sending` was called.
        reused_connection: Whether an earlier request used the connection.
        answered: Whether the head of an answer has arrived.
        connections: The number of connections that were opened for the request.
        bytes_sent: The bytes of the body that were handed over. The transport counts these and the next.
        bytes_received: The bytes of the answer's body.
        reply: The answer, once it is whole. No later failure changes it.
        given_up_blocked: Whether the deadline passed while the event loop was blocked, so that an answer may have been
            there.
    """

    __slots__ = (
        "_announced",
        "answered",
        "bytes_received",
        "bytes_sent",
        "connections",
        "fresh_connection",
        "given_up_blocked",
        "reply",
        "reused_connection",
        "sent",
    )

    def __init__(self, *, fresh_connection: bool = False) -> None:
        self.fresh_connection: bool = fresh_connection
        self.sent: bool = False
        self.reused_connection: bool = False
        self.answered: bool = False
        self.connections: int = 0
        self.bytes_sent: int = 0
        self.bytes_received: int = 0
        self.reply: Reply | None = None
        self.given_up_blocked: bool = False
        self._announced = False

    def connecting(self) -> None:
        """Record that nothing has been sent, and that `sending` will be called before it is."""
        self._announced = True

    def connected(self) -> None:
        """Count a connection that was opened for the request."""
        self.connections += 1

    def sending(self, *, reused_connection: bool = False) -> None:
        """Record that the first byte is about to be handed over."""
        self.sent = self._announced = True
        self.reused_connection = self.reused_connection or reused_connection

    def answering(self) -> None:
        """Record that the head of an answer has arrived."""
        self.answered = True

    @property
    def possibly_sent(self) -> bool:
        """Whether a byte may have been sent."""
        return self.sent or not self._announced

    @property
    def stale(self) -> bool:
        """Whether the request used a reused connection, and no answer has begun."""
        return self.reused_connection and not self.answered


class Transport(Protocol):
    """What the library needs of an HTTP client. `webcom_async.testing` checks your own."""

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        Send *request* once, and return the whole answer, whatever its status. Neither retry nor follow redirects.

        Args:
            request: The request.
            trace: The trace to update.
            timeout: Seconds after which the caller cancels the call; a hint.
            max_bytes: The maximum size of the decoded body; one byte more is a `ReplyError`.

        Raises:
            TransportError: There is no answer. Any other exception counts as a lost connection after `trace.sending()`,
                and as a bug before.
        """
        ...

    async def aclose(self) -> None:
        """Release the transport's resources."""
        ...
