"""
A campaign over a real socket, against an emulator in another process.

Three cases, each of which runs in a process of its own: how fast, how soon, how much memory.
"""

import resource
import sys
import time
from collections.abc import Awaitable, Callable

import anyio

from benchmarks.generate import personal, phones
from webcom_async import WebcomClient
from webcom_async.cli._emulate import Settings, child

__all__ = ["CASES", "run_case"]

Figures = dict[str, float]

_LATENCY = 0.2  # seconds; of the gateway in the case "first result"
_REPEATS = 5
_MIB = 1 << 20


async def throughput(client: WebcomClient, recipients: int) -> Figures:
    """One text for all, and a text for each: recipients per second, and CPU per recipient of this process alone."""
    figures: Figures = {}
    for name, source in (("one_text", phones(recipients)), ("own_texts", personal(recipients, seed=2))):
        cpu = time.process_time()
        report = await client.send_all(source, text="Autumn sale", sender="ACME")
        figures[f"{name}_recipients_per_second"] = report.recipients_per_second
        figures[f"{name}_cpu_us_per_recipient"] = (time.process_time() - cpu) / recipients * 1e6
    return figures


async def first_result(client: WebcomClient, recipients: int) -> Figures:
    """How long after one round trip the first result of a campaign is here."""
    await client.send("79612242243", "warm up", sender="ACME")
    over: list[float] = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        await client.send("79612242243", "one round trip", sender="ACME")
        round_trip = time.perf_counter() - start
        start = time.perf_counter()
        async with client.stream(phones(recipients), text="Autumn sale", sender="ACME") as results:
            await anext(results)
            over.append(time.perf_counter() - start - round_trip)
    return {"round_trip_ms": round_trip * 1e3, "first_result_after_round_trip_ms": sorted(over)[_REPEATS // 2] * 1e3}


async def memory(client: WebcomClient, recipients: int) -> Figures:
    """Peak memory of a campaign, over that of a client that has sent one message."""
    await client.send("79612242243", "warm up", sender="ACME")
    idle = _peak()
    report = await client.send_all(phones(recipients), text="Autumn sale", sender="ACME")
    return {"recipients": report.accepted, "idle_peak_mib": idle, "over_idle_mib": _peak() - idle}


CASES: dict[str, tuple[float, Callable[[WebcomClient, int], Awaitable[Figures]]]] = {
    "throughput": (0.0, throughput),
    "first result": (_LATENCY, first_result),
    "memory": (0.0, memory),
}


def run_case(name: str, recipients: int) -> Figures:
    """Run one case in this process."""
    latency, measure = CASES[name]

    async def run() -> Figures:
        async with WebcomClient(token=emulator.token, base_url=emulator.base_url) as client:
            return await measure(client, recipients)

    with child(Settings(latency=latency)) as emulator:
        return anyio.run(run)


def _peak() -> float:
    """Return the highest memory that this process has used so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
