"""The limit on requests in flight against simulated gateways, in virtual time and with seeded chance."""

import heapq
import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async._gateway.adaptive_limit import AdaptiveLimit, InFlight

LATENCY = 0.2  # seconds
BACKOFF = 0.5  # seconds at most
AT_ONCE = 0.001  # seconds that a refusal takes which does not wait
SETTLED = 15.0  # seconds


def steady(_chance: random.Random) -> float:
    """Return a latency that is always the same."""
    return LATENCY


def varying(chance: random.Random) -> float:
    """Return a latency with a long tail."""
    return LATENCY / 4 + chance.expovariate(4 / 3 / LATENCY)


class Simulation:
    """
    A client with more work than the limit allows, and a gateway.

    Args:
        ceiling: The highest limit.
        seed: What chance follows from.
        refused: The share of requests that are refused at random.
        at_once: A function that returns how many requests the gateway serves at once at a moment.
        latency: A function that draws the seconds of an answer.
        quick: Whether refusals come at once, not after the latency of an answer.
        capacity: How many requests the gateway serves at full speed; more wait in a queue.

    Attributes:
        now: Seconds since the start.
        answers: Requests that were answered.
        refusals: Requests that were refused.
        history: The limit after each change, and when.
    """

    def __init__(
        self,
        ceiling: int,
        *,
        seed: int = 0,
        refused: float = 0.0,
        at_once: Callable[[float], float] = lambda _: math.inf,
        latency: Callable[[random.Random], float] = steady,
        quick: bool = False,
        capacity: float = math.inf,
    ) -> None:
        self.now = 0.0
        self.answers = 0
        self.refusals = 0
        self.limit = AdaptiveLimit(ceiling)
        self.history = [(0.0, self.limit.limit)]
        self._chance = random.Random(seed)
        self._refused = refused
        self._at_once = at_once
        self._latency = latency
        self._quick = quick
        self._capacity = capacity
        self._idle = 2 * ceiling
        self._serving = 0
        self._moments: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def run(self, until: float) -> "Simulation":
        """Let time pass *until* a moment."""
        self._send()
        while self._moments[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._moments)
            happen()
            self._send()
            if self.history[-1][1] != self.limit.limit:
                self.history.append((self.now, self.limit.limit))
        self.now = until
        return self

    def limits_since(self, since: float) -> list[tuple[int, float]]:
        """Return the limits after a moment, and for how many seconds each held."""
        ends = [moment for moment, _ in self.history[1:]] + [self.now]
        return [
            (limit, end - max(begin, since))
            for (begin, limit), end in zip(self.history, ends, strict=True)
            if end > since
        ]

    def _send(self) -> None:
        while self._idle and self.limit.in_flight < self.limit.limit:
            self._idle -= 1
            self._arrive(self.limit.sent(self.now))

    def _arrive(self, request: InFlight) -> None:
        if self._serving >= self._at_once(self.now):
            self._after(AT_ONCE if self._quick else LATENCY, lambda: self._refuse(request))
            return
        self._serving += 1
        seconds = self._latency(self._chance) * max(1.0, self._serving / self._capacity)
        if self._chance.random() < self._refused:
            self._after(AT_ONCE if self._quick else seconds, lambda: self._refuse(request, served=True))
        else:
            self._after(seconds, lambda: self._answer(request))

    def _answer(self, request: InFlight) -> None:
        self._serving -= 1
        self.answers += 1
        self.limit.answered(request, self.now)
        self._leave()
        self._idle += 1

    def _refuse(self, request: InFlight, *, served: bool = False) -> None:
        self._serving -= served
        self.refusals += 1
        self.limit.refused(request, self.now)
        rest = max(0.0, request.since + (self.limit.usual_seconds(request) or 0.0) - self.now)
        self._after(rest, self._leave)
        self._after(rest + BACKOFF * self._chance.random(), self._come_back)

    def _leave(self) -> None:
        self.limit.left()

    def _come_back(self) -> None:
        self._idle += 1

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._moments, (self.now + seconds, self._count, happen))


def seconds_outside(limits: Sequence[tuple[int, float]], bearable: int) -> float:
    """Return for how long a limit was further from *bearable* than a tenth of that, and than two requests."""
    return sum(seconds for limit, seconds in limits if abs(limit - bearable) > max(2, bearable / 10))


def mean(limits: Sequence[tuple[int, float]]) -> float:
    """Return the limit's mean over time."""
    return sum(limit * seconds for limit, seconds in limits) / sum(seconds for _, seconds in limits)


# ---------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("bearable", [2, 3, 5, 10, 30, 64, 100, 200])
def test_what_a_gateway_bears_is_found_and_kept(bearable: int, quick: bool):
    """Of a gateway that refuses what is beyond a number at once, that number is found, within 2 or a tenth."""
    simulation = Simulation(max(64, 2 * bearable), at_once=lambda _: bearable, quick=quick).run(40.0)

    assert 0.0 == seconds_outside(simulation.limits_since(SETTLED), bearable)
    assert simulation.answers >= 0.9 * 40.0 * bearable / LATENCY
    assert simulation.refusals <= 0.2 * simulation.answers


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("bearable", [3, 10, 30, 100])
def test_varying_latencies_hide_nothing(bearable: int, quick: bool):
    """Answers that take from a quarter of the mean to several times that do not hide what the gateway bears."""
    simulation = Simulation(200, at_once=lambda _: bearable, quick=quick, latency=varying).run(40.0)

    assert seconds_outside(simulation.limits_since(SETTLED), bearable) <= 0.1 * (40.0 - SETTLED)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("before", "after"), [(100, 10), (64, 20), (30, 15), (15, 30), (10, 100), (2, 64)])
def test_the_limit_follows_a_gateway_that_changes(before: int, after: int, quick: bool):
    """When a gateway begins to bear fewer requests, or more, the limit is there within 15 seconds, and stays."""
    simulation = Simulation(200, at_once=lambda now: before if now < 20.0 else after, quick=quick).run(55.0)

    assert 0.0 == seconds_outside(simulation.limits_since(35.0), after)


# ---------------------------------------------------------------------------- chance


def served(ceiling: int, share: float, seed: int, quick: bool, latency: Callable[[random.Random], float]) -> float:
    """Return the answers in 15 s at a *share* of random refusals, over those without any."""
    without = Simulation(ceiling, seed=seed, latency=latency).run(15.0).answers
    return Simulation(ceiling, seed=seed, latency=latency, refused=share, quick=quick).run(15.0).answers / without


@pytest.mark.parametrize("latency", [steady, varying])
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("ceiling", [16, 64])
@pytest.mark.parametrize("share", [0.005, 0.01, 0.02])
def test_random_refusals_slow_nothing_down(
    share: float, ceiling: int, quick: bool, latency: Callable[[random.Random], float]
):
    """At up to 2 % refused at random, at least 0.8 of the answers of a gateway without refusals arrive."""
    assert min(served(ceiling, share, seed, quick, latency) for seed in range(4)) >= 0.8


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_many_random_refusals_leave_the_limit_useful(share: float, quick: bool):
    """At 5 or 10 % refused at random, the limit stands near its ceiling after half a minute."""
    for seed in range(4):
        simulation = Simulation(64, seed=seed, refused=share, quick=quick).run(60.0)

        assert mean(simulation.limits_since(30.0)) >= 0.7 * 64


# ---------------------------------------------------------------------------- latency


@pytest.mark.parametrize("capacity", [5, 10, 30])
def test_a_queue_at_the_gateway_is_not_fed(capacity: int):
    """A gateway that queues what it cannot serve at once gets a few times its capacity, not the 256 allowed."""
    simulation = Simulation(256, capacity=capacity).run(60.0)

    assert capacity <= mean(simulation.limits_since(30.0)) <= max(40, 4 * capacity)
    assert simulation.answers >= 0.9 * 60.0 * capacity / LATENCY


def test_a_gateway_that_becomes_slower_is_used_to_the_full():
    """If all answers take four times as long, whatever the limit, the limit stays where it was."""
    simulation = Simulation(64)
    simulation._latency = lambda _: LATENCY if simulation.now < 20.0 else 4 * LATENCY
    simulation.run(60.0)

    assert 64 == pytest.approx(mean(simulation.limits_since(40.0)), abs=1)


# ---------------------------------------------------------------------------- start and outage


@pytest.mark.parametrize(("ceiling", "start"), [(1, 1), (3, 3), (4, 4), (5, 4), (64, 4)])
def test_a_limit_starts_low(ceiling: int, start: int):
    """A limit begins at four, or at its ceiling if that is lower."""
    assert start == AdaptiveLimit(ceiling).limit


@pytest.mark.parametrize(("start", "limit"), [(0, 1), (1, 1), (8, 8), (9, 8)])
def test_a_start_stays_between_one_and_the_ceiling(start: int, limit: int):
    """A start outside the range is moved into it."""
    assert limit == AdaptiveLimit(8, start=start).limit


def answer_rounds(limit: AdaptiveLimit, rounds: int, requests: int | None = None) -> list[int]:
    """Send and answer *rounds* of as many requests as the limit allows, or of *requests*; return each round's limit."""
    limits = []
    for _ in range(rounds):
        for request in [limit.sent(0.0) for _ in range(requests or limit.limit)]:
            limit.answered(request, 0.0)
            limit.left()
        limits.append(limit.limit)
    return limits


def test_the_limit_doubles_at_the_start():
    """Until 32, the limit doubles in every round trip; from there it grows by a quarter."""
    assert [8, 16, 32, 40, 50] == answer_rounds(AdaptiveLimit(64), 5)


def test_a_limit_that_is_not_used_does_not_grow_beyond_twice_the_use():
    """Four requests at a time say nothing about sixty-four."""
    assert 8 == answer_rounds(AdaptiveLimit(64), 50, requests=4)[-1]


def test_a_round_without_an_answer_halves():
    """If every request of a round is refused, the limit is halved once, and never falls below one."""
    limit, limits = AdaptiveLimit(64, start=11), []
    for _ in range(5):
        for request in [limit.sent(0.0) for _ in range(limit.limit)]:
            limit.refused(request, 0.0)
            limit.left()
        limits.append(limit.limit)

    assert [5, 2, 1, 1, 1] == limits


def test_after_an_outage_the_start_is_repeated():
    """A gateway that was down is used to the full again after as many round trips as at the start."""
    down = [True]
    simulation = Simulation(64, at_once=lambda _: 0.0 if down[0] else math.inf).run(10.0)
    fallen = simulation.limit.limit
    down[0] = False
    simulation.run(15.0)

    assert (1, 64) == (fallen, simulation.limit.limit)


def test_a_request_without_an_outcome_leaves_no_trace():
    """Requests that are cancelled count neither as answered nor as refused, and hold no round up."""
    limit = AdaptiveLimit(64)
    for _ in range(100):
        limit.forget(limit.sent(0.0))
        limit.left()

    assert (0, 8) == (limit.in_flight, answer_rounds(limit, 1)[0])


@given(
    st.integers(1, 64),
    st.none() | st.integers(1, 64),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 63), st.floats(0, 10)), max_size=300),
)
def test_a_limit_stays_between_one_and_its_ceiling(
    ceiling: int, start: int | None, events: list[tuple[int, int, float]]
):
    """After any sequence of answers, refusals and cancellations, the limit is between one request and the ceiling."""
    limit, now = AdaptiveLimit(ceiling, start), 0.0
    in_flight = [limit.sent(now)]
    for event, which, seconds in events:
        now += seconds
        if event == 0 or not in_flight:
            in_flight.append(limit.sent(now))
            continue
        request = in_flight.pop(which % len(in_flight))
        if event == 3:
            limit.forget(request)
        else:
            (limit.answered if event == 1 else limit.refused)(request, now)
        limit.left()
        assert 1 <= limit.limit <= ceiling
        assert len(in_flight) == limit.in_flight
