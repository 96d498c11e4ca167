"""
Campaigns of many workers: plan → shards → run a shard → report, whatever engine hands the shards out.

One process outruns any gateway. This is for campaigns that must not depend on one host staying up:

    async with SqliteStore("campaigns") as store, WebcomClient.from_env() as client:
        said = Message(sender="ACME", text="Sale!")
        await store.plan(CampaignSettings(campaign="spring", message=said, rate=200), phones)
        for shard in await store.shards("spring"):
            await run_shard(client, store, "spring", shard.number, holder="host 1")
        print(await store.standing("spring"))

Planning again and running a shard again are harmless, from wherever: nobody gets a second SMS. The store says who may
send a shard (a *lease*, which others take over when it is not renewed), and the campaign's journal in it what may
leave. `SqliteStore` is for one sending process. What hands shards out is an engine's work: a loop as above, a task
queue, or what `ShardScheduler` says is due.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from webcom_async._storage.campaign_store import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStatus,
    CampaignStore,
    Lease,
    Shard,
    WorkerStatus,
)

if TYPE_CHECKING:
    from webcom_async._storage.sqlite.store import SqliteStore
    from webcom_async.scaleout._lease_keeper import LeaseKeeper
    from webcom_async.scaleout._scheduler import DispatchState, Due, ShardScheduler
    from webcom_async.scaleout._worker import ShardEnd, ShardOutcome, Steps, Worker, run_batch, run_shard

__all__ = [
    "BatchDone",
    "BatchRef",
    "CampaignSettings",
    "CampaignState",
    "CampaignStatus",
    "CampaignStore",
    "DispatchState",
    "Due",
    "Lease",
    "LeaseKeeper",
    "Shard",
    "ShardEnd",
    "ShardOutcome",
    "ShardScheduler",
    "SqliteStore",
    "Steps",
    "Worker",
    "WorkerStatus",
    "run_batch",
    "run_shard",
]

_ACTS = {
    "Due": "webcom_async.scaleout._scheduler",
    "ShardOutcome": "webcom_async.scaleout._worker",
    "DispatchState": "webcom_async.scaleout._scheduler",
    "LeaseKeeper": "webcom_async.scaleout._lease_keeper",
    "ShardScheduler": "webcom_async.scaleout._scheduler",
    "ShardEnd": "webcom_async.scaleout._worker",
    "SqliteStore": "webcom_async._storage.sqlite.store",
    "Steps": "webcom_async.scaleout._worker",
    "Worker": "webcom_async.scaleout._worker",
    "run_batch": "webcom_async.scaleout._worker",
    "run_shard": "webcom_async.scaleout._worker",
}


def __getattr__(name: str) -> object:
    """Import what acts, when it is first asked for (PEP 562)."""
    if name not in _ACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_ACTS[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
