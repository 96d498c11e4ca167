"""`kill -9` of a real process, at any moment of a campaign, repeatedly; then a run to the end."""

import multiprocessing
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.processes import killed_after
from tests.reliability.runs import SALE, Run, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Outcome, SendResult, WebcomClient
from webcom_async.emulator import Fault, Faults, Gateway, serve

__all__ = ["measure"]

_PEOPLE = 300
_KILLS_PER_CAMPAIGN = 8
_AT_ONCE = 2
_PATIENCE = 60.0  # seconds


class _Claim(NamedTuple):
    """A result that a process printed before it was killed."""

    phone: str
    outcome: str
    id_sms: str


def measure(scale: Scale, seed: int) -> list[Row]:
    """Kill processes, and count broken promises."""
    context = multiprocessing.get_context("forkserver")
    # Imported once, so that a killed process has done more than import.
    context.set_forkserver_preload(["tests.reliability.__main__"])
    wrong, kills, broken = NONE, 0, 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        # A process that resumes has less to do than the one timed here, hence at most half of its time.
        span = _whole_run(context, Path(folder) / "whole")
        numbers = count()
        while kills < scale.kills:
            campaigns = [
                pool.submit(_campaign, context, Path(folder) / f"{number}", random.Random(f"{seed} {number}"), span)
                for number in (next(numbers) for _ in range(_AT_ONCE))
            ]
            for campaign in campaigns:
                found, killed, untrue = campaign.result()
                wrong, kills, broken = wrong + found, kills + killed, broken + untrue
    return [
        Row(
            "kill -9 at any moment of a journaled campaign, resumed over and over",
            f"{kills:,} kills, {next(numbers):,} campaigns",
            "0 each",
            f"{wrong}, {broken} printed results that no longer hold",
            not wrong and not broken,
        )
    ]


def _whole_run(context: ForkServerContext, folder: Path) -> float:
    folder.mkdir()
    with serve(_gateway(0)) as url:
        killed_after(context, _PATIENCE, _child, url, folder)  # the first also waits for the imports
        (folder / "journal").unlink()
        start = time.monotonic()
        killed_after(context, _PATIENCE, _child, url, folder)
    return time.monotonic() - start


def _campaign(context: ForkServerContext, folder: Path, chance: random.Random, span: float) -> tuple[Counts, int, int]:
    """Kill one campaign several times, run it to the end, and return false claims, kills, and broken promises."""
    folder.mkdir()
    gateway = _gateway(chance.randrange(1 << 30))
    with serve(gateway) as url:
        kills = sum(
            killed_after(context, chance.uniform(0.0, span / 2), _child, url, folder)
            for _ in range(_KILLS_PER_CAMPAIGN)
        )
    gateway.faults = Faults()
    final = anyio.run(_resume, gateway, folder / "journal")
    wrong = judged(phones(_PEOPLE), final, gateway.ledger) + unreached(phones(_PEOPLE), gateway.ledger)
    truth = {result.phone: result.id_sms for result in final if result.outcome is Outcome.ACCEPTED}
    claims = _printed(folder / "printed")
    return wrong, kills, sum(truth.get(claim.phone) != claim.id_sms for claim in claims)


def _gateway(seed: int) -> Gateway:
    gateway = Gateway(latency=0.005, seed=seed)
    gateway.faults.sometimes(0.1, Fault(close=True, processed=True))
    return gateway


def _child(url: str, folder: Path) -> None:
    anyio.run(_send, url, folder)


async def _send(url: str, folder: Path) -> None:
    """Run the campaign, and print each result when it comes."""
    with (folder / "printed").open("a", buffering=1) as printed:
        async with (
            WebcomClient(token=Gateway().token, base_url=url, batch_size=7, wait_initial=0.01) as client,
            client.stream(phones(_PEOPLE), journal=folder / "journal", **SALE) as results,
        ):
            async for result in results:
                printed.write(f"{result.phone} {result.outcome.value} {result.id_sms}\n")


async def _resume(gateway: Gateway, journal: Path) -> list[SendResult]:
    async with client_of(gateway) as client:
        return (await Run().send(client, phones(_PEOPLE), journal=journal)).results


def _printed(path: Path) -> list[_Claim]:
    """Return the claims of `ACCEPTED`; the last line of a killed process may be cut."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    claims = [
        _Claim(*line.split()) for line in lines if line.endswith("\n") and len(line.split()) == len(_Claim._fields)
    ]
    return [claim for claim in claims if claim.outcome == Outcome.ACCEPTED.value]
