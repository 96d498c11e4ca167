"""Sending: the counts of a campaign, halves of a batch, and the summary of one."""

import gc
from collections.abc import Iterable
from pathlib import Path

import pytest
from anyio import CancelScope
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import message, phones, wire_phones
from tests.unit.builders import FORMAT
from webcom_async import (
    ClientIdSms,
    Knowledge,
    Outcome,
    Phone,
    Reason,
    RequestTrace,
    SendResult,
)
from webcom_async._domain.results import SettledResults
from webcom_async._sending.batch_sender import GracePeriod, SubBatch
from webcom_async._sending.counters import CampaignCounters
from webcom_async.journal import SqliteJournal
from webcom_async.scaleout._batch_summary import RecordingJournal, summarize

pytestmark = pytest.mark.anyio


def results(*outcomes: tuple[Outcome, Reason]) -> list[SendResult]:
    """Return one result per pair of outcome and reason."""
    return [
        SendResult(ClientIdSms(str(101 + number)), Phone(phone), outcome, reason=reason)
        for number, (phone, (outcome, reason)) in enumerate(zip(phones(len(outcomes)), outcomes, strict=True))
    ]


def accepted(count: int) -> list[SendResult]:
    """Return *count* accepted results."""
    return results(*[(Outcome.ACCEPTED, Reason.NONE)] * count)


def settled(batches: Iterable[list[SendResult]]) -> CampaignCounters:
    """Return a tally that has taken and counted *batches*, one second each."""
    counters = CampaignCounters("spring", now=100.0)
    for number, batch in enumerate(batches, 1):
        counters.taken += len(batch)
        counters.settle(SettledResults(batch), now=100.0 + number)
    return counters


def test_a_new_tally_names_every_outcome():
    """Before the first result every outcome is there, at zero."""
    report = CampaignCounters("spring", now=100.0).report()

    assert dict.fromkeys(Outcome, 0) == report.outcomes
    assert ("spring", 0, 0, 0.0, False) == (
        report.campaign,
        report.requests,
        report.retries,
        report.seconds,
        report.complete,
    )


def test_outcomes_and_reasons_are_counted():
    """Each result counts once; reasons are those of recipients that were not accepted, the most frequent first."""
    stopped, lost = (Outcome.REJECTED, Reason.STOP_LIST), (Outcome.UNKNOWN, Reason.TIMEOUT)
    held = (Outcome.ACCEPTED, Reason.HELD_FOR_FUNDS)
    report = settled([accepted(5), results(stopped, lost, held), results(lost, lost)]).report()

    assert {Outcome.ACCEPTED: 6, Outcome.REJECTED: 1, Outcome.UNKNOWN: 3, Outcome.NOT_SENT: 0} == report.outcomes
    assert [(Reason.TIMEOUT, 3), (Reason.STOP_LIST, 1)] == list(report.reasons.items())


@given(st.lists(st.lists(st.tuples(st.sampled_from(Outcome), st.sampled_from(Reason)), max_size=5), max_size=5))
def test_every_recipient_is_counted_once(batches: list[list[tuple[Outcome, Reason]]]):
    """However results arrive, outcomes add up to all of them, and reasons to those not accepted."""
    report = settled(results(*batch) for batch in batches).report()
    everyone = [outcome for batch in batches for outcome, _ in batch]

    assert {outcome: everyone.count(outcome) for outcome in Outcome} == report.outcomes
    assert len(everyone) - report.accepted == sum(report.reasons.values())


def test_time_ends_with_the_last_result():
    """A report that is read late shows the campaign's time; progress shows the time until now."""
    counters = settled([accepted(1), accepted(1)])

    assert 2.0 == counters.report().seconds
    assert 60.0 == counters.progress(now=160.0, limit=4, rate=None).seconds


def test_progress_shows_requests_in_flight():
    """A request is in flight until it ends, whichever way it ends."""
    counters = CampaignCounters("spring", now=0.0)
    counters.taken = 1000
    with counters.request(RequestTrace(), again=False), counters.request(RequestTrace(), again=False):
        progress = counters.progress(now=1.0, limit=4, rate=None)
        assert (1000, 2) == (progress.taken, progress.in_flight)

    with pytest.raises(TimeoutError), counters.request(RequestTrace(), again=True):
        raise TimeoutError

    assert 0 == counters.progress(now=1.0, limit=4, rate=None).in_flight
    assert (3, 1) == (counters.report().requests, counters.report().retries)


def test_traffic_is_what_the_transport_noted():
    """Bytes, connections and answers are those that the transport noted."""
    counters, as_not_sent, sent = CampaignCounters("spring", now=0.0), RequestTrace(), RequestTrace()
    with counters.request(as_not_sent, again=False), counters.request(sent, again=False):
        sent.bytes_sent, sent.bytes_received, as_not_sent.given_up_blocked = 25, 40, True
        sent.connected()

    report = counters.report()
    assert (25, 40, 1, 1) == (
        report.bytes_sent,
        report.bytes_received,
        report.connections,
        report.false_timeouts,
    )


@pytest.mark.parametrize(
    ("exhausted", "taken", "complete"), [(True, 3, True), (False, 3, False), (True, 4, False), (False, 4, False)]
)
def test_complete_means_read_to_the_end_and_all_settled(exhausted: bool, taken: int, complete: bool):
    """A campaign is complete when its source has ended and everything taken from it has a result."""
    counters = settled([accepted(3)])
    counters.exhausted, counters.taken = exhausted, taken

    assert complete is counters.report().complete


def test_a_report_does_not_change_any_more():
    """Counting does not change reports that were returned before."""
    counters = settled([accepted(1)])
    before = counters.report()
    counters.settle(SettledResults(results((Outcome.REJECTED, Reason.STOP_LIST))), now=102.0)

    assert (1, {}) == (before.recipients, before.reasons)
    assert (2, {Reason.STOP_LIST: 1}) == (counters.report().recipients, counters.report().reasons)


# ---------------------------------------------------------------------------- batches


@pytest.mark.parametrize("count", [2, 3, 7, 10])
def test_halves_are_the_whole(count: int):
    """The two halves have every recipient once, in order, in messages as before, with the history of the whole."""
    everyone = wire_phones(count)
    middle = count // 3 + 1
    addressed = [(message("a"), everyone[:middle]), (message("b"), everyone[middle:])]
    whole = SubBatch(addressed, frozenset(), FORMAT)
    whole.attempts, whole.knowledge = 4, Knowledge.POSSIBLY_SENT
    first, second = whole.halves()

    assert everyone == first.phones + second.phones
    assert len(first.phones) == count // 2
    assert {(4, Knowledge.POSSIBLY_SENT)} == {(part.attempts, part.knowledge) for part in (first, second)}


async def test_a_grace_period_lets_go_of_a_request_that_has_ended():
    """What a campaign holds for the shields of its requests does not grow with their number."""
    before = shields()
    grace = GracePeriod()
    for _ in range(100):
        with grace.shield():
            pass

    assert before == shields()
    grace.end_at(0.0)


def shields() -> int:
    """Return the number of cancel scopes that are in memory."""
    gc.collect()
    return sum(isinstance(each, CancelScope) for each in gc.get_objects())


# ---------------------------------------------------------------------------- summaries


def test_a_recipient_in_flight_elsewhere_is_open_once(tmp_path: Path):
    """A phone twice in a batch, and in flight in another one, counts as open once and is left out once."""
    twice = [SendResult(ClientIdSms("101"), Phone("79612242243"), Outcome.NOT_SENT, None, Reason.DUPLICATE)] * 2

    done = summarize(twice, 3, RecordingJournal(SqliteJournal(tmp_path / "spring.journal")))

    assert (1 + 1, twice[1:]) == (done.open, done.left_out)
    assert 3 == done.outcomes[Outcome.NOT_SENT]
