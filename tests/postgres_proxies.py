"""
What stands between a program and its PostgreSQL: a line that goes silent, and a pooler of transactions.

Each is a TCP server on the loopback address, in a thread of its own, so that other processes can use it too.
"""

import asyncio
import itertools
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["PoolingProxy", "SilentProxy", "pooling", "silent"]

_SECONDS = 10.0  # for the start and the end of a thread
_SSL_REQUEST, _GSS_REQUEST = 80_877_103, 80_877_104
_STARTUP = 196_608  # version 3.0 of the protocol


class _Proxy:
    """
    A TCP server in a thread.

    Args:
        dsn: The DSN of the server behind it.

    Attributes:
        dsn: The same, by way of this proxy.
    """

    def __init__(self, dsn: str) -> None:
        self._to = urlsplit(dsn)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(_SECONDS)
        self.dsn = self._to._replace(netloc=f"{self._to.netloc.rpartition(':')[0]}:{self._port}").geturl()

    def close(self) -> None:
        """End all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accepted, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._hang_up())
            self._loop.close()

    async def _behind(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers.append(writer)
        return reader, writer

    async def _hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


# ---------------------------------------------------------------------------- silence

Sees = Callable[[bool, bytes], bool]
"""Whether the line goes silent: from the direction (True for the server's words) and what passes."""


class SilentProxy(_Proxy):
    """A line that can go silent: its sockets stay open, new ones are accepted, and nothing passes any more."""

    def __init__(self, dsn: str) -> None:
        self.silent = threading.Event()
        self._sees: Sees = lambda _theirs, _data: False
        self._resumed = asyncio.Event()
        super().__init__(dsn)

    def freeze(self) -> None:
        """Be silent from now on."""
        self.silent.set()

    def freeze_at(self, sees: Sees) -> None:
        """Be silent from the first words that *sees* is true of; half of them pass."""
        self._sees = sees

    def thaw(self) -> None:
        """Let new connections pass again; those that were silent stay so."""
        self._sees = lambda _theirs, _data: False
        self.silent.clear()

    def resume(self) -> None:
        """Let all connections pass again, for good, and first what the silence held up."""
        self.thaw()
        self._loop.call_soon_threadsafe(self._resumed.set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent.is_set():
            await self._resumed.wait()
        theirs, ours = await self._behind()
        pumps = [
            asyncio.create_task(self._pump(reader, ours, False)),
            asyncio.create_task(self._pump(theirs, writer, True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            ours.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, theirs: bool) -> None:
        while data := await reader.read(65_536):
            if not self.silent.is_set() and self._sees(theirs, data):
                self.silent.set()
                half = len(data) // 2
                writer.write(data[:half])
                data = data[half:]
            if self.silent.is_set():
                await self._resumed.wait()
            writer.write(data)
            await writer.drain()


@contextmanager
def silent(dsn: str) -> Iterator[SilentProxy]:
    """Open a line to the server of *dsn* that can go silent."""
    proxy = SilentProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()


# ---------------------------------------------------------------------------- pooling


class _Message(NamedTuple):
    """A message of PostgreSQL's protocol: its type, and all its bytes."""

    kind: bytes
    whole: bytes

    @property
    def body(self) -> bytes:
        return self.whole[5:]


class _ServerConnection(NamedTuple):
    """A connection that transactions share, and what the server said when it was opened."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes


class PoolingProxy(_Proxy):
    """
    A pooler that hands each transaction to another connection, as PgBouncer does with `pool_mode = transaction`.

    It takes no `options`, and its process numbers are made up.
    """

    _SIZE = 3

    def __init__(self, dsn: str) -> None:
        self.transactions = 0
        self._idle: deque[_ServerConnection] = deque()
        self._waiting = asyncio.Semaphore(self._SIZE)
        self._numbers = itertools.count(1)
        super().__init__(dsn)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parameters = await _startup(reader, writer)
        if b"\0options\0" in b"\0" + parameters:
            writer.write(_error("unsupported startup parameter: options"))
            return
        while len(self._idle) < self._SIZE and self.transactions == 0:
            self._idle.append(await self._opened(parameters))
        fake = b"K" + struct.pack("!iii", 12, next(self._numbers), 7)
        writer.write(
            b"R" + struct.pack("!ii", 8, 0) + self._idle[0].greeting + fake + b"Z" + struct.pack("!i", 5) + b"I"
        )
        ours = asyncio.create_task(_message(reader))
        try:
            while (await ours).kind != b"X":
                ours = await self._transaction(ours, reader, writer)
        finally:
            ours.cancel()

    async def _transaction(
        self, ours: "asyncio.Task[_Message]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> "asyncio.Task[_Message]":
        """Pass messages until the transaction ends; return the client's next message."""
        async with self._waiting:
            server = self._idle.popleft()
            self.transactions += 1
            theirs = asyncio.create_task(_message(server.reader))
            ended = False
            syncs = 0
            try:
                while not ended:
                    await asyncio.wait({ours, theirs}, return_when=asyncio.FIRST_COMPLETED)
                    if ours.done():
                        message = ours.result()
                        syncs += message.kind in (b"Q", b"S")
                        server.writer.write(message.whole)
                        ours = asyncio.create_task(_message(reader))
                    if theirs.done():
                        message = theirs.result()
                        writer.write(message.whole)
                        syncs -= message.kind == b"Z"
                        ended = (message.kind, message.body, syncs) == (b"Z", b"I", 0)
                        if not ended:
                            theirs = asyncio.create_task(_message(server.reader))
                self._idle.append(server)
            finally:
                if not ended:  # the client left in a transaction
                    theirs.cancel()
                    server.writer.close()
            return ours

    async def _opened(self, parameters: bytes) -> _ServerConnection:
        reader, writer = await self._behind()
        writer.write(struct.pack("!ii", len(parameters) + 8, _STARTUP) + parameters)
        greeting = b""
        while (message := await _message(reader)).kind != b"Z":
            if message.kind == b"S":
                greeting += message.whole
        return _ServerConnection(reader, writer, greeting)


@contextmanager
def pooling(dsn: str) -> Iterator[PoolingProxy]:
    """Open a pooler before the server of *dsn*, which must trust the user."""
    proxy = PoolingProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return the parameters of a client's first message, after refusing encryption."""
    while True:
        length, code = struct.unpack("!ii", await reader.readexactly(8))
        rest = await reader.readexactly(length - 8)
        if code not in (_SSL_REQUEST, _GSS_REQUEST):
            return rest
        writer.write(b"N")


async def _message(reader: asyncio.StreamReader) -> _Message:
    head = await reader.readexactly(5)
    [length] = struct.unpack("!i", head[1:])
    return _Message(head[:1], head + await reader.readexactly(length - 4))


def _error(words: str) -> bytes:
    fields = f"SFATAL\0C08P01\0M{words}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields
