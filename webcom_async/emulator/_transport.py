"""The in-process face: a transport that a client takes, without a socket."""

from urllib.parse import urlsplit

from webcom_async._domain.errors import ConnectionLost, ReplyError, UsageError
from webcom_async._domain.exchange import Reply, Request, RequestTrace
from webcom_async.emulator._conversation import hold
from webcom_async.emulator._gateway import Gateway, Received

__all__ = ["GatewayTransport"]


class GatewayTransport:
    """
    Sends to an emulated gateway in the same process.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._closed = False

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ARG002, ASYNC109 - the caller watches the time
        """Answer *request* as the gateway would; see `webcom_async.Transport`."""
        trace.connecting()
        if self._closed:
            raise UsageError("this transport is closed")
        trace.sending()
        trace.bytes_sent += len(request.body)
        received = Received(request.method, urlsplit(request.url).path, dict(request.headers), request.body)
        conversation = await hold(self._gateway, received)
        answer = conversation.answer
        if answer is None or conversation.cut is not None:
            raise ConnectionLost("the emulator closed the connection")
        trace.answering()
        if len(answer.body) > max_bytes:
            raise ReplyError(f"the answer is over {max_bytes} bytes")
        trace.bytes_received += len(answer.body)
        return Reply(answer.status, answer.headers, answer.body)

    async def aclose(self) -> None:
        """Refuse further requests."""
        self._closed = True
