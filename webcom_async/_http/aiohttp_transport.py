"""
Posting over aiohttp, for less CPU or more than about 64 requests under way; and the only door to aiohttp.

An extra, and asyncio's alone. Certificates are checked as the default transport checks them, cookies are not kept,
and nothing is followed.
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
# What aiohttp hands on to a connector says nothing of it.
_fresh_connection: ContextVar[bool] = ContextVar("fresh_connection", default=False)


class AiohttpTransport:
    """
    Posts over a session of aiohttp of its own.

    Args:
        options: The client's settings.
        certificates: Whom to trust.

    Raises:
        ConfigurationError: The environment names a proxy that would read the password.
    """

    def __init__(self, options: Options, certificates: ssl.SSLContext) -> None:
        self._in_flight = options.in_flight
        self._proxy = proxy_of(options)
        self._certificates = certificates
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """
        See `Transport.send`.

        Raises:
            UsageError: This is not asyncio.
        """
        trace.connecting()
        response = await self._respond(request, trace, timeout)
        try:
            chunks = response.content.iter_any()
            return await read_reply(trace, response.status, response.headers.items(), chunks, max_bytes)
        finally:
            # Lets go of the connection at once: nothing is awaited behind the answer.
            response.release()

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def _respond(self, request: Request, trace: RequestTrace, seconds: float) -> aiohttp.ClientResponse:
        """Return the answer to *request* when its head is here."""
        session = self._opened()
        before = _fresh_connection.set(trace.fresh_connection)
        try:
            return await session.request(
                request.method,
                URL(request.url, encoded=True),  # as it is: aiohttp would decode what may be
                data=Content(request, trace) if request.body else None,
                headers=headers_of(request),
                allow_redirects=False,
                proxy=self._proxy,
                # The deadline is `exchange`'s, and our semaphore is the queue.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(seconds, CONNECT_SECONDS)),
                trace_request_ctx=trace,
            )
        finally:
            _fresh_connection.reset(before)

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, which can only be made where an event loop runs."""
        if self._session is None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                raise UsageError("aiohttp runs on asyncio only: leave transport= out on trio") from None
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=self._in_flight, ssl=self._certificates),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[_traced()],
            )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """
    Keeps connections, and takes none of them up again on which something was said while it was idle.

    It would be read as the answer to the next request: another one's `id_sms`.
    """

    async def connect(self, *arguments: Any, **more: Any) -> aiohttp.connector.Connection:
        """Return a connection that is new, or was quiet since its last answer."""
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
    Gives aiohttp the head of an answer before what comes behind it.

    If one read holds an answer and bytes behind it that are not HTTP, aiohttp drops the answer. If it has seen the head
    in an earlier read, it returns the answer and closes the connection.

    Args:
        protocol: aiohttp's own.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._tail = b""

    @classmethod
    def read(cls, transport: asyncio.Transport | None) -> None:
        """Read what comes on *transport* in this way from now on."""
        protocol = None if transport is None else transport.get_protocol()
        if transport is not None and isinstance(protocol, asyncio.Protocol) and not isinstance(protocol, cls):
            transport.set_protocol(cls(protocol))

    @classmethod
    def reads(cls, transport: asyncio.Transport | None) -> bool:
        """Whether it reads what comes on *transport* already: a request has used it."""
        return transport is not None and isinstance(transport.get_protocol(), cls)

    def data_received(self, data: bytes) -> None:
        """Hand on what has come."""
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
        """Hand it on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._protocol.resume_writing()


def _traced() -> aiohttp.TraceConfig:
    """Return what tells a request's trace of its connection, and of its first byte."""
    trace = aiohttp.TraceConfig()

    async def connected(_session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.connected()

    async def sending(_session: object, context: SimpleNamespace, _params: object) -> None:
        # aiohttp repeats a GET by itself, and has no setting for that.
        if context.trace_request_ctx.sent:
            raise ConnectionLost
        context.trace_request_ctx.sending(reused_connection=not context.trace_request_ctx.connections)

    trace.on_connection_create_end.append(connected)
    trace.on_request_headers_sent.append(sending)
    return trace
