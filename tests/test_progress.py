"""The state of an SMS only moves forward."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async import ConfigurationError, DeliveryReport, DeliveryState, Pace
from webcom_async._domain.delivery_rules import advanced, wait_before_asking

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def said(state: str, minute: int | None = None, **fields: object) -> DeliveryReport:
    """Return a report that an SMS came into *state* at so many minutes past noon."""
    known = {each.value: each for each in DeliveryState}
    moment = None if minute is None else NOON + timedelta(minutes=minute)
    return DeliveryReport("7", known.get(state, DeliveryState.UNKNOWN), state, moment, **fields)  # type: ignore[arg-type]


def after(*reports: DeliveryReport) -> DeliveryReport:
    """Return what is known after *reports*."""
    known = None
    for report in reports:
        known = advanced(known, report)
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("before", "news", "then"),
    [
        (said("send"), said("deliver", 1), "deliver"),
        (said("deliver", 1), said("send"), "deliver"),
        (said("deliver", 1), said("read", 2), "read"),
        (said("read", 2), said("deliver", 3), "read"),
        (said("deliver", 1), said("expired", 2), "deliver"),
        (said("expired", 1), said("deliver", 2), "expired"),
        (said("not_deliver", 1), said("read", 2), "not_deliver"),
        (said("partly_deliver", 1), said("deliver", 2), "deliver"),
        (said("deliver", 1), said("partly_deliver", 2), "deliver"),
        (said("send"), said("link", 1), "link"),
        (said("link", 1), said("send"), "link"),
        (said("link", 2), said("unsubscribe", 1), "link"),
        (said("link", 1), said("unsubscribe", 2), "unsubscribe"),
        (said("link", 9), said("deliver", 1), "deliver"),
    ],
)
def test_a_final_state_never_goes_back(before: DeliveryReport, news: DeliveryReport, then: str):
    """A terminal state never goes back: only a delivered SMS can still be read."""
    assert then == after(before, news).said


def test_a_repeat_says_nothing_new():
    """A repeated report returns the known state, as the same object."""
    known = said("deliver", 1, num_parts=2, price=Decimal(3))

    assert known is advanced(known, said("deliver", 1))
    assert known is advanced(known, said("deliver", 5))


def test_a_price_is_kept_from_wherever_it_came():
    """The price is kept from whichever report brings it, before or after the terminal state."""
    asked = said("send", num_parts=2, price=Decimal(3))

    for known in (after(asked, said("deliver", 1)), after(said("deliver", 1), asked)):
        assert (DeliveryState.DELIVER, Decimal(6)) == (known.state, known.cost)


@pytest.mark.parametrize("order", list(permutations([said("send"), said("deliver", 3), said("read", 4)])))
def test_any_order_ends_in_the_same_state(order: tuple[DeliveryReport, ...]):
    """The same reports end in the same state in any order."""
    assert "read" == after(*order, *order).said


REPORTS = st.builds(
    said,
    st.sampled_from([state.value for state in DeliveryState] + ["link"]),
    st.none() | st.integers(0, 3),
    num_parts=st.none() | st.integers(1, 3),
    price=st.none() | st.sampled_from([Decimal(1), Decimal(2)]),
)


@given(st.lists(REPORTS, min_size=1, max_size=8))
def test_disorder_and_repeats_are_harmless(reports: list[DeliveryReport]):
    """A terminal state stays, and reading the same reports again changes neither the state nor its time."""
    known = None
    was_final = False
    for report in reports:
        known = advanced(known, report)
        assert known.final >= was_final
        was_final = known.final
    assert known is not None
    again = after(known, *(report for report in reports if not report.final))
    assert not known.final or (known.state, known.changed_at) == (again.state, again.changed_at)


def test_the_waits_between_questions_grow_to_a_bound():
    """Each wait is longer than the one before, up to the longest."""
    pace = Pace(first=10, factor=2, longest=100)

    assert [10, 20, 40, 80, 100, 100] == [wait_before_asking(asked, pace) for asked in range(6)]
    assert 100 == wait_before_asking(10_000, pace) == wait_before_asking(10**9, Pace(factor=1e9, longest=100))


@pytest.mark.parametrize(
    "wrong",
    [{"first": -1}, {"factor": 0.5}, {"longest": 0}, {"deadline": float("nan")}, {"look": "1"}, {"first": True}],
)
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, object]):
    """The message names the number that is out of range."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Pace(**wrong)  # type: ignore[arg-type]


def test_no_question_follows_without_a_pause():
    """A first question may leave at once, and a second one waits."""
    waits = [wait_before_asking(asked, Pace(first=0.0)) for asked in range(4)]

    assert [0.0, 2.0, 4.0, 8.0] == waits
