"""`kill -9` of the tracker at any moment: the next one continues, and every earlier report still holds."""

import multiprocessing
import random
import tempfile
from collections import Counter
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext
from pathlib import Path

import anyio

from tests.builders import phones
from tests.reliability.processes import killed_after
from tests.reliability.runs import SALE
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Pace, WebcomClient
from webcom_async.emulator import Behaviour, Fault, Gateway, GatewayTransport, Inquiries, Scenario, Step, serve

__all__ = ["measure"]

_PEOPLE = 300
_KILLS_PER_CAMPAIGN = 6
_SPAN = 0.8  # seconds: the usual time of a whole run
_FATES = ((0.2, "expired"), (0.2, "not_deliver"), (0.1, "read"))


def measure(scale: Scale, seed: int) -> list[Row]:
    """Kill trackers, and count broken promises."""
    context = multiprocessing.get_context("forkserver")
    # Imported once, so that a killed process has done more than import.
    context.set_forkserver_preload(["tests.reliability.__main__"])
    chance = random.Random(seed)
    kills = campaigns = lost = untrue = 0
    with tempfile.TemporaryDirectory() as folder:
        while kills < max(2, scale.kills // 10):
            found = _campaign(context, Path(folder) / f"{campaigns}", chance)
            campaigns += 1
            kills, lost, untrue = kills + found[0], lost + found[1], untrue + found[2]
    return [
        Row(
            "kill -9 of the tracker at any moment, tracked again over and over",
            f"{kills:,} kills, {campaigns:,} campaigns",
            "0 each",
            f"{lost} lost, {untrue} told that do not hold",
            ok=not lost and not untrue,
        )
    ]


def _campaign(context: ForkServerContext, folder: Path, chance: random.Random) -> tuple[int, int, int]:
    """Kill one campaign's trackers, track it to the end, and return kills, lost SMS and untrue reports."""
    folder.mkdir()
    gateway = Gateway(behaviour=Behaviour(inquiries=Inquiries(several="refused")), seed=chance.randrange(1 << 30))
    gateway.scenarios.default = Scenario((Step(0, "deliver"),))
    for share, state in _FATES:
        gateway.scenarios.sometimes(share, Scenario((Step(0, state),)))
    anyio.run(_send, gateway, folder)
    gateway.latency = 0.01
    gateway.faults.sometimes(0.05, Fault(close=True))
    with serve(gateway) as url:
        kills = sum(
            killed_after(context, chance.uniform(0.0, _SPAN), _child, url, folder) for _ in range(_KILLS_PER_CAMPAIGN)
        )
        last = anyio.run(_track, url, folder, folder / "last")
    truth = {
        sms.id_sms: gateway.scenarios.state(sms, datetime.max.replace(tzinfo=UTC))[0] for sms in gateway.ledger.sent
    }
    told = _read(folder / "told") + _read(folder / "last")
    untrue = sum(truth.get(id_sms) != state for id_sms, state in told)
    ends = Counter(id_sms for id_sms, _ in _read(folder / "last"))
    lost = len(truth) - len(ends) + sum(times - 1 for times in ends.values()) + abs(len(truth) - last)
    return kills, lost, untrue


async def _send(gateway: Gateway, folder: Path) -> None:
    transport = GatewayTransport(gateway)
    async with WebcomClient(token=gateway.token, base_url="http://127.0.0.1", transport=transport) as client:
        await client.send_all(phones(_PEOPLE), journal=folder / "journal", **SALE)


def _child(url: str, folder: Path) -> None:
    anyio.run(_track, url, folder, folder / "told")


async def _track(url: str, folder: Path, told: Path) -> int:
    """Track, write down each terminal state, and return the number of SMS in one."""
    pace = Pace(first=0, deadline=10**9)
    with told.open("a", buffering=1) as ends:
        async with (
            WebcomClient(token=Gateway().token, base_url=url, wait_initial=0.01) as client,
            client.track(folder / "journal", campaign=SALE["campaign"], pace=pace) as changes,
        ):
            async for change in changes:
                if change.report.final:
                    ends.write(f"{change.report.id_sms} {change.report.state.value}\n")
            return changes.report.final


def _read(path: Path) -> list[tuple[str, str]]:
    """Return the terminal states in *path*; the last line of a killed process may be cut."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [(line.split()[0], line.split()[1]) for line in lines if line.endswith("\n")]
