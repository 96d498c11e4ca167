"""
One exchange with the gateway, whichever HTTP library carries it.

`Transport.post` is the seam: bytes out, a `Reply` back. httpx2 stands behind it by default; aiohttp, a caller's own
`httpx.AsyncClient` or `httpx2.AsyncClient` can, and so can an emulator without a socket. `exchange` is the same for
all of them: one deadline, foreign exceptions turned into ours, nothing followed, no credentials left behind. Nothing
is retried here, but for a kept connection that turns out to be closed.
"""

import logging
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeVar

import anyio

from webcom_async._domain.errors import (
    ConnectionLost,
    GatewayUnavailable,
    Knowledge,
    ReplyError,
    ReplyTimeout,
    WebcomError,
)
from webcom_async._http.content_encoding import decoded
from webcom_async._http.deadline import run_with_deadline
from webcom_async._http.error_mapping import as_not_sent, is_connection_lost, map_exception
from webcom_async._wire.base import CONTENT_TYPE, Payload, Reply

__all__ = [
    "CONNECT_SECONDS",
    "HEADERS",
    "Content",
    "RequestTrace",
    "Transport",
    "exchange",
    "opened",
    "quietly",
    "retry_stale_connection",
]

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("webcom_async")

HEADERS = {
    "content-type": CONTENT_TYPE,
    # Answers are small. One that is compressed all the same is understood.
    "accept-encoding": "identity",
    "user-agent": "webcom-async",
}
CONNECT_SECONDS = 10.0  # ours: a host that has not answered a SYN by then is tried again later
_CLOSE_SECONDS = 1.0
_STATUS_SPEAKS = 300  # from here on, the status says enough about an answer that cannot be read


class Transport(Protocol):
    """What the library needs of an HTTP client."""

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        Post *body* once and return the whole answer, whatever its status.

        Args:
            url: Where to.
            body: `bytes(body)` is what goes out; from then on, it counts as sent. Do not keep that in a local
                variable: it holds the credentials.
            timeout: Seconds after which nobody waits any more; a hint, enforced by the caller.
            max_bytes: Bytes of an answer, decoded, at most; one byte more is a `ReplyError`.

        Raises:
            TransportError: There is no answer. Redirects are not followed.
        """
        ...

    async def aclose(self) -> None:
        """Release what the transport holds."""
        ...


async def exchange(transport: Transport, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
    """
    Post once, within one deadline from connecting to the last byte.

    An answer that has arrived is not given up on: when the event loop was blocked past the deadline, the sockets get
    their turn first. Once it is whole, nothing that happens on the way back changes it.

    Raises:
        WebcomError: There is no answer; `knowledge` says whether the request may have been processed.
        Exception: The transport failed in a way that is not foreseen before it sent anything: a bug.
    """
    trace = await run_with_deadline(timeout, _attempt(transport, url, body, timeout, max_bytes))
    outcome = trace.returned or body.reply
    body.given_up_blocked = trace.blocked and outcome is None
    if outcome is None and not body.left:
        raise GatewayUnavailable(f"no connection within {timeout:g} s; nothing was sent")
    if outcome is None:
        raise ReplyTimeout(f"no whole answer within {timeout:g} s")
    if isinstance(outcome, WebcomError) and not body.left:
        outcome = as_not_sent(outcome)
    if isinstance(outcome, WebcomError):
        # Raised here, outside any `except`: the foreign exception holds the request, and with it the credentials.
        raise outcome
    return outcome


async def _attempt(
    transport: Transport, url: str, body: Payload, seconds: float, max_bytes: int
) -> Reply | WebcomError:
    """Return the answer or the reason why there is none; failures are values here, so that no traceback grows."""
    try:
        return await transport.post(url, body, timeout=seconds, max_bytes=max_bytes)
    except Exception as exc:
        if body.reply is not None:
            _log_failure("closing_failed", exc)
            return body.reply
        foreseen = map_exception(exc)
        if foreseen is not None:
            return foreseen
        if not body.left:
            raise
        _log_failure("transport_failed", exc)
        return ConnectionLost(f"the HTTP client failed with {type(exc).__name__}; the request may have been processed")
    except BaseException as exc:
        # A cancellation goes on to places that may print local variables. The frames that were sending are done.
        traceback.clear_frames(exc.__traceback__)
        raise


def _log_failure(event: str, exc: Exception) -> None:
    """Log the type of what an HTTP library raised; its words may repeat the request."""
    logger.warning(event, extra={"error": type(exc).__name__})


async def quietly(closing: Awaitable[object]) -> bool:
    """
    Await what closes something behind a whole answer; return whether it did, within a second.

    No failure of it, and no cancellation meanwhile, reaches the request.
    """
    done = False
    with anyio.CancelScope(shield=True, deadline=anyio.current_time() + _CLOSE_SECONDS):
        try:
            await closing
            done = True
        except Exception as exc:  # noqa: BLE001 - whatever an HTTP library raises, the answer stands
            _log_failure("closing_failed", exc)
    return done


@asynccontextmanager
async def opened(answer: AbstractAsyncContextManager[T]) -> AsyncGenerator[T, None]:
    """Open *answer*, a context manager of an HTTP library, and leave it `quietly` when the block has read it."""
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
    A request's bytes, as a stream that may be read again.

    HTTP libraries pass content on from function to function, where a traceback with local variables would show it;
    of a stream it shows the name of this class.
    """

    def __init__(self, body: Payload) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._body)


class _Once:
    """
    An iterator over one part.

    Not a generator: a connection that breaks in the middle of a body would leave it to the garbage collector.
    """

    def __init__(self, body: Payload) -> None:
        self._parts = [body]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return bytes(self._parts.pop())


class RequestTrace:
    """
    How far a request has come, as far as the HTTP library tells.

    Args:
        body: The request's body, on which connections and received bytes are counted.
        repeated: Whether the request has gone out before; see `Reply`.

    Attributes:
        repeated: The same.
        connected: Whether a connection was opened for it.
        written: Whether it went out on a connection.
        answered: Whether the head of an answer has come.
    """

    def __init__(self, body: Payload, *, repeated: bool = False) -> None:
        self.connected: bool = False
        self.written: bool = False
        self.answered: bool = False
        self.repeated: bool = repeated
        self._body = body

    @property
    def kept(self) -> bool:
        """Whether the request went out on a connection of an earlier one, and has no answer."""
        return self.written and not self.connected and not self.answered

    def opened(self) -> None:
        """Count a connection that stands."""
        self.connected = True
        self._body.connections += 1

    async def reply(
        self, status: int, headers: Iterable[tuple[str, str]], chunks: AsyncIterator[bytes], max_bytes: int
    ) -> Reply:
        """
        Read the answer, whose head has come.

        Raises:
            ReplyError: Its body is over *max_bytes*, or its coding is unknown or broken.
        """
        self.answered = True
        named = _joined(headers)
        said = await _read(chunks, status, named.get("content-encoding", ""), max_bytes)
        self._body.received += len(said)
        self._body.reply = Reply(status, named, said, self.repeated)
        return self._body.reply


async def retry_stale_connection(attempt: Callable[[RequestTrace], Awaitable[Reply]], body: Payload) -> Reply:
    """
    Make *attempt*, and make it once more if it broke on a kept connection before an answer.

    The server may close a connection that is kept for the next request just as that is written. One that was opened
    for this request is no such, and its failure is the caller's to judge.

    Args:
        attempt: Posts once.
        body: The request's body.
    """
    trace = RequestTrace(body)
    try:
        return await attempt(trace)
    except Exception as exc:
        if not (trace.kept and is_connection_lost(exc)):
            raise
    try:
        return await attempt(RequestTrace(body, repeated=True))
    except Exception as exc:
        foreseen = map_exception(exc)
        if foreseen is None or foreseen.knowledge is Knowledge.POSSIBLY_SENT:
            raise
    # The second was not sent, which says nothing about the first.
    raise ConnectionLost("a kept connection broke, and there is no fresh one; the request may have been processed")


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return *headers* by their names in lower case, several of one name with commas between (RFC 9110, 5.3)."""
    by_name: dict[str, str] = {}
    for name, value in headers:
        before = by_name.get(name.lower())
        by_name[name.lower()] = value if before is None else f"{before}, {value}"
    return by_name


async def _read(chunks: AsyncIterator[bytes], status: int, coding: str, max_bytes: int) -> bytes:
    """Return the decoded body of an answer; nothing if it cannot be read, but the status says enough."""
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
    """End the innermost read of *chunks*, and with it every generator around it; closing it would end only one."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        async for _ in chunks:
            pass
