"""Find the running event loop; asyncio is asked directly, because anyio takes 2 µs."""

from typing import TYPE_CHECKING

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    import asyncio

__all__ = ["asyncio_loop", "running_loop"]


def asyncio_loop() -> "asyncio.AbstractEventLoop | None":
    """Return the running asyncio loop; None on trio, even as a guest."""
    import asyncio  # noqa: PLC0415 - at the top it would take a sixth of this package's import time

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else task.get_loop()


def running_loop() -> object:
    """Return an object that identifies the running event loop."""
    return asyncio_loop() or current_token()
