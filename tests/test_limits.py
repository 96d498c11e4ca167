"""The number of requests in flight and the rate at which they leave: the client and its gateway together."""

import anyio
import msgspec
import pytest

from tests.builders import phones, still_clock
from tests.conftest import Connect
from webcom_async import ConfigurationError, WebcomClient
from webcom_async.emulator import Fault, Gateway

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME"}


async def test_clean_rounds_raise_the_limit(connect: Connect, webcom_gateway: Gateway):
    """A campaign starts with four requests at once and, after clean rounds, has as many as are allowed."""
    async with (
        connect(webcom_gateway, batch_size=1, in_flight=8) as client,
        client.stream(phones(100), **SALE) as results,
    ):
        before = results.progress.limit
        async for _ in results:
            pass
        after = results.progress.limit

    assert (4, 8) == (before, after)


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=429), Fault(status=500)])
async def test_a_push_back_halves_the_limit(connect: Connect, webcom_gateway: Gateway, fault: Fault):
    """Four requests of one round that are pushed back halve the limit once, and later requests keep to it."""
    together, held, arrived = anyio.Event(), anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(*[msgspec.structs.replace(fault, until=together)] * 4)
    webcom_gateway.faults.sometimes(1.0, Fault(arrived=arrived, until=held))
    async with (
        connect(webcom_gateway, batch_size=1, in_flight=4) as client,
        client.stream(phones(20), **SALE) as results,
    ):
        await anyio.wait_all_tasks_blocked()
        together.set()
        await arrived.wait()
        await anyio.wait_all_tasks_blocked()
        now = (results.progress.limit, results.progress.in_flight)
        held.set()
        seen = [result async for result in results]

    assert (2, 2) == now
    assert 20 == len(seen) == len(webcom_gateway.ledger)


async def test_the_limit_never_falls_below_one(connect: Connect, webcom_gateway: Gateway):
    """However often the gateway pushes back, one request may be in flight."""
    webcom_gateway.faults.script(*[Fault(status=503)] * 40)
    async with (
        connect(webcom_gateway, batch_size=1, attempts=50) as client,
        client.stream(phones(30), **SALE) as results,
    ):
        seen = [result async for result in results]

    assert 30 == len(seen) == len(webcom_gateway.ledger)
    assert results.progress.limit >= 1


async def test_recipients_leave_no_faster_than_the_rate(connect: Connect, webcom_gateway: Gateway):
    """At 100 recipients a second, 1,000 of them wait for nine seconds in all, the first hundred for none."""
    moment = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += seconds

    clock = still_clock(sleep=sleep, monotonic=lambda: moment)
    async with (
        connect(webcom_gateway, clock=clock, rate=100, batch_size=50, in_flight=1) as client,
        client.stream(phones(1_000), **SALE) as results,
    ):
        left: list[tuple[float, int]] = []
        async for _ in results.batches():
            left.append((moment, len(webcom_gateway.ledger)))

    assert 9.0 == pytest.approx(moment)
    assert all(sent <= 100 + 100 * at + 1e-6 for at, sent in left)
    assert 100 == results.progress.rate


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan"), "fast"])
def test_a_bad_rate_is_refused(rate: object):
    """A rate is a number of recipients per second above zero."""
    with pytest.raises(ConfigurationError, match="rate is"):
        WebcomClient(token="dummy", rate=rate)  # type: ignore[arg-type]
