"""Requests sent against requests needed, and requests until a campaign stops when the account is refused."""

import random
from collections.abc import Callable
from itertools import product

import anyio

from tests.builders import phones, still_clock
from tests.reliability.runs import SALE, Run, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.reliability.troubled import KINDS, TroubledGateway, When
from webcom_async import Reply, Request, RequestTrace, WebcomClient
from webcom_async.emulator import Account, Behaviour, Fault, Gateway, GatewayTransport, Received

__all__ = ["measure_refusals", "measure_requests"]

_BATCH = 10
_IN_FLIGHT = 4
_ATTEMPTS = 6
_QUOTA = 100
# The quota pays for retries. Every batch that fails spends at least one token beside its own first request.
_DEAD = 2 * _QUOTA + _IN_FLIGHT
_DEAD_BATCHES = _DEAD + 50
_SHORT = 0.005  # seconds
_SEEDS = 5
_FAULTS = (Fault(close=True, processed=True), Fault(close=True), Fault(status=503), Fault(body=b""))


def measure_requests(scale: Scale, seed: int) -> list[Row]:
    """Count the requests of a clean campaign, of shaky ones and of hopeless ones."""
    clean = anyio.run(_ratio, scale.batches, 0.0, seed)
    shaky = max(anyio.run(_ratio, scale.batches, 0.05, seed + number) for number in range(_SEEDS))
    dead_cases = list(product(KINDS, When, (1, _BATCH)) if scale.seeds > 1 else product(KINDS, [When.HALF], [_BATCH]))
    dead = max(anyio.run(_dead, *case, seed) for case in dead_cases)
    batches = f"{scale.batches:,} batches"
    return [
        Row("requests sent ÷ needed, clean", batches, "1.00", f"{clean:.3f}", clean == 1.0),
        Row(
            "requests sent ÷ needed, 5 % transient faults",
            f"{_SEEDS} × {batches}",
            "1.15",
            f"{shaky:.3f} (worst)",
            shaky <= 1.15,
        ),
        Row(
            f"requests to a gateway that only fails; retry_quota {_QUOTA}",
            f"{len(dead_cases)} campaigns",
            f"{_DEAD}",
            f"{dead[0]:,} (worst: {dead[1]})",
            dead[0] <= _DEAD,
        ),
    ]


async def _ratio(batches: int, share: float, seed: int) -> float:
    gateway = Gateway(seed=seed)
    for number, fault in enumerate(_FAULTS):
        # Each is drawn only if none before it was.
        gateway.faults.sometimes(share / len(_FAULTS) / (1 - share * number / len(_FAULTS)), fault)
    async with client_of(gateway, batch_size=_BATCH) as client:
        report = await client.send_all(phones(batches * _BATCH), **SALE)
    return gateway.requests / batches if report.accepted == batches * _BATCH else float("inf")


async def _dead(name: str, when: When, batch: int, seed: int) -> tuple[int, str]:
    gateway = TroubledGateway(KINDS[name], when, 1.0, seed)
    options = {
        "batch_size": batch,
        "in_flight": _IN_FLIGHT,
        "attempts": _ATTEMPTS,
        "retry_quota": _QUOTA,
        "timeout": _SHORT if name == "time-out" else 30.0,
    }
    async with client_of(gateway, **options) as client:
        await Run().send(client, phones(_DEAD_BATCHES * batch))
    return gateway.requests, f"{name}, batches of {batch}"


# ---------------------------------------------------------------------------- refusals of the account


class _Watching(GatewayTransport):
    """
    Counts the recipients offered after the first answer that refuses the account.

    Args:
        gateway: The gateway.
        refused: Whether an answer refuses it.
    """

    def __init__(self, gateway: Gateway, refused: Callable[[Reply], bool]) -> None:
        super().__init__(gateway)
        self.offered_after = 0
        self.over = False
        self._refused = refused

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109 - the interface
        if self.over:
            self.offered_after += request.body.count(b'"phone"')
        reply = await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
        self.over = self.over or self._refused(reply)
        return reply


class _SlowGateway(Gateway):
    """A gateway whose answers take different times, so that requests overtake each other."""

    def __init__(self, account: Account, behaviour: Behaviour, chance: random.Random, locks_after: int | None) -> None:
        super().__init__(account, behaviour=behaviour)
        self._chance = chance
        self._locks_after = locks_after

    def arrive(self, request: Received) -> None:
        super().arrive(request)
        self.latency = self._chance.uniform(0.0, 0.004)
        if self.requests == self._locks_after:
            self.accounts[0].locked = True


_REFUSALS: dict[str, tuple[Account, Behaviour, bool]] = {
    "out of SMS": (Account(balance=137), Behaviour(), False),
    "provider out of SMS": (Account(), Behaviour(out_of_service=True), False),
    "blocked": (Account(blocked=True), Behaviour(), False),
    "locked on the way": (Account(), Behaviour(), True),
    "redirected": (Account(), Behaviour(redirect=True), False),
    "wrong token": (Account(token="another"), Behaviour(), False),
}


def measure_refusals(scale: Scale, seed: int) -> list[Row]:
    """Count the recipients offered after the first refusal, in campaigns that are refused in every way."""
    chance = random.Random(seed)
    over, most = 0, 0
    for name in _REFUSALS:
        for _ in range(scale.refusals):
            offered, allowed = anyio.run(_offered, name, chance)
            over, most = over + (offered > allowed), max(most, offered)
    return [
        Row(
            "recipients offered after the first account-level refusal",
            f"{len(_REFUSALS) * scale.refusals:,} campaigns",
            "in_flight × batch_size",
            f"{most} at most, {over} campaigns over",
            not over,
        )
    ]


async def _offered(name: str, chance: random.Random) -> tuple[int, int]:
    account, behaviour, locks = _REFUSALS[name]
    account = Account(**{field: getattr(account, field) for field in account.__struct_fields__})
    gateway = _SlowGateway(account, behaviour, chance, chance.randint(1, 20) if locks else None)
    transport = _Watching(gateway, lambda reply: reply.status >= 300 or b'"error"' in reply.body)
    in_flight, batch = chance.randint(1, 6), chance.randint(1, 20)
    client = WebcomClient(
        token="emulator-token",
        transport=transport,
        base_url="http://127.0.0.1",
        clock=still_clock(),
        in_flight=in_flight,
        batch_size=batch,
    )
    async with client:
        run = await Run().send(client, phones(2_000))
    # A campaign that did not end early has offered every recipient.
    return (transport.offered_after if run.error is not None and transport.over else 2_000), in_flight * batch
