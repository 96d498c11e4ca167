"""One exchange over a real socket: what can happen to it, and what is then known."""

import gzip
import socket
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

from tests.builders import accepted, phones, request_of, still_clock
from tests.conftest import Connect
from tests.raw_servers import RawServer, Talk, accepting, answers, raw_server, reset
from tests.raw_servers import http as framed
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
    """Closed, cut or refused: one more request ends with one SMS and the `id_sms` that the ledger has."""
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
async def test_what_is_no_whole_answer_leaves_the_recipient_unknown(connect_to: Connect, answer: bytes):
    """The request may have been processed: nothing else is claimed, and nothing else is raised."""
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
    """Answer without end, a byte at a time."""
    server.request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n")
    while not server.stopping.wait(0.02):
        connection.sendall(b" ")


async def test_a_dripping_answer_is_cut_at_the_deadline(connect_to: Connect):
    """Bytes that keep coming do not put the deadline off."""
    with raw_server(drip) as server:
        async with connect_to(server.url, attempts=1, timeout=0.3) as client:
            with anyio.fail_after(10):
                result = await client.send("79612242243", **CODE)

    assert (Outcome.UNKNOWN, Reason.TIMEOUT) == (result.outcome, result.reason)


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
async def test_a_compressed_answer_is_understood(connect_to: Connect, coding: str, compress: Callable[[bytes], bytes]):
    """A server, or a proxy in between, that compresses unasked is no reason to doubt an SMS."""
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
    """The body holds the credentials, so a redirect ends the campaign with both URLs, and nobody else is asked."""
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


async def test_an_answer_that_comes_unasked_is_nobodys(connect_to: Connect):
    """What is said on an idle connection would give the next recipient another one's `id_sms`: it is not taken up."""
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
    """A send makes so many requests and no more, whether its connection was kept or fresh, and ends unknown."""
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
    """A connection that the server has closed says nothing about who is in the batch: one attempt is one request."""
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
    """The balance is asked for as often as `attempts` says, and no more often."""
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
    """A pool may hold more connections that the server has closed: the fresh one is fresh."""
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
    """That no fresh connection can be had says nothing about the request that went out before."""

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
    """The error says so, for whoever decides about another attempt; a fresh connection's error does not."""
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
    """A connection that is open and silent may be at work on the request."""

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


async def test_a_transport_that_tells_nothing_of_its_connections_is_not_asked_twice(library: Any):
    """Whether a connection was kept is told by httpcore; elsewhere nothing is guessed."""
    asked = []

    def lose(request: Any) -> None:
        asked.append(request)
        raise library.ReadError("gone")

    async with library.AsyncClient(transport=library.MockTransport(lose)) as mine:
        with pytest.raises(ConnectionLost):
            await exchange_with(HttpTransport(mine))

    assert 1 == len(asked)


# ---------------------------------------------------------------------------- no connection


async def test_a_deadline_before_the_connection_stands_says_that_nothing_was_sent(connect_to: Connect):
    """A host that does not answer a connection attempt has not got the request: not reached, and not in question."""
    with unanswered() as base_url:
        async with connect_to(base_url, timeout=0.2, attempts=2) as client:
            with pytest.raises(GatewayUnavailable) as caught:
                await client.send("79612242243", **CODE)

    assert Knowledge.NOT_REACHED is caught.value.knowledge
    assert "is not_sent" in caught.value.__notes__[0]


async def test_a_campaign_to_a_host_that_does_not_answer_is_not_sent(connect_to: Connect):
    """Nobody is claimed to be unknown of whom not a byte has left."""
    with unanswered() as base_url:
        async with connect_to(base_url, timeout=0.2, attempts=1) as client:
            with pytest.raises(GatewayUnavailable) as caught:
                await client.send_all(phones(3), **CODE)

    report = caught.value.report
    assert report is not None
    assert (3, 0) == (report.not_sent, report.unknown)


async def test_a_name_that_is_not_found_is_asked_for_again(library: Any):
    """No address today may be an address in a second; nothing was sent, and the client says so."""
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
    """Yield the URL of a host that is there, and takes no further connection: its queue is full."""
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
    A transport that tells nothing of its requests, as one may that somebody has written in a hurry.

    Args:
        end: What its requests end in; None if they do not end.
    """

    def __init__(self, end: Reply | Exception | None) -> None:
        self.end = end

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """End as it was told."""
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
async def test_a_transport_that_tells_nothing_may_have_sent(
    end: Reply | Exception | None, outcome: Outcome, reason: Reason
):
    """Nothing is claimed of a request whose transport never says when it sends."""
    async with WebcomClient(token="dummy", transport=Silent(end), timeout=0.05, attempts=1) as client:
        result = await client.send("79612242243", **CODE)

    assert (outcome, reason) == (result.outcome, result.reason)


async def test_a_campaign_that_is_left_while_it_connects_has_not_sent():
    """Of whom not a byte has left when the grace ends, nothing else is claimed."""

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
    """When the loop was blocked longer than the time-out, an answer that arrived meanwhile is taken."""
    async with WebcomClient(token="dummy", transport=Slow(), timeout=0.1, attempts=1) as client:
        result = await client.send("79612242243", **CODE)

    assert Outcome.ACCEPTED is result.outcome


class Buggy(GatewayTransport):
    """A transport that raises a `KeyError` of its own once: before a byte leaves, or behind what was processed."""

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
    """From the first byte to the whole answer it may have been sent: it is asked again, and an event has the type."""
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
    """What nobody foresaw and nothing left before comes out as it is, and says so; the next call works."""
    transport = Buggy(webcom_gateway, sent=False)
    async with WebcomClient(token=webcom_gateway.token, transport=transport, clock=still_clock()) as client:
        await client.send("79612242242", **CODE)
        with pytest.raises(KeyError, match="a bug") as caught:
            await client.send("79612242243", **CODE)
        again = await client.send("79612242243", **CODE)

    assert "is not_sent" in caught.value.__notes__[0]
    assert Outcome.ACCEPTED is again.outcome


async def test_a_bug_ends_a_campaign_when_what_is_in_flight_is_settled(webcom_gateway: Gateway):
    """The other requests are waited for, the batch that met it is not sent, and every recipient is counted."""
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
        """Answer, and fail behind it."""
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
    """Once the whole answer is here, neither a failure behind it nor a deadline turns it into anything else."""
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
    """A cache or an instrument around a caller's transport may fail, or hang, when the answer is closed."""
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
    """`100 Continue`, the answer and bytes that are no HTTP, all in one piece: the answer is taken."""
    if http in {"httpx", "httpx2"}:
        pytest.skip("what a caller's client keeps is told in other tests")
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + accepting(7) + b"garbage"
    with raw_server(answers(answer)) as server:
        async with connect_to(server.url, attempts=1) as client:
            result = await client.send("79612242243", **CODE)

    assert (Outcome.ACCEPTED, "7") == (result.outcome, result.id_sms)


async def test_connections_may_expire_while_others_are_given_back(http: str):
    """Requests that end while idle connections are being closed get their answers, all of them."""
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
async def test_what_comes_behind_an_answer_is_nobodys(http: str, connect_to: Connect, coding: str, extra: bytes):
    """A connection with more than an answer on it is closed: the next request gets the answer that is its own."""
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
    """What its parser kept from an earlier answer comes without a turn of the event loop: it is asked again."""
    with raw_server(says_it_twice) as server:
        async with library.AsyncClient(trust_env=False) as mine:
            async with WebcomClient(token="dummy", base_url=server.url, http_client=mine) as client:
                results = [await client.send(phone, **CODE) for phone in phones(3)]

    assert [Outcome.ACCEPTED] * 3 == [result.outcome for result in results]
    assert "5000000" not in {result.id_sms for result in results}


async def test_a_callers_client_that_keeps_no_connection_takes_no_answer_for_another(library: Any):
    """With `Connection: close` among its headers, what comes behind an answer is lost with the connection."""
    with raw_server(says_it_twice) as server:
        async with library.AsyncClient(trust_env=False, headers={"connection": "close"}) as mine:
            async with WebcomClient(token="dummy", base_url=server.url, http_client=mine) as client:
                results = [await client.send(phone, **CODE) for phone in phones(3)]

    assert ["1", "2", "3"] == [result.id_sms for result in results]


async def test_a_callers_own_client_is_left_open(library: Any):
    """The client closes what it has opened, and leaves alone what it was given."""
    gateway = Gateway()
    with serve(gateway) as base_url:
        async with library.AsyncClient(trust_env=False) as mine:
            async with WebcomClient(token=gateway.token, base_url=base_url, http_client=mine) as client:
                result = await client.send("79612242243", **CODE)
            assert not mine.is_closed

    assert Outcome.ACCEPTED is result.outcome


async def test_an_attempt_after_a_kept_connection_broke_is_counted(connect_to: Connect):
    """The report's requests are those that the gateway sees, also where a kept connection was closed on the way."""
    gateway = Gateway()
    gateway.faults.script(Fault(), Fault(close=True, processed=True))
    with serve(gateway) as base_url:
        async with connect_to(base_url, in_flight=1, batch_size=5) as client:
            report = await client.send_all(phones(20), **CODE)

    assert (20, 5, 1) == (report.accepted, report.requests, report.retries)
    assert gateway.requests == report.requests


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_a_mock_of_the_http_library_is_understood(name: str):
    """Whoever tests with a mock transport of httpx or httpx2 gets its answer."""
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
    """It is asyncio's alone: nothing is sent, and the error says what to do."""
    async with WebcomClient(token="dummy", transport="aiohttp", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(UsageError, match="leave transport= out"):
            await client.send("79612242243", **CODE)


def test_an_unknown_http_library_is_refused():
    """A name that is none of ours is an error that lists them."""
    with pytest.raises(ConfigurationError, match="'httpx2', 'aiohttp'"):
        WebcomClient(token="dummy", transport="requests")  # type: ignore[arg-type]


def test_two_ways_to_post_are_refused():
    """A transport and an HTTP client together are a contradiction."""
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
    """Whoever closes a client ends its campaigns: what waits for a place, or to be sent again, does not leave."""
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

    # The server has ended: what was on its way then is in the ledger.
    sent = {sms.phone for sms in gateway.ledger.sent}
    assert "79612249999" not in sent
    assert len(sent) < 10
    assert len(sent) <= results.report.accepted + results.report.unknown


async def test_connections_of_a_burst_are_let_go(http: str):
    """After a burst, quiet traffic keeps the connections that it needs, and closes the others in some seconds."""
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
