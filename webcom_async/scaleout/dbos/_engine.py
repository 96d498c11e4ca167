"""The engine's public class: start campaigns, and work on them."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from anyio.to_thread import run_sync
from dbos import (
    DBOS,
    DBOSPortableJSONSerializer,
    _dbos,  # pyright: ignore[reportPrivateUsage]
    _scheduler,
    _workflow_commands,
)

from webcom_async._domain.errors import InputError, StoreUnavailable, UsageError
from webcom_async._domain.given import refuse_blank
from webcom_async._storage.campaign_store import CampaignState, CampaignStatus, CampaignStore
from webcom_async.client import WebcomClient
from webcom_async.scaleout._worker import LONGEST_LEASE
from webcom_async.scaleout.dbos._database import EngineDatabase
from webcom_async.scaleout.dbos._names import APPLICATION, SCHEMA, VERSION, check_name
from webcom_async.scaleout.dbos._workflow_store import CONNECTIONS, WorkflowStore, asked, log_level, usable_url
from webcom_async.scaleout.dbos._workflows import EngineWorker, appointed

__all__ = ["DbosEngine"]

_SELDOM = 30.0  # seconds
# No workflow here is delayed, times out or has a schedule. DBOS looks for the first two each second, and for schedules
# each second of its first minute: 0.75 % of a core, now 0.12 %. Between two looks for the first two, a transaction is
# open, which PostgreSQL ends after 5 s.
_LOOPS = (
    (_workflow_commands, "_BACKGROUND_JOBS_INTERVAL_SEC", 4.0),
    (_scheduler, "_STARTUP_FAST_POLL_DURATION_SEC", 0.0),
)
_STOP_SECONDS = 5.0  # for DBOS's threads
_SHORTEST_LEASE = 1.0  # seconds: a lease is renewed three times in it, by a database with other work


class DbosEngine:
    """
    Starts campaigns, and works on them, with DBOS. Open it with `async with`; asyncio only.

    Args:
        store: The store with the planned campaigns.
        client: The client; only workers need one.
        system_database_url: The database for DBOS's own tables: `postgresql://…`, or `sqlite:///path` if one process
            does all the work. The store's database is fine: the tables have a schema of their own.
        name: The worker's name, which must be unique. With a stable name, such as the host's or a stateful set's, a
            worker resumes its work at once after a crash. Random by default.
        lease_seconds: Seconds without a renewal until other workers take over a worker's shards.
        shards_at_once: Shards of one campaign that a worker sends at once. The worker that starts last sets it for all.

    Raises:
        InputError: An argument cannot be used.
    """

    def __init__(
        self,
        store: CampaignStore,
        client: WebcomClient | None = None,
        *,
        system_database_url: str,
        name: str | None = None,
        lease_seconds: float = 60.0,
        shards_at_once: int = 2,
    ) -> None:
        if not _SHORTEST_LEASE <= lease_seconds <= LONGEST_LEASE:
            raise InputError(
                f"lease_seconds is {lease_seconds!r}; it must be {_SHORTEST_LEASE:g} to {LONGEST_LEASE:,.0f} seconds"
            )
        if shards_at_once < 1:
            raise InputError(f"shards_at_once is {shards_at_once!r}; it must be at least 1")
        refuse_blank("the worker's name", name)
        self.name: str = f"{socket.gethostname()}-{os.urandom(4).hex()}" if name is None else name
        self._store = store
        self._client = client
        self._database = EngineDatabase(usable_url(system_database_url))
        self._lease_seconds = lease_seconds
        self._shards_at_once = shards_at_once
        self._ledger: WorkflowStore | None = None

    def __repr__(self) -> str:
        return f"DbosEngine(name={self.name!r})"

    async def __aenter__(self) -> Self:
        # Fails if the store's database is missing, before DBOS creates it.
        await self._store.campaigns(CampaignState.RUNNING)
        self._ledger = await WorkflowStore.open(self._database)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            with anyio.CancelScope(shield=True):
                await ledger.aclose()

    async def start(self, campaign: str) -> None:
        """
        Start a planned campaign; current and future workers send it. Starting it again changes nothing.

        Raises:
            InputError: The campaign is not planned in the store, or DBOS has a workflow of another kind under its name.
            StoreUnavailable: DBOS's database cannot be reached.
        """
        await self._store.settings(campaign)
        await self._opened.begin(campaign)
        await self._opened.poll(busy=True)

    @staticmethod
    def check_name(campaign: str) -> None:
        """
        Check, before planning, that a campaign of this name can be started.

        Raises:
            InputError: The name could be that of another campaign's shard or second run.
        """
        check_name(campaign)

    async def run(self) -> None:
        """
        Work on all started campaigns until cancelled; then release the leases.

        Raises:
            UsageError: This process already has a worker, or the engine has no client.
            StoreUnavailable: DBOS's database or the store cannot be reached at the start. Later outages are waited out.
        """
        async with self.working():
            await anyio.sleep_forever()

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None, None]:
        """Work while the block runs; see `run`."""
        if self._client is None:
            raise UsageError("a worker needs a client to send with: DbosEngine(store, client, …)")
        worker = EngineWorker(self._store, self._client, self._opened, self.name, self._lease_seconds)
        with appointed(worker):
            try:
                await worker.take_up()
                async with self._launched():
                    watching = asyncio.create_task(worker.watch())
                    try:
                        yield
                    finally:
                        watching.cancel()
                        with anyio.CancelScope(shield=True):
                            await asyncio.wait([watching])
                            await worker.stop()
            finally:
                # If the database is unavailable, the shards become free when the leases expire.
                with anyio.CancelScope(shield=True), suppress(StoreUnavailable):
                    await worker.put_back()

    async def wait(self, campaign: str, every: float = 0.2) -> CampaignStatus:
        """
        Return a campaign's status once it is neither running nor paused.

        Args:
            campaign: The campaign's name.
            every: Seconds between two looks at the store.
        """
        while True:
            status = await self._store.status(campaign)
            if status.state not in (CampaignState.RUNNING, CampaignState.PAUSED):
                return status
            await anyio.sleep(every)

    async def _destroyed(self) -> None:
        """Threads that wait for a silent database are cut off from it."""
        with anyio.move_on_after(_STOP_SECONDS) as scope:
            await run_sync(DBOS.destroy, abandon_on_cancel=True)
        if scope.cancelled_caught:
            self._database.cut()
        self._database.dispose()

    async def awaited_version(self, campaign: str) -> str | None:
        """
        Return the engine version that a campaign waits for, if this release's workers have another one.

        Raises:
            StoreUnavailable: DBOS's database cannot be reached, or has no tables.
        """
        ledger = await WorkflowStore.open(self._database, migrate=False)
        try:
            return await ledger.awaited_version(campaign)
        finally:
            with anyio.CancelScope(shield=True):
                await ledger.aclose()

    @property
    def _opened(self) -> "WorkflowStore":
        if self._ledger is None:
            raise UsageError("open the engine with async with")
        return self._ledger

    @asynccontextmanager
    async def _launched(self) -> AsyncGenerator[None, None]:
        """Run DBOS on this event loop during the block."""
        # DBOS looks for queues once a second: they exist before it starts.
        await self._opened.listen(self._shards_at_once)
        DBOS(
            config={
                "name": APPLICATION,
                "application_version": VERSION,
                "executor_id": self.name,
                "system_database_url": self._database.url,
                "system_database_engine": self._database.engine(CONNECTIONS),
                # Nothing here waits for DBOS's notifications, and a pooler of transactions would lose them.
                "use_listen_notify": False,
                "dbos_system_schema": SCHEMA,
                "sys_db_pool_size": CONNECTIONS,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": log_level(),
                "enable_otlp": False,
            }
        )
        if (DBOS.application_version, DBOS.executor_id) != (VERSION, self.name):
            raise UsageError("DBOS is used by this process already: let the worker have a process of its own")
        try:
            with _quiet_loops():
                await asked(self._database, partial(_launch, asyncio.get_running_loop()))
                yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._destroyed()
            # DBOS made its own thread pool the loop's default, and has shut it down.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())


def _launch(loop: asyncio.AbstractEventLoop) -> None:
    """Launch DBOS outside the loop's thread, because it connects; it takes *loop* for its workflows' all the same."""
    asyncio.events._set_running_loop(loop)  # noqa: SLF001 - of this thread alone
    try:
        DBOS.launch()
        _quieten_internal_queue()
    finally:
        asyncio.events._set_running_loop(None)  # noqa: SLF001


@contextmanager
def _quiet_loops() -> Generator[None]:
    """Let DBOS's loops that have nothing to do here wait longer; an application's own DBOS later has its intervals."""
    before = [(module, name, getattr(module, name)) for module, name, _ in _LOOPS if hasattr(module, name)]
    for module, name, seconds in _LOOPS:
        setattr(module, name, seconds)
    try:
        yield
    finally:
        for module, name, seconds in before:
            setattr(module, name, seconds)


def _quieten_internal_queue() -> None:
    """DBOS looks once a second into a queue of its own, which is always empty here."""
    # There is no other way to it.
    instance = _dbos._dbos_global_instance  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    if instance is not None:
        queue = instance._registry.get_internal_queue()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        queue._polling_interval_sec = _SELDOM  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
