"""The CPU of a worker that waits for a campaign."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.postgres_server import Server
from tests.reliability.table import Row
from tests.scaleout.stage import gateway_of, on_stage

__all__ = ["measure"]

_SETTLING = 10.0  # seconds, in which its threads learn that there is nothing to do
_SECONDS = 30.0
_MOST = 0.01  # of a core


def measure(server: Server, folder: Path, say: Callable[[str], None]) -> list[Row]:
    """Return the share of a core that a worker without campaigns takes."""
    with on_stage(server, gateway_of(0.0), folder / "idle") as stage:
        worker = stage.add_worker()
        worker.wait_until_ready()
        time.sleep(_SETTLING)
        before = worker.cpu()
        began = time.monotonic()
        time.sleep(_SECONDS)
        share = (worker.cpu() - before) / (time.monotonic() - began)
        worker.end()
    say(f"an idle worker takes {share:.2%} of a core")
    return [Row("CPU of a worker that waits for a campaign", f"{_SECONDS:g} s", "1 %", f"{share:.2%}", share <= _MOST)]
