"""A server on this machine that misbehaves, byte by byte, as a check needs it."""

import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import anyio
import anyio.to_thread

__all__ = ["RawConnection", "RawRequest", "RawServer", "Talk", "framed", "raw_server", "unanswered"]

_PATIENCE = 20.0  # seconds before the server gives up on a connection
_END_OF_HEAD = b"\r\n\r\n"


class RawRequest:
    """
    A request as received.

    Attributes:
        connection: The number of its connection, from one.
        method: The method.
        target: The path and query.
        headers: The headers, names in lower case.
        body: The body.
    """

    def __init__(self, connection: int, head: bytes, body: bytes) -> None:
        first, *fields = head.decode("latin-1").split("\r\n")
        self.connection = connection
        self.method, self.target = first.split(" ")[:2]
        self.headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        self.body = body


class RawConnection:
    """
    The server's side of one connection.

    Args:
        server: The server.
        stream: The socket.
        number: The connection's number, from one.
    """

    def __init__(self, server: "RawServer", stream: socket.socket, number: int) -> None:
        self.number = number
        self._server = server
        self._stream = stream

    @property
    def latest(self) -> RawRequest:
        return next(request for request in reversed(self._server.requests) if request.connection == self.number)

    def read(self) -> bool:
        """Read and record a request; False if the client has closed the connection."""
        came = b""
        while _END_OF_HEAD not in came:
            came += (part := self._stream.recv(65_536))
            if not part:
                return False
        head, _, body = came.partition(_END_OF_HEAD)
        request = RawRequest(self.number, head, body)
        while len(request.body) < int(request.headers.get("content-length", 0)):
            request.body += (part := self._stream.recv(65_536))
            if not part:
                return False
        self._server.requests.append(request)
        return True

    def peek(self) -> None:
        self._stream.recv(1, socket.MSG_PEEK)

    def write(self, answer: bytes) -> None:
        self._stream.sendall(answer)

    def pause(self) -> None:
        """Signal `reached`, and wait for `go_on`."""
        self._server.reached.set()
        self._server.go_on.wait(_PATIENCE)

    def close(self) -> None:
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()

    def reset(self) -> None:
        """Break the connection: the client receives a TCP reset."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()

    def wait_for_end(self) -> None:
        """Read without answering until the client closes the connection."""
        while self._stream.fileno() >= 0 and self._stream.recv(1 << 20):
            pass


Talk = Callable[[RawConnection], None]
"""A function that handles one connection of a server, in its own thread."""


class RawServer:
    """
    A listening socket, its connections and requests.

    Attributes:
        url: The server's URL, with the path.
        connections: The number of connections so far.
        requests: The requests that were read whole.
        reached: An event that is set when a talk pauses.
        go_on: An event that ends the pause.
    """

    def __init__(self, listener: socket.socket, talk: Talk) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/json"
        self.connections = 0
        self.requests: list[RawRequest] = []
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self._listener = listener
        self._talk = talk
        self._threads: list[threading.Thread] = []
        self._streams: list[socket.socket] = []

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                stream.settimeout(_PATIENCE)
                self.connections += 1
                self._streams.append(stream)
                connection = RawConnection(self, stream, self.connections)
                thread = threading.Thread(target=self._converse, args=(stream, connection))
                thread.start()
                self._threads.append(thread)

    async def reach(self) -> None:
        """Wait until a talk pauses, and all tasks here are blocked."""
        if not await anyio.to_thread.run_sync(self.reached.wait, _PATIENCE):
            raise AssertionError("no request has come")
        await anyio.wait_all_tasks_blocked()

    async def left_open(self, seconds: float) -> int:
        """Return how many connections the client has not closed within *seconds*."""
        self.go_on.set()

        def join() -> int:
            threads = list(self._threads)
            for thread in threads:
                thread.join(seconds)
            return sum(thread.is_alive() for thread in threads)

        return await anyio.to_thread.run_sync(join)

    def stop(self, acceptor: threading.Thread) -> None:
        self.go_on.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        acceptor.join()
        for stream in self._streams:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _converse(self, stream: socket.socket, connection: RawConnection) -> None:
        with stream, suppress(OSError):
            self._talk(connection)
            connection.wait_for_end()


@contextmanager
def raw_server(talk: Talk) -> Generator[RawServer, None, None]:
    server = RawServer(socket.create_server(("127.0.0.1", 0)), talk)
    acceptor = threading.Thread(target=server.accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.stop(acceptor)


@contextmanager
def unanswered() -> Generator[str, None, None]:
    """Yield the URL of a host that answers no attempt to connect, because its queue is full."""
    callers = [socket.socket() for _ in range(3)]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        try:
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/json"
        finally:
            for caller in callers:
                caller.close()


def framed(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body
