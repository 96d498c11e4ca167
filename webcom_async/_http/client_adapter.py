"""
The transport over a caller's own `AsyncClient` of httpx or httpx2, which it knows by methods and not by class.

The caller sets certificates, proxies and limits on that client; also `Connection: close`, for a server that sends bytes
behind its answers.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from webcom_async._domain.errors import ConnectionLost
from webcom_async._domain.exchange import Reply, Request, RequestTrace
from webcom_async._http.deadline import asyncio_loop
from webcom_async._http.exchange import CONNECT_SECONDS, Content, headers_of, opened, read_reply

__all__ = ["AsyncHttpClient", "HttpTransport", "HttpcoreTrace"]


class AsyncHttpClient(Protocol):
    """The part of an httpx or httpx2 `AsyncClient` that this library uses."""

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]: ...

    async def aclose(self) -> None: ...


class HttpTransport:
    """
    Sends requests over an `AsyncClient` of httpx2 or httpx, and never closes it.

    Args:
        client: The client.
    """

    def __init__(self, client: AsyncHttpClient) -> None:
        self._client = client

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Send *request*. The client chooses the connection, even for a `fresh_connection`."""
        trace.connecting()
        if not request.body:
            trace.sending()  # not every httpx transport reports connections, or reads an empty body
        answer = self._client.stream(
            request.method,
            request.url,
            content=Content(request, trace) if request.body else None,
            headers=headers_of(request),
            follow_redirects=False,
            # connect, read, write, pool: `exchange` sets the deadline, and our slots are the queue.
            timeout=(min(timeout, CONNECT_SECONDS), None, None, None),
            extensions={"trace": HttpcoreTrace(trace)},
        )
        async with opened(answer) as response:
            return await read_reply(trace, response.status_code, *_said(response), max_bytes)

    async def aclose(self) -> None:
        """Do nothing: the client is the caller's to close."""


def _said(response: Any) -> tuple[Iterable[tuple[str, str]], AsyncIterator[bytes]]:
    headers = response.headers.items()
    if not getattr(response, "is_stream_consumed", False):
        # Not `aiter_raw`, which closes the response before it reports the end of the body.
        return headers, aiter(response.stream)
    # A mock's response is whole and decoded from the start.
    return [header for header in headers if header[0].lower() != "content-encoding"], response.aiter_bytes()


class HttpcoreTrace:
    """
    Records what httpcore and httpcore2 report to a `trace` extension.

    Other transports report nothing, and nothing is concluded from that.
    """

    def __init__(self, trace: RequestTrace) -> None:
        self._trace = trace
        self._has_connected = False
        self._has_turned = True

    async def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        """
        Record *event*. Only the method of the request in *details* is read.

        Raises:
            ConnectionLost: The answer arrived before the request was sent, so it answers another one.
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
        Record whether the event loop turns from now on, as it does whenever bytes come from a socket.

        If it does not turn, the answer arrived behind an earlier one, in one piece. On trio, whose tasks run in no
        fixed order, this cannot be known.
        """
        loop = asyncio_loop()
        if loop is not None:
            self._has_turned = False
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._has_turned = True


def _asks_a_proxy(details: Mapping[str, Any]) -> bool:
    """Whether this is only a `CONNECT` to a proxy, which carries nothing of ours."""
    return getattr(details.get("request"), "method", b"") == b"CONNECT"
