"""
The webhook receiver, an ASGI application without a framework.

The gateway signs nothing, and offers a report up to five times, until the answer repeats its id. So the path holds the
secret, and the order is: read within limits, parse, commit, then acknowledge what was committed.

Source: apidocs.webcom.mobi, JSON specification, webhook.
"""

import re
from collections.abc import Iterable, MutableMapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Protocol

import anyio
import msgspec

from webcom_async._domain.asgi import ReceiveCall, Scope, SendCall, live
from webcom_async._domain.delivery import DeliveryReport
from webcom_async._domain.errors import ConfigurationError, WebcomError, WebhookRefused
from webcom_async._domain.options import Options
from webcom_async._domain.zones import DEFAULT_ZONE
from webcom_async._events.observers import Observer, Observers
from webcom_async._events.receiving import PostRefused, ReportsCommitted, ReportsNotCommitted
from webcom_async._wire.base import CONTENT_TYPE
from webcom_async._wire.json_api.delivery import decode_reports, encode_acknowledgement
from webcom_async.webhooks._addresses import AllowList

__all__ = ["Limits", "ReportStore", "WebhookApp", "acknowledge", "parse"]

_SECRET = re.compile(r"[A-Za-z0-9._~-]{16,200}")  # characters that a URL's path carries unescaped
_LONGEST_LENGTH = 18  # digits
_JSON = [(b"content-type", CONTENT_TYPE.encode())]
_CLOSE = (b"connection", b"close")
_NO_CONTENT: list[tuple[bytes, bytes]] = []


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    Request limits.

    Attributes:
        max_bytes: The largest body, in bytes.
        max_reports: The most reports in a body.
        seconds: The time for a body to arrive after its head. The server before the application bounds the head.
        in_flight: The most calls that are read or committed at once; others get 503 and a `Retry-After`.
    """

    max_bytes: int = 262_144  # ours: 2,600 reports of 100 bytes
    max_reports: int = 2_000
    seconds: float = 10.0
    in_flight: int = 128

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise ConfigurationError(f"{name} is {value!r}; it must be a number above 0")


class ReportStore(Protocol):
    """Where reports are kept: a `ReportFile`, or your own database table."""

    async def commit(self, reports: Sequence[DeliveryReport]) -> Sequence[DeliveryReport]:
        """
        Store *reports*, and return those that survive a power loss: only these are acknowledged.

        The same reports may arrive again, early, late or contradictory: the store keeps the order of `DeliveryState`s.
        If this raises, the gateway offers all of them again.
        """
        ...


def parse(
    body: bytes, *, time_zone: str = DEFAULT_ZONE, max_reports: int = Limits().max_reports
) -> list[DeliveryReport]:
    """
    Return the reports in a webhook's body, in order; entries without a usable id are skipped.

    A single report outside an array is read too, and an undocumented state is `DeliveryState.UNKNOWN`.

    Args:
        body: The body as received.
        time_zone: The gateway's zone. Not documented; Moscow is likely.
        max_reports: The most reports allowed.

    Raises:
        WebhookRefused: The body holds no reports, or too many; its `status` is the HTTP status to answer.
    """
    return decode_reports(body, Options(time_zone=time_zone).zone, max_reports)


def acknowledge(reports: Iterable[DeliveryReport]) -> bytes:
    """
    Return the body of the answer that acknowledges *reports*, each id in the type it arrived in.

    Pass committed reports only: the gateway does not offer these again.
    """
    return encode_acknowledgement(reports)


class WebhookApp:
    """
    Receives delivery reports: an ASGI application, to mount or to run alone.

    It answers `POST …/SECRET`; another path gets 404, another method 405. A report is committed before it is
    acknowledged. If that fails, the answer is 503, and the gateway offers the report again.

    Args:
        store: Where reports are kept, such as a `ReportFile`.
        secret: The last part of the path: 16 to 200 letters, digits and `-._~`, such as `secrets.token_urlsafe()`
            returns. Any caller that has it can report anything, so keep it out of access logs.
        limits: Request limits.
        allowed: Addresses and networks that may call; all, if empty. The vendor documents none.
        proxies: Addresses and networks of your own proxies, whose `X-Forwarded-For` is trusted.
        time_zone: The gateway's zone. Not documented; Moscow is likely.
        observers: Functions that are called with each event; see `webcom_async.events`.

    Raises:
        ConfigurationError: The secret, an address, the zone or an observer cannot be used.
    """

    def __init__(
        self,
        store: ReportStore,
        *,
        secret: str,
        limits: Limits | None = None,
        allowed: Iterable[str] = (),
        proxies: Iterable[str] = (),
        time_zone: str = DEFAULT_ZONE,
        observers: Iterable[Observer] = (),
    ) -> None:
        if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
            raise ConfigurationError("secret must be 16 to 200 letters, digits and -._~ for the end of a path")
        self._store = store
        self._digest = _digest(secret)
        self._limits = limits or Limits()
        self._callers = AllowList(allowed, proxies)
        self._zone: tzinfo = Options(time_zone=time_zone).zone
        self._observers = Observers(observers)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: ReceiveCall, send: SendCall) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: ReceiveCall, send: SendCall) -> None:
        try:
            self._admit(scope)
            body = await self._acknowledgement(receive)
        except _Left:
            # The caller does not see it, but a middleware that gets no answer raises.
            await _respond(send, 400, [_CLOSE], b"")
        except _RefusedPost as refused:
            # Without the path, which holds the secret, and without the body.
            self._observers.emit(PostRefused(status=refused.status, why=refused.why))
            await _respond(send, refused.status, [*refused.headers, _CLOSE], b"")
        else:
            await _respond(send, 200, _JSON, body)

    def _admit(self, scope: Scope) -> None:
        """Refuse a call that may not be made, before a byte of its body is read."""
        given = scope["path"].rstrip("/").rpartition("/")[2]
        # Digests, because a comparison in constant time still reveals lengths.
        if not compare_digest(_digest(given), self._digest):
            raise _RefusedPost(404, "path")
        client = scope.get("client")
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if not self._callers.admits(client[0] if client else None, headers):
            raise _RefusedPost(403, "address")
        if scope["method"] != "POST":
            raise _RefusedPost(405, "method", [(b"allow", b"POST")])
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in headers):
            raise _RefusedPost(415, "coding")
        length = next((value for name, value in headers if name == b"content-length"), b"0")
        if not length.isdigit() or len(length) > _LONGEST_LENGTH or int(length) > self._limits.max_bytes:
            raise _RefusedPost(413, "size")
        if self._under_way >= self._limits.in_flight:
            raise _RefusedPost(503, "busy", [(b"retry-after", b"1")])

    async def _acknowledgement(self, receive: ReceiveCall) -> bytes:
        """Return the answer to a call, once its reports are committed."""
        self._under_way += 1
        try:
            reports = await self._reports(receive)
            committed = await self._committed(reports)
        finally:
            self._under_way -= 1
        self._observers.emit(ReportsCommitted(reports=len(committed)))
        return encode_acknowledgement(committed)

    async def _reports(self, receive: ReceiveCall) -> list[DeliveryReport]:
        body: bytes | None = None
        with anyio.move_on_after(self._limits.seconds):
            body = await _read(receive, self._limits.max_bytes)
        if body is None:
            raise _RefusedPost(408, "slow")
        try:
            return decode_reports(body, self._zone, self._limits.max_reports)
        except WebhookRefused as exc:
            raise _RefusedPost(exc.status, "body") from None

    async def _committed(self, reports: list[DeliveryReport]) -> Sequence[DeliveryReport]:
        if not reports:
            return reports
        try:
            return await self._store.commit(reports)
        except Exception as exc:  # noqa: BLE001 - whatever a store raises, the gateway offers the reports again
            error = str(exc) if isinstance(exc, WebcomError) else type(exc).__name__
            self._observers.emit(ReportsNotCommitted(reports=len(reports), error=error))
            raise _RefusedPost(503, "store", [(b"retry-after", b"30")]) from None


class _RefusedPost(Exception):
    """The call gets a status, and no body."""

    def __init__(self, status: int, why: str, headers: list[tuple[bytes, bytes]] = _NO_CONTENT) -> None:
        super().__init__(status)
        self.status = status
        self.why = why
        self.headers = headers


class _Left(Exception):
    """The caller has disconnected."""


def _digest(path: str) -> bytes:
    return blake2b(path.encode(errors="surrogatepass")).digest()


async def _read(receive: ReceiveCall, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        event = await _next(receive)
        if event["type"] != "http.request":
            raise _Left
        body = event.get("body", b"")
        size += len(body)
        if size > max_bytes:
            raise _RefusedPost(413, "size")
        if not event.get("more_body", False):
            return body if not parts else b"".join([*parts, body])
        parts.append(body)


async def _next(receive: ReceiveCall) -> MutableMapping[str, Any]:
    try:
        return await receive()
    except OSError:
        return {"type": "http.disconnect"}


async def _respond(send: SendCall, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    # ASGI, from version 2.4 of its HTTP specification on: a server may raise OSError once the caller has left.
    with suppress(OSError):
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})
