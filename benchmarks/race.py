"""Contenders side by side: each run in a process of its own, in turns, and the median of their runs."""

import sys
import time
from collections.abc import Mapping
from statistics import median

from benchmarks.case import Case, Measured, measured_apart

__all__ = ["figure", "raced", "ratio"]


def raced(cases: Mapping[str, Case], repeats: int) -> dict[str, Measured]:
    """Measure each of *cases* so often, in turns: a slow moment of the machine slows more than one of them."""
    runs: dict[str, list[Measured]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            if not any(run.why_not for run in runs[name]):
                start = time.monotonic()
                runs[name].append(measured_apart(case))
                _tell(f"{case.name}: {name}: {time.monotonic() - start:.0f} s")
    return {name: _median(some) for name, some in runs.items()}


def _tell(words: str) -> None:
    """Say on stderr how far the run is."""
    sys.stderr.write(f"{words}\n")


def _median(runs: list[Measured]) -> Measured:
    """Return the median of each figure; the first run that has none speaks for all."""
    without = [run for run in runs if run.why_not]
    if without:
        return without[0]
    return Measured({name: median(run.figures[name] for run in runs) for name in runs[0].figures})


def figure(measured: Measured, name: str) -> float | str:
    """Return a figure, or the words why there is none."""
    return measured.why_not or float(measured.figures[name])


def ratio(above: Measured, below: Measured, name: str) -> float | str:
    """Return a figure of one over that of the other, or the words why there is none."""
    return above.why_not or below.why_not or above.figures[name] / below.figures[name]
