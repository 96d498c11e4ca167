"""
Pulling recipients from a campaign's source, item by item, when a worker asks for a batch of them.

An async source is asked from its first item to its last by one task: what it sets and holds (context variables, cancel
scopes, a task group, a database connection) is there when it is asked for the next item. It is never cancelled in the
middle of an item, unless that takes longer than the grace: a database driver would close the connection.
"""

from collections import deque
from collections.abc import Awaitable
from typing import Protocol

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from webcom_async._domain.errors import UsageError
from webcom_async._domain.sources import Source
from webcom_async._sending.counters import CampaignCounters

__all__ = ["Puller", "puller_of"]


class Puller(Protocol):
    """
    What pulls from a source.

    Attributes:
        failure: What the source failed with; None if it did not.
    """

    failure: Exception | None

    async def fill(self, size: int) -> None:
        """Pull until *size* items wait to be cut, or the source ends or fails."""
        ...

    def end(self) -> None:
        """Ask for no further item, and let the one that was asked for have the grace."""
        ...

    async def stop(self) -> None:
        """Do so, and come back when that item has come, or the grace is over."""
        ...

    async def aclose(self) -> None:
        """Close the source, if it was left early."""
        ...


def puller_of(
    source: Source, waiting: deque[object], counters: CampaignCounters, tasks: TaskGroup, grace: float
) -> Puller:
    """
    Return what pulls from *source*.

    Args:
        source: Where recipients come from.
        waiting: Where they are put.
        counters: Where they are counted.
        tasks: Runs the task that asks an async source.
        grace: Seconds that an item may take once nothing more is wanted, and closing the source after it.
    """
    if not source.is_async:
        return _Inline(source, waiting, counters)
    puller = _OneTask(source, waiting, counters, grace)
    tasks.start_soon(puller.run)
    return puller


class _Inline:
    """Pulls from an ordinary iterable, which has each item at once."""

    def __init__(self, source: Source, waiting: deque[object], counters: CampaignCounters) -> None:
        self.failure: Exception | None = None
        self._source = source
        self._waiting = waiting
        self._counters = counters

    async def fill(self, size: int) -> None:
        """See `Puller`."""
        held = len(self._waiting)
        try:
            self._source.fill_now(self._waiting, size)
        except Exception as exc:  # noqa: BLE001 - the source is the caller's, and so is its error
            self.failure = exc
        finally:
            self._counters.taken += len(self._waiting) - held
            self._counters.exhausted = self._source.exhausted

    def end(self) -> None:
        """Do nothing: between two calls of `fill`, nothing is asked for."""

    async def stop(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """See `Puller`."""
        await self._source.aclose()


class _OneTask:
    """Pulls from an async iterable, in a task of its own."""

    def __init__(self, source: Source, waiting: deque[object], counters: CampaignCounters, grace: float) -> None:
        self.failure: Exception | None = None
        self._source = source
        self._waiting = waiting
        self._counters = counters
        self._grace = grace
        # One scope around it all: a generator's own scopes are open from one item to the next.
        self._scope = CancelScope(shield=True)
        self._size = 0
        self._asked = anyio.Event()
        self._filled = anyio.Event()
        self._stopping = False
        self._ended = anyio.Event()
        self._not_closed: Exception | None = None

    async def fill(self, size: int) -> None:
        """See `Puller`."""
        if len(self._waiting) >= size or self._ended.is_set():
            return
        self._size = size
        self._filled = anyio.Event()
        self._asked.set()
        await self._filled.wait()

    def end(self) -> None:
        """See `Puller`."""
        if not self._stopping:
            self._stopping = True
            self._scope.deadline = anyio.current_time() + self._grace
            self._asked.set()

    async def stop(self) -> None:
        """See `Puller`."""
        self.end()
        await self._ended.wait()

    async def aclose(self) -> None:
        """
        See `Puller`; the task has ended, and has closed the source.

        Raises:
            Exception: The source failed as it was closed.
        """
        if self._not_closed is not None:
            raise self._not_closed

    async def run(self) -> None:
        """Ask the source whenever a worker asks, then close it."""
        try:
            with self._scope:
                while self._goes_on:
                    await self._wait()
                    if self._goes_on:
                        await self._counted(self._source.fill(self._waiting, self._size, until=lambda: self._stopping))
                    self._filled.set()
                self._stopping = True
                self._scope.deadline = anyio.current_time() + self._grace
                await self._close()
        finally:
            self._ended.set()
            self._filled.set()

    @property
    def _goes_on(self) -> bool:
        return self.failure is None and not (self._stopping or self._source.exhausted)

    async def _wait(self) -> None:
        """Wait to be asked. A cancellation meanwhile comes from a scope that the source holds, and is handed to it."""
        try:
            await self._asked.wait()
        except anyio.get_cancelled_exc_class() as exc:
            if self._scope.cancel_called:
                raise
            await self._counted(self._source.throw(self._waiting, exc))
        else:
            self._asked = anyio.Event()

    async def _counted(self, pull: Awaitable[None]) -> None:
        held = len(self._waiting)
        try:
            await pull
        except Exception as exc:  # noqa: BLE001 - the source is the caller's, and so is its error
            self.failure = exc
        except anyio.get_cancelled_exc_class():
            if self._scope.cancel_called:
                raise
            # The cancellation is not ours. Let out, it would end the campaign as if that were all.
            self.failure = UsageError("the source raised a cancellation of its own")
        finally:
            self._counters.taken += len(self._waiting) - held
            self._counters.exhausted = self._source.exhausted

    async def _close(self) -> None:
        try:
            await self._source.aclose()
        except Exception as exc:  # noqa: BLE001 - raised when the campaign is left
            self._not_closed = exc
