"""
Posting over a caller's own `AsyncClient` of httpx or httpx2, known by what it can do and not by its class.

Certificates, proxies and limits are the caller's to set there; so is `Connection: close`, for a server that says more
than its answers.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from webcom_async._domain.errors import ConnectionLost
from webcom_async._http.event_loop import asyncio_loop
from webcom_async._http.exchange import CONNECT_SECONDS, HEADERS, Content, RequestTrace, opened, retry_stale_connection
from webcom_async._wire.base import Payload, Reply

__all__ = ["AsyncHttpClient", "HttpTransport", "HttpcoreTrace"]


class AsyncHttpClient(Protocol):
    """What is used of an `AsyncClient` of httpx or httpx2."""

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]: ...

    async def aclose(self) -> None: ...


class HttpTransport:
    """
    Posts over an `AsyncClient` of httpx2 or httpx, and leaves it open.

    Args:
        client: The client.
    """

    def __init__(self, client: AsyncHttpClient) -> None:
        self._client = client

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """See `Transport.post`."""

        async def attempt(trace: RequestTrace) -> Reply:
            answer = self._client.stream(
                "POST",
                url,
                content=Content(body),
                headers=HEADERS | {"content-length": str(len(body))},
                follow_redirects=False,
                # connect, read, write, pool: the deadline is `exchange`'s, and our semaphore is the queue.
                timeout=(min(timeout, CONNECT_SECONDS), None, None, None),
                extensions={"trace": HttpcoreTrace(trace)},
            )
            async with opened(answer) as response:
                return await trace.reply(response.status_code, *_said(response), max_bytes)

        return await retry_stale_connection(attempt, body)

    async def aclose(self) -> None:
        """Do nothing: the client is the caller's to close."""


def _said(response: Any) -> tuple[Iterable[tuple[str, str]], AsyncIterator[bytes]]:
    """Return an answer's headers, and its body as they describe it."""
    headers = response.headers.items()
    if not getattr(response, "is_stream_consumed", False):
        # Not `aiter_raw`, which closes the answer before it says that this is whole.
        return headers, aiter(response.stream)
    # A mock's answer is whole from the start, and decoded.
    return [header for header in headers if header[0].lower() != "content-encoding"], response.aiter_bytes()


class HttpcoreTrace:
    """
    What httpcore and httpcore2 tell a `trace` extension of a request's course.

    Other transports tell nothing, and nothing is concluded.
    """

    def __init__(self, trace: RequestTrace) -> None:
        self._course = trace
        self._has_turned = True

    async def __call__(self, event: str, _details: object) -> None:
        """
        Take note of *event*. Its details hold the request, and are not looked at.

        Raises:
            ConnectionLost: The head of an answer was there before the request was: it is another one's.
        """
        if event == "connection.connect_tcp.complete":
            self._course.opened()
        elif event.startswith("connection.connect_"):
            self._course.connected = True
        elif event.endswith(".send_request_headers.started"):
            self._course.written = True
        elif event == "http11.receive_response_headers.started":
            self._watch()
        elif event == "http11.receive_response_headers.complete" and not self._has_turned:
            raise ConnectionLost("more than an answer had come on the connection; the request may have been processed")

    def _watch(self) -> None:
        """
        Notice whether the event loop turns from now on, as it does whenever bytes come from a socket.

        Where it does not, the parser had the answer already: it came behind an earlier one, in one piece. On trio,
        whose tasks take turns in no order, this cannot be told.
        """
        loop = asyncio_loop()
        if loop is not None:
            self._has_turned = False
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._has_turned = True
