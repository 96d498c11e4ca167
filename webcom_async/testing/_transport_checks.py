"""
One check per promise of a transport.

A check makes a transport, lets it send to a server that fails at one chosen byte, and tests what is known then: whether
the request was possibly sent, how many requests the server has seen, and whether a connection was left open.
"""

import socket
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio

from webcom_async._domain.errors import Knowledge, ReplyError, WebcomError
from webcom_async._domain.exchange import Reply, Request, RequestTrace, Transport
from webcom_async._http.exchange import exchange
from webcom_async.testing._raw_server import RawConnection, RawServer, Talk, framed, raw_server, unanswered

__all__ = ["TRANSPORT_CHECKS", "TransportCheck"]

MakeTransport = Callable[[], Transport]

_SOON = 0.3  # seconds of a deadline that passes in the check
_LATE = 10.0  # seconds of a deadline that does not pass
_MAX_BYTES = 65_536
_LARGE = 32 << 20  # bytes: more than sockets buffer
_SLACK = 8 << 20  # bytes of memory that an answer may take
_BODY = b'{"message":[]}'
_TOGETHER = 8


class TransportCheck:
    """
    One promise of a transport.

    Args:
        name: The check's name, as a test's id.
        check: The function that checks it.
    """

    def __init__(self, name: str, check: Callable[[Callable[[], Transport]], Awaitable[None]]) -> None:
        self._name = name
        self._check = check

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<TransportCheck: {self._name}>"

    async def __call__(self, make_transport: Callable[[], Transport]) -> None:
        """
        Check the transport that *make_transport* makes, and close it at the end.

        Raises:
            AssertionError: The promise does not hold; the message says what was seen.
        """
        await self._check(make_transport)


def _demand(holds: object, words: str) -> None:
    if not holds:
        raise AssertionError(words)


@asynccontextmanager
async def _serving(make_transport: MakeTransport, talk: Talk) -> AsyncGenerator[tuple[Transport, RawServer], None]:
    """Serve *talk*, and check at the end that no connection is left open."""
    with raw_server(talk) as server:
        transport = make_transport()
        try:
            yield transport, server
        finally:
            server.go_on.set()
            await transport.aclose()
        open_now = await server.left_open(_LATE)
        _demand(not open_now, f"{open_now} connections are open after aclose()")


def _request(url: str, body: bytes = _BODY, method: str = "POST") -> Request:
    return Request(method, url, {"content-type": "text/json; charset=utf-8"}, body)


async def _send(
    transport: Transport,
    request: Request,
    trace: RequestTrace | None = None,
    seconds: float = _LATE,
    max_bytes: int = _MAX_BYTES,
) -> Reply | WebcomError:
    trace = trace or RequestTrace()
    try:
        return await exchange(transport, request, trace, timeout=seconds, max_bytes=max_bytes)
    except WebcomError as exc:
        return exc


async def _send_until(
    transport: Transport, request: Request, trace: RequestTrace, moment: Callable[[], Awaitable[object]]
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send, transport, request, trace)
        await moment()
        tasks.cancel_scope.cancel()


def _demand_answer(outcome: Reply | WebcomError, body: bytes) -> Reply:
    if not isinstance(outcome, Reply):
        raise AssertionError(f"there was a whole answer, and the transport ended with {outcome!r}")  # noqa: TRY004
    _demand(outcome.body == body, f"the answer was {body!r}, and the transport returned {outcome.body!r}")
    return outcome


def _demand_error(outcome: Reply | WebcomError, knowledge: Knowledge) -> None:
    if isinstance(outcome, Reply):
        raise AssertionError(f"there was no usable answer, and the transport returned {outcome!r}")  # noqa: TRY004
    _demand(outcome.knowledge is knowledge, f"{outcome!r} says {outcome.knowledge.name}, which is {knowledge.name}")


def _demand_requests(server: RawServer, count: int) -> None:
    _demand(len(server.requests) == count, f"the server has seen {len(server.requests)} requests instead of {count}")


# ---------------------------------------------------------------------------- answers


def _answers(connection: RawConnection) -> None:
    while connection.read():
        connection.write(framed(connection.latest.target.encode()))


async def _check_request_and_answer(make_transport: MakeTransport) -> None:
    def talk(connection: RawConnection) -> None:
        connection.read()
        connection.write(framed(b"{}", "X-Test: 1", status="400 Bad Request"))

    trace = RequestTrace()
    async with _serving(make_transport, talk) as (transport, server):
        request = _request(f"{server.url}?a=%2F&b=2")
        reply = _demand_answer(await _send(transport, request, trace), b"{}")
    _demand_requests(server, 1)
    [seen] = server.requests
    _demand((reply.status, reply.headers.get("x-test")) == (400, "1"), f"{reply!r} is not what the server said")
    _demand((seen.method, seen.target) == ("POST", "/json?a=%2F&b=2"), f"{seen.method} {seen.target} was sent")
    _demand(seen.body == _BODY, f"the body {seen.body!r} was sent")
    _demand(seen.headers.get("content-type") == request.headers["content-type"], "a header is missing")
    _demand(trace.sent, "trace.sending() was not called")
    _demand((trace.bytes_sent, trace.bytes_received) == (len(_BODY), 2), "bytes are not counted on the trace")
    _demand(trace.connections == 1, "the connection is not counted on the trace")
    _demand(not trace.reused_connection, "a fresh connection is reported as reused")


async def _check_get(make_transport: MakeTransport) -> None:
    trace = RequestTrace()
    async with _serving(make_transport, _answers) as (transport, server):
        request = _request(f"{server.url}?a=1", b"", "GET")
        _demand_answer(await _send(transport, request, trace), b"/json?a=1")
    _demand_requests(server, 1)
    _demand((server.requests[0].method, server.requests[0].body) == ("GET", b""), "no GET without a body was sent")
    _demand(trace.sent, "trace.sending() was not called")


async def _check_together(make_transport: MakeTransport) -> None:
    async with _serving(make_transport, _answers) as (transport, server):

        async def send(number: int) -> None:
            reply = await _send(transport, _request(f"{server.url}?{number}"))
            _demand_answer(reply, f"/json?{number}".encode())

        async with anyio.create_task_group() as tasks:
            for number in range(_TOGETHER):
                tasks.start_soon(send, number)
    _demand_requests(server, _TOGETHER)


async def _check_redirect(make_transport: MakeTransport) -> None:
    def talk(connection: RawConnection) -> None:
        while connection.read():
            connection.write(framed(b"", "location: /elsewhere", status="307 Temporary Redirect"))

    async with _serving(make_transport, talk) as (transport, server):
        reply = _demand_answer(await _send(transport, _request(server.url)), b"")
    _demand(reply.status == 307, f"the status is {reply.status}")  # noqa: PLR2004 - the talk's
    _demand_requests(server, 1)


async def _check_largest_body(make_transport: MakeTransport) -> None:
    def talk(connection: RawConnection) -> None:
        while connection.read():
            connection.write(framed(b" " * 1_000))

    async with _serving(make_transport, talk) as (transport, server):
        _demand_answer(await _send(transport, _request(server.url), max_bytes=1_000), b" " * 1_000)
        outcome = await _send(transport, _request(server.url), max_bytes=999)
        _demand(isinstance(outcome, ReplyError), f"a body over max_bytes ended with {outcome!r}")
        _demand_error(outcome, Knowledge.POSSIBLY_SENT)
    _demand_requests(server, 2)


async def _check_huge_body(make_transport: MakeTransport, *, compressed: bool) -> None:
    def talk(connection: RawConnection) -> None:
        connection.read()
        coding = b"content-encoding: gzip\r\n" if compressed else b""
        connection.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + coding + b"\r\n")
        stream, part = zlib.compressobj(wbits=16 + zlib.MAX_WBITS), b" " * 65_536
        for _ in range(_LARGE // len(part)):
            connection.write(stream.compress(part) if compressed else part)
        connection.write(stream.flush() if compressed else b"")
        connection.close()

    async with _serving(make_transport, talk) as (transport, server):
        tracemalloc.start()
        try:
            outcome = await _send(transport, _request(server.url))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    _demand(isinstance(outcome, ReplyError), f"a body of {_LARGE} bytes ended with {outcome!r}")
    _demand(peak < _SLACK, f"a body of {_LARGE} bytes cost {peak} bytes")


async def _check_behind_answer(make_transport: MakeTransport, end: Callable[[RawConnection], None]) -> None:
    def talk(connection: RawConnection) -> None:
        connection.read()
        connection.write(framed(b"{}"))
        end(connection)

    trace = RequestTrace()
    async with _serving(make_transport, talk) as (transport, server):
        _demand_answer(await _send(transport, _request(server.url), trace), b"{}")
    _demand_requests(server, 1)


# ---------------------------------------------------------------------------- nothing sent


async def _check_cancelled_before(make_transport: MakeTransport) -> None:
    trace = RequestTrace()
    async with _serving(make_transport, _answers) as (transport, server):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await _send(transport, _request(server.url), trace)
        _demand(not trace.possibly_sent, "a request that was cancelled before it began may have been sent")
    _demand_requests(server, 0)


async def _check_refused(make_transport: MakeTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/json"
    transport, trace = make_transport(), RequestTrace()
    try:
        _demand_error(await _send(transport, _request(url), trace), Knowledge.NOT_REACHED)
    finally:
        await transport.aclose()
    _demand(not trace.possibly_sent, "a request without a connection may have been sent")


async def _check_connecting(make_transport: MakeTransport, *, cancelled: bool) -> None:
    transport, trace = make_transport(), RequestTrace()
    with unanswered() as url:
        try:
            if cancelled:
                await _send_until(transport, _request(url), trace, anyio.wait_all_tasks_blocked)
            else:
                outcome = await _send(transport, _request(url), trace, _SOON)
                _demand_error(outcome, Knowledge.NOT_REACHED)
        finally:
            await transport.aclose()
    _demand(not trace.possibly_sent, "a request that was still connecting may have been sent")


async def _check_closed(make_transport: MakeTransport) -> None:
    async with _serving(make_transport, _answers) as (transport, server):
        _demand_answer(await _send(transport, _request(server.url)), b"/json")
        await transport.aclose()
        open_now = await server.left_open(_LATE)
        _demand(not open_now, f"{open_now} connections are open after aclose()")


# ---------------------------------------------------------------------------- possibly sent


def _writing(connection: RawConnection) -> None:
    """Read nothing, so that the client blocks in the middle of its body."""
    connection.peek()


def _waiting(connection: RawConnection) -> None:
    connection.read()


def _in_the_head(connection: RawConnection) -> None:
    connection.read()
    connection.write(b"HTTP/1.1 200 OK\r\ncontent-le")


def _in_the_body(connection: RawConnection) -> None:
    connection.read()
    connection.write(framed(b"{}" * 30)[:-1])


_STEPS: dict[str, Talk] = {
    "while it is written": _writing,
    "before an answer": _waiting,
    "in the head": _in_the_head,
    "in the body": _in_the_body,
}
_ENDS: dict[str, Callable[[RawConnection], None] | None] = {
    "closed": RawConnection.close,
    "reset": RawConnection.reset,
    "timed out": None,
    "cancelled": None,
}


async def _check_step(make_transport: MakeTransport, step: Talk, end: str) -> None:
    """End a request at one step: it was possibly sent, it is not repeated, and the next request succeeds."""

    def talk(connection: RawConnection) -> None:
        if connection.number > 1:
            return _answers(connection)
        step(connection)
        ended = _ENDS[end]
        return connection.pause() if ended is None else ended(connection)

    writes = step is _writing
    trace = RequestTrace()
    async with _serving(make_transport, talk) as (transport, server):
        request = _request(server.url, b" " * _LARGE if writes else _BODY)
        if end == "cancelled":
            await _send_until(transport, request, trace, server.reach)
        else:
            seconds = _SOON if end == "timed out" else _LATE
            _demand_error(await _send(transport, request, trace, seconds), Knowledge.POSSIBLY_SENT)
        _demand(trace.sent, f"{end} {step.__name__}: trace.sending() was not called")
        _demand(trace.reply is None, "half an answer was taken for a whole one")
        _demand_requests(server, 0 if writes else 1)
        _demand(server.connections == 1, f"there are {server.connections} connections for one request")
        _demand_answer(await _send(transport, _request(f"{server.url}?next")), b"/json?next")


async def _check_stale(make_transport: MakeTransport, *, method: str) -> None:
    """The server resets a kept connection as the next request arrives: no transport repeats that request."""

    def talk(connection: RawConnection) -> None:
        connection.read()
        if connection.number == 1:
            connection.write(framed(b"{}"))
            connection.read()
        connection.reset()

    trace, body = RequestTrace(), _BODY if method == "POST" else b""
    async with _serving(make_transport, talk) as (transport, server):
        _demand_answer(await _send(transport, _request(server.url, body, method)), b"{}")
        outcome = await _send(transport, _request(server.url, body, method), trace)
    _demand_error(outcome, Knowledge.POSSIBLY_SENT)
    _demand_requests(server, 2)
    reused = server.requests[1].connection == 1
    _demand(trace.reused_connection == reused, f"reused_connection is {trace.reused_connection}, and it is {reused}")


_CHECKS = (
    TransportCheck("request and answer", _check_request_and_answer),
    TransportCheck("GET", _check_get),
    TransportCheck("together", _check_together),
    TransportCheck("redirect", _check_redirect),
    TransportCheck("largest body", _check_largest_body),
    TransportCheck("huge body", partial(_check_huge_body, compressed=False)),
    TransportCheck("gzip bomb", partial(_check_huge_body, compressed=True)),
    TransportCheck("closed behind the answer", partial(_check_behind_answer, end=RawConnection.close)),
    TransportCheck("reset behind the answer", partial(_check_behind_answer, end=RawConnection.reset)),
    TransportCheck("silent behind the answer", partial(_check_behind_answer, end=RawConnection.wait_for_end)),
    TransportCheck("cancelled before it begins", _check_cancelled_before),
    TransportCheck("connection refused", _check_refused),
    TransportCheck("timed out while it connects", partial(_check_connecting, cancelled=False)),
    TransportCheck("cancelled while it connects", partial(_check_connecting, cancelled=True)),
    TransportCheck("closed transport", _check_closed),
    *(
        TransportCheck(f"{end} {name}", partial(_check_step, step=step, end=end))
        for name, step in _STEPS.items()
        for end in _ENDS
    ),
    TransportCheck("kept connection that breaks", partial(_check_stale, method="POST")),
    TransportCheck("kept connection that breaks, GET", partial(_check_stale, method="GET")),
)
TRANSPORT_CHECKS: tuple[TransportCheck, ...] = _CHECKS
"""Every promise of a transport."""
