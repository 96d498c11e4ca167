"""Workload H: one message at a time."""

from benchmarks.case import Case, Measured
from benchmarks.race import raced, ratio
from benchmarks.report import Group, at_least, at_most
from benchmarks.scales import Scale

__all__ = ["single_calls"]

_LATENCY = 0.02  # seconds
_LINGER = 0.005
_CALLERS = (1, 50, 500)
_MOST_IN_FLIGHT = 64  # httpx2's pool takes its time with more
_SMALLEST_LINGER_RUN = 10_000  # calls; a POST carries hundreds of them


def single_calls(scale: Scale) -> Group:
    """Workload H."""
    cases: dict[str, Case] = {}
    for callers in _CALLERS:
        calls = scale.calls if callers > 1 else scale.calls // 5
        options = {"callers": callers, "in_flight": min(callers, _MOST_IN_FLIGHT), "recipients": calls}
        cases[f"send, callers: {callers}"] = Case(name="calls", latency=_LATENCY, **options)
        cases[f"bare httpx2, callers: {callers}"] = Case(name="bare calls", latency=_LATENCY, **options)
    many = {"callers": 500, "in_flight": _MOST_IN_FLIGHT, "recipients": max(_SMALLEST_LINGER_RUN, scale.calls)}
    cases["send with linger, callers: 500"] = Case(name="calls", latency=_LATENCY, linger=_LINGER, **many)
    found = raced(cases, scale.repeats)
    linger = found["send with linger, callers: 500"]
    over = linger.why_not or linger.figures["p50_ms"] - _LATENCY * 1e3
    return Group(
        title=f"H. One send() at a time: {scale.calls:,} calls, gateway 20 ms, at most {_MOST_IN_FLIGHT} in flight",
        facts=_calls(found),
        rows=[
            *(
                at_most(
                    f"CPU per call ÷ bare httpx2 POST, callers: {callers}",
                    ratio(found[f"send, callers: {callers}"], found[f"bare httpx2, callers: {callers}"], "cpu_us"),
                    1.3,
                    " ×",
                )
                for callers in _CALLERS
            ),
            at_least(
                "linger=0.005, 500 callers: calls per CPU second ÷ without",
                ratio(linger, found["send, callers: 500"], "calls_per_cpu_second"),
                15,
                " ×",
                1,
            ),
            at_most("linger=0.005, 500 callers: p50 over the gateway's latency", over, _LINGER * 1e3 + 10, " ms", 1),
        ],
        measured=found,
    )


def _calls(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table behind H."""
    head = ["", "CPU µs per call", "calls/s", "p50 ms", "p99 ms"]
    lines = [
        [name, f"{of['cpu_us']:,.0f}", f"{of['calls_per_second']:,.0f}", f"{of['p50_ms']:,.1f}", f"{of['p99_ms']:,.1f}"]
        for name, measured in found.items()
        if (of := measured.figures)
    ]
    return [head, *lines]
