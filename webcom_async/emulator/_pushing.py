"""
How webhooks reach a receiver: an application in this process, or a URL.

The only place of the emulator that makes requests.
"""

import http.client
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync

from webcom_async.emulator._webhooks import Webhooks
from webcom_async.emulator._wire import CONTENT_TYPE

__all__ = ["App", "AppPost", "Post", "UrlPost", "push"]

Post = Callable[[bytes], Awaitable[bytes | None]]
"""Posts a body and returns the answer's, or None if there was none that counts."""

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application."""

_OK = 200
_SECONDS = 30.0


async def push(webhooks: Webhooks, post: Post) -> int:
    """Offer the reports that are due now, one call after another, and return how many calls that took."""
    calls = webhooks.calls()
    for call in calls:
        webhooks.answered(call, await post(call.body))
    return len(calls)


class AppPost:
    """
    Posts to an ASGI application in this process.

    Args:
        app: The application.
        path: Where it is posted to.
        client: The address that it is posted from.
    """

    def __init__(self, app: App, path: str, client: tuple[str, int] | None = ("127.0.0.1", 50_000)) -> None:
        self._app = app
        self._path = path
        self._client = client

    async def __call__(self, body: bytes) -> bytes | None:
        """Return the answer's body; None if its status is not 200."""
        got: list[MutableMapping[str, Any]] = []
        events: list[dict[str, object]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, object]:
            return events.pop() if events else {"type": "http.disconnect"}

        async def send(event: MutableMapping[str, Any]) -> None:
            got.append(event)

        await self._app(self._scope(len(body)), receive, send)
        if not got or got[0].get("status") != _OK:
            return None
        return b"".join(event.get("body", b"") for event in got)

    def _scope(self, length: int) -> dict[str, object]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(length).encode())],
            "client": self._client,
            "server": ("127.0.0.1", 80),
        }


class UrlPost:
    """
    Posts to a URL, over a connection of its own each time.

    Args:
        url: `http://` only: an emulator has no secrets.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        self._path = parts.path or "/"

    async def __call__(self, body: bytes) -> bytes | None:
        """Return the answer's body; None if there is none, or its status is not 200."""
        return await run_sync(self.post, body)

    def post(self, body: bytes) -> bytes | None:
        """Do the same from a thread."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        try:
            connection.request("POST", self._path, body, {"content-type": CONTENT_TYPE})
            answer = connection.getresponse()
            return answer.read() if answer.status == _OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
