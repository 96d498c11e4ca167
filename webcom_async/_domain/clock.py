"""
Time and chance, as arguments.

Only this module reads a clock, sleeps or draws a number. All other code gets a `Clock`, so that tests are fast and
repeatable.
"""

import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio
import msgspec

__all__ = ["Clock"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """
    The source of time and chance.

    Attributes:
        now: A function that returns the current time, aware.
        monotonic: A function that returns seconds that never go back.
        sleep: A function that waits for so many seconds.
        random: A function that returns a number from 0.0 up to 1.0.
    """

    now: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
