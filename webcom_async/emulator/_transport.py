"""The in-process face: a transport that a client takes, without a socket."""

from urllib.parse import urlsplit

from webcom_async._domain.errors import ConnectionLost, ReplyError, UsageError
from webcom_async._wire.base import CONTENT_TYPE, Payload, Reply
from webcom_async.emulator._conversation import hold
from webcom_async.emulator._gateway import Gateway, Received

__all__ = ["GatewayTransport"]


class GatewayTransport:
    """
    Posts to an emulated gateway in the same process.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._closed = False

    async def post(self, url: str, body: Payload, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ARG002, ASYNC109 - the caller watches the time
        """Answer *body* as the gateway would; see `webcom_async.Transport`."""
        if self._closed:
            raise UsageError("this transport is closed")
        request = Received("POST", urlsplit(url).path, {"content-type": CONTENT_TYPE}, bytes(body))
        conversation = await hold(self._gateway, request)
        answer = conversation.answer
        if answer is None or conversation.cut is not None:
            raise ConnectionLost("the emulator closed the connection")
        if len(answer.body) > max_bytes:
            raise ReplyError(f"the answer is over {max_bytes} bytes")
        return Reply(answer.status, answer.headers, answer.body)

    async def aclose(self) -> None:
        """Refuse further requests."""
        self._closed = True
