"""
Map the exceptions of HTTP libraries to ours, and say whether the request was possibly sent.

Pure. Exceptions are recognised by class name: not every library is installed, and httpx and httpx2 have the same tree
in different modules.
"""

import re
import ssl
from collections.abc import Iterator

from webcom_async._domain.errors import (
    ConfigurationError,
    ConnectionLost,
    GatewayUnavailable,
    Knowledge,
    ReplyTimeout,
    TlsError,
    TransportError,
    WebcomError,
    another,
)
from webcom_async._domain.exchange import RequestTrace
from webcom_async._http.proxies import PROXY_VARIABLES

__all__ = ["as_known", "map_exception"]

# Class names, because httpx and httpx2 have the same tree in different modules; the most specific name wins.
_MEANINGS: dict[str, type[TransportError]] = {
    "ConnectError": GatewayUnavailable,
    "ConnectTimeout": GatewayUnavailable,
    "PoolTimeout": GatewayUnavailable,
    "ProxyError": GatewayUnavailable,
    "UnsupportedProtocol": GatewayUnavailable,
    "TimeoutException": ReplyTimeout,
    "TransportError": ConnectionLost,
    "DecodingError": ConnectionLost,
    # httpcore2's, which httpx2 has under its TransportError.
    "NetworkError": ConnectionLost,
    "ProtocolError": ConnectionLost,
    "StreamError": ConnectionLost,
    # aiohttp's own names.
    "ClientConnectorError": GatewayUnavailable,
    "ConnectionTimeoutError": GatewayUnavailable,
    "ClientHttpProxyError": GatewayUnavailable,
    "InvalidURL": GatewayUnavailable,
    "ServerTimeoutError": ReplyTimeout,
    "ClientError": ConnectionLost,
    # Exceptions that libraries pass through: anyio's and trio's, then the system's.
    "BrokenResourceError": ConnectionLost,
    "ClosedResourceError": ConnectionLost,
    "gaierror": GatewayUnavailable,
    "TimeoutError": ReplyTimeout,
    "OSError": ConnectionLost,
}
_PROXY_ERRORS = frozenset({"ProxyError", "ClientHttpProxyError"})
_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def map_exception(exc: Exception) -> WebcomError | None:
    """
    Return our exception for *exc*, without any reference to the request.

    None if neither an HTTP library nor the system documents *exc* as a failure.
    """
    if isinstance(exc, WebcomError):
        return another(exc).with_traceback(None)
    meaning = _meaning(exc)
    if meaning is None:
        return None
    refused = _tls_refusal(exc, connecting=meaning is GatewayUnavailable) or _proxy_refusal(exc)
    # Without a proxy's user and password, which aiohttp prints in its URL.
    said = re.sub(r"//[^/@\s]*@", "//", f"{type(exc).__name__}: {exc}".removesuffix(": "))
    return refused or meaning(f"{_first_words(meaning)} ({said})")


def as_known(error: WebcomError, trace: RequestTrace, body_bytes: int) -> WebcomError:
    """Return *error*, corrected by what *trace* recorded of a request whose body has *body_bytes*."""
    if not trace.possibly_sent:
        return _as_not_sent(error)
    if _is_of_a_repetition(error, trace, body_bytes):
        return ConnectionLost(str(error))
    if trace.stale and type(error) is ConnectionLost:
        return ConnectionLost(str(error), reused_connection=True)
    return error


def _is_of_a_repetition(error: WebcomError, trace: RequestTrace, body_bytes: int) -> bool:
    """
    Whether the HTTP client repeated the request by itself, and *error* is what that met while connecting.

    It says nothing about the first attempt. A client that tells nothing of its connections has taken the body twice.
    """
    not_connected = isinstance(error, GatewayUnavailable | ConfigurationError)
    has_sent = trace.sent and (trace.connections or trace.reused_connection or trace.bytes_sent > body_bytes)
    return bool(has_sent) and not_connected and error.knowledge is Knowledge.NOT_REACHED


def _as_not_sent(error: WebcomError) -> WebcomError:
    if type(error) is ConnectionLost:
        return GatewayUnavailable(str(error))
    return another(error, knowledge=Knowledge.NOT_REACHED)


def _meaning(exc: Exception) -> type[TransportError] | None:
    names = (kind.__name__ for kind in type(exc).__mro__)
    return next((_MEANINGS[name] for name in names if name in _MEANINGS), None)


def _first_words(kind: type[TransportError]) -> str:
    return (kind.__doc__ or "").strip().split(".")[0].split(";")[0]


def _tls_refusal(exc: Exception, *, connecting: bool) -> TlsError | None:
    """
    Return the TLS error behind *exc*, if there is one.

    A handshake that is cut off may succeed the next time. Any other TLS error while connecting recurs.
    """
    for cause in _causes(exc):
        if not isinstance(cause, ssl.SSLError) or not hasattr(cause, "reason"):
            continue  # aiohttp's exceptions inherit from ssl's without their attributes
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TlsError(f"the certificate of the gateway, or of a proxy, is not trusted: {cause.verify_message}")
        if connecting and not isinstance(cause, _CUT_OFF):
            return TlsError(f"no TLS with the gateway: {cause.reason or type(cause).__name__}. Check base_url")
    return None


def _proxy_refusal(exc: Exception) -> ConfigurationError | None:
    """Return the proxy's refusal; None for a 5xx, which means that the gateway is unreachable for now."""
    said = str(getattr(exc, "status", exc)) if type(exc).__name__ in _PROXY_ERRORS else ""
    status = re.match(r"[1-4]\d\d\b", said)
    if status is None:
        return None
    words = f"the proxy refuses the way to the gateway with {status[0]}: check {PROXY_VARIABLES}"
    return ConfigurationError(words, knowledge=Knowledge.NOT_REACHED)


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
