"""
Posting over httpx2, the default; and the only door to it and to its core.

Certificates are checked, and no setting of ours turns that off. Cookies are not kept, and nothing is followed.
"""

import math
import ssl
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

import anyio
import httpcore2
import httpx2

from webcom_async._domain.errors import ConfigurationError, UsageError
from webcom_async._domain.exchange import Reply, Request, RequestTrace
from webcom_async._domain.options import Options
from webcom_async._http.client_adapter import HttpcoreTrace
from webcom_async._http.event_loop import asyncio_loop
from webcom_async._http.exchange import CONNECT_SECONDS, Content, headers_of, quietly, read_reply
from webcom_async._http.proxies import PROXY_VARIABLES, proxy_of

__all__ = ["Httpx2Transport", "trusted_certificates"]

_IDLE_SECONDS = 5.0  # as httpx2's own pools have it


class Httpx2Transport:
    """
    Posts over httpx2's core, on as many connections as there are requests under way.

    Each connection is a pool of its own. A pool of many looks at all of them whenever a request begins or ends, and
    asks the system about each that is idle: with 128 requests under way that is most of the work. One whose request
    did not end with an answer is not used again, nor one on which more has come than the answer, and one that has been
    idle for some seconds is closed.

    The environment is read here and not again: `SSL_CERT_FILE` and `SSL_CERT_DIR` for certificates to trust, and
    `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` for the way. To this machine there is no proxy.

    Args:
        options: The client's settings.
        now: The time in seconds; the event loop's, if left out.

    Raises:
        ConfigurationError: The environment's settings cannot be used, or a proxy would read the password.
    """

    def __init__(self, options: Options, now: Callable[[], float] = anyio.current_time) -> None:
        self._now = now
        self._certificates = trusted_certificates()
        self._closed = False
        self._open: set[_Connection] = set()
        # The latest at the right, each with the moment since when it has been idle.
        self._idle: deque[tuple[_Connection, float]] = deque()
        unusable = ""
        try:
            self._proxy = _proxy(options)
            self._idle.append((self._connection(), math.inf))
        except (ValueError, ImportError, httpx2.InvalidURL) as exc:
            unusable = type(exc).__name__
        if unusable:
            # Out here, and without its words: they, and the frames that it came through, may show the password.
            raise ConfigurationError(f"the proxy in {PROXY_VARIABLES} cannot be used: {unusable}")

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        See `Transport.send`.

        Raises:
            UsageError: It is closed.
        """
        trace.connecting()
        connection = self._taken(fresh=trace.fresh_connection)
        try:
            response = await connection.pool.handle_async_request(_core_request(request, trace, timeout))
            chunks = aiter(cast("AsyncIterable[bytes]", response.stream))
            reply = await read_reply(trace, response.status, _said(response.headers), chunks, max_bytes)
        except BaseException:
            # httpcore2 may think that it is still in use, or an answer may be left on it.
            await self._drop(connection)
            raise
        await self._give_back(connection, response)
        return reply

    async def aclose(self) -> None:
        """Close all connections; nothing can be posted any more."""
        self._closed = True
        self._idle.clear()
        while self._open:
            await self._open.pop().pool.aclose()

    def _taken(self, *, fresh: bool) -> "_Connection":
        """Return a connection that is not in use and was quiet since its last answer, or a *fresh* one."""
        if self._closed:
            raise UsageError("this client is closed: make another one")
        return self._connection() if fresh or not self._idle else self._idle.pop()[0]

    def _connection(self) -> "_Connection":
        """Return another connection; it connects with its first request."""
        connection = _Connection(_pool(self._proxy, self._certificates))
        self._open.add(connection)
        return connection

    async def _give_back(self, connection: "_Connection", response: httpcore2.Response) -> None:
        """
        Let others use *connection*, whose answer is whole, and close those that have been idle for some time.

        Requests of other tasks begin and end while this one waits: what is to be closed is taken out before.
        """
        done = await quietly(response.aclose())
        connection.stream = cast("dict[str, object]", response.extensions).get("network_stream")
        now = self._now()
        unused = self._expired(now)
        if done and not self._closed and not connection.has_surplus:
            self._idle.append((connection, now))
        else:
            unused.append(connection)
        for each in unused:
            await self._drop(each)

    def _expired(self, now: float) -> "list[_Connection]":
        """Take out of the idle connections those that have been so for some time, and return them."""
        expired: list[_Connection] = []
        while self._idle and self._idle[0][1] < now - _IDLE_SECONDS:
            expired.append(self._idle.popleft()[0])
        return expired

    async def _drop(self, connection: "_Connection") -> None:
        """Close *connection* for good."""
        self._open.discard(connection)
        await quietly(connection.pool.aclose())


class _Connection:
    """
    A connection to the gateway.

    Attributes:
        pool: A pool of one, which connects when it is first used, and again if the server has closed the connection.
        stream: What the latest answer came on; None before that.
    """

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self.pool = pool
        self.stream: object = None

    @property
    def has_surplus(self) -> bool:
        """Whether more has come on it than the latest answer; what the socket still holds, its pool looks for."""
        return isinstance(self.stream, _Stream) and self.stream.has_surplus


class _Network(httpcore2.AsyncNetworkBackend):
    """Connects as httpcore2 does by itself, and says of each connection whether more came than an answer."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to *host*."""
        # Stand-ins that refuse, where trio is not installed, hide the classes' types.
        kind = httpcore2.TrioBackend if asyncio_loop() is None else httpcore2.AnyIOBackend
        backend = cast("httpcore2.AsyncNetworkBackend", kind())
        return _Stream(await backend.connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore2.AsyncNetworkStream):
    """
    The bytes of a connection, the last one of each read by itself.

    A parser that is handed more than an answer keeps the rest, and takes it for the answer to the next request: another
    recipient's `id_sms`. Of what comes in one piece it is handed all but the last byte first; if the answer ends
    before it asks for that one, more has come than the answer.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._last = b""

    @property
    def has_surplus(self) -> bool:
        """Whether more has come than was read; what is left in the socket itself does not count."""
        return bool(self._last) or _says_more(self._stream.get_extra_info("ssl_object"))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface
        """Return what has come, up to *max_bytes*; nothing at the end."""
        came, self._last = self._last, b""
        if not came:
            came = await self._stream.read(max_bytes, timeout)
            if len(came) > 1:
                came, self._last = came[:-1], came[-1:]
        return came

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface
        """Send *buffer*."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
    ) -> httpcore2.AsyncNetworkStream:
        """Return the encrypted bytes of it."""
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore2 asks about the connection."""
        return self._stream.get_extra_info(info)


def _says_more(tls: ssl.SSLObject | None) -> bool:
    """Whether decrypted bytes, or the end, wait behind an answer: another record of what came in one piece."""
    if tls is None:
        return False
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except (ssl.SSLError, OSError, ValueError):
        return True  # closed or broken
    return True


def _proxy(options: Options) -> httpcore2.Proxy | None:
    """
    Return the proxy in an object whose repr shows no password.

    Raises:
        ImportError: It is a SOCKS proxy, and socksio is not installed.
    """
    url = proxy_of(options)
    if url is None:
        return None
    proxy = httpx2.Proxy(url)
    if proxy.url.scheme.startswith("socks"):
        import_module("socksio")
    return httpcore2.Proxy(_core_url(proxy.url), auth=proxy.raw_auth, ssl_context=proxy.ssl_context)


def _pool(proxy: httpcore2.Proxy | None, certificates: ssl.SSLContext) -> httpcore2.AsyncConnectionPool:
    return httpcore2.AsyncConnectionPool(
        certificates,
        proxy,
        max_connections=1,
        max_keepalive_connections=1,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=_Network(),
    )


def _core_request(request: Request, trace: RequestTrace, seconds: float) -> httpcore2.Request:
    """Return *request* as httpcore2 wants it. The deadline is `exchange`'s, but for connecting."""
    parsed, host = _parsed(request.url)
    headers = [(name.encode(), value.encode()) for name, value in headers_of(request).items()]
    timeouts = {"connect": min(seconds, CONNECT_SECONDS), "read": None, "write": None, "pool": None}
    return httpcore2.Request(
        request.method.encode(),
        parsed,
        headers=[host, *headers],
        content=Content(request, trace),
        extensions={"timeout": timeouts, "trace": HttpcoreTrace(trace)},
    )


@lru_cache(maxsize=16)
def _parsed(url: str) -> tuple[httpcore2.URL, tuple[bytes, bytes]]:
    """Return *url* as httpcore2 wants it, and the header that names its host."""
    parsed = httpx2.URL(url)
    return _core_url(parsed), (b"host", parsed.netloc)


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _said(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def trusted_certificates() -> ssl.SSLContext:
    """
    Return what httpx2 trusts, for another library too.

    Raises:
        ConfigurationError: `SSL_CERT_FILE` or `SSL_CERT_DIR` cannot be used.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as exc:
        raise ConfigurationError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {exc.strerror}") from None
