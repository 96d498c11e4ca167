"""A gateway that takes its time: how much of what the limits allow a campaign reaches, and how soon it begins."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import chain, islice, repeat
from statistics import median

from benchmarks.case import Case, Figures
from benchmarks.contenders.ours import SALE, client
from benchmarks.generate import phones
from benchmarks.machine import forget_peak, peak_mib
from benchmarks.servers import Server, gateway
from benchmarks.watch import Watch
from webcom_async import Results, SendResult

__all__ = ["blocked_loop", "campaign", "first_result", "pace", "slow_reader"]

_PHONES = 400_000  # more than are in flight at once; then they come round again
_REPEATS = 5
_MESSAGE_TO = "79612242243"


class _Marks:
    """
    When how many results had arrived.

    Attributes:
        opened: Seconds until all requests were in flight at once; the rest of the run is measured for its pace.
        at: The seconds when `recipients` results had arrived; None before.
    """

    def __init__(self, case: Case) -> None:
        """Begin now."""
        self.opened: float | None = None
        self.at: float | None = None
        self._case = case
        self._start = time.perf_counter()
        self._read = self._read_when_opened = 0
        self._batches = 0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start

    def note(self, batch: list[SendResult], results: Results) -> bool:
        """Count *batch*; return whether enough is known."""
        self._read += len(batch)
        if self.at is None and self._read >= self._case.recipients:
            self.at = self.seconds
        if self.opened is None:
            if results.progress.limit >= self._case.in_flight:
                self.opened = self.seconds
                self._read_when_opened = self._read
            return False
        self._batches += 1
        # Answers come in rounds: whole ones are counted.
        whole_round = self._batches % self._case.in_flight == 0
        return whole_round and self.at is not None and self.seconds - self.opened >= self._case.seconds

    def pace(self) -> float:
        """Return the results per second since all requests were in flight at once."""
        return (self._read - self._read_when_opened) / (self.seconds - (self.opened or 0.0))


def pace(case: Case) -> Figures:
    """
    Send for a while, and compare with requests in flight × recipients each ÷ seconds for each.

    Two shares come out: of a campaign of so many recipients from its first to its last, and of the time after as many
    requests were in flight as may be. The client starts with few, so the two differ.
    """
    with gateway(case.behaviour) as server:
        return asyncio.run(_paced(case, server))


async def _paced(case: Case, server: Server) -> Figures:
    """Send, and read in lists."""
    source = _endless()
    async with client(case, server.url, grace=0.0) as ours:
        await ours.send(_MESSAGE_TO, **SALE)
        cpu = time.process_time()
        marks = _Marks(case)
        async with ours.stream(source, **SALE) as results:
            async for batch in results.batches():
                if marks.note(batch, results):
                    break
            reached, elapsed, sent = marks.pace(), marks.seconds, results.report.recipients
        cpu = time.process_time() - cpu
    counts = server.counts()
    ideal = case.in_flight * case.batch_size / (counts.waited / counts.requests)
    return {
        "share": reached / ideal,
        "whole_share": case.recipients / (marks.at or elapsed) / ideal,
        "opened_seconds": marks.opened or elapsed,
        "recipients_per_second": reached,
        "core_busy": cpu / elapsed,
        "recipients": sent,
    }


def campaign(case: Case) -> Figures:
    """Send to so many recipients and no more: what the first rounds and the last answers cost is in."""
    with gateway(case.behaviour) as server:
        return asyncio.run(_sent(case, server))


async def _sent(case: Case, server: Server) -> Figures:
    """Send a campaign from its first to its last recipient, and compare with what the limits allow."""
    source = islice(_endless(), case.recipients)
    async with client(case, server.url) as ours:
        await ours.send(_MESSAGE_TO, **SALE)
        with Watch() as watch:
            report = await ours.send_all(source, **SALE)
    counts = server.counts()
    ideal = case.in_flight * case.batch_size / (counts.waited / counts.requests)
    return {
        "whole_share": report.accepted / watch.seconds / ideal,
        "recipients_per_second": report.accepted / watch.seconds,
    }


def _endless() -> Iterator[str]:
    """Yield phones for ever, made beforehand."""
    return chain.from_iterable(repeat(list(phones(_PHONES))))


def first_result(case: Case) -> Figures:
    """Time how long after one round trip the first result of a campaign is here; the median of a few."""
    with gateway(case.behaviour) as server:
        return asyncio.run(_first(case, server))


async def _first(case: Case, server: Server) -> Figures:
    """Open campaigns, and leave each after its first result."""
    trips: list[float] = []
    firsts: list[float] = []
    source = list(phones(case.recipients))
    async with client(case, server.url, grace=1.0) as ours:
        await ours.send(_MESSAGE_TO, **SALE)
        for _ in range(_REPEATS):
            start = time.perf_counter()
            await ours.send(_MESSAGE_TO, **SALE)
            trips.append(time.perf_counter() - start)
            start = time.perf_counter()
            async with ours.stream(source, **SALE) as results:
                await anext(results)
                firsts.append(time.perf_counter() - start)
    first = median(firsts) * 1e3
    return {
        "round_trip_ms": median(trips) * 1e3,
        "after_latency_ms": first - case.latency * 1e3,
        "after_round_trip_ms": first - median(trips) * 1e3,
    }


def slow_reader(case: Case) -> Figures:
    """Read slower than the gateway answers: how far ahead the client runs, what that takes, and what it costs."""
    with gateway(case.behaviour) as server:
        return asyncio.run(_read_slowly(case, server))


async def _read_slowly(case: Case, server: Server) -> Figures:
    """Pause for each batch, and look at the source's side after each pause."""
    taken = read = ahead = 0
    paused = 0.0

    async def source() -> AsyncIterator[str]:
        """Count what is taken."""
        nonlocal taken
        for phone in phones(case.recipients):
            taken += 1
            yield phone

    peaks: list[float] = []
    async with client(case, server.url) as ours, ours.stream(source(), **SALE) as results:
        start = time.perf_counter()
        async for batch in results.batches():
            read += len(batch)
            pause = time.perf_counter()
            await asyncio.sleep(case.pause)
            paused += time.perf_counter() - pause
            ahead = max(ahead, taken - read)
            if read >= case.recipients // 4:
                peaks.append(peak_mib())
            else:
                forget_peak()
        seconds = time.perf_counter() - start
    return {
        "batches_ahead": ahead / case.batch_size,
        "growth_mib": peaks[-1] - peaks[0],
        "of_reader": paused / seconds,
        "recipients_per_second": case.recipients / seconds,
    }


def blocked_loop(case: Case) -> Figures:
    """Block the event loop again and again, each time for longer than the client's time-out."""
    with gateway(case.behaviour) as server:
        return asyncio.run(_blocked(case, server))


async def _blocked(case: Case, server: Server) -> Figures:
    """Send, while something else in the program blocks."""
    timeout = case.pause / 2
    blocks = 0

    async def block() -> None:
        """Block as a program should not."""
        nonlocal blocks
        while True:
            await asyncio.sleep(case.latency / 2)
            time.sleep(case.pause)  # noqa: ASYNC251 - that is the case
            blocks += 1

    async with client(case, server.url, timeout=timeout, wait_initial=0.01) as ours:
        blocking = asyncio.create_task(block())
        report = await ours.send_all(islice(_endless(), case.recipients), **SALE)
        blocking.cancel()
    return {
        "blocks": blocks,
        "false_timeouts": report.false_timeouts,
        "retries": report.retries,
        "unknown": report.unknown,
        "accepted": report.accepted,
        "requests": report.requests,
    }
