"""
A gateway that does next to nothing, so that it is never what a contender waits for.

`python -m benchmarks.gateway OPTIONS` answers HTTP/1.1 on a free port of this machine until its standard input ends.
It does not read JSON: it counts how often `"phone":` occurs in a body, and accepts so many times, with ids that are
never used twice. To elasticsearch's client it is a bulk endpoint. Standard library only, so that it starts at once.
"""

import asyncio
import contextlib
import json
import random
import re
import sys
import time
from typing import NamedTuple

from benchmarks.machine import SERVER_CORE, pin

__all__ = ["Behaviour", "Counts"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_BLOCK = 1_000  # answers whose ids begin alike
_FIRST_BLOCK = 1_000_000
_HEAD = b"\r\n".join(
    (
        b"HTTP/1.1 200 OK",
        b"content-type: application/json",
        b"x-elastic-product: Elasticsearch",
        b"content-length: %d\r\n\r\n",
    )
)


class Behaviour(NamedTuple):
    """
    How it answers.

    Attributes:
        latency: Seconds before an answer.
        slow_share: Share of the answers that take longer.
        slow_factor: How many times longer.
    """

    latency: float = 0.0
    slow_share: float = 0.0
    slow_factor: float = 1.0


class Counts(NamedTuple):
    """
    What it has done so far.

    Attributes:
        requests: Requests answered.
        recipients: Recipients in them.
        waited: Seconds that answers were held back, in sum.
        cpu: Seconds of CPU that its process has used.
    """

    requests: int
    recipients: int
    waited: float
    cpu: float


class _Template:
    """An answer with a place for each of its items, cut where the first digits of an id belong."""

    def __init__(self, opening: bytes, item: bytes, closing: bytes) -> None:
        """Cut *item*, which has `@` for the first digits of its id and `%03d` for the last ones."""
        before, after = item.split(b"@")
        self._before, self._closing, self._opening = before, closing, opening
        lasts = [after % number for number in range(_BLOCK)]
        self._parts = [before, *(last + b"," + before for last in lasts)]
        self._lasts = lasts

    def filled(self, items: int, block: int) -> bytes:
        """Return an answer with so many *items*, whose ids begin with *block* or one of the next."""
        blocks = [
            self._one_block(min(_BLOCK, items - start), b"%d" % (block + start // _BLOCK))
            for start in range(0, items, _BLOCK)
        ]
        return self._opening + b",".join(blocks) + self._closing

    def _one_block(self, items: int, digits: bytes) -> bytes:
        """Join so many items by their common *digits*: no work in Python for each."""
        return digits.join(self._parts[:items]) + digits + self._lasts[items - 1]


_SMS = _Template(b'{"information":[', b'{"id_sms":"@%03d","state":"send"}', b"]}")
_BULK = _Template(
    b'{"took":1,"errors":false,"items":[',
    b'{"index":{"_index":"sms","_id":"@%03d","_version":1,"result":"created","status":201}}',
    b"]}",
)


class _Desk:
    """What all connections share: the counts, and the next id."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Start with no request answered."""
        self._behaviour = behaviour
        self._chance = random.Random(1)
        self._block = _FIRST_BLOCK
        self._requests = self._recipients = 0
        self._waited = 0.0

    def answer(self, path: bytes, body: bytearray) -> tuple[float, bytes]:
        """Return when to answer, in seconds from now, and what."""
        if path == b"/counts":
            counts = Counts(self._requests, self._recipients, self._waited, time.process_time())
            return 0.0, json.dumps(counts).encode()
        bulk = path.startswith(b"/_bulk")
        items = body.count(b'{"index":') if bulk else body.count(b'"phone":')
        block = self._block
        self._block += items // _BLOCK + 1
        self._requests += 1
        self._recipients += items
        delay = self._delay()
        self._waited += delay
        return delay, (_BULK if bulk else _SMS).filled(items, block)

    def _delay(self) -> float:
        """Return the seconds that the next answer takes."""
        latency, share, factor = self._behaviour
        return latency * factor if share and self._chance.random() < share else latency


class _Connection(asyncio.Protocol):
    """One client's connection, with one request at a time."""

    def __init__(self, desk: _Desk) -> None:
        """Belong to *desk*."""
        self._desk = desk
        self._received = bytearray()
        self._needed = 0
        self._path = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect a request, and answer it when it is whole."""
        self._received += data
        if not self._needed:
            self._read_head()
        if self._needed and len(self._received) >= self._needed:
            delay, said = self._desk.answer(self._path, self._received)
            self._received.clear()
            self._needed = 0
            if delay:
                asyncio.get_running_loop().call_later(delay, self._say, said)
            else:
                self._say(said)

    def _read_head(self) -> None:
        """Find out where to and how long the request is, once its head is here."""
        end = self._received.find(_HEAD_END)
        if end >= 0:
            head = bytes(self._received[:end])
            length = _LENGTH.search(head)
            self._path = head.split(b" ", 2)[1]
            self._needed = end + len(_HEAD_END) + (int(length[1]) if length else 0)

    def _say(self, said: bytes) -> None:
        """Write an answer."""
        self._transport.write(_HEAD % len(said) + said)


async def _serve(behaviour: Behaviour) -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    desk = _Desk(behaviour)
    server = await loop.create_server(lambda: _Connection(desk), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    server.close()


def main() -> None:
    """Serve with the behaviour that the command line gives as JSON."""
    pin(SERVER_CORE)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Behaviour(*json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
