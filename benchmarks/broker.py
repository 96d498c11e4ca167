"""
A Kafka broker that does next to nothing: one topic, one partition, and yes to everything.

`python -m benchmarks.broker` listens on a free port until its standard input ends. It announces the oldest versions of
three requests that a producer needs, so that their answers are short, and made once.
Source: kafka.apache.org/protocol (ApiVersions v0, Metadata v0, Produce v3).
"""

import asyncio
import contextlib
import struct
import sys

from benchmarks.machine import SERVER_CORE, pin

__all__ = ["TOPIC"]

TOPIC = "sms"

_PRODUCE, _METADATA, _API_VERSIONS = 0, 3, 18
_HOST = "127.0.0.1"


def _string(text: str) -> bytes:
    """Return *text* as the protocol writes it."""
    return struct.pack(">h", len(text)) + text.encode()


def _answers(port: int) -> dict[int, bytes]:
    """Return the answer to each request, without its correlation id."""
    topic = _string(TOPIC)
    versions = [(_PRODUCE, 3, 3), (_METADATA, 0, 0), (_API_VERSIONS, 0, 0)]
    # One broker, number 0; one topic without error; one partition, 0, which broker 0 leads and copies.
    brokers = struct.pack(">ii", 1, 0) + _string(_HOST) + struct.pack(">i", port)
    partition = struct.pack(">ihiiiiii", 1, 0, 0, 0, 1, 0, 1, 0)
    return {
        _API_VERSIONS: struct.pack(">hi", 0, len(versions)) + b"".join(struct.pack(">hhh", *row) for row in versions),
        _METADATA: brokers + struct.pack(">ih", 1, 0) + topic + partition,
        # One topic, partition 0, no error, offset 0, no time of its own; no throttling.
        _PRODUCE: struct.pack(">i", 1) + topic + struct.pack(">iihqqi", 1, 0, 0, 0, -1, 0),
    }


class _Connection(asyncio.Protocol):
    """One producer's connection."""

    def __init__(self, answers: dict[int, bytes]) -> None:
        """Answer with *answers*."""
        self._answers = answers
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._received += data
        while len(self._received) >= 12:
            size, kind, _, number = struct.unpack_from(">ihhi", self._received)
            if len(self._received) < 4 + size:
                return
            del self._received[: 4 + size]
            answer = struct.pack(">i", number) + self._answers[kind]
            self._transport.write(struct.pack(">i", len(answer)) + answer)


async def _serve() -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    answers: dict[int, bytes] = {}
    server = await loop.create_server(lambda: _Connection(answers), _HOST, 0)
    port = server.sockets[0].getsockname()[1]
    answers.update(_answers(port))
    print(port, flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    pin(SERVER_CORE)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
