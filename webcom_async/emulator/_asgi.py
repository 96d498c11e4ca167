"""
The ASGI face: an application for any server.

ASGI has no word for "close the connection". A server that can do it passes `hang_up`; under any other, a broken
answer is one that promises more bytes than it sends, which servers end by closing.
"""

from collections.abc import Callable

from webcom_async._domain.asgi import ReceiveCall, Scope, SendCall, live
from webcom_async.emulator._conversation import Conversation, hold
from webcom_async.emulator._gateway import Gateway, Received

__all__ = ["GatewayApp"]

_MAX_BODY = 64 * 1024 * 1024


class GatewayApp:
    """
    An emulated gateway as an ASGI application.

    Args:
        gateway: The gateway.
        hang_up: Closes the connection of a request, given its scope.
    """

    def __init__(self, gateway: Gateway, hang_up: Callable[[Scope], None] | None = None) -> None:
        self._gateway = gateway
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: ReceiveCall, send: SendCall) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the emulator does not speak {scope['type']}")
        body = await _read(receive)
        if body is None:
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        conversation = await hold(self._gateway, Received(scope["method"], scope["path"], headers, body))
        broken = conversation.answer is None or conversation.cut is not None
        if conversation.answer is not None or self._hang_up is None:
            await _answer(conversation, broken=broken, send=send)
        if broken and self._hang_up is not None:
            self._hang_up(scope)
            while (await receive())["type"] != "http.disconnect":
                pass


async def _answer(conversation: Conversation, *, broken: bool, send: SendCall) -> None:
    answer = conversation.answer
    status, headers, body = (200, {}, b"") if answer is None else (answer.status, answer.headers, answer.body)
    length = len(body) + broken  # one byte more than will come
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
                (b"content-length", str(length).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body[: conversation.cut], "more_body": broken})


async def _read(receive: ReceiveCall) -> bytes | None:
    """Return None if the client left or sends without end."""
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        body += event.get("body", b"")
        if len(body) > _MAX_BODY:
            return None
        if not event.get("more_body", False):
            return bytes(body)
