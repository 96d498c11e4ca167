"""The emulator's three faces, in process, ASGI and a socket, and the fixture that provides it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import msgspec
import pytest

from tests.builders import message, numbered_gateway, phones, send_request, wire_phones
from webcom_async import (
    ConnectionLost,
    Outcome,
    ReplyError,
    Request,
    RequestTrace,
    Transport,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import Behaviour, Fault, Gateway, GatewayApp, GatewayTransport, serve

pytestmark = pytest.mark.anyio
pytest_plugins = ["pytester"]

URL = "http://127.0.0.1/json"
HEADERS = {"content-type": "text/json; charset=utf-8"}
ACCEPTED = {"information": [{"state": "send", "id_sms": "1000001"}]}
# The effect of a fault on a request: whether the gateway has sent the message, and its answer.
ANSWERED = [
    (Fault(), 1, (200, ACCEPTED)),
    (Fault(headers={"retry-after": "5"}), 1, (200, ACCEPTED)),
    (Fault(status=503), 0, (503, None)),
    (Fault(status=503, processed=True), 1, (503, ACCEPTED)),
    (Fault(body=b'{"error":"Out of SMS"}'), 0, (200, {"error": "Out of SMS"})),
    (Fault(status=502, body=b'{"error":"?"}', processed=True), 1, (502, {"error": "?"})),
]
BROKEN = [
    (Fault(close=True), 0),
    (Fault(close=True, processed=True), 1),
    (Fault(cut=0), 1),
    (Fault(cut=5), 1),
    (Fault(cut=5, status=500), 0),
]


def request_to(gateway: Gateway, count: int = 1) -> Request:
    """Return a request to *count* recipients."""
    return send_request([(message(), wire_phones(count))], token=gateway.token)


def read(status: int, body: bytes) -> tuple[int, Any]:
    """Return status and document of an answer; None for an empty body."""
    return status, json.loads(body) if body else None


# ---------------------------------------------------------------------------- in process


async def post(gateway: Gateway, *, max_bytes: int = 65_536) -> tuple[int, Any]:
    """Return status and document that a transport in process answers."""
    reply = await GatewayTransport(gateway).send(request_to(gateway), RequestTrace(), timeout=30.0, max_bytes=max_bytes)
    return read(reply.status, reply.body)


async def test_a_transport_answers_in_process():
    """Status, headers and body are the gateway's, and it keeps the request as a server would."""
    gateway = numbered_gateway()
    transport: Transport = GatewayTransport(gateway)
    slashed = msgspec.structs.replace(request_to(gateway), url="http://127.0.0.1/json/?x=1")
    reply = await transport.send(slashed, RequestTrace(), timeout=30.0, max_bytes=65_536)

    assert ((200, ACCEPTED), HEADERS) == (read(reply.status, reply.body), reply.headers)
    [request] = gateway.received
    assert ("POST", "/json/", HEADERS, request_to(gateway).body) == (
        request.method,
        request.path,
        request.headers,
        request.body,
    )


@pytest.mark.parametrize(("fault", "sent", "answer"), ANSWERED)
async def test_a_fault_spoils_an_answer_in_process(fault: Fault, sent: int, answer: tuple[int, Any]):
    """A fault can replace status, headers and body, with the message sent or not; the next request is fine."""
    gateway = numbered_gateway()
    gateway.faults.script(fault)

    assert answer == await post(gateway)
    assert sent == len(gateway.ledger)
    assert (200, ACCEPTED) == await post(gateway)


@pytest.mark.parametrize(("fault", "sent"), BROKEN)
async def test_a_fault_breaks_the_connection_in_process(fault: Fault, sent: int):
    """Before or after the work, or in the middle of the answer, the client learns no more than on a socket."""
    gateway = numbered_gateway()
    gateway.faults.script(fault)

    with pytest.raises(ConnectionLost):
        await post(gateway)
    assert sent == len(gateway.ledger)


async def test_headers_of_a_fault_are_added_to_the_real_ones():
    """A fault adds headers and keeps the others."""
    gateway = numbered_gateway()
    gateway.faults.script(Fault(headers={"retry-after": "5"}))
    reply = await GatewayTransport(gateway).send(request_to(gateway), RequestTrace(), timeout=30.0, max_bytes=65_536)

    assert HEADERS | {"retry-after": "5"} == reply.headers


async def test_an_answer_over_the_cap_is_refused():
    """As over HTTP, exactly `max_bytes` pass, and one byte more is a `ReplyError`."""
    gateway = numbered_gateway()
    size = len(json.dumps(ACCEPTED, separators=(",", ":")))

    assert (200, ACCEPTED) == await post(gateway, max_bytes=size)
    with pytest.raises(ReplyError, match=f"over {size - 1} bytes"):
        await post(gateway, max_bytes=size - 1)


async def test_a_closed_transport_refuses():
    """After `aclose` nothing is posted; closing twice is fine."""
    gateway = numbered_gateway()
    transport = GatewayTransport(gateway)
    await transport.aclose()
    await transport.aclose()

    with pytest.raises(UsageError, match="closed"):
        await transport.send(request_to(gateway), RequestTrace(), timeout=30.0, max_bytes=65_536)
    assert 0 == gateway.requests


@pytest.mark.parametrize("close", [False, True])
async def test_a_request_can_be_held(close: bool):
    """A test sees the request arrive and decides when it continues; until then nothing is sent."""
    gateway, arrived, go_on = numbered_gateway(), anyio.Event(), anyio.Event()
    gateway.faults.script(Fault(processed=True, close=close, arrived=arrived, until=go_on))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_posted, gateway)
        await arrived.wait()
        assert (1, 0) == (gateway.requests, len(gateway.ledger))
        go_on.set()

    assert 1 == len(gateway.ledger)


async def _posted(gateway: Gateway) -> None:
    with suppress(ConnectionLost):
        await post(gateway)


@pytest.mark.parametrize("held", ["latency", "delay"])
async def test_a_client_that_stops_waiting_undoes_nothing(held: str):
    """An answer is delayed after the work is done, so a client that gives up does not undo the message."""
    gateway = numbered_gateway(latency=3600.0 if held == "latency" else 0.0)
    gateway.faults.script(Fault(delay=3600.0 if held == "delay" else 0.0))

    with anyio.move_on_after(0.05) as patience:
        await post(gateway)
    assert patience.cancelled_caught
    assert 1 == len(gateway.ledger)


async def test_latency_and_delay_add_up():
    """Every answer takes the gateway's latency, and a fault's delay on top."""
    gateway = numbered_gateway(latency=0.03)
    gateway.faults.script(Fault(delay=0.03))
    start = time.perf_counter()
    await post(gateway)

    assert time.perf_counter() - start >= 0.055  # timers may fire a little early


async def test_a_client_runs_a_campaign_on_the_transport():
    """A client needs only the transport, and its claims agree with the ledger."""
    gateway = numbered_gateway(behaviour=Behaviour(numeric_ids=True, reverse=True, echo_client_ids=True))
    async with (
        WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=3) as client,
        client.stream(phones(10), text="Sale!", sender="ACME") as results,
    ):
        seen = [result async for result in results]

    assert (10, {Outcome.ACCEPTED}) == (len(seen), {result.outcome for result in seen})
    assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in seen}


# ---------------------------------------------------------------------------- ASGI


def hang_up(_scope: object) -> None:
    """Fail like a server whose connection is gone."""
    raise httpx2.RemoteProtocolError("closed")


@pytest.fixture
async def asgi() -> AsyncIterator[tuple[Gateway, httpx2.AsyncClient]]:
    """Return a gateway and an HTTP client that reaches it without a socket."""
    gateway = numbered_gateway()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=GatewayApp(gateway, hang_up))) as client:
        yield gateway, client


@pytest.mark.parametrize(("fault", "sent", "answer"), ANSWERED)
async def test_an_application_answers_as_the_transport_does(
    asgi: Any, fault: Fault, sent: int, answer: tuple[int, Any]
):
    """One core behind both: the same faults, the same answers, the same ledger."""
    gateway, client = asgi
    gateway.faults.script(fault)
    response = await client.post(URL, content=request_to(gateway).body)

    assert answer == read(response.status_code, response.content)
    assert str(len(response.content)) == response.headers["content-length"]
    assert fault.headers.items() <= dict(response.headers).items()
    assert sent == len(gateway.ledger)


@pytest.mark.parametrize(("fault", "sent"), BROKEN)
async def test_an_application_hangs_up(asgi: Any, fault: Fault, sent: int):
    """A server that can close connections is asked to do so."""
    gateway, client = asgi
    gateway.faults.script(fault)

    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post(URL, content=request_to(gateway).body)
    assert sent == len(gateway.ledger)


async def test_an_application_sees_the_whole_request(asgi: Any):
    """Method, path, headers and body arrive as they were sent, in however many pieces."""
    gateway, client = asgi

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    body = request_to(gateway, 3).body
    response = await client.post("http://emulator/json/", content=pieces(), headers={"X-Test": "1"})

    assert 200 == response.status_code
    [request] = gateway.received
    assert ("POST", "/json/", "1", body) == (request.method, request.path, request.headers["x-test"], request.body)


async def test_the_ledger_is_a_page(asgi: Any):
    """A request over HTTP shows the ledger, and is itself counted."""
    gateway, client = asgi
    await client.post(URL, content=request_to(gateway, 3).body)

    assert {"sent": 3, "billed_twice": 0, "repeats": 0, "requests": 2} == (
        await client.get("http://emulator/emulator/ledger")
    ).json()


async def spoken(app: GatewayApp, scope: MutableMapping[str, Any], *events: MutableMapping[str, Any]) -> list[Any]:
    """Return the events that *app* sends when a server gives it *events*."""
    waiting, sent = list(events), []

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    await app(scope, receive, send)
    assert [] == waiting
    return sent


def http_scope() -> dict[str, Any]:
    """Return the scope of a request."""
    return {"type": "http", "method": "POST", "path": "/json", "headers": [], "client": ("127.0.0.1", 1)}


@pytest.mark.parametrize(("fault", "body"), [(Fault(close=True), b""), (Fault(cut=0), b""), (Fault(cut=5), b'{"inf')])
async def test_a_server_that_cannot_hang_up_is_given_half_an_answer(fault: Fault, body: bytes):
    """The answer has fewer bytes than its header promises, so every server closes such a connection."""
    gateway = numbered_gateway()
    gateway.faults.script(fault)
    event = {"type": "http.request", "body": request_to(gateway).body, "more_body": False}
    start, part = await spoken(GatewayApp(gateway), http_scope(), event)

    assert int(dict(start["headers"])[b"content-length"]) > len(part["body"])
    assert (body, True) == (part["body"], part["more_body"])


async def test_a_server_is_waited_for_after_hanging_up():
    """The application ends only when the server reports that the connection is gone."""
    gateway, hung_up = numbered_gateway(), list[Any]()
    gateway.faults.script(Fault(close=True))
    request = {"type": "http.request", "body": request_to(gateway).body}
    scope = http_scope()

    assert [] == await spoken(GatewayApp(gateway, hung_up.append), scope, request, {"type": "http.disconnect"})
    assert [scope] == hung_up


async def test_a_client_that_leaves_while_sending_is_no_request():
    """Half a body is never processed."""
    gateway = numbered_gateway()
    half = {"type": "http.request", "body": b'{"token":', "more_body": True}

    assert [] == await spoken(GatewayApp(gateway), http_scope(), half, {"type": "http.disconnect"})
    assert 0 == gateway.requests


async def test_a_server_may_start_and_stop_the_application():
    """Lifespan events are acknowledged; nothing needs preparation."""
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    assert [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}] == await spoken(
        GatewayApp(numbered_gateway()), {"type": "lifespan"}, *events
    )


async def test_the_application_speaks_http_only():
    """Another protocol is an error in the set-up, and raises."""
    with pytest.raises(RuntimeError, match="websocket"):
        await spoken(GatewayApp(numbered_gateway()), {"type": "websocket"})


# ---------------------------------------------------------------------------- on a socket


class ThreadGate:
    """An event between a test and the server's thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.passed = threading.Event()

    def set(self) -> None:
        """Let waiting tasks and threads pass."""
        self._event.set()

    async def wait(self) -> None:
        """Wait in the server's loop."""
        await anyio.to_thread.run_sync(self._event.wait)
        self.passed.set()

    def wait_here(self) -> None:
        """Wait in the test."""
        assert self._event.wait(10.0)


def sent_to(base_url: str, gateway: Gateway, client: httpx2.Client) -> tuple[int, Any]:
    """Return status and document that a server answers."""
    response = client.post(f"{base_url}/json", content=request_to(gateway).body)
    return read(response.status_code, response.content)


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    """Return an HTTP client that ignores the environment's proxies."""
    with httpx2.Client(trust_env=False, timeout=10.0) as opened:
        yield opened


@pytest.mark.socket
@pytest.mark.parametrize(("fault", "sent", "answer"), ANSWERED)
def test_a_server_answers_as_the_transport_does(client: httpx2.Client, fault: Fault, sent: int, answer: Any):
    """One core behind all faces: the same faults, the same answers, the same ledger."""
    gateway = numbered_gateway()
    gateway.faults.script(fault)
    with serve(gateway) as base_url:
        assert answer == sent_to(base_url, gateway, client)
        assert sent == len(gateway.ledger)
        assert (200, ACCEPTED) == sent_to(base_url, gateway, client)


@pytest.mark.socket
@pytest.mark.parametrize("reused", [False, True], ids=["first request", "reused connection"])
@pytest.mark.parametrize(("fault", "sent"), BROKEN)
def test_a_server_breaks_the_connection(client: httpx2.Client, fault: Fault, sent: int, reused: bool):
    """The connection breaks before or after the work or in the middle of the answer, whether fresh or kept."""
    gateway = numbered_gateway()
    gateway.faults.script(*[Fault(status=500)] * reused, fault)
    with serve(gateway) as base_url:
        if reused:
            assert (500, None) == sent_to(base_url, gateway, client)
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            sent_to(base_url, gateway, client)
        assert sent == len(gateway.ledger)
        assert (200, ACCEPTED) == sent_to(base_url, gateway, client)


@pytest.mark.socket
def test_an_answer_is_cut_where_the_fault_says():
    """Status, headers and five bytes of the body arrive, and then the connection ends."""
    gateway = numbered_gateway()
    gateway.faults.script(Fault(cut=5))
    with serve(gateway) as base_url:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
        connection.request("POST", "/json", request_to(gateway).body)
        response = connection.getresponse()
        with pytest.raises(http.client.IncompleteRead) as cut:
            response.read()
        connection.close()

    assert (200, b'{"inf') == (response.status, cut.value.partial)


@pytest.mark.socket
def test_connections_are_kept():
    """Requests of one client come over one connection, as with the vendor's web server."""
    gateway = numbered_gateway()
    with serve(gateway) as base_url:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
        ports = []
        for _ in range(3):
            connection.request("POST", "/json", request_to(gateway).body)
            assert b'"state":"send"' in connection.getresponse().read()
            ports.append(connection.sock.getsockname()[1])
        connection.close()

    assert 1 == len(set(ports))


@pytest.mark.socket
def test_only_the_faulty_connection_is_closed(client: httpx2.Client):
    """A request that is held on another connection still gets its answer."""
    gateway, arrived, go_on = numbered_gateway(), ThreadGate(), ThreadGate()
    gateway.faults.script(Fault(arrived=arrived, until=go_on), Fault(close=True))
    answers: list[Any] = []
    with serve(gateway) as base_url:
        other = threading.Thread(target=lambda: answers.append(httpx2.get(f"{base_url}/json", trust_env=False)))
        other.start()
        arrived.wait_here()
        with pytest.raises(httpx2.TransportError):
            sent_to(base_url, gateway, client)
        go_on.set()
        other.join()

    assert ["POST data is missing"] == [answer.json()["error"] for answer in answers]


@pytest.mark.socket
def test_a_client_that_leaves_before_a_fault_closes_is_no_error(
    caplog: pytest.LogCaptureFixture, client: httpx2.Client
):
    """If the client has closed the connection that a fault would close, the server reports no error."""
    gateway, arrived, go_on = numbered_gateway(), ThreadGate(), ThreadGate()
    gateway.faults.script(Fault(arrived=arrived, until=go_on, close=True))
    with serve(gateway) as base_url:
        with socket.create_connection((urlsplit(base_url).hostname, urlsplit(base_url).port)) as leaving:
            leaving.sendall(b"POST /json HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            arrived.wait_here()
        sent_to(base_url, gateway, client)  # by now the server has noticed the closed connection
        go_on.set()
        assert go_on.passed.wait(10.0)
        for _ in range(3):  # a few turns of the server's loop, in which it meets the fault
            sent_to(base_url, gateway, client)

    assert [] == [record.getMessage() for record in caplog.records if record.exc_info]


@pytest.mark.socket
def test_latency_is_felt_on_a_socket(client: httpx2.Client):
    """Every answer is delayed by the latency."""
    gateway = numbered_gateway(latency=0.05)
    with serve(gateway) as base_url:
        start = time.perf_counter()
        sent_to(base_url, gateway, client)

    assert time.perf_counter() - start >= 0.045  # timers may fire a little early


@pytest.mark.socket
def test_two_servers_know_nothing_of_each_other(client: httpx2.Client):
    """Each server has its own port, ledger and faults, and closes alone."""
    one, two = numbered_gateway(), numbered_gateway()
    one.faults.script(Fault(close=True))
    with serve(two) as second:
        with serve(one) as first:
            with pytest.raises(httpx2.TransportError):
                sent_to(first, one, client)
            assert (200, ACCEPTED) == sent_to(second, two, client)
        assert (200, ACCEPTED) == sent_to(second, two, client)

    assert first != second
    assert (0, 1, 1) == (len(one.ledger), len(two.ledger), two.ledger.repeats)


@pytest.mark.socket
def test_a_port_that_is_taken_is_an_error(client: httpx2.Client):
    """A second emulator on a port does not start, and the first goes on, so that no client reaches the wrong one."""
    gateway = numbered_gateway()
    with serve(gateway) as base_url:
        with pytest.raises(OSError, match="in use"), serve(numbered_gateway(), port=urlsplit(base_url).port or 0):
            pytest.fail("two servers share a port")
        assert (200, ACCEPTED) == sent_to(base_url, gateway, client)


@pytest.mark.socket
def test_another_machines_address_is_an_error():
    """An emulator listens on this machine only."""
    with pytest.raises(OSError, match="assign"), serve(numbered_gateway(), host="192.0.2.1"):
        pytest.fail("a documentation address is no address of this machine")


@pytest.mark.socket
def test_a_server_is_gone_when_its_block_is_left():
    """Port and thread are free again at once, even with a request in flight."""
    gateway, arrived = numbered_gateway(), ThreadGate()
    gateway.faults.script(Fault(arrived=arrived, delay=3600.0))
    before = threading.active_count()
    with serve(gateway) as base_url:
        port = urlsplit(base_url).port or 0
        waiting = socket.create_connection(("127.0.0.1", port))
        waiting.sendall(b"POST /json HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        arrived.wait_here()
    waiting.close()

    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pytest.fail("somebody still listens")
    assert before == threading.active_count()
    with serve(gateway, port=port) as again:
        assert base_url == again


@pytest.mark.socket
async def test_a_client_runs_a_campaign_over_a_socket():
    """The default transport against a real server: the client's claims agree with the ledger."""
    gateway = numbered_gateway()
    with serve(gateway) as base_url:
        async with (
            WebcomClient(token=gateway.token, base_url=base_url, batch_size=3) as client,
            client.stream(phones(10), text="Sale!", sender="ACME") as results,
        ):
            seen = [result async for result in results]

    assert sorted(phones(10)) == sorted(result.phone for result in seen)
    assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in seen}
    assert {"text/json; charset=utf-8"} == {request.headers["content-type"] for request in gateway.received}


# ---------------------------------------------------------------------------- the fixture


def test_the_fixture_needs_no_set_up(pytester: pytest.Pytester):
    """Any project that has the package has the fixture: a new gateway with one account for every test."""
    pytester.makepyfile("""
        import pytest
        from webcom_async.emulator import Gateway

        @pytest.mark.parametrize("time", [1, 2])
        def test_gateway(webcom_gateway, time):
            assert isinstance(webcom_gateway, Gateway)
            assert [webcom_gateway.token] == [account.token for account in webcom_gateway.accounts]
            assert 0 == len(webcom_gateway.ledger) == len(webcom_gateway.received)
            webcom_gateway.ledger.sent.append("of this test only")
    """)

    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=2)


def test_the_fixture_is_listed_with_its_meaning(pytester: pytest.Pytester):
    """`pytest --fixtures` shows the fixture with its use."""
    listed = pytester.runpytest_subprocess("--fixtures")

    listed.stdout.fnmatch_lines(["webcom_gateway*", "*emulated gateway with one account*"])
