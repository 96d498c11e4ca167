"""What `import webcom_async` takes, beside what its four dependencies take."""

import subprocess
import sys
from statistics import median

from benchmarks.case import Case, Figures

__all__ = ["measure"]

_REPEATS = 15
_TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
_STATEMENTS = {
    "words": "import webcom_async",
    "client": "from webcom_async import WebcomClient",
    "dependencies": "import httpx2, anyio, msgspec, tenacity",
}


def measure(_case: Case) -> Figures:
    """Import in turns, in fresh processes, and return the medians; the first round warms up."""
    rounds = [{name: _seconds(statement) for name, statement in _STATEMENTS.items()} for _ in range(_REPEATS)][1:]
    times = {f"{name}_ms": median(one[name] for one in rounds) * 1e3 for name in _STATEMENTS}
    ratios = {f"{name}_times": median(one[name] / one["dependencies"] for one in rounds) for name in _STATEMENTS}
    return times | ratios


def _seconds(statement: str) -> float:
    """Return how long *statement* takes in a fresh process."""
    done = subprocess.run([sys.executable, "-c", _TIMED.format(statement)], stdout=subprocess.PIPE, check=True)
    return float(done.stdout)
