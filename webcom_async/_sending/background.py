"""
Tasks that belong to several callers, or to one who has left.

Of the event loop itself: a task group would have to be opened and closed by one task, which a client need not be.
"""

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from webcom_async._http.event_loop import asyncio_loop

if TYPE_CHECKING:
    import asyncio

__all__ = ["run_in_background"]

_running: "set[asyncio.Task[None]]" = set()  # asyncio itself holds a task by a weak reference only


def run_in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *work*, which raises nothing, in a task of its own, with a copy of the caller's context."""
    loop = asyncio_loop()
    if loop is not None:
        task = loop.create_task(work())
        _running.add(task)
        task.add_done_callback(_running.discard)
        return
    import trio  # noqa: PLC0415 - it runs here, so it is imported already

    trio.lowlevel.spawn_system_task(work, context=copy_context())
