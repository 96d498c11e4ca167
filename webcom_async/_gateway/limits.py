"""
The limits on what leaves: recipients per second, and requests in flight.

Pure arithmetic: the current time is an argument, and nothing here waits or sends.
"""

import math
from typing import NewType

__all__ = ["AdaptiveLimit", "Round", "Throttle"]

Round = NewType("Round", int)  # the period between two halvings of a limit, in which a request left

_START = 4  # requests; a sibling platform's manual warns above 5 parallel streams


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

    def reserve(self, recipients: int, now: float) -> float:
        """Claim *recipients*, and return the seconds to wait until they may leave. *now* never goes back."""
        self._claimed = max(self._claimed, now) + recipients / self._rate
        return max(0.0, self._claimed - self._tolerance - now)

    def release(self, recipients: int) -> None:
        """
        Undo the latest claim, whose *recipients* did not leave.

        Later callers already know when to leave, so a caller that may release holds a lock until its own recipients
        leave.
        """
        self._claimed -= recipients / self._rate


class AdaptiveLimit:
    """
    Finds how many requests in flight the gateway bears: one more after a clean round, half after a push-back.

    Until the first push-back, the limit grows by one after each answer, which doubles it in every round (slow start, as
    in RFC 5681 for TCP): a limit of 128 is reached after 5 round trips instead of 124. After that, it follows additive
    increase, multiplicative decrease (Chiu and Jain, 1989), with one halving per round trip, however many of its
    requests failed (as in RFC 6582 for TCP): requests that left before a halving say nothing about the limit after it.

    Args:
        ceiling: The highest value of the limit. The lowest is 1.
        start: The first value.
    """

    def __init__(self, ceiling: int, start: int | None = None) -> None:
        self._ceiling = ceiling
        self._limit = max(1, min(ceiling, _START if start is None else start))
        self._round = Round(0)
        self._clean = 0

    @property
    def limit(self) -> int:
        return self._limit

    def sent(self) -> Round:
        return self._round

    def succeeded(self, sent_in: Round) -> None:
        """Count an answer to a request of round *sent_in*. A clean round has as many as the limit."""
        if sent_in != self._round:
            return
        self._clean += 1
        never_pushed_back = self._round == 0
        if never_pushed_back or self._clean >= self._limit:
            self._limit = min(self._limit + 1, self._ceiling)
            self._clean = 0

    def pushed_back(self, sent_in: Round) -> None:
        """Halve the limit after a 429, a 503 or a time-out in round *sent_in*."""
        if sent_in != self._round:
            return
        self._limit = max(1, self._limit // 2)
        self._round = Round(self._round + 1)
        self._clean = 0
