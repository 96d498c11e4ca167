"""Wait for a journal that is in use."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import ConfigurationError, JournalInUse

__all__ = ["check_wait", "wait_until_free"]

T = TypeVar("T")

_PAUSE = 0.25  # seconds between two attempts


def check_wait(wait: float) -> float:
    """
    Return *wait*, in seconds.

    Raises:
        ConfigurationError: It is not a number, or below 0.
    """
    if not isinstance(wait, int | float) or isinstance(wait, bool) or not wait >= 0:
        raise ConfigurationError(f"wait is {wait!r}; it must be a number of seconds, 0 or more")
    return wait


async def wait_until_free(attempt: Callable[[], Awaitable[T]], wait: float, clock: Clock) -> T:
    """
    Repeat *attempt* while the journal is in use, for *wait* seconds at most.

    Raises:
        JournalInUse: It is still in use after that.
    """
    until = clock.monotonic() + wait
    while True:
        try:
            return await attempt()
        except JournalInUse:
            left = until - clock.monotonic()
            if left <= 0:
                raise
        await clock.sleep(min(left, _PAUSE))
