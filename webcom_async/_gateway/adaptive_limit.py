"""
The limit on requests in flight, which adapts to the gateway.

Pure arithmetic: the current time is an argument, and nothing here waits or sends. The numbers are ours;
`tests/unit/test_adaptive_limit.py` simulates gateways to hold them to their purpose.
"""

import math
import sys
from statistics import median
from typing import NamedTuple

import msgspec

__all__ = ["AdaptiveLimit", "InFlight"]

_START = 4  # requests; a sibling platform's manual warns above 5 parallel streams
_DOUBLES = 32  # requests: from here on, the start grows by a quarter in a round trip
_ROUND, _SHORT_ROUND = 24, 6  # requests, and round trips of a small limit: a share of fewer requests says little
_RESOLVED = 0.9  # of a round's requests: the slowest are not waited for
_MEDIAN = 16  # answers
_NOISE = 0.02  # the share of requests that a healthy gateway may refuse
_UNDECIDED = 4  # rounds with a few refusals more than usual, until a cut is tried
_HELPED = 1 / 3  # of the share before the cut
_TRIAL = 8  # refusals that a trial would see if the cut did not help
_LONGEST_TRIAL, _LONG_TRIAL = 200, 12  # requests, and round trips of a small limit
_RARE = 0.25  # share: a trial of more frequent refusals is short anyway
_MOST_USUAL = 0.5  # share: a gateway that refuses more is left alone, whatever the reason
_PATIENCE = 8  # rounds at most before the next step beyond what the gateway bears
_STEP = 20  # a step is at most a twentieth of the limit
_SMALL_STEPS = 4  # and later ones double that
_DEEPEST = 4  # a cut goes to a quarter of the limit at most
_SLOWER, _MUCH_SLOWER = 1.5, 2.0  # times the usual latency
_AVERAGED, _QUEUED = 16, 128  # rounds
_FORGOTTEN = 512  # requests


class InFlight(NamedTuple):
    """
    A request in flight, for the limit.

    Attributes:
        round: The number of the round in which it counts; -1 for none.
        since: The moment it left.
        kind: The order of magnitude of its recipients: requests of one kind take about equally long.
        beside: The number of requests that were in flight then.
    """

    round: int
    since: float
    kind: int
    beside: int


class Round(msgspec.Struct):
    """
    What is known of a round: of the first requests that left under one limit.

    Attributes:
        base: The limit at the start of the round.
        peak: The highest number of requests in flight.
        size: The number of requests that make the round.
        full: Whether as many requests were in flight as the limit allows.
        sent: The requests that have left.
        answered: Those with an answer.
        refused: Those that were refused.
        refused_beside: The fewest requests in flight beside which one was refused.
        refused_seconds: Seconds that refused requests took.
        seconds: Seconds that each answer took, by kind.
        served: Answers during the round, to any request.
        not_served: Refusals during the round, of any request.
    """

    base: int
    peak: int
    size: int
    full: bool
    sent: int = 0
    answered: int = 0
    refused: int = 0
    refused_beside: int = sys.maxsize
    refused_seconds: float = 0.0
    seconds: dict[int, list[float]] = {}
    served: int = 0
    not_served: int = 0

    @property
    def requests(self) -> int:
        return self.answered + self.refused

    @property
    def complete(self) -> bool:
        return self.sent >= self.size and self.requests >= _RESOLVED * self.size

    @property
    def share(self) -> float:
        return self.refused / self.requests

    @property
    def slot_share(self) -> float:
        """The share of the time in slots that refused requests took."""
        total = self.refused_seconds + sum(map(sum, self.seconds.values()))
        return self.refused_seconds / total if total else self.share

    def median(self) -> tuple[int, float]:
        """Return the most frequent kind of request, and its median latency; 0 if there are too few answers."""
        kind = max(self.seconds, key=lambda kind: len(self.seconds[kind]), default=0)
        seconds = self.seconds.get(kind, [])
        return kind, median(seconds) if len(seconds) >= _MEDIAN else 0.0


class Doubts(msgspec.Struct):
    """Rounds in a row with a few refusals more than usual."""

    rounds: int = 0
    refused: int = 0
    requests: int = 0

    def add(self, seen: Round) -> None:
        self.rounds += 1
        self.refused += seen.refused
        self.requests += seen.requests


class Trial(NamedTuple):
    """
    A cut on trial: does it help?

    Attributes:
        limit: The limit before.
        refused: Requests that were refused before.
        requests: All requests before.
        borne: Whether the cut went to the limit that the gateway had borne.
        kind: The kind of request that was slow; 0 if refusals are the reason.
        seconds: Its median latency before; 0 if refusals are the reason.
        quick_enough: Its median latency after a cut that has helped.
    """

    limit: int
    refused: int
    requests: int
    borne: bool = False
    kind: int = 0
    seconds: float = 0.0
    quick_enough: float = 0.0

    @property
    def share(self) -> float:
        return self.refused / self.requests

    @property
    def most_refused(self) -> float:
        """The highest share of refusals after a cut that has helped."""
        return _HELPED * self.share


class Latencies:
    """The latency that is usual for each kind of request: the moving average of the rounds' medians."""

    def __init__(self) -> None:
        self._usual: dict[int, float] = {}
        self._rounds: dict[int, int] = {}
        self._latest: dict[int, float] = {}

    def usual(self, kind: int) -> float | None:
        """Return the seconds of *kind*: of the latest answer before the first round is over; None before that."""
        return self._usual.get(kind) or self._latest.get(kind)

    def answered(self, kind: int, seconds: float) -> None:
        self._latest[kind] = seconds

    def slower(self, seen: Round) -> float:
        """Return how many times the usual latency the answers of a round take that was full."""
        kind, seconds = seen.median()
        usual = self._usual.get(kind, 0.0)
        return seconds / usual if seen.full and usual else 1.0

    def learn(self, seen: Round) -> None:
        kind, seconds = seen.median()
        if seconds:
            rounds = self._rounds[kind] = min(self._rounds.get(kind, 0) + 1, _AVERAGED)
            usual = self._usual.get(kind, 0.0)
            # What may be a queue, which grows with the limit, is hardly learnt.
            self._usual[kind] = usual + (seconds - usual) / (_QUEUED if self.slower(seen) > _SLOWER else rounds)

    def accept(self, kind: int, seconds: float) -> None:
        """Take a higher latency as the usual one."""
        self._usual[kind] = max(seconds, self._usual[kind])


class AdaptiveLimit:
    """
    Finds how many requests in flight the gateway bears.

    The limit is judged by rounds: the first requests that leave under it, as many as it allows at once, and 24 at
    least. A single refusal says nothing: a gateway that refuses at random is used to the full.

    * At the start, the limit doubles in every round trip, from 32 on it grows by a quarter, as long as it is used and
      next to nothing is refused.
    * If too many requests of a round are refused, or their median latency has doubled, the limit is cut, to the largest
      number that the gateway has borne, or serves. The cut is on trial for a round. If refusals or latency stay as they
      were, the number of requests is not their reason: the limit is restored, and what was seen is usual from then on.
    * After a cut that has helped, the limit grows by small steps. After each step that is refused, it waits for twice
      as many rounds before the next, up to 8. Several steps that are borne become larger.
    * If everything is refused, the limit is halved, and the start is repeated: the gateway is down, which says nothing
      about the number that it bears.

    AIMD, as in TCP, is no alternative: at a share *p* of random refusals it settles at `sqrt(1.5 / p)` requests,
    whatever is allowed (Mathis et al., 1997): 9 of 64 at 2 %.

    Args:
        ceiling: The highest value of the limit. The lowest is 1.
        start: The first value.
    """

    def __init__(self, ceiling: int, start: int | None = None) -> None:
        self._ceiling = ceiling
        self._limit = max(1, min(ceiling, _START if start is None else start))
        self._in_flight = 0
        self._number = 0
        self._round = _round_of(self._limit, 0)
        self._peak_before = 0
        self._latencies = Latencies()
        self._usual_share = 0.0
        self._borne = 0  # the largest limit under which nothing was refused
        self._doubts = Doubts()
        self._trial: Trial | None = None
        self._starting = True
        self._answers_until_growth = 0
        self._steps = 0
        self._patience = 1  # rounds
        self._waits = 0  # rounds

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def usual_seconds(self, request: InFlight) -> float | None:
        """Return the seconds that an answer to such a request usually takes; None if that is not known."""
        return self._latencies.usual(request.kind)

    def sent(self, now: float, recipients: int = 1) -> InFlight:
        """Count a request that leaves *now*."""
        seen = self._round
        beside = self._in_flight
        self._in_flight += 1
        seen.peak = max(seen.peak, self._in_flight)
        seen.full = seen.full or self._in_flight >= self._limit
        counts = seen.sent < seen.size
        seen.sent += counts
        return InFlight(self._number if counts else -1, now, recipients.bit_length(), beside)

    def left(self) -> None:
        """Count a request that is no longer in flight. Its outcome is reported before."""
        self._in_flight -= 1

    def forget(self, request: InFlight) -> None:
        """Leave out *request*, which ends without an outcome."""
        if request.round == self._number:
            self._round.sent -= 1

    def answered(self, request: InFlight, now: float) -> None:
        """Learn from an answer to *request*."""
        seconds = now - request.since
        self._latencies.answered(request.kind, seconds)
        self._round.served += 1
        if self._starting and self._trial is None:
            self._grow_at_start()
        if request.round == self._number:
            self._round.answered += 1
            self._round.seconds.setdefault(request.kind, []).append(seconds)
            self._judge_round()

    def refused(self, request: InFlight, now: float) -> None:
        """Learn from a refusal of *request*: a 429, a 503, a time-out, a refused connection."""
        seen = self._round
        seen.not_served += 1
        if request.round != self._number:
            return
        seen.refused += 1
        seen.refused_beside = min(seen.refused_beside, request.beside)
        # A request that is refused at once keeps its slot for as long as an answer takes.
        seen.refused_seconds += max(now - request.since, self.usual_seconds(request) or 0.0)
        self._judge_round()

    def _grow_at_start(self) -> None:
        """Grow by one with each answer, later with every fourth."""
        seen = self._round
        used = 2 * max(seen.peak, self._peak_before) > self._limit
        if not used or seen.not_served > 1 + self._allowed(seen.served + seen.not_served):
            return
        self._answers_until_growth -= 1
        if self._answers_until_growth <= 0:
            self._limit = min(self._limit + 1, self._ceiling)
            self._answers_until_growth = 1 if self._limit < _DOUBLES else 4

    def _allowed(self, requests: int) -> float:
        return max(self._usual_share, _NOISE) * requests

    def _judge_round(self) -> None:
        seen, trial = self._round, self._trial
        if seen.refused == seen.requests >= self._limit and not seen.served:
            self._restart()
        elif trial is not None:
            if seen.complete or _is_in_vain(trial, seen):
                self._end_trial(trial, seen)
        elif seen.complete:
            self._decide(seen)

    def _restart(self) -> None:
        """Halve the limit, and begin as at the start: nothing is served."""
        self._trial, self._starting, self._borne, self._doubts = None, True, 0, Doubts()
        self._next_round(max(1, self._limit // 2))

    def _decide(self, seen: Round) -> None:
        allowed = self._allowed(seen.requests)
        # Two standard deviations, and two requests, which a small round may have by chance.
        if seen.refused > allowed + 2 * math.sqrt(allowed) + 2:
            self._doubts = Doubts()
            self._doubts.add(seen)
            self._try_cut(seen)
        elif seen.refused > allowed:
            self._doubts.add(seen)
            self._steps = min(self._steps, _SMALL_STEPS)
            if self._doubts.rounds < _UNDECIDED:
                self._next_round(self._limit)
            else:
                self._try_cut(seen)
        elif self._latencies.slower(seen) > _MUCH_SLOWER:
            self._try_cut_for_latency(seen)
        else:
            self._confirm(seen)

    def _try_cut(self, seen: Round) -> None:
        """Cut to the number that the gateway has borne, or to the number that it serves, if that is larger."""
        served = int(min(self._limit, seen.peak) * (1 - max(seen.share, seen.slot_share)))
        # If the limit is not used all the time, or has grown meanwhile, the share is too low. But a gateway that serves
        # so many requests at once refuses none beside fewer.
        served = min(served, max(seen.refused_beside, self._limit // _DEEPEST))
        borne = self._borne if self._borne < self._limit else 0
        doubts, self._doubts = self._doubts, Doubts()
        trial = self._trial = Trial(self._limit, doubts.refused, doubts.requests, borne > served)
        self._next_round(max(1, min(self._limit - 1, max(served, borne))))
        size = min(_LONGEST_TRIAL, _LONG_TRIAL * self._limit, math.ceil(_TRIAL / trial.share))
        self._round.size = max(self._round.size, size)

    def _try_cut_for_latency(self, seen: Round) -> None:
        """Cut to the number that the gateway serves without a queue."""
        (kind, seconds), slower = seen.median(), self._latencies.slower(seen)
        quick_enough = (seconds + seconds / slower) / 2
        self._trial = Trial(self._limit, seen.refused, seen.requests, False, kind, seconds, quick_enough)
        self._next_round(max(1, math.ceil(self._limit / slower)))

    def _end_trial(self, trial: Trial, seen: Round) -> None:
        """Keep the cut if it has helped. If not, cut to a smaller number, or restore the limit."""
        self._trial = None
        if self._has_helped(trial, seen):
            self._keep_cut(trial, seen)
        elif trial.borne or (seen.complete and seen.share > _MOST_USUAL):
            self._borne = 0
            self._doubts.add(seen)
            self._try_cut(seen)
        else:
            self._restore(trial, seen)

    def _has_helped(self, trial: Trial, seen: Round) -> bool:
        if not trial.seconds:
            return seen.share <= trial.most_refused
        seconds = seen.median()[1]
        return not seconds or seconds < trial.quick_enough

    def _keep_cut(self, trial: Trial, seen: Round) -> None:
        # If the gateway bears far less than before, nothing is known of the numbers in between.
        self._starting = not self._starting and 2 * self._limit < trial.limit
        self._borne = self._limit
        self._usual_share = min(self._usual_share, (self._usual_share + seen.share) / 2)
        self._steps, self._waits = 0, self._patience
        self._patience = min(2 * self._patience, _PATIENCE)
        self._next_round(self._limit)

    def _restore(self, trial: Trial, seen: Round) -> None:
        """Restore the limit, take what was seen as usual, and go on as at the start: no bound is known."""
        if trial.seconds:
            self._latencies.accept(trial.kind, seen.median()[1])
        else:
            share = (trial.refused + seen.refused) / (trial.requests + seen.requests)
            self._usual_share = min(_MOST_USUAL, share)
        self._starting, self._steps, self._waits = True, 0, 0
        self._next_round(trial.limit)

    def _confirm(self, seen: Round) -> None:
        """Learn what is usual, and grow by a step if the limit was used."""
        slow = self._latencies.slower(seen) > _SLOWER
        self._learn(seen)
        if self._starting or slow or not seen.full:
            self._next_round(self._limit)
        elif self._waits > 0:
            self._waits -= 1
            self._next_round(self._limit)
        else:
            self._next_round(min(self._limit + self._next_step(), self._ceiling))

    def _learn(self, seen: Round) -> None:
        self._doubts = Doubts()
        self._latencies.learn(seen)
        if seen.share < self._usual_share:
            self._usual_share += (seen.share - self._usual_share) * seen.requests / (seen.requests + _FORGOTTEN)
        borne = seen.base if self._starting else min(self._limit, seen.peak)
        if borne > self._borne and not seen.not_served:
            self._borne, self._patience = borne, 1

    def _next_step(self) -> int:
        """Return 1, 2, 4 and so on; at most a twentieth of the limit, until several steps were borne."""
        self._steps += 1
        larger = max(0, self._steps - _SMALL_STEPS)
        most = min(max(2, self._limit // _STEP) << larger, max(2, self._limit // 2))
        return min(1 << (self._steps - 1), most)

    def _next_round(self, limit: int) -> None:
        self._limit = limit
        self._number += 1
        self._peak_before = self._round.peak
        self._round = _round_of(limit, self._in_flight)


def _round_of(limit: int, in_flight: int) -> Round:
    size = max(limit, min(_ROUND, _SHORT_ROUND * limit))
    return Round(base=limit, peak=in_flight, size=size, full=in_flight >= limit)


def _is_in_vain(trial: Trial, seen: Round) -> bool:
    """Whether more requests are refused already than of a whole round after a cut that has helped."""
    return trial.share <= _RARE and not trial.seconds and seen.refused > trial.most_refused * seen.size
