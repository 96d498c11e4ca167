"""Every case by its name, and how one is run in this process."""

from collections.abc import Callable

from benchmarks import calls, imports, memory, pacing, reporting, speed
from benchmarks.case import Case, Figures, Measured, Unavailable
from benchmarks.machine import CONTENDER_CORE, pin

__all__ = ["CASES", "measured_here"]

CASES: dict[str, Callable[[Case], Figures]] = dict.fromkeys(speed.CONTENDERS, speed.measure) | {
    "pace": pacing.pace,
    "campaign": pacing.campaign,
    "first result": pacing.first_result,
    "slow reader": pacing.slow_reader,
    "blocked loop": pacing.blocked_loop,
    "memory": memory.measure,
    "calls": calls.ours,
    "bare calls": calls.bare,
    "reports": reporting.measure,
    "imports": imports.measure,
}


def measured_here(case: Case) -> Measured:
    """Measure *case* in this process, on the contenders' core."""
    pin(CONTENDER_CORE)
    try:
        return Measured(CASES[case.name](case))
    except Unavailable as exc:
        return Measured(why_not=str(exc))
