"""A client asks for statuses and the balance."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.builders import NOW, phones
from tests.conftest import Connect
from webcom_async import (
    AccountLocked,
    AuthenticationError,
    ConfigurationError,
    DeliveryReport,
    DeliveryState,
    GatewayBusy,
    InputError,
    Outcome,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import Behaviour, Fault, Gateway, Inquiries

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(seconds=10)


def after_a_campaign(count: int = 0, **inquiries: Any) -> Gateway:
    """Return a gateway that takes SMS, and delivers them at once."""
    moments = iter([NOW] * count)
    return Gateway(now=lambda: next(moments, LATER), behaviour=Behaviour(inquiries=Inquiries(**inquiries)))


async def sent(client: WebcomClient, count: int) -> list[str]:
    """Send to so many phones, and return their ids."""
    async with client.stream(phones(count), text="Sale!", sender="ACME") as results:
        return [result.id_sms or "" async for result in results if result.outcome is Outcome.ACCEPTED]


async def read(client: WebcomClient, ids: object) -> list[DeliveryReport]:
    """Return the reports of *ids*."""
    return [report async for report in client.statuses(ids)]  # type: ignore[arg-type]


def shapes(gateway: Gateway) -> Counter[int]:
    """Return the number of questions by their number of ids; 0 is a bare object."""
    bodies = [json.loads(request.body) for request in gateway.received if request.path.endswith("state.php")]
    return Counter(len(body) if isinstance(body, list) else 0 for body in bodies)


@pytest.mark.parametrize(
    ("inquiries", "requests"),
    [
        ({}, 12),
        ({"several": "first"}, 320),
        ({"several": "refused"}, 320),
        ({"array": False}, 320),
        ({"bare": False}, 12),
        ({"several": "refused", "bare": False}, 320),
        ({"numeric_ids": False}, 12),
        ({"bare_answer": True}, 12),
        ({"several": "refused", "bare_answer": True, "named": False}, 320),
    ],
)
async def test_every_sms_has_a_report_whatever_the_gateway_understands(
    connect: Connect, inquiries: dict[str, Any], requests: int
):
    """Whether the gateway reads several ids at once, one, an array or a bare object, each id has one report."""
    gateway = after_a_campaign(300, **inquiries)
    async with connect(gateway) as client:
        ids = await sent(client, 300)
        reports = await read(client, ids)

    assert sorted(ids) == sorted(report.id_sms for report in reports)
    assert {(DeliveryState.DELIVER, 1, Decimal("10.6000000"))} == {
        (report.state, report.num_parts, report.price) for report in reports
    }
    assert sum(shapes(gateway).values()) <= requests


async def test_an_unknown_id_has_the_gateways_words_or_none(connect: Connect):
    """An unknown id does not affect the others, and is never in a terminal state."""
    for unknown, said in (("Нет такого", "Нет такого"), (None, "")):
        gateway = after_a_campaign(3, unknown=unknown)
        async with connect(gateway) as client:
            ids = await sent(client, 3)
            reports = {report.id_sms: report for report in await read(client, ["7", *ids, 8])}

        assert (said, DeliveryState.UNKNOWN, False) == (reports["7"].said, reports["7"].state, reports["7"].final)
        assert 5 == len(reports)
        assert all(reports[id_sms].final for id_sms in ids)


async def test_ids_come_from_any_source(connect: Connect):
    """Ids come from a generator, an async generator or numbers, and an empty source has no reports."""
    gateway = after_a_campaign(2)

    async def later(ids: list[str]) -> AsyncIterator[int]:
        for id_sms in ids:
            yield int(id_sms)

    async with connect(gateway) as client:
        ids = await sent(client, 2)
        for source in (iter(ids), later(ids), {int(one): 0 for one in ids}):
            assert set(ids) == {report.id_sms for report in await read(client, source)}
        assert [] == await read(client, [])


async def test_a_source_is_pulled_lazily(connect: Connect):
    """An endless source is pulled no further than one round of questions needs."""
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    async with connect(after_a_campaign()) as client:
        async for _ in client.statuses(endless()):
            break

    assert taken <= 400


@pytest.mark.parametrize("ids", ["1000001", 1000001, b"1", None])
async def test_anything_but_an_iterable_of_ids_is_refused_at_once(connect: Connect, ids: object):
    """A single id that is not in a list is an error."""
    async with connect(Gateway()) as client:
        with pytest.raises(InputError, match="iterable"):
            client.statuses(ids)  # type: ignore[arg-type]


async def test_a_bad_id_is_raised_after_the_reports_before_it(connect: Connect):
    """A bad id is an error after the reports before it, and iterating again goes on behind it."""
    async with connect(after_a_campaign()) as client:
        statuses = client.statuses(["1", "2", None, "3"])  # type: ignore[list-item]
        assert ["1", "2"] == [(await anext(statuses)).id_sms for _ in range(2)]
        with pytest.raises(InputError, match="None is not an id_sms"):
            await anext(statuses)
        assert ["3"] == [report.id_sms async for report in statuses]


async def test_transient_failures_of_a_question_are_retried(connect: Connect):
    """Lost answers, 503 and unreadable answers cost a repeated question and nothing else."""
    gateway = after_a_campaign(30)
    async with connect(gateway) as client:
        ids = await sent(client, 30)
        gateway.faults.script(*[Fault(close=True), Fault(status=503), Fault(body=b"<html>")] * 2)
        assert sorted(ids) == sorted(report.id_sms for report in await read(client, ids))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(body=b'{"error":"Incorrect login or password"}'), AuthenticationError),
        (Fault(body=b'[{"error":"Your account is locked"}]'), AccountLocked),
        (Fault(status=404), ConfigurationError),
        (Fault(status=301, headers={"location": "http://elsewhere/"}), ConfigurationError),
        (Fault(status=503), GatewayBusy),
    ],
)
async def test_a_permanent_failure_is_raised_and_loses_nothing(connect: Connect, fault: Fault, error: type[Exception]):
    """A permanent failure is raised bare, and iterating again goes on with all the remaining ids."""
    gateway = after_a_campaign(40)
    async with connect(gateway, attempts=2) as client:
        ids = await sent(client, 40)
        statuses = client.statuses(ids)
        first = await anext(statuses)
        gateway.faults.sometimes(1.0, fault)
        reports = [first]
        with pytest.raises(error):
            async for report in statuses:
                reports.append(report)
        gateway.faults._chances.clear()
        while len(reports) < 40:
            reports.append(await anext(statuses))

    assert sorted(ids) == sorted(report.id_sms for report in reports)


async def test_cancelled_at_every_step_nothing_is_lost(connect: Connect):
    """A cancelled step is repeated: every id has its report in the end, and no task is left behind."""
    gateway = after_a_campaign(60)
    async with connect(gateway) as client:
        ids = await sent(client, 60)
        for turns in range(0, 60, 3):
            statuses = client.statuses(ids)
            reports: list[DeliveryReport] = []
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_after, turns, scope)
                    async for report in statuses:
                        reports.append(report)
                    tasks.cancel_scope.cancel()
            reports += [report async for report in statuses]
            assert sorted(ids) == sorted(report.id_sms for report in reports)


async def cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    """Cancel *scope* after so many turns of the event loop."""
    for _ in range(turns):
        await checkpoint()
    scope.cancel()


async def test_the_balance_is_exact(connect: Connect):
    """The balance is an exact sum, less the price of every SMS that was sent."""
    gateway = Gateway()
    gateway.accounts[0].money = Decimal("35.00")
    async with connect(gateway) as client:
        before = await client.balance()
        await client.send(next(phones(1)), "Code 1234", sender="ACME")
        after = await client.balance()

    assert (Decimal("35.00"), "RUR", 3) == (before.money, before.currency, before.directions[0].num_sms)
    assert Decimal("24.40") == after.money


async def test_a_question_of_a_cancelled_caller_does_not_leave(connect: Connect, webcom_gateway: Gateway):
    """A question that is cancelled before it leaves is never sent."""
    async with connect(webcom_gateway) as client:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.balance()

    assert scope.cancelled_caught
    assert 0 == webcom_gateway.requests


async def test_a_refused_balance_is_raised_without_credentials(connect: Connect):
    """The error has the gateway's words, without the credentials that they repeat."""
    gateway = Gateway()
    gateway.faults.script(Fault(body=f'{{"error":"no {gateway.token}, go away"}}'.encode(), status=200))
    async with connect(gateway) as client:
        with pytest.raises(Exception, match=r"no \*\*\*, go away") as refused:
            await client.balance()

    assert gateway.token not in repr(refused.value)


async def test_a_closed_client_asks_nothing(connect: Connect):
    """A closed client raises an error for statuses and for the balance."""
    async with connect(Gateway()) as client:
        pass
    with pytest.raises(UsageError):
        client.statuses([])
    with pytest.raises(UsageError):
        await client.balance()
