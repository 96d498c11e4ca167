"""
Wait between attempts. No other module does, and no other module imports tenacity.

A retry repeats a whole batch, never a single recipient. `policy` decides which errors are worth another attempt and how
long to wait. Only our own transient errors are retried; cancellation and bugs pass through.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import ConnectionLost, WebcomError
from webcom_async._domain.options import Options
from webcom_async._gateway import policy as _policy

__all__ = ["retrying"]

T = TypeVar("T")


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    attempts: int,
    quota: Callable[[], bool],
    options: Options,
    clock: Clock,
    *,
    met: WebcomError | None = None,
    retried: Callable[[int, WebcomError, float], None] | None = None,
) -> T:
    """
    Call *attempt* until it returns, fails for good, has been made *attempts* times, or *quota* returns False.

    The first failure on a reused connection is retried without a wait: the server may only have closed that connection.
    The error of a first attempt that was made already is *met*. Before each wait, *retried* is called with the
    attempt's number, its error and the seconds.

    Raises:
        WebcomError: The last attempt's own error.
    """

    def again(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        return state.attempt_number < attempts and _policy.worth_retrying(error, state.attempt_number) and quota()

    has_been_stale = False

    def wait(state: RetryCallState) -> float:
        nonlocal has_been_stale
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, ConnectionLost) and error.reused_connection and not has_been_stale:
            has_been_stale = True
            seconds = 0.0
        else:
            seconds = _policy.wait_before_retry(state.attempt_number, error, options, clock.random())
        if retried is not None and isinstance(error, WebcomError):
            retried(state.attempt_number, error, seconds)
        return seconds

    if met is None:
        # Without tenacity, which would take a tenth of the time of a request that succeeds.
        try:
            return await attempt()
        except WebcomError as exc:
            met = exc
    first = [met]

    async def call() -> T:
        if first:
            raise first.pop()
        return await attempt()

    policy = AsyncRetrying(
        wait=wait,
        retry=again,
        sleep=clock.sleep,
        reraise=True,
    )
    return await policy(call)
