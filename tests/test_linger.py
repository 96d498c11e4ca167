"""Messages that share a request: each caller gets the result that it would get alone."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.builders import phones, still_clock
from tests.conftest import Connect
from webcom_async import (
    AuthenticationError,
    GatewayUnavailable,
    Outcome,
    Reason,
    Reply,
    Request,
    RequestTrace,
    SendResult,
    UsageError,
    WebcomClient,
    WebcomError,
)
from webcom_async.emulator import Fault, Gateway, GatewayAnswer, GatewayTransport, Received

pytestmark = pytest.mark.anyio

CODE = {"text": "Code 1234", "sender": "ACME"}


async def all_of(*calls: Callable[[], Awaitable[SendResult]]) -> list[SendResult | WebcomError]:
    """Make *calls* at once, and return what each returned or raised, in order."""
    ends: dict[int, SendResult | WebcomError] = {}

    async def one(number: int, call: Callable[[], Awaitable[SendResult]]) -> None:
        try:
            ends[number] = await call()
        except WebcomError as exc:
            ends[number] = exc

    async with anyio.create_task_group() as tasks:
        for number, call in enumerate(calls):
            tasks.start_soon(one, number, call)
    return [ends[number] for number in range(len(calls))]


def sends(client: WebcomClient, count: int, **said: str) -> list[Callable[[], Awaitable[SendResult]]]:
    """Return calls that send to *count* phones."""
    return [lambda phone=phone: client.send(phone, **(CODE | said)) for phone in phones(count)]


def carried(gateway: Gateway) -> list[int]:
    """Return the number of phones in each request."""
    return [len(request.recipients) for request in gateway.received]


class Lingering:
    """A clock's sleep that ends when the test sets *over*, after enough calls have joined."""

    def __init__(self) -> None:
        self.over = anyio.Event()

    async def __call__(self, _seconds: float) -> None:
        """Wait until the test sets *over*."""
        await self.over.wait()


async def test_calls_of_the_same_moment_share_a_request(connect: Connect, webcom_gateway: Gateway):
    """Fifty calls are one request, and each caller gets the `id_sms` of its own phone."""
    async with connect(webcom_gateway, linger=0.001) as client:
        results = await all_of(*sends(client, 50))

    assert [50] == carried(webcom_gateway)
    assert list(phones(50)) == [result.phone for result in results if isinstance(result, SendResult)]
    assert webcom_gateway.ledger.ids() == {r.client_id_sms: r.id_sms for r in results if isinstance(r, SendResult)}


async def test_different_messages_share_too(connect: Connect, webcom_gateway: Gateway):
    """A request carries many messages, and each phone gets its own."""
    async with connect(webcom_gateway, linger=0.001) as client:
        calls = [
            lambda phone=phone, text=text: client.send(phone, text=text, sender="ACME")
            for phone, text in zip(phones(4), ["a", "b", "b", "c"], strict=True)
        ]
        await all_of(*calls)

    assert [4] == carried(webcom_gateway)
    sent = {sms.phone: sms.text for sms in webcom_gateway.ledger.sent}
    assert dict(zip(phones(4), ["a", "b", "b", "c"], strict=True)) == sent


async def test_no_more_share_a_request_than_fit_into_a_batch(connect: Connect, webcom_gateway: Gateway):
    """No request carries more than `batch_size`, however many calls wait."""
    async with connect(webcom_gateway, linger=0.001, batch_size=20) as client:
        results = await all_of(*sends(client, 50))

    assert [10, 20, 20] == sorted(carried(webcom_gateway))
    assert 50 == len(results) == len(webcom_gateway.ledger)


async def test_a_full_request_leaves_at_once(connect: Connect, webcom_gateway: Gateway):
    """A request without room for another call does not wait."""
    async with connect(webcom_gateway, linger=5.0, batch_size=20, clock=clock_of(Lingering())) as client:
        results = await all_of(*sends(client, 40))

    assert [20, 20] == carried(webcom_gateway)
    assert {Outcome.ACCEPTED} == {result.outcome for result in results}


async def test_no_call_lingers_longer_than_the_first(connect: Connect, webcom_gateway: Gateway):
    """The wait counts from the first call, so the time that a busy event loop took is part of it."""
    times = iter([10.0, 12.0])
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with connect(
        webcom_gateway, linger=5.0, clock=still_clock(monotonic=lambda: next(times, 13.0), sleep=sleep)
    ) as client:
        await all_of(*sends(client, 2))

    assert [3.0] == waits


async def test_a_lone_call_goes_as_it_always_did(connect: Connect, webcom_gateway: Gateway):
    """A call without others to share with is retried as often as `attempts` says."""
    webcom_gateway.faults.script(Fault(close=True), Fault(status=503))
    async with connect(webcom_gateway, linger=0.001) as client:
        result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, 3) == (result.outcome, result.attempts)


async def test_a_refused_neighbour_costs_the_others_nothing(connect: Connect, webcom_gateway: Gateway):
    """A phone on the stop list is rejected for its caller alone; the same request gets the others accepted."""
    webcom_gateway.accounts[0].stop_list = {"79612242245"}
    async with connect(webcom_gateway, linger=0.001) as client:
        results = await all_of(*sends(client, 5))

    assert [5] == carried(webcom_gateway)
    outcomes = [result.outcome for result in results if isinstance(result, SendResult)]
    assert [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REJECTED, Outcome.ACCEPTED, Outcome.ACCEPTED] == outcomes


class Poisoned(Gateway):
    """A gateway that refuses every request with one phone in it, in words without a name."""

    def process(self, request: Received) -> GatewayAnswer:
        """Refuse the request, or process it."""
        if b"79612242245" in request.body:
            return GatewayAnswer(400, {}, b'{"error":"Incorrect JSON document format"}')
        return super().process(request)


async def test_a_neighbour_that_sinks_the_request_costs_one_resend(connect: Connect):
    """Each of the other recipients is sent again once, alone, under the same id."""
    gateway = Poisoned()
    async with connect(gateway, linger=0.001) as client:
        results = await all_of(*sends(client, 5))

    assert [5, 1, 1, 1, 1, 1] == carried(gateway)
    assert [Reason.NONE, Reason.NONE, Reason.BAD_DOCUMENT, Reason.NONE, Reason.NONE] == [
        result.reason for result in results if isinstance(result, SendResult)
    ]
    assert 4 == len(gateway.ledger)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(close=True, processed=True),
        Fault(close=True),
        Fault(status=503, processed=True, body=b"<html>"),
        Fault(status=429),
        Fault(body=b"<html>", processed=True),
        Fault(body=b'{"information":[{"state":"send","id_sms":"1"}]}'),
        Fault(status=413),
    ],
    ids=["lost", "closed", "processed and 503", "429", "html", "short", "413"],
)
async def test_a_shared_answer_that_settles_no_recipient_bills_none_twice(
    connect: Connect, webcom_gateway: Gateway, fault: Fault
):
    """Each recipient is sent again alone under its id, and has one SMS, at the cost of one resend."""
    webcom_gateway.faults.script(fault)
    async with connect(webcom_gateway, linger=0.001) as client:
        results = await all_of(*sends(client, 5))

    assert [5, 1, 1, 1, 1, 1] == carried(webcom_gateway)
    assert {Outcome.ACCEPTED} == {result.outcome for result in results if isinstance(result, SendResult)}
    assert 5 == len(webcom_gateway.ledger)
    assert webcom_gateway.ledger.ids() == {r.client_id_sms: r.id_sms for r in results if isinstance(r, SendResult)}


async def test_an_account_that_runs_out_denies_no_shared_message(connect: Connect, webcom_gateway: Gateway):
    """After a shared request without an answer, an empty account leaves each message unknown: it may have been sent."""
    empty = Fault(body=b'{"information":[{"error":"Out of SMS"}]}')
    webcom_gateway.faults.script(Fault(close=True, processed=True), *[empty] * 3)
    async with connect(webcom_gateway, linger=0.001) as client:
        ends = await all_of(*sends(client, 3))

    assert [Outcome.UNKNOWN] * 3 == [end.outcome for end in ends if isinstance(end, SendResult)]
    assert 3 == len(webcom_gateway.ledger)


async def test_a_busy_gateways_wait_counts_for_each_shared_message(connect: Connect, webcom_gateway: Gateway):
    """A shared request that meets 429 with a wait is followed, after that wait, by one request per message."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    webcom_gateway.faults.script(Fault(status=429, headers={"retry-after": "7"}))
    async with connect(webcom_gateway, linger=0.001, clock=clock_of(sleep)) as client:
        await all_of(*sends(client, 3))

    assert [3, 1, 1, 1] == carried(webcom_gateway)
    assert 3 == len([wait for wait in waits if wait >= 7.0])


async def test_a_shared_request_without_a_connection_is_made_again(webcom_gateway: Gateway):
    """One refused connection does not end the messages that share it: each is sent, at the second try."""
    transport = Unreachable(webcom_gateway)
    async with WebcomClient(
        token=webcom_gateway.token, transport=transport, linger=0.001, clock=still_clock()
    ) as client:
        ends = await all_of(*sends(client, 3))

    assert [Outcome.ACCEPTED] * 3 == [end.outcome for end in ends if isinstance(end, SendResult)]
    assert ([1, 1, 1], 3) == (carried(webcom_gateway), len(webcom_gateway.ledger))


class Unreachable(GatewayTransport):
    """A transport that finds no connection for its first request."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._failures = [GatewayUnavailable()]

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Send the request, or fail before anything leaves."""
        if self._failures:
            raise self._failures.pop()
        return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)


async def test_bad_credentials_are_asked_about_once(connect: Connect, webcom_gateway: Gateway):
    """The gateway's answer about the account is raised to each caller, as an exception of its own."""
    webcom_gateway.accounts[0].token = "another"
    async with connect(webcom_gateway, linger=0.001, token="dummy") as client:
        errors = await all_of(*sends(client, 5))

    assert 1 == webcom_gateway.requests
    assert {AuthenticationError} == {type(error) for error in errors}
    assert 5 == len({id(error) for error in errors})
    assert [1] * 5 == [len(error.__notes__) for error in errors]


async def test_an_empty_account_is_raised_to_those_it_left_out(connect: Connect, webcom_gateway: Gateway):
    """The callers whose SMS the balance covers get a result, the others `OutOfBalance`."""
    webcom_gateway.accounts[0].balance = 2
    async with connect(webcom_gateway, linger=0.001) as client:
        ends = await all_of(*sends(client, 4))

    assert ["OutOfBalance", "OutOfBalance", "SendResult", "SendResult"] == sorted(type(end).__name__ for end in ends)


async def test_a_call_that_is_cancelled_before_it_left_is_not_sent(connect: Connect, webcom_gateway: Gateway):
    """Its neighbours are sent without it, and a note says that it was not sent."""
    lingering = Lingering()
    notes: list[str] = []

    async def cancelled(scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await client.send("79612242250", **CODE)
            except BaseException as exc:
                notes.extend(exc.__notes__)
                raise

    async with connect(webcom_gateway, linger=5.0, clock=clock_of(lingering)) as client:
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()
            tasks.start_soon(cancelled, scope)
            tasks.start_soon(all_of, *sends(client, 3))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            lingering.over.set()

    assert [3] == carried(webcom_gateway)
    assert "is not_sent" in notes[0]


async def test_a_call_that_is_cancelled_in_flight_ends_no_other(webcom_gateway: Gateway):
    """The cancelled call ends at once as unknown; its neighbours get their results, and so does the same call again."""
    transport = WorkerThread(webcom_gateway)
    notes: list[str] = []
    again: list[SendResult | WebcomError] = []
    results: list[SendResult | WebcomError] = []

    async def cancelled(scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await client.send("79612242250", client_id_sms=77, **CODE)
            except BaseException as exc:
                notes.extend(exc.__notes__)
                raise

    async def others(ends: list[SendResult | WebcomError], *calls: Callable[[], Awaitable[SendResult]]) -> None:
        ends.extend(await all_of(*calls))

    async with WebcomClient(token=webcom_gateway.token, transport=transport, linger=0.001) as client:
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()
            tasks.start_soon(cancelled, scope)
            tasks.start_soon(others, results, *sends(client, 3))
            await transport.came.wait()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(others, again, lambda: client.send("79612242250", client_id_sms=77, **CODE))
            await anyio.wait_all_tasks_blocked()
            transport.go.set()

    assert "is unknown" in notes[0]
    assert {Outcome.ACCEPTED} == {result.outcome for result in [*results, *again] if isinstance(result, SendResult)}
    assert (1, 4) == (webcom_gateway.requests, len(webcom_gateway.ledger))


async def test_closing_the_client_ends_shared_calls_as_unknown(webcom_gateway: Gateway):
    """Closing the client makes the calls of a shared request in flight end as unknown."""
    transport = WorkerThread(webcom_gateway)
    ends: list[SendResult | WebcomError] = []

    async def call() -> None:
        ends.extend(await all_of(*sends(client, 3)))

    async with anyio.create_task_group() as tasks:
        async with WebcomClient(token=webcom_gateway.token, transport=transport, linger=0.001) as client:
            tasks.start_soon(call)
            await transport.came.wait()

    assert [Outcome.UNKNOWN] * 3 == [end.outcome for end in ends if isinstance(end, SendResult)]


async def test_closing_the_client_sends_no_waiting_call(connect: Connect, webcom_gateway: Gateway):
    """A request that has not left when the client is closed is not sent."""
    ends: list[SendResult | WebcomError] = []

    async def call() -> None:
        ends.extend(await all_of(*sends(client, 3)))

    async with anyio.create_task_group() as tasks:
        async with connect(webcom_gateway, linger=5.0, clock=clock_of(Lingering())) as client:
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()

    assert [UsageError] * 3 == [type(end) for end in ends]
    assert 0 == webcom_gateway.requests


async def test_sharing_needs_an_opened_client(webcom_gateway: Gateway):
    """Without `async with` no task could carry the shared request."""
    client = WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway), linger=0.001)
    with pytest.raises(UsageError, match="async with"):
        await client.send("79612242243", **CODE)
    await client.aclose()


async def test_the_same_id_is_in_one_request_only(connect: Connect, webcom_gateway: Gateway):
    """A second call under a waiting id shares its result, and takes no room in the request."""
    async with connect(webcom_gateway, linger=0.001) as client:
        results = await all_of(*[lambda: client.send("79612242243", client_id_sms=77, **CODE)] * 2)

    assert [Outcome.ACCEPTED] * 2 == [result.outcome for result in results if isinstance(result, SendResult)]
    assert ([1], 1) == (carried(webcom_gateway), len(webcom_gateway.ledger))


@pytest.mark.parametrize("attempts", [1, 6])
async def test_a_neighbour_that_fails_the_gateway_leaves_the_others_as_alone(connect: Connect, attempts: int):
    """The shared request does not count as an attempt of the others, even if each has only one."""
    gateway = Failing()
    async with connect(gateway, linger=0.001, attempts=attempts) as client:
        ends = await all_of(*sends(client, 4))

    assert [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.ACCEPTED] == [
        end.outcome for end in ends if isinstance(end, SendResult)
    ]


class Failing(Gateway):
    """A gateway that fails for one phone."""

    def process(self, request: Received) -> GatewayAnswer:
        """Fail, or process the request."""
        if b"79612242245" in request.body:
            return GatewayAnswer(500, {}, b"<html>")
        return super().process(request)


async def test_a_request_too_large_makes_the_next_ones_smaller(connect: Connect, webcom_gateway: Gateway):
    """A size that the gateway refused as too large is not tried again."""
    webcom_gateway.faults.script(Fault(status=413))
    async with connect(webcom_gateway, linger=0.001) as client:
        await all_of(*sends(client, 20))
        webcom_gateway.received.clear()
        await all_of(*sends(client, 20, text="Code 5678"))

    assert [10, 10] == carried(webcom_gateway)


@pytest.mark.parametrize("failure", [RuntimeError, "cancelled"])
async def test_a_transports_own_bug_costs_no_caller_its_result(webcom_gateway: Gateway, failure: object):
    """After a shared request fails with an unexpected exception, its callers get their results, as do later calls."""
    transport = Buggy(webcom_gateway, failure)
    async with WebcomClient(
        token=webcom_gateway.token, transport=transport, linger=0.001, clock=still_clock()
    ) as client:
        ends = await all_of(*sends(client, 3))
        later = await client.send("79612242250", **CODE)

    assert {Outcome.ACCEPTED} == {end.outcome for end in ends if isinstance(end, SendResult)}
    assert Outcome.ACCEPTED is later.outcome
    assert 4 == len(webcom_gateway.ledger)


class Buggy(GatewayTransport):
    """A transport whose first request raises, or is cancelled by itself."""

    def __init__(self, gateway: Gateway, failure: object) -> None:
        super().__init__(gateway)
        self._failures = [failure]

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Any:  # noqa: ASYNC109
        """Send the request, and fail."""
        reply = await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
        if not self._failures:
            return reply
        if self._failures.pop() == "cancelled":
            raise await a_cancellation()
        return "no reply at all"


async def a_cancellation() -> BaseException:
    """Return a cancellation that no caller asked for."""
    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class() as exc:
            caught.append(exc)
            raise
    return caught[0]


def clock_of(lingering: Lingering) -> object:
    """Return a clock whose sleep is *lingering*."""
    return still_clock(sleep=lingering)


class WorkerThread(GatewayTransport):
    """A transport that holds each request until *go* is set."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.came = anyio.Event()
        self.go = anyio.Event()

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Any:  # noqa: ASYNC109
        """Set *came*, and wait."""
        trace.sending()
        self.came.set()
        await self.go.wait()
        return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
