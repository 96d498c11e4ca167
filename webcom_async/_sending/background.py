"""
Tasks that belong to several callers, or to one that has left.

They are tasks of the event loop itself: one task would have to open and close a task group, and a client need not be
opened and closed by one task.
"""

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from webcom_async._http.deadline import asyncio_loop

if TYPE_CHECKING:
    import asyncio

__all__ = ["run_in_background"]

_running: "set[asyncio.Task[None]]" = set()  # asyncio holds only a weak reference to a task


def run_in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *work*, which never raises, in its own task, in a copy of the caller's context."""
    loop = asyncio_loop()
    if loop is not None:
        task = loop.create_task(work())
        _running.add(task)
        task.add_done_callback(_running.discard)
        return
    import trio  # noqa: PLC0415 - it is running, so it is imported already

    trio.lowlevel.spawn_system_task(work, context=copy_context())
