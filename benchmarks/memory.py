"""Peak memory of a campaign over that of a client that has sent one message."""

import asyncio
import gc

from benchmarks.case import Case, Figures
from benchmarks.contenders.ours import SALE, client, kept
from benchmarks.generate import phones
from benchmarks.machine import forget_peak, peak_mib
from benchmarks.servers import Server, gateway

__all__ = ["measure"]


def measure(case: Case) -> Figures:
    """Send to recipients out of a generator, and read them one by one."""
    with gateway(case.behaviour) as server:
        return asyncio.run(_sent(case, server))


async def _sent(case: Case, server: Server) -> Figures:
    """Let the client be idle first, then send."""
    async with client(case, server.url) as ours:
        await ours.send("79612242243", **SALE)
        gc.collect()
        forget_peak()
        idle = peak_mib()
        with kept(case) as where:
            async with ours.stream(phones(case.recipients), **SALE, **where) as results:
                async for _ in results:
                    pass
        return {"recipients": results.report.accepted, "idle_mib": idle, "over_idle_mib": peak_mib() - idle}
