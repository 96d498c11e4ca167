"""
One exchange with the gateway, and the only door to an HTTP library.

`Transport.post` is the seam: bytes out, a `Reply` back. httpx2 stands behind it by default; a caller's own
`httpx.AsyncClient` or `httpx2.AsyncClient` can, and so can an emulator without a socket. `exchange` is the same for
all of them: one deadline, foreign exceptions turned into ours, nothing followed, nothing retried.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import anyio
import httpx2
from anyio.lowlevel import checkpoint

from webcom_async._wire import CONTENT_TYPE, Payload, Reply
from webcom_async.errors import (
    ConfigurationError,
    ConnectionLost,
    GatewayUnavailable,
    ReplyError,
    ReplyTimeout,
    TlsError,
    TransportError,
    WebcomError,
)
from webcom_async.options import Options

__all__ = ["AsyncHttpClient", "HttpTransport", "Transport", "exchange", "open_http"]

_HEADERS = {
    "content-type": CONTENT_TYPE,
    # Answers are small; a compressed one could unfold without bound.
    "accept-encoding": "identity",
    "user-agent": "webcom-async",
}
_CONNECT_SECONDS = 10.0  # ours: a host that has not answered a SYN by then is tried again later
_LATE_SECONDS = 0.05  # a deadline that fires later than this says that the event loop was blocked
_TURNS = 4  # loop turns from bytes on the socket to a parsed answer

# Class names, because httpx and httpx2 have the same tree in different modules; the most specific name wins.
_MEANINGS: dict[str, type[TransportError]] = {
    "ConnectError": GatewayUnavailable,
    "ConnectTimeout": GatewayUnavailable,
    "PoolTimeout": GatewayUnavailable,
    "ProxyError": GatewayUnavailable,
    "UnsupportedProtocol": GatewayUnavailable,
    "TimeoutException": ReplyTimeout,
    "TransportError": ConnectionLost,
    "DecodingError": ConnectionLost,
    "StreamError": ConnectionLost,
}


class Transport(Protocol):
    """What the library needs of an HTTP client."""

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        Post *body* once and return the whole answer, whatever its status.

        Args:
            url: Where to.
            body: `bytes(body)` is what goes out. Do not keep that in a local variable: it holds the credentials.
            timeout: Seconds after which nobody waits any more; a hint, enforced by the caller.
            max_bytes: Bytes of an answer, at most; one byte more is a `ReplyError`.

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
    their turn first.

    Raises:
        WebcomError: There is no answer; `knowledge` says whether the request may have been processed.
    """
    outcome: Reply | WebcomError = ReplyTimeout(f"no whole answer within {timeout:g} s")
    async with anyio.create_task_group() as watch:
        watch.start_soon(_expire, watch.cancel_scope, timeout)
        outcome = await _attempt(transport, url, body, timeout, max_bytes)
        watch.cancel_scope.cancel()
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
    except WebcomError as exc:
        return exc.with_traceback(None)
    except Exception as exc:  # noqa: BLE001 - whatever a transport raises, the request may have been processed
        return _translated(exc)


async def _expire(scope: anyio.CancelScope, seconds: float) -> None:
    """Cancel *scope* after *seconds*, but never in the same breath in which its answer arrives."""
    deadline = anyio.current_time() + seconds
    await anyio.sleep(seconds)
    late = anyio.current_time() - deadline
    if late > _LATE_SECONDS:
        # The loop was blocked: what arrived meanwhile has not been looked at yet.
        await anyio.sleep(min(late, seconds))
    for _ in range(_TURNS):
        await checkpoint()
    scope.cancel()


def _translated(exc: Exception) -> WebcomError:
    if _certificate_refused(exc):
        return TlsError(f"the gateway's certificate is not trusted: {type(exc).__name__}")
    for kind in type(exc).__mro__:
        meaning = _MEANINGS.get(kind.__name__)
        if meaning is not None:
            return meaning(f"{_first_words(meaning)} ({type(exc).__name__}: {exc})")
    broken = TransportError(f"the HTTP client failed with {type(exc).__name__}: {exc}")
    broken.halts = True
    broken.transient = False
    return broken


def _first_words(kind: type[TransportError]) -> str:
    return (kind.__doc__ or "").strip().split(".")[0].split(";")[0]


def _certificate_refused(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


class AsyncResponse(Protocol):
    """What is used of a response of httpx or httpx2."""

    status_code: int
    headers: Any

    def aiter_raw(self) -> AsyncIterator[bytes]: ...


class AsyncHttpClient(Protocol):
    """What is used of an `AsyncClient` of httpx or httpx2."""

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]: ...

    async def aclose(self) -> None: ...


class HttpTransport:
    """
    Posts over an `AsyncClient` of httpx2 or httpx.

    Args:
        client: The client.
        owned: Whether closing the transport closes the client.
    """

    def __init__(self, client: AsyncHttpClient, *, owned: bool) -> None:
        self._client = client
        self._owned = owned

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """See `Transport.post`."""
        async with self._client.stream(
            "POST",
            url,
            content=bytes(body),
            headers=_HEADERS,
            follow_redirects=False,
            # connect, read, write, pool: the deadline is `exchange`'s, and our semaphore is the queue.
            timeout=(min(timeout, _CONNECT_SECONDS), None, None, None),
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if headers.get("content-encoding", "identity") != "identity":
                raise ReplyError(f"the answer is compressed ({headers['content-encoding']}), which was not asked for")
            return Reply(response.status_code, headers, await _whole(response, max_bytes))

    async def aclose(self) -> None:
        """Close the client, if it is ours."""
        if self._owned:
            await self._client.aclose()


async def _whole(response: AsyncResponse, max_bytes: int) -> bytes:
    body = bytearray()
    with anyio.CancelScope() as scope:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                # Ends the innermost read, and with it every generator around it; leaving the loop would end only one.
                scope.cancel()
                body.clear()
    if scope.cancel_called:
        raise ReplyError(f"the answer is over {max_bytes} bytes")
    return bytes(body)


def open_http(options: Options) -> HttpTransport:
    """
    Return the default transport: httpx2, as many connections as requests in flight, certificates checked.

    Raises:
        ConfigurationError: The environment's proxy settings cannot be used.
    """
    limits = httpx2.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
    try:
        # A proxy has no business between this machine and itself.
        client = httpx2.AsyncClient(limits=limits, trust_env=not options.loopback)
    except (ValueError, ImportError, httpx2.InvalidURL) as exc:
        raise ConfigurationError(f"the proxy in the environment cannot be used: {exc}") from None
    return HttpTransport(client, owned=True)
