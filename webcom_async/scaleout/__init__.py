"""Campaigns of many workers: plan → shards → run a shard → report, whatever engine hands the shards out."""

from webcom_async.scaleout._store import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    Lease,
    Shard,
    Standing,
    Store,
    WorkerStanding,
)

__all__ = [
    "BatchDone",
    "BatchRef",
    "CampaignSettings",
    "CampaignState",
    "Lease",
    "Shard",
    "Standing",
    "Store",
    "WorkerStanding",
]
