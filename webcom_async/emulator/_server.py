"""
The emulator on a real socket; with the receiver of webhooks the only door to uvicorn.

Installed with the `[emulator]` and `[cli]` extras.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from webcom_async._domain.asgi import Scope
from webcom_async.emulator._asgi import GatewayApp
from webcom_async.emulator._gateway import Gateway

__all__ = ["Stop", "listen", "run_server", "serve", "url_of"]

_KEEP_ALIVE_SECONDS = 75  # nginx's default
_BACKLOG = 1024


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio takes the delay off only then, and an answer in two parts would wait 40 ms for its second.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Stop:
    """Stops a server. Call it, from any thread."""

    def __init__(self) -> None:
        self.requested = False
        self.server: uvicorn.Server | None = None

    def __call__(self) -> None:
        """End the server now, or as soon as it has begun."""
        self.requested = True
        if self.server is not None:
            self.server.should_exit = True
            self.server.force_exit = True


def run_server(gateway: Gateway, listener: socket.socket, stop: Stop) -> None:
    """Answer on *listener* until Ctrl-C, SIGTERM or *stop*."""
    stop.server = _server(gateway)
    if stop.requested:
        return
    # Not `Server.run`, which calls `asyncio.run`: nest_asyncio replaces that by one without a loop factory.
    with asyncio.Runner(loop_factory=stop.server.config.get_loop_factory()) as runner:
        runner.run(stop.server.serve(sockets=[listener]))


@contextmanager
def serve(gateway: Gateway, host: str = "127.0.0.1", port: int = 0) -> Generator[str, None, None]:
    listener = listen(host, port)
    url = url_of(listener)  # now: a server that cannot run closes it
    stop = Stop()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            run_server(gateway, listener, stop)
        except BaseException as exc:  # noqa: BLE001 - raised where `serve` ends
            failures.append(exc)
            listener.close()  # a client is refused, instead of waiting for an answer

    # It listens already: a client that comes before the thread is up waits in the backlog.
    thread = threading.Thread(target=run, name="webcom-emulator")
    thread.start()
    try:
        yield url
    finally:
        stop()
        thread.join()
        listener.close()
    if failures:
        raise RuntimeError(f"the emulator's server ended early: {failures[0]!r}") from failures[0]


def _server(gateway: Gateway) -> uvicorn.Server:
    connections: dict[tuple[str, int], asyncio.Transport] = {}

    def hang_up(scope: Scope) -> None:
        # By its peer address: ASGI names a connection by nothing else.
        connection = connections.get(tuple(scope["client"]))
        if connection is not None:
            connection.abort()

    config = uvicorn.Config(
        GatewayApp(gateway, hang_up),
        http=_protocol(connections),
        ws="none",
        loop="asyncio",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    return _AbruptServer(config, connections)


class _AbruptServer(uvicorn.Server):
    """A server that does not wait for requests in flight when it stops: from Python 3.12 on, asyncio would."""

    def __init__(self, config: uvicorn.Config, connections: dict[tuple[str, int], asyncio.Transport]) -> None:
        super().__init__(config)
        self._open_connections = connections

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self._open_connections.values()):
            connection.abort()
        await super().shutdown(sockets)


def _protocol(connections: dict[tuple[str, int], asyncio.Transport]) -> type[H11Protocol]:
    """Keep every open connection in *connections*."""

    class TrackedProtocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            connections[transport.get_extra_info("peername")[:2]] = transport
            self._forget: Callable[[], object] = lambda: connections.pop(transport.get_extra_info("peername")[:2], None)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

    return TrackedProtocol
