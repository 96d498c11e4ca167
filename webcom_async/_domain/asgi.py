"""The types of an ASGI application, and its answer to lifespan events."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

__all__ = ["ReceiveCall", "Scope", "SendCall", "live"]

Scope: TypeAlias = MutableMapping[str, Any]
ReceiveCall: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendCall: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def live(receive: ReceiveCall, send: SendCall) -> None:
    """Acknowledge a server's startup and shutdown events."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
