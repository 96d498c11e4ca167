"""
The transport over aiohttp: less CPU, and more than about 64 requests in flight. No other module imports aiohttp.

An extra, for asyncio only. It checks certificates as the default transport does, keeps no cookies and follows no
redirects.
"""

import asyncio
import ssl
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from webcom_async._domain.errors import ConnectionLost, UsageError
from webcom_async._domain.exchange import Reply, Request, RequestTrace
from webcom_async._domain.options import Options
from webcom_async._http.exchange import CONNECT_SECONDS, Content, headers_of, read_reply
from webcom_async._http.proxies import proxy_of

__all__ = ["AiohttpTransport"]

_END_OF_HEAD = b"\r\n\r\n"
# A context variable, because aiohttp passes no such argument on to a connector.
_fresh_connection: ContextVar[bool] = ContextVar("fresh_connection", default=False)


class AiohttpTransport:
    """
    Sends requests over an aiohttp session of its own.

    Args:
        options: The client's settings.
        certificates: The certificates to trust; None for a gateway without TLS.

    Raises:
        ConfigurationError: The environment names a proxy that would read the password.
    """

    def __init__(self, options: Options, certificates: ssl.SSLContext | None) -> None:
        self._in_flight = options.in_flight
        self._proxy = proxy_of(options)
        self._certificates = certificates
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        trace.connecting()
        response = await self._respond(request, trace, timeout)
        try:
            chunks = response.content.iter_any()
            return await read_reply(trace, response.status, response.headers.items(), chunks, max_bytes)
        finally:
            # Releases the connection at once: nothing is awaited behind the answer.
            response.release()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _respond(self, request: Request, trace: RequestTrace, seconds: float) -> aiohttp.ClientResponse:
        session = self._opened()
        before = _fresh_connection.set(trace.fresh_connection)
        try:
            return await session.request(
                request.method,
                URL(request.url, encoded=True),  # unchanged: aiohttp would decode some escapes
                data=Content(request, trace) if request.body else None,
                headers=headers_of(request),
                allow_redirects=False,
                proxy=self._proxy,
                # `exchange` sets the deadline, and our slots are the queue.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(seconds, CONNECT_SECONDS)),
                trace_request_ctx=trace,
            )
        finally:
            _fresh_connection.reset(before)

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session; aiohttp makes one only inside a running event loop."""
        if self._session is None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                raise UsageError("aiohttp runs on asyncio only: leave transport= out on trio") from None
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=self._in_flight, ssl=self._certificates or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[_traced()],
            )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """
    Keeps connections, but closes an idle one on which the server has sent bytes.

    aiohttp would read those bytes as the answer to the next request, and a recipient would get another's `id_sms`.
    """

    async def connect(self, *arguments: Any, **more: Any) -> aiohttp.connector.Connection:
        fresh = _fresh_connection.get()
        while True:
            connection = await super().connect(*arguments, **more)
            if _is_usable(connection) and not (fresh and _HeadFirst.reads(connection.transport)):
                _HeadFirst.read(connection.transport)
                return connection
            connection.close()


def _is_usable(connection: aiohttp.connector.Connection) -> bool:
    return connection.protocol is None or not connection.protocol.should_close


class _HeadFirst(asyncio.Protocol):
    """
    Gives aiohttp the head of an answer before the bytes behind it.

    If one read holds an answer and bytes behind it that are not HTTP, aiohttp drops the answer. If it has seen the head
    in an earlier read, it returns the answer and closes the connection.

    Args:
        protocol: aiohttp's own protocol.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._tail = b""

    @classmethod
    def read(cls, transport: asyncio.Transport | None) -> None:
        protocol = None if transport is None else transport.get_protocol()
        if transport is not None and isinstance(protocol, asyncio.Protocol) and not isinstance(protocol, cls):
            transport.set_protocol(cls(protocol))

    @classmethod
    def reads(cls, transport: asyncio.Transport | None) -> bool:
        """Whether the protocol of *transport* is wrapped: a request has used it."""
        return transport is not None and isinstance(transport.get_protocol(), cls)

    def data_received(self, data: bytes) -> None:
        came, start = self._tail + data, len(self._tail)
        end = came.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        while len(_END_OF_HEAD) <= end < len(came):  # a `100 Continue` may come before the answer
            if start < end:
                self._protocol.data_received(came[start:end])
                start = end
            end = came.find(_END_OF_HEAD, end) + len(_END_OF_HEAD)
        self._tail = came[1 - len(_END_OF_HEAD) :]
        self._protocol.data_received(came[start:])

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def _traced() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def connected(_session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.connected()

    async def sending(_session: object, context: SimpleNamespace, _params: object) -> None:
        # aiohttp retries a GET by itself, and has no setting against it.
        if context.trace_request_ctx.sent:
            raise ConnectionLost
        context.trace_request_ctx.sending(reused_connection=not context.trace_request_ctx.connections)

    trace.on_connection_create_end.append(connected)
    trace.on_request_headers_sent.append(sending)
    return trace
