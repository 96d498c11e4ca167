"""Waiting between attempts: how often, how long, and for what."""

from collections.abc import Callable

import anyio
import pytest

from tests.builders import still_clock
from webcom_async import (
    AuthenticationError,
    Clock,
    ConnectionLost,
    GatewayBusy,
    GatewayUnavailable,
    Options,
    ReplyTimeout,
)
from webcom_async._gateway.retry import retrying

pytestmark = pytest.mark.anyio


class Attempts:
    """A call that fails with *failures*, one each time, then succeeds; it counts its calls."""

    def __init__(self, *failures: BaseException) -> None:
        self.made = 0
        self._failures = list(failures)

    async def __call__(self) -> str:
        """Make one attempt."""
        self.made += 1
        await anyio.lowlevel.checkpoint()
        if self._failures:
            raise self._failures.pop(0)
        return "done"


def noting_clock(waits: list[float], random: Callable[[], float] = lambda: 1.0) -> Clock:
    """Return a clock that notes its sleeps in *waits*, and returns at once."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return still_clock(sleep=sleep, random=random)


def always() -> bool:
    """Allow every repetition."""
    return True


async def test_without_quota_nothing_is_repeated():
    """A spent quota ends the retries before the first wait."""
    attempts, waits = Attempts(ReplyTimeout("the first")), list[float]()

    with pytest.raises(ReplyTimeout, match="the first"):
        await retrying(attempts, 6, lambda: False, Options(), noting_clock(waits))

    assert (1, []) == (attempts.made, waits)


async def test_the_first_success_is_the_answer():
    """Without a failure there is one attempt and no wait."""
    attempts, waits = Attempts(), list[float]()

    assert "done" == await retrying(attempts, 6, always, Options(), noting_clock(waits))
    assert (1, []) == (attempts.made, waits)


async def test_transient_failures_are_retried():
    """Each failure is followed by a longer wait, until an attempt succeeds."""
    attempts, waits = Attempts(ReplyTimeout(), ConnectionLost(), GatewayUnavailable()), list[float]()

    assert "done" == await retrying(attempts, 6, always, Options(), noting_clock(waits))
    assert (4, [0.5, 1.0, 2.0]) == (attempts.made, waits)


@pytest.mark.parametrize("allowed", [1, 2, 6])
async def test_the_last_attempts_own_error_is_raised(allowed: int):
    """After `attempts` requests the last error is raised bare, without a wait after it."""
    last, waits = ReplyTimeout("the last"), list[float]()
    attempts = Attempts(*[ReplyTimeout("earlier")] * (allowed - 1), last)

    with pytest.raises(ReplyTimeout) as failure:
        await retrying(attempts, allowed, always, Options(), noting_clock(waits))

    assert last is failure.value
    assert (allowed, allowed - 1) == (attempts.made, len(waits))


@pytest.mark.parametrize(
    "failure", [AuthenticationError(), TimeoutError("not ours"), ValueError("a bug"), KeyboardInterrupt()]
)
async def test_a_permanent_failure_is_not_retried(failure: BaseException):
    """A refusal, a bug and a foreign exception are raised at once, as the same object."""
    attempts, waits = Attempts(ReplyTimeout(), failure), list[float]()

    with pytest.raises(type(failure)) as raised:
        await retrying(attempts, 6, always, Options(), noting_clock(waits))

    assert failure is raised.value
    assert (2, 1) == (attempts.made, len(waits))


async def test_the_gateways_own_wait_is_waited():
    """A `Retry-After` is obeyed, with the jitter on top."""
    waits = list[float]()
    await retrying(Attempts(GatewayBusy(retry_after=30.0)), 6, always, Options(), noting_clock(waits, lambda: 0.5))

    assert [30.25] == waits


async def test_a_wait_over_the_ceiling_is_not_waited():
    """A `Retry-After` over the ceiling halts the campaign without a retry."""
    failure, attempts, waits = GatewayBusy(retry_after=3600.0), Attempts(), list[float]()
    failure.halts = True
    attempts = Attempts(failure)

    with pytest.raises(GatewayBusy):
        await retrying(attempts, 6, always, Options(), noting_clock(waits))

    assert (1, []) == (attempts.made, waits)


async def test_each_wait_draws_its_own_chance():
    """Every wait draws its own jitter."""
    draws, waits = iter([0.0, 1.0, 0.25]), list[float]()
    await retrying(Attempts(*[ReplyTimeout()] * 3), 6, always, Options(), noting_clock(waits, lambda: next(draws)))

    assert [0.0, 1.0, 0.5] == waits


async def test_cancelling_ends_a_back_off_at_once():
    """A cancelled call neither finishes its wait nor makes another attempt."""
    attempts = Attempts(ReplyTimeout())
    waiting = anyio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retrying, attempts, 6, always, Options(), still_clock(sleep=sleep))
        await waiting.wait()
        tasks.cancel_scope.cancel()

    assert 1 == attempts.made
    assert tasks.cancel_scope.cancelled_caught


async def test_cancelling_an_attempt_is_not_retried():
    """A cancellation inside an attempt passes through, and is not retried."""
    made, in_flight = 0, anyio.Event()

    async def attempt() -> None:
        nonlocal made
        made += 1
        in_flight.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retrying, attempt, 6, always, Options(), still_clock())
        await in_flight.wait()
        tasks.cancel_scope.cancel()

    assert 1 == made
