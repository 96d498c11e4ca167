"""
Posting over a caller's own `AsyncClient` of httpx or httpx2, known by what it can do and not by its class.

Certificates, proxies and limits are the caller's to set there; so is `Connection: close`, for a server that says more
than its answers.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from webcom_async._domain.errors import ConnectionLost
from webcom_async._domain.exchange import Reply, Request, RequestTrace
from webcom_async._http.event_loop import asyncio_loop
from webcom_async._http.exchange import CONNECT_SECONDS, Content, headers_of, opened, read_reply

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

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """See `Transport.send`. Which connection is used is the client's choice, also for a `fresh_connection`."""
        trace.connecting()
        if not request.body:
            trace.sending()  # not every transport of httpx tells of its connections, or asks for an empty body
        answer = self._client.stream(
            request.method,
            request.url,
            content=Content(request, trace) if request.body else None,
            headers=headers_of(request),
            follow_redirects=False,
            # connect, read, write, pool: the deadline is `exchange`'s, and our semaphore is the queue.
            timeout=(min(timeout, CONNECT_SECONDS), None, None, None),
            extensions={"trace": HttpcoreTrace(trace)},
        )
        async with opened(answer) as response:
            return await read_reply(trace, response.status_code, *_said(response), max_bytes)

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
        self._trace = trace
        self._has_connected = False
        self._has_turned = True

    async def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        """
        Take note of *event*. Of its details, which hold the request, only a method is looked at.

        Raises:
            ConnectionLost: The head of an answer was there before the request was: it is another one's.
        """
        if event == "connection.connect_tcp.complete":
            self._has_connected = True
            self._trace.connected()
        elif event.startswith("connection.connect_"):
            self._has_connected = True
        elif event.endswith(".send_request_headers.started"):
            if not _asks_a_proxy(details):
                self._trace.sending(reused_connection=not self._has_connected)
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


def _asks_a_proxy(details: Mapping[str, Any]) -> bool:
    """Whether what is sent only asks a proxy for the way, which holds nothing of the request."""
    return getattr(details.get("request"), "method", b"") == b"CONNECT"
