"""
The default transport, over httpx2. No other module imports httpx2 or its core.

Certificates are always checked; no setting turns that off. Cookies are not kept, and redirects are not followed.
"""

import math
import ssl
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import httpcore2
import httpx2
from anyio.lowlevel import checkpoint

from webcom_async._domain.errors import ConfigurationError, UsageError
from webcom_async._domain.exchange import Reply, Request, RequestTrace
from webcom_async._domain.options import Options
from webcom_async._http.client_adapter import HttpcoreTrace
from webcom_async._http.deadline import asyncio_loop
from webcom_async._http.exchange import CONNECT_SECONDS, Content, headers_of, quietly, read_reply
from webcom_async._http.proxies import PROXY_VARIABLES, proxy_of

__all__ = ["Httpx2Transport", "certificates_for", "trusted_certificates"]

_IDLE_SECONDS = 5.0  # the default of httpx2's own pools
_WRITTEN_AT_ONCE = 65_536  # bytes; a batch of 500 has 36 kB
_READ_BYTES = 65_536
_TURNS = 4  # turns of the event loop until bytes on the socket have been read
_STATUS = slice(9, 10)  # the first digit of the status in a status line
_END_OF_HEAD = b"\r\n\r\n"


class Httpx2Transport:
    """
    Sends requests over httpx2's core, on as many connections as there are requests in flight.

    Each connection is a pool of its own. One pool of many inspects all of them whenever a request begins or ends, and
    asks the system about each idle one: with 128 requests in flight that is most of the work. A connection is closed if
    its request ended without an answer, if more bytes arrived than the answer, or after some idle seconds.

    The constructor reads the environment once: `SSL_CERT_FILE` and `SSL_CERT_DIR` for certificates, `HTTPS_PROXY`,
    `ALL_PROXY` and `NO_PROXY` for the proxy. A gateway on this machine is reached without a proxy.

    Args:
        options: The client's settings.
        now: A clock in seconds; by default the event loop's.

    Raises:
        ConfigurationError: The environment's settings cannot be used, or a proxy would read the password.
    """

    def __init__(self, options: Options, now: Callable[[], float] = anyio.current_time) -> None:
        self._now = now
        self._certificates = certificates_for(options)
        self._closed = False
        self._open: set[_Connection] = set()
        # The latest at the right, each with the moment when it became idle.
        self._idle: deque[tuple[_Connection, float]] = deque()
        unusable = ""
        try:
            self._proxy = _proxy(options)
            self._idle.append((self._connection(), math.inf))
        except (ValueError, ImportError, httpx2.InvalidURL) as exc:
            unusable = type(exc).__name__
        if unusable:
            # Raised outside the `except`, and without the words: both may show the password.
            raise ConfigurationError(f"the proxy in {PROXY_VARIABLES} cannot be used: {unusable}")

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        trace.connecting()
        connection = self._taken(fresh=trace.fresh_connection)
        try:
            response = await connection.pool.handle_async_request(_core_request(request, trace, timeout))
            chunks = aiter(cast("AsyncIterable[bytes]", response.stream))
            reply = await read_reply(trace, response.status, _said(response.headers), chunks, max_bytes)
        except BaseException:
            # httpcore2 may count it as in use, or an answer may be left on it.
            await self._drop(connection)
            raise
        await self._give_back(connection, response)
        return reply

    async def aclose(self) -> None:
        self._closed = True
        self._idle.clear()
        while self._open:
            await self._open.pop().pool.aclose()

    def _taken(self, *, fresh: bool) -> "_Connection":
        """Take a connection that was quiet since its last answer, or make a *fresh* one."""
        if self._closed:
            raise UsageError("this client is closed: make another one")
        return self._connection() if fresh or not self._idle else self._idle.pop()[0]

    def _connection(self) -> "_Connection":
        connection = _Connection(_pool(self._proxy, self._certificates))
        self._open.add(connection)
        return connection

    async def _give_back(self, connection: "_Connection", response: httpcore2.Response) -> None:
        """
        Return *connection* to the idle ones, and close those that have been idle too long.

        Other tasks use the idle connections while this one waits, so it takes out what it closes first.
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
        expired: list[_Connection] = []
        while self._idle and self._idle[0][1] < now - _IDLE_SECONDS:
            expired.append(self._idle.popleft()[0])
        return expired

    async def _drop(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        await quietly(connection.pool.aclose())


class _Connection:
    """
    A connection to the gateway.

    Attributes:
        pool: A pool of one, which connects on first use, and again if the server has closed the connection.
        stream: The stream of the latest answer; None before that.
    """

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self.pool = pool
        self.stream: object = None

    @property
    def has_surplus(self) -> bool:
        """Whether more bytes arrived than the latest answer; the pool checks what the socket still holds."""
        return isinstance(self.stream, _Stream) and self.stream.has_surplus


class _Network(httpcore2.AsyncNetworkBackend):
    """Connects as httpcore2 does, through a stream that notices bytes behind an answer."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        # httpcore2 replaces backends that are not installed, which hides the classes' types.
        kind = httpcore2.TrioBackend if asyncio_loop() is None else httpcore2.AnyIOBackend
        backend = cast("httpcore2.AsyncNetworkBackend", kind())
        return _Stream(await backend.connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore2.AsyncNetworkStream):
    """
    A stream that returns the last byte of each read separately.

    A parser that gets more than an answer keeps the rest, and takes it for the answer to the next request: a recipient
    would get another's `id_sms`. So it first gets all but the last byte of each piece; if the answer ends before the
    parser reads that byte, more has arrived than the answer.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._last = b""
        self._early: bytes | None = None
        self._cut_short = False

    @property
    def has_surplus(self) -> bool:
        """Whether more or fewer bytes arrived than were read and written, apart from those still in the socket."""
        return self._cut_short or bool(self._last) or _says_more(self._stream.get_extra_info("ssl_object"))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface
        came, self._last = self._last, b""
        if not came:
            came = await self._arrived(max_bytes, timeout)
            if len(came) > 1:
                came, self._last = came[:-1], came[-1:]
        return came

    async def _arrived(self, max_bytes: int, seconds: float | None) -> bytes:
        early, self._early = self._early, None
        if early is None:
            return await self._stream.read(max_bytes, seconds)
        await checkpoint()  # as if the bytes came from the socket now
        return early

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface
        if len(buffer) <= _WRITTEN_AT_ONCE:
            await self._stream.write(buffer, timeout)
            return
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, tasks.cancel_scope)
            for _ in range(_TURNS):
                await checkpoint()  # an answer to the head may be here already
            try:
                await self._stream.write(buffer, timeout)
            except Exception as exc:  # noqa: BLE001 - raised outside the group, which would wrap it
                failure = exc
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _listen(self, writing: anyio.CancelScope) -> None:
        """
        Stop *writing* when an answer comes before the end of the body, such as a 413.

        A server closes the connection behind such an answer, and a write that fails then would take the answer away.
        """
        with suppress(Exception):  # the write, or the next read, raises it too
            while not _ends_early(self._early):
                self._early = (self._early or b"") + await self._stream.read(_READ_BYTES)
                if self._early == b"":
                    break
            self._cut_short = True
            writing.cancel()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _ends_early(came: bytes | None) -> bool:
    """Whether *came* begins with the head of an answer, apart from interim ones (RFC 9110, 15.2)."""
    head = came or b""
    while head[_STATUS] == b"1" and _END_OF_HEAD in head:
        head = head.split(_END_OF_HEAD, 1)[1]
    return head[_STATUS] not in (b"", b"1")


def _says_more(tls: ssl.SSLObject | None) -> bool:
    """Whether decrypted bytes, or the end, wait behind an answer."""
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
    """Return the proxy as an object whose repr hides the password."""
    url = proxy_of(options)
    if url is None:
        return None
    proxy = httpx2.Proxy(url)
    if proxy.url.scheme.startswith("socks"):
        import_module("socksio")
    return httpcore2.Proxy(_core_url(proxy.url), auth=proxy.raw_auth, ssl_context=proxy.ssl_context)


def _pool(proxy: httpcore2.Proxy | None, certificates: ssl.SSLContext | None) -> httpcore2.AsyncConnectionPool:
    return httpcore2.AsyncConnectionPool(
        certificates,
        proxy,
        max_connections=1,
        max_keepalive_connections=1,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=_Network(),
    )


def _core_request(request: Request, trace: RequestTrace, seconds: float) -> httpcore2.Request:
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
    parsed = httpx2.URL(url)
    return _core_url(parsed), (b"host", parsed.netloc)


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _said(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def certificates_for(options: Options) -> ssl.SSLContext | None:
    """Return the trusted certificates; None for a gateway without TLS, because loading them takes 20 to 200 ms."""
    return None if urlsplit(options.base_url).scheme == "http" else trusted_certificates()


def trusted_certificates() -> ssl.SSLContext:
    """Return the certificates that httpx2 trusts, for another library."""
    try:
        return httpx2.create_ssl_context()
    except OSError as exc:
        raise ConfigurationError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {exc.strerror}") from None
