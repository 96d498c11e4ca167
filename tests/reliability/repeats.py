"""Campaigns at a gateway that cuts ids: halted, given new ids, acknowledged, left and resumed in random order."""

import random
import tempfile
from pathlib import Path

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged
from tests.reliability.runs import SALE, Run, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Outcome, Reason, SendResult
from webcom_async.emulator import Behaviour, Fault, Gateway
from webcom_async.journal import StoredResults

__all__ = ["measure"]

_BITS = 8  # 256 ids for some 80 recipients in two campaigns
_STEPS = 6
_WAYS = ({}, {"new_ids": "not-sent"}, {"acknowledge_repeated_ids": True})


def measure(scale: Scale, seed: int) -> list[Row]:
    """Run campaigns on asyncio and on trio, and compare claims and journals with the ledger."""
    wrong, repeated, mistaken = NONE, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(scale.repeats):
            backend = ("asyncio", "trio")[number % 2]
            journal = Path(folder) / f"{number}.journal"
            found = anyio.run(_campaign, journal, f"{seed} {number}", backend=backend)
            wrong, repeated, mistaken = wrong + found[0], repeated + found[1], mistaken + found[2]
    return [
        Row(
            "ids cut: halted, new ids, acknowledged, left, resumed",
            f"{scale.repeats:,} campaigns, {repeated:,} recipients with another's id_sms",
            "0 each",
            f"{wrong}, {mistaken} neither sent to nor unknown",
            not wrong and not mistaken,
        )
    ]


async def _campaign(journal: Path, seed: str) -> tuple[Counts, int, int]:
    """Return broken promises, recipients with a repeated `id_sms`, and those without an SMS that are not unknown."""
    chance = random.Random(seed)
    gateway = Gateway(behaviour=Behaviour(id_bits=_BITS), seed=chance.randrange(1 << 30))
    people = list(phones(80))
    first, second = people[:40], people[40:]
    async with client_of(gateway) as client:
        await client.send_all(first, **SALE | {"campaign": "winter"}, journal=journal, acknowledge_repeated_ids=True)
    gateway.faults.sometimes(0.2, Fault(status=503))
    wrong, begun = NONE, False
    for step in range(_STEPS + 1):
        last = step == _STEPS
        way = chance.choice(_WAYS if begun else _WAYS[::2])
        way = {"acknowledge_repeated_ids": True} if last else way
        async with client_of(gateway, in_flight=1, batch_size=chance.choice((1, 3, 10)), retry_quota=500) as client:
            campaign = client.stream(second, journal=journal, **SALE, **way)
            run = await Run().read(campaign, None if last else chance.choice((None, chance.randrange(20))))
        begun = begun or bool(run.results)
        wrong += judged((), run.results, gateway.ledger)
    with StoredResults(journal, SALE["campaign"]) as stored:
        results = list(stored)
    wrong += judged(second, results, gateway.ledger)
    repeated = [result for result in results if result.reason is Reason.REPEATED_ID_SMS]
    return wrong, len(repeated), _mistaken(results, gateway)


def _mistaken(results: list[SendResult], gateway: Gateway) -> int:
    reached = {sms.phone for sms in gateway.ledger.sent}
    return sum(result.phone not in reached and result.outcome is not Outcome.UNKNOWN for result in results)
