"""
What DBOS knows campaigns and shards by: names of workflows, of queues, and of this application.

Pure. A campaign's workflow has the campaign's name, so that one which is made up of others' names is refused.
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
VERSION = "1"  # of the workflows: one with another number is not touched by this code
SCHEMA = "webcom_async_engine"
CAMPAIGN, CAMPAIGNS = "webcom_async.campaign", "webcom-async-campaigns"  # a workflow's name, and its queue's
SHARD, SHARDS = "webcom_async.shard", "webcom-async-shards"
QUEUES = {CAMPAIGN: CAMPAIGNS, SHARD: SHARDS}

_engines_own = re.compile(r"/\d+/\d+\Z|#\d+\Z").search


def check_name(campaign: str) -> None:
    """
    Look whether a campaign of this name can have a workflow.

    Raises:
        InputError: A shard, or a second round, of another campaign could have it.
    """
    if _engines_own(campaign):
        raise InputError(f"campaign {campaign!r} ends as the engine's own names do: leave off what follows / or #")


def rounds(campaign: str) -> Iterator[str]:
    """Yield the ids of a campaign's workflow: its name, and what follows if it is resumed after its end."""
    yield campaign
    yield from (f"{campaign}#{number}" for number in count(2))


def shard_id(campaign: str, shard: int, generation: int) -> str:
    """Return the id of the workflow that a shard is handed out as."""
    return f"{campaign}/{shard}/{generation}"


def enqueued(name: str, workflow_id: str) -> EnqueueOptions:
    """Return how a workflow is put on its queue."""
    return {"workflow_name": name, "queue_name": QUEUES[name], "workflow_id": workflow_id, "app_version": VERSION}
