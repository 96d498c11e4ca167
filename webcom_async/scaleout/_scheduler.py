"""
Decide which shards an engine dispatches now, for the first time or again.

No I/O: the states of the store and the engine, and the moment, are arguments.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from webcom_async._storage.campaign_rules import ENDED
from webcom_async._storage.campaign_store import CampaignState, Shard

__all__ = ["DispatchState", "Due", "ShardScheduler"]


class DispatchState(enum.StrEnum):
    """The engine's state of a shard's latest dispatch."""

    WAITING = "waiting"  #: queued in the engine
    STARTED = "started"  #: a worker has started it; the engine may not know whether that worker is alive
    ENDED = "ended"  #: it has returned or failed, or the engine has no record of it


class Due(NamedTuple):
    """A shard to dispatch for the *generation*-th time, once `CampaignStore.try_dispatch` returns True."""

    shard: int
    generation: int


class ShardScheduler:
    """
    Finds the shards that no worker has or will get, so that an engine dispatches them until they are done.

    Call `due` every few seconds, in one process or in several: a shard that is dispatched twice does no harm.

    Args:
        patience: Seconds until a shard that was started, and whose lease is not held, is dispatched again: longer than
            a start takes.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._idle_since: dict[Due, float] = {}

    @staticmethod
    def is_over(state: CampaignState) -> bool:
        """Return whether a campaign has ended."""
        return state in ENDED

    def due(
        self, state: CampaignState, shards: Sequence[Shard], latest: Mapping[int, DispatchState], now: float
    ) -> list[Due]:
        """
        Return the shards to dispatch now, in order.

        Args:
            state: The campaign's state; nothing is due unless it is running.
            shards: The shards from the store.
            latest: The latest dispatches by shard number; a missing one counts as ended.
            now: Seconds of a monotonic clock.
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
    """Return whether no worker has the shard or will get it from the engine."""
    if shard.done or (shard.until is not None and not shard.expired):
        return False
    if shard.generation == 0 or last is DispatchState.ENDED:
        return True
    return shard.expired and last is DispatchState.STARTED


def _is_idle(shard: Shard, last: DispatchState) -> bool:
    """Return whether a worker has started a shard and does not hold it: it is starting, stopping or dead."""
    return not shard.done and last is DispatchState.STARTED and shard.until is None
