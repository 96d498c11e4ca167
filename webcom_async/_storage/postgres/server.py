"""
Call a PostgreSQL server: a call that an outage interrupts is repeated until it succeeds or the patience ends.

No call waits for ever, be the server silent: sockets that stay open, and no answer. Does not know what the rows mean.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import anyio
from anyio import CancelScope

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import ConfigurationError, JournalError, StoreUnavailable, UsageError
from webcom_async._events.observers import Observers
from webcom_async._events.workers import StoreAway, StoreBack
from webcom_async._storage.postgres.connection import (
    CONNECT_SECONDS,
    FAILURES,
    Address,
    Link,
    Session,
    advice,
    collided,
    passes,
)
from webcom_async._storage.postgres.deadline import Deadline
from webcom_async._storage.postgres.pool import Pool

__all__ = ["Server"]

T = TypeVar("T")

_WAIT_AT_FIRST = 0.05
_WAIT_AT_MOST = 1.0
_CLOSING_SECONDS = 1.0  # for calls that are cut
_LOOK_SECONDS = 0.5  # between two looks whether the caller of a shielded call is cancelled
_OLDEST_SERVER = 12_00_00

# Whether the server's process is at work for a client that waits. No row if there is no such process.
_AT_WORK = """
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client' FROM pg_stat_activity WHERE pid = %(process)s
"""


class Server:
    """
    A server, with connections that calls open.

    Args:
        dsn: A `postgresql://` URL, or libpq's `key=value` form.
        schema: The schema of the tables: a plain name.
        prepare: A function that creates or checks the tables on the first connection.
        patience: Seconds that a call waits for an unavailable server.
        connections: The most connections at once.
        clock: The clock of pauses; the patience itself is counted in the event loop's time.
        observers: The store's observers.

    Raises:
        ConfigurationError: The DSN cannot be read.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str,
        prepare: Callable[[Session, "Server"], Awaitable[None]],
        patience: float,
        connections: int,
        clock: Clock,
        observers: Observers,
    ) -> None:
        self.schema = schema
        self._observers = observers
        self._address = Address(dsn)
        self._prepare = prepare
        self._patience = patience
        self._clock = clock
        self._pool = Pool(self._address.connect, connections)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._preparing = asyncio.Lock()
        self._prepared = False
        self._closed = False
        self._calls: dict[asyncio.Task[Any], Deadline] = {}

    def __str__(self) -> str:
        return str(self._address)

    async def call(
        self,
        work: Callable[[Session], Coroutine[Any, Any, T]],
        *,
        shielded: bool = False,
        patience: float | None = None,
    ) -> T:
        """
        Return the result of *work*, which must be idempotent: it is repeated if the connection breaks.

        A call that has begun goes on for a few seconds if its caller is cancelled, so that it is mostly known what was
        written. A *shielded* call begins even then, and waits for calls that cancelled callers left running. After
        *patience* seconds without the server, the call raises `StoreUnavailable`.
        """
        self._check_usable()
        if shielded:
            await self._wait_for_abandoned()
        deadline = Deadline(self._patience if patience is None else patience)
        task = asyncio.create_task(self._patiently(work, deadline))
        self._calls[task] = deadline
        task.add_done_callback(self._forget)
        if shielded:
            return await _finished(task, deadline)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            deadline.abandon()
            raise

    async def once(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """*work* cannot be repeated, and may take any time between its exchanges; only connecting is retried."""
        await self.call(_nothing)
        deadline = Deadline(self._patience)
        try:
            async with self._pool.link(deadline) as link:
                return await work(Session(link, self.schema, lambda exchange: self._bounded(link, exchange)))
        except FAILURES as exc:
            raise self._explained(exc) from exc

    def unusable(self, why: str) -> JournalError:
        return JournalError(f"PostgreSQL journal {self}, schema {self.schema}: {why}")

    async def aclose(self) -> None:
        self._closed = True
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=CONNECT_SECONDS)
        for deadline in self._calls.values():
            deadline.end()
        self._pool.close()
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=_CLOSING_SECONDS)

    # ------------------------------------------------------------------------ retries

    async def _patiently(self, work: Callable[[Session], Coroutine[Any, Any, T]], deadline: Deadline) -> T:
        pause = _WAIT_AT_FIRST
        while True:
            try:
                await self._make_ready(deadline)
                async with self._pool.link(deadline) as link:
                    if pause > _WAIT_AT_FIRST:
                        self._observers.emit(StoreBack(store=str(self)))
                    with self._cutting(link, deadline):
                        return await work(Session(link, self.schema))
            except FAILURES as exc:
                pause = await self._wait(exc, deadline, pause)

    async def _wait(self, exc: Exception, deadline: Deadline, pause: float) -> float:
        """Return the next pause after a transient error; raise any other error."""
        if not passes(exc) or deadline.abandoned:
            raise self._explained(exc) from exc
        if collided(exc):
            return pause
        self._pool.drop_idle()  # at once, instead of trying each
        if deadline.over or deadline.left < pause:
            raise self._away(exc, deadline) from exc
        self._observers.emit(StoreAway(store=str(self), error=self._address.words(exc)))
        await self._clock.sleep(pause)
        return min(2 * pause, _WAIT_AT_MOST)

    @contextmanager
    def _cutting(self, link: Link, deadline: Deadline) -> Generator[None]:
        """Cut the connection at the deadline, unless the server is at work for it then."""
        with deadline.cutting(link.cut, lambda seconds: self._at_work(link, seconds)):
            yield

    async def _at_work(self, link: Link, seconds: float) -> bool:
        """Ask the server on another connection; False if it does not answer within *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                other = await self._address.connect()
            timer = asyncio.get_running_loop().call_later(seconds, other.cut)
            try:
                rows = await Session(other, self.schema).fetch(_AT_WORK, process=link.process)
            finally:
                timer.cancel()
                other.close()
        except FAILURES:
            return False
        return rows == [(True,)]

    async def _bounded(self, link: Link, exchange: Coroutine[Any, Any, T]) -> T:
        """A caller that is cancelled leaves at once: the connection is cut, and the server rolls back."""
        deadline = Deadline(self._patience)
        task = asyncio.create_task(exchange)
        task.add_done_callback(_retrieve)
        with self._cutting(link, deadline):
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                link.cut()
                with CancelScope(shield=True):
                    await asyncio.wait({task}, timeout=_CLOSING_SECONDS)
                raise

    async def _wait_for_abandoned(self) -> None:
        abandoned = {task for task, deadline in self._calls.items() if deadline.abandoned}
        if abandoned:
            with CancelScope(shield=True):
                await asyncio.wait(abandoned)

    # ------------------------------------------------------------------------ the first connection

    async def _make_ready(self, deadline: Deadline) -> None:
        """Check the server, and create, migrate or check the tables."""
        if self._prepared:
            return
        async with self._prepared_once(deadline) as wanted:
            if not wanted:
                return
            async with self._pool.link(deadline) as link:
                if link.version < _OLDEST_SERVER:
                    raise self.unusable(f"the server is version {link.version}; 12 is needed")
                with self._cutting(link, deadline):
                    await self._prepare(Session(link, self.schema), self)
            self._prepared = True

    @asynccontextmanager
    async def _prepared_once(self, deadline: Deadline) -> AsyncGenerator[bool]:
        async with deadline.interrupting("another call prepares its tables"):
            await self._preparing.acquire()
        try:
            yield not self._prepared
        finally:
            self._preparing.release()

    def _check_usable(self) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "PostgreSQL is reached from asyncio only, because psycopg does not support trio: "
                "run this on asyncio, or keep the journal in a file"
            ) from None
        if self._closed:
            raise UsageError("this store is closed: make another one")
        if self._loop is None:
            self._loop = here
        elif self._loop is not here:
            raise UsageError("this store belongs to another event loop: make one store per loop")

    def _forget(self, task: asyncio.Task[Any]) -> None:
        del self._calls[task]
        _retrieve(task)  # already raised to the caller

    # ------------------------------------------------------------------------ error messages

    def _explained(self, exc: Exception) -> JournalError:
        if passes(exc):
            return self._away(exc, None)
        return self.unusable(f"{advice(exc)} ({self._address.words(exc)})")

    def _away(self, exc: Exception, deadline: Deadline | None) -> StoreUnavailable:
        seconds = self._patience if deadline is None else deadline.seconds
        words = "it did not answer" if deadline is not None and deadline.over else self._address.words(exc)
        return StoreUnavailable(
            f"PostgreSQL at {self} could not be reached, or gave no connection, for {seconds:g} s; nothing is "
            f"sent without it. Check that it runs, and the DSN; then try again ({words})"
        )


async def _finished(task: "asyncio.Task[T]", deadline: Deadline) -> T:
    """Return the result of *task* also to a caller that is being cancelled, who waits a few seconds at most."""
    while not task.done():
        if anyio.current_effective_deadline() == -math.inf:
            deadline.hasten()
        with CancelScope(shield=True):
            try:
                await asyncio.wait({task}, timeout=_LOOK_SECONDS)
            except asyncio.CancelledError:  # asyncio's own comes through the shield
                deadline.hasten()
                await asyncio.wait({task})
                raise
    return task.result()


async def _nothing(_: Session) -> None:
    return None


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take a task's error, which no caller may be left to take."""
    if not task.cancelled():
        task.exception()
