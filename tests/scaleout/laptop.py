"""The laptop: one process, SQLite, no server; killed at random moments, and started again."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from tests.reliability.table import Row
from tests.scaleout.stage import CAMPAIGN, Verdict, gateway_of, verdict, write_phones
from webcom_async.emulator import Gateway
from webcom_async.emulator._server import serve
from webcom_async.scaleout import SqliteStore

__all__ = ["measure"]

_KILLS = 3


def measure(folder: Path, recipients: int, seeds: range, say: Callable[[str], None]) -> list[Row]:
    """Kill and restart the same campaign for each seed, and return the lines of the table."""
    phones = write_phones(folder / "phones.csv", recipients)
    verdicts = [_run(folder / str(seed), phones, recipients, seed, say) for seed in seeds]
    sound = sum(each.sound for each in verdicts)
    what = f"SQLite, one process, killed {_KILLS} times: one SMS and one result each"
    return [
        Row(what, f"{len(seeds)} × {recipients:,}", f"{len(seeds)}", f"{sound}", sound == len(seeds)),
    ]


def _run(folder: Path, phones: Path, recipients: int, seed: int, say: Callable[[str], None]) -> Verdict:
    chance, gateway = random.Random(seed), gateway_of(0.05)
    folder.mkdir(parents=True)
    shares = sorted(chance.uniform(0.03, 0.9) for _ in range(_KILLS))
    with serve(gateway) as url:
        for share in shares:
            process = _start(folder, phones, gateway, url)
            while len(gateway.ledger) < share * recipients and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            process.wait()
        code = _start(folder, phones, gateway, url).wait()
        found = anyio.run(_judge, folder, gateway, recipients)
    say(f"seed {seed}: {found}, killed at {', '.join(f'{share:.0%}' for share in shares)}; exit code {code}")
    return found


def _start(folder: Path, phones: Path, gateway: Gateway, url: str) -> "subprocess.Popen[bytes]":
    words = ["--campaign", CAMPAIGN, "--sender", "ACME", "--text", "Sale!", "--yes", "--store", str(folder / "store")]
    command = [sys.executable, "-m", "webcom_async", "campaign", "start", str(phones), *words]
    environ = os.environ | {"WEBCOM_BASE_URL": url, "WEBCOM_TOKEN": gateway.token}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)


async def _judge(folder: Path, gateway: Gateway, recipients: int) -> Verdict:
    store = SqliteStore(folder / "store")
    try:
        return await verdict(gateway, store.results(CAMPAIGN), recipients)
    finally:
        await store.aclose()
