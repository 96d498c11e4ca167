"""Processes that read a journal over and over while a campaign begins, runs, is left and goes on."""

import multiprocessing
import random
import tempfile
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import SALE, Run, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Outcome, WebcomError
from webcom_async.emulator import Fault, Gateway
from webcom_async.journal import StoredResults, has_begun, stored_campaign

__all__ = ["measure"]

_PEOPLE = 1_000
_READERS = 2
_RUNS = 4
_LATENCY = 0.02  # seconds


class _Read(NamedTuple):
    """What a reader found: readings, errors, counts that went back, and the `id_sms` of each accepted phone."""

    readings: int = 0
    errors: int = 0
    back: int = 0
    accepted: frozenset[tuple[str, str | None]] = frozenset()


def measure(scale: Scale, seed: int) -> list[Row]:
    """Read journals of running campaigns, and count what readers and senders got wrong."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.reliability.__main__"])
    chance = random.Random(seed)
    wrong, refused, readings, errors, untrue = NONE, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(scale.readings):
            gateway = Gateway(seed=chance.randrange(1 << 30), latency=_LATENCY)
            gateway.faults.sometimes(0.05, Fault(close=True))
            found = _campaign(context, gateway, Path(folder) / f"{number}", chance)
            sent = {(sms.phone, sms.id_sms) for sms in gateway.ledger.sent}
            wrong, refused = wrong + found[0], refused + found[1]
            for read in found[2]:
                readings, errors = readings + read.readings, errors + read.errors
                untrue += read.back + len(read.accepted - sent)
    return [
        Row(
            f"{_READERS} processes read a journal while its campaign begins, runs, is left and goes on",
            f"{scale.readings:,} campaigns, {readings:,} readings",
            "0 each",
            f"{wrong}, {refused} runs refused; {errors} readings failed, {untrue} untrue",
            ok=not wrong and not refused and not errors and not untrue and readings > 0,
        )
    ]


def _campaign(
    context: ForkServerContext, gateway: Gateway, journal: Path, chance: random.Random
) -> tuple[Counts, int, list[_Read]]:
    """Return what the sender got wrong, the runs that ended early, and what the readers found."""
    ended = context.Event()
    ends: list[Connection] = []
    processes = []
    for _ in range(_READERS):
        here, there = context.Pipe(duplex=False)
        processes.append(context.Process(target=_read, args=(journal, ended, there)))
        processes[-1].start()
        there.close()
        assert here.recv() == "begun"
        ends.append(here)
    wrong, refused = anyio.run(_send, gateway, journal, chance)
    ended.set()
    found = [end.recv() for end in ends]
    for process in processes:
        process.join()
    return wrong, refused, found


async def _send(gateway: Gateway, journal: Path, chance: random.Random) -> tuple[Counts, int]:
    people = list(phones(_PEOPLE))
    wrong, refused = NONE, 0
    for run in range(_RUNS):
        leave_after = None if run == _RUNS - 1 else chance.randrange(1, _PEOPLE)
        async with client_of(gateway, batch_size=20, in_flight=4) as client:
            done = await Run().send(client, people, journal=journal, leave_after=leave_after)
        wrong += judged(done.asked, done.results, gateway.ledger)
        refused += done.error is not None
    return wrong + unreached(people, gateway.ledger), refused


def _read(journal: Path, ended: Event, end: Connection) -> None:
    end.send("begun")
    found, most = _Read(), 0
    while not ended.is_set():
        try:
            accepted = _reading(journal)
        except WebcomError:
            found = found._replace(errors=found.errors + 1)
            continue
        back = len(accepted) < most or not found.accepted <= accepted
        most = max(most, len(accepted))
        found = found._replace(readings=found.readings + bool(accepted), back=found.back + back, accepted=accepted)
    end.send(found)


def _reading(journal: Path) -> frozenset[tuple[str, str | None]]:
    """Return the accepted phones; none before the campaign has begun."""
    if not has_begun(journal, SALE["campaign"]):
        return frozenset()
    counted = stored_campaign(journal, SALE["campaign"]).counts[Outcome.ACCEPTED]
    with StoredResults(journal, SALE["campaign"]) as stored:
        accepted = frozenset((each.phone, each.id_sms) for each in stored if each.outcome is Outcome.ACCEPTED)
    return accepted if counted <= len(accepted) else frozenset()
