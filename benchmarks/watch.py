"""The stopwatch: what the work in a block takes, without what is opened before and closed after."""

import cProfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from benchmarks.machine import forget_peak, peak_mib

__all__ = ["Watch", "profiled"]

_profile: ContextVar[cProfile.Profile | None] = ContextVar("_profile", default=None)


class Watch:
    """
    Takes the time of a `with` block.

    Attributes:
        seconds: By the clock.
        cpu: Seconds of CPU of this process, all its threads included.
        peak_mib: Peak memory over what was used at the beginning.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seconds = self.cpu = self.peak_mib = 0.0

    def __enter__(self) -> Self:
        forget_peak()
        self._idle = peak_mib()
        if (profile := _profile.get()) is not None:
            profile.enable()
        self._start, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._start, time.process_time() - self._cpu
        if (profile := _profile.get()) is not None:
            profile.disable()
        self.peak_mib = peak_mib() - self._idle


@contextmanager
def profiled() -> Generator[cProfile.Profile, None, None]:
    """Profile what is watched in the block."""
    profile = cProfile.Profile()
    token = _profile.set(profile)
    try:
        yield profile
    finally:
        _profile.reset(token)
