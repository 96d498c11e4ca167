"""
The receiver alone on a socket: uvicorn, with connections that are bounded in number and in the time for a head.

A connection costs a caller nothing. So those that never finish the head of a request must not use up the open files of
the process: each has a time, and above a number the oldest of the address that has most of them is closed.

Installed with the `[cli]` extra.
"""

import asyncio
import socket
import sys
from collections import Counter
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from webcom_async.webhooks._app import WebhookApp

__all__ = ["Connections", "serve"]

_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 5
_ACCEPTED_AT_ONCE = 16  # connections, so that the bound is looked at in between
_BACKLOG = 1024
_OTHER_FILES = 96  # files that are open beside the counted connections, and connections that are not counted yet
_FEWEST = 8


class Connections:
    """
    The open connections, and which of them wait for a head: at first, and between two requests.

    Args:
        most: The most connections at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: set[asyncio.Transport] = set()
        self._waiting: dict[asyncio.Transport, str] = {}  # in the order in which they began to wait

    def wait(self, connection: asyncio.Transport) -> None:
        """Note that *connection* waits for a head, and close another one if they are too many."""
        self._busy.discard(connection)
        self._waiting.pop(connection, None)
        while self._waiting and len(self._busy) + len(self._waiting) >= self._most:
            self._close_one()
        self._waiting[connection] = _address(connection)

    def work(self, connection: asyncio.Transport) -> None:
        """Note that the head of a request on *connection* is complete."""
        if self._waiting.pop(connection, None) is not None:
            self._busy.add(connection)

    def forget(self, connection: asyncio.Transport) -> None:
        self._busy.discard(connection)
        self._waiting.pop(connection, None)

    def _close_one(self) -> None:
        [(busiest, _)] = Counter(self._waiting.values()).most_common(1)
        oldest = next(connection for connection, address in self._waiting.items() if address == busiest)
        del self._waiting[oldest]
        oldest.abort()


async def serve(app: WebhookApp, listener: socket.socket, *, head_seconds: float, max_connections: int) -> None:
    """
    Answer on *listener* until Ctrl-C or SIGTERM.

    Args:
        app: The application.
        listener: A bound socket.
        head_seconds: Seconds for the head of a request to arrive, from the connection or the head's first byte on.
        max_connections: The most connections at once; fewer if the system allows the process fewer open files.
    """
    config = uvicorn.Config(
        app,
        http=_protocol(Connections(_allowed(max_connections)), head_seconds),
        ws="none",
        loop="asyncio",
        lifespan="off",
        proxy_headers=False,  # the application decides which proxies it trusts
        server_header=False,
        access_log=False,  # it would hold the secret
        log_config=None,
        log_level="error",  # a line for each bad request would let any caller fill the log
        backlog=_ACCEPTED_AT_ONCE,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    await _Server(config).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server whose backlog is longer than what asyncio accepts at once: its one setting is for both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)


class BoundedProtocol(H11Protocol):
    """
    A connection that is closed if the head of a request takes too long.

    Attributes:
        table: The open connections.
        head_seconds: Seconds for a head.
    """

    table: ClassVar[Connections]
    head_seconds: ClassVar[float]
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.table.wait(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if not self._answering():
            self._expect_head()
        super().data_received(data)
        self._note_head()

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self.table.wait(self.transport)
        super().on_response_complete()  # begins with the next request, if it is here
        self._note_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        self.table.forget(self.transport)
        super().connection_lost(exc)

    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _note_head(self) -> None:
        if self._answering():
            self._end_timer()
            self.table.work(self.transport)

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _protocol(connections: Connections, seconds: float) -> type[BoundedProtocol]:
    class Protocol(BoundedProtocol):
        table = connections
        head_seconds = seconds

    return Protocol


def _allowed(connections: int) -> int:
    """Return *connections*, or as many as leave room for other files."""
    if sys.platform == "win32":
        return connections
    import resource  # noqa: PLC0415 - not on Windows

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if files == resource.RLIM_INFINITY else min(connections, max(_FEWEST, files - _OTHER_FILES))


def _address(connection: asyncio.Transport) -> str:
    peer = connection.get_extra_info("peername")
    return str(peer[0]) if peer else ""
