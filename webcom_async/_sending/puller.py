"""
Pull recipients from a campaign's source when a worker needs a batch.

One task pulls an async source from the first item to the last: what the source sets and holds (context variables,
cancel scopes, a task group, a database connection) is there at the next item. The source is never cancelled in the
middle of an item, unless the item takes longer than the grace: a database driver would close its connection.
"""

from collections import deque
from collections.abc import Awaitable
from typing import Protocol

import anyio
from anyio import CancelScope

from webcom_async._domain.errors import UsageError
from webcom_async._domain.sources import Source
from webcom_async._gateway.owned_tasks import OwnedTasks
from webcom_async._sending.counters import CampaignCounters

__all__ = ["Puller", "puller_of"]


class Puller(Protocol):
    """
    Pulls items from a source.

    Attributes:
        failure: The source's exception; None if there is none.
    """

    failure: Exception | None

    async def fill(self, size: int) -> None:
        """Pull until *size* items wait to be cut, or the source ends or fails."""
        ...

    def end(self) -> None:
        """Request no further item; an item that is being awaited gets the grace."""
        ...

    async def stop(self) -> None:
        """Call `end`, and wait until that item has arrived or the grace is over."""
        ...

    async def aclose(self) -> None:
        """Close the source, if it was left early."""
        ...


def puller_of(
    source: Source, waiting: deque[object], counters: CampaignCounters, tasks: OwnedTasks, grace: float
) -> Puller:
    """Return the puller for *source*. The last item, and closing the source, may take *grace* seconds each."""
    if not source.is_async:
        return _Inline(source, waiting, counters)
    puller = _OneTask(source, waiting, counters, grace)
    tasks.start_soon(puller.run)
    return puller


class _Inline:
    """Pulls from an ordinary iterable, which yields each item at once."""

    def __init__(self, source: Source, waiting: deque[object], counters: CampaignCounters) -> None:
        self.failure: Exception | None = None
        self._source = source
        self._waiting = waiting
        self._counters = counters

    async def fill(self, size: int) -> None:
        held = len(self._waiting)
        try:
            self._source.fill_now(self._waiting, size)
        except Exception as exc:  # noqa: BLE001 - the source is the caller's, and so is its error
            self.failure = exc
        finally:
            self._counters.taken += len(self._waiting) - held
            self._counters.exhausted = self._source.exhausted

    def end(self) -> None:
        """Do nothing: no item is awaited between calls of `fill`."""

    async def stop(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        await self._source.aclose()


class _OneTask:
    """Pulls from an async iterable in its own task, which also closes it."""

    def __init__(self, source: Source, waiting: deque[object], counters: CampaignCounters, grace: float) -> None:
        self.failure: Exception | None = None
        self._source = source
        self._waiting = waiting
        self._counters = counters
        self._grace = grace
        # One scope around all items: a generator's own scopes stay open between them.
        self._scope = CancelScope(shield=True)
        self._size = 0
        self._asked = anyio.Event()
        self._filled = anyio.Event()
        self._stopping = False
        self._ended = anyio.Event()
        self._not_closed: Exception | None = None

    async def fill(self, size: int) -> None:
        if len(self._waiting) >= size or self._ended.is_set():
            return
        self._size = size
        self._filled = anyio.Event()
        self._asked.set()
        await self._filled.wait()

    def end(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._scope.deadline = anyio.current_time() + self._grace
            self._asked.set()

    async def stop(self) -> None:
        self.end()
        await self._ended.wait()

    async def aclose(self) -> None:
        """Raise what the source raised when the task closed it."""
        if self._not_closed is not None:
            raise self._not_closed

    async def run(self) -> None:
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
        """Wait for `fill`. A cancellation comes from a scope that the source holds, and is raised there."""
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
            # The cancellation is not ours. Uncaught, it would end the campaign as if the source were exhausted.
            self.failure = UsageError("the source raised a cancellation of its own")
        finally:
            self._counters.taken += len(self._waiting) - held
            self._counters.exhausted = self._source.exhausted

    async def _close(self) -> None:
        try:
            await self._source.aclose()
        except Exception as exc:  # noqa: BLE001 - raised when the campaign is left
            self._not_closed = exc
