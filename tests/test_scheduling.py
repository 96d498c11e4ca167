"""The scheduler: which shards are dispatched, and which again."""

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
    """Return a shard that was dispatched once, and that no worker holds."""
    return msgspec.structs.replace(NEW, **({"generation": 1} | changes))


def due(shard: Shard, last: DispatchState | None = None, state: CampaignState = RUNNING) -> list[tuple[int, int]]:
    """Return what a new scheduler dispatches."""
    latest = {} if last is None else {shard.number: last}
    return [tuple(each) for each in ShardScheduler().due(state, [shard], latest, 0.0)]


@pytest.mark.parametrize("last", [None, *DispatchState])
def test_what_was_never_handed_out_is_due(last: DispatchState | None):
    """A shard that was never dispatched is due as generation 1, whatever an engine says of it."""
    assert [(1, 1)] == due(NEW, last)


@pytest.mark.parametrize("last", [None, *DispatchState])
@pytest.mark.parametrize("leased", [{"until": SOON, "holder": "one"}, {"done": True}])
def test_what_is_held_or_done_is_not(leased: dict[str, object], last: DispatchState | None):
    """A shard that is held or done is not due, whatever state its dispatch has."""
    assert [] == due(shard(**leased), last)


def test_what_ended_without_being_done_is_due_again():
    """A shard is due again if its worker released it, was cancelled, or its engine lost it."""
    assert [(1, 2)] == due(shard(), DispatchState.ENDED) == due(shard())


def test_what_waits_in_a_queue_is_not():
    """A shard that waits in a queue is not due, even if an earlier lease of it has expired."""
    assert [] == due(shard(), DispatchState.WAITING) == due(shard(until=SOON, expired=True), DispatchState.WAITING)


def test_what_a_dead_worker_held_is_due():
    """A dead worker's shard is due, even if its engine believes that it runs."""
    assert [(1, 2)] == due(shard(until=SOON, expired=True), DispatchState.STARTED)


def test_what_was_begun_and_is_never_held_is_due_after_a_while():
    """A dispatch that began and holds no lease is due after a while, as its worker may have died."""
    scheduler = ShardScheduler(patience=60.0)
    looks = [scheduler.due(RUNNING, [shard()], {1: DispatchState.STARTED}, now) for now in (0.0, 59.0, 60.0)]
    held = scheduler.due(RUNNING, [shard(generation=2, until=SOON)], {1: DispatchState.STARTED}, 61.0)
    idle = scheduler.due(RUNNING, [shard(generation=2)], {1: DispatchState.STARTED}, 120.0)

    assert [[], [], [(1, 2)]] == looks
    assert [] == held == idle


@pytest.mark.parametrize("state", sorted(set(CampaignState) - {RUNNING}, key=lambda state: state.value))
def test_nothing_is_due_unless_the_campaign_runs(state: CampaignState):
    """No shard is due while a campaign is paused or has ended."""
    assert [] == due(shard(), DispatchState.ENDED, state)
    assert (state in {CampaignState.CANCELLED, CampaignState.FINISHED}) is ShardScheduler.is_over(state)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(DispatchState)), max_size=6),
    st.integers(0, 3),
)
def test_every_free_shard_is_due_and_no_held_one(seen: list[tuple[bool, bool, bool, DispatchState]], generation: int):
    """After enough time without a change, every shard is due unless it is done, queued or held by a live worker."""
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
