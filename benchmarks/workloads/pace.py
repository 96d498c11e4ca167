"""Workloads C, D, E and G: a gateway, a reader or a program that takes its time."""

from benchmarks.case import Case, Measured
from benchmarks.race import figure, raced
from benchmarks.report import Group, at_least, at_most, without_bar
from benchmarks.scales import Scale

__all__ = ["blocked_loop", "slow_gateway", "slow_reader", "stragglers"]

_TRANSPORTS = ("httpx2", "aiohttp")
_LATENCY = 0.2  # seconds
_IN_FLIGHT = 8


def slow_gateway(scale: Scale) -> Group:
    """Workload C."""
    bars = {"httpx2": (0.95, 0.90, 0.70), "aiohttp": (0.95, 0.95, 0.88)}
    limits = (8, 32, 128)
    cases = {
        f"{limit} in flight, {library}": Case(
            name="pace",
            transport=library,
            in_flight=limit,
            batch_size=1_000,
            latency=_LATENCY,
            recipients=limit * 1_000 * scale.rounds,
            seconds=scale.seconds,
        )
        for library in _TRANSPORTS
        for limit in limits
    }
    found = raced(cases, 1)
    first = raced({"first result": Case(name="first result", latency=_LATENCY)}, 1)
    wanted = [
        (f"{limit} in flight, {library}", bar)
        for library in bars
        for limit, bar in zip(limits, bars[library], strict=True)
    ]
    return Group(
        title="C. A gateway that answers after 200 ms: batches of 1,000; share of in flight × batch ÷ latency",
        facts=_paces(found),
        rows=[
            *(
                at_least(f"{name}, once all are in flight", figure(found[name], "share"), bar, digits=3)
                for name, bar in wanted
            ),
            *(
                at_least(
                    f"{name}, whole campaign of {cases[name].recipients:,}",
                    figure(found[name], "whole_share"),
                    bar,
                    digits=3,
                )
                for name, bar in wanted
            ),
            at_most("first result, after the latency", figure(first["first result"], "after_latency_ms"), 30, " ms", 1),
            at_most(
                "first result, after one round trip", figure(first["first result"], "after_round_trip_ms"), 20, " ms", 1
            ),
        ],
        measured=found | first,
    )


def _paces(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table behind C."""
    head = ["", "recipients/s", "core busy", "seconds until all were in flight"]
    lines = [
        [name, f"{of['recipients_per_second']:,.0f}", f"{of['core_busy']:.0%}", f"{of['opened_seconds']:.1f}"]
        for name, measured in found.items()
        if (of := measured.figures)
    ]
    return [head, *lines]


def stragglers(scale: Scale) -> Group:
    """Workload D."""
    wanted = [(library, limit, bar) for library in _TRANSPORTS for limit, bar in ((8, 0.80), (32, 0.75))]
    cases = {
        (kind, library, limit): Case(
            name=kind,
            transport=library,
            in_flight=limit,
            latency=_LATENCY / 2,
            slow_share=0.05,
            slow_factor=10,
            recipients=limit * 500 * scale.rounds * 2,
            seconds=scale.seconds * 2,
        )
        for kind in ("pace", "campaign")
        for library, limit, _ in wanted
    }
    found = raced({", ".join(map(str, key)): case for key, case in cases.items()}, 1)
    rows = [
        at_least(
            f"{limit} in flight, {library}, once all are in flight",
            figure(found[f"pace, {library}, {limit}"], "share"),
            bar,
            digits=3,
        )
        for library, limit, bar in wanted
    ] + [
        at_least(
            f"{limit} in flight, {library}, whole campaign of {limit * 500 * scale.rounds * 2:,}",
            figure(found[f"campaign, {library}, {limit}"], "whole_share"),
            bar,
            digits=3,
        )
        for library, limit, bar in wanted
    ]
    return Group(
        title="D. 5 % of the answers take 1 s instead of 100 ms: share of in flight × batch ÷ mean latency",
        rows=rows,
        measured=found,
    )


def slow_reader(scale: Scale) -> Group:
    """Workload E."""
    found = raced({"slow reader": Case(name="slow reader", recipients=scale.slow_batches * 500, pause=0.02)}, 1)
    [measured] = found.values()
    return Group(
        title=f"E. A reader that takes 20 ms for a batch: {scale.slow_batches * 500:,} recipients, 8 × 500 in flight",
        rows=[
            at_most(
                "batches taken from the source ahead of the reader",
                figure(measured, "batches_ahead"),
                _IN_FLIGHT,
                "",
                1,
            ),
            at_most("growth of memory from the first quarter to the end", figure(measured, "growth_mib"), 1, " MiB"),
            at_least("throughput ÷ the reader's own", figure(measured, "of_reader"), 0.9, " ×"),
        ],
        measured=found,
    )


def blocked_loop(scale: Scale) -> Group:
    """Workload G."""
    case = Case(name="blocked loop", recipients=scale.blocked_batches * 500, latency=0.1, pause=0.6)
    found = raced({"blocked loop": case}, 1)
    [measured] = found.values()
    return Group(
        title="G. The event loop blocked for 600 ms again and again; time-out 300 ms, gateway 100 ms",
        rows=[
            at_most("false time-outs", figure(measured, "false_timeouts"), 0, "", 0),
            without_bar("times the loop was blocked", figure(measured, "blocks"), "", 0),
            without_bar("requests repeated", figure(measured, "retries"), "", 0),
            without_bar("recipients unknown", figure(measured, "unknown"), "", 0),
        ],
        measured=found,
    )
