"""Which event loop this is: asyncio's own, asked directly, because anyio takes 2 µs to find out."""

from typing import TYPE_CHECKING

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    import asyncio

__all__ = ["asyncio_loop", "running_loop"]


def asyncio_loop() -> "asyncio.AbstractEventLoop | None":
    """Return the event loop of the running task, if that is one of asyncio; None if not, as where trio is its guest."""
    import asyncio  # noqa: PLC0415 - at the top it would take a sixth of this package's import

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else task.get_loop()


def running_loop() -> object:
    """Return what is equal to itself only, and stands for the event loop that runs here."""
    return asyncio_loop() or current_token()
