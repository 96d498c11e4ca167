"""
Posting over httpx2, the default; and the only door to it.

Certificates are checked, and no setting of ours turns that off. Cookies are not kept, and nothing is followed.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import lru_cache
from typing import cast

import httpx2

from webcom_async._http_client import Trace
from webcom_async._proxies import PROXY_VARIABLES, proxy_of
from webcom_async._transport import CONNECT_SECONDS, HEADERS, Content, Course, once_more
from webcom_async._wire import Payload, Reply
from webcom_async.errors import ConfigurationError
from webcom_async.options import Options

__all__ = ["Httpx2Transport", "trusted_certificates"]

_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1)


class Httpx2Transport:
    """
    Posts over httpx2, on as many connections as there are requests under way.

    Each connection is a pool of its own. A pool of many looks at all of them whenever a request begins or ends, and
    asks the system about each that is idle: with 128 requests under way that is most of the work.

    The environment is read here and not again: `SSL_CERT_FILE` and `SSL_CERT_DIR` for certificates to trust, and
    `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` for the way. To this machine there is no proxy.

    Args:
        options: The client's settings.

    Raises:
        ConfigurationError: The environment's settings cannot be used, or a proxy would read the password.
    """

    def __init__(self, options: Options) -> None:
        proxy = proxy_of(options)
        certificates = trusted_certificates()

        def connection() -> httpx2.AsyncHTTPTransport:
            return httpx2.AsyncHTTPTransport(verify=certificates, trust_env=False, limits=_ONE, proxy=proxy)

        self._new = connection
        self._all: list[httpx2.AsyncHTTPTransport] = []
        try:
            self._idle = [self._opened()]
        except (ValueError, ImportError, httpx2.InvalidURL) as exc:
            # Without its words, which may quote the proxy's password.
            raise ConfigurationError(f"the proxy in {PROXY_VARIABLES} cannot be used: {type(exc).__name__}") from None

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """See `Transport.post`."""
        connection = self._idle.pop() if self._idle else self._opened()

        async def attempt(course: Course) -> Reply:
            response = await connection.handle_async_request(_request(url, body, timeout, course))
            async with aclosing(response):
                chunks = aiter(cast("httpx2.AsyncByteStream", response.stream))
                return await course.reply(response.status_code, response.headers.multi_items(), chunks, max_bytes)

        try:
            return await once_more(attempt, body)
        finally:
            self._idle.append(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._all:
            await connection.aclose()

    def _opened(self) -> httpx2.AsyncHTTPTransport:
        """Return another connection, which is made when it is first needed."""
        connection = self._new()
        self._all.append(connection)
        return connection


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
