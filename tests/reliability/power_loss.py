"""Power loss: a journal as a disk may keep it, cut or blanked anywhere, and a campaign resumed from it."""

import copy
import random
import tempfile
from pathlib import Path
from typing import NamedTuple

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import SALE, Run, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.reliability.troubled import KINDS, TroubledGateway, When
from webcom_async import JournalError

__all__ = ["measure"]

_PEOPLE = 120
_SECTOR = 512
_CAMPAIGNS = 4  # from each of which copies are taken


class _Copy(NamedTuple):
    """The files at one moment, and the gateway at that moment."""

    journal: bytes
    wal: bytes
    gateway: TroubledGateway


def measure(scale: Scale, seed: int) -> list[Row]:
    """Resume from cut copies, and count broken promises."""
    with tempfile.TemporaryDirectory() as folder:
        return anyio.run(_measure, scale.copies, seed, Path(folder))


async def _measure(count: int, seed: int, folder: Path) -> list[Row]:
    chance = random.Random(seed)
    copies = [taken for number in range(_CAMPAIGNS) for taken in await _copies(folder / f"{number}", chance)]
    wrong_logs, lost_logs = await _resumed(folder, chance, copies, count, cut_journal=False)
    wrong_files, lost_files = await _resumed(folder, chance, copies, count // 3, cut_journal=True)
    return [
        Row(
            "power loss: write-ahead log cut or blanked anywhere, header on the disk",
            f"{count:,} copies, {count - lost_logs:,} resumed",
            "0 each, all resumed",
            str(wrong_logs),
            not wrong_logs and not lost_logs,
        ),
        Row(
            "power loss: main file cut too",
            f"{count // 3:,} copies, {count // 3 - lost_files:,} resumed, {lost_files:,} refused with JournalError",
            "0 each",
            str(wrong_files),
            not wrong_files,
        ),
    ]


async def _copies(journal: Path, chance: random.Random) -> list[_Copy]:
    """Run a campaign twice, the first time with faults, and copy its files on the way."""
    copies: list[_Copy] = []
    gateway = TroubledGateway(KINDS["closed"], When.HALF, 0.3, chance.randrange(1 << 30))
    wal = journal.with_name(f"{journal.name}-wal")

    for people in (_PEOPLE // 2, _PEOPLE):
        async with client_of(gateway, batch_size=5, attempts=2) as client:
            async with client.stream(phones(people), journal=journal, **SALE) as results:
                async for _ in results.batches():
                    copies.append(_Copy(journal.read_bytes(), wal.read_bytes(), copy.deepcopy(gateway)))
    return copies


async def _resumed(
    folder: Path, chance: random.Random, copies: list[_Copy], count: int, *, cut_journal: bool
) -> tuple[Counts, int]:
    """Resume from *count* cut copies; return the broken promises, and how many journals were refused."""
    wrong, refused = NONE, 0
    for _ in range(count):
        taken = chance.choice(copies)
        journal = folder / f"cut-{chance.randrange(1 << 60)}"
        content = taken.journal[: chance.randrange(len(taken.journal))] if cut_journal else taken.journal
        journal.write_bytes(content)
        journal.with_name(f"{journal.name}-wal").write_bytes(_torn(taken.wal, chance))
        found = await _resume(journal, copy.deepcopy(taken.gateway))
        refused += found is None
        wrong += found or NONE
    return wrong, refused


def _torn(wal: bytes, chance: random.Random) -> bytes:
    """Return *wal* cut anywhere, or with a sector, or everything from one on, blank."""
    place = chance.randrange(len(wal) + 1)
    sector = place // _SECTOR * _SECTOR
    return chance.choice(
        (
            wal[:place],
            wal[:sector] + bytes(len(wal) - sector),
            wal[:sector] + bytes(len(wal[sector : sector + _SECTOR])) + wal[sector + _SECTOR :],
        )
    )


async def _resume(journal: Path, gateway: TroubledGateway) -> Counts | None:
    """Run the campaign from *journal*; return its false claims, or None if the journal was refused and nothing sent."""
    gateway.calm()
    sent, requests = len(gateway.ledger), gateway.requests
    async with client_of(gateway) as client:
        run = await Run().send(client, phones(_PEOPLE), journal=journal)
    if isinstance(run.error, JournalError):
        return None if (sent, requests) == (len(gateway.ledger), gateway.requests) else Counts(lost=1)
    # The journal has lost what the power loss took, but the run may not claim "not sent" of any sent recipient.
    return judged(phones(_PEOPLE), run.results, gateway.ledger) + unreached(phones(_PEOPLE), gateway.ledger)
