"""
One exchange with the gateway, and the only door to an HTTP library.

`Transport.post` is the seam: bytes out, a `Reply` back. httpx2 stands behind it by default; a caller's own
`httpx.AsyncClient` or `httpx2.AsyncClient` can, and so can an emulator without a socket. `exchange` is the same for
all of them: one deadline, foreign exceptions turned into ours, nothing followed, no credentials left behind. Nothing
is retried here, but for a kept connection that turns out to be closed.

Certificates are checked, and no setting of ours turns that off.
"""

import re
import ssl
import traceback
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import httpx2

from webcom_async._deadline import within
from webcom_async._decoding import decoded
from webcom_async._wire import CONTENT_TYPE, Payload, Reply
from webcom_async.errors import (
    ConfigurationError,
    ConnectionLost,
    GatewayUnavailable,
    Knowledge,
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
    # Answers are small. One that is compressed all the same is understood.
    "accept-encoding": "identity",
    "user-agent": "webcom-async",
}
_CONNECT_SECONDS = 10.0  # ours: a host that has not answered a SYN by then is tried again later
_STATUS_SPEAKS = 300  # from here on, the status says enough about an answer that cannot be read

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
_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_PROXY_VARIABLES = "HTTPS_PROXY, ALL_PROXY and NO_PROXY"


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
    their turn first.

    Raises:
        WebcomError: There is no answer; `knowledge` says whether the request may have been processed.
    """
    course = await within(timeout, _attempt(transport, url, body, timeout, max_bytes))
    outcome = course.returned
    body.given_up_blocked = course.blocked and outcome is None
    if outcome is None and not body.left:
        raise GatewayUnavailable(f"no connection within {timeout:g} s; nothing was sent")
    if outcome is None:
        raise ReplyTimeout(f"no whole answer within {timeout:g} s")
    if isinstance(outcome, WebcomError) and not body.left:
        outcome = _unsent(outcome)
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
    except Exception as exc:  # noqa: BLE001 - whatever a transport raises, the request may have been processed
        return _translated(exc)
    except BaseException as exc:
        # A cancellation goes on to places that may print local variables. The frames that were sending are done.
        traceback.clear_frames(exc.__traceback__)
        raise


def _translated(exc: Exception) -> WebcomError:
    """Return what *exc* means, as an exception of ours that refers to nothing of the request."""
    if isinstance(exc, WebcomError):
        exc.__cause__ = exc.__context__ = None
        return exc.with_traceback(None)
    meaning = _meaning(exc)
    if meaning is None:
        broken = TransportError(f"the HTTP client failed with {type(exc).__name__}: {exc}")
        broken.halts = True
        broken.transient = False
        return broken
    refused = _tls_refusal(exc, connecting=meaning is GatewayUnavailable) or _proxy_refusal(exc)
    said = f"{type(exc).__name__}: {exc}".removesuffix(": ")
    return refused or meaning(f"{_first_words(meaning)} ({said})")


def _unsent(error: WebcomError) -> WebcomError:
    """Return *error* as it stands when not a byte of the request has left."""
    if type(error) is ConnectionLost:
        return GatewayUnavailable(str(error))
    error.knowledge = min(error.knowledge, Knowledge.NOT_REACHED)
    return error


def _meaning(exc: Exception) -> type[TransportError] | None:
    names = (kind.__name__ for kind in type(exc).__mro__)
    return next((_MEANINGS[name] for name in names if name in _MEANINGS), None)


def _first_words(kind: type[TransportError]) -> str:
    return (kind.__doc__ or "").strip().split(".")[0].split(";")[0]


def _tls_refusal(exc: Exception, *, connecting: bool) -> TlsError | None:
    """
    Return what is wrong with the TLS of the other side, if that is what *exc* is about.

    A handshake that is cut off may end well the next time. Anything else that TLS has to say while connecting, such
    as that the other side speaks plain HTTP, will be said again.
    """
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TlsError(f"the certificate of the gateway, or of a proxy, is not trusted: {cause.verify_message}")
        if connecting and isinstance(cause, ssl.SSLError) and not isinstance(cause, _CUT_OFF):
            return TlsError(f"no TLS with the gateway: {cause.reason or type(cause).__name__}. Check base_url")
    return None


def _proxy_refusal(exc: Exception) -> ConfigurationError | None:
    """Return the refusal of a proxy; None for its 5xx, which says that the gateway cannot be reached for now."""
    status = re.match(r"[1-4]\d\d\b", str(exc)) if type(exc).__name__ == "ProxyError" else None
    if status is None:
        return None
    refused = ConfigurationError(f"the proxy refuses the way to the gateway with {status[0]}: check {_PROXY_VARIABLES}")
    refused.knowledge = Knowledge.NOT_REACHED
    return refused


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


class AsyncResponse(Protocol):
    """What is used of a response of httpx or httpx2."""

    status_code: int
    headers: Any
    content: bytes

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
        """
        See `Transport.post`.

        The server may close a connection that is kept for the next request just as that is written. So a kept
        connection that breaks before an answer is tried once more at once; a fresh one is not.
        """
        course = _Course(body)
        try:
            return await self._once(url, body, timeout, max_bytes, course)
        except Exception as exc:
            if not (course.kept and _meaning(exc) is ConnectionLost):
                raise
        try:
            return await self._once(url, body, timeout, max_bytes, _Course(body), repeated=True)
        except Exception as exc:
            if _translated(exc).knowledge is Knowledge.IN_QUESTION:
                raise
        # The second was not sent, which says nothing about the first.
        raise ConnectionLost("a kept connection broke, and there is no fresh one; the request may have been processed")

    async def _once(
        self, url: str, body: Payload, seconds: float, max_bytes: int, course: "_Course", *, repeated: bool = False
    ) -> Reply:
        async with self._client.stream(
            "POST",
            url,
            content=_Content(body),
            headers=_HEADERS | {"content-length": str(len(body))},
            follow_redirects=False,
            # connect, read, write, pool: the deadline is `exchange`'s, and our semaphore is the queue.
            timeout=(min(seconds, _CONNECT_SECONDS), None, None, None),
            extensions={"trace": course},
        ) as response:
            course.answered = True
            headers = {name.lower(): value for name, value in response.headers.items()}
            said = await _said(response, headers.get("content-encoding", ""), max_bytes)
            body.received += len(said)
            return Reply(response.status_code, headers, said, repeated)

    async def aclose(self) -> None:
        """Close the client, if it is ours."""
        if self._owned:
            await self._client.aclose()


class _Content:
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


class _Course:
    """
    How far a request has come, as httpcore and httpcore2 tell it to a `trace` extension.

    Other transports tell nothing, and nothing is concluded.

    Attributes:
        answered: Whether the head of an answer has come.
    """

    def __init__(self, body: Payload) -> None:
        self.answered = False
        self._body = body
        self._connected = False
        self._written = False

    @property
    def kept(self) -> bool:
        """Whether the request went out on a connection of an earlier one, and has no answer."""
        return self._written and not self._connected and not self.answered

    async def __call__(self, event: str, _details: object) -> None:
        """Take note of *event*. Its details hold the request, and are not looked at."""
        self._connected = self._connected or event.startswith("connection.connect_")
        self._body.connections += event == "connection.connect_tcp.complete"
        self._written = self._written or event.endswith(".send_request_headers.started")


async def _said(response: AsyncResponse, coding: str, max_bytes: int) -> bytes:
    """Return the decoded body; nothing if it cannot be read, but the status says enough."""
    if getattr(response, "is_stream_consumed", False):
        return bytes(response.content)  # a mock's answer, which is whole from the start
    try:
        return decoded(await _whole(response, max_bytes), coding, max_bytes)
    except ReplyError:
        if response.status_code >= _STATUS_SPEAKS:
            return b""
        raise


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

    The environment is read here and not again: `SSL_CERT_FILE` and `SSL_CERT_DIR` for certificates to trust, and
    `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` for the way. To this machine there is no proxy.

    Raises:
        ConfigurationError: The environment's settings cannot be used, or a proxy would read the password.
    """
    limits = httpx2.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
    clear = urlsplit(options.url).scheme == "http"
    if clear and not options.loopback:
        _refuse_proxy(urlsplit(options.url).hostname or "")
    try:
        # httpx2 looks for proxies only where it makes the transport itself.
        direct = httpx2.AsyncHTTPTransport(limits=limits) if clear or options.loopback else None
        client = httpx2.AsyncClient(limits=limits, transport=direct)
    except OSError as exc:
        raise ConfigurationError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {exc.strerror}") from None
    except (ValueError, ImportError, httpx2.InvalidURL) as exc:
        # Without its words, which may quote the proxy's password.
        raise ConfigurationError(f"the proxy in {_PROXY_VARIABLES} cannot be used: {type(exc).__name__}") from None
    return HttpTransport(client, owned=True)


def _refuse_proxy(host: str) -> None:
    proxies = urllib.request.getproxies()
    if not (proxies.get("http") or proxies.get("all")) or urllib.request.proxy_bypass(host):
        return
    raise ConfigurationError(
        "HTTP_PROXY or ALL_PROXY would read your password, which http:// sends in clear text: "
        f"use https, or name {host!r} in NO_PROXY"
    )
