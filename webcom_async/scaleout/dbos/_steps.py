"""Run a shard's batches as steps whose results DBOS records."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from dbos import DBOS, StepReservation, error

from webcom_async._domain.errors import LeaseLost, WebcomError
from webcom_async._storage.campaign_store import BatchRef

__all__ = ["ShardSteps"]

T = TypeVar("T")

_FAILED = -1  # a step's result in place of the number of open recipients


class ShardSteps:
    """
    The batches of the running workflow's shard, as steps.

    Attributes:
        ended: The error with which DBOS has ended the workflow. The workflow raises it, once no library code is in
            between.
    """

    def __init__(self) -> None:
        self.ended: BaseException | None = None

    async def open_batches(self, look: Callable[[], Awaitable[list[BatchRef]]]) -> list[BatchRef]:
        """Return the shard's open batches, as they were in the first execution."""

        async def numbers() -> list[tuple[str, int, int]]:
            return [(ref.campaign, ref.shard, ref.batch) for ref in await look()]

        return [BatchRef(*numbers) for numbers in await self._ran(DBOS.reserve_step(), "open", numbers)]

    def sent(
        self, refs: Sequence[BatchRef], send: Callable[[BatchRef], Awaitable[int]]
    ) -> Callable[[BatchRef], Awaitable[int]]:
        """Return *send* with each call as a step, numbered in the order of *refs*."""
        reserved = {ref: DBOS.reserve_step() for ref in refs}

        async def step(ref: BatchRef) -> int:
            failures: list[WebcomError] = []

            async def attempt() -> int:
                try:
                    return await send(ref)
                except WebcomError as exc:
                    failures.append(exc)
                    return _FAILED

            still_open = await self._ran(reserved[ref], f"batch {ref.batch}", attempt)
            if still_open == _FAILED:
                raise failures[0] if failures else LeaseLost("an earlier execution of this shard was ended")
            return still_open

        return step

    async def _ran(self, step: StepReservation, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await step.run_async({"name": name}, work)
        except error.DBOSBaseException as exc:
            self.ended = exc
            raise LeaseLost("the engine gave the shard to another worker") from None
