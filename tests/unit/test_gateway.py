"""How fast, how much at once, and how often again: limits, retries and safeguards, with time as an argument."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from email.utils import format_datetime
from itertools import combinations_with_replacement, pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, accepted, message, still_clock, wire_phones
from tests.unit.builders import FORMAT
from webcom_async import (
    AccountLocked,
    AuthenticationError,
    Clock,
    ConfigurationError,
    ConnectionLost,
    GatewayBusy,
    GatewaySilent,
    GatewayUnavailable,
    IdCollision,
    InputError,
    Knowledge,
    Options,
    Outcome,
    OutOfBalance,
    PairingError,
    QuotaExhausted,
    Reason,
    RedirectRefused,
    Reply,
    ReplyError,
    ReplyTimeout,
    RequestRefused,
    RequestTooLarge,
    SendResult,
    Split,
    TlsError,
    UsageError,
    WebcomError,
)
from webcom_async._domain.results import SettledResults
from webcom_async._gateway.limits import Throttle
from webcom_async._gateway.patience import Patience, patience_of
from webcom_async._gateway.policy import (
    conclude,
    halting,
    judge,
    judge_call,
    wait_before_retry,
    worth_retrying,
    worth_waiting,
)
from webcom_async._gateway.request_size import RequestSize
from webcom_async._gateway.retry import retrying
from webcom_async._gateway.safeguards import (
    RepeatedIds,
    RetryQuota,
    Safeguards,
    StoppedMessages,
    SystematicRefusals,
)
from webcom_async._wire.json_api.delivery import BalanceCall

pytestmark = pytest.mark.anyio

ROUNDING = 1e-6  # recipients

rates = st.floats(0.1, 10_000)
bursts = st.integers(1, 1_000)
pauses = st.floats(0, 100)
batches = st.integers(1, 1_000)


def departures(throttle: Throttle, claims: Iterable[tuple[float, int]], now: float = 0.0) -> list[tuple[float, int]]:
    """Return when each of *claims* leaves, with its recipients; a claim is the pause before it and its recipients."""
    came, free, left = now, now, list[tuple[float, int]]()
    for pause, recipients in claims:
        came += pause
        free = max(free, came, throttle.due(recipients, came))
        throttle.claim(recipients, came, free)
        left.append((free, recipients))
    return left


def stretches(left: Sequence[tuple[float, int]]) -> Iterable[tuple[float, int, int]]:
    """Yield the seconds between any two departures, how many left in them, and how many of those at the first."""
    for first, last in combinations_with_replacement(range(len(left)), 2):
        yield left[last][0] - left[first][0], sum(count for _, count in left[first : last + 1]), left[first][1]


# ---------------------------------------------------------------------------- throttle


def waits(throttle: Throttle, *claims: int, now: float = 0.0) -> list[float]:
    """Return how long each of *claims* waits that come at once, one behind the other."""
    return [moment - now for moment, _ in departures(throttle, [(0.0, recipients) for recipients in claims], now)]


def test_a_throttle_needs_no_clock():
    """Half a second of recipients makes the next as many wait half a second."""
    assert [0.0, 0.5, 1.0] == waits(Throttle(rate=100, burst=50), 50, 50, 50)


def test_the_burst_is_a_seconds_worth_unless_said():
    """By default a second's recipients leave at once, or one if the rate is below one a second."""
    assert [0.0, 0.5] == [waits(Throttle(rate=64), recipients)[0] for recipients in (64, 96)]
    assert [0.0, 2.0] == [waits(Throttle(rate=0.5), recipients)[0] for recipients in (1, 2)]


def test_a_pause_earns_one_burst_and_no_more():
    """After a pause of any length, at most the burst leaves at once."""
    throttle = Throttle(rate=10, burst=20)
    waits(throttle, 20)

    assert [0.0, 2.0] == waits(throttle, 20, 20, now=3_600.0)


def test_a_batch_larger_than_the_burst_waits_for_its_last():
    """A batch larger than the burst leaves whole, once burst and time have made room for all of it."""
    assert [3.0, 5.0] == waits(Throttle(rate=10, burst=20), 50, 20)


def test_time_that_passes_is_taken_off_the_wait():
    """A later claim waits less."""
    throttle = Throttle(rate=100, burst=100)
    waits(throttle, 100, now=7.0)

    assert [0.75] == waits(throttle, 100, now=7.25)


def test_waiting_claims_nothing():
    """A recipient that overtakes a waiting batch is due at once, and delays the batch by its own share."""
    throttle = Throttle(rate=10, burst=10)
    waits(throttle, 10)
    before = throttle.due(10, since=0.0)
    throttle.claim(1, since=0.25, now=0.25)

    assert (1.0, 1.1) == (before, pytest.approx(throttle.due(10, since=0.0)))


def test_a_batch_that_leaves_late_is_counted_late():
    """A batch that was due, but had no slot, leaves no credit for a second burst at the moment it leaves."""
    throttle = Throttle(rate=10, burst=10)
    throttle.claim(10, since=0.0, now=5.0)

    assert 6.0 == throttle.due(10, since=5.0)


def test_a_claim_that_was_given_back_delays_no_batch():
    """A batch that is cancelled at the moment it may leave does not delay the next one."""
    throttle = Throttle(rate=10, burst=10)
    waits(throttle, 10)
    throttle.claim(10, since=0.0, now=1.0)
    throttle.release(10)

    assert [0.5] == waits(throttle, 10, now=0.5)


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
    """Departures keep the order of the claims, and end when the rate allows the last of all."""
    left = departures(Throttle(rate, burst), claims)
    claimed = sum(count for _, count in claims)

    assert left == sorted(left, key=lambda departure: departure[0])
    assert left[-1][0] <= sum(pause for pause, _ in claims) + max(0, claimed - burst) / rate + ROUNDING


# ---------------------------------------------------------------------------- retries


class Attempts:
    """A call that fails with *failures*, one each time, then succeeds; it counts its calls."""

    def __init__(self, *failures: BaseException) -> None:
        self.made = 0
        self._failures = list(failures)

    async def __call__(self) -> str:
        """Make one attempt."""
        self.made += 1
        await anyio.lowlevel.checkpoint()
        if self._failures:
            raise self._failures.pop(0)
        return "done"


def noting_clock(waits: list[float], random: Callable[[], float] = lambda: 1.0) -> Clock:
    """Return a clock that notes its sleeps in *waits*, and returns at once."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return still_clock(sleep=sleep, random=random)


def always() -> bool:
    """Allow every repetition."""
    return True


async def test_without_quota_nothing_is_repeated():
    """A spent quota ends the retries before the first wait."""
    attempts, waits = Attempts(ReplyTimeout("the first")), list[float]()

    with pytest.raises(ReplyTimeout, match="the first"):
        await retrying(attempts, 6, lambda: False, Options(), noting_clock(waits))

    assert (1, []) == (attempts.made, waits)


async def test_the_first_success_is_the_answer():
    """Without a failure there is one attempt and no wait."""
    attempts, waits = Attempts(), list[float]()

    assert "done" == await retrying(attempts, 6, always, Options(), noting_clock(waits))
    assert (1, []) == (attempts.made, waits)


async def test_transient_failures_are_retried():
    """Each failure is followed by a longer wait, until an attempt succeeds."""
    attempts, waits = Attempts(ReplyTimeout(), ConnectionLost(), GatewayUnavailable()), list[float]()

    assert "done" == await retrying(attempts, 6, always, Options(), noting_clock(waits))
    assert (4, [0.5, 1.0, 2.0]) == (attempts.made, waits)


@pytest.mark.parametrize("allowed", [1, 2, 6])
async def test_the_last_attempts_own_error_is_raised(allowed: int):
    """After `attempts` requests the last error is raised bare, without a wait after it."""
    last, waits = ReplyTimeout("the last"), list[float]()
    attempts = Attempts(*[ReplyTimeout("earlier")] * (allowed - 1), last)

    with pytest.raises(ReplyTimeout) as failure:
        await retrying(attempts, allowed, always, Options(), noting_clock(waits))

    assert last is failure.value
    assert (allowed, allowed - 1) == (attempts.made, len(waits))


@pytest.mark.parametrize(
    "failure", [AuthenticationError(), TimeoutError("not ours"), ValueError("a bug"), KeyboardInterrupt()]
)
async def test_a_permanent_failure_is_not_retried(failure: BaseException):
    """A refusal, a bug and a foreign exception are raised at once, as the same object."""
    attempts, waits = Attempts(ReplyTimeout(), failure), list[float]()

    with pytest.raises(type(failure)) as raised:
        await retrying(attempts, 6, always, Options(), noting_clock(waits))

    assert failure is raised.value
    assert (2, 1) == (attempts.made, len(waits))


async def test_the_gateways_own_wait_is_waited():
    """A `Retry-After` is obeyed, with the jitter on top."""
    waits = list[float]()
    await retrying(Attempts(GatewayBusy(retry_after=30.0)), 6, always, Options(), noting_clock(waits, lambda: 0.5))

    assert [30.25] == waits


async def test_a_wait_over_the_ceiling_is_not_waited():
    """A `Retry-After` over the ceiling halts the campaign without a retry."""
    failure, attempts, waits = GatewayBusy(retry_after=3600.0), Attempts(), list[float]()
    failure.halts = True
    attempts = Attempts(failure)

    with pytest.raises(GatewayBusy):
        await retrying(attempts, 6, always, Options(), noting_clock(waits))

    assert (1, []) == (attempts.made, waits)


async def test_each_wait_draws_its_own_chance():
    """Every wait draws its own jitter."""
    draws, waits = iter([0.0, 1.0, 0.25]), list[float]()
    await retrying(Attempts(*[ReplyTimeout()] * 3), 6, always, Options(), noting_clock(waits, lambda: next(draws)))

    assert [0.0, 1.0, 0.5] == waits


async def test_cancelling_ends_a_back_off_at_once():
    """A cancelled call neither finishes its wait nor makes another attempt."""
    attempts = Attempts(ReplyTimeout())
    waiting = anyio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retrying, attempts, 6, always, Options(), still_clock(sleep=sleep))
        await waiting.wait()
        tasks.cancel_scope.cancel()

    assert 1 == attempts.made
    assert tasks.cancel_scope.cancelled_caught


async def test_cancelling_an_attempt_is_not_retried():
    """A cancellation inside an attempt passes through, and is not retried."""
    made, in_flight = 0, anyio.Event()

    async def attempt() -> None:
        nonlocal made
        made += 1
        in_flight.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retrying, attempt, 6, always, Options(), still_clock())
        await in_flight.wait()
        tasks.cancel_scope.cancel()

    assert 1 == made


# ---------------------------------------------------------------------------- safeguards


def test_a_quota_bounds_a_dead_gateway_and_spares_a_shaky_one():
    """Retries spend tokens and answers restore half a token each, so half of all requests may be retries."""
    dead, shaky = RetryQuota(10), RetryQuota(10)
    for _ in range(1000):
        assert shaky.spend()
        shaky.refund()
        shaky.refund()

    assert [True] * 10 + [False] * 5 == [dead.spend() for _ in range(15)]


@pytest.mark.parametrize("in_flight", [1, 4, 20, 128])
def test_a_stall_of_every_request_leaves_most_of_a_quota(in_flight: int):
    """Time-outs of all requests in flight at once cost a fifth of the quota at most."""
    quota = RetryQuota(100, in_flight)

    assert [True] * in_flight == [quota.spend_after(ReplyTimeout()) for _ in range(in_flight)]
    assert 79 <= quota.left


def test_only_the_time_of_trying_counts_as_silence():
    """A campaign that sends nothing, as with a slow reader or a low rate, does not wait for the gateway."""
    patience, batch = Patience(10.0, waits=True), object()
    patience.tries(batch, 100.0)
    patience.rests(batch, 103.0)
    patience.tries(batch, 5_000.0)

    assert (7.0, 6.0) == (patience.left(5_000.0), patience.left(5_001.0))
    patience.answered(batch, 5_001.0)
    assert 10.0 == patience.left(6_000.0)


@pytest.mark.parametrize(("limit", "rounds"), [(1, 5), (4, 20), (7, 35), (128, 640)])
def test_silence_is_counted_in_rounds(limit: int, rounds: int):
    """Five rounds of time-outs are a silent gateway, however large a round is; a whole answer ends the count."""
    patience = Patience(math.inf, waits=False)
    for _ in range(rounds - 1):
        patience.unanswered(ReplyTimeout(), limit)
    assert not patience.is_silent
    patience.unanswered(ReplyTimeout(), limit)
    assert patience.is_silent
    patience.answered(object(), 0.0)
    assert not patience.is_silent


def test_a_campaign_begins_without_a_failure():
    """Before the first request nothing counts against the gateway: all of the patience is left."""
    patience = Patience(0.5, waits=True)

    assert (0.5, 0, None, False, False) == (
        patience.left(7.0),
        patience.probes,
        patience.last,
        patience.has_ended,
        patience.waiting,
    )


def test_silence_adds_up_while_any_request_is_open():
    """Silence counts while at least one request is open, and adds up until an answer; then patience is over."""
    patience, first, second = Patience(10.0, waits=True), object(), object()
    patience.tries(first, 0.0)
    patience.tries(second, 1.0)
    patience.rests(first, 2.0)
    patience.rests(second, 3.0)
    patience.tries(first, 100.0)
    patience.rests(first, 104.0)

    assert (7.0, 3.0, False) == (patience.silence(200.0), patience.left(200.0), patience.is_over(200.0))
    patience.tries(second, 200.0)
    assert (0.0, True) == (patience.left(203.0), patience.is_over(203.0))
    assert 0.0 == patience.left(300.0)


def test_a_wait_ends_with_the_patience():
    """A back-off after a request without an answer is no longer than what is left; any other wait is kept."""
    patience, silent, answered = Patience(10.0, waits=True), object(), object()
    patience.tries(silent, 0.0)

    assert [4.0, 2.0, 6.0] == [
        patience.shortened(6.0, silent, 6.0),
        patience.shortened(2.0, silent, 6.0),
        patience.shortened(6.0, answered, 6.0),
    ]


def test_probes_wait_as_long_as_they_back_off():
    """A probe waits for its back-off, for a moment at least, and not past the patience, even if the clock stands."""
    patience, short = Patience(1_000.0, waits=True), Patience(10.0, waits=True)
    patience.begin_to_wait(ReplyTimeout(), 0.0)
    short.begin_to_wait(ReplyTimeout(), 0.0)

    assert [3.0, 0.5, 996.5, 0.0] == [patience.pause(back_off, 0.0) for back_off in (3.0, 0.0, 5_000.0, 1.0)]
    assert [0.01, 2.0] == [short.pause(back_off, 0.0) for back_off in (0.0, 2.0)]
    assert (4, True) == (patience.probes, patience.is_over(0.0))


def test_a_campaign_waits_until_an_answer_is_of_use():
    """While a campaign waits, an answer of no use does not end the count; the end of the wait does, and names it."""
    patience, batch, error = Patience(10.0, waits=True), object(), ReplyTimeout()
    patience.tries(batch, 0.0)
    patience.unanswered(error, 1)
    assert error is patience.last
    patience.begin_to_wait(error, 2.0)
    patience.pause(0.5, 2.0)
    patience.answered(batch, 4.0)

    assert (True, 6.0, 1, error) == (patience.waiting, patience.left(9.0), patience.probes, patience.last)
    assert 4.0 == patience.end_waiting()
    assert (False, 10.0, 0, None) == (patience.waiting, patience.left(9.0), patience.probes, patience.last)


def test_pauses_that_the_clock_does_not_show_are_the_wait():
    """The seconds of a wait are those that its pauses took, if the clock shows fewer."""
    patience = Patience(10.0, waits=True)
    patience.begin_to_wait(ReplyTimeout(), 0.0)
    patience.pause(3.0, 0.0)

    assert 3.0 == patience.end_waiting()


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (GatewayUnavailable("no route"), GatewayUnavailable),
        (ReplyTimeout("no reply"), GatewaySilent),
        (GatewayBusy("the gateway answered 503"), QuotaExhausted),
    ],
)
def test_the_error_that_ends_a_campaign_names_its_last_failure(last: WebcomError, kind: type):
    """A gateway out of reach, one that does not answer, and one that refuses are told apart."""
    patience = Patience(12.5, waits=True)
    error = patience.gave_up(last)

    assert (kind, True) == (type(error), patience.has_ended)
    assert "no answer of use for 12.5 s, " in str(error)
    assert str(error).endswith(f"The last failure: {last}")


def test_a_silent_gateway_ends_a_campaign_that_does_not_wait():
    """The error names the five rounds, and the last failure."""
    patience = Patience(60.0, waits=False)
    error = patience.fell_silent(ReplyTimeout("no reply"))

    assert patience.has_ended
    assert "left 5 rounds of requests" in str(error)
    assert str(error).endswith("The last failure: no reply")


def test_a_single_send_has_no_patience_to_lose():
    """Attempts bound a single send: neither seconds nor rounds of time-outs do."""
    patience, call = Patience.without_limit(), object()
    patience.tries(call, 0.0)
    for _ in range(100):
        patience.unanswered(ReplyTimeout(), 1)

    assert (math.inf, False, False) == (patience.left(1e9), patience.is_silent, patience.waits)


@pytest.mark.parametrize(("given", "seconds", "waits"), [(None, 45.0, False), (100.0, 100.0, True)])
def test_a_campaign_has_the_patience_that_its_client_was_given(given: float | None, seconds: float, waits: bool):
    """Without a patience it is six time-outs, and the campaign does not wait."""
    patience = patience_of(Options(patience=given, timeout=7.5))

    assert (seconds, waits) == (patience.seconds, patience.waits)


def test_a_time_out_costs_a_retry_at_most():
    """With one request in flight, a retry after a time-out costs one request, as after any other error."""
    small, large = RetryQuota(6), RetryQuota(100)
    for quota in (small, large):
        for error in (ReplyTimeout(), ReplyTimeout(), ReplyTimeout(), ConnectionLost("closed"), None):
            assert quota.spend_after(error)

    assert (1, 95) == (small.left, large.left)


def test_only_a_time_out_costs_less():
    """With many requests in flight, a retry after any error but a time-out costs one request."""
    quota = Safeguards(Options(retry_quota=100, in_flight=100)).quota
    for _ in range(9):
        assert quota.spend_after(ReplyTimeout())
    assert 98 == quota.left
    for _ in range(10):
        assert quota.spend_after(ConnectionLost("closed"))
    assert 88 == quota.left


@pytest.mark.parametrize(
    ("policy", "known", "halts"),
    [
        (RepeatedIds.HALT, True, True),
        (RepeatedIds.HALT, False, True),
        (RepeatedIds.HALT_IF_NEW, True, False),
        (RepeatedIds.HALT_IF_NEW, False, True),
        (RepeatedIds.GO_ON, True, False),
        (RepeatedIds.GO_ON, False, False),
    ],
)
def test_a_repeated_id_halts_unless_it_is_known_or_acknowledged(policy: RepeatedIds, known: bool, halts: bool):
    """Every repeat ends a campaign, or only a new one, or none."""
    assert halts is policy.halts(IdCollision(known=known))


@pytest.mark.parametrize(
    ("failure", "waits"),
    [
        (ConnectionLost("closed"), True),
        (ReplyTimeout(), True),
        (GatewayUnavailable("refused"), True),
        (GatewayBusy("the gateway answered 503"), True),
        (GatewayBusy("the gateway answered 503", halts=True), False),
        (OutOfBalance(), False),
        (ConfigurationError("the gateway answered 404"), False),
    ],
)
def test_only_a_gateway_that_is_out_of_service_is_waited_for(failure: WebcomError, waits: bool):
    """A gateway out of reach or busy is waited for; one that asks for too long a wait, or says no, is not."""
    assert waits is worth_waiting(failure)


def test_a_refilled_quota_is_whole():
    """After a wait for the gateway, a campaign has all of its retries again."""
    quota = RetryQuota(2)
    assert [True, True, False, True] == [quota.spend(), quota.spend(), quota.spend(), quota.spent]
    quota.refill()

    assert (2, False) == (quota.left, quota.spent)


# ---------------------------------------------------------------------------- the size of a request


def whole_answers(sizes: RequestSize, most: int, request: int, requests: int) -> list[int]:
    """Return the sizes of *requests* that a gateway gets which answers whole for up to *most* recipients."""
    sent: list[int] = []
    while len(sent) < requests:
        size = request if sizes.most is None else min(request, sizes.most)
        sent.append(size)
        if size <= most:
            sizes.worked(size)
        else:
            sizes.failed(size)
    return sent


def test_the_size_of_whole_answers_is_found_and_kept():
    """Sizes halve until one works; larger ones are tried again, ever more rarely."""
    sent = whole_answers(RequestSize(), 15, 60, 400)

    assert [60, 30, 15, 15, 15, 15, 30, 15] == sent[:8]
    assert len([size for size in sent if size > 15]) < 10


def test_an_accident_shrinks_no_request_for_good():
    """After a few whole answers, a size that failed is tried again, and stays if it works."""
    sizes = RequestSize()
    sizes.failed(64)
    sent = whole_answers(sizes, 500, 64, 10)

    assert [32, 32, 32, 32, 64] == sent[:5]
    assert sizes.most is None


def test_one_failure_of_a_size_that_has_worked_is_an_accident():
    """Only a second failure in a row makes requests smaller, once the size has worked."""
    sizes = RequestSize()
    sizes.worked(64)
    sizes.failed(64)
    assert sizes.most is None
    sizes.failed(64)
    assert 32 == sizes.most


def test_each_growth_that_fails_waits_twice_as_long():
    """Between two tries of a larger request, twice as many are answered whole."""
    sent = whole_answers(RequestSize(), 15, 60, 300)
    tries = [number for number, size in enumerate(sent) if size == 30][1:]

    assert [9, 17, 33, 65, 129] == [after - before for before, after in pairwise(tries)]


def test_only_a_growth_that_fails_waits_longer():
    """A number that worked and then fails is halved; the next try of a larger one comes no later for that."""
    sizes = RequestSize()
    sizes.failed(64)
    whole_answers(sizes, 500, 64, 4)
    sizes.failed(64)  # the growth: now eight answers
    sizes.worked(32)
    sizes.failed(32)
    sizes.failed(32)
    assert 16 == sizes.most

    assert [16] * 8 + [32] == whole_answers(sizes, 500, 64, 9)


def test_each_growth_waits_for_as_many_answers():
    """The second growth comes after as many whole answers as the first."""
    sizes = RequestSize()
    sizes.failed(64)
    sizes.failed(32)

    assert [16] * 4 + [32] * 4 + [64] == whole_answers(sizes, 500, 64, 9)


@pytest.mark.parametrize(("failed", "most"), [(1, 1), (2, 1), (3, 2), (64, 32)])
def test_a_number_that_fails_is_halved(failed: int, most: int):
    """The first failure of a number that never worked halves it, rounded up; as many are sent, and no more."""
    sizes = RequestSize()
    sizes.failed(failed)

    assert most == sizes.most
    assert (False, True) == (sizes.is_too_large(most, 0), sizes.is_too_large(most + 1, 0))


def test_a_doubt_lasts_until_as_many_are_answered():
    """A whole answer for fewer recipients says nothing about a number in doubt; one for as many ends the doubt."""
    smaller, as_large = RequestSize(), RequestSize()
    for sizes, recipients in ((smaller, 10), (as_large, 64)):
        sizes.worked(64)
        sizes.failed(64)
        sizes.worked(recipients)
        sizes.failed(64)

    assert (32, None) == (smaller.most, as_large.most)


def test_a_number_that_failed_twice_has_not_worked():
    """Smaller numbers than the one that failed still count as worked, so one failure of theirs is an accident."""
    sizes = RequestSize()
    sizes.worked(11)
    sizes.failed(11)
    sizes.failed(11)
    assert 6 == sizes.most
    sizes.failed(10)
    assert 6 == sizes.most
    sizes.failed(10)
    assert 5 == sizes.most


def test_a_number_that_failed_is_believed_at_once_the_next_time():
    """A number that has failed for good, is tried again, and fails, is no accident."""
    sizes = RequestSize()
    sizes.worked(64)
    sizes.failed(64)
    sizes.failed(64)
    whole_answers(sizes, 500, 64, 4)
    assert sizes.most is None
    sizes.failed(64)
    assert 32 == sizes.most


def test_a_size_that_is_refused_again_stays_known():
    """A second refusal of one size forgets nothing: it is not sent a third time."""
    sizes = RequestSize()
    sizes.refused(100)
    sizes.worked(2)
    sizes.refused(100)
    sizes.refused(200)

    assert [True, False] == [sizes.is_too_large(2, size) for size in (100, 99)]


@pytest.mark.parametrize("size", [100, 99])
def test_a_size_as_large_as_a_refused_one_is_known_when_a_smaller_one_has_fitted(size: int):
    """What is larger than a refused request is never sent; what is as large, until something smaller is taken."""
    sizes = RequestSize()
    sizes.refused(100)
    before = sizes.is_too_large(2, size), sizes.is_too_large(2, 101), sizes.is_too_large(1, 101)
    sizes.worked(2)

    assert (False, True, False) == before
    assert (size == 100) is sizes.is_too_large(2, size)


@pytest.mark.parametrize(
    "different",
    [
        lambda result: SendResult(result.client_id_sms, result.phone, Outcome.ACCEPTED, "1"),
        lambda result: SendResult(result.client_id_sms, result.phone, Outcome.REJECTED, None, Reason.OTHER, "another"),
    ],
)
def test_one_that_differs_rules_a_systematic_refusal_out(different: Callable[[SendResult], SendResult]):
    """One accepted recipient, or another sentence, shows that the refusals are about recipients."""
    refused = SendResult("1", "79612242243", Outcome.REJECTED, None, Reason.OTHER, "odd")  # type: ignore[arg-type]
    watch = SystematicRefusals()

    assert [None, None, None] == [
        watch.look([refused] * 150),
        watch.look([different(refused)]),
        watch.look([refused] * 500),
    ]


def test_one_that_differs_counts_wherever_it_stands_in_its_batch():
    """A batch that begins with 250 equal refusals and ends with another result is no systematic refusal."""
    refused = SendResult("1", "79612242243", Outcome.REJECTED, None, Reason.OTHER, "odd")  # type: ignore[arg-type]
    taken = SendResult("2", "79612242245", Outcome.ACCEPTED, "1")  # type: ignore[arg-type]

    assert None is SystematicRefusals().look([*[refused] * 250, taken])


def test_a_sender_that_is_refused_once_stops_all_its_texts():
    """An unknown sender is remembered as a sender: a campaign of personal texts does not try each of them."""
    stopped = StoppedMessages()
    refused = SendResult("101", "79612242243", Outcome.REJECTED, None, Reason.UNKNOWN_SENDER, "odd")  # type: ignore[arg-type]
    stopped.look([(message(text="Hello, Anna"), wire_phones(1))], SettledResults([refused]))

    assert [refused, None] == [
        stopped.against(message(text="Hello, Boris")),
        stopped.against(message(text="Hello, Boris", sender="OTHER")),
    ]


# ---------------------------------------------------------------------------- policy


HTML = b"<html><body>it does not matter what stands here</body></html>"


def error(text: str) -> bytes:
    """Return an answer that refuses the request in *text*."""
    return json.dumps({"error": text}).encode()


def judged(
    body: bytes = HTML, status: int = 200, count: int = 2, options: Options | None = None, **headers: str
) -> list[SendResult]:
    """Return what an answer to *count* recipients means; underscores in header names are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(status, named, body)
    return judge(reply, wire_phones(count), 1, options or Options(), NOW, send_format=FORMAT).results


def test_a_repeated_id_sms_is_an_error_unless_the_journal_decides():
    """An answer that gives two recipients one `id_sms` settles none of them, but a journal may look at it first."""
    reply = Reply(200, {}, accepted(7, 7))
    with pytest.raises(IdCollision) as caught:
        judge(reply, wire_phones(2), 3, Options(), NOW, send_format=FORMAT)
    results = judge(reply, wire_phones(2), 3, Options(), NOW, send_format=FORMAT, allow_repeats=True).results

    assert {phone.client_id_sms: "7" for phone in wire_phones(2)} == caught.value.claims
    assert [("7", 3), ("7", 3)] == [(result.id_sms, result.attempts) for result in results]


def failed(*args: object, **kwargs: object) -> WebcomError:
    """Return the error of an answer that settles no recipient."""
    with pytest.raises(WebcomError) as failure:
        judged(*args, **kwargs)  # type: ignore[arg-type]
    return failure.value


def marks(failure: WebcomError) -> tuple[type, Knowledge, bool, bool]:
    """Return what a policy asks of an error."""
    return type(failure), failure.knowledge, failure.transient, failure.halts


def busy(retry_after: str, **options: object) -> GatewayBusy:
    """Return the error of an answer with *retry_after*."""
    failure = failed(status=503, options=Options(**options), retry_after=retry_after)  # type: ignore[arg-type]
    assert isinstance(failure, GatewayBusy)
    return failure


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 413, 429, 500, 503])
def test_results_count_whatever_the_status(status: int):
    """A body with `information` is results under any status: the manual contradicts itself about 200 and 400."""
    assert ["1001", "1002"] == [result.id_sms for result in judged(accepted(1001, 1002), status)]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 500, 503])
@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Incorrect login or password", AuthenticationError),
        ("Неправильный логин или пароль.", AuthenticationError),
        ("Your account is locked", AccountLocked),
        ("Your account is locked Incorrect login or password", AccountLocked),
        ("Account blocked", AccountLocked),
        ("Out of SMS", OutOfBalance),
        ("У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером.", OutOfBalance),
        ("Incorrect JSON document format", RequestRefused),
        ("POST data is missing", RequestRefused),
        ("This destination is closed", RequestRefused),
    ],
)
def test_a_known_sentence_counts_whatever_the_status(status: int, sentence: str, kind: type):
    """A known sentence decides over the status, and is kept word for word."""
    failure = failed(error(sentence), status)

    assert kind is type(failure)
    assert sentence == failure.error  # type: ignore[attr-defined]
    assert not failure.transient


@pytest.mark.parametrize(
    ("sentence", "alone", "among_others"),
    [
        ("Incorrect login or password", Knowledge.REFUSED, Knowledge.REFUSED),
        ("Your account is locked", Knowledge.REFUSED, Knowledge.REFUSED),
        ("Incorrect JSON document format", Knowledge.REFUSED, Knowledge.REFUSED),
        ("POST data is missing", Knowledge.REFUSED, Knowledge.REFUSED),
        ("Out of SMS", Knowledge.REFUSED, Knowledge.POSSIBLY_SENT),
        ("Account blocked", Knowledge.REFUSED, Knowledge.POSSIBLY_SENT),
        ("Something else", Knowledge.REFUSED, Knowledge.POSSIBLY_SENT),
    ],
)
def test_one_sentence_for_several_recipients_names_none(sentence: str, alone: Knowledge, among_others: Knowledge):
    """A sentence settles a request of one recipient; with several, the request is possibly sent."""
    assert (alone, among_others) == (
        failed(error(sentence), count=1).knowledge,
        failed(error(sentence), count=2).knowledge,
    )


@pytest.mark.parametrize("sentence", ["There is no such sender", "Phone number is on the stop list"])
def test_a_sentence_about_a_recipient_settles_the_only_one(sentence: str):
    """A sentence about a recipient refuses a lone recipient; with several, the request is possibly sent."""
    [result] = judged(error(sentence), count=1)

    assert (Outcome.REJECTED, sentence) == (result.outcome, result.error)
    assert Knowledge.POSSIBLY_SENT is failed(error(sentence), count=2).knowledge


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [("No link", Reason.NO_LINK), ("Укажите номер телефона.", Reason.NO_PHONE), ("Something else", Reason.OTHER)],
)
def test_a_refused_request_has_the_sentences_reason(sentence: str, reason: Reason):
    """A refusal that ends no campaign carries its own reason into the results."""
    failure = failed(error(sentence))

    assert (RequestRefused, reason, False) == (type(failure), failure.reason, failure.halts)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_refused_with_both_urls(status: int):
    """A redirect is not followed, as the body holds the password, and the error names both URLs."""
    failure = failed(b"", status, location="https://elsewhere.example/json/")

    assert (RedirectRefused, Knowledge.REFUSED, False, True) == marks(failure)
    assert "https://lk.mysmpp.ru/json" in str(failure)
    assert "'https://elsewhere.example/json/'" in str(failure)


def test_a_redirect_to_nowhere_is_refused_too():
    """A redirect without a location is refused like any other."""
    assert RedirectRefused is type(failed(b"", 302))


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 415, 501])
@pytest.mark.parametrize("body", [HTML, b"", b"null", error("Forbidden")])
def test_a_status_that_speaks_of_the_url_halts(status: int, body: bytes):
    """A status about the URL halts, as a retry would meet the same; the message names URL and status."""
    failure = failed(body, status)

    assert (ConfigurationError, Knowledge.REFUSED, False, True) == marks(failure)
    assert f"https://lk.mysmpp.ru/json answered {status}" in str(failure)


def test_a_foreign_page_is_quoted_in_part():
    """A message shows the beginning of a page, not all of it, and survives bytes that are no text."""
    assert len(str(failed(b"\xff" * 100_000, 404))) < 1_000


def test_a_request_that_is_too_large_says_what_to_lower():
    """A batch that meets 413 is sent in halves, and the error names the setting to lower."""
    failure = failed(status=413)

    assert (RequestTooLarge, Knowledge.REFUSED, False, False) == marks(failure)
    assert Split.AT_ONCE is failure.split
    assert "batch_size or batch_bytes" in str(failure)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("body", [HTML, b"", error("Internal error"), accepted(1001)])
def test_a_failing_gateway_is_asked_again(status: int, body: bytes):
    """A failing gateway may still process the request: it is possibly sent, and retried under the same ids."""
    assert (GatewayBusy, Knowledge.POSSIBLY_SENT, True, False) == marks(failed(body, status))


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_question_that_a_busy_gateway_refuses_is_asked_again(status: int):
    """Unknown words with a busy status refuse a question for now, with the wait that the gateway asks for."""
    reply = Reply(status, {"retry-after": "7"}, error("Internal error"))
    with pytest.raises(GatewayBusy) as failure:
        judge_call(reply, BalanceCall(), "https://lk.mysmpp.ru/balance", Options(), NOW)

    assert (True, 7.0) == (failure.value.transient, failure.value.retry_after)


@pytest.mark.parametrize("status", [200, 202, 204, 400, 402, 418, 422])
@pytest.mark.parametrize("body", [HTML, b"", b"null", b"[]", b"{}"])
def test_an_answer_that_cannot_be_read_is_asked_again(status: int, body: bytes):
    """An answer without a usable body or status leaves the request possibly sent, and is retried."""
    assert (ReplyError, Knowledge.POSSIBLY_SENT, True, False) == marks(failed(body, status))


@pytest.mark.parametrize("status", [200, 202, 204, 400, 402, 418, 422])
@pytest.mark.parametrize("body", [accepted(1001), accepted(1001, 1002, 1003), b'{"information":[{},{}]}'])
def test_an_answer_that_cannot_be_paired_is_asked_again_once(status: int, body: bytes):
    """Entries that fit no recipient are retried once, as one answer may be an accident."""
    failure = failed(body, status)

    assert (PairingError, Knowledge.POSSIBLY_SENT, True, False) == marks(failure)
    assert [True, False, False] == [worth_retrying(failure, attempts) for attempts in (1, 2, 3)]


@given(st.integers(100, 999), st.binary(max_size=50) | st.sampled_from([HTML, accepted(1), error("?")]), st.text())
def test_every_answer_means_something(status: int, body: bytes, header: str):
    """Every answer becomes results for all recipients or a `WebcomError`."""
    reply = Reply(status, {"retry-after": header, "location": header}, body)
    try:
        results = judge(reply, wire_phones(1), 1, Options(), NOW, send_format=FORMAT).results
    except WebcomError as exc:
        knowledge = exc.knowledge
        assert knowledge in (Knowledge.REFUSED, Knowledge.POSSIBLY_SENT)
    else:
        assert ["101"] == [result.client_id_sms for result in results]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        ("Tue, 01 Jan 2030 15:00:30 +0300", 30.0),
        ("Tuesday, 01-Jan-30 12:00:30 GMT", 30.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float):
    """RFC 9110 allows both; a date that has passed asks for no wait."""
    assert seconds == busy(header).retry_after


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "-5",
        "1.5",
        "²",
        "Tue, 01 Jan 2030 12:00:30 -0000",
        "Tue, 99 Jan 2030 12:00:30 GMT",
        "Tue, 01 Jan 99999999999999999999 12:00:30 GMT",
        "Tue, 01 Jan 2030 12:00:30 +99999999999999999999",
        "Tue, 01 Jan 2030 12:00:30 +9999",
    ],
)
def test_nonsense_asks_for_no_wait(header: str):
    """A header that cannot be read counts as missing, and causes no other failure."""
    assert (None, False) == (busy(header).retry_after, busy(header).halts)


@pytest.mark.parametrize("hours", [-30, -1, 0, 1, 30])
@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
def test_a_date_is_measured_by_the_answers_own(hours: int, form: str):
    """A clock of this machine that is wrong by hours does not change how long the gateway asks to wait."""
    theirs = NOW + timedelta(hours=hours)
    until = (theirs + timedelta(seconds=30)).strftime(form)
    failure = failed(status=503, retry_after=until, date=theirs.strftime("%a, %d %b %Y %H:%M:%S GMT"))

    assert isinstance(failure, GatewayBusy)
    assert 30.0 == failure.retry_after


@pytest.mark.parametrize("date", ["", "soon", "0", "Tue, 99 Jan 2030 12:00:30 GMT", "²"])
def test_without_a_sound_date_the_own_clock_counts(date: str):
    """An answer whose `Date` cannot be read is measured by this machine's clock."""
    until = format_datetime(NOW + timedelta(seconds=30), usegmt=True)
    failure = failed(status=503, retry_after=until, date=date)

    assert isinstance(failure, GatewayBusy)
    assert 30.0 == failure.retry_after


def test_a_missing_header_asks_for_no_wait():
    """A busy gateway without `Retry-After` is retried after the usual back-off."""
    assert None is failed(status=429).retry_after  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("header", "halts"), [("60", False), ("61", True), ("9" * 400, True), ("Thu, 31 Dec 2099 23:59:59 GMT", True)]
)
def test_a_long_wait_ends_the_campaign(header: str, halts: bool):
    """A wait up to the ceiling is waited out; a longer one halts the campaign, which can be resumed."""
    failure = busy(header, retry_after_max=60.0)

    assert (halts, not halts) == (failure.halts, worth_retrying(failure, 1))


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (GatewayUnavailable(), True),
        (ConnectionLost(), True),
        (ReplyTimeout(), True),
        (ReplyError(), True),
        (GatewayBusy(), True),
        (AuthenticationError(), False),
        (AccountLocked(), False),
        (OutOfBalance(), False),
        (RequestRefused(), False),
        (ConfigurationError(), False),
        (RedirectRefused(), False),
        (TlsError(), False),
        (UsageError(), False),
        (InputError("wrong"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_our_own_transient_errors_are_retried(failure: BaseException, again: bool):
    """Refusals and foreign exceptions are not retried."""
    assert again is worth_retrying(failure, 1)


@pytest.mark.parametrize(
    ("attempts", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 20.0), (60, 20.0), (5_000, 20.0)]
)
def test_the_bound_doubles_up_to_its_ceiling(attempts: int, bound: float):
    """Full jitter: the wait is drawn evenly between zero and a bound that doubles up to its ceiling."""
    waits = [wait_before_retry(attempts, ReplyTimeout(), Options(), random) for random in (0.0, 0.5, 1.0)]

    assert [0.0, bound / 2, bound] == waits


def test_the_bound_is_an_option():
    """The caller sets the first wait and the ceiling, and zero switches waiting off."""
    options = Options(wait_initial=3.0, wait_max=10.0)

    assert [3.0, 6.0, 10.0] == [wait_before_retry(attempts, None, options, 1.0) for attempts in (1, 2, 3)]
    assert 0.0 == wait_before_retry(3, None, Options(wait_initial=0), 1.0)
    assert 0.0 == wait_before_retry(3, None, Options(wait_max=0), 1.0)


def test_a_named_wait_is_obeyed_in_full():
    """The jitter comes on top of a `Retry-After`, so that many clients do not come back at once."""
    asked = GatewayBusy(retry_after=30.0)

    assert [30.0, 30.5] == [wait_before_retry(2, asked, Options(), random) for random in (0.0, 0.5)]


def result(outcome: Outcome, reason: Reason, words: str = "words") -> SendResult:
    """Return one recipient's result."""
    phone = wire_phones(1)[0]
    return SendResult(phone.client_id_sms, phone.phone, outcome, None, reason, words)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.OUT_OF_SMS, OutOfBalance),
        (Reason.PROVIDER_OUT_OF_SMS, OutOfBalance),
        (Reason.ACCOUNT_BLOCKED, AccountLocked),
        (Reason.ACCOUNT_LOCKED, AccountLocked),
        (Reason.BAD_LOGIN, AuthenticationError),
    ],
)
def test_words_about_the_account_halt_the_campaign(reason: Reason, kind: type):
    """One recipient that is refused because of the account halts the campaign, with the gateway's words."""
    good, bad = result(Outcome.ACCEPTED, Reason.NONE), result(Outcome.NOT_SENT, reason, "the gateway's own")
    halt = halting([good, bad, good])

    assert kind is type(halt)
    assert halt is not None
    assert ("the gateway's own", True) == (halt.error, halt.halts)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "results",
    [
        [],
        [result(Outcome.ACCEPTED, Reason.NONE)],
        [result(Outcome.ACCEPTED, Reason.HELD_FOR_FUNDS)],
        [result(Outcome.REJECTED, Reason.STOP_LIST)],
        [result(Outcome.REJECTED, Reason.UNKNOWN_SENDER)],
        [result(Outcome.REJECTED, Reason.OTHER)],
        [result(Outcome.UNKNOWN, Reason.TIMEOUT)],
        [result(Outcome.NOT_SENT, Reason.DUPLICATE)],
    ],
)
def test_words_about_a_recipient_halt_nothing(results: list[SendResult]):
    """A bad number, a stop list or a duplicate concerns that recipient only."""
    assert None is halting(results)


@pytest.mark.parametrize("failure", [RequestRefused("no"), RequestTooLarge("no")])
def test_only_who_was_alone_in_a_refused_request_is_rejected(failure: WebcomError):
    """A refusal of a lone recipient rejects it; a refusal of several leaves each of them not sent."""
    outcomes = [conclude(failure, possibly_sent=False, alone=alone)[0] for alone in (True, False)]

    assert [Outcome.REJECTED, Outcome.NOT_SENT] == outcomes


@pytest.mark.parametrize(
    ("failure", "possibly_sent", "outcome"),
    [
        (GatewayUnavailable("no"), False, Outcome.NOT_SENT),
        (GatewayUnavailable("no"), True, Outcome.UNKNOWN),
        (ConnectionLost("no"), True, Outcome.UNKNOWN),
        (ReplyTimeout("no"), True, Outcome.UNKNOWN),
        (ReplyError("no"), True, Outcome.UNKNOWN),
        (GatewayBusy("no"), True, Outcome.UNKNOWN),
        (RequestRefused("no", reason=Reason.NO_TEXT), False, Outcome.REJECTED),
        (RequestRefused("no", reason=Reason.NO_TEXT), True, Outcome.UNKNOWN),
        (AuthenticationError("no"), False, Outcome.NOT_SENT),
        (AuthenticationError("no"), True, Outcome.UNKNOWN),
        (OutOfBalance("no"), False, Outcome.NOT_SENT),
        (ConfigurationError("no"), False, Outcome.NOT_SENT),
    ],
)
def test_one_possibly_sent_attempt_decides(failure: WebcomError, possibly_sent: bool, outcome: Outcome):
    """After one possibly sent attempt a recipient is unknown, whatever the last attempt met."""
    assert (outcome, failure.reason, "no") == conclude(failure, possibly_sent=possibly_sent, alone=True)


def test_the_possibly_sent_attempt_gives_the_reason():
    """A recipient without a first answer is unknown for that reason, not because the second request never left."""
    said = conclude(GatewayUnavailable("no way"), possibly_sent=True, alone=True, question=ConnectionLost("gone"))

    assert (Outcome.UNKNOWN, Reason.CONNECTION_LOST, "gone") == said


def test_results_have_the_gateways_own_words():
    """The result shows the gateway's own words, without our sentence around them."""
    *_, words = conclude(RequestRefused(error="No link"), possibly_sent=False, alone=True)

    assert "No link" == words
