"""
Use a blocking file from the event loop: one call at a time, each in a worker thread.

A call that has begun finishes even if its caller is cancelled, and the file is closed only after it. So the file is
never left half-written, and no lock waits for the garbage collector.
"""

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import anyio
from anyio import CancelScope
from anyio.to_thread import run_sync

__all__ = ["Closable", "WorkerThread"]

_PAGE = 500  # rows per hop


class Closable(Protocol):
    """A file that can be closed."""

    def close(self) -> None: ...


F = TypeVar("F", bound=Closable)
T = TypeVar("T")


class WorkerThread(Generic[F]):
    """An open file, and the thread limiter for calls to it."""

    def __init__(self) -> None:
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._lock = threading.Lock()
        self._left = False
        self._file: F | None = None

    @classmethod
    async def open(cls, opener: Callable[[], F]) -> Self:
        """The file is closed again if this call is cancelled."""
        held = cls()
        try:
            await run_sync(lambda: held._take(opener()), limiter=held._one_at_a_time)
        except BaseException:
            held._leave()
            raise
        return held

    async def call(self, call: Callable[[F], T], *, shielded: bool = False) -> T:
        """A *shielded* call runs even if the caller is being cancelled."""

        def locked() -> T:
            with self._lock:
                assert self._file is not None  # noqa: S101 - `open` has returned
                return call(self._file)

        returned: list[T] = []
        with CancelScope(shield=shielded):
            returned.append(await run_sync(locked, limiter=self._one_at_a_time))
        return returned[0]

    async def page(self, rows: Iterator[T]) -> list[T]:
        return await self.call(lambda _: list(islice(rows, _PAGE)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with CancelScope(shield=True):
            await self.aclose()

    async def aclose(self) -> None:
        try:
            await self.call(lambda file: file.close())
        except BaseException:
            self._leave()
            raise

    # asyncio can cancel a task without waiting for its thread. The thread then finishes its call, and closes the file:
    # the garbage collector would leave it locked for some time.

    def _take(self, file: F) -> None:
        with self._lock:
            self._file = file
            if self._left:
                file.close()

    def _leave(self) -> None:
        with self._lock:
            self._left = True
            if self._file is not None:
                self._file.close()
