"""Overseers: which shards are handed out, and which again."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webcom_async.scaleout import CampaignState, DispatchState, Shard, ShardScheduler

SOON = datetime(2030, 1, 1, 12, 1, tzinfo=UTC)
NEW = Shard(
    campaign="spring", number=1, recipients=10, generation=0, done=False, holder=None, until=None, expired=False
)
RUNNING = CampaignState.RUNNING


def shard(**changes: object) -> Shard:
    """Return a shard that was handed out once, and is in nobody's hands."""
    return msgspec.structs.replace(NEW, **({"generation": 1} | changes))


def due(shard: Shard, last: DispatchState | None = None, state: CampaignState = RUNNING) -> list[tuple[int, int]]:
    """Return what a scheduler that has just begun hands out."""
    latest = {} if last is None else {shard.number: last}
    return [tuple(each) for each in ShardScheduler().due(state, [shard], latest, 0.0)]


@pytest.mark.parametrize("last", [None, *DispatchState])
def test_what_was_never_handed_out_is_due(last: DispatchState | None):
    """The first time is generation 1, whatever an engine says of it."""
    assert [(1, 1)] == due(NEW, last)


@pytest.mark.parametrize("last", [None, *DispatchState])
@pytest.mark.parametrize("leased", [{"until": SOON, "holder": "one"}, {"done": True}])
def test_what_is_held_or_done_is_not(leased: dict[str, object], last: DispatchState | None):
    """Whatever has become of the hand-out: somebody has it, or had it to the end."""
    assert [] == due(shard(**leased), last)


def test_what_ended_without_being_done_is_due_again():
    """A worker gave it back, was cancelled, or its engine has lost it."""
    assert [(1, 2)] == due(shard(), DispatchState.ENDED) == due(shard())


def test_what_waits_in_a_queue_is_not():
    """It will be taken; also if an earlier lease of it has expired."""
    assert [] == due(shard(), DispatchState.WAITING) == due(shard(until=SOON, expired=True), DispatchState.WAITING)


def test_what_a_dead_worker_held_is_due():
    """Its engine may believe for ever that it is being run."""
    assert [(1, 2)] == due(shard(until=SOON, expired=True), DispatchState.STARTED)


def test_what_was_begun_and_is_never_held_is_due_after_a_while():
    """Its worker has died before it took the lease, or after it gave it back."""
    scheduler = ShardScheduler(patience=60.0)
    looks = [scheduler.due(RUNNING, [shard()], {1: DispatchState.STARTED}, now) for now in (0.0, 59.0, 60.0)]
    held = scheduler.due(RUNNING, [shard(generation=2, until=SOON)], {1: DispatchState.STARTED}, 61.0)
    idle = scheduler.due(RUNNING, [shard(generation=2)], {1: DispatchState.STARTED}, 120.0)

    assert [[], [], [(1, 2)]] == looks
    assert [] == held == idle


@pytest.mark.parametrize("state", sorted(set(CampaignState) - {RUNNING}, key=lambda state: state.value))
def test_nothing_is_due_unless_the_campaign_runs(state: CampaignState):
    """A paused campaign waits; and a scheduler knows when one has ended."""
    assert [] == due(shard(), DispatchState.ENDED, state)
    assert (state in {CampaignState.CANCELLED, CampaignState.FINISHED}) is ShardScheduler.is_over(state)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(DispatchState)), max_size=6),
    st.integers(0, 3),
)
def test_nobody_is_forgotten_and_nobody_is_disturbed(
    seen: list[tuple[bool, bool, bool, DispatchState]], generation: int
):
    """If nothing changes for long enough, all are due that are not done, queued, or held by somebody who lives."""
    shards = [
        shard(number=number, generation=generation, done=done, until=SOON if leased else None, expired=leased and old)
        for number, (done, leased, old, _) in enumerate(seen, 1)
    ]
    latest = {number: last for number, (*_, last) in enumerate(seen, 1)}
    scheduler = ShardScheduler(patience=10.0)
    scheduler.due(RUNNING, shards, latest, 0.0)

    expected = [
        (each.number, generation + 1)
        for each in shards
        if not each.done
        and (each.until is None or each.expired)
        and (generation == 0 or latest[each.number] is not DispatchState.WAITING)
    ]
    assert expected == scheduler.due(RUNNING, shards, latest, 10.0)
