"""
Renew a worker's lease while it sends a shard.

Fencing has two halves. A worker that cannot renew its lease stops when the lease expires by its own clock. A worker
that does not notice, because it was suspended, is refused by the store once another has the shard.
"""

from types import TracebackType
from typing import Self

import anyio
from anyio import CancelScope

from webcom_async._domain.errors import LeaseLost, WebcomError
from webcom_async._events.observers import Observers
from webcom_async._events.workers import ShardLost
from webcom_async._storage.campaign_store import CampaignStore, Lease

__all__ = ["LeaseKeeper"]

_BEATS = 3  # in a lease: two may fail


class LeaseKeeper:
    """
    Keeps a lease alive inside an `async with` block.

    The block is cancelled when the lease is lost: the store has revoked it, or it could not be renewed in time.

    Args:
        store: The store.
        lease: A lease from `CampaignStore.acquire`.
        observers: The client's `observers`; without them, the loss of the lease is only logged.

    Raises:
        LeaseLost: The lease is lost, on entering or during the block.
        StoreUnavailable: The store cannot be reached on entering.
    """

    def __init__(self, store: CampaignStore, lease: Lease, observers: Observers | None = None) -> None:
        self._observers = observers or Observers()
        self._store = store
        self._lease = lease
        self._fence = CancelScope()
        self._why = ""

    async def __aenter__(self) -> Self:
        until = anyio.current_time() + self._lease.seconds
        if not await self._store.renew(self._lease):
            raise LeaseLost
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._heartbeat)
        self._fence.deadline = until
        self._fence.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._fence.__exit__(kind, exc, traceback)
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        if self._fence.cancelled_caught:
            lost = LeaseLost(self._why or f"the lease could not be renewed for {self._lease.seconds:g} s")
            lease = self._lease
            self._observers.emit(ShardLost(campaign=lease.campaign, shard=lease.shard, error=str(lost)))
            raise lost

    async def _heartbeat(self) -> None:
        while True:
            await anyio.sleep(self._lease.seconds / _BEATS)
            # Taken before the request: the store starts to count later.
            until = anyio.current_time() + self._lease.seconds
            try:
                held = await self._store.renew(self._lease)
            except WebcomError:
                continue  # the deadline stays
            if not held:
                self._why = str(LeaseLost())
                self._fence.cancel()
                return
            self._fence.deadline = until
