"""
Posting over httpx2, or over a caller's own client of httpx or httpx2; and the only door to httpx2.

Certificates are checked, and no setting of ours turns that off.
"""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2

from webcom_async._proxies import PROXY_VARIABLES, proxy_of
from webcom_async._transport import CONNECT_SECONDS, HEADERS, Content, Course, joined, once_more, read_body
from webcom_async._wire import Payload, Reply
from webcom_async.errors import ConfigurationError
from webcom_async.options import Options

__all__ = ["AsyncHttpClient", "HttpTransport", "open_http", "trusted_certificates"]


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

        async def attempt(course: Course, repeated: bool) -> Reply:
            return await self._once(url, body, timeout, max_bytes, course, repeated=repeated)

        return await once_more(attempt, body)

    async def _once(
        self, url: str, body: Payload, seconds: float, max_bytes: int, course: Course, *, repeated: bool
    ) -> Reply:
        async with self._client.stream(
            "POST",
            url,
            content=Content(body),
            headers=HEADERS | {"content-length": str(len(body))},
            follow_redirects=False,
            # connect, read, write, pool: the deadline is `exchange`'s, and our semaphore is the queue.
            timeout=(min(seconds, CONNECT_SECONDS), None, None, None),
            extensions={"trace": _Trace(course)},
        ) as response:
            course.answered = True
            headers = joined(response.headers.items())
            if getattr(response, "is_stream_consumed", False):
                said = bytes(response.content)  # a mock's answer, which is whole from the start
            else:
                coding = headers.get("content-encoding", "")
                said = await read_body(response.aiter_raw(), response.status_code, coding, max_bytes)
            body.received += len(said)
            return Reply(response.status_code, headers, said, repeated)

    async def aclose(self) -> None:
        """Close the client, if it is ours."""
        if self._owned:
            await self._client.aclose()


class _Trace:
    """
    What httpcore and httpcore2 tell a `trace` extension of a request's course.

    Other transports tell nothing, and nothing is concluded.
    """

    def __init__(self, course: Course) -> None:
        self._course = course

    async def __call__(self, event: str, _details: object) -> None:
        """Take note of *event*. Its details hold the request, and are not looked at."""
        if event == "connection.connect_tcp.complete":
            self._course.opened()
        elif event.startswith("connection.connect_"):
            self._course.connected = True
        elif event.endswith(".send_request_headers.started"):
            self._course.written = True


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
    proxy_of(options)  # refuses one that would read the password
    try:
        # httpx2 looks for proxies only where it makes the transport itself.
        direct = httpx2.AsyncHTTPTransport(limits=limits) if clear or options.loopback else None
        client = httpx2.AsyncClient(limits=limits, transport=direct)
    except OSError as exc:
        raise ConfigurationError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {exc.strerror}") from None
    except (ValueError, ImportError, httpx2.InvalidURL) as exc:
        # Without its words, which may quote the proxy's password.
        raise ConfigurationError(f"the proxy in {PROXY_VARIABLES} cannot be used: {type(exc).__name__}") from None
    return HttpTransport(client, owned=True)


def trusted_certificates() -> ssl.SSLContext:
    """
    Return what httpx2 trusts, for another library.

    Raises:
        ConfigurationError: `SSL_CERT_FILE` or `SSL_CERT_DIR` cannot be used.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as exc:
        raise ConfigurationError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {exc.strerror}") from None
