"""Speed: the limit over all workers, the gain of more workers, and the cost of the engine."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.postgres_server import Server
from tests.reliability.table import Row
from tests.scaleout.stage import Stage, cpu_of, gateway_of, on_stage, write_phones
from webcom_async.emulator import Gateway
from webcom_async.emulator._server import serve

__all__ = ["measure_cost", "measure_rate", "measure_speedup"]

_CREWS = (1, 2, 4)
_OFF = 0.10  # of the rate
_RATE = 4_000  # recipients per second
_LATENCY = 1.0
_SHARD = 2_500
_BATCH = 500


def measure_rate(server: Server, folder: Path, recipients: int, say: Callable[[str], None]) -> list[Row]:
    """Return the recipients sent per second by 1, 2 and 4 workers, against the rate that was set."""
    phones = write_phones(folder / "phones.csv", recipients)
    rows: list[Row] = []
    for crew in _CREWS:
        with on_stage(server, gateway_of(0.05), folder / f"crew-{crew}") as stage:
            stage.start(phones, "--rate", str(_RATE))
            found = _per_second(stage, crew)
        say(f"{crew} workers at {_RATE}: {found:.0f} recipients/s")
        ok = abs(found / _RATE - 1) <= _OFF
        what = f"recipients per second over {crew} worker{'s' if crew > 1 else ''}, set to {_RATE:,}"
        rows.append(Row(what, f"{recipients:,}", "within 10 %", f"{found:,.0f}", ok))
    return rows


def measure_speedup(server: Server, folder: Path, recipients: int, say: Callable[[str], None]) -> list[Row]:
    """Return the speed of 2 and 4 workers relative to one, where the gateway's latency is the limit."""
    phones = write_phones(folder / "phones.csv", recipients)
    found: dict[int, float] = {}
    for crew in _CREWS:
        with on_stage(server, gateway_of(_LATENCY), folder / f"crew-{crew}") as stage:
            stage.start(phones, "--shard-size", str(_SHARD))
            found[crew] = _per_second(stage, crew)
        say(f"{crew} workers: {found[crew]:.0f} recipients/s")
    return [
        Row(
            f"{crew} workers against one, where the gateway takes a second to answer",
            f"{recipients:,}",
            "",
            f"{found[crew] / found[1]:.2f} ×",
            ok=True,
        )
        for crew in _CREWS[1:]
    ]


def measure_cost(server: Server, folder: Path, recipients: int, say: Callable[[str], None]) -> list[Row]:
    """Return a worker's CPU per recipient, relative to the plain client with a journal in a file."""
    worker = _worker_cpu(server, folder, recipients) - _worker_cpu(server, folder, 1)
    plain = _plain_cpu(folder, recipients) - _plain_cpu(folder, 1)
    each, bare = worker / recipients * 1e6, plain / recipients * 1e6
    say(f"a worker {each:.1f} µs, the plain client {bare:.1f} µs")
    measured = f"{each:.1f} µs against {bare:.1f} µs: {each / bare:.1f} ×"
    return [Row("CPU per recipient, a worker against the plain client", f"{recipients:,}", "", measured, ok=True)]


def _per_second(stage: Stage, crew: int) -> float:
    """Let *crew* workers send the campaign, and return the recipients per second from the first SMS to the last."""
    for _ in range(crew):
        stage.add_worker("--in-flight", "4")
    stage.wait_for_end()
    sent = stage.gateway.ledger.sent
    # Without the last batch, because the time ends where that batch begins.
    return (len(sent) - _BATCH) / (sent[-1].sent_at - sent[0].sent_at).total_seconds()


def _worker_cpu(server: Server, folder: Path, recipients: int) -> float:
    phones = write_phones(folder / f"{recipients}.csv", recipients)
    with on_stage(server, Gateway(), folder / f"cost-{recipients}") as stage:
        stage.start(phones)
        worker = stage.add_worker()
        stage.wait_for_end()
        return worker.end_measured()


def _plain_cpu(folder: Path, recipients: int) -> float:
    gateway = Gateway()
    with serve(gateway) as url:
        environ = os.environ | {"WEBCOM_BASE_URL": url, "WEBCOM_TOKEN": gateway.token}
        journal = folder / f"plain-{recipients}.journal"
        command = [sys.executable, "-m", "tests.scaleout.plain", str(recipients), str(journal)]
        return cpu_of(subprocess.Popen(command, env=environ))
