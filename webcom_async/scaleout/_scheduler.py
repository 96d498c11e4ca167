"""
Which shards an engine is to hand out, and which again.

No I/O: what the store and the engine say, and the moment, are arguments.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from webcom_async._storage.campaign_rules import ENDED
from webcom_async._storage.campaign_store import CampaignState, Shard

__all__ = ["DispatchState", "Due", "ShardScheduler"]


class DispatchState(enum.Enum):
    """What has become of a shard's latest hand-out, as far as the engine knows."""

    WAITING = "waiting"  #: in the engine's queue
    STARTED = "started"  #: some worker has begun with it; whether that lives, the engine may not know
    ENDED = "ended"  #: it has returned, or failed, or the engine knows nothing of it


class Due(NamedTuple):
    """A shard that is to be handed out, for the *generation*-th time; `CampaignStore.try_dispatch` says who does so."""

    shard: int
    generation: int


class ShardScheduler:
    """
    Sees to it that every shard of a campaign is in somebody's hands until it is done.

    Ask it again and again, every few seconds, in one process or in several: a shard that is handed out once too often
    does no harm.

    Args:
        patience: Seconds after which a shard that a worker has begun with, and nobody holds, is handed out again:
            longer than it takes to start.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._idle_since: dict[Due, float] = {}

    @staticmethod
    def is_over(state: CampaignState) -> bool:
        """Whether a campaign has ended, and nothing is left to oversee."""
        return state in ENDED

    def due(
        self, state: CampaignState, shards: Sequence[Shard], latest: Mapping[int, DispatchState], now: float
    ) -> list[Due]:
        """
        Return what is to be handed out now, in order.

        Args:
            state: The campaign's; nothing is due unless it is running.
            shards: As they stand in the store.
            latest: What has become of the latest hand-outs, by the shards' numbers. Who is missing has ended.
            now: A moment of a clock that never goes back, in seconds.
        """
        if state is not CampaignState.RUNNING:
            self._idle_since.clear()
            return []
        due: list[Due] = []
        idle: dict[Due, float] = {}
        for shard in shards:
            known = Due(shard.number, shard.generation)
            last = latest.get(shard.number, DispatchState.ENDED)
            if _is_idle(shard, last):
                idle[known] = self._idle_since.get(known, now)
            if _is_due(shard, last) or now - idle.get(known, now) >= self._patience:
                due.append(Due(shard.number, shard.generation + 1))
        self._idle_since = idle
        return due


def _is_due(shard: Shard, last: DispatchState) -> bool:
    """Whether nobody has a shard, nor is going to."""
    if shard.done or (shard.until is not None and not shard.expired):
        return False
    if shard.generation == 0 or last is DispatchState.ENDED:
        return True
    return shard.expired and last is DispatchState.STARTED


def _is_idle(shard: Shard, last: DispatchState) -> bool:
    """Whether a worker has begun with a shard, and does not hold it: it is about to, is on its way out, or is dead."""
    return not shard.done and last is DispatchState.STARTED and shard.until is None
