"""
What a careful person writes: batches in a queue, workers that post them, results out of a queue.

Ids are given and every entry is looked at, but nothing is retried, limited, resumed or cleaned up.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

from benchmarks.case import Case
from benchmarks.reference import answer_of, encode, request_of, results_of
from benchmarks.watch import Watch
from webcom_async import Recipient, SendResult

__all__ = ["Batch", "Post", "Results", "chunks", "loop", "poster", "send"]

Post = Callable[[bytes], Awaitable[bytes]]
Batch = Sequence[str | Recipient]
Settle = Callable[[Batch, Post], Awaitable[list[SendResult]]]
Results = asyncio.Queue[list[SendResult] | None]

_HEADERS = {"content-type": "text/json; charset=utf-8"}


async def send(case: Case, url: str, source: Batch, watch: Watch) -> int:
    """Send to *source* and read every result, one by one."""
    ids = count(10**18)

    async def settle(batch: Batch, post: Post) -> list[SendResult]:
        """Post one batch and return what became of it."""
        phones, request = request_of(batch, ids)
        return results_of(phones, answer_of(await post(encode(request))))

    return await loop(case, url, source, watch, settle=settle, read=_read)


async def loop(
    case: Case, url: str, source: Batch, watch: Watch, *, settle: Settle, read: Callable[[Results], Awaitable[int]]
) -> int:
    """
    Send to *source* with as many workers as requests in flight, and return how many were accepted.

    Args:
        case: How.
        url: Gateway's URL.
        source: The recipients.
        watch: What measures.
        settle: Sends one batch.
        read: Reads the results of all, and counts them.
    """
    results: Results = asyncio.Queue(case.in_flight)
    async with poster(case.transport, f"{url}/json", case.in_flight) as post:
        with watch:
            work = asyncio.create_task(_work(case, source, results, lambda batch: settle(batch, post)))
            accepted = await read(results)
            await work
    return accepted


async def _read(results: Results) -> int:
    """Read them with as little as it takes."""
    accepted = 0
    while (settled := await results.get()) is not None:
        for _ in settled:
            pass  # what a reader does with a result is nobody's work here
        accepted += len(settled)
    return accepted


async def _work(
    case: Case, source: Batch, results: Results, settle: Callable[[Batch], Awaitable[list[SendResult]]]
) -> None:
    """Fill a queue, let workers empty it, and say when that was all."""
    batches: asyncio.Queue[Batch | None] = asyncio.Queue(case.in_flight)
    async with asyncio.TaskGroup() as group:
        for _ in range(case.in_flight):
            group.create_task(_worker(batches, results, settle))
        for batch in chunks(source, case.batch_size):
            await batches.put(batch)
        for _ in range(case.in_flight):
            await batches.put(None)
    await results.put(None)


async def _worker(
    batches: "asyncio.Queue[Batch | None]",
    results: Results,
    settle: Callable[[Batch], Awaitable[list[SendResult]]],
) -> None:
    """Send one batch after another."""
    while (batch := await batches.get()) is not None:
        await results.put(await settle(batch))


def chunks(source: Batch, size: int) -> list[Batch]:
    """Return *source* in pieces of at most *size*."""
    return [source[start : start + size] for start in range(0, len(source), size)]


@asynccontextmanager
async def poster(transport: str, url: str, connections: int) -> AsyncGenerator[Post, None]:
    """Open a client of the HTTP library *transport*, and give a function that posts a body to *url*."""
    if transport == "aiohttp":
        async with _aiohttp(url, connections) as post:
            yield post
    else:
        async with _httpx(transport, url, connections) as post:
            yield post


@asynccontextmanager
async def _aiohttp(url: str, connections: int) -> AsyncGenerator[Post, None]:
    """Open aiohttp's."""
    import aiohttp  # noqa: PLC0415 - a contender that need not be there

    async def post(body: bytes) -> bytes:
        """Post *body* and return the answer."""
        async with session.post(url, data=body, headers=_HEADERS) as response:
            response.raise_for_status()
            return await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        yield post


@asynccontextmanager
async def _httpx(transport: str, url: str, connections: int) -> AsyncGenerator[Post, None]:
    """Open the one of httpx or httpx2, which look alike."""
    library = importlib.import_module(transport)

    async def post(body: bytes) -> bytes:
        """Post *body* and return the answer."""
        response = await client.post(url, content=body, headers=_HEADERS)
        response.raise_for_status()
        return response.content

    limits = library.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with library.AsyncClient(limits=limits, timeout=30, trust_env=False) as client:
        yield post
