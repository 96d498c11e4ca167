"""
Campaigns sent by many workers: plan → shards → run each shard → status, with any engine that dispatches the shards.

One process is faster than any gateway. Use this for campaigns that must survive the loss of a host:

    async with SqliteStore("campaigns") as store, WebcomClient.from_env() as client:
        message = Message(sender="ACME", text="Sale!")
        await store.plan(CampaignSettings(campaign="spring", message=message, rate=200), phones)
        for shard in await store.shards("spring"):
            await run_shard(client, store, "spring", shard.number, holder="host 1")
        print(await store.status("spring"))

Planning a campaign or running a shard twice is harmless, from any host: no recipient gets a second SMS. The store's
*lease* says which worker may send a shard; another worker takes it over when it expires. The campaign's journal in the
store says which recipients may be sent to. `SqliteStore` is for one sending process. An engine dispatches the shards: a
loop as above, a task queue, or one that asks `ShardScheduler` which shards are due.
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
    """Import classes and functions that do I/O on first use (PEP 562)."""
    if name not in _ACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_ACTS[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
