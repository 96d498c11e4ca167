"""Tracking follows every accepted SMS to a terminal state, whatever happens to reports, processes and the gateway."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.builders import Travel, numbered_gateway, phones
from tests.conftest import Connect
from webcom_async import (
    AuthenticationError,
    Delivery,
    DeliveryReport,
    DeliveryState,
    JournalError,
    Pace,
    TrackReport,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import AppPost, Behaviour, Fault, Inquiries, Scenario, Step, push
from webcom_async.journal import campaigns, export, purge
from webcom_async.webhooks import ReportFile, WebhookApp

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}
SECRET = "a-secret-of-23-letters."
FATES = (
    (0.1, Scenario((Step(2, "expired"),))),
    (0.2, Scenario((Step(3, "deliver"), Step(9, "read")))),
    (0.1, Scenario((Step(4_000, "not_deliver"),))),
)


class Scene:
    """A gateway with its own clock, and a campaign that was sent."""

    def __init__(self, tmp_path: Path, **inquiries: Any) -> None:
        self.time = Travel()
        behaviour = Behaviour(inquiries=Inquiries(**inquiries))
        self.gateway = numbered_gateway(now=self.time.now, behaviour=behaviour, seed=5)
        self.journal = tmp_path / "journal"
        self.reports = tmp_path / "reports.db"
        for share, fate in FATES:
            self.gateway.scenarios.sometimes(share, fate)

    def client(self, connect: Connect, **options: Any) -> Any:
        """Return a client with the same clock."""
        return connect(self.gateway, clock=self.time.clock(), **options)

    async def send(self, client: WebcomClient, count: int) -> None:
        """Send to so many phones."""
        await client.send_all(phones(count), journal=self.journal, **SALE)

    async def track(self, client: WebcomClient, **options: Any) -> tuple[list[Delivery], TrackReport]:
        """Return all changes, and the report at the end."""
        async with client.track(self.journal, campaign="spring", **options) as changes:
            return [change async for change in changes], changes.report

    def truth(self) -> Counter[str]:
        """Return how many SMS are in which state now."""
        return Counter(self.gateway.scenarios.state(sms, self.time.now())[0] for sms in self.gateway.ledger.sent)


def states(report: TrackReport) -> Counter[str]:
    """Return the counts of the states that occur."""
    return Counter({state.value: count for state, count in report.states.items() if count})


def ends(changes: list[Delivery]) -> dict[str, list[str]]:
    """Return the reported terminal states of each SMS, in order."""
    told: dict[str, list[str]] = {}
    for change in changes:
        if change.report.final:
            told.setdefault(change.report.id_sms, []).append(change.report.state.value)
    return told


def arrived(states: Counter[str]) -> Counter[str]:
    """Return *states* without the difference between delivered and read: a `read` that is lost is not looked for."""
    return Counter({"deliver": states["deliver"] + states["read"]}) + Counter(
        {state: count for state, count in states.items() if state not in ("deliver", "read")}
    )


@pytest.mark.parametrize("inquiries", [{}, {"several": "refused"}])
async def test_polling_alone_finds_every_end(connect: Connect, tmp_path: Path, inquiries: dict[str, Any]):
    """Each SMS reaches a terminal state once; parts, money and the rate are the ledger's."""
    scene = Scene(tmp_path, **inquiries)
    async with scene.client(connect) as client:
        await scene.send(client, 200)
        changes, report = await scene.track(client)

    assert {sms.id_sms for sms in scene.gateway.ledger.sent} == {change.report.id_sms for change in changes}
    assert scene.truth() == states(report)
    assert (200, 200, 0, 0) == (report.accepted, report.final, report.open, report.overdue)
    assert (200, Decimal("2120.0000000"), 200) == (report.parts, report.spent, report.priced)
    assert report.delivered / 200 == report.delivery_rate
    assert f"{report.delivery_rate:.1%} delivered" in str(report)


async def test_webhooks_do_the_work_and_polling_finds_what_was_lost(connect: Connect, tmp_path: Path):
    """With reports repeated, early, overtaken and lost, every SMS reaches a terminal state after few questions."""
    scene = Scene(tmp_path)
    hooks = scene.gateway.webhooks
    hooks.enabled, hooks.repeated, hooks.early, hooks.lost, hooks.jitter = True, 0.3, 0.1, 0.05, 20.0
    reports = ReportFile(scene.reports)
    post = scene.gateway.push = AppPost(WebhookApp(reports, secret=SECRET), f"/{SECRET}")
    async with scene.client(connect, batch_size=100) as client, reports:
        await scene.send(client, 1_000)
        assert (await reports.after(0))[1]  # some were here before the sends were answered
        scene.time.meanwhile = lambda: push(hooks, post)
        changes, report = await scene.track(client, reports=reports)

    told = ends(changes)
    assert 1_000 == report.final == len(told)
    assert [] == [states for states in told.values() if len(states) > 1 and states != ["deliver", "read"]]
    assert arrived(scene.truth()) == arrived(states(report))
    # The twentieth of the reports that is lost, and what takes longer than the first wait.
    assert 20 < report.priced < 250
    assert report.requests < 20


async def test_a_final_state_never_goes_back(connect: Connect, tmp_path: Path):
    """Contradictory reports change nothing except `deliver` into `read`."""
    scene = Scene(tmp_path)
    async with scene.client(connect) as client, ReportFile(scene.reports) as reports:
        await scene.send(client, 3)
        one, two, three = (sms.id_sms for sms in scene.gateway.ledger.sent)
        scene.gateway.scenarios.default = Scenario((Step(0, "expired"),))
        scene.gateway.scenarios._chances.clear()
        await reports.commit([said(one, DeliveryState.DELIVER), said(two, DeliveryState.READ)])
        await reports.commit(
            [said(one, DeliveryState.READ), said(two, DeliveryState.DELIVER), said("77", DeliveryState.READ)]
        )
        changes, _ = await scene.track(client, reports=scene.reports)
        again, _ = await scene.track(client, reports=scene.reports)

    expected = {one: DeliveryState.READ, two: DeliveryState.READ, three: DeliveryState.EXPIRED}
    assert expected == {change.report.id_sms: change.report.state for change in changes}
    assert changes == again


def said(id_sms: str, state: DeliveryState) -> DeliveryReport:
    """Return a report of *id_sms*."""
    return DeliveryReport(id_sms, state, state.value)


async def test_what_is_read_between_two_runs_is_joined(connect: Connect, tmp_path: Path):
    """The next run reads webhooks about SMS that were in a terminal state or overdue."""
    scene = Scene(tmp_path)
    scene.gateway.scenarios._chances.clear()
    scene.gateway.scenarios.to["79612242244"] = Scenario()
    async with scene.client(connect) as client:
        await scene.send(client, 2)
        _, before = await scene.track(client, pace=Pace(deadline=100))
        async with ReportFile(scene.reports) as reports:
            await reports.commit([said("1000001", DeliveryState.READ), said("1000002", DeliveryState.EXPIRED)])
        _, after = await scene.track(client, pace=Pace(deadline=100), reports=scene.reports)

    assert ({"deliver": 1, "send": 1}, 1) == (states(before), before.overdue)
    assert ({"read": 1, "expired": 1}, 0) == (states(after), after.overdue)


async def test_an_export_has_deliveries(connect: Connect, tmp_path: Path):
    """An export has the delivery state of each SMS beside its recipient."""
    scene = Scene(tmp_path)
    async with scene.client(connect) as client:
        await scene.send(client, 5)
        await scene.track(client)
    rows = list(export(scene.journal))

    assert {"deliver"} <= {row["delivery"] for row in rows} <= {"deliver", "read", "expired", "not_deliver"}
    assert {(1, "10.6000000")} == {(row["num_parts"], row["price"]) for row in rows}
    assert all(row["changed_at"].startswith("2030-01-01T1") for row in rows)


async def test_prices_are_asked_for_once_where_webhooks_bring_none(connect: Connect, tmp_path: Path):
    """`prices=True` asks once for each SMS whose terminal state came over a webhook."""
    scene = Scene(tmp_path)
    async with scene.client(connect) as client:
        await scene.send(client, 20)
        async with ReportFile(scene.reports) as reports:
            await reports.commit([said(sms.id_sms, DeliveryState.DELIVER) for sms in scene.gateway.ledger.sent])
        _, without = await scene.track(client, reports=scene.reports)
        scene.journal.unlink()
        await scene.send(client, 20)
        _, report = await scene.track(client, reports=scene.reports, prices=True)

    assert (0, 0) == (without.priced, without.requests)
    assert (20, Decimal("212.0000000")) == (report.priced, report.spent)


async def test_waits_grow_and_a_deadline_ends_them(connect: Connect, tmp_path: Path):
    """An SMS without a report is asked for ever more rarely, then is overdue, and can be tracked again."""
    scene = Scene(tmp_path)
    scene.gateway.scenarios._chances.clear()
    scene.gateway.scenarios.default = Scenario()
    pace = Pace(first=10, factor=2, longest=100, deadline=400)
    async with scene.client(connect) as client:
        await scene.send(client, 1)
        scene.gateway.received.clear()
        [change], report = await scene.track(client, pace=pace)
        longer = await scene.track(client, pace=Pace(first=10, deadline=800))

    assert change.overdue
    assert (DeliveryState.SEND, 0, 1) == (change.report.state, report.final, report.overdue)
    assert 7 == report.requests  # after 10, 30, 70, 150, 250, 350 and 400 seconds
    assert 800 == scene.time.seconds
    assert longer[1].requests > 0


async def test_a_gateway_that_is_out_is_waited_for(connect: Connect, tmp_path: Path):
    """Transient failures do not end the tracking; wrong credentials do."""
    scene = Scene(tmp_path)
    async with scene.client(connect, attempts=2) as client:
        await scene.send(client, 50)
        scene.gateway.faults.script(*[Fault(close=True)] * 9, *[Fault(status=503)] * 9)
        _, report = await scene.track(client)
        assert 50 == report.final
        await client.send_all(phones(60), journal=scene.journal, **SALE)
        scene.gateway.faults.sometimes(1.0, Fault(body=b'{"error":"Incorrect login or password"}'))
        with pytest.raises(AuthenticationError):
            await scene.track(client)


async def test_a_gateway_that_never_comes_back_ends_in_overdue(connect: Connect, tmp_path: Path):
    """An SMS that reaches its deadline is overdue, even if the gateway never answered."""
    scene = Scene(tmp_path)
    async with scene.client(connect, attempts=1) as client:
        await scene.send(client, 5)
        scene.gateway.faults.sometimes(1.0, Fault(close=True))
        _, report = await scene.track(client, pace=Pace(deadline=1_000))

    assert (5, 0) == (report.overdue, report.final)


async def test_cancelled_at_any_step_it_goes_on_where_it_was(connect: Connect, tmp_path: Path):
    """Tracking cancelled again and again loses no SMS, and each of them reaches a terminal state."""
    scene = Scene(tmp_path)
    ended: set[str] = set()
    async with scene.client(connect) as client:
        await scene.send(client, 120)
        for turns in [*range(1, 60, 2), 100_000]:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_after, turns, scope)
                    async with client.track(scene.journal, campaign="spring") as changes:
                        async for change in changes:
                            ended |= {change.report.id_sms} if change.report.final else set()
                    tasks.cancel_scope.cancel()

    assert {sms.id_sms for sms in scene.gateway.ledger.sent} == ended


async def cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    """Cancel *scope* after so many turns of the event loop."""
    for _ in range(turns):
        await checkpoint()
    scope.cancel()


async def test_a_cancelled_step_is_taken_again(connect: Connect, tmp_path: Path):
    """A time-out around a step loses none of its changes."""
    scene = Scene(tmp_path)
    told: list[str] = []
    async with scene.client(connect) as client:
        await scene.send(client, 60)
        async with client.track(scene.journal, campaign="spring") as changes:
            for turns in range(10_000):
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(cancel_after, turns, scope)
                        try:
                            told.append((await anext(changes)).report.id_sms)
                        except StopAsyncIteration:
                            break
                        finally:
                            tasks.cancel_scope.cancel()

    assert {sms.id_sms for sms in scene.gateway.ledger.sent} == set(told)


async def test_what_cannot_be_tracked_is_said(connect: Connect, tmp_path: Path):
    """Tracking without a journal, of an unknown or running campaign, or read before it is opened is an error."""
    scene = Scene(tmp_path)
    async with scene.client(connect) as client:
        with pytest.raises(JournalError):
            await scene.track(client)
        await scene.send(client, 1)
        with pytest.raises(JournalError, match="it holds 'spring'"):
            async with client.track(scene.journal, campaign="summer"):
                pass
        async with client.stream(phones(1), journal=scene.journal, **SALE):
            with pytest.raises(JournalError, match="in use"):
                await scene.track(client)
        with pytest.raises(TypeError, match=r"async with client\.track"):
            aiter(client.track(scene.journal, campaign="spring"))
        async with client.track(scene.journal, campaign="spring"):
            pass
        assert 1 == len(campaigns(scene.journal))
    with pytest.raises(UsageError):
        client.track(scene.journal, campaign="spring")


async def test_a_purged_campaign_leaves_no_deliveries(connect: Connect, tmp_path: Path):
    """A purge removes a campaign's deliveries, and keeps those of other campaigns."""
    scene = Scene(tmp_path)
    async with scene.client(connect) as client:
        await scene.send(client, 3)
        await scene.track(client)
        await client.send_all(phones(2), journal=scene.journal, **(SALE | {"campaign": "summer"}))
        assert 3 == purge(scene.journal, "spring")
        async with client.track(scene.journal, campaign="summer") as changes:
            assert 2 == len([change async for change in changes if change.report.final])
