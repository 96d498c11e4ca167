"""
Workflows of this process: schedule campaigns, and send shards.

DBOS finds workflows by name, so they are functions of this module, which look up this process's worker.
"""

import asyncio
import os
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
from dbos import DBOS, WorkflowStatus

from webcom_async._domain.errors import InputError, StoreUnavailable, UsageError, WebcomError
from webcom_async._events.workers import (
    CampaignMissing,
    CampaignsAwaited,
    CampaignsNotStarted,
    CampaignsUnseen,
    EngineVersionAwaited,
    OverseerFailed,
    OverseerSilent,
    ShardFailed,
    StoreAwaited,
)
from webcom_async._storage.campaign_store import CampaignState, CampaignStore
from webcom_async.client import WebcomClient
from webcom_async.scaleout._scheduler import DispatchState, Due, ShardScheduler
from webcom_async.scaleout._worker import Worker
from webcom_async.scaleout.dbos._names import CAMPAIGN, SHARD, VERSION, check_name, enqueued, shard_id
from webcom_async.scaleout.dbos._steps import ShardSteps
from webcom_async.scaleout.dbos._workflow_store import ALIVE, WorkflowStore

__all__ = ["EngineWorker", "appointed"]

_STOP_SECONDS = 10.0  # for the client's grace and the last writes; what DBOS's threads wait for is cut then


class _Heard:
    """
    The last signs of life of schedulers, by this process's clock.

    Args:
        patience: Seconds until a scheduler without a sign of life counts as silent.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: dict[str, tuple[object, float]] = {}

    def silent(self, workflow_id: str, words: dict[str, Any] | None) -> bool:
        """Return whether a workflow's attributes are unchanged for too long."""
        now = time.monotonic()
        known, since = self._last.get(workflow_id, (None, now))
        if known == words and workflow_id in self._last:
            if now - since < self._patience:
                return False
            del self._last[workflow_id]
            return True
        self._last[workflow_id] = words, now
        return False


class EngineWorker:
    """
    Executes the workflows that DBOS gives to this process.

    Args:
        store: The store with the campaigns.
        client: The client that sends.
        ledger: DBOS's tables.
        name: The holder of leases.
        seconds: Seconds that a lease holds, and that a scheduler may be silent.
    """

    def __init__(
        self, store: CampaignStore, client: WebcomClient, ledger: WorkflowStore, name: str, seconds: float
    ) -> None:
        self._emit = client.observers.emit
        self._store = store
        self._worker = Worker(client, store, name, lease_seconds=seconds)
        self._ledger = ledger
        self._name = name
        self._seconds = seconds
        self._pause = min(5.0, seconds / 12)  # between two polls of a scheduler
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    # ------------------------------------------------------------------------ start and stop

    async def take_up(self) -> None:
        """Release the leases that a dead process of the same name held: DBOS restarts its workflows."""
        for campaign in await self._store.campaigns(CampaignState.RUNNING):
            for shard in await self._store.shards(campaign):
                if shard.until is not None and shard.holder == self._name:
                    lease = await self._store.acquire(campaign, shard.number, self._name, self._seconds)
                    if lease is not None:
                        await self._store.release(lease)

    async def watch(self) -> None:
        """Keep a scheduler alive for every running campaign, until cancelled."""
        heard = _Heard(self._seconds)
        known: set[str] | None = None
        while True:
            try:
                known = await self._look(heard, known)
            except WebcomError as exc:  # most likely the store is unavailable
                self._emit(CampaignsUnseen(error=str(exc)))
            await anyio.sleep(self._seconds / 4)

    async def _look(self, heard: "_Heard", before: set[str] | None) -> set[str]:
        """Return the running campaigns; *before* are those of the last look, None if this is the first."""
        running = await self._store.campaigns(CampaignState.RUNNING)
        await self._tell_of_missing(set(before or ()) - set(running))
        if not running and before != set():
            self._emit(CampaignsAwaited())
        refused: list[str] = []
        for campaign in running:
            try:
                await self._look_at(campaign, heard)
            except WebcomError as exc:  # concerns this campaign only: go on with the others
                refused.append(str(exc))
        if refused:
            self._emit(CampaignsNotStarted(error="; ".join(refused)))
        # A paused campaign is to go on at once when it is resumed.
        await self._ledger.poll(busy=bool(running or await self._store.campaigns(CampaignState.PAUSED)))
        return set(running)

    async def _tell_of_missing(self, campaigns: set[str]) -> None:
        if campaigns:
            for campaign in sorted(campaigns - set(await self._store.campaigns())):
                self._emit(CampaignMissing(campaign=campaign))

    async def _look_at(self, campaign: str, heard: "_Heard") -> None:
        check_name(campaign)  # another campaign's workflow could have this name
        scheduler = await self._ledger.scheduler(campaign)
        if scheduler is None:
            await self._ledger.begin(campaign)
        elif scheduler.app_version not in (None, VERSION):
            version = str(scheduler.app_version)
            self._emit(EngineVersionAwaited(campaign=campaign, version=version, own_version=VERSION))
        elif scheduler.status == "PENDING" and heard.silent(scheduler.workflow_id, scheduler.attributes):
            self._emit(OverseerSilent(campaign=campaign))
            await self._ledger.put_back(scheduler)

    async def stop(self) -> None:
        """Cancel running workflows: requests get the client's grace period, and leases are released."""
        self._stopping = True
        until = time.monotonic() + _STOP_SECONDS
        while (tasks := set(self._tasks)) and time.monotonic() < until:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)

    async def put_back(self) -> None:
        for workflow in await self._ledger.begun_by(self._name):
            await self._ledger.put_back(workflow)

    async def body(self, work: Coroutine[Any, Any, str]) -> str:
        task = asyncio.current_task()
        if self._stopping or task is None:
            work.close()
            raise asyncio.CancelledError  # DBOS records no result, so another worker can take it up
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    # ------------------------------------------------------------------------ the workflows

    async def oversee(self, campaign: str) -> str:
        """Dispatch a campaign's shards whenever they are due, until it ends."""
        beating = asyncio.create_task(self._heartbeat(str(DBOS.workflow_id)))
        try:
            while due := await DBOS.run_step_async({"name": "oversee"}, self._due, campaign):
                for shard, generation in due:
                    options = enqueued(SHARD, shard_id(campaign, shard, generation))
                    options["queue_partition_key"] = campaign
                    await DBOS.enqueue_workflow_with_options_async(options, campaign, shard)
        finally:
            beating.cancel()
        return "ended"

    async def _heartbeat(self, workflow_id: str) -> None:
        while True:
            with suppress(StoreUnavailable):  # no worker can read it then, either
                await self._ledger.note(workflow_id, {"beat": os.urandom(8).hex()})
            await anyio.sleep(self._seconds / 4)

    async def _due(self, campaign: str) -> list[Due]:
        """
        Wait until shards are due, and return them with their generations; empty when the campaign has ended.

        The store grants a generation once. If this process dies before it enqueues the workflow, the next scheduler
        misses it, and dispatches the shard again.
        """
        scheduler = ShardScheduler(self._seconds)
        while True:
            try:
                state = (await self._store.status(campaign)).state
                if scheduler.is_over(state):
                    return []
                if due := await self._try_dispatch(campaign, state, scheduler):
                    return due
            except InputError:
                return []  # the campaign was purged
            except StoreUnavailable as exc:
                self._emit(StoreAwaited(error=str(exc)))
            except Exception as exc:  # noqa: BLE001 - raised, it would end this scheduler, and each later one
                self._emit(OverseerFailed(campaign=campaign, error=f"{type(exc).__name__}: {exc}"))
            await anyio.sleep(self._pause)

    async def _try_dispatch(self, campaign: str, state: CampaignState, scheduler: ShardScheduler) -> list[Due]:
        """Claim the due shards in the store, and return those that this scheduler dispatches."""
        shards = [shard for shard in await self._store.shards(campaign) if not shard.done]
        ids = {shard.number: shard_id(campaign, shard.number, shard.generation) for shard in shards}
        workflows = await self._ledger.workflows(list(ids.values()))
        latest = {number: _dispatch_state_of(workflows.get(workflow_id)) for number, workflow_id in ids.items()}
        due = scheduler.due(state, shards, latest, time.monotonic())
        # A workflow that still runs, or whose worker comes back, then ends at its next step.
        await self._ledger.cancel([ids[each.shard] for each in due if ids[each.shard] in workflows])
        return [each for each in due if await self._store.try_dispatch(campaign, *each)]

    async def send(self, campaign: str, shard: int) -> str:
        steps = ShardSteps()
        try:
            end = await self._worker.run_shard(campaign, shard, steps=steps)
        except WebcomError as exc:
            # The error is this worker's, such as a client with other settings: another worker can send the shard.
            self._emit(ShardFailed(campaign=campaign, shard=shard, error=str(exc)))
            await anyio.sleep(self._seconds / 4)
            return "failed"
        if steps.ended is not None:
            raise steps.ended
        return end.ending.value


_at_work: list[EngineWorker] = []  # at most one, as a process has one DBOS


@contextmanager
def appointed(worker: EngineWorker) -> Generator[None]:
    """Make *worker* execute this process's workflows during the block; raise `UsageError` if there is one."""
    if _at_work:
        raise UsageError("there is a worker in this process already")
    _at_work.append(worker)
    try:
        yield
    finally:
        _at_work.clear()


def _appointed() -> EngineWorker:
    if not _at_work:
        raise asyncio.CancelledError  # the worker has just ended; the next one takes the workflow up
    return _at_work[0]


@DBOS.workflow(name=CAMPAIGN, max_recovery_attempts=None)
async def _campaign(campaign: str) -> str:
    worker = _appointed()
    return await worker.body(worker.oversee(campaign))


@DBOS.workflow(name=SHARD, max_recovery_attempts=None)
async def _shard(campaign: str, shard: int) -> str:
    worker = _appointed()
    return await worker.body(worker.send(campaign, shard))


def _dispatch_state_of(workflow: WorkflowStatus | None) -> DispatchState:
    if workflow is None or workflow.status not in ALIVE:
        return DispatchState.ENDED
    return DispatchState.STARTED if workflow.status == "PENDING" else DispatchState.WAITING
