"""How fast, and how much at once: limits as arithmetic, with time as an argument."""

from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async._gateway.limits import AdaptiveLimit, Throttle

ROUNDING = 1e-6  # recipients

rates = st.floats(0.1, 10_000)
bursts = st.integers(1, 1_000)
pauses = st.floats(0, 100)
batches = st.integers(1, 1_000)
limits = st.integers(1, 64)


def departures(throttle: Throttle, claims: Iterable[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return when each of *claims* leaves, with its recipients; a claim is the pause before it and its recipients."""
    now, left = 0.0, []
    for pause, recipients in claims:
        now += pause
        left.append((now + throttle.reserve(recipients, now), recipients))
    return left


def stretches(left: Sequence[tuple[float, int]]) -> Iterable[tuple[float, int, int]]:
    """Yield the seconds between any two departures, how many left in them, and how many of those at the first."""
    for first, last in combinations_with_replacement(range(len(left)), 2):
        yield left[last][0] - left[first][0], sum(count for _, count in left[first : last + 1]), left[first][1]


def limit_of(limit: int, ceiling: int = 64) -> AdaptiveLimit:
    """Return a limit that stands at *limit*."""
    return AdaptiveLimit(ceiling, start=limit)


# ---------------------------------------------------------------------------- throttle


def test_a_throttle_needs_no_clock():
    """Half a second of recipients makes the next as many wait half a second."""
    throttle = Throttle(rate=100, burst=50)

    assert [0.0, 0.5, 1.0] == [throttle.reserve(50, now=0.0) for _ in range(3)]


def test_the_burst_is_a_seconds_worth_unless_said():
    """By default a second's recipients leave at once, or one if the rate is below one a second."""
    assert [0.0, 0.5] == [Throttle(rate=64).reserve(recipients, now=0.0) for recipients in (64, 96)]
    assert [0.0, 2.0] == [Throttle(rate=0.5).reserve(recipients, now=0.0) for recipients in (1, 2)]


def test_a_pause_earns_one_burst_and_no_more():
    """After a pause of any length, at most the burst leaves at once."""
    throttle = Throttle(rate=10, burst=20)
    throttle.reserve(20, now=0.0)

    assert [0.0, 2.0] == [throttle.reserve(20, now=3_600.0) for _ in range(2)]


def test_a_batch_larger_than_the_burst_waits_for_its_last():
    """A batch larger than the burst leaves whole, once burst and time have made room for all of it."""
    throttle = Throttle(rate=10, burst=20)

    assert [3.0, 5.0] == [throttle.reserve(recipients, now=0.0) for recipients in (50, 20)]


def test_time_that_passes_is_taken_off_the_wait():
    """A later claim waits less."""
    throttle = Throttle(rate=100, burst=100)
    throttle.reserve(100, now=7.0)

    assert 0.75 == throttle.reserve(100, now=7.25)


def test_a_claim_that_was_given_back_delays_no_batch():
    """A batch that is cancelled while it waits does not delay the next one."""
    throttle = Throttle(rate=10, burst=10)
    throttle.reserve(10, now=0.0)
    throttle.reserve(500, now=0.0)
    throttle.release(500)

    assert 0.5 == throttle.reserve(10, now=0.5)


def test_the_rate_can_be_read():
    """A throttle has its rate, so that a progress display can show it."""
    assert 12.5 == Throttle(rate=12.5).rate


@given(rates, bursts, st.lists(st.tuples(pauses | st.just(0.0), batches), min_size=1, max_size=30))
def test_no_stretch_of_time_sees_more_than_burst_and_rate(rate: float, burst: int, claims: list[tuple[float, int]]):
    """Between any two departures at most `burst + rate * seconds` left; a larger batch is its own burst."""
    for seconds, count, first in stretches(departures(Throttle(rate, burst), claims)):
        assert count <= max(burst, first) + rate * seconds + ROUNDING * max(1.0, rate)


@given(rates, bursts, st.lists(st.tuples(pauses, batches), min_size=1, max_size=30))
def test_no_batch_waits_longer_than_the_rate_asks_for(rate: float, burst: int, claims: list[tuple[float, int]]):
    """Waits are never negative, keep the order of the claims, and end when the rate allows the last of all."""
    left = departures(Throttle(rate, burst), claims)
    claimed = sum(count for _, count in claims)

    assert left == sorted(left, key=lambda departure: departure[0])
    assert left[-1][0] <= sum(pause for pause, _ in claims) + max(0, claimed - burst) / rate + ROUNDING
    assert all(wait >= 0.0 for wait in (Throttle(rate, burst).reserve(count, 0.0) for _, count in claims))


@given(rates, bursts, st.lists(st.tuples(pauses, batches, st.booleans()), max_size=30))
def test_giving_back_is_as_if_nothing_had_been_claimed(rate: float, burst: int, claims: list[tuple[float, int, bool]]):
    """Claims that were given back before the next one change no other wait."""
    tried, spared = Throttle(rate, burst), Throttle(rate, burst)
    now = 0.0
    for pause, recipients, leaves in claims:
        now += pause
        wait = tried.reserve(recipients, now)
        if leaves:
            assert pytest.approx(spared.reserve(recipients, now), abs=ROUNDING * 1_000) == wait
        else:
            tried.release(recipients)


# ---------------------------------------------------------------------------- limit


@pytest.mark.parametrize(("ceiling", "start"), [(1, 1), (3, 3), (4, 4), (5, 4), (64, 4)])
def test_a_limit_starts_low(ceiling: int, start: int):
    """A limit begins at four, or at its ceiling if that is lower."""
    assert start == AdaptiveLimit(ceiling).limit


@pytest.mark.parametrize(("start", "limit"), [(0, 1), (1, 1), (8, 8), (9, 8)])
def test_a_start_stays_between_one_and_the_ceiling(start: int, limit: int):
    """A start outside the range is moved into it."""
    assert limit == AdaptiveLimit(8, start=start).limit


def test_every_answer_earns_one_more_before_the_first_push_back():
    """Until the gateway has pushed back, the limit doubles in every round."""
    limit, grown = limit_of(4), []
    for _ in range(3):
        for sent_in in [limit.sent() for _ in range(limit.limit)]:
            limit.succeeded(sent_in)
        grown.append(limit.limit)

    assert [8, 16, 32] == grown


def test_a_clean_round_earns_one_more_after_a_push_back():
    """After a push-back, as many answers as the limit raise it by one, and the next round counts from zero."""
    limit, grown = limit_of(4), []
    limit.pushed_back(limit.sent())
    for _ in range(9):
        limit.succeeded(limit.sent())
        grown.append(limit.limit)

    assert [2, 3, 3, 3, 4, 4, 4, 4, 5] == grown


def test_a_push_back_halves():
    """A push-back halves the limit, rounded down, and leaves at least one request."""
    limit, halved = limit_of(11), []
    for _ in range(5):
        limit.pushed_back(limit.sent())
        halved.append(limit.limit)

    assert [5, 2, 1, 1, 1] == halved


def test_a_push_back_ends_a_round():
    """Answers before a push-back do not count towards the next growth."""
    limit = limit_of(8)
    limit.pushed_back(limit.sent())
    for _ in range(3):
        limit.succeeded(limit.sent())
    limit.pushed_back(limit.sent())
    limit.succeeded(limit.sent())

    assert 2 == limit.limit


@given(limits, st.integers(1, 64))
def test_failures_of_one_round_halve_once(start: int, failures: int):
    """Requests in flight together that fail halve the limit once."""
    limit = limit_of(start)
    rounds = [limit.sent() for _ in range(failures)]
    for each in rounds:
        limit.pushed_back(each)

    assert max(1, start // 2) == limit.limit


@given(limits, st.lists(st.booleans(), max_size=64))
def test_what_left_before_a_halving_is_heard_no_more(start: int, answers: list[bool]):
    """Answers to requests from before a halving, good or bad, do not move the new limit."""
    limit = limit_of(start)
    before = limit.sent()
    limit.pushed_back(limit.sent())
    halved = limit.limit
    for good in answers:
        (limit.succeeded if good else limit.pushed_back)(before)

    assert halved == limit.limit


@given(limits, st.none() | limits, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 63)), max_size=300))
def test_a_limit_stays_between_one_and_its_ceiling(ceiling: int, start: int | None, events: list[tuple[int, int]]):
    """After any sequence of answers and refusals, the limit is between one request and the ceiling."""
    limit = AdaptiveLimit(ceiling, start)
    in_flight = [limit.sent()]
    for event, which in events:
        if event == 0 or not in_flight:
            in_flight.append(limit.sent())
            continue
        answered = in_flight.pop(which % len(in_flight))
        (limit.succeeded if event == 1 else limit.pushed_back)(answered)
        assert 1 <= limit.limit <= ceiling


@given(limits, limits)
def test_a_gateway_that_answers_is_used_to_the_full(ceiling: int, start: int):
    """After a push-back the limit grows, by one a round, until it stands at the ceiling."""
    limit = AdaptiveLimit(ceiling, start)
    limit.pushed_back(limit.sent())
    while limit.limit < ceiling:
        before = limit.limit
        for _ in range(before):
            limit.succeeded(limit.sent())
        assert before + 1 == limit.limit
    for _ in range(2 * ceiling):
        limit.succeeded(limit.sent())

    assert ceiling == limit.limit


@given(st.integers(2, 64))
def test_the_limit_settles_around_what_the_gateway_bears(bearable: int):
    """Against a gateway that refuses what is above *bearable*, it stays between half of that and one more."""
    limit, seen = AdaptiveLimit(128, start=1), []
    for _ in range(300):
        rounds = [limit.sent() for _ in range(limit.limit)]
        for number, each in enumerate(rounds):
            (limit.succeeded if number < bearable else limit.pushed_back)(each)
        seen.append(limit.limit)

    assert max(seen[bearable:]) <= bearable + 1
    assert min(seen[bearable:]) >= bearable // 2
