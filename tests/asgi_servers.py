"""Any ASGI application on a real socket, for tests."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from webcom_async.emulator._server import listen, url_of

__all__ = ["served"]


@contextmanager
def served(app: Any, **settings: Any) -> Generator[str, None, None]:
    """Serve *app* from a thread of its own, and yield the base URL."""
    listener = listen()
    options = {"lifespan": "auto", "log_config": None, "access_log": False, "loop": "asyncio", "ws": "none"}
    server = uvicorn.Server(uvicorn.Config(app, **(options | settings)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
