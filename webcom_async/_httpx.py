"""
Posting over httpx2, the default; and the only door to it.

Certificates are checked, and no setting of ours turns that off. Cookies are not kept, and nothing is followed.
"""

import math
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import lru_cache
from typing import cast

import anyio
import httpx2

from webcom_async._http_client import Trace
from webcom_async._proxies import PROXY_VARIABLES, proxy_of
from webcom_async._transport import CONNECT_SECONDS, HEADERS, Content, Course, once_more
from webcom_async._wire import Payload, Reply
from webcom_async.errors import ConfigurationError, UsageError
from webcom_async.options import Options

__all__ = ["Httpx2Transport", "trusted_certificates"]

_IDLE_SECONDS = 5.0  # as httpx2's own pools have it
_CLOSE_SECONDS = 1.0
_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1)


class Httpx2Transport:
    """
    Posts over httpx2, on as many connections as there are requests under way.

    Each connection is a pool of its own. A pool of many looks at all of them whenever a request begins or ends, and
    asks the system about each that is idle: with 128 requests under way that is most of the work. One whose request
    did not end with an answer is not used again, and one that has been idle for some seconds is closed.

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
        self._open: set[httpx2.AsyncHTTPTransport] = set()
        # The latest at the right, each with the moment since when it has been idle.
        self._idle: deque[tuple[httpx2.AsyncHTTPTransport, float]] = deque()
        unusable = ""
        try:
            self._proxy = _proxy(options)
            self._idle.append((self._connection(), math.inf))
        except (ValueError, ImportError, httpx2.InvalidURL) as exc:
            unusable = type(exc).__name__
        if unusable:
            # Out here, and without its words: they, and the frames that it came through, may show the password.
            raise ConfigurationError(f"the proxy in {PROXY_VARIABLES} cannot be used: {unusable}")

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        See `Transport.post`.

        Raises:
            UsageError: It is closed.
        """

        async def attempt(course: Course) -> Reply:
            connection = self._taken(fresh=course.repeated)
            try:
                response = await connection.handle_async_request(_request(url, body, timeout, course))
                async with aclosing(response):
                    chunks = aiter(cast("httpx2.AsyncByteStream", response.stream))
                    reply = await course.reply(response.status_code, response.headers.multi_items(), chunks, max_bytes)
            except BaseException:
                # httpcore2 may think that it is still in use, or an answer may be left on it.
                await self._drop(connection)
                raise
            await self._give_back(connection)
            return reply

        return await once_more(attempt, body)

    async def aclose(self) -> None:
        """Close all connections; nothing can be posted any more."""
        self._closed = True
        self._idle.clear()
        while self._open:
            await self._open.pop().aclose()

    def _taken(self, *, fresh: bool) -> httpx2.AsyncHTTPTransport:
        """Return a connection that nobody uses, or a *fresh* one."""
        if self._closed:
            raise UsageError("this client is closed: make another one")
        return self._connection() if fresh or not self._idle else self._idle.pop()[0]

    def _connection(self) -> httpx2.AsyncHTTPTransport:
        """Return another connection; it connects with its first request."""
        connection = httpx2.AsyncHTTPTransport(
            verify=self._certificates, trust_env=False, limits=_ONE, proxy=self._proxy
        )
        self._open.add(connection)
        return connection

    async def _give_back(self, connection: httpx2.AsyncHTTPTransport) -> None:
        """Let others use *connection*, and close those that nobody has used for some time."""
        if self._closed:
            await self._drop(connection)
            return
        now = self._now()
        self._idle.append((connection, now))
        while self._idle[0][1] < now - _IDLE_SECONDS:
            await self._drop(self._idle.popleft()[0])

    async def _drop(self, connection: httpx2.AsyncHTTPTransport) -> None:
        """Close *connection* for good."""
        self._open.discard(connection)
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + _CLOSE_SECONDS):
            await connection.aclose()


def _proxy(options: Options) -> httpx2.Proxy | None:
    """Return the proxy in an object whose repr shows no password."""
    url = proxy_of(options)
    return None if url is None else httpx2.Proxy(url)


class _Body(httpx2.AsyncByteStream):
    """A request's body as httpx2 wants it."""

    def __init__(self, body: Payload) -> None:
        self._content = Content(body)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._content)


def _request(url: str, body: Payload, seconds: float, course: Course) -> httpx2.Request:
    """Return the request that posts *body*. The deadline is `exchange`'s, but for connecting."""
    parsed = _parsed(url)
    host = {"host": parsed.netloc.decode("ascii")}
    timeouts = {"connect": min(seconds, CONNECT_SECONDS), "read": None, "write": None, "pool": None}
    return httpx2.Request(
        "POST",
        parsed,
        headers=host | HEADERS | {"content-length": str(len(body))},
        stream=_Body(body),
        extensions={"timeout": timeouts, "trace": Trace(course)},
    )


_parsed = lru_cache(maxsize=16)(httpx2.URL)


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
