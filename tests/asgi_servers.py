"""Any ASGI application on a real socket, for tests."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

__all__ = ["served"]


@contextmanager
def served(app: Any, **settings: Any) -> Generator[str, None, None]:
    """Serve *app* from a thread of its own, and yield the base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    options = {"lifespan": "auto", "log_config": None, "access_log": False, "loop": "asyncio", "ws": "none"}
    server = uvicorn.Server(uvicorn.Config(app, **(options | settings)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
