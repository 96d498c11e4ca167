"""
Ctrl-C and SIGTERM: how a command learns that it is to stop.

Both are exceptions at first, and end a command at once. During a `SignalAwareRun` they are events instead, so that
requests in flight can be waited for. A signal that this process was started to ignore stays ignored.
"""

import asyncio
import inspect
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from types import CoroutineType, FrameType
from typing import Generic, NoReturn, TypeVar

import anyio
from anyio.abc import TaskStatus

from webcom_async._cli.exit_codes import of_signal

__all__ = ["SignalAwareRun", "Terminated", "listening", "signal_of", "terminable"]

_CUT_SHORT = 0.5  # seconds, which is ample where nothing hangs

T = TypeVar("T")


class Terminated(KeyboardInterrupt):
    """SIGTERM, as Ctrl-C is a `KeyboardInterrupt`."""


def signal_of(exc: BaseException) -> signal.Signals:
    return signal.SIGTERM if isinstance(exc, Terminated) else signal.SIGINT


@contextmanager
def terminable() -> Generator[None, None, None]:
    """Let SIGTERM raise `Terminated` while the block runs."""
    with _heard() as numbers:
        if signal.SIGTERM in numbers:
            signal.signal(signal.SIGTERM, _terminate)
        yield


@asynccontextmanager
async def listening(told: Callable[[signal.Signals], None]) -> AsyncGenerator[None, None]:
    """
    Call *told* with each signal, which raises nothing then.

    Where an event loop cannot receive signals, as on Windows, they go on raising. An exception of the block comes out
    bare, not in a group.
    """
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(_listen, told)
        try:
            yield
        except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - raised again below
            failure = exc
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


class SignalAwareRun(Generic[T]):
    """
    Work that the first Ctrl-C or SIGTERM lets end in good order, and that a second one ends at once.

    Args:
        stopping_seconds: This process ends so long after the first signal, whatever its threads do; None for no limit.

    Attributes:
        stopped: The first signal; None if none came.
    """

    def __init__(self, stopping_seconds: float | None = None) -> None:
        self.stopped: signal.Signals | None = None
        self._state: Callable[[], T] | None = None
        self._scope: anyio.CancelScope | None = None
        self._stopping_seconds = stopping_seconds
        self._deadline = _Deadline()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """
        Return what *work* has achieved if a signal ends it at once.

        Raise `KeyboardInterrupt` if a signal ends it before it has begun.
        """
        try:
            return anyio.run(work)
        except (KeyboardInterrupt, asyncio.CancelledError) as exc:
            self.stopped = self.stopped or signal_of(exc)
            if self._state is None:
                raise _exception_of(self.stopped) from None
            return self._state()
        finally:
            self._deadline.wait()

    @property
    def begun(self) -> bool:
        return self._state is not None

    def begin(self, state: Callable[[], T]) -> None:
        """Let *state* say from now on what the work has achieved."""
        self._state = state

    def listening(self) -> AbstractAsyncContextManager[None]:
        return listening(self._hear)

    def stoppable(self) -> anyio.CancelScope:
        """The first signal cancels the scope, be it one that came before."""
        self._scope = anyio.CancelScope()
        if self.stopped is not None:
            self._scope.cancel()
        return self._scope

    def _hear(self, number: signal.Signals) -> None:
        if self.stopped is None:
            self.stopped = number
            self._limit(self._stopping_seconds)
            if self._scope is not None:
                self._scope.cancel()
        else:
            self._limit(_CUT_SHORT)
            _cut_short()

    def _limit(self, seconds: float | None) -> None:
        if self._stopping_seconds is not None and seconds is not None and self.stopped is not None:
            self._deadline.set(seconds, of_signal(self.stopped))


def _exception_of(number: signal.Signals) -> KeyboardInterrupt:
    return Terminated() if number is signal.SIGTERM else KeyboardInterrupt()


def _cut_short() -> None:
    """Cancel other tasks through their shields: those wait for the network, not for a user."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        coroutine = task.get_coro()
        # One that has not begun is left to its task group: cancelled here, it would be warned of as never awaited.
        if isinstance(coroutine, CoroutineType) and inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
            task.cancel()


class _Deadline:
    """
    The end of this process, should its stopping take too long.

    A thread that waits for a database cannot be cancelled, and the interpreter would wait for it at its exit. What
    `kill -9` may do to a command at any time, this may too.
    """

    def __init__(self) -> None:
        self._others = set(threading.enumerate())
        self._timer: threading.Timer | None = None
        self._code = 0

    def set(self, seconds: float, code: int) -> None:
        """Replace an earlier deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._code = code
        self._timer = threading.Timer(seconds, _leave, (code,))
        self._timer.daemon = True
        self._timer.start()

    def wait(self) -> None:
        """Wait for the threads that were begun since this was made; a signal meanwhile ends the process at once."""
        if self._timer is None:
            return
        try:
            for thread in set(threading.enumerate()) - self._others:
                if not thread.daemon:
                    thread.join()
        except KeyboardInterrupt:
            _leave(self._code)
        self._timer.cancel()


def _leave(code: int) -> NoReturn:
    """End this process, whatever its threads do."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader has gone, or it is closed
            stream.flush()
    os._exit(code)


async def _listen(told: Callable[[signal.Signals], None], *, task_status: TaskStatus[None]) -> None:
    task_status.started()  # the starter goes on at the first `await` below
    with _heard() as numbers, suppress(NotImplementedError), anyio.open_signal_receiver(*numbers) as signals:
        async for number in signals:
            told(number)


@contextmanager
def _heard() -> Generator[list[signal.Signals], None, None]:
    """Restore afterwards what the signals do; asyncio forgets what that was."""
    if threading.current_thread() is not threading.main_thread():
        yield []  # signals are the main thread's
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    numbers = [number for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)]
    try:
        yield numbers
    finally:
        for number in numbers:
            signal.signal(number, handlers[number])


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated
