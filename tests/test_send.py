"""One message, awaited: `client.send`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import sniffio

from tests.builders import NOW, message, phones, still_clock
from tests.conftest import Connect
from webcom_async import (
    AuthenticationError,
    ConfigurationError,
    GatewayUnavailable,
    InputError,
    Outcome,
    OutOfBalance,
    Reason,
    Recipient,
    RedirectRefused,
    Reply,
    Request,
    RequestTrace,
    SendResult,
    WebcomClient,
)
from webcom_async.emulator import Behaviour, Fault, Gateway, GatewayTransport

pytestmark = pytest.mark.anyio

CODE = {"text": "Code 1234", "sender": "ACME"}


async def test_one_message_is_sent_and_answered(connect: Connect, webcom_gateway: Gateway):
    """The result has the normalised phone and the gateway's id, and the ledger has the one SMS."""
    async with connect(webcom_gateway) as client:
        result = await client.send("+7 961 224-22-43", "Code 1234", sender="ACME")

    [sms] = webcom_gateway.ledger.sent
    assert (Outcome.ACCEPTED, "79612242243", 1) == (result.outcome, result.phone, result.attempts)
    assert (result.id_sms, result.client_id_sms, "Code 1234", "ACME") == (
        sms.id_sms,
        sms.client_id_sms,
        sms.text,
        sms.sender,
    )


@pytest.mark.parametrize("path", ["/json", "/json/"])
async def test_both_paths_are_reachable(connect: Connect, webcom_gateway: Gateway, path: str):
    """A client posts to `/json` or `/json/`, as configured."""
    async with connect(webcom_gateway, path=path) as client:
        await client.send("79612242243", **CODE)

    assert path == webcom_gateway.received[0].path


async def test_the_header_is_the_documented_one(connect: Connect, webcom_gateway: Gateway):
    """The body goes out as `text/json; charset=utf-8`."""
    async with connect(webcom_gateway) as client:
        await client.send("79612242243", **CODE)

    assert "text/json; charset=utf-8" == webcom_gateway.received[0].headers["content-type"]


async def test_login_and_password_are_in_the_body_without_a_token(connect: Connect, webcom_gateway: Gateway):
    """The body holds either a token or the pair, and never an empty field for the other."""
    async with connect(webcom_gateway, token=None, login="emulator-login", password="emulator-password") as client:
        await client.send("79612242243", **CODE)

    document = json.loads(webcom_gateway.received[0].body)
    del document["message"]
    assert {"login": "emulator-login", "password": "emulator-password"} == document


async def test_the_same_campaign_and_key_send_one_sms(connect: Connect, webcom_gateway: Gateway):
    """A web backend that repeats a call under the same campaign and key gets the first SMS's id."""
    async with connect(webcom_gateway) as client:
        first = await client.send("79612242243", campaign="codes", key="login 17", **CODE)
        again = await client.send("79612242243", campaign="codes", key="login 17", **CODE)
        other = await client.send("79612242243", campaign="codes", key="login 18", **CODE)

    assert first.id_sms == again.id_sms != other.id_sms
    assert 2 == len(webcom_gateway.ledger)


async def test_without_campaign_or_id_every_call_is_a_new_sms(connect: Connect, webcom_gateway: Gateway):
    """Two codes to one phone are two messages."""
    async with connect(webcom_gateway) as client:
        ids = {(await client.send("79612242243", **CODE)).client_id_sms for _ in range(2)}

    assert 2 == len(ids) == len(webcom_gateway.ledger)


async def test_a_given_id_goes_on_the_wire_in_quotes(connect: Connect, webcom_gateway: Gateway):
    """The caller's own id, text or number, is sent as digits in quotes."""
    async with connect(webcom_gateway) as client:
        await client.send("79612242243", client_id_sms=101, **CODE)

    assert b'"client_id_sms":"101"' in webcom_gateway.received[0].body


async def test_a_refused_recipient_is_a_result(connect: Connect, webcom_gateway: Gateway):
    """A recipient on the stop list is a result, not an exception."""
    webcom_gateway.accounts[0].stop_list = {"79612242243"}
    async with connect(webcom_gateway) as client:
        result = await client.send("79612242243", **CODE)

    assert (Outcome.REJECTED, Reason.STOP_LIST) == (result.outcome, result.reason)
    assert "Phone number is on the stop list" == result.error


async def test_one_error_for_the_only_recipient_is_its_refusal(connect: Connect, webcom_gateway: Gateway):
    """A sentence at the top level, with 400, about a single recipient refuses that one."""
    webcom_gateway.faults.script(Fault(status=400, body=b'{"error":"There is no such sender"}'))
    async with connect(webcom_gateway) as client:
        result = await client.send("79612242243", **CODE)

    assert (Outcome.REJECTED, Reason.UNKNOWN_SENDER, 1) == (result.outcome, result.reason, result.attempts)


async def test_processed_and_then_closed_ends_with_one_sms(connect: Connect, webcom_gateway: Gateway):
    """After a lost answer the retry finds the first SMS: one in the ledger, its `id_sms` in the result."""
    webcom_gateway.faults.script(Fault(processed=True, close=True), Fault(processed=True, status=502, body=b""))
    async with connect(webcom_gateway) as client:
        result = await client.send("79612242243", **CODE)

    [sms] = webcom_gateway.ledger.sent
    assert (sms.id_sms, 3) == (result.id_sms, result.attempts)


async def test_no_answer_at_all_is_unknown(connect: Connect, webcom_gateway: Gateway):
    """When every attempt is lost, the result is unknown and has the id to send again under."""
    webcom_gateway.faults.sometimes(1.0, Fault(processed=True, close=True))
    async with connect(webcom_gateway, attempts=2) as client:
        result = await client.send("79612242243", client_id_sms="101", **CODE)

    assert (Outcome.UNKNOWN, Reason.CONNECTION_LOST, "101") == (result.outcome, result.reason, result.client_id_sms)


async def _send_into(ends: list[SendResult], client: WebcomClient, **said: Any) -> None:
    ends.append(await client.send("79612242243", **(CODE | {"client_id_sms": 101} | said)))


async def _send_within(scope: anyio.CancelScope, notes: list[str], client: WebcomClient) -> None:
    with scope:
        try:
            await client.send("79612242243", client_id_sms=101, **CODE)
        except anyio.get_cancelled_exc_class() as exc:
            notes.extend(exc.__notes__)
            raise


@pytest.mark.parametrize("linger", [0.0, 0.001])
async def test_a_second_equal_call_waits_for_the_request_in_flight(webcom_gateway: Gateway, linger: float):
    """Two equal calls send one SMS, and both callers get its result."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    ends: list[SendResult] = []
    transport = GatewayTransport(webcom_gateway)
    async with WebcomClient(token=webcom_gateway.token, transport=transport, linger=linger) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(_send_into, ends, client)
            await arrived.wait()
            calls.start_soon(_send_into, ends, client)
            await anyio.wait_all_tasks_blocked()
            held.set()

    [sms] = webcom_gateway.ledger.sent
    assert [(Outcome.ACCEPTED, sms.id_sms)] * 2 == [(end.outcome, end.id_sms) for end in ends]
    assert 1 == webcom_gateway.requests


@pytest.mark.parametrize("linger", [0.0, 0.001])
async def test_the_request_goes_on_for_a_caller_who_still_waits(webcom_gateway: Gateway, linger: float):
    """The first caller's time-out ends neither the request nor the second caller's wait for it."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    ends: list[SendResult] = []
    notes: list[str] = []

    transport = GatewayTransport(webcom_gateway)
    async with WebcomClient(token=webcom_gateway.token, transport=transport, linger=linger) as client:
        async with anyio.create_task_group() as calls:
            scope = anyio.CancelScope()
            calls.start_soon(_send_within, scope, notes, client)
            await arrived.wait()
            calls.start_soon(_send_into, ends, client)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            held.set()

    assert ["client_id_sms 101 is unknown; send again under this id only"] == notes
    assert [(Outcome.ACCEPTED, 1)] == [(end.outcome, end.attempts) for end in ends]
    assert (1, 1) == (webcom_gateway.requests, len(webcom_gateway.ledger))


async def test_the_same_call_after_a_time_out_gets_what_is_still_in_flight(webcom_gateway: Gateway):
    """With `linger`, a request that its only caller has left goes on, and the same call again returns its result."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    ends: list[SendResult] = []
    transport = GatewayTransport(webcom_gateway)
    async with WebcomClient(token=webcom_gateway.token, transport=transport, linger=0.001) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(lambda: client.send("79612242250", **CODE))  # shares the request
            with anyio.CancelScope() as scope:
                calls.start_soon(_cancel_when, arrived, scope)
                await client.send("79612242243", client_id_sms=101, **CODE)
            for _ in range(2):
                calls.start_soon(_send_into, ends, client)
            await anyio.wait_all_tasks_blocked()
            held.set()

    assert [(Outcome.ACCEPTED, 1)] * 2 == [(end.outcome, end.attempts) for end in ends]
    assert (1, 2) == (webcom_gateway.requests, len(webcom_gateway.ledger))


@pytest.mark.parametrize("said", [{"text": "Code 5678"}, {"sender": "OTHER"}], ids=["text", "sender"])
async def test_another_message_under_an_id_in_flight_is_not_sent(connect: Connect, webcom_gateway: Gateway, said: Any):
    """The gateway would answer it with the first one's `id_sms`, and the new code would never arrive."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    async with connect(webcom_gateway) as client, anyio.create_task_group() as calls:
        calls.start_soon(_send_into, [], client)
        await arrived.wait()
        other = await client.send("79612242243", **(CODE | {"client_id_sms": 101} | said))
        elsewhere = await client.send("79612242244", client_id_sms=101, **CODE)
        held.set()

    assert [(Outcome.NOT_SENT, Reason.ID_REUSED)] * 2 == [(end.outcome, end.reason) for end in (other, elsewhere)]
    assert [("79612242243", "Code 1234")] == [(sms.phone, sms.text) for sms in webcom_gateway.ledger.sent]


async def test_a_call_waits_for_a_campaign_that_has_its_recipient_in_flight(connect: Connect, webcom_gateway: Gateway):
    """A call for a recipient in a batch in flight returns the result of the batch, and sends nothing."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    ends: list[SendResult] = []
    people = [Recipient(phone, 101 + number) for number, phone in enumerate(phones(3))]
    async with connect(webcom_gateway) as client, anyio.create_task_group() as calls:
        calls.start_soon(lambda: client.send_all(people, **CODE))
        await arrived.wait()
        calls.start_soon(_send_into, ends, client)
        other = await client.send("79612242243", client_id_sms=101, text="Code 5678", sender="ACME")
        await anyio.wait_all_tasks_blocked()
        held.set()

    [end] = ends
    assert Reason.ID_REUSED is other.reason
    assert (Outcome.ACCEPTED, webcom_gateway.ledger.ids()["101"]) == (end.outcome, end.id_sms)
    assert (1, 3) == (webcom_gateway.requests, len(webcom_gateway.ledger))


async def test_a_call_that_waits_for_a_campaign_sends_when_that_is_left(connect: Connect, webcom_gateway: Gateway):
    """When the campaign that a call waits for is left, the call sends under the same id, and gets the first SMS."""
    arrived = anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=anyio.Event(), processed=True))
    ends: list[SendResult] = []
    people = [Recipient(phone, 101 + number) for number, phone in enumerate(phones(3))]
    async with connect(webcom_gateway, grace=0.01) as client, anyio.create_task_group() as calls:
        async with client.stream(people, **CODE):
            await arrived.wait()
            calls.start_soon(_send_into, ends, client)
            await anyio.wait_all_tasks_blocked()

    assert [Outcome.ACCEPTED] == [end.outcome for end in ends]
    assert 1 == len(webcom_gateway.ledger.to("79612242243"))


async def test_a_caller_who_leaves_gets_no_denial_while_another_waits(connect: Connect, webcom_gateway: Gateway):
    """When one of two callers gives up, the request still leaves for the other, so its note denies nothing."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
    ends: list[SendResult] = []
    notes: list[str] = []

    async with connect(webcom_gateway, in_flight=1) as client, anyio.create_task_group() as calls:
        calls.start_soon(lambda: client.send("79612242250", **CODE))
        await arrived.wait()
        scope = anyio.CancelScope()
        calls.start_soon(_send_within, scope, notes, client)
        calls.start_soon(_send_into, ends, client)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        held.set()

    assert ["client_id_sms 101 is unknown; send again under this id only"] == notes
    assert [Outcome.ACCEPTED] == [end.outcome for end in ends]


class Leaving(GatewayTransport):
    """A transport whose first answer is lost, or does not come; after that no connection is made."""

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Post once."""
        if self._gateway.requests:
            raise GatewayUnavailable
        return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)


@pytest.mark.parametrize("how", ["unknown", "cancelled", "in a campaign"])
async def test_a_possibly_sent_message_is_not_denied_by_the_next_call(webcom_gateway: Gateway, how: str):
    """A call that cannot connect after a possibly sent one is *unknown*, and does not claim that nothing was sent."""
    arrived = anyio.Event()
    never = Fault(arrived=arrived, until=anyio.Event(), processed=True)
    lost = Fault(close=True, processed=True)
    webcom_gateway.faults.script(never if how == "cancelled" else lost)
    transport = Leaving(webcom_gateway)
    async with WebcomClient(
        token=webcom_gateway.token, transport=transport, clock=still_clock(), attempts=1, grace=0.01
    ) as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as calls:
                if how == "cancelled":
                    calls.start_soon(_cancel_when, arrived, scope)
                if how == "in a campaign":
                    async with client.stream([Recipient("79612242243", 101)], **CODE) as results:
                        ends: list[SendResult] = []
                        calls.start_soon(_send_into, ends, client)
                        async for _ in results:
                            pass
                else:
                    await client.send("79612242243", client_id_sms=101, **CODE)
        again = ends[0] if how == "in a campaign" else await client.send("79612242243", client_id_sms=101, **CODE)

    assert Outcome.UNKNOWN is again.outcome


async def test_another_phone_gets_no_result_from_the_journal_of_a_campaign(
    connect: Connect, webcom_gateway: Gateway, tmp_path: Path
):
    """An id that a campaign in flight has from its journal belongs to the phone that it was used for."""
    people = [Recipient(phone, 101 + number) for number, phone in enumerate(phones(2))]
    spring = {"campaign": "spring", "journal": tmp_path / "spring.journal", **CODE}
    async with connect(webcom_gateway) as client:
        await client.send_all(people[:1], **spring)
        arrived, held = anyio.Event(), anyio.Event()
        webcom_gateway.faults.script(Fault(arrived=arrived, until=held))
        async with anyio.create_task_group() as calls:
            calls.start_soon(lambda: client.send_all(people, **spring))
            await arrived.wait()
            other: list[SendResult] = []
            calls.start_soon(lambda: _send_to(other, client, "79612242299"))
            await anyio.wait_all_tasks_blocked()
            held.set()

    assert [(Outcome.NOT_SENT, Reason.ID_REUSED)] == [(end.outcome, end.reason) for end in other]


async def _send_to(ends: list[SendResult], client: WebcomClient, phone: str) -> None:
    ends.append(await client.send(phone, client_id_sms=101, **CODE))


class Failed(BaseException):
    """What a test's own assertion raises in a transport."""


async def test_an_exception_of_a_transport_reaches_the_caller(webcom_gateway: Gateway):
    """A transport's exception reaches the caller even if it is not an `Exception`, so that a failed test fails."""

    class Failing(GatewayTransport):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            raise Failed

    async with WebcomClient(token=webcom_gateway.token, transport=Failing(webcom_gateway)) as client:
        with pytest.raises(Failed):
            await client.send("79612242243", client_id_sms=101, **CODE)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_an_eager_event_loop_sends_as_another_does():
    """With asyncio's eager tasks, a message under an id of its own leaves, too."""
    gateway = Gateway()

    async def main() -> SendResult:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with WebcomClient(token=gateway.token, transport=GatewayTransport(gateway)) as client:
            return await client.send("79612242243", campaign="codes", key="1", **CODE)

    assert Outcome.ACCEPTED is asyncio.run(main()).outcome
    assert 1 == len(gateway.ledger)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_second_cancellation_does_not_lose_the_id(webcom_gateway: Gateway):
    """A task that is cancelled twice has the note with its id on the exception."""
    arrived = anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=anyio.Event()))
    transport = GatewayTransport(webcom_gateway)
    async with WebcomClient(token=webcom_gateway.token, transport=transport) as client:
        call = asyncio.create_task(client.send("79612242243", client_id_sms=101, **CODE))
        await arrived.wait()
        call.cancel()
        await anyio.lowlevel.checkpoint()
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call

    assert "client_id_sms 101 is unknown" in caught.value.__notes__[0]


async def test_every_caller_gets_an_error_of_its_own(connect: Connect, webcom_gateway: Gateway):
    """An error of the account is raised to every waiting caller, with one note each."""
    arrived, held = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=held, body=b'{"error":"Out of SMS"}'))
    errors: list[Exception] = []

    async def call() -> None:
        try:
            await client.send("79612242243", client_id_sms=101, **CODE)
        except OutOfBalance as exc:
            errors.append(exc)

    async with connect(webcom_gateway) as client, anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(call)
        await arrived.wait()
        held.set()

    assert 3 == len({id(error) for error in errors})
    assert [1] * 3 == [len(error.__notes__) for error in errors]


async def test_a_cancelled_call_ends_at_once_and_names_its_id(
    connect: Connect, webcom_gateway: Gateway, caplog: pytest.LogCaptureFixture
):
    """A web backend's time-out is obeyed without grace; a note and the log say under which id to ask again."""
    arrived = anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=anyio.Event(), processed=True))
    notes: list[str] = []
    async with connect(webcom_gateway) as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when, arrived, scope)
                try:
                    await client.send("79612242243", client_id_sms=101, **CODE)
                except anyio.get_cancelled_exc_class() as exc:
                    notes += exc.__notes__
                    raise
        again = await client.send("79612242243", client_id_sms=101, **CODE)

    assert ["client_id_sms 101 is unknown; send again under this id only"] == notes
    assert [("101", "unknown")] == [
        (r.client_id_sms, r.outcome) for r in caplog.records if vars(r).get("event") == "send_ended"
    ]
    assert (Outcome.ACCEPTED, 1) == (again.outcome, len(webcom_gateway.ledger.to("79612242243")))


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(body=b'{"error":"Incorrect login or password"}'), AuthenticationError, "Incorrect login"),
        (Fault(body=b'{"error":"Out of SMS"}'), OutOfBalance, "Out of SMS"),
        (Fault(status=404, body=b"<h1>no</h1>"), ConfigurationError, "404"),
        (Fault(status=302, headers={"location": "https://elsewhere.example/"}), RedirectRefused, "elsewhere"),
    ],
    ids=["login", "balance", "not found", "redirect"],
)
async def test_an_error_that_would_stop_every_call_is_an_exception(
    connect: Connect, webcom_gateway: Gateway, fault: Fault, error: type[Exception], words: str
):
    """An error of the account or the set-up is raised at the first attempt, with the id in a note."""
    webcom_gateway.faults.script(fault)
    async with connect(webcom_gateway) as client:
        with pytest.raises(error, match=words) as caught:
            await client.send("79612242243", client_id_sms=7, **CODE)

    assert 1 == webcom_gateway.requests
    assert ["client_id_sms 7 is not_sent; send again under this id only"] == caught.value.__notes__
    assert not webcom_gateway.ledger.sent


async def test_a_redirect_is_not_followed(connect: Connect):
    """The body holds the password: it goes to the configured URL only."""
    gateway = Gateway(behaviour=Behaviour(redirect=True))
    async with connect(gateway) as client:
        with pytest.raises(RedirectRefused, match="/json/"):
            await client.send("79612242243", **CODE)

    assert ["/json"] == [request.path for request in gateway.received]


async def test_a_refused_connection_is_an_exception_and_nothing_was_sent(connect_to: Connect, unused_port: int):
    """Without a connection nothing is possibly sent."""
    async with connect_to(f"http://127.0.0.1:{unused_port}", attempts=2) as client:
        with pytest.raises(GatewayUnavailable):
            await client.send("79612242243", **CODE)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"phone": "CALL-ME", **CODE}, "'CALL-ME' is not a phone number"),
        ({"phone": "79612242243", "text": "", "sender": "ACME"}, "text is empty"),
        ({"phone": "79612242243", "text": "Code", "sender": ""}, "sender is empty"),
        ({"phone": "79612242243", "text": "Code"}, "sender= is missing"),
        ({"phone": "79612242243"}, "no text"),
        ({"phone": "79612242243", "client_id_sms": "12a", **CODE}, "decimal digits"),
        ({"phone": "79612242243", "client_id_sms": "1" * 20, **CODE}, "19 digits"),
        ({"phone": "79612242243", "validity_period": NOW.replace(tzinfo=None), **CODE}, "aware"),
        ({"phone": "79612242243", "validity_period": NOW.replace(year=2029), **CODE}, "is past"),
        ({"phone": "79612242243", "message": message(), "text": "Code"}, "not both"),
        ({"phone": "79612242243", "message": "Code"}, "must be a Message"),
    ],
)
async def test_bad_input_is_an_error_before_anything_is_sent(
    connect: Connect, webcom_gateway: Gateway, call: dict, words: str
):
    """Bad input raises an error that says what is wrong and what to do, and makes no request."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=words):
            await client.send(**call)

    assert 0 == webcom_gateway.requests


async def test_a_loop_over_a_transport_that_never_waits_lets_others_run(connect: Connect):
    """A time-out fires around a loop over a transport that never waits, such as a mock."""
    with anyio.move_on_after(0.2) as scope:
        async with connect(Gateway()) as client:
            while True:
                await client.send("79612242243", **CODE)

    assert scope.cancelled_caught


async def test_a_cancellation_that_is_pending_stops_a_message_that_has_not_left(connect: Connect):
    """A pending cancellation, also one of asyncio's own, stops a message before it leaves, and a note says so."""
    if sniffio.current_async_library() != "asyncio":
        pytest.skip("asyncio's own")
    gateway = Gateway()

    async def cancels_itself() -> None:
        async with connect(gateway) as client:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await client.send("79612242243", **CODE)

    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.create_task(cancels_itself())

    assert [] == gateway.ledger.sent
    assert "is not_sent" in caught.value.__notes__[0]
