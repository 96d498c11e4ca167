"""Where our client's time goes: shares of its CPU by library, and the functions that take most."""

import pstats
from collections import Counter
from pathlib import Path

from benchmarks.case import Case
from benchmarks.cases import measured_here
from benchmarks.watch import profiled

__all__ = ["shares"]

_FUNCTIONS = 12
_SMALLEST = 0.01  # share that is worth a line

Place = tuple[str, int, str]


def shares(case: Case) -> list[str]:
    """Profile *case* in this process, and return lines for people. Profiling makes calls look dearer than they are."""
    with profiled() as profile:
        measured_here(case)
    own = {place: row[2] for place, row in pstats.Stats(profile).stats.items() if not _waits(place)}  # type: ignore[attr-defined]
    total = sum(own.values())
    libraries: Counter[str] = Counter()
    for place, seconds in own.items():
        libraries[_library(place)] += seconds
    dearest = sorted(own, key=own.__getitem__, reverse=True)[:_FUNCTIONS]
    return [
        "where the time goes, by library: "
        + ", ".join(f"{name} {part / total:.0%}" for name, part in libraries.most_common() if part / total > _SMALLEST),
        *(f"  {own[place] / total:5.1%}  {_named(place)}" for place in dearest),
    ]


def _waits(place: Place) -> bool:
    """Return whether nothing is computed there."""
    return any(word in place[2] for word in ("epoll", "poll' of", "sleep", "wait", "readline", "fork_exec"))


def _library(place: Place) -> str:
    """Return whose code it is."""
    parts = Path(place[0]).parts
    if place[0] == "~":
        return "built-in"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return next((part for part in ("webcom_async", "benchmarks", "asyncio") if part in parts), "standard library")


def _named(place: Place) -> str:
    """Return a place as a reader looks for it."""
    file, line, function = place
    return function if file == "~" else f"{_library(place)}: {Path(file).name}:{line} {function}"
