"""The number of requests in flight and the rate at which they leave: the client and its gateway together."""

from collections.abc import Iterator
from typing import Any

import anyio
import msgspec
import pytest

from tests.builders import FIRST_PHONE, Moments, Travel, phones, recipients, still_clock
from tests.conftest import Connect
from webcom_async import (
    Clock,
    ConfigurationError,
    ConnectionLost,
    GatewayBusy,
    Outcome,
    Reason,
    Reply,
    Request,
    RequestTrace,
    SendResult,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import Account, Behaviour, Fault, Gateway, GatewayTransport
from webcom_async.events import Event, GatewayAway, LimitChanged

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


async def test_refused_questions_reduce_the_limit(connect: Connect, webcom_gateway: Gateway):
    """A question that the gateway refuses counts like any other request."""
    webcom_gateway.faults.script(*[Fault(status=503)] * 4)
    async with connect(webcom_gateway, attempts=1, in_flight=4) as client, client.stream([], **SALE) as results:
        for _ in range(4):
            with pytest.raises(GatewayBusy):
                await client.balance()
        limit = results.progress.limit

    assert 2 == limit


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


async def test_questions_use_up_no_rate(connect: Connect, webcom_gateway: Gateway):
    """At one recipient a second, questions are asked at once, and only the next recipient waits."""
    moment = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += seconds

    clock = still_clock(sleep=sleep, monotonic=lambda: moment)
    async with connect(webcom_gateway, clock=clock, rate=1) as client:
        await client.send("79612242243", **SALE)
        for _ in range(3):
            await client.balance()
        asked = moment
        await client.send("79612242244", **SALE)

    assert (0.0, 1.0) == (asked, pytest.approx(moment))


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan"), "fast"])
def test_a_bad_rate_is_refused(rate: object):
    """A rate is a number of recipients per second above zero."""
    with pytest.raises(ConfigurationError, match="rate is"):
        WebcomClient(token="dummy", rate=rate)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- what the gateway bears


@pytest.mark.parametrize("at_once", [2, 6])
async def test_a_campaign_finds_what_the_gateway_bears(connect: Connect, at_once: int):
    """Of 32 requests allowed, as many are in flight as the gateway serves at once, give or take two."""
    gateway = Gateway(behaviour=Behaviour(requests_at_once=at_once), latency=0.05)
    options = {"batch_size": 1, "in_flight": 32, "wait_initial": 0.1, "clock": Clock()}
    async with connect(gateway, **options) as client, client.stream(phones(50 * at_once), **SALE) as results:
        limits = [results.progress.limit async for _ in results]

    assert {at_once: True} == {at_once: all(abs(limit - at_once) <= 2 for limit in limits[len(limits) // 2 :])}
    assert 50 * at_once == len(gateway.ledger) == results.report.accepted


async def test_random_refusals_leave_the_limit_as_it_is(connect: Connect):
    """A gateway that refuses 2 % at random is asked with as many requests as are allowed."""
    gateway = Gateway(seed=5, latency=0.01)
    gateway.faults.sometimes(0.02, Fault(status=503))
    options = {"batch_size": 1, "in_flight": 16, "wait_initial": 0.02, "clock": Clock()}
    async with connect(gateway, **options) as client, client.stream(phones(2_000), **SALE) as results:
        limits = [results.progress.limit async for _ in results]

    assert 2_000 == results.report.accepted
    assert 0.8 * 16 <= sum(limits[500:]) / len(limits[500:])


async def test_a_change_of_the_limit_is_an_event(connect: Connect, webcom_gateway: Gateway):
    """Every change of the limit is one event, from the limit before to the next one."""
    seen: list[Event] = []
    async with connect(webcom_gateway, batch_size=1, in_flight=8, observers=[seen.append]) as client:
        await client.send_all(phones(50), **SALE)

    changes = [(event.before, event.limit) for event in seen if isinstance(event, LimitChanged)]
    assert [(4, 5), (5, 6), (6, 7), (7, 8)] == changes


# ---------------------------------------------------------------------------- what goes first


class Held:
    """
    A gateway whose first request has arrived and waits, and the calls beside it.

    Attributes:
        gateway: The gateway.
        open: An event that lets the request go on.
    """

    def __init__(self, requests: int = 1) -> None:
        self.gateway = Gateway()
        self.open = anyio.Event()
        self.gateway.faults.script(*[Fault(until=self.open)] * requests)

    @property
    def texts(self) -> list[str]:
        """The text of each request, in the order of arrival."""
        return [request.messages[0].text for request in self.gateway.received]


@pytest.mark.parametrize("linger", [0.0, 0.001])
async def test_a_code_goes_before_the_batches_of_a_campaign(connect: Connect, linger: float):
    """Single sends take the next free slots, while a campaign of the same client waits."""
    held = Held()
    async with (
        connect(held.gateway, in_flight=1, batch_size=1, linger=linger) as client,
        anyio.create_task_group() as tasks,
        client.stream(phones(9), **SALE) as results,
    ):
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(lambda: client.send("79612242299", "Code 1", sender="ACME"))
        tasks.start_soon(lambda: client.send("79612242298", "Code 2", sender="ACME", campaign="codes"))
        await anyio.wait_all_tasks_blocked()
        held.open.set()
        async for _ in results:
            pass

    assert {"Code 1", "Code 2"} == set(held.texts[1:3])
    assert 11 == len(held.gateway.ledger)


async def test_a_worker_without_a_slot_pulls_nothing(connect: Connect):
    """While single sends take all slots, a campaign takes nothing from its source."""
    held, pulled = Held(2), list[str]()

    def source() -> Iterator[str]:
        for phone in phones(5):
            pulled.append(phone)
            yield phone

    async with connect(held.gateway, in_flight=2, batch_size=1) as client, anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(lambda number=number: client.send(f"7961224229{number}", "Code", sender="ACME"))
        await anyio.wait_all_tasks_blocked()
        async with client.stream(source(), **SALE) as results:
            await anyio.wait_all_tasks_blocked()
            before = len(pulled)
            held.open.set()
            async for _ in results:
                pass

    assert (0, 5) == (before, len(pulled))
    assert 7 == len(held.gateway.ledger)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("linger", [0.0, 0.001])
async def test_calls_that_have_given_up_are_not_sent(connect: Connect, linger: float, named: bool):
    """Calls that are cancelled while they wait for a slot leave the queue, and nothing of them is sent."""
    held = Held()
    async with connect(held.gateway, in_flight=1, linger=linger) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.send("79612242243", "First", sender="ACME"))
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as impatient:
                for number in range(5):
                    name = {"campaign": "codes"} if named else {}
                    code = {"phone": f"7961224229{number}", "text": "Late", "sender": "ACME", **name}
                    impatient.start_soon(lambda code=code: client.send(**code))
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        tasks.start_soon(lambda: client.send("79612242244", "Last", sender="ACME"))
        await anyio.wait_all_tasks_blocked()
        held.open.set()

    assert ["First", "Last"] == held.texts


async def test_a_shared_request_leaves_without_those_who_gave_up(connect: Connect):
    """Of three calls that share a request, the one that gives up while it waits for a slot is not sent."""
    held, results = Held(), list[SendResult]()
    async with connect(held.gateway, in_flight=1, linger=0.001) as client, anyio.create_task_group() as tasks:

        async def send(phone: str, scope: anyio.CancelScope) -> None:
            with scope:
                results.append(await client.send(phone, "Code", sender="ACME"))

        tasks.start_soon(send, "79612242240", anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        scopes = [anyio.CancelScope() for _ in range(3)]
        for number, scope in enumerate(scopes):
            tasks.start_soon(send, f"7961224224{5 + number}", scope)
        await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
        await anyio.wait_all_tasks_blocked()
        held.open.set()

    sent = [sorted(str(to.phone) for to in request.recipients) for request in held.gateway.received]
    assert [["79612242240"], ["79612242245", "79612242247"]] == sent
    assert {Outcome.ACCEPTED} == {result.outcome for result in results}


async def test_a_shared_request_that_all_calls_have_left_delays_no_other(connect: Connect, webcom_gateway: Gateway):
    """The turn of the rate that a shared request waited for goes to the next call when its own calls give up."""
    clock = Moments()
    async with (
        connect(webcom_gateway, rate=5, linger=0.001, clock=clock.clock()) as client,
        anyio.create_task_group() as tasks,
    ):

        async def send(phone: int, scope: anyio.CancelScope) -> None:
            with scope:
                await client.send(phone, "Code", sender="ACME")

        async def come(first: int, scopes: list[anyio.CancelScope]) -> None:
            for number, scope in enumerate(scopes):
                tasks.start_soon(send, FIRST_PHONE + first + number, scope)
            await anyio.wait_all_tasks_blocked()
            await clock.move(0.001)

        scopes = [anyio.CancelScope() for _ in range(5)]
        await come(0, [anyio.CancelScope() for _ in range(5)])
        await come(5, scopes)
        for scope in scopes:
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        await come(10, [anyio.CancelScope()])
        await clock.move(0.25)
        sent = webcom_gateway.requests
        tasks.cancel_scope.cancel()

    assert 2 == sent


async def test_a_code_does_not_wait_for_the_turn_of_a_batch(connect: Connect, webcom_gateway: Gateway):
    """With a rate, a code leaves while a batch of the campaign waits for the turn of its last recipient."""
    async with (
        connect(webcom_gateway, in_flight=4, batch_size=20, rate=20, clock=Clock()) as client,
        client.stream(phones(60), **SALE) as results,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(results.next_batch)
        await anyio.wait_all_tasks_blocked()
        await client.send("79612242299", "Code", sender="ACME")
        requests = webcom_gateway.requests
        tasks.cancel_scope.cancel()

    assert 2 == requests


# ---------------------------------------------------------------------------- clients that share limits


def clients(gateway: Gateway, **options: Any) -> tuple[WebcomClient, WebcomClient]:
    """Return two clients that share limits; the first has *options*."""
    common: dict[str, Any] = {"token": gateway.token, "base_url": "http://127.0.0.1", "clock": still_clock()}
    first = WebcomClient(transport=GatewayTransport(gateway), **common, **options)
    return first, WebcomClient(transport=GatewayTransport(gateway), share_limits_with=first, **common)


async def test_two_clients_share_their_limits():
    """Requests of both count towards one number in flight, and single sends of one go before the other's campaign."""
    held = Held(2)
    first, second = clients(held.gateway, in_flight=2, batch_size=1)
    async with first, second, anyio.create_task_group() as tasks, first.stream(phones(9), **SALE) as results:
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(lambda: second.send("79612242299", "Code", sender="ACME"))
        await anyio.wait_all_tasks_blocked()
        before = held.gateway.requests
        held.open.set()
        async for _ in results:
            pass

    assert 2 == before
    assert "Code" in held.texts[2:4]
    assert (2, None) == (second.options.in_flight, second.options.rate)


async def test_two_clients_share_their_rate():
    """At 100 recipients a second, 300 recipients of two clients wait for two seconds in all."""
    moment = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += seconds

    gateway = Gateway()
    clock = still_clock(sleep=sleep, monotonic=lambda: moment)
    options: dict[str, Any] = {"token": gateway.token, "base_url": "http://127.0.0.1", "clock": clock, "batch_size": 50}
    async with (
        WebcomClient(transport=GatewayTransport(gateway), rate=100, in_flight=1, **options) as first,
        WebcomClient(transport=GatewayTransport(gateway), share_limits_with=first, **options) as second,
    ):
        for client in (first, second, first):
            await client.send_all(phones(100), **SALE)

    assert 2.0 == pytest.approx(moment)


async def test_two_clients_share_the_ids_in_flight():
    """An id is in one request at a time, whichever client sends it."""
    held = Held()
    first, second = clients(held.gateway)
    code = {"phone": "79612242243", "text": "Code", "sender": "ACME", "client_id_sms": 7}
    results: list[SendResult] = []

    async def send(client: WebcomClient, **changes: Any) -> None:
        results.append(await client.send(**(code | changes)))

    async with first, second, anyio.create_task_group() as tasks:
        tasks.start_soon(send, first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(send, second)
        await anyio.wait_all_tasks_blocked()
        await second.send(**(code | {"text": "Another"}))
        other = await second.send(**(code | {"text": "Another"}))
        held.open.set()

    assert Reason.ID_REUSED is other.reason
    assert 1 == held.gateway.requests
    assert results[0] == results[1]


async def test_a_campaign_knows_the_ids_of_the_other_client():
    """A send waits for the batch of the other client's campaign that has its recipient."""
    held = Held()
    first, second = clients(held.gateway)
    results: list[SendResult] = []

    async def send() -> None:
        results.append(await second.send(phone="79612242243", text="Sale!", sender="ACME", client_id_sms=101))

    async with first, second, anyio.create_task_group() as tasks, first.stream(recipients(2), **SALE) as campaign:
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        held.open.set()
        mine = [result async for result in campaign]

    assert 1 == held.gateway.requests
    assert [mine[0].id_sms] == [result.id_sms for result in results]


@pytest.mark.parametrize("closes", [0, 1])
async def test_either_client_may_be_closed_first(closes: int):
    """The client that is left sends on under the same limits; the closed one refuses."""
    gateway = Gateway()
    both = clients(gateway)
    left = both[1 - closes]
    for client in both:
        await client.send("79612242243", "Code", sender="ACME")
    await both[closes].aclose()
    result = await left.send("79612242244", "Code", sender="ACME")
    with pytest.raises(UsageError, match="closed"):
        await both[closes].send("79612242245", "Code", sender="ACME")
    await left.aclose()

    assert Outcome.ACCEPTED is result.outcome


@pytest.mark.parametrize("gives_up", [False, True])
async def test_a_call_outlives_the_other_client(gives_up: bool):
    """A call that waits for an equal one of the other client goes on by itself when that client is closed."""
    held, results, scope = Held(), list[SendResult](), anyio.CancelScope()
    first, second = clients(held.gateway, in_flight=1)
    code: dict[str, Any] = {"phone": "79612242244", "text": "Code", "sender": "ACME", "client_id_sms": 7}

    async def end_with_its_client() -> None:
        with scope, pytest.raises(UsageError, match="closed"):
            await first.send(**code)

    async def send() -> None:
        results.append(await second.send(**code))

    async with second, anyio.create_task_group() as tasks:
        async with first:
            tasks.start_soon(lambda: second.send("79612242243", "First", sender="ACME"))
            await anyio.wait_all_tasks_blocked()
            for call in (end_with_its_client, send):
                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
            if gives_up:
                scope.cancel()
        held.open.set()

    assert [Outcome.ACCEPTED] == [result.outcome for result in results]
    assert ["First", "Code"] == held.texts


class Dead(GatewayTransport):
    """A way to the gateway on which every connection breaks."""

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Break the connection, so that the limit does not move."""
        trace.connecting()
        trace.sending()
        raise ConnectionLost("the connection broke")


async def test_a_campaign_that_waits_for_its_gateway_holds_no_other_up():
    """While one client's campaign waits for a dead gateway, the other's campaign and single sends go on."""
    gateway, waits, clock = Gateway(), anyio.Event(), Travel()

    def watch(event: Event) -> None:
        if isinstance(event, GatewayAway):
            clock.meanwhile = anyio.sleep_forever  # the pause before the first probe
            waits.set()

    common: dict[str, Any] = {"token": gateway.token, "base_url": "http://127.0.0.1", "batch_size": 1}
    patient: dict[str, Any] = {"in_flight": 64, "patience": 60.0, "observers": [watch], "clock": clock.clock()}
    first = WebcomClient(transport=Dead(gateway), **common, **patient)
    second = WebcomClient(transport=GatewayTransport(gateway), share_limits_with=first, **common)
    async with first, second, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: first.send_all(phones(100), **SALE))
        await waits.wait()
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(5.0):
            await second.send_all(phones(20), **SALE)
            for number in range(20):
                await second.send(f"796122422{50 + number}", "Code", sender="ACME")
        tasks.cancel_scope.cancel()

    assert 40 == len(gateway.ledger)


async def test_both_clients_hear_of_a_change():
    """A change of the shared limit is an event for the observers of each client that is open."""
    gateway, seen = Gateway(), list[tuple[str, int]]()

    def hear(name: str, event: Event) -> None:
        if isinstance(event, LimitChanged):
            seen.append((name, event.limit))

    options: dict[str, Any] = {"token": gateway.token, "base_url": "http://127.0.0.1", "clock": still_clock()}
    first = WebcomClient(
        transport=GatewayTransport(gateway), in_flight=5, observers=[lambda event: hear("first", event)], **options
    )
    second = WebcomClient(
        transport=GatewayTransport(gateway),
        share_limits_with=first,
        observers=[lambda event: hear("second", event)],
        **options,
    )
    async with first, second:
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(lambda number=number: first.send(f"7961224224{number}", "Code", sender="ACME"))

    assert [("first", 5), ("second", 5)] == seen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_flight": 9}, "in_flight is 9, but the client to share limits with has 4: leave in_flight out"),
        ({"rate": 5}, "rate is 5, but the client to share limits with has None: leave rate out"),
        ({"base_url": "http://127.0.0.1:8080"}, "base_url is 'http://127.0.0.1:8080', but"),
        ({"base_url": "https://127.0.0.1"}, "limits belong to one account of one gateway"),
        ({"token": "another"}, "other credentials"),
        ({"token": None, "login": "emulator-login", "password": "emulator-password"}, "other credentials"),
        ({"share_limits_with": "first"}, "share_limits_with is 'first'; it must be a WebcomClient"),
    ],
)
def test_clients_that_share_limits_have_one_account(options: dict[str, Any], words: str):
    """Another account, gateway or limit is refused, before anything is sent, with words that say what to do."""
    common: dict[str, Any] = {"token": "dummy", "base_url": "http://127.0.0.1"}
    first = WebcomClient(**common)

    with pytest.raises(ConfigurationError, match=words):
        WebcomClient(**(common | {"share_limits_with": first} | options))


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://127.0.0.1:80", "HTTP://127.0.0.1"])
def test_one_gateway_may_be_written_in_several_ways(url: str):
    """A trailing slash, the usual port and capitals make no other gateway; limits that are repeated are accepted."""
    first = WebcomClient(token="dummy", base_url="http://127.0.0.1", in_flight=7)
    second = WebcomClient(token="dummy", base_url=url, in_flight=7, rate=None, share_limits_with=first)

    assert 7 == WebcomClient(token="dummy", base_url=url, share_limits_with=second).options.in_flight


def test_limits_are_shared_in_one_event_loop():
    """A client cannot share the limits of a client that belongs to another event loop."""
    gateway = Gateway(Account())
    first, second = clients(gateway)
    anyio.run(lambda: first.send("79612242243", "Code", sender="ACME"))

    with pytest.raises(UsageError, match="the client that this one shares limits with belongs to another event loop"):
        anyio.run(lambda: second.send("79612242244", "Code", sender="ACME"))
    assert 1 == gateway.requests


def test_a_client_from_the_environment_shares_limits():
    """`from_env` takes the client to share limits with, too."""
    environ = {"WEBCOM_TOKEN": "dummy", "WEBCOM_BASE_URL": "http://127.0.0.1"}
    first = WebcomClient.from_env(environ, rate=5)

    assert 5 == WebcomClient.from_env(environ, share_limits_with=first).options.rate
