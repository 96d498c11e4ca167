"""
The limit on recipients per second.

Pure arithmetic: the current time is an argument, and nothing here waits or sends.
"""

import math

__all__ = ["Throttle"]


class Throttle:
    """
    Spreads recipients evenly over time (the virtual scheduling of GCRA: ITU-T I.371, annex A).

    In any period no more recipients leave than `burst` plus `rate` times its seconds. A batch larger than the burst
    waits until its last recipient is due, and then leaves whole, as the only one at that moment.

    Args:
        rate: Recipients per second, above 0.
        burst: Recipients that may leave at once after a pause; by default a second's worth.
    """

    def __init__(self, rate: float, burst: int | None = None) -> None:
        self._rate = rate
        self._tolerance = (math.ceil(rate) if burst is None else burst) / rate
        self._claimed = -math.inf  # the moment up to which an even flow would be used up

    @property
    def rate(self) -> float:
        return self._rate

    def due(self, recipients: int, since: float) -> float:
        """Return the moment from which *recipients* that wait *since* a moment may leave. Nothing is claimed yet."""
        return max(self._claimed, since) + recipients / self._rate - self._tolerance

    def claim(self, recipients: int, since: float, now: float) -> None:
        """Count *recipients* that leave *now*, which is when they are `due` or later."""
        seconds = recipients / self._rate
        # A batch that leaves late has used up the burst at that moment, not when it was due.
        self._claimed = max(max(self._claimed, since) + seconds, now + min(seconds, self._tolerance))

    def release(self, recipients: int) -> None:
        """Undo the claim of *recipients* that did not leave."""
        self._claimed -= recipients / self._rate
