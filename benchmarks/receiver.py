"""
A webhook receiver to post to: ours, or an ASGI application that does nothing, on the same server.

`python -m benchmarks.receiver KIND` listens on a free port until its standard input ends. Ours keeps reports in a file
of its own; `unkept` leaves the file out.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.machine import SERVER_CORE, pin
from benchmarks.paths import SECRET
from webcom_async import DeliveryReport
from webcom_async.emulator._server import listen
from webcom_async.webhooks import ReportFile, WebhookApp

__all__ = ["main"]

App = Callable[[Any, Any, Any], Awaitable[None]]


class _Nowhere:
    """A store that keeps nothing."""

    async def commit(self, reports: Sequence[DeliveryReport]) -> Sequence[DeliveryReport]:
        """Say that all of *reports* are kept."""
        return reports


async def _empty(_scope: Any, receive: Any, send: Any) -> None:
    """Read the body, and answer as short as ours does for a few reports."""
    while (await receive()).get("more_body", False):
        pass
    head = [(b"content-type", b"text/json; charset=utf-8"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"[]"})


def _app(kind: str, folder: Path) -> App:
    """Return what answers."""
    if kind == "empty":
        return _empty
    return WebhookApp(_Nowhere() if kind == "unkept" else ReportFile(folder / "reports.db"), secret=SECRET)


def main(kind: str) -> None:
    """Answer until standard input ends."""
    pin(SERVER_CORE)
    with tempfile.TemporaryDirectory() as folder, listen() as listener:
        config = uvicorn.Config(
            _app(kind, Path(folder)), lifespan="off", access_log=False, log_config=None, loop="asyncio", http="h11"
        )
        asyncio.run(_serve(uvicorn.Server(config), listener))


async def _serve(server: uvicorn.Server, listener: Any) -> None:
    """Run *server* until standard input ends."""

    def stop() -> None:
        """End it."""
        server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, stop)
    print(listener.getsockname()[1], flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
