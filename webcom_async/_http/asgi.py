"""ASGI's words: what a server hands to an application, and the answer to its starting and stopping."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

__all__ = ["ReceiveCall", "Scope", "SendCall", "live"]

Scope: TypeAlias = MutableMapping[str, Any]
ReceiveCall: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendCall: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def live(receive: ReceiveCall, send: SendCall) -> None:
    """Say yes to the server's starting and to its stopping; nothing is to be done for them."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
