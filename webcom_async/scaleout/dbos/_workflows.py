"""
What a process does of the workflows that DBOS gives it: it oversees campaigns, and sends shards.

DBOS calls workflows by their names, so they stand here at module level, and find the worker of this process.
"""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
from dbos import DBOS, WorkflowStatus

from webcom_async._domain.errors import InputError, StoreUnavailable, UsageError, WebcomError
from webcom_async._storage.campaign_store import CampaignState, CampaignStore
from webcom_async.client import WebcomClient
from webcom_async.scaleout._scheduler import DispatchState, Due, ShardScheduler
from webcom_async.scaleout._worker import Worker
from webcom_async.scaleout.dbos._names import CAMPAIGN, SHARD, check_name, enqueued, shard_id
from webcom_async.scaleout.dbos._steps import ShardSteps
from webcom_async.scaleout.dbos._workflow_store import ALIVE, WorkflowStore

__all__ = ["EngineWorker", "appointed"]

_log = logging.getLogger("webcom_async")


class _Heard:
    """
    When schedulers were heard of last, by this process's own clock.

    Args:
        patience: Seconds after which one is silent.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: dict[str, tuple[object, float]] = {}

    def silent(self, workflow_id: str, words: dict[str, Any] | None) -> bool:
        """Whether a workflow has had the same words beside it for too long."""
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
    What this process does of the workflows that DBOS gives it.

    Args:
        store: Where campaigns stand.
        client: What is sent with.
        ledger: DBOS's books.
        name: The holder of leases.
        seconds: How long a lease holds, and how long a scheduler may be silent.
    """

    def __init__(
        self, store: CampaignStore, client: WebcomClient, ledger: WorkflowStore, name: str, seconds: float
    ) -> None:
        self._store = store
        self._worker = Worker(client, store, name, lease_seconds=seconds)
        self._ledger = ledger
        self._name = name
        self._seconds = seconds
        self._pause = min(5.0, seconds / 12)  # between two looks of a scheduler
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    # ------------------------------------------------------------------------ from start to stop

    async def take_up(self) -> None:
        """Free what a process of the same name held: DBOS will start that again."""
        for campaign in await self._store.campaigns(CampaignState.RUNNING):
            for shard in await self._store.shards(campaign):
                if shard.until is not None and shard.holder == self._name:
                    lease = await self._store.acquire(campaign, shard.number, self._name, self._seconds)
                    if lease is not None:
                        await self._store.release(lease)

    async def watch(self) -> None:
        """See to it that every campaign that runs has a workflow which oversees it, for ever."""
        heard = _Heard(self._seconds)
        while True:
            try:
                await self._look(heard)
            except WebcomError as exc:  # most likely the store is away
                _log.warning("campaigns_unseen", extra={"error": str(exc)})
            await anyio.sleep(self._seconds / 4)

    async def _look(self, heard: "_Heard") -> None:
        refused: list[str] = []
        for campaign in await self._store.campaigns(CampaignState.RUNNING):
            try:
                await self._look_at(campaign, heard)
            except WebcomError as exc:  # of this campaign alone; those behind it are looked at all the same
                refused.append(str(exc))
        if refused:
            _log.warning("campaigns_not_started", extra={"error": "; ".join(refused)})

    async def _look_at(self, campaign: str, heard: "_Heard") -> None:
        check_name(campaign)  # or another campaign's workflow would be taken for its scheduler
        scheduler = await self._ledger.scheduler(campaign)
        if scheduler is None:
            await self._ledger.begin(campaign)
        elif scheduler.status == "PENDING" and heard.silent(scheduler.workflow_id, scheduler.attributes):
            _log.warning("overseer_silent", extra={"campaign": campaign})
            await self._ledger.put_back(scheduler)

    async def stop(self) -> None:
        """End what is under way here: requests get the client's grace, and leases are given back."""
        self._stopping = True
        while tasks := set(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def put_back(self) -> None:
        """Have others take up what was not ended here."""
        for workflow in await self._ledger.begun_by(self._name):
            await self._ledger.put_back(workflow)

    async def body(self, work: Coroutine[Any, Any, str]) -> str:
        """Do a workflow's work, so that `stop` can end it."""
        task = asyncio.current_task()
        if self._stopping or task is None:
            work.close()
            raise asyncio.CancelledError  # not an outcome: it stays to be taken up
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    # ------------------------------------------------------------------------ the workflows

    async def oversee(self, campaign: str) -> str:
        """Hand out a campaign's shards, and again those that are due, until it is finished or cancelled."""
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
        """Say now and then that this scheduler lives."""
        while True:
            with suppress(StoreUnavailable):  # nobody else hears anything either
                await self._ledger.note(workflow_id, {"beat": os.urandom(8).hex()})
            await anyio.sleep(self._seconds / 4)

    async def _due(self, campaign: str) -> list[Due]:
        """
        Wait until shards are due, and return them with their generations; nothing, at the campaign's end.

        A generation is the caller's alone, and is noted in the store. Should this process die before the shard's
        workflow is enqueued, the next scheduler misses that, and hands the shard out again.
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
                return []  # it was purged
            except StoreUnavailable as exc:
                _log.warning("store_unavailable", extra={"error": str(exc)})
            except Exception as exc:  # noqa: BLE001 - let out, it would end this scheduler, and each that comes after it
                _log.warning("overseer_failed", extra={"campaign": campaign, "error": f"{type(exc).__name__}: {exc}"})
            await anyio.sleep(self._pause)

    async def _try_dispatch(self, campaign: str, state: CampaignState, scheduler: ShardScheduler) -> list[Due]:
        """Note in the store what is due and in nobody's hands, and return it."""
        shards = [shard for shard in await self._store.shards(campaign) if not shard.done]
        ids = {shard.number: shard_id(campaign, shard.number, shard.generation) for shard in shards}
        workflows = await self._ledger.workflows(list(ids.values()))
        latest = {number: _dispatch_state_of(workflows.get(workflow_id)) for number, workflow_id in ids.items()}
        due = scheduler.due(state, shards, latest, time.monotonic())
        # Should one of them still be under way, or its worker come back, it ends with its next step.
        await self._ledger.cancel([ids[each.shard] for each in due if ids[each.shard] in workflows])
        return [each for each in due if await self._store.try_dispatch(campaign, *each)]

    async def send(self, campaign: str, shard: int) -> str:
        """Send a shard, and say how that ended."""
        steps = ShardSteps()
        try:
            end = await self._worker.run_shard(campaign, shard, steps=steps)
        except WebcomError as exc:
            # Of this worker alone, such as a client that is set up otherwise: the shard is for another one.
            _log.error("shard_failed", extra={"campaign": campaign, "shard": shard, "error": str(exc)})
            await anyio.sleep(self._seconds / 4)
            return "failed"
        if steps.ended is not None:
            raise steps.ended
        return end.ending.value


_at_work: list[EngineWorker] = []  # one at most in a process, as there is one DBOS


@contextmanager
def appointed(worker: EngineWorker) -> Generator[None]:
    """
    Have *worker* do this process's workflows while the block runs.

    Raises:
        UsageError: There is one that does.
    """
    if _at_work:
        raise UsageError("there is a worker in this process already")
    _at_work.append(worker)
    try:
        yield
    finally:
        _at_work.clear()


def _appointed() -> EngineWorker:
    if not _at_work:
        raise asyncio.CancelledError  # it has just ended; whoever comes next takes the workflow up
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
    """Return what has become of a shard that was handed out as a workflow."""
    if workflow is None or workflow.status not in ALIVE:
        return DispatchState.ENDED
    return DispatchState.STARTED if workflow.status == "PENDING" else DispatchState.WAITING
