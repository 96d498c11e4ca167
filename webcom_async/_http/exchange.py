"""
One exchange with the gateway, whichever HTTP library carries it.

`Transport.send` is the seam: a `Request` goes out, a `Reply` comes back. The default behind it is httpx2; aiohttp, a
caller's own `httpx.AsyncClient` or `httpx2.AsyncClient`, and an emulator without a socket are the others. `exchange` is
the same for all: one deadline, foreign exceptions mapped to ours, no redirects followed, no credentials left behind.
Neither `exchange` nor a transport retries.

Requests ask for uncompressed answers; some servers and proxies compress all the same. The form that is accepted is
narrow on purpose: one coding, one gzip member, nothing after its end. Anything else may be cut or tampered with, and a
guess would be a claim about a recipient's SMS.
"""

import sys
import traceback
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import anyio

from webcom_async._domain.errors import ConnectionLost, GatewayUnavailable, ReplyError, ReplyTimeout, WebcomError
from webcom_async._domain.exchange import Reply, Request, RequestTrace, Transport
from webcom_async._events.observers import emit
from webcom_async._events.sending import ClosingFailed, TransportFailed
from webcom_async._http.deadline import run_with_deadline
from webcom_async._http.error_mapping import as_known, map_exception

__all__ = [
    "CONNECT_SECONDS",
    "HEADERS",
    "Content",
    "decoded",
    "exchange",
    "headers_of",
    "opened",
    "quietly",
    "read_reply",
]


T = TypeVar("T")

HEADERS = {
    # Answers are small. A compressed one is decoded all the same.
    "accept-encoding": "identity",
    "user-agent": "webcom-async",
}
CONNECT_SECONDS = 10.0  # ours: a host that has not answered a SYN by then is retried later
_CLOSE_SECONDS = 1.0
_STATUS_SPEAKS = 300  # from here on, the status says enough about an answer that cannot be read


async def exchange(
    transport: Transport,
    request: Request,
    trace: RequestTrace,
    *,
    timeout: float,  # noqa: ASYNC109 - the deadline is what this is for
    max_bytes: int,
) -> Reply:
    """
    Send once, within one deadline from connecting to the last byte.

    If the event loop was blocked past the deadline, the sockets are read first, so that an answer that has arrived is
    kept. Once the answer is whole, no later failure changes it.

    Raises:
        WebcomError: There is no answer; `knowledge` says whether the request may have been processed.
        Exception: A bug: the transport failed before it sent anything, in a way that no library documents.
    """
    timed = await run_with_deadline(timeout, _attempt(transport, request, trace, timeout, max_bytes))
    outcome = timed.returned or trace.reply
    trace.given_up_blocked = timed.blocked and outcome is None
    if outcome is None:
        raise _overdue(trace, timeout)
    if isinstance(outcome, WebcomError):
        # Raised here, outside any `except`: the foreign exception holds the request and its credentials.
        raise as_known(outcome, trace, len(request.body))
    return outcome


def _overdue(trace: RequestTrace, seconds: float) -> WebcomError:
    if trace.possibly_sent:
        return ReplyTimeout(f"no whole answer within {seconds:g} s")
    return GatewayUnavailable(f"no connection within {seconds:g} s; nothing was sent")


async def _attempt(
    transport: Transport, request: Request, trace: RequestTrace, seconds: float, max_bytes: int
) -> Reply | WebcomError:
    """Return the answer, or the failure as a value, so that no traceback grows."""
    try:
        trace.reply = await transport.send(request, trace, timeout=seconds, max_bytes=max_bytes)
    except Exception as exc:
        if trace.reply is not None:
            emit(ClosingFailed(error=type(exc).__name__))
            return trace.reply
        foreseen = map_exception(exc)
        if foreseen is not None:
            return foreseen
        if not trace.possibly_sent:
            raise
        emit(TransportFailed(error=type(exc).__name__))
        return ConnectionLost(f"the HTTP client failed with {type(exc).__name__}; the request may have been processed")
    except BaseException as exc:
        # A cancellation may reach code that prints local variables, so the frames of the send are cleared.
        traceback.clear_frames(exc.__traceback__)
        raise
    return trace.reply


async def quietly(closing: Awaitable[object]) -> bool:
    """
    Await *closing* for at most a second; return whether it succeeded.

    The answer is whole, so no failure or cancellation here reaches the request.
    """
    done = False
    with anyio.CancelScope(shield=True, deadline=anyio.current_time() + _CLOSE_SECONDS):
        try:
            await closing
            done = True
        except Exception as exc:  # noqa: BLE001 - whatever an HTTP library raises, the answer stands
            emit(ClosingFailed(error=type(exc).__name__))
    return done


@asynccontextmanager
async def opened(answer: AbstractAsyncContextManager[T]) -> AsyncGenerator[T, None]:
    """Enter *answer*, and leave it `quietly` after the block."""
    response = await answer.__aenter__()
    try:
        yield response
    except BaseException:
        if not await answer.__aexit__(*sys.exc_info()):
            raise
    else:
        await quietly(answer.__aexit__(None, None, None))


class Content:
    """
    A request's body as a stream that can be read again, and that records its sending on *trace*.

    HTTP libraries pass content from function to function, where a traceback with local variables would print it. Of a
    stream such a traceback prints the class name.
    """

    def __init__(self, request: Request, trace: RequestTrace) -> None:
        self._request = request
        self._trace = trace

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._request, self._trace)


class _Once:
    """
    An iterator over one part.

    Not a generator: a connection that breaks in the middle of a body would leave that to the garbage collector.
    """

    def __init__(self, request: Request, trace: RequestTrace) -> None:
        self._parts = [request]
        self._trace = trace

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        # Libraries that report no connections read the body before they send the head.
        self._trace.sending()
        self._trace.bytes_sent += len(self._parts[0].body)
        return self._parts.pop().body


def headers_of(request: Request) -> dict[str, str]:
    return {**HEADERS, **request.headers, "content-length": str(len(request.body))}


async def read_reply(
    trace: RequestTrace,
    status: int,
    headers: Iterable[tuple[str, str]],
    chunks: AsyncIterator[bytes],
    max_bytes: int,
) -> Reply:
    """Read the body behind a head, and keep the answer on *trace*."""
    trace.answering()
    named = _joined(headers)
    body = await _read(chunks, status, named.get("content-encoding", ""), max_bytes)
    trace.bytes_received += len(body)
    trace.reply = Reply(status, named, body)
    return trace.reply


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return *headers* by lower-case name; repeated ones are joined (RFC 9110, 5.3)."""
    by_name: dict[str, str] = {}
    for name, value in headers:
        before = by_name.get(name.lower())
        by_name[name.lower()] = value if before is None else f"{before}, {value}"
    return by_name


async def _read(chunks: AsyncIterator[bytes], status: int, coding: str, max_bytes: int) -> bytes:
    """Return the decoded body; empty if it is unreadable but the status suffices."""
    try:
        return decoded(await _whole(chunks, max_bytes), coding, max_bytes)
    except ReplyError:
        if status >= _STATUS_SPEAKS:
            return b""
        raise


async def _whole(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            await _end(chunks)
            raise ReplyError(f"the answer is over {max_bytes} bytes")
    return bytes(body)


async def _end(chunks: AsyncIterator[bytes]) -> None:
    """End every generator around *chunks*; `aclose` would end only one."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        async for _ in chunks:
            pass


_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_BARE_DEFLATE = -zlib.MAX_WBITS
_DEFLATE_METHOD = 8  # RFC 1950, 2.2: the low four bits of the first byte
_HEADER_CHECK = 31  # RFC 1950, 2.2: the first two bytes are a multiple of it


def decoded(raw: bytes, coding: str, max_bytes: int) -> bytes:
    """
    Return the decoded body of an answer.

    Args:
        raw: The whole body as it arrived.
        coding: Its `Content-Encoding`: `gzip`, `x-gzip`, `deflate` (RFC 9110, 8.4.1), `identity` or nothing.
        max_bytes: The maximum size of the result. At most one byte more is decoded.

    Raises:
        ReplyError: The coding is another one, the result is too large, or *raw* is not exactly one whole compressed
            stream.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return _within(raw, max_bytes)
    stream = zlib.decompressobj(_window(name, raw))
    try:
        body = _within(stream.decompress(raw, max_bytes + 1), max_bytes)
    except zlib.error as exc:
        raise ReplyError(f"the answer's {name} is corrupt: {exc}") from None
    if not stream.eof:
        raise ReplyError(f"the answer's {name} is cut short")
    if stream.unused_data:
        raise ReplyError(f"the answer has bytes after the end of its {name}")
    return body


def _within(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise ReplyError(f"the answer is over {max_bytes} bytes")
    return body


def _window(name: str, raw: bytes) -> int:
    if name in ("gzip", "x-gzip"):
        return _GZIP
    if name == "deflate":
        # `deflate` means the zlib format, but some servers omit its header.
        framed = raw[:1] and raw[0] % 16 == _DEFLATE_METHOD and int.from_bytes(raw[:2], "big") % _HEADER_CHECK == 0
        return _ZLIB if framed else _BARE_DEFLATE
    raise ReplyError(f"the answer is coded as {name!r}, which was not asked for")
