"""Servers for tests of behaviour on a socket that no well-behaved server shows."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.builders import accepted

_PATIENCE = 20.0  # seconds, after which a server drops a connection


class RawServer:
    """
    A listening socket, its connections and its requests.

    Attributes:
        url: Its base URL, as `http://`.
        port: Its port.
        connections: Connections so far.
        requests: Bodies of the requests that `request` has read.
        came: Set when a request has been read.
        stopping: Set when the server ends, for a talk that would otherwise continue.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self.requests: list[bytes] = []
        self.came = threading.Event()
        self.stopping = threading.Event()

    def close_listener(self) -> None:
        """Take no further connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def request(self, connection: socket.socket) -> bytes:
        """Read a request and return its body; nothing if the client has hung up."""
        body = read_request(connection)
        if body:
            self.requests.append(body)
            self.came.set()
        return body


Talk = Callable[[RawServer, socket.socket, int], None]
"""What a server does with a connection; the number counts connections from one."""


@contextmanager
def raw_server(talk: Talk) -> Iterator[RawServer]:
    """Let *talk* serve every connection in a thread of its own; when it returns, the connection is closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener)
    threads: list[threading.Thread] = []
    open_now: list[socket.socket] = []

    def converse(connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            talk(server, connection, number)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(_PATIENCE)
                server.connections += 1
                open_now.append(connection)
                threads.append(threading.Thread(target=converse, args=(connection, server.connections)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.close_listener()
        acceptor.join()
        for connection in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def answers(answer: bytes, *, hold: bool = False) -> Talk:
    """Return a talk that answers one request with *answer*; with *hold*, the client closes the connection first."""

    def talk(server: RawServer, connection: socket.socket, _number: int) -> None:
        if server.request(connection):
            connection.sendall(answer)
        if hold:
            connection.recv(1)

    return talk


def read_request(connection: socket.socket) -> bytes:
    """Return the body of the next request on *connection*; nothing if there is none."""
    came = b""
    while b"\r\n\r\n" not in came:
        part = connection.recv(65_536)
        if not part:
            return b""
        came += part
    head, _, body = came.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields.get(b"content-length", 0)):
        part = connection.recv(65_536)
        if not part:
            return b""
        body += part
    return body


def http(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Return an answer with *body* and further header *fields*."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def accepting(id_sms: object = 1) -> bytes:
    """Return an answer that accepts one recipient."""
    return http(accepted(id_sms))


def reset(connection: socket.socket) -> None:
    """Set *connection* to send a reset when it is closed, instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
