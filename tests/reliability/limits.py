"""The limit on requests in flight: calls per second beside refusals, what a gateway bears, codes beside campaigns."""

import time

import anyio

from tests.builders import phones
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Results, WebcomClient
from webcom_async.emulator import Behaviour, Fault, Gateway, GatewayTransport

__all__ = ["measure"]

_LATENCY = 0.2  # seconds
_IN_FLIGHT = 32
_CALLERS = 50
_REFUSED = 0.02
_RATIO = 0.8
_PATIENCE = 2.0  # seconds
_LATE = 0.01  # share of calls, while the limit starts
_AT_ONCE = 10
_BEARABLE_LATENCY = 0.05  # seconds
_SLOTS = 4
_CODE = {"text": "Code", "sender": "ACME"}
_SALE = {"text": "Sale!", "sender": "ACME"}


def measure(scale: Scale, seed: int) -> list[Row]:
    """Measure single sends with and without refusals, a campaign at a gateway with a bound, and codes beside it."""
    return [*_measure_refusals(scale.limits, seed), _measure_bound(scale.limits), _measure_codes(scale.limits)]


def _client(gateway: Gateway, **options: int) -> WebcomClient:
    return WebcomClient(
        token=gateway.token, base_url="http://127.0.0.1", transport=GatewayTransport(gateway), **options
    )


def _measure_refusals(calls: int, seed: int) -> list[Row]:
    healthy, _, _ = anyio.run(_pace, calls, 0.0, seed)
    refused, late, lost = anyio.run(_pace, calls, _REFUSED, seed)
    runs = f"2 × {calls:,} calls"
    return [
        Row(
            f"calls per second, {_REFUSED:.0%} refused ÷ none",
            runs,
            f"{_RATIO} at least",
            f"{refused / healthy:.2f} ({refused:.0f}/s of {healthy:.0f}/s)",
            refused >= _RATIO * healthy,
        ),
        Row(
            f"calls beyond {_PATIENCE:.0f} s, or lost",
            runs,
            f"{_LATE:.0%}, 0",
            f"{late}, {lost}",
            late <= _LATE * calls and not lost,
        ),
    ]


async def _pace(calls: int, share: float, seed: int) -> tuple[float, int, int]:
    """Return calls per second, calls that took too long, and calls that the ledger does not have."""
    gateway, late = Gateway(latency=_LATENCY, seed=seed), 0
    gateway.faults.sometimes(share, Fault(status=503))
    waiting = phones(calls)

    async def call(client: WebcomClient) -> None:
        nonlocal late
        for phone in waiting:
            began = time.monotonic()
            await client.send(phone, **_CODE, campaign="codes")
            late += time.monotonic() - began > _PATIENCE

    began = time.monotonic()
    async with _client(gateway, in_flight=_IN_FLIGHT) as client, anyio.create_task_group() as callers:
        for _ in range(_CALLERS):
            callers.start_soon(call, client)
    return calls / (time.monotonic() - began), late, calls - len(gateway.ledger)


def _measure_bound(requests: int) -> Row:
    farthest, lost = anyio.run(_bound, requests)
    return Row(
        f"limit − {_AT_ONCE}, where a gateway serves {_AT_ONCE} at once",
        f"{requests:,} requests",
        "2 at most, 0 lost",
        f"{farthest}, {lost} lost",
        farthest <= max(2, _AT_ONCE // 10) and not lost,
    )


async def _bound(requests: int) -> tuple[int, int]:
    gateway = Gateway(latency=_BEARABLE_LATENCY, behaviour=Behaviour(requests_at_once=_AT_ONCE))
    async with (
        _client(gateway, in_flight=_IN_FLIGHT, batch_size=1) as client,
        client.stream(phones(requests), **_SALE) as results,
    ):
        limits = [results.progress.limit async for _ in results]
    return max(abs(limit - _AT_ONCE) for limit in limits[requests // 2 :]), requests - len(gateway.ledger)


def _measure_codes(calls: int) -> Row:
    overtaken = anyio.run(_codes, calls // 10)
    return Row(
        "batches that leave before a code that waits, those in other slots included",
        f"{calls // 10:,} codes",
        f"{_SLOTS - 1}",
        str(overtaken),
        overtaken < _SLOTS,
    )


async def _codes(codes: int) -> int:
    """Return the most batches that arrived between a call's wait for a slot and its request."""
    gateway, most = Gateway(latency=_BEARABLE_LATENCY), 0
    async with (
        _client(gateway, in_flight=_SLOTS, batch_size=10) as client,
        client.stream(phones(10_000_000), **_SALE, campaign="spring") as spring,
        client.stream(phones(10_000_000), **_SALE, campaign="summer") as summer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_read, spring)
        tasks.start_soon(_read, summer)
        for _ in range(codes):
            await anyio.sleep(_BEARABLE_LATENCY / 7)
            sent = len(gateway.ledger)
            await client.send("79612242299", **_CODE)
            arrived = [sms.text for sms in gateway.ledger.sent[sent:]]
            most = max(most, arrived.index("Code") // 10)
        tasks.cancel_scope.cancel()
    return most


async def _read(results: Results) -> None:
    async for _ in results:
        pass
