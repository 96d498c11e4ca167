"""One message at a time, from many callers: the one-time code that a customer waits for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from statistics import quantiles

from benchmarks.case import Case, Figures
from benchmarks.contenders.hand_written import poster
from benchmarks.contenders.ours import SALE, client
from benchmarks.reference import WirePhone, encode, request_for
from benchmarks.servers import Server, gateway
from benchmarks.watch import Watch

__all__ = ["bare", "ours"]

_MS = 1e3
_FIRST_PHONE = 79_000_000_000

Call = Callable[[], Awaitable[object]]


def ours(case: Case) -> Figures:
    """Call `client.send`."""

    async def run(server: Server) -> Figures:
        """Open a client and let every caller call."""
        numbers = count(_FIRST_PHONE)
        async with client(case, server.url) as opened:
            return await _called(case, lambda: opened.send(str(next(numbers)), **SALE))

    return _served(case, run)


def bare(case: Case) -> Figures:
    """Post the same body with nothing but the HTTP library."""

    async def run(server: Server) -> Figures:
        """Open the library's client and let every caller post."""
        body = encode(request_for([WirePhone(str(_FIRST_PHONE), str(10**18))], None))
        async with poster(case.transport, f"{server.url}/json", case.in_flight) as post:
            return await _called(case, lambda: post(body))

    return _served(case, run)


def _served(case: Case, run: Callable[[Server], Awaitable[Figures]]) -> Figures:
    """Run against a gateway."""

    async def main() -> Figures:
        """Give asyncio a coroutine."""
        return await run(server)

    with gateway(case.behaviour) as server:
        return asyncio.run(main())


async def _called(case: Case, call: Call) -> Figures:
    """Let callers call, each again as soon as it has its answer; first to warm up, then to measure."""
    # The client allows one more request in flight after each round, so it takes this many answers to allow all.
    await _round(case, case.in_flight * (case.in_flight + 1) // 2, call)
    with Watch() as watch:
        waits = await _round(case, case.recipients, call)
    cuts = quantiles(waits, n=100)
    return {
        "cpu_us": watch.cpu / case.recipients * 1e6,
        "calls_per_cpu_second": case.recipients / watch.cpu,
        "calls_per_second": case.recipients / watch.seconds,
        "p50_ms": cuts[49] * _MS,
        "p99_ms": cuts[98] * _MS,
    }


async def _round(case: Case, calls: int, call: Call) -> list[float]:
    """Make so many *calls* and return how long each took."""
    waits: list[float] = []
    left = iter(range(calls))

    async def caller() -> None:
        """Call until everything is called."""
        for _ in left:
            start = time.perf_counter()
            await call()
            waits.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(case.callers):
            group.create_task(caller())
    return waits
