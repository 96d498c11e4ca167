"""A pool of connections: at most so many, each for one call at a time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from webcom_async._storage.postgres.connection import Link
from webcom_async._storage.postgres.deadline import Deadline

__all__ = ["Pool"]

_IDLE_SECONDS = 30.0  # after which an idle connection is closed: a server allows a hundred in all


class Pool:
    """
    Connects when a call finds no idle connection.

    Args:
        connect: Opens a connection.
        most: The most connections at once.
    """

    def __init__(self, connect: Callable[[], Awaitable[Link]], most: int) -> None:
        self._connect = connect
        self._free = asyncio.Semaphore(most)
        self._idle: list[Link] = []
        self._used: set[Link] = set()
        self._sweeps: dict[Link, asyncio.TimerHandle] = {}

    @asynccontextmanager
    async def link(self, deadline: Deadline) -> AsyncGenerator[Link]:
        """Raise `TimeoutError` if there is none until the deadline."""
        async with deadline.interrupting("all connections are in use"):
            await self._free.acquire()
        try:
            link = self._reused() or await self._connected(deadline)
            self._used.add(link)
            try:
                yield link
            finally:
                self._used.discard(link)
                self._keep(link)
        finally:
            self._free.release()

    def drop_idle(self) -> None:
        """Close the connections that no call uses: the server has gone away."""
        while self._idle:
            self._drop(self._idle[-1])

    def close(self) -> None:
        """Close idle connections, and cut the others."""
        self.drop_idle()
        for link in self._used:
            link.cut()

    async def _connected(self, deadline: Deadline) -> Link:
        async with deadline.interrupting("it did not answer"):
            return await self._connect()

    def _reused(self) -> Link | None:
        if not self._idle:
            return None
        link = self._idle.pop()
        self._sweeps.pop(link).cancel()
        return link

    def _keep(self, link: Link) -> None:
        if not link.usable:
            link.close()
            return
        self._idle.append(link)
        self._sweeps[link] = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._drop, link)

    def _drop(self, link: Link) -> None:
        self._idle.remove(link)
        self._sweeps.pop(link).cancel()
        link.close()
