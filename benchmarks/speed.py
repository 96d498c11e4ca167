"""How much CPU, time and memory a contender takes for a recipient."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.case import Case, Figures, Unavailable
from benchmarks.contenders import anchors, bare, checked, hand_written, one_by_one, ours, threads
from benchmarks.generate import personal, phones
from benchmarks.reference import ref_ns
from benchmarks.servers import Server, gateway
from benchmarks.watch import Watch
from webcom_async import Recipient

__all__ = ["CONTENDERS", "Contender", "measure", "recipients_of"]

Contender = Callable[[Case, str, Any, Watch], Awaitable[int]]

CONTENDERS: dict[str, Contender] = {
    "ours": ours.send,
    "hand-written": hand_written.send,
    "checked": checked.send,
    "bare": bare.send,
    "one-by-one": one_by_one.send,
    "threads": threads.send,
    "elasticsearch": anchors.send_to_elasticsearch,
    "aiokafka": anchors.send_to_kafka,
}

_WARM_UP = 2_000


def measure(case: Case) -> Figures:
    """
    Let a contender send to every recipient.

    The recipients are in memory beforehand, and out of the garbage collector's sight: their source costs
    every contender the same, and is not measured.

    Raises:
        Unavailable: It is not installed.
    """
    contender = CONTENDERS[case.name]
    source = recipients_of(case)
    with gateway(case.behaviour) as server:
        try:
            asyncio.run(contender(case, server.url, source[: min(_WARM_UP, len(source) // 10)], Watch()))
        except ImportError as exc:
            raise Unavailable(f"{exc.name} is not installed") from None
        gc.collect()
        gc.freeze()
        before = ref_ns(case, source)
        figures = _raced(case, contender, server, source)
        figures["ref_ns"] = (before + ref_ns(case, source)) / 2
    figures["times_ref"] = figures["cpu_ns"] / figures["ref_ns"]
    return figures


def recipients_of(case: Case) -> Sequence[str | Recipient]:
    """Return the recipients, seeded: the same ones for every contender."""
    return list(personal(case.recipients) if case.personal else phones(case.recipients))


def _raced(case: Case, contender: Contender, server: Server, source: Sequence[str | Recipient]) -> Figures:
    """Measure one run."""
    counts = server.counts()
    watch = Watch()
    accepted = asyncio.run(contender(case, server.url, source, watch))
    assert accepted == case.recipients, f"{accepted} of {case.recipients} accepted"
    served = server.counts().cpu - counts.cpu
    return {
        "cpu_ns": watch.cpu / case.recipients * 1e9,
        "wall_ns": watch.seconds / case.recipients * 1e9,
        "recipients_per_second": case.recipients / watch.seconds,
        "peak_mib": watch.peak_mib,
        "gateway_cpu_ns": served / case.recipients * 1e9,
        "gateway_busy": served / watch.seconds,
    }
