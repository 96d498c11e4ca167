"""What `import webcom_async` takes, beside what its four dependencies take."""

import subprocess
import sys
from statistics import median

from benchmarks.case import Case, Figures

__all__ = ["measure"]

_REPEATS = 15
_TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
_DEPENDENCIES = "httpx2, anyio, msgspec, tenacity"


def measure(_case: Case) -> Figures:
    """Import both in turns, in fresh processes, and return the medians."""
    pairs = [(_seconds("webcom_async"), _seconds(_DEPENDENCIES)) for _ in range(_REPEATS)]
    ours, theirs = (median(column) * 1e3 for column in zip(*pairs[1:], strict=True))
    return {"ours_ms": ours, "dependencies_ms": theirs, "times": median(one / other for one, other in pairs[1:])}


def _seconds(modules: str) -> float:
    """Return how long *modules* take to import in a fresh process."""
    done = subprocess.run([sys.executable, "-c", _TIMED.format(modules)], stdout=subprocess.PIPE, check=True)
    return float(done.stdout)
