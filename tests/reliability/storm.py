"""Storms: random sequences of runs, faults, cancellations, early leaves, reconciliations and new clients."""

import random
import tempfile
from pathlib import Path

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import SALE, Run, cancelled_after, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.reliability.troubled import KINDS, TIMEOUT, Kind, TroubledGateway, When
from webcom_async import WebcomClient
from webcom_async.journal import campaigns

__all__ = ["Storm", "measure"]

_STEPS = 8
_MOST_TURNS = 400


class Storm:
    """
    One campaign whose gateway and caller cause faults.

    Args:
        people: How many recipients it has.
        journal: The path of its journal; None for none.
        seed: Decides which requests are struck.

    Attributes:
        wrong: The broken promises so far.
        gateway: The gateway.
    """

    def __init__(self, people: int, journal: Path | None, seed: int) -> None:
        self.wrong: Counts = NONE
        self.gateway = TroubledGateway(seed=seed)
        self._people = list(phones(people))
        self._journal = journal
        self._client: WebcomClient | None = None
        self._options: dict[str, object] = {"timeout": TIMEOUT}

    def strike(self, kind: Kind, when: When, share: float) -> None:
        """Let *share* of the requests meet a fault from now on."""
        trouble = self.gateway.faults
        trouble.kind, trouble.when, trouble.share = kind, when, share

    async def renew(self, **options: object) -> None:
        """Continue with another client."""
        await self.aclose()
        self._options = {"timeout": TIMEOUT} | options

    async def run(self, leave_after: int | None = None) -> None:
        """Run the campaign to its end, or until *leave_after* results have been read."""
        await self._judge(Run(), turns=None, leave_after=leave_after)

    async def cancel(self, turns: int) -> None:
        """Run the campaign, and cancel it after *turns* turns of the event loop."""
        await self._judge(Run(), turns=turns, leave_after=None)

    async def reconcile(self) -> None:
        """Send every possibly sent recipient again."""
        if self._journal is None or not self._journal.exists() or not campaigns(self._journal):
            return
        run = await Run().read(self._open().reconcile(self._journal, campaign=SALE["campaign"]))
        self.wrong += judged((), run.results, self.gateway.ledger)

    async def end(self) -> None:
        """Run the campaign without faults: each recipient has one SMS, and the results agree."""
        self.gateway.calm()
        await self.renew(timeout=30.0)
        run = await Run().send(self._open(), self._people, journal=self._journal)
        await self.aclose()
        self.wrong += judged(self._people, run.results, self.gateway.ledger)
        self.wrong += unreached(self._people, self.gateway.ledger)

    async def aclose(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _open(self) -> WebcomClient:
        if self._client is None:
            self._client = client_of(self.gateway, **({"batch_size": 3} | self._options))
        return self._client

    async def _judge(self, run: Run, *, turns: int | None, leave_after: int | None) -> None:
        # Without a journal, a client cannot know what an earlier run has sent.
        before = [] if self._journal is not None else list(self.gateway.ledger.sent)
        client = self._open()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                if turns is not None:
                    group.start_soon(cancelled_after, turns, scope)
                await run.send(client, self._people, journal=self._journal, leave_after=leave_after)
                group.cancel_scope.cancel()
        # If cancelled while the journal was opened or closed, the run has not begun, or all of its claims are here.
        self.wrong += judged(run.asked, run.results, self.gateway.ledger, before=before)


def measure(scale: Scale, seed: int) -> list[Row]:
    """Run storms over campaigns, with and without a journal, on asyncio and on trio."""
    wrong = NONE
    with tempfile.TemporaryDirectory() as folder:
        for backend in ("asyncio", "trio"):
            wrong += anyio.run(_storms, scale.storms // 2, f"{seed} {backend}", Path(folder) / backend, backend=backend)
    return [
        Row(
            "storms: run, fault, cancel, leave, resume, reconcile, new client; then a calm run",
            f"{scale.storms // 2 * 2:,} storms of {_STEPS} steps",
            "0 each",
            str(wrong),
            not wrong,
        )
    ]


async def _storms(count: int, seed: str, folder: Path) -> Counts:
    folder.mkdir()
    wrong = NONE
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        journal = folder / f"{number}.journal" if number % 2 else None
        storm = Storm(chance.randint(1, 16), journal, chance.randrange(1 << 30))
        await _renew(storm, chance)
        for _ in range(_STEPS):
            await _step(storm, chance)
        await storm.end()
        wrong += storm.wrong
    return wrong


async def _step(storm: Storm, chance: random.Random) -> None:
    match chance.choice(("run", "strike", "strike", "cancel", "cancel", "leave", "reconcile", "renew")):
        case "run":
            await storm.run()
        case "strike":
            storm.strike(chance.choice(list(KINDS.values())), chance.choice(list(When)), chance.choice((0.3, 0.7, 1.0)))
        case "cancel":
            await storm.cancel(chance.randrange(_MOST_TURNS))
        case "leave":
            await storm.run(leave_after=chance.randrange(8))
        case "reconcile":
            await storm.reconcile()
        case _:
            await _renew(storm, chance)


async def _renew(storm: Storm, chance: random.Random) -> None:
    await storm.renew(
        attempts=chance.randint(1, 3),
        in_flight=chance.randint(1, 4),
        retry_quota=9,
        batch_size=chance.choice((3, 16)),
        batch_bytes=chance.choice((250, 100_000)),  # a few recipients, or all
    )
