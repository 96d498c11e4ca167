"""Starting campaigns, and working on them."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

import anyio
from anyio.to_thread import run_sync
from dbos import DBOS, DBOSPortableJSONSerializer

from webcom_async._domain.errors import InputError, StoreUnavailable, UsageError
from webcom_async._domain.given import refuse_blank
from webcom_async._storage.campaign_store import CampaignState, CampaignStatus, CampaignStore
from webcom_async.client import WebcomClient
from webcom_async.scaleout._worker import LONGEST_LEASE
from webcom_async.scaleout.dbos._names import APPLICATION, SCHEMA, VERSION, check_name
from webcom_async.scaleout.dbos._workflow_store import CONNECTIONS, WorkflowStore, log_level, usable_url
from webcom_async.scaleout.dbos._workflows import EngineWorker, appointed

__all__ = ["DbosEngine"]

_SHORTEST_LEASE = 1.0  # seconds, in which it is renewed three times, by a database that has other work too


class DbosEngine:
    """
    Starts campaigns, and works on them, with DBOS. Open it with `async with`; asyncio only.

    Args:
        store: Where campaigns are planned.
        client: What they are sent with; not needed by a process that is no worker.
        system_database_url: DBOS's own tables: `postgresql://…`, or `sqlite:///path` where one process does all.
            They may be in the store's database: they have a schema of their own.
        name: The worker's; it must be its own. One that stays the same from one start to the next, such as a host's or
            a stateful set's, takes its work up again at once after a crash. By default one that is used once.
        lease_seconds: After so long without a word from it a worker's shards are given to others.
        shards_at_once: Shards of one campaign that a worker sends at once. The worker that starts last decides for all.

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
        self._url = usable_url(system_database_url)
        self._lease_seconds = lease_seconds
        self._shards_at_once = shards_at_once
        self._ledger: WorkflowStore | None = None

    def __repr__(self) -> str:
        return f"DbosEngine(name={self.name!r})"

    async def __aenter__(self) -> Self:
        # Where the database that both are in does not exist, DBOS would make it.
        await self._store.campaigns(CampaignState.RUNNING)
        self._ledger = await WorkflowStore.open(self._url)
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
        Have a planned campaign sent, by the workers there are and those that come. Doing it again changes nothing.

        Raises:
            InputError: It was not planned in the store; or DBOS has its name for a workflow of another kind.
            StoreUnavailable: DBOS's database cannot be reached.
        """
        await self._store.settings(campaign)
        await self._opened.begin(campaign)

    @staticmethod
    def check_name(campaign: str) -> None:
        """
        Look whether a campaign of this name can be started; `start` does so, but then it is planned already.

        Raises:
            InputError: A shard, or a second round, of another campaign could have it.
        """
        check_name(campaign)

    async def run(self) -> None:
        """
        Work on every campaign that is started, until this is cancelled: then leases are given back.

        Raises:
            UsageError: There is a worker in this process already, or this engine has no client.
            StoreUnavailable: DBOS's database, or the store, cannot be reached to begin with. Later it is waited for.
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
                # Should the database be away now, the leases' end does it later.
                with anyio.CancelScope(shield=True), suppress(StoreUnavailable):
                    await worker.put_back()

    async def wait(self, campaign: str, every: float = 0.2) -> CampaignStatus:
        """
        Return how a campaign stands once it is neither running nor paused.

        Args:
            campaign: Its name.
            every: Seconds between two looks at the store.
        """
        while True:
            status = await self._store.status(campaign)
            if status.state not in (CampaignState.RUNNING, CampaignState.PAUSED):
                return status
            await anyio.sleep(every)

    @property
    def _opened(self) -> "WorkflowStore":
        if self._ledger is None:
            raise UsageError("open the engine with async with")
        return self._ledger

    @asynccontextmanager
    async def _launched(self) -> AsyncGenerator[None, None]:
        """Have DBOS run workflows on this event loop while the block runs."""
        # The queues are there before it looks for them, which it does once a second.
        await self._opened.listen(self._shards_at_once)
        DBOS(
            config={
                "name": APPLICATION,
                "application_version": VERSION,
                "executor_id": self.name,
                "system_database_url": self._url,
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
            DBOS.launch()
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(DBOS.destroy)
            # It has made its own threads the loop's, and they are gone.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
