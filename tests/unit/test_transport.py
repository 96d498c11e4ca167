"""One exchange over a real socket: its faults, and what is known after each."""

import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.builders import accepted, phones, still_clock
from tests.conftest import Connect
from tests.raw_servers import RawServer, Talk, accepting, answers, raw_server, reset
from tests.raw_servers import http as framed
from tests.unit.builders import request_of
from webcom_async import (
    ConfigurationError,
    ConnectionLost,
    GatewayUnavailable,
    Knowledge,
    Options,
    Outcome,
    Reason,
    RedirectRefused,
    Reply,
    ReplyTimeout,
    Request,
    RequestTrace,
    SendResult,
    Transport,
    UsageError,
    WebcomClient,
    WebcomError,
)
from webcom_async._http.client_adapter import HttpTransport
from webcom_async._http.exchange import exchange
from webcom_async._http.httpx2_transport import Httpx2Transport
from webcom_async.emulator import Fault, Gateway, GatewayApp, GatewayTransport, serve
from webcom_async.events import Event, TransportFailed

pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.socket,
    # httpx leaves its generator around a body that is not written to the end to the garbage collector; httpx2 does not.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx\\.:ResourceWarning"),
]

CODE = {"text": "Code 1234", "sender": "ACME"}
BATCH = 500
LARGE = 64 << 20  # bytes
SLACK = 8 << 20  # bytes: "a few MiB", the library's and the test server's own together


@pytest.fixture
def library(http_library: str) -> Any:
    """Return the HTTP library under test."""
    return pytest.importorskip(http_library)


@pytest.fixture
def http_library(http: str) -> str:
    """Return the name of the HTTP library under test, which is a caller's own, or the default one."""
    if http == "aiohttp":
        pytest.skip("a caller's own client is of httpx or httpx2")
    return "httpx2" if http == "own" else http


async def exchange_with(transport: Transport, url: str = "http://127.0.0.1", seconds: float = 10.0) -> Reply:
    """Exchange one request for an answer."""
    return await exchange(transport, request_of(url=url), RequestTrace(), timeout=seconds, max_bytes=1_000)


def in_chunks(body: bytes) -> bytes:
    """Return an answer with *body* in one chunk."""
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


async def test_a_hundred_thousand_recipients_over_a_socket(connect_to: Connect):
    """100,000 recipients through real HTTP: as many results, as many in the ledger, none twice."""
    gateway = Gateway()
    with serve(gateway) as base_url:
        async with connect_to(base_url) as client, client.stream(phones(100_000), **CODE) as results:
            accepted = [r.client_id_sms async for r in results if r.outcome is Outcome.ACCEPTED]

    assert 100_000 == len(accepted) == len(set(accepted)) == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()
    assert 200 == gateway.requests


@pytest.mark.parametrize(
    "fault",
    [
        Fault(close=True),
        Fault(close=True, processed=True),
        Fault(cut=0, processed=True),
        Fault(cut=10, processed=True),
        Fault(status=503),
        Fault(status=500, processed=True, body=b"<html>"),
    ],
    ids=["closed", "processed and closed", "no body", "cut body", "busy", "processed and failed"],
)
async def test_a_fault_on_the_socket_costs_a_repetition_and_no_second_sms(connect_to: Connect, fault: Fault):
    """After a closed, cut or refused request, one retry leaves one SMS, with the ledger's `id_sms`."""
    gateway = Gateway()
    gateway.faults.script(Fault(), fault)
    with serve(gateway) as base_url:
        async with connect_to(base_url) as client:
            await client.send("79612242244", **CODE)
            result = await client.send("79612242243", **CODE)

    [sms] = gateway.ledger.to("79612242243")
    assert (Outcome.ACCEPTED, sms.id_sms, 3) == (result.outcome, result.id_sms, gateway.requests)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        framed(gzip.compress(accepted(1)), "content-encoding: br"),
        framed(gzip.compress(accepted(1))[:-1], "content-encoding: gzip"),
        framed(b" " * 300_000),
    ],
    ids=["closed", "not HTTP", "cut", "cut chunk", "unknown coding", "cut gzip", "too large"],
)
async def test_an_incomplete_answer_leaves_the_recipient_unknown(connect_to: Connect, answer: bytes):
    """An incomplete answer leaves the recipient unknown, because the gateway may have processed the request."""
    with raw_server(answers(answer)) as server:
        async with connect_to(server.url, attempts=2) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.UNKNOWN, 2) == (result.outcome, result.attempts)
    assert result.reason in {Reason.CONNECTION_LOST, Reason.BAD_REPLY}


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"],
    ids=["silence", "half a head", "half a body"],
)
async def test_one_deadline_covers_the_whole_exchange(connect_to: Connect, answer: bytes):
    """A gateway that stops talking, at any point, is waited for no longer than `timeout`."""
    with raw_server(answers(answer, hold=True)) as server:
        async with connect_to(server.url, attempts=1, timeout=0.2) as client:
            with anyio.fail_after(10):
                result = await client.send("79612242243", **CODE)

    assert (Outcome.UNKNOWN, Reason.TIMEOUT) == (result.outcome, result.reason)


def drip(server: RawServer, connection: socket.socket, _number: int) -> None:
    """Answer endlessly, a byte at a time."""
    server.request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n")
    while not server.stopping.wait(0.02):
        connection.sendall(b" ")


async def test_a_dripping_answer_is_cut_at_the_deadline(connect_to: Connect):
    """A slow stream of bytes does not extend the deadline."""
    with raw_server(drip) as server:
        async with connect_to(server.url, attempts=1, timeout=0.3) as client:
            with anyio.fail_after(10):
                result = await client.send("79612242243", **CODE)

    assert (Outcome.UNKNOWN, Reason.TIMEOUT) == (result.outcome, result.reason)


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
async def test_a_compressed_answer_is_understood(connect_to: Connect, coding: str, compress: Callable[[bytes], bytes]):
    """An answer that a server or proxy compresses unasked is read like any other."""
    with raw_server(answers(framed(compress(accepted(7)), f"content-encoding: {coding}"))) as server:
        async with connect_to(server.url) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, "7", 1) == (result.outcome, result.id_sms, result.attempts)


def large_body(server: RawServer, connection: socket.socket, _number: int) -> None:
    """Answer with 64 MiB, made as they are sent."""
    server.request(connection)
    connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n".encode())
    part = b" " * 65_536
    for _ in range(LARGE // len(part)):
        connection.sendall(part)


def gzip_bomb(server: RawServer, connection: socket.socket, _number: int) -> None:
    """Answer with 64 MiB of spaces in 64 KiB of gzip, made as they are sent."""
    server.request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n")
    stream = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    part = b" " * 65_536
    for _ in range(LARGE // len(part)):
        connection.sendall(stream.compress(part))
    connection.sendall(stream.flush())


@pytest.mark.parametrize("talk", [large_body, gzip_bomb], ids=["identity", "gzip"])
async def test_a_huge_answer_costs_a_few_mebibytes(connect_to: Connect, talk: Talk):
    """64 MiB, plain or out of a gzip bomb, are cut at a cap in proportion to the batch."""
    with raw_server(talk) as server:
        async with connect_to(server.url, attempts=1, batch_size=BATCH) as client:
            campaign = client.stream(phones(BATCH), **CODE)
            tracemalloc.start()
            try:
                async with campaign as results:
                    outcomes = {result.outcome async for result in results}
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()

    assert {Outcome.UNKNOWN} == outcomes
    assert peak < SLACK


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (framed(b"?", "location: /elsewhere", "content-encoding: br", status="302 Found"), RedirectRefused),
        (framed(b" " * 300_000, status="403 Forbidden"), ConfigurationError),
    ],
    ids=["redirect in brotli", "forbidden in 300 kB"],
)
async def test_a_status_speaks_for_a_body_that_cannot_be_read(
    connect_to: Connect, answer: bytes, error: type[WebcomError]
):
    """A page that is too large or oddly coded does not hide a redirect or a refusal."""
    with raw_server(answers(answer)) as server:
        async with connect_to(server.url) as client:
            with pytest.raises(error):
                await client.send("79612242243", **CODE)

    assert 1 == server.connections


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
async def test_a_redirect_is_not_followed_even_by_a_client_that_follows(library: Any, status: str):
    """A redirect ends the campaign with both URLs, and no other server gets the body with the credentials."""
    with raw_server(answers(accepting())) as other:
        elsewhere = f"{other.url}/json"
        with raw_server(answers(framed(b"", f"location: {elsewhere}", status=status))) as server:
            async with (
                library.AsyncClient(trust_env=False, follow_redirects=True) as mine,
                WebcomClient(token="dummy", base_url=server.url, http_client=mine) as client,
            ):
                with pytest.raises(RedirectRefused) as caught:
                    await client.send("79612242243", **CODE)

    assert (1, 0) == (server.connections, other.connections)
    assert f"{server.url}/json" in str(caught.value)
    assert elsewhere in str(caught.value)


# ---------------------------------------------------------------------------- kept connections


def breaks_when_used_again(end: Callable[[socket.socket], None], *, always: bool) -> Talk:
    """Return a talk that answers the first request of all, and ends its connection at the second; or *always* ends."""

    def talk(server: RawServer, connection: socket.socket, number: int) -> None:
        while server.request(connection):
            if len(server.requests) == 2 or (always and number > 1):
                end(connection)
                return
            connection.sendall(accepting(len(server.requests)))

    return talk


@pytest.mark.parametrize("end", [reset, socket.socket.close], ids=["reset", "closed"])
async def test_a_kept_connection_that_is_closed_meanwhile_is_replaced(
    connect_to: Connect, end: Callable[[socket.socket], None]
):
    """The same bytes, and with them the same ids, go out on a fresh connection, as a second attempt."""
    with raw_server(breaks_when_used_again(end, always=False)) as server:
        async with connect_to(server.url) as client:
            await client.send("79612242244", **CODE)
            result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, "3", 2) == (result.outcome, result.id_sms, result.attempts)
    assert (2, 3) == (server.connections, len(server.requests))
    assert server.requests[1] == server.requests[2]


async def test_an_unrequested_answer_is_dropped(connect_to: Connect):
    """Bytes on an idle connection are not read as the next answer, whose recipient would get another's `id_sms`."""
    idle, said = threading.Event(), threading.Event()

    def says_it_twice(server: RawServer, connection: socket.socket, number: int) -> None:
        while server.request(connection):
            connection.sendall(accepting(len(server.requests)))
            if number == 1:
                idle.wait(20)
                connection.sendall(accepting(len(server.requests)))
                said.set()

    with raw_server(says_it_twice) as server:
        async with connect_to(server.url) as client:
            first = await client.send("79612242244", **CODE)
            idle.set()
            await anyio.to_thread.run_sync(said.wait, 20)
            await anyio.wait_all_tasks_blocked()
            second = await client.send("79612242243", **CODE)

    assert ("1", "2") == (first.id_sms, second.id_sms)


@pytest.mark.parametrize("attempts", [1, 2])
async def test_no_more_requests_leave_than_attempts_allow(connect_to: Connect, attempts: int):
    """A send makes at most `attempts` requests, whether its connection is kept or fresh, and ends unknown."""
    with raw_server(breaks_when_used_again(reset, always=True)) as server:
        async with connect_to(server.url, attempts=attempts) as client:
            await client.send("79612242244", **CODE)
            kept = await client.send("79612242243", **CODE)
            requests_for_kept = len(server.requests) - 1
            fresh = await client.send("79612242242", **CODE)

    for result in (kept, fresh):
        assert (Outcome.UNKNOWN, Reason.CONNECTION_LOST) == (result.outcome, result.reason)
        assert attempts == result.attempts
    assert (attempts, attempts) == (requests_for_kept, len(server.requests) - 1 - requests_for_kept)


@pytest.mark.parametrize(
    ("attempts", "outcome", "requests"), [(1, Outcome.UNKNOWN, 2), (2, Outcome.ACCEPTED, 3)], ids=["one", "two"]
)
@pytest.mark.parametrize("processed", [True, False])
async def test_a_kept_connection_that_breaks_costs_an_attempt(
    connect_to: Connect, attempts: int, outcome: Outcome, requests: int, processed: bool
):
    """The gateway sees one request per attempt, and has sent one SMS at most."""
    gateway = Gateway()
    gateway.faults.script(Fault(), Fault(close=True, processed=processed))
    with serve(gateway) as base_url:
        async with connect_to(base_url, attempts=attempts) as client:
            await client.send("79612242244", **CODE)
            result = await client.send("79612242243", **CODE)

    assert (outcome, attempts, requests) == (result.outcome, result.attempts, gateway.requests)
    assert (processed or outcome is Outcome.ACCEPTED) == len(gateway.ledger.to("79612242243"))


async def test_a_batch_on_a_kept_connection_that_breaks_is_not_halved(connect_to: Connect):
    """A closed connection says nothing about the batch, so the batch is sent again whole."""
    gateway = Gateway()
    gateway.faults.script(Fault(), Fault(close=True))
    with serve(gateway) as base_url:
        async with connect_to(base_url, attempts=1, batch_size=4, in_flight=1) as client:
            report = await client.send_all(phones(12), **CODE)

    assert (3, 0) == (report.requests, report.retries)
    assert (8, 4) == (report.accepted, report.unknown)


async def test_the_first_break_of_a_kept_connection_is_not_waited_for(connect_to: Connect):
    """The second attempt leaves at once, and a third one after the usual back-off."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with raw_server(breaks_when_used_again(reset, always=True)) as server:
        async with connect_to(server.url, attempts=3, clock=still_clock(sleep=sleep, random=lambda: 1.0)) as client:
            await client.send("79612242244", **CODE)
            await client.send("79612242243", **CODE)

    assert [0.0, 1.0] == waits


async def test_a_question_on_a_kept_connection_that_breaks_is_asked_again(connect_to: Connect):
    """A question makes at most `attempts` requests."""
    gateway = Gateway()
    gateway.faults.script(Fault(), Fault(close=True))
    with serve(gateway) as base_url:
        async with connect_to(base_url, attempts=2) as client:
            balances = [await client.balance() for _ in range(2)]
        requests = gateway.requests
        async with connect_to(base_url, attempts=1) as client:
            balances.append(await client.balance())
            gateway.faults.script(Fault(close=True))
            with pytest.raises(ConnectionLost):
                await client.balance()

    assert (3, 3 + 2) == (requests, gateway.requests)
    assert 1 == len(set(balances))


@pytest.mark.parametrize("transport", ["httpx2", "aiohttp"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_second_attempt_passes_over_every_kept_connection(transport: Any):
    """A second attempt uses a new connection, as the pool may hold others that the server has closed."""
    together = threading.Barrier(3)

    def breaks_later(server: RawServer, connection: socket.socket, number: int) -> None:
        server.request(connection)
        if number <= 3:
            together.wait(20)
        connection.sendall(accepting())
        if server.request(connection):
            reset(connection)

    with raw_server(breaks_later) as server:
        async with WebcomClient(
            token="dummy", base_url=server.url, transport=transport, clock=still_clock(), attempts=2
        ) as client:
            async with anyio.create_task_group() as burst:
                for phone in phones(3):
                    burst.start_soon(lambda phone=phone: client.send(phone, **CODE))
            result = await client.send("79612249999", **CODE)

    assert (Outcome.ACCEPTED, 2) == (result.outcome, result.attempts)
    assert (4, 5) == (server.connections, len(server.requests))


async def test_a_kept_connection_whose_server_is_gone_is_in_question(library: Any):
    """A refused fresh connection says nothing about the request before it, which stays possibly sent."""

    def answers_once(server: RawServer, connection: socket.socket, _number: int) -> None:
        server.request(connection)
        server.close_listener()
        connection.sendall(accepting())
        server.request(connection)
        reset(connection)

    with raw_server(answers_once) as server:
        async with library.AsyncClient(trust_env=False) as mine:
            transport = HttpTransport(mine)
            await exchange_with(transport, server.url)
            with pytest.raises(ConnectionLost) as caught:
                await exchange_with(transport, server.url)

    assert Knowledge.POSSIBLY_SENT is caught.value.knowledge


async def test_a_break_tells_whether_its_connection_was_kept(library: Any):
    """An error says whether its connection was kept, so that the retry can decide."""
    broken: list[bool] = []
    with raw_server(breaks_when_used_again(reset, always=True)) as server:
        async with library.AsyncClient(trust_env=False) as mine:
            transport = HttpTransport(mine)
            await exchange_with(transport, server.url)
            for _ in range(2):
                with pytest.raises(ConnectionLost) as caught:
                    await exchange_with(transport, server.url)
                broken.append(caught.value.reused_connection)

    assert [True, False] == broken


async def test_silence_on_a_kept_connection_is_not_repeated(library: Any):
    """Silence on a kept connection is not repeated, as the gateway may be processing the request."""

    def falls_silent(server: RawServer, connection: socket.socket, _number: int) -> None:
        server.request(connection)
        connection.sendall(accepting())
        while server.request(connection):
            pass

    with raw_server(falls_silent) as server:
        async with library.AsyncClient(trust_env=False) as mine:
            transport = HttpTransport(mine)
            await exchange_with(transport, server.url)
            with pytest.raises(ReplyTimeout):
                await exchange_with(transport, server.url, 0.2)

    assert (1, 2) == (server.connections, len(server.requests))


async def test_a_transport_without_connection_facts_is_not_used_twice(library: Any):
    """Without httpcore's word that a connection was kept, no second attempt is made at once."""
    asked = []

    def lose(request: Any) -> None:
        asked.append(request)
        raise library.ReadError("gone")

    async with library.AsyncClient(transport=library.MockTransport(lose)) as mine:
        with pytest.raises(ConnectionLost):
            await exchange_with(HttpTransport(mine))

    assert 1 == len(asked)


@pytest.mark.parametrize("certificate", [None, ssl.SSLCertVerificationError(1, "self-signed")])
async def test_a_client_that_repeats_and_tells_nothing_may_have_sent(library: Any, certificate: Exception | None):
    """A repetition that finds no connection does not make the first attempt, which was lost, a message not sent."""

    class Repeating(library.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any:
            for _ in range(2):
                async for _part in request.stream:
                    pass
            raise library.ConnectError("refused") from certificate

    async with library.AsyncClient(transport=Repeating()) as mine:
        with pytest.raises(ConnectionLost) as caught:
            await exchange_with(HttpTransport(mine))

    assert Knowledge.POSSIBLY_SENT is caught.value.knowledge


# ---------------------------------------------------------------------------- no connection


async def test_a_deadline_before_the_connection_stands_says_that_nothing_was_sent(connect_to: Connect):
    """A request to a host that never accepts the connection is not sent, rather than possibly sent."""
    with unanswered() as base_url:
        async with connect_to(base_url, timeout=0.2, attempts=2) as client:
            with pytest.raises(GatewayUnavailable) as caught:
                await client.send("79612242243", **CODE)

    assert Knowledge.NOT_REACHED is caught.value.knowledge
    assert "is not_sent" in caught.value.__notes__[0]


async def test_a_campaign_to_a_host_that_does_not_answer_is_not_sent(connect_to: Connect):
    """A recipient is not sent, and not unknown, if no byte of its request left."""
    with unanswered() as base_url:
        async with connect_to(base_url, timeout=0.2, attempts=1) as client:
            with pytest.raises(GatewayUnavailable) as caught:
                await client.send_all(phones(3), **CODE)

    report = caught.value.report
    assert report is not None
    assert (3, 0) == (report.not_sent, report.unknown)


async def test_a_name_that_is_not_found_is_looked_up_again(library: Any):
    """A failed name lookup is retried, and the error says that nothing was sent."""
    asked = []

    def not_found(request: Any) -> None:
        asked.append(request)
        raise library.ConnectError("[Errno -2] Name or service not known") from socket.gaierror(-2, "not known")

    async with library.AsyncClient(transport=library.MockTransport(not_found)) as mine:
        async with WebcomClient(token="dummy", http_client=mine, attempts=3, clock=still_clock()) as client:
            with pytest.raises(GatewayUnavailable, match="not known") as caught:
                await client.send("79612242243", **CODE)

    assert (3, Knowledge.NOT_REACHED) == (len(asked), caught.value.knowledge)


@contextmanager
def unanswered() -> Iterator[str]:
    """Yield the URL of a host whose queue is full, so that it accepts no further connection."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# ---------------------------------------------------------------------------- other transports


class Silent:
    """
    A transport that records nothing on its trace, as an incomplete one may.

    Args:
        end: Result or exception of its requests; None if they do not end.
    """

    def __init__(self, end: Reply | Exception | None) -> None:
        self.end = end

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Return or raise *end*."""
        await anyio.lowlevel.checkpoint()
        if self.end is None:
            await anyio.sleep_forever()
        if isinstance(self.end, Exception):
            raise self.end
        assert self.end is not None
        return self.end

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    ("end", "outcome", "reason"),
    [
        (Reply(200, {}, accepted(7)), Outcome.ACCEPTED, Reason.NONE),
        (None, Outcome.UNKNOWN, Reason.TIMEOUT),
        (ConnectionLost(), Outcome.UNKNOWN, Reason.CONNECTION_LOST),
        (KeyError("a bug"), Outcome.UNKNOWN, Reason.CONNECTION_LOST),
    ],
    ids=["answered", "timed out", "lost", "a bug"],
)
async def test_a_transport_that_records_nothing_may_have_sent(
    end: Reply | Exception | None, outcome: Outcome, reason: Reason
):
    """A request whose transport records nothing is possibly sent."""
    async with WebcomClient(token="dummy", transport=Silent(end), timeout=0.05, attempts=1) as client:
        result = await client.send("79612242243", **CODE)

    assert (outcome, reason) == (result.outcome, result.reason)


async def test_a_campaign_that_is_left_while_it_connects_has_not_sent():
    """Recipients whose request is still connecting when the grace ends are not sent."""

    class Connecting(Silent):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            trace.connecting()
            came.set()
            return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)

    came = anyio.Event()
    async with WebcomClient(token="dummy", transport=Connecting(None), grace=0.01, attempts=1) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.stream(phones(3), **CODE) as results:
                await came.wait()
                raise ZeroDivisionError

    assert (3, 0) == (results.report.not_sent, results.report.unknown)


class Slow:
    """A transport whose answer arrives while the event loop is blocked past the deadline."""

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Block the loop, as a web backend's synchronous call does; the answer is here when it ends."""
        await anyio.lowlevel.checkpoint()
        time.sleep(timeout * 1.5)  # noqa: ASYNC251 - the point of the test
        await anyio.lowlevel.checkpoint()
        return Reply(200, {}, b'{"information":[{"state":"send","id_sms":"1"}]}')

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_an_answer_that_is_here_is_not_timed_out():
    """An answer that arrives while the event loop is blocked past the time-out counts."""
    async with WebcomClient(token="dummy", transport=Slow(), timeout=0.1, attempts=1) as client:
        result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


class Buggy(GatewayTransport):
    """A transport that raises a `KeyError` once: before a byte leaves, or after the request was processed."""

    def __init__(self, gateway: Gateway, *, sent: bool) -> None:
        super().__init__(gateway)
        self.sent = sent
        self.failed = False

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Post, but fail the second time."""
        trace.connecting()
        fails = self.failed = self._gateway.requests == 1 and not self.failed
        if not fails or self.sent:
            reply = await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
        if fails:
            raise KeyError("a bug: Code 1234")
        return reply


async def test_a_failure_that_no_http_library_documents_is_a_lost_connection(
    webcom_gateway: Gateway, caplog: pytest.LogCaptureFixture
):
    """An unforeseen exception after the first byte means possibly sent: it is retried, and an event names it."""
    transport, seen = Buggy(webcom_gateway, sent=True), list[Event]()
    async with WebcomClient(
        token=webcom_gateway.token, transport=transport, clock=still_clock(), observers=[seen.append]
    ) as client:
        report = await client.send_all(phones(6), campaign="spring", **CODE)
        async with client.stream(phones(6), campaign="spring", **CODE) as results:
            found = {result.phone: result.id_sms async for result in results}

    failed = [event for event in seen if event.name == "transport_failed"]
    assert (6, 0, [TransportFailed(error="KeyError")]) == (report.accepted, report.unknown, failed)
    assert {sms.phone: sms.id_sms for sms in webcom_gateway.ledger.sent} == found
    assert "Code 1234" not in caplog.text


async def test_a_bug_before_the_first_byte_is_raised(webcom_gateway: Gateway):
    """An unforeseen exception before a byte leaves is raised as it is, with a note, and the next call works."""
    transport = Buggy(webcom_gateway, sent=False)
    async with WebcomClient(token=webcom_gateway.token, transport=transport, clock=still_clock()) as client:
        await client.send("79612242242", **CODE)
        with pytest.raises(KeyError, match="a bug") as caught:
            await client.send("79612242243", **CODE)
        again = await client.send("79612242243", **CODE)

    assert "is not_sent" in caught.value.__notes__[0]
    assert Outcome.ACCEPTED is again.outcome


async def test_a_bug_ends_a_campaign_when_what_is_in_flight_is_settled(webcom_gateway: Gateway):
    """A bug in one batch leaves that batch not sent, waits for the other requests, and counts every recipient."""
    transport = Buggy(webcom_gateway, sent=False)
    read: list[SendResult] = []
    async with WebcomClient(token=webcom_gateway.token, transport=transport, batch_size=5, in_flight=2) as client:
        with pytest.raises(KeyError):
            async with client.stream(phones(100), **CODE) as results:
                async for result in results:
                    read.append(result)

    accepted = [result.phone for result in read if result.outcome is Outcome.ACCEPTED]
    assert sorted(accepted) == sorted(sms.phone for sms in webcom_gateway.ledger.sent)
    assert {Outcome.ACCEPTED, Outcome.NOT_SENT} == {result.outcome for result in read}
    assert results.report.recipients == len(read)


class Closing:
    """A caller's client whose answers fail as they are closed, or stay open until they are cancelled."""

    def __init__(self, client: Any, failure: type[Exception] | None) -> None:
        self._client = client
        self._failure = failure

    @asynccontextmanager
    async def stream(self, *given: Any, **named: Any) -> AsyncIterator[Any]:
        """Answer, and fail afterwards."""
        async with self._client.stream(*given, **named) as response:
            yield response
        if self._failure is not None:
            raise self._failure
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("failure", [IndexError, OSError, None], ids=["a bug", "an error", "no end"])
async def test_an_answer_stands_whatever_comes_of_closing_it(
    library: Any, webcom_gateway: Gateway, failure: type[Exception] | None
):
    """Once an answer is complete, neither a failure nor a deadline while closing changes it."""
    asgi = library.ASGITransport(app=GatewayApp(webcom_gateway))
    async with library.AsyncClient(transport=asgi) as inner:
        mine = Closing(inner, failure)
        async with WebcomClient(
            token=webcom_gateway.token, http_client=mine, base_url="http://127.0.0.1", timeout=0.2, batch_size=5
        ) as client:
            with anyio.fail_after(20):
                single = await client.send("79612249999", **CODE)
                report = await client.send_all(phones(10), **CODE)

    assert (Outcome.ACCEPTED, 1) == (single.outcome, single.attempts)
    assert (10, 0) == (report.accepted, report.retries)


@pytest.mark.parametrize("failure", [OSError, RuntimeError, None], ids=["an error", "a bug", "no end"])
async def test_an_answer_stands_whatever_its_own_stream_does_behind_it(
    library: Any, webcom_gateway: Gateway, failure: type[Exception] | None
):
    """An answer counts even if a wrapper around the caller's transport fails or hangs as it closes the answer."""
    asgi = library.ASGITransport(app=GatewayApp(webcom_gateway))

    class Stream(library.AsyncByteStream):
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in self._inner:
                yield chunk

        async def aclose(self) -> None:
            if failure is not None:
                raise failure
            await anyio.sleep_forever()

    class Wrapping(library.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any:
            response = await asgi.handle_async_request(request)
            return library.Response(response.status_code, headers=response.headers, stream=Stream(response.stream))

    async with library.AsyncClient(transport=Wrapping()) as mine:
        async with WebcomClient(
            token=webcom_gateway.token, http_client=mine, base_url="http://127.0.0.1", timeout=0.2
        ) as client:
            with anyio.fail_after(20):
                result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, 1, 1) == (result.outcome, result.attempts, webcom_gateway.requests)


async def test_an_answer_behind_an_interim_one_stands_with_garbage_behind_it(http: str, connect_to: Connect):
    """An answer between `100 Continue` and garbage in one piece is read."""
    if http in {"httpx", "httpx2"}:
        pytest.skip("what a caller's client keeps is told in other tests")
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + accepting(7) + b"garbage"
    with raw_server(answers(answer)) as server:
        async with connect_to(server.url, attempts=1) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, "7") == (result.outcome, result.id_sms)


async def test_connections_may_expire_while_others_are_given_back(http: str):
    """Requests that end while idle connections are being closed all get their answers."""
    if http != "own":
        pytest.skip("our own connections")
    gateway, clock = Gateway(), {"now": 0.0}
    outcomes: list[Outcome] = []
    people = phones(1_000)
    with serve(gateway) as base_url:
        transport = Httpx2Transport(Options(base_url=base_url), now=lambda: clock["now"])
        async with WebcomClient(token=gateway.token, base_url=base_url, transport=transport, in_flight=32) as client:

            async def send(turns: int) -> None:
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                outcomes.append((await client.send(next(people), **CODE)).outcome)

            async def send_all(*turns: int) -> None:
                async with anyio.create_task_group() as burst:
                    for each in turns:
                        burst.start_soon(send, each)

            for number in range(20):
                await send_all(*[0] * 8)
                clock["now"] += 6.0
                await send_all(*range(0, 30 * number, number or 1))

    assert {Outcome.ACCEPTED: 8 * 20 + 30 * 19} == Counter(outcomes)
    assert len(outcomes) == len(gateway.ledger)


@pytest.mark.parametrize(
    "extra", [accepting(5_000_000), b"garbage", b"\r\n", b"\0" * 3], ids=["answer", "text", "blank", "NUL"]
)
@pytest.mark.parametrize("coding", ["length", "chunked"])
async def test_bytes_behind_an_answer_are_dropped(http: str, connect_to: Connect, coding: str, extra: bytes):
    """A connection with bytes behind its answer is closed, so the next request gets its own answer."""
    if http in {"httpx", "httpx2"}:
        pytest.skip("what a caller's client keeps is told in the next tests")
    if http == "aiohttp" and not extra.strip():
        pytest.skip("aiohttp passes over blank lines between answers, which say nothing")
    encode = framed if coding == "length" else in_chunks

    def says_more(server: RawServer, connection: socket.socket, _number: int) -> None:
        if server.request(connection):
            connection.sendall(encode(accepted(len(server.requests))) + extra)
        # The next request on this connection is read, and lost.
        server.request(connection)

    with raw_server(says_more) as server:
        async with connect_to(server.url) as client:
            results = [await client.send(phone, **CODE) for phone in phones(3)]

    assert [("1", 1), ("2", 1), ("3", 1)] == [(result.id_sms, result.attempts) for result in results]
    assert 3 == len(server.requests)


def says_it_twice(server: RawServer, connection: socket.socket, _number: int) -> None:
    """Answer with another answer behind it, in one piece."""
    while server.request(connection):
        connection.sendall(accepting(len(server.requests)) + accepting(5_000_000))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_callers_client_takes_no_answer_that_was_there_before_the_request(library: Any):
    """An answer that a caller's client kept from before the request is not used, and the request is sent again."""
    with raw_server(says_it_twice) as server:
        async with library.AsyncClient(trust_env=False) as mine:
            async with WebcomClient(token="dummy", base_url=server.url, http_client=mine) as client:
                results = [await client.send(phone, **CODE) for phone in phones(3)]

    assert [Outcome.ACCEPTED] * 3 == [result.outcome for result in results]
    assert "5000000" not in {result.id_sms for result in results}


async def test_a_callers_client_that_keeps_no_connection_takes_no_answer_for_another(library: Any):
    """With a `Connection: close` header, bytes behind an answer are lost with the connection."""
    with raw_server(says_it_twice) as server:
        async with library.AsyncClient(trust_env=False, headers={"connection": "close"}) as mine:
            async with WebcomClient(token="dummy", base_url=server.url, http_client=mine) as client:
                results = [await client.send(phone, **CODE) for phone in phones(3)]

    assert ["1", "2", "3"] == [result.id_sms for result in results]


async def test_a_callers_own_client_is_left_open(library: Any):
    """The client closes only the HTTP client that it opened itself."""
    gateway = Gateway()
    with serve(gateway) as base_url:
        async with library.AsyncClient(trust_env=False) as mine:
            async with WebcomClient(token=gateway.token, base_url=base_url, http_client=mine) as client:
                result = await client.send("79612242243", **CODE)
            assert not mine.is_closed

    assert Outcome.ACCEPTED is result.outcome


async def test_an_attempt_after_a_kept_connection_broke_is_counted(connect_to: Connect):
    """A report counts every request that the gateway sees, also the one after a kept connection broke."""
    gateway = Gateway()
    gateway.faults.script(Fault(), Fault(close=True, processed=True))
    with serve(gateway) as base_url:
        async with connect_to(base_url, in_flight=1, batch_size=5) as client:
            report = await client.send_all(phones(20), **CODE)

    assert (20, 5, 1) == (report.accepted, report.requests, report.retries)
    assert gateway.requests == report.requests


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_a_mock_of_the_http_library_is_understood(name: str):
    """A test with a mock transport of httpx or httpx2 gets the mock's answer."""
    library = pytest.importorskip(name)
    answer = {"information": [{"state": "send", "id_sms": "7"}]}
    mock = library.MockTransport(lambda _request: library.Response(200, json=answer))
    async with library.AsyncClient(transport=mock) as http_client:
        async with WebcomClient(token="dummy", base_url="http://127.0.0.1", http_client=http_client) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, "7") == (result.outcome, result.id_sms)


@pytest.mark.skipif(find_spec("aiohttp") is not None, reason="aiohttp is installed")
def test_an_http_library_that_is_not_installed_is_named():
    """The error says what to install."""
    with pytest.raises(ConfigurationError, match=r"webcom-async\[aiohttp\]"):
        WebcomClient(token="dummy", transport="aiohttp")


@pytest.mark.skipif(find_spec("aiohttp") is None, reason="aiohttp is an extra")
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_aiohttp_on_trio_is_refused():
    """Aiohttp on trio is an error that says what to do, and nothing is sent."""
    async with WebcomClient(token="dummy", transport="aiohttp", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(UsageError, match="leave transport= out"):
            await client.send("79612242243", **CODE)


def test_an_unknown_http_library_is_refused():
    """An unknown HTTP library is an error that lists the known ones."""
    with pytest.raises(ConfigurationError, match="'httpx2', 'aiohttp'"):
        WebcomClient(token="dummy", transport="requests")  # type: ignore[arg-type]


def test_two_ways_to_post_are_refused():
    """A transport together with an HTTP client is an error."""
    with pytest.raises(ConfigurationError, match="not both"):
        WebcomClient(token="dummy", transport=Slow(), http_client=object())  # type: ignore[arg-type]


async def test_a_mock_of_a_callers_client_answers_whole_and_decoded(library: Any):
    """What httpx's own `MockTransport` answers is read as any answer is, compressed or not."""

    def answer(_request: Any) -> Any:
        return library.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b'{"information":[]}'))

    async with library.AsyncClient(transport=library.MockTransport(answer)) as mine:
        reply = await exchange_with(HttpTransport(mine))

    assert (200, b'{"information":[]}') == (reply.status, reply.body)


async def test_a_closed_client_sends_nothing_more(connect_to: Connect):
    """A closed client ends its campaigns, and requests that wait for a slot or a retry do not leave."""
    gateway = Gateway()
    gateway.faults.sometimes(1.0, Fault(delay=0.05))
    with serve(gateway) as base_url:
        async with connect_to(base_url, batch_size=1, in_flight=2) as client:
            async with client.stream(phones(200), **CODE) as results:
                with pytest.raises(WebcomError):
                    async for _ in results:
                        await client.aclose()
            with pytest.raises(UsageError):
                await client.send("79612249999", **CODE)

    # The server has ended, so requests that were in flight then are in the ledger.
    sent = {sms.phone for sms in gateway.ledger.sent}
    assert "79612249999" not in sent
    assert len(sent) < 10
    assert len(sent) <= results.report.accepted + results.report.unknown


async def test_connections_of_a_burst_are_closed(http: str):
    """After a burst, idle connections are closed within seconds, and quiet traffic keeps those that it needs."""
    if http != "own":
        pytest.skip("our own choice")
    closed = threading.Event()

    def answers_until_closed(server: RawServer, connection: socket.socket, _number: int) -> None:
        while server.request(connection):
            connection.sendall(accepting())
        closed.set()

    clock = {"now": 0.0}
    with raw_server(answers_until_closed) as server:
        transport = Httpx2Transport(Options(base_url=server.url), now=lambda: clock["now"])
        try:
            async with anyio.create_task_group() as burst:
                for _ in range(2):
                    burst.start_soon(_post, transport, server.url)
            opened = server.connections
            for clock["now"] in (3.0, 6.0):
                await _post(transport, server.url)
            await anyio.to_thread.run_sync(closed.wait, 10)
        finally:
            await transport.aclose()

    assert (2, 2) == (opened, server.connections)


async def _post(transport: Httpx2Transport, url: str) -> None:
    await exchange_with(transport, url)
