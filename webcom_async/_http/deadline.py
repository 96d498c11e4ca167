"""
A deadline that never drops an answer that has already arrived.

While the event loop is blocked, arrived bytes stay unread. So a deadline that fires late waits once more, for as long
as the loop was late, and every deadline lets the loop turn a few times before it cancels.

asyncio is asked for its running loop directly, because anyio takes 2 µs to find it.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio import CancelScope
from anyio.lowlevel import checkpoint, current_token

if TYPE_CHECKING:
    import asyncio

__all__ = ["TimedCall", "asyncio_loop", "run_with_deadline", "running_loop"]


T = TypeVar("T")

_LATE_SECONDS = 0.05  # a deadline that fires later than this means that the event loop was blocked
_TURNS = 4  # loop turns from bytes on the socket to a parsed answer


class TimedCall(Generic[T]):
    """
    The result of a call with a deadline.

    Attributes:
        returned: The returned value; None after the deadline.
        blocked: Whether the event loop was blocked at the deadline.
    """

    def __init__(self) -> None:
        self.returned: T | None = None
        self.blocked: bool = False


async def run_with_deadline(seconds: float, call: Awaitable[T]) -> TimedCall[T]:
    """Await *call* for *seconds*, then cancel it without raising."""
    timed = TimedCall[T]()
    loop = asyncio_loop()
    if loop is None:
        await _watched_by_task(seconds, call, timed)
        return timed
    with CancelScope() as scope:
        # asyncio's own timer: a sleeping task would take a fifth of the time of a request to a fast gateway.
        timer = _Timer(loop, seconds, scope.cancel)
        try:
            timed.returned = await call
        finally:
            timer.stop()
            timed.blocked = timer.blocked
    return timed


class _Timer:
    """A deadline on asyncio that calls *expire*."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", seconds: float, expire: Callable[[], None]) -> None:
        self.blocked: bool = False
        self._loop = loop
        self._seconds = seconds
        self._expire = expire
        self._due = loop.time() + seconds
        self._handle: asyncio.Handle = loop.call_at(self._due, self._notice)

    def stop(self) -> None:
        self._handle.cancel()

    def _notice(self) -> None:
        late = self._loop.time() - self._due
        self.blocked = late > _LATE_SECONDS
        if self.blocked:
            self._handle = self._loop.call_later(min(late, self._seconds), self._turn, _TURNS)
        else:
            self._turn(_TURNS)

    def _turn(self, left: int) -> None:
        if left:
            self._handle = self._loop.call_soon(self._turn, left - 1)
        else:
            self._expire()


async def _watched_by_task(seconds: float, call: Awaitable[T], timed: TimedCall[T]) -> None:
    """Do the same with a task as the timer."""
    failure: BaseException | None = None

    async def expire() -> None:
        due = anyio.current_time() + seconds
        await anyio.sleep(seconds)
        late = anyio.current_time() - due
        timed.blocked = late > _LATE_SECONDS
        if timed.blocked:
            await anyio.sleep(min(late, seconds))
        for _ in range(_TURNS):
            await checkpoint()
        watch.cancel_scope.cancel()

    async with anyio.create_task_group() as watch:
        watch.start_soon(expire)
        try:
            timed.returned = await call
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001 - raised outside the group, which would wrap it
            failure = exc
        watch.cancel_scope.cancel()
    if failure is not None:
        raise failure


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
