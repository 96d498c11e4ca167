"""
A deadline that does not give up on an answer that is already here.

When the event loop was blocked beyond a deadline, what arrived meanwhile has not been looked at yet. So a deadline that
is noticed late waits once more, as long as the loop was late, and every deadline lets the loop turn a few times before
it cancels.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio import CancelScope
from anyio.lowlevel import checkpoint

from webcom_async._http.event_loop import asyncio_loop

if TYPE_CHECKING:
    import asyncio

__all__ = ["TimedCall", "run_with_deadline"]

T = TypeVar("T")

_LATE_SECONDS = 0.05  # a deadline that is noticed later than this says that the event loop was blocked
_TURNS = 4  # loop turns from bytes on the socket to a parsed answer


class TimedCall(Generic[T]):
    """
    How a call went.

    Attributes:
        returned: What it returned; None if it was given up.
        blocked: Whether the event loop was blocked when the time was over.
    """

    def __init__(self) -> None:
        self.returned: T | None = None
        self.blocked: bool = False


async def run_with_deadline(seconds: float, call: Awaitable[T]) -> TimedCall[T]:
    """Await *call* for so many *seconds*; then it is cancelled, and nothing is raised."""
    timed = TimedCall[T]()
    loop = asyncio_loop()
    if loop is None:
        await _watched_by_task(seconds, call, timed)
        return timed
    with CancelScope() as scope:
        # A timer of asyncio's own: a task that sleeps would cost a request to a quick gateway a fifth of its time.
        timer = _Timer(loop, seconds, scope.cancel)
        try:
            timed.returned = await call
        finally:
            timer.stop()
            timed.blocked = timer.blocked
    return timed


class _Timer:
    """A deadline on asyncio, which calls *expire*."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", seconds: float, expire: Callable[[], None]) -> None:
        self.blocked: bool = False
        self._loop = loop
        self._seconds = seconds
        self._expire = expire
        self._due = loop.time() + seconds
        self._handle: asyncio.Handle = loop.call_at(self._due, self._notice)

    def stop(self) -> None:
        """Let nothing expire any more."""
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
    """Do the same where nothing but a task keeps time."""
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
        except BaseException as exc:  # noqa: BLE001 - out of the group, in which it would come wrapped
            failure = exc
        watch.cancel_scope.cancel()
    if failure is not None:
        raise failure
