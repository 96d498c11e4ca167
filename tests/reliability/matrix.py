"""Every kind of fault, before, after and in the middle of the gateway's work, on asyncio and on trio."""

import random
from collections.abc import Callable
from itertools import product

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import Run, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.reliability.troubled import KINDS, TIMEOUT, Kind, TroubledGateway, When
from webcom_async import Outcome

__all__ = ["measure"]

MakeGateway = Callable[[Kind, When, float, int], TroubledGateway]


def measure(scale: Scale, seed: int, make_gateway: MakeGateway = TroubledGateway) -> list[Row]:
    """Run every kind, and a second, quiet run of each campaign afterwards, under the same ids."""
    wrong, unknown, needless = NONE, 0, 0
    for backend in ("asyncio", "trio"):
        found = anyio.run(_all, scale.seeds, seed, make_gateway, backend=backend)
        wrong, unknown, needless = wrong + found[0], unknown + found[1], needless + found[2]
    campaigns = len(KINDS) * len(When) * scale.seeds * 2
    return [
        Row(
            "faults × before / after / half processed × asyncio / trio",
            f"{campaigns:,} campaigns",
            "0 each",
            str(wrong),
            not wrong,
        ),
        Row(
            "of these, unknown although the gateway never saw the recipient",
            f"{unknown:,} unknown",
            "0",
            f"{needless}",
            not needless,
        ),
    ]


async def _all(seeds: int, seed: int, make_gateway: MakeGateway) -> tuple[Counts, int, int]:
    wrong, unknown, needless = NONE, 0, 0
    for kind, when, number in product(KINDS.values(), When, range(seeds)):
        chance = random.Random(f"{seed} {number}")
        gateway = make_gateway(kind, when, chance.choice((0.2, 0.5, 1.0)), chance.randrange(1 << 30))
        found = await _one(gateway, chance)
        wrong, unknown, needless = wrong + found[0], unknown + found[1], needless + found[2]
    return wrong, unknown, needless


async def _one(gateway: TroubledGateway, chance: random.Random) -> tuple[Counts, int, int]:
    people = list(phones(chance.randint(1, 20)))
    options = {
        "batch_size": chance.randint(1, 7),
        "in_flight": chance.randint(1, 4),
        "attempts": chance.randint(1, 4),
        "retry_quota": chance.choice((2, 20)),
        "timeout": TIMEOUT if gateway.faults.kind is KINDS["time-out"] else 30.0,
    }
    async with client_of(gateway, **options) as client:
        first = await Run().send(client, people)
    wrong = judged(first.asked, first.results, gateway.ledger)
    unknown = {result.phone for result in first.results if result.outcome is Outcome.UNKNOWN}
    never_seen = unknown - gateway.offered

    gateway.calm()
    before = list(gateway.ledger.sent)
    async with client_of(gateway) as client:
        second = await Run().send(client, people)
    wrong += judged(people, second.results, gateway.ledger, before=before) + unreached(people, gateway.ledger)
    return wrong, len(unknown), len(never_seen)
