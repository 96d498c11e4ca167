"""Delivery reports per second: what a gateway posts to a receiver, as fast as that answers."""

import asyncio
import itertools
import json
from collections.abc import Iterator

from benchmarks.case import Case, Figures
from benchmarks.servers import Server, receiver
from benchmarks.watch import Watch

__all__ = ["measure"]

_FIRST_ID = 1_000_001


def measure(case: Case) -> Figures:
    """Post reports over keep-alive connections: *callers* of them, *batch_size* reports in a body."""
    with receiver(case.receiver) as server:
        return asyncio.run(_post(case, server))


async def _post(case: Case, server: Server) -> Figures:
    """Post everything, once a few have warmed the connections up."""
    calls = max(case.callers, case.recipients // case.batch_size)
    ids = itertools.count(_FIRST_ID)
    warm = iter([_request(server, ids, case.batch_size) for _ in range(case.callers * 5)])
    requests = iter([_request(server, ids, case.batch_size) for _ in range(calls)])
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(case.callers)]
    await _all(connections, warm)
    with Watch() as watch:
        await _all(connections, requests)
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return {"reports_per_second": calls * case.batch_size / watch.seconds, "calls_per_second": calls / watch.seconds}


def _request(server: Server, ids: Iterator[int], size: int) -> bytes:
    """Return a webhook call, as it goes over the wire."""
    reports = [{"id_sms": next(ids), "time": "2030-01-01 12:00:00", "state": "deliver"} for _ in range(size)]
    body = json.dumps(reports).encode()
    head = f"POST {server.path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _all(connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]], requests: Iterator[bytes]) -> None:
    """Post all of *requests*, one at a time on each connection."""
    async with asyncio.TaskGroup() as tasks:
        for reader, writer in connections:
            tasks.create_task(_one_by_one(reader, writer, requests))


async def _one_by_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Iterator[bytes]) -> None:
    """Post, and read the whole answer."""
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
