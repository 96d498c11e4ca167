"""
One exchange with the gateway: what goes out, what comes back, how far it came, and what carries it.

A transport needs nothing else of this library, whether it is ours, the emulator's or a user's.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

__all__ = ["Reply", "Request", "RequestTrace", "Transport"]


class Request(msgspec.Struct, frozen=True):
    """
    A request as it goes out, credentials included: made once per attempt, and kept nowhere.

    Its repr shows neither the query, nor the headers' values, nor the body: each may hold credentials. Do not keep one
    of these in a local variable of your own, which a traceback may show.

    Attributes:
        method: `POST`, or `GET`, whose body is empty.
        url: Where to, with the query.
        headers: Names in lower case. The transport adds the length, and what its library needs.
        body: The whole body.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Request: {self.method} {self._place()}, {len(self.headers)} headers, {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own, which rich's tracebacks print, shows every field.
        return [("to", f"{self.method} {self._place()}"), ("headers", len(self.headers)), ("bytes", len(self.body))]

    def _place(self) -> str:
        parts = urlsplit(self.url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        return f"{host}{parts.path}"


class Reply(msgspec.Struct, frozen=True):
    """
    An answer as it came.

    Its repr shows neither the headers' values nor the body: a server may repeat the request in them.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.
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
    How far one request has come: made by the caller, kept up to date by the transport.

    So what left is known after an exception, a deadline and a cancellation too. A transport calls `connecting` first,
    `connected` when a connection stands, `sending` before it hands over the first byte, and `answering` when the head
    of an answer is here. One that calls nothing is treated as if it had sent the request.

    Args:
        fresh_connection: Whether the request should go out on a connection that no request has used before: an earlier
            attempt broke on one that was kept, and a pool may hold more like it.

    Attributes:
        fresh_connection: The same.
        sent: Whether `sending` was called.
        reused_connection: Whether the request went out on a connection of an earlier one.
        answered: Whether the head of an answer has come.
        connections: Connections that were opened for it.
        bytes_sent: Bytes of the body that were handed over. This and the next are the transport's to count.
        bytes_received: Bytes of the answer's body.
        reply: The answer, once it is whole: whatever happens after that, it stands.
        given_up_blocked: Whether the request was given up at its deadline while the event loop was blocked, so that an
            answer may have been there.
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
        """Say that nothing has left yet, and that `sending` will be called before anything does."""
        self._announced = True

    def connected(self) -> None:
        """Count a connection that was opened for the request."""
        self.connections += 1

    def sending(self, *, reused_connection: bool = False) -> None:
        """Say that the first byte is about to be handed over, on a *reused_connection* or on one of its own."""
        self.sent = self._announced = True
        self.reused_connection = self.reused_connection or reused_connection

    def answering(self) -> None:
        """Say that the head of an answer is here."""
        self.answered = True

    @property
    def possibly_sent(self) -> bool:
        """Whether a byte may have left."""
        return self.sent or not self._announced

    @property
    def stale(self) -> bool:
        """Whether the request went out on a reused connection, and no answer has begun."""
        return self.reused_connection and not self.answered


class Transport(Protocol):
    """What the library needs of an HTTP client. `webcom_async.testing` checks one of your own."""

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        Send *request*, once, and return the whole answer, whatever its status. Neither repeat nor follow anything.

        Args:
            request: What goes out.
            trace: Is told how far the request has come.
            timeout: Seconds after which the call is cancelled; a hint, enforced by the caller.
            max_bytes: Bytes of an answer, decoded, at most; one byte more is a `ReplyError`.

        Raises:
            TransportError: There is no answer. What else is raised counts as a lost connection from `trace.sending()`
                on, and as a bug before.
        """
        ...

    async def aclose(self) -> None:
        """Release what the transport holds."""
        ...
