"""
How fast, and how much at once: the two limits on what leaves.

Arithmetic only. What leaves, who waits for it and what a failure means is not known here; time is an argument, and
nothing sleeps.
"""

import math
from typing import NewType

__all__ = ["AdaptiveLimit", "Round", "Throttle"]

Round = NewType("Round", int)  # the stretch between two halvings of a limit, in which a request left

_START = 4  # requests; a sibling platform's manual warns above 5 parallel streams


class Throttle:
    """
    Spread recipients evenly over time (the virtual scheduling of GCRA: ITU-T I.371, annex A).

    In any stretch of time no more leave than `burst` and `rate` times its seconds. A batch larger than the burst
    waits until its last recipient is due, and then leaves whole, as the only one at that moment.

    Args:
        rate: Recipients per second, above 0.
        burst: Recipients that may leave at once after a pause; a second's worth if left out.
    """

    def __init__(self, rate: float, burst: int | None = None) -> None:
        self._rate = rate
        self._tolerance = (math.ceil(rate) if burst is None else burst) / rate
        self._claimed = -math.inf  # the moment up to which an even flow would be used up

    @property
    def rate(self) -> float:
        """Recipients per second."""
        return self._rate

    def reserve(self, recipients: int, now: float) -> float:
        """Claim *recipients* and return the seconds to wait before they may leave. *now* never goes back."""
        self._claimed = max(self._claimed, now) + recipients / self._rate
        return max(0.0, self._claimed - self._tolerance - now)

    def release(self, recipients: int) -> None:
        """
        Undo the latest claim, of *recipients* who did not leave.

        An earlier one cannot be undone: those behind it have been told when to leave. So whoever may give back lets
        nobody claim until his own recipients have left.
        """
        self._claimed -= recipients / self._rate


class AdaptiveLimit:
    """
    Find out how many requests at once the gateway bears: one more after a clean round, half after a push-back.

    Until the first push-back, one more after each answer, which doubles the limit in every round (slow start, as RFC
    5681 has it for TCP): a limit of 128 is reached after five round trips, and not after 124. After that, additive
    increase, multiplicative decrease (Chiu and Jain, 1989), and one halving per round trip, however many of its
    requests failed (as RFC 6582 has it for TCP): those that left before a halving say nothing about what is left.

    Args:
        ceiling: The limit never goes above it, nor below 1.
        start: Where it begins.
    """

    def __init__(self, ceiling: int, start: int | None = None) -> None:
        self._ceiling = ceiling
        self._limit = max(1, min(ceiling, _START if start is None else start))
        self._round = Round(0)
        self._clean = 0

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return self._limit

    def sent(self) -> Round:
        """Return the round to which a request belongs that leaves now."""
        return self._round

    def succeeded(self, sent_in: Round) -> None:
        """Count an answer to a request of *sent_in*; as many as the limit make a clean round."""
        if sent_in != self._round:
            return
        self._clean += 1
        never_pushed_back = self._round == 0
        if never_pushed_back or self._clean >= self._limit:
            self._limit = min(self._limit + 1, self._ceiling)
            self._clean = 0

    def pushed_back(self, sent_in: Round) -> None:
        """Halve the limit because a request of *sent_in* met a 429, a 503 or a time-out."""
        if sent_in != self._round:
            return
        self._limit = max(1, self._limit // 2)
        self._round = Round(self._round + 1)
        self._clean = 0
