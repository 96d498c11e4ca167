"""A campaign, from `client.stream` to the last result."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, tzinfo

import anyio
import pytest

from tests.builders import NOW, accepted, message, phones, recipients, still_clock
from tests.conftest import Connect
from webcom_async import (
    AccountLocked,
    AuthenticationError,
    Campaign,
    GatewayUnavailable,
    IdCollision,
    InputError,
    Message,
    Outcome,
    OutOfBalance,
    Reason,
    Recipient,
    Reply,
    Report,
    Request,
    RequestTrace,
    Results,
    SendResult,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import Behaviour, Fault, Gateway, GatewayTransport, Language

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME"}


def agree(results: list[SendResult], gateway: Gateway) -> bool:
    """Whether the accepted among *results* are exactly what the ledger has, with the right `id_sms`."""
    claimed = {result.client_id_sms: result.id_sms for result in results if result.outcome is Outcome.ACCEPTED}
    return claimed == gateway.ledger.ids() and not gateway.ledger.billed_twice()


class Unwritable:
    """An object whose repr raises."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


async def async_phones(count: int) -> AsyncIterator[str]:
    for phone in phones(count):
        yield phone


# ---------------------------------------------------------------------------- each recipient, once


async def test_everyone_gets_exactly_one_result(connect: Connect, webcom_gateway: Gateway):
    """A campaign of many batches gives one result per recipient, and the ledger agrees with each of them."""
    async with (
        connect(webcom_gateway, batch_size=7) as client,
        client.stream(phones(100), **SALE) as results,
    ):
        seen = [result async for result in results]

    assert sorted(phones(100)) == sorted(result.phone for result in seen)
    assert 100 == len(webcom_gateway.ledger)
    assert agree(seen, webcom_gateway)
    assert 15 == webcom_gateway.requests == results.report.requests
    assert results.report.complete


@pytest.mark.parametrize(
    "source",
    [
        lambda: list(phones(9)),
        lambda: tuple(int(phone) for phone in phones(9)),
        lambda: phones(9),
        lambda: [Recipient(phone) for phone in phones(9)],
        lambda: async_phones(9),
    ],
    ids=["list", "ints", "generator", "recipients", "async generator"],
)
async def test_any_iterable_is_a_source(connect: Connect, webcom_gateway: Gateway, source: Callable):
    """Lists, generators, async generators, text, numbers and recipients are all sources."""
    async with connect(webcom_gateway, batch_size=4) as client:
        report = await client.send_all(source(), **SALE)

    assert 9 == report.accepted == len(webcom_gateway.ledger)


async def test_an_empty_source_sends_nothing(connect: Connect, webcom_gateway: Gateway):
    """An empty source raises nothing and sends no request."""
    async with connect(webcom_gateway) as client:
        report = await client.send_all([], **SALE)

    assert (0, 0, True) == (report.recipients, webcom_gateway.requests, report.complete)


async def test_one_post_carries_several_messages(connect: Connect, webcom_gateway: Gateway):
    """Consecutive recipients of one text share a wire message; a change of text starts the next in the same POST."""
    people = [Recipient(phone, text=text) for phone, text in zip(phones(5), "AABBA", strict=True)]
    async with connect(webcom_gateway) as client:
        await client.send_all(people, sender="ACME")

    [request] = webcom_gateway.received
    assert [("A", 2), ("B", 2), ("A", 1)] == [(said.text, len(said.phones)) for said in request.messages]


async def test_personal_texts_reach_their_own_phones(connect: Connect, webcom_gateway: Gateway):
    """Every recipient gets its own text, over many batches."""
    people = [Recipient(phone, text=f"Hello {phone}") for phone in phones(50)]
    async with connect(webcom_gateway, batch_size=8) as client:
        await client.send_all(people, sender="ACME")

    assert {phone: f"Hello {phone}" for phone in phones(50)} == {
        sms.phone: sms.text for sms in webcom_gateway.ledger.sent
    }


async def test_batches_give_the_same_results_in_lists(connect: Connect, webcom_gateway: Gateway):
    """`batches()` gives non-empty lists that hold the same results, also after single reads."""
    async with connect(webcom_gateway, batch_size=5) as client, client.stream(phones(12), **SALE) as results:
        first = await anext(results)
        lists = [batch async for batch in results.batches()]

    assert all(lists)
    assert sorted(phones(12)) == sorted([first.phone] + [result.phone for batch in lists for result in batch])


async def test_results_come_in_completion_order(connect: Connect, webcom_gateway: Gateway):
    """A slow answer does not delay the results of the quick ones."""
    held = anyio.Event()
    webcom_gateway.faults.script(Fault(until=held))
    async with (
        connect(webcom_gateway, batch_size=1, in_flight=2) as client,
        client.stream(phones(3), **SALE) as results,
    ):
        quick = [(await anext(results)).phone, (await anext(results)).phone]
        held.set()
        slow = (await anext(results)).phone

    assert {slow, *quick} == set(phones(3))
    assert slow in set(phones(2))  # either of the first two may reach the gateway first


async def test_one_bad_recipient_does_not_stop_the_others(connect: Connect, webcom_gateway: Gateway):
    """A recipient that cannot be sent to is a result with its reason; the rest of the batch is sent."""
    people = ["79612242243", "not a phone", Recipient("79612242244", "7x"), None, Recipient("79612242245", text="")]
    async with connect(webcom_gateway) as client, client.stream(people, **SALE) as results:
        seen = {result.reason: result async for result in results}

    assert {Reason.NONE, Reason.BAD_PHONE, Reason.BAD_CLIENT_ID, Reason.BAD_RECIPIENT, Reason.BAD_TEXT} == set(seen)
    assert "not a phone" == seen[Reason.BAD_PHONE].phone
    assert {"not_sent": 4} == {o.value: n for o, n in results.report.outcomes.items() if n and o.value != "accepted"}
    assert 1 == len(webcom_gateway.ledger)


@pytest.mark.parametrize(
    "bad",
    [
        Recipient("79612242244", message="Sale!"),  # type: ignore[arg-type]
        Recipient("79612242244", message=Message(sender="ACME", text="Sale!", url="\ud800")),
        Recipient("79612242244", text=17),  # type: ignore[arg-type]
        Recipient("79612242244", number_sms="x"),  # type: ignore[arg-type]
        Recipient("79612242244", validity_period="2030-01-01"),  # type: ignore[arg-type]
        Recipient("79612242244", validity_period=NOW.replace(tzinfo=None)),
        Recipient("79612242244", validity_period=datetime(2031, 1, 1, tzinfo=tzinfo())),
        Recipient("79612242244", key=Unwritable()),  # type: ignore[arg-type]
        Unwritable(),
        {"phone": "79612242244"},
        True,
    ],
    ids=lambda bad: type(bad).__name__,
)
async def test_no_item_of_a_source_can_end_a_campaign(connect: Connect, webcom_gateway: Gateway, bad: object):
    """No item of a source is sent in another's place, and the other items get their message."""
    people = ["79612242243", bad, "79612242245"]
    async with connect(webcom_gateway) as client:
        report = await client.send_all(people, **SALE)

    assert (2, 1) == (report.accepted, report.not_sent)
    assert ["79612242243", "79612242245"] == [sms.phone for sms in webcom_gateway.ledger.sent]


async def test_refusals_are_results_in_the_gateways_words(connect: Connect):
    """A refused recipient is a result with reason and sentence, in Russian too; the others are accepted."""
    gateway = Gateway(behaviour=Behaviour(language=Language.RUSSIAN, final_dot=True))
    gateway.accounts[0].stop_list = {"79612242244"}
    async with connect(gateway) as client, client.stream(phones(3), **SALE) as results:
        [refused] = [result async for result in results if result.outcome is Outcome.REJECTED]

    assert (Reason.STOP_LIST, "79612242244", None) == (refused.reason, refused.phone, refused.id_sms)
    assert "Номер телефона присутствует в стоп-листе." == refused.error


# ---------------------------------------------------------------------------- ids


async def test_running_a_campaign_again_sends_no_recipient_twice(connect: Connect, webcom_gateway: Gateway):
    """The same campaign on another client has the same ids, and the gateway answers with the first `id_sms`."""
    runs = []
    for text in ("Sale!", "Sale, now with the typo mended!"):
        async with (
            connect(webcom_gateway) as client,
            client.stream(phones(20), text=text, sender="ACME", campaign="spring") as results,
        ):
            runs.append({result.phone: result.id_sms async for result in results})

    assert runs[0] == runs[1]
    assert 20 == len(webcom_gateway.ledger) == webcom_gateway.ledger.repeats


async def test_a_phone_twice_in_one_request_is_a_duplicate(connect: Connect, webcom_gateway: Gateway):
    """An id is in one request at a time: the second item with it is not sent."""
    async with connect(webcom_gateway) as client, client.stream(["79612242243"] * 2, **SALE) as results:
        outcomes = [(result.outcome, result.reason) async for result in results]

    assert {(Outcome.ACCEPTED, Reason.NONE), (Outcome.NOT_SENT, Reason.DUPLICATE)} == set(outcomes)
    assert 1 == len(webcom_gateway.ledger)


async def test_an_id_in_flight_is_not_sent_by_another_worker(connect: Connect, webcom_gateway: Gateway):
    """A phone whose request has no answer yet is a duplicate in the next batch too."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    async with (
        connect(webcom_gateway, batch_size=1, in_flight=2) as client,
        client.stream(["79612242243"] * 2, **SALE) as results,
    ):
        first = await anext(results)
        held.set()
        second = await anext(results)

    assert (Reason.DUPLICATE, Outcome.ACCEPTED) == (first.reason, second.outcome)
    assert 1 == len(webcom_gateway.ledger)


async def test_a_key_tells_two_messages_to_one_phone_apart(connect: Connect, webcom_gateway: Gateway):
    """One phone with two keys gets two messages."""
    people = [Recipient("79612242243", key="order 1"), Recipient("79612242243", key="order 2")]
    async with connect(webcom_gateway) as client:
        report = await client.send_all(people, campaign="orders", **SALE)

    assert 2 == report.accepted == len(webcom_gateway.ledger)


# ---------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "fault",
    [
        Fault(close=True),
        Fault(close=True, processed=True),
        Fault(status=503),
        Fault(status=502, body=b"<h1>Bad Gateway</h1>", processed=True),
        Fault(body=b"<html>maintenance</html>"),
        Fault(body=b"", processed=True),
        Fault(body=b'{"information":[{"state":"send","id_sms":"1"}]}', processed=True),
        Fault(status=429, headers={"retry-after": "1"}),
    ],
    ids=lambda fault: f"{fault.status or ''}{'closed' if fault.close else ''}{'processed' * fault.processed}",
)
async def test_a_transient_fault_costs_a_retry_and_no_second_sms(
    connect: Connect, webcom_gateway: Gateway, fault: Fault
):
    """After any transient fault, a retry under the same ids gives every recipient one SMS and its `id_sms`."""
    webcom_gateway.faults.script(fault)
    async with connect(webcom_gateway) as client, client.stream(recipients(3), **SALE) as results:
        seen = [result async for result in results]

    assert ([2, 2, 2], 1) == ([result.attempts for result in seen], results.report.retries)
    assert 3 == len(webcom_gateway.ledger)
    assert agree(seen, webcom_gateway)
    first, second = webcom_gateway.received
    assert first.body == second.body


async def test_what_is_never_answered_is_unknown(connect: Connect, webcom_gateway: Gateway):
    """A batch that is never answered is unknown, although the gateway sent it; the others are accepted."""
    webcom_gateway.faults.script(*[Fault(close=True, processed=True)] * 5)
    async with (
        connect(webcom_gateway, attempts=3, in_flight=1, batch_size=2) as client,
        client.stream(recipients(4), **SALE) as results,
    ):
        seen = [result async for result in results]

    assert [Outcome.UNKNOWN] * 2 + [Outcome.ACCEPTED] * 2 == [result.outcome for result in seen]
    assert [Reason.CONNECTION_LOST] * 2 == [result.reason for result in seen[:2]]
    assert (2, 4) == (results.report.unknown, seen[0].attempts)  # three as a whole, one in halves


async def test_a_refusal_after_a_lost_answer_does_not_settle_the_first_attempt(
    connect: Connect, webcom_gateway: Gateway
):
    """Bad credentials on the second attempt say nothing about the first, which may have been processed."""
    refused = b'{"error":"Incorrect login or password"}'
    webcom_gateway.faults.script(Fault(close=True, processed=True), Fault(body=refused))
    async with connect(webcom_gateway) as client, client.stream(recipients(2), **SALE) as results:
        with pytest.raises(AuthenticationError):
            seen = [await anext(results), await anext(results), await anext(results)]
            pytest.fail(f"no end: {seen}")

    assert (2, 0) == (results.report.unknown, results.report.not_sent)


async def test_a_retry_waits_for_retry_after(connect: Connect, webcom_gateway: Gateway):
    """A retry waits for `Retry-After`, plus the jitter of the back-off."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    webcom_gateway.faults.script(Fault(status=503, headers={"retry-after": "7"}), Fault(status=503))
    clock = still_clock(sleep=sleep, random=lambda: 0.5)
    async with connect(webcom_gateway, clock=clock, wait_initial=1.0) as client:
        await client.send_all(phones(1), **SALE)

    assert [7.5, 1.0] == waited


# ---------------------------------------------------------------------------- what ends a campaign


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda gateway: setattr(gateway.accounts[0], "locked", True), AccountLocked),
        (lambda gateway: setattr(gateway.accounts[0], "token", "another"), AuthenticationError),
        (lambda gateway: setattr(gateway.accounts[0], "balance", 0), OutOfBalance),
        (lambda gateway: setattr(gateway.accounts[0], "blocked", True), AccountLocked),
    ],
    ids=["locked", "bad token", "no balance", "blocked"],
)
async def test_what_would_burn_everyone_ends_the_campaign(connect: Connect, change: Callable, error: type[Exception]):
    """An account-level refusal halts within one round of requests; the error carries the report so far."""
    gateway = Gateway()
    async with connect(gateway, batch_size=5, in_flight=2) as client:
        change(gateway)
        with pytest.raises(error) as caught:
            await client.send_all(phones(10_000), **SALE)

    report = caught.value.report
    assert isinstance(report, Report)
    assert 1 <= gateway.requests <= 2
    assert report.recipients == report.not_sent <= 15
    assert not report.complete
    assert not gateway.ledger.sent


async def test_results_before_the_end_are_read_before_the_error(connect: Connect):
    """When the balance runs out in the middle of a batch, the accepted ones before it are read before the error."""
    gateway = Gateway()
    gateway.accounts[0].balance = 3
    seen: list[SendResult] = []
    async with connect(gateway, batch_size=5, in_flight=1) as client, client.stream(phones(20), **SALE) as results:
        with pytest.raises(OutOfBalance):
            while True:
                seen.append(await anext(results))

    assert [Outcome.ACCEPTED] * 3 + [Outcome.NOT_SENT] * 2 == [result.outcome for result in seen]
    assert agree(seen, gateway)


async def test_no_connection_ends_the_campaign_and_nothing_was_sent(connect_to: Connect, unused_port: int):
    """If no server listens, the batch is not sent, and the campaign halts instead of trying every batch."""
    async with connect_to(f"http://127.0.0.1:{unused_port}", attempts=2, in_flight=2) as client:
        with pytest.raises(GatewayUnavailable) as caught:
            await client.send_all(phones(2_000), **SALE)

    assert caught.value.report is not None
    assert (0, 0) == (caught.value.report.accepted, caught.value.report.unknown)
    assert caught.value.report.not_sent == caught.value.report.recipients


async def test_the_sources_own_error_comes_out_bare(connect: Connect, webcom_gateway: Gateway):
    """A source that fails ends the campaign with its own exception, and every item it yielded is counted."""

    def failing() -> Iterator[str]:
        yield from phones(7)
        raise LookupError("the database went away")

    seen: list[SendResult] = []
    async with connect(webcom_gateway, batch_size=5) as client, client.stream(failing(), **SALE) as results:
        with pytest.raises(LookupError, match="the database went away"):
            while True:
                seen.append(await anext(results))

    assert sorted(phones(7)) == sorted(result.phone for result in seen)
    assert agree(seen, webcom_gateway)
    assert not results.report.complete


async def test_a_halt_does_not_wait_for_a_source_that_hangs(connect: Connect, webcom_gateway: Gateway):
    """A worker that waits for a slow source is cancelled when another worker halts the campaign."""
    never = anyio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "79612242243"
        await never.wait()
        yield "79612242244"

    webcom_gateway.accounts[0].locked = True
    async with connect(webcom_gateway, batch_size=1) as client:
        with anyio.fail_after(10), pytest.raises(AccountLocked):
            await client.send_all(slow(), **SALE)


# ---------------------------------------------------------------------------- leaving early


async def test_break_leaves_everything_accounted_for(connect: Connect, webcom_gateway: Gateway):
    """After a `break`, every SMS in the ledger is read, unread or unknown."""
    read: list[SendResult] = []
    async with connect(webcom_gateway, batch_size=5) as client:
        async with client.stream(phones(1_000), **SALE) as results:
            async for result in results:
                read.append(result)
                break
        assert (await client.send("79612242243", **SALE)).outcome is Outcome.ACCEPTED  # the client can be used again
        webcom_gateway.ledger.sent.pop()

    assert agree(read + results.unread, webcom_gateway)
    assert len(read + results.unread) == results.report.recipients < 1_000
    assert not results.report.complete


async def test_an_exception_in_the_body_comes_out_bare(connect: Connect, webcom_gateway: Gateway):
    """The body's own exception reaches the caller bare, not as a group, and once."""
    error = ZeroDivisionError("the body's own")
    with pytest.raises(ZeroDivisionError) as caught:
        async with connect(webcom_gateway, batch_size=1) as client, client.stream(phones(100), **SALE) as results:
            async for _ in results:
                raise error

    assert error is caught.value
    assert results.report.recipients == 1 + len(results.unread)


async def test_requests_in_flight_get_a_grace(connect: Connect, webcom_gateway: Gateway):
    """When a timeout around a stream expires, requests in flight may be answered within the grace, and are counted."""
    held = anyio.Event()
    arrived = anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held, processed=True))
    async with connect(webcom_gateway, in_flight=1, batch_size=5) as client:
        with anyio.CancelScope() as scope:
            async with client.stream(phones(10), **SALE) as results, anyio.create_task_group() as tasks:
                await arrived.wait()
                tasks.start_soon(_set_soon, held)
                scope.cancel()
                await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert {Outcome.ACCEPTED} == {result.outcome for result in results.unread}
    assert 5 == len(webcom_gateway.ledger) == results.report.accepted
    assert agree(results.unread, webcom_gateway)


async def _set_soon(event: anyio.Event) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.lowlevel.checkpoint()
        event.set()


async def test_what_outlasts_the_grace_is_unknown(connect: Connect, webcom_gateway: Gateway):
    """A request that is not answered within the grace is counted as unknown."""
    arrived = anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=anyio.Event(), processed=True))
    async with connect(webcom_gateway, in_flight=1, batch_size=5, grace=0.05) as client:
        async with client.stream(phones(12), **SALE) as results:
            await arrived.wait()

    assert (5, 0) == (results.report.unknown, results.report.accepted)
    assert {Reason.CANCELLED} == {result.reason for result in results.unread}


async def test_nothing_leaves_after_the_stream_was_left(connect: Connect, webcom_gateway: Gateway):
    """A worker that waits for its slot when the stream is left has taken nothing from the source, and sends nothing."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    async with (
        connect(webcom_gateway, in_flight=1, batch_size=2, grace=0) as client,
        anyio.create_task_group() as group,
    ):

        async def other() -> None:
            async with client.stream(recipients(2), **SALE) as results:
                await anyio.sleep_forever()
            pytest.fail(f"{results} did not end")

        group.start_soon(other)
        await arrived.wait()
        async with client.stream(phones(2), **SALE) as results:
            await anyio.wait_all_tasks_blocked()  # its worker waits for the one slot
        group.cancel_scope.cancel()

    assert (0, 0) == (results.report.recipients, results.report.requests)
    assert 1 == webcom_gateway.requests


@pytest.mark.parametrize("steps", range(8))
async def test_however_early_a_stream_is_left_its_requests_are_bounded_by_the_grace(connect: Connect, steps: int):
    """A request about to leave when the stream is left is not sent, or gets no more than the grace."""
    gateway = Gateway()
    gateway.faults.sometimes(1.0, Fault(until=anyio.Event()))
    async with connect(gateway, timeout=60, grace=0.01, in_flight=2, batch_size=1) as client:
        with anyio.fail_after(20):
            async with client.stream(phones(9), **SALE) as results:
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()

    assert results.report.recipients == len(results.unread)
    assert gateway.requests == results.report.unknown <= 2


def test_a_reader_that_times_out_repeatedly_misses_no_result():
    """A result handed to a read that is cancelled at that moment is read later."""
    gateway = Gateway()

    async def main() -> list[SendResult]:
        read: list[SendResult] = []
        async with (
            WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=1) as client,
            client.stream(phones(60), **SALE) as results,
        ):
            while True:
                try:
                    read.append(await asyncio.wait_for(anext(results), 0.0005))
                except TimeoutError:
                    continue
                except StopAsyncIteration:
                    return read

    read = asyncio.run(main())

    assert sorted(phones(60)) == sorted(result.phone for result in read)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_a_source_raises_is_an_error():
    """A CancelledError that a source raises on asyncio ends the campaign with an error, never silently."""
    gateway = Gateway()

    async def cancelled() -> AsyncIterator[str]:
        for phone in phones(5):
            yield phone
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    async with WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=2) as client:
        with pytest.raises(UsageError, match="cancellation of its own"):
            async with client.stream(cancelled(), **SALE) as results:
                async for result in results:
                    assert result.outcome is not Outcome.UNKNOWN

    assert not results.report.complete
    assert 5 == results.report.recipients


async def test_leaving_a_stream_leaves_no_task_behind(connect: Connect, webcom_gateway: Gateway):
    """However a stream is left, no task of it is left running."""
    async with connect(webcom_gateway, batch_size=1) as client:
        before = {task.id for task in anyio.get_running_tasks()}
        async with client.stream(async_phones(50), **SALE) as results:
            await anext(results)
        with anyio.move_on_after(0):
            async with client.stream(async_phones(50), **SALE) as results:
                await anext(results)
        with pytest.raises(KeyError):
            async with client.stream(async_phones(50), **SALE) as results:
                raise KeyError

        assert before == {task.id for task in anyio.get_running_tasks()}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_a_transport_raises_is_an_error():
    """A CancelledError that a transport raises is an error, not the end of a complete campaign."""

    class Cancelling(GatewayTransport):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            if gateway.requests == 2:
                raise asyncio.CancelledError
            return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)

    gateway = Gateway()
    read: list[SendResult] = []
    transport = Cancelling(gateway)
    async with WebcomClient(token=gateway.token, transport=transport, batch_size=5, in_flight=1) as client:
        with pytest.raises(UsageError, match="cancellation of its own"):
            async with client.stream(phones(20), **SALE) as results:
                async for result in results:
                    read.append(result)

    assert [Outcome.ACCEPTED] * 10 + [Outcome.UNKNOWN] * 5 == [result.outcome for result in read]
    assert not results.report.complete


def test_asyncios_own_timeout_leaves_a_stream_well():
    """`asyncio.timeout` around a stream ends it as a TimeoutError; everything is counted and no task is left."""
    gateway = Gateway()

    async def main() -> tuple[Results, set[object]]:
        arrived = anyio.Event()
        gateway.faults.script(Fault(), Fault(arrived=arrived, until=anyio.Event(), processed=True))
        async with WebcomClient(
            token=gateway.token, transport=GatewayTransport(gateway), batch_size=2, in_flight=1, grace=0.05
        ) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit, client.stream(phones(9), **SALE) as results:
                    await anext(results)
                    await arrived.wait()
                    limit.reschedule(0)
                    await anyio.sleep_forever()
            return results, asyncio.all_tasks() - {asyncio.current_task()}

    results, left = asyncio.run(main(), debug=True)

    assert (set(), 2) == (left, len(gateway.ledger))
    assert (2, 2) == (results.report.accepted, results.report.unknown)
    assert 1 + len(results.unread) == results.report.recipients


async def test_cancellation_at_every_step_loses_nothing(connect: Connect):
    """Cancelled after 0, 1, 2, … turns of the loop, a campaign accounts for everything in the ledger."""
    turns = 0
    complete = False
    while not complete:
        gateway = Gateway()
        read: list[SendResult] = []
        opened: list[Results] = []
        with anyio.CancelScope() as scope:
            async with connect(gateway, batch_size=3, in_flight=2) as client, anyio.create_task_group() as group:
                group.start_soon(_cancel_after, turns, scope)
                await _read_all(client.stream(phones(9), **SALE), opened, read)
                group.cancel_scope.cancel()
        everything = read + [result for results in opened for result in results.unread]
        accepted = {result.phone for result in everything if result.outcome is Outcome.ACCEPTED}
        unknown = {result.phone for result in everything if result.outcome is Outcome.UNKNOWN}
        sent = {sms.phone for sms in gateway.ledger.sent}
        assert accepted <= sent <= accepted | unknown
        assert len(everything) == sum(results.report.recipients for results in opened)
        complete = len(read) == 9
        turns += 1

    assert turns > 5


async def _read_all(campaign: Campaign, opened: list[Results], read: list[SendResult]) -> None:
    async with campaign as results:
        opened.append(results)
        async for result in results:
            read.append(result)


async def _cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


# ---------------------------------------------------------------------------- backpressure, progress, limits


@pytest.mark.parametrize("in_flight", [1, 2, 4])
@pytest.mark.parametrize("readers", [2, 3])
async def test_several_readers_share_the_results(connect: Connect, in_flight: int, readers: int):
    """Each result goes to one reader, and every reader ends."""

    async def read(results: Results, seen: list[str]) -> None:
        seen.extend([result.phone async for result in results])

    async with connect(Gateway(), batch_size=3, in_flight=in_flight) as client:
        for count in range(1, 40):
            seen: list[str] = []
            async with (
                client.stream(phones(count), campaign=f"sale of {count}", **SALE) as results,
                anyio.create_task_group() as tasks,
            ):
                for _ in range(readers):
                    tasks.start_soon(read, results, seen)

            assert sorted(phones(count)) == sorted(seen)


async def test_a_slow_reader_slows_the_sending_down(connect: Connect, webcom_gateway: Gateway):
    """While no reader takes results, at most one batch per request in flight is taken from the source."""
    async with (
        connect(webcom_gateway, batch_size=10, in_flight=3) as client,
        client.stream(phones(10_000), **SALE) as results,
    ):
        for read in range(5):
            await anyio.wait_all_tasks_blocked()
            assert results.progress.taken <= 30 + 10 * read
            await results.next_batch()

    assert results.progress.taken <= 30 + 10 * 5
    assert results.progress.taken == results.report.accepted == len(webcom_gateway.ledger)


async def test_no_more_requests_are_in_flight_than_allowed(connect: Connect, webcom_gateway: Gateway):
    """The limit is the client's: two campaigns and a single message share it."""
    held = anyio.Event()
    webcom_gateway.faults.sometimes(1.0, Fault(until=held))
    async with connect(webcom_gateway, batch_size=1, in_flight=3) as client:
        async with client.stream(phones(5), **SALE) as one, client.stream(phones(5), **SALE) as two:
            await anyio.wait_all_tasks_blocked()
            assert 3 == webcom_gateway.requests == one.progress.in_flight + two.progress.in_flight
            held.set()
            seen = [result async for result in one] + [result async for result in two]

    assert 10 == len(seen) == len(webcom_gateway.ledger)


async def test_progress_and_report_count_the_same(connect: Connect):
    """The report has outcomes, reasons, requests, retries, seconds and the rate."""
    gateway = Gateway()
    gateway.accounts[0].stop_list = set(list(phones(100))[:10])
    gateway.faults.script(Fault(status=503))
    ticks = iter(range(10_000))
    clock = still_clock(monotonic=lambda: float(next(ticks)))
    async with connect(gateway, clock=clock, batch_size=50, in_flight=1) as client:
        async with client.stream(phones(100), campaign="spring", **SALE) as results:
            seen = [result async for result in results]
            assert (100, 0) == (results.progress.recipients, results.progress.in_flight)
    report = results.report

    assert (100, 90, 10) == (len(seen), report.accepted, report.rejected)
    assert {Reason.STOP_LIST: 10} == report.reasons
    assert (3, 1, "spring") == (report.requests, report.retries, report.campaign)
    assert report.seconds > 0
    assert report.recipients_per_second == pytest.approx(100 / report.seconds)
    assert "90 accepted, 10 rejected" in str(report)


# ---------------------------------------------------------------------------- bad calls


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"text": "", "sender": "ACME"}, "text is empty"),
        ({"text": "Sale!", "sender": " "}, "sender is empty"),
        ({"text": "Sale!"}, "sender= is missing"),
        ({"text": "Sale!", "sender": "TWELVE CHARS"}, "has 12 characters"),
        ({"sender": "TWELVE CHARS"}, "has 12 characters"),
        ({"text": "Sale!", "sender": "ACME", "message": message()}, "not both"),
        ({"message": Message(sender="ACME", text="Sale!", url="\ud800")}, "cannot be written as JSON"),
        ({"message": "Sale!"}, "must be a Message"),
        ({"text": "Sale!", "sender": "ACME", "campaign": ""}, "campaign is empty"),
    ],
)
async def test_a_bad_call_raises_before_anything_is_sent(
    connect: Connect, webcom_gateway: Gateway, call: dict, words: str
):
    """A fault in the call raises from the call, and nothing is sent."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=words):
            client.stream(phones(1), **call)

    assert 0 == webcom_gateway.requests


@pytest.mark.parametrize("source", ["79612242243", b"79612242243", Recipient("79612242243"), 79612242243, None])
async def test_a_single_phone_is_no_source(connect: Connect, webcom_gateway: Gateway, source: object):
    """A lone phone would be split into digits, so the error says to put it in a list."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=r"put it in a list|must be an iterable"):
            client.stream(source, **SALE)  # type: ignore[arg-type]


async def test_iterating_an_unopened_campaign_shows_the_right_form(connect: Connect, webcom_gateway: Gateway):
    """`async for` straight over `client.stream(…)` raises a TypeError that shows the right form."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(TypeError, match=r"async with client\.stream"):
            async for _ in client.stream(phones(1), **SALE):  # type: ignore[attr-defined]
                pytest.fail("it is no iterator")


async def test_a_campaign_is_entered_once(connect: Connect, webcom_gateway: Gateway):
    """Entering a campaign a second time is refused, because its source is used up."""
    async with connect(webcom_gateway) as client:
        campaign = client.stream(phones(1), **SALE)
        async with campaign:
            pass
        with pytest.raises(UsageError, match="entered once"):
            async with campaign:
                pass


async def test_a_closed_client_says_so(connect: Connect, webcom_gateway: Gateway):
    """A closed client refuses every call."""
    async with connect(webcom_gateway) as client:
        pass

    with pytest.raises(UsageError, match="closed"):
        client.stream(phones(1), **SALE)
    with pytest.raises(UsageError, match="closed"):
        await client.send("79612242243", **SALE)
    with pytest.raises(UsageError, match="closed"):
        async with client:
            pass


def test_a_client_belongs_to_one_event_loop(anyio_backend_name: str, webcom_gateway: Gateway):
    """A client refuses to be used from a second event loop, instead of hanging."""
    client = WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway))

    async def send() -> SendResult:
        return await client.send("79612242243", **SALE)

    assert Outcome.ACCEPTED is anyio.run(send, backend=anyio_backend_name).outcome
    with pytest.raises(UsageError, match="another event loop"):
        anyio.run(send, backend=anyio_backend_name)


async def test_an_id_sms_that_comes_in_both_halves_of_a_batch_raises_the_alarm():
    """If the two halves of a split batch are answered with one `id_sms`, `IdCollision` is raised."""

    class Halves:
        """Refuses a whole batch, and answers both halves with one number."""

        def __init__(self) -> None:
            self.answers = [b'{"error":"odd"}', accepted(5, 6), accepted(5, 7)]

        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            """Answer."""
            trace.sending()
            assert request.body
            return Reply(400 if len(self.answers) == 3 else 200, {}, self.answers.pop(0))

        async def aclose(self) -> None:
            """Do nothing."""

    async with WebcomClient(token="dummy", transport=Halves(), clock=still_clock(), batch_size=4) as client:
        async with client.stream(phones(4), **SALE) as results:
            with pytest.raises(IdCollision):
                async for _ in results:
                    pass

    assert (2, 2) == (results.report.accepted, results.report.unknown)
