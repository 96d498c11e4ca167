"""
Time and chance, as arguments.

The one place that reads a clock, sleeps or draws a number; everything else is handed a `Clock`, so that a test needs
neither patience nor luck.
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
    Where time and chance come from.

    Attributes:
        now: The moment, aware.
        monotonic: Seconds that never go back.
        sleep: Wait so many seconds.
        random: A number from 0.0 up to 1.0.
    """

    now: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
