"""
Names of workflows, of queues and of this application in DBOS.

Pure. A campaign's workflow has the campaign's name, so names that look like another campaign's workflows are refused.
"""

import re
from collections.abc import Iterator
from itertools import count

from dbos import EnqueueOptions

from webcom_async._domain.errors import InputError

__all__ = [
    "APPLICATION",
    "CAMPAIGN",
    "CAMPAIGNS",
    "QUEUES",
    "SCHEMA",
    "SHARD",
    "SHARDS",
    "VERSION",
    "check_name",
    "enqueued",
    "rounds",
    "shard_id",
]

APPLICATION = "webcom-async"
VERSION = "1"  # of the workflows: this code does not run other versions
SCHEMA = "webcom_async_engine"
CAMPAIGN, CAMPAIGNS = "webcom_async.campaign", "webcom-async-campaigns"  # a workflow's name, and its queue's
SHARD, SHARDS = "webcom_async.shard", "webcom-async-shards"
QUEUES = {CAMPAIGN: CAMPAIGNS, SHARD: SHARDS}

_engines_own = re.compile(r"/\d+/\d+\Z|#\d+\Z").search


def check_name(campaign: str) -> None:
    """Raise `InputError` if the name could be that of another campaign's shard or second run."""
    if _engines_own(campaign):
        raise InputError(f"campaign {campaign!r} ends as the engine's own names do: leave off what follows / or #")


def rounds(campaign: str) -> Iterator[str]:
    """Yield the ids of a campaign's workflows: its name, then one for each resumption after its end."""
    yield campaign
    yield from (f"{campaign}#{number}" for number in count(2))


def shard_id(campaign: str, shard: int, generation: int) -> str:
    return f"{campaign}/{shard}/{generation}"


def enqueued(name: str, workflow_id: str) -> EnqueueOptions:
    return {"workflow_name": name, "queue_name": QUEUES[name], "workflow_id": workflow_id, "app_version": VERSION}
