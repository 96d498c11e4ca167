"""A gateway that falls silent for good, or for a while: the seconds until a campaign ends, and what it claims then."""

import random
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.runs import Run
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Clock, WebcomClient
from webcom_async.emulator import Fault, Faults, Gateway, GatewayTransport, Received

__all__ = ["measure"]

_TIMEOUT = 0.04  # seconds
_PATIENCE = 0.4
_PEOPLE = 60
_SILENCES = (
    Fault(delay=60.0),
    Fault(delay=60.0, processed=True),
    Fault(close=True),
    Fault(close=True, processed=True),
)


class _Stalling(Gateway):
    """
    A gateway that is silent from one request on.

    Args:
        fault: What its silence is.
        after: The number of requests that it answers before.
        until: The number of requests after which it answers again; None for never.
    """

    def __init__(self, fault: Fault, after: int, until: int | None) -> None:
        super().__init__()
        self._fault = fault
        self._after = after
        self._until = until

    def arrive(self, request: Received) -> None:
        super().arrive(request)
        if self.requests == self._after + 1:
            self.faults.sometimes(1.0, self._fault)
        if self._until is not None and self.requests == self._after + self._until + 1:
            self.faults = Faults()


def measure(scale: Scale, seed: int) -> list[Row]:
    """Run campaigns that are given up and resumed, and campaigns that wait and go on."""
    chance = random.Random(seed)
    ended, slowest, returned = NONE, 0.0, NONE
    cases = list(product(_SILENCES, ("asyncio", "trio"), range(scale.silences)))
    for fault, backend, _ in cases:
        wrong, seconds = _run(_given_up, backend, fault, chance)
        ended, slowest = ended + wrong, max(slowest, seconds)
        returned += _run(_gone_on, backend, fault, chance)[0]
    bar = _PATIENCE + 2 * _TIMEOUT + 1.0  # a busy machine takes its time
    return [
        Row(
            "a gateway silent for good: given up when patience is over, then resumed",
            f"{len(cases)} campaigns",
            f"0 each, {bar:.2f} s",
            f"{ended}, {slowest:.2f} s",
            not ended and slowest <= bar,
        ),
        Row(
            "a gateway silent for a while: waited for, and gone on",
            f"{len(cases)} campaigns",
            "0 each",
            str(returned),
            not returned,
        ),
    ]


def _run(measured: Callable[..., object], backend: str, fault: Fault, chance: random.Random) -> tuple[Counts, float]:
    with tempfile.TemporaryDirectory() as folder:
        return anyio.run(measured, fault, chance, Path(folder) / "spring.journal", backend=backend)  # type: ignore[arg-type, return-value]


def _client(gateway: Gateway, chance: random.Random, patience: float) -> WebcomClient:
    return WebcomClient(
        token=gateway.token,
        base_url="http://127.0.0.1",
        transport=GatewayTransport(gateway),
        clock=Clock(random=chance.random),
        timeout=_TIMEOUT,
        patience=patience,
        wait_initial=0.01,
        wait_max=0.05,
        in_flight=chance.randint(1, 8),
        batch_size=chance.randint(1, 10),
    )


async def _given_up(fault: Fault, chance: random.Random, journal: Path) -> tuple[Counts, float]:
    gateway = _Stalling(fault, chance.randint(0, 5), None)
    people = list(phones(_PEOPLE))
    async with _client(gateway, chance, _PATIENCE) as client:
        start = time.monotonic()
        first = await Run().send(client, people, journal=journal)
        seconds = time.monotonic() - start
    wrong = judged(first.asked, first.results, gateway.ledger)
    gateway.faults = Faults()
    async with _client(gateway, chance, _PATIENCE) as client:
        second = await Run().send(client, people, journal=journal)
    wrong += judged(people, second.results, gateway.ledger) + unreached(people, gateway.ledger)
    return wrong, seconds if first.error is not None else float("inf")


async def _gone_on(fault: Fault, chance: random.Random, journal: Path) -> tuple[Counts, float]:
    gateway = _Stalling(fault, chance.randint(0, 5), chance.randint(1, 20))
    people = list(phones(_PEOPLE))
    async with _client(gateway, chance, 20.0) as client:
        run = await Run().send(client, people, journal=journal)
    return judged(people, run.results, gateway.ledger) + unreached(people, gateway.ledger), 0.0
