"""Who goes first, and what a caller that gives up leaves behind: slots and turns of the rate."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.builders import Moments, still_clock
from webcom_async import Clock, ConnectionLost, GatewayBusy
from webcom_async._gateway.admission import Admission, Expected, Priority

pytestmark = pytest.mark.anyio

SINGLE, QUESTION, BATCH = Priority.SINGLE, Priority.QUESTION, Priority.BATCH


def admission_of(in_flight: int, rate: float | None = None, clock: Clock | None = None) -> Admission:
    """Return an admission whose changes of the limit are of no interest."""
    return Admission(in_flight, rate, clock or still_clock(), lambda _before, _limit: None)


class Crowd:
    """
    Callers that wait, each in a task of its own.

    Attributes:
        admitted: Their names in the order in which they were admitted.
    """

    def __init__(self, admission: Admission, tasks: Any) -> None:
        self.admitted: list[str] = []
        self._admission = admission
        self._tasks = tasks

    async def come(self, name: str, priority: Priority, recipients: int = 1) -> anyio.CancelScope:
        """Let one more caller wait; it keeps its slot. Return what cancels it."""
        scope = anyio.CancelScope()

        async def wait() -> None:
            with scope:
                await self._admission.acquire(recipients, priority)
                self.admitted.append(name)

        self._tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        return scope


async def test_a_single_send_takes_the_next_free_slot():
    """A single send goes before questions and batches that wait longer."""
    admission = admission_of(1)
    held = await admission.acquire(1, BATCH)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        for name, priority in [("batch", BATCH), ("question", QUESTION), ("first", SINGLE), ("second", SINGLE)]:
            await crowd.come(name, priority)
        for _ in range(4):
            admission.release(held, outcome=False)
            await anyio.wait_all_tasks_blocked()

    assert ["first", "second", "question", "batch"] == crowd.admitted


async def test_single_sends_do_not_starve_a_campaign():
    """After fifteen single sends that went before it, a batch gets a slot."""
    admission = admission_of(1)
    held = await admission.acquire(1, BATCH)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("batch", BATCH, 500)
        for number in range(20):
            await crowd.come(str(number), SINGLE)
        for _ in range(21):
            admission.release(held, outcome=False)
            await anyio.wait_all_tasks_blocked()

    assert 15 == crowd.admitted.index("batch")


async def test_a_batch_that_single_sends_have_delayed_is_delayed_once():
    """After fifteen single sends, a campaign pulls a batch, and the batch takes the next slot."""
    admission, order = admission_of(1), list[str]()
    held = await admission.acquire(1, SINGLE)

    async def work() -> None:
        await admission.room()
        async with admission.slot(1, BATCH, Expected(admission)):
            order.append("batch")

    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        tasks.start_soon(work)
        for number in range(20):
            await crowd.come(str(number), SINGLE)
        for _ in range(20):
            admission.release(held, outcome=False)
            await anyio.wait_all_tasks_blocked()
            order += crowd.admitted[len(order) - order.count("batch") :]

    assert order.index("batch") in (15, 16)


async def test_a_campaign_that_may_pull_no_more_holds_no_single_send_up():
    """While a worker waits for batches that were pulled and have no slot yet, single sends take the free slots."""
    admission, sent = admission_of(2), 0
    expected = Expected(admission)
    held = await admission.acquire(1, SINGLE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(admission.room)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(1.0):
            for _ in range(40):
                async with admission.slot(1, SINGLE):
                    sent += 1
        admission.release(held, outcome=False)
        expected.end()

    assert 40 == sent


async def test_a_batch_that_waits_for_the_rate_delays_no_single_send():
    """A single send leaves with the next recipient's turn, while a batch waits for the turn of its last."""
    moments = Moments()
    admission = admission_of(4, rate=10, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("full burst", BATCH, 10)
        await crowd.come("batch", BATCH, 10)
        await moments.move(0.25)
        before = list(crowd.admitted)
        await crowd.come("single", SINGLE)
        at_once = list(crowd.admitted)
        await moments.move(0.75)
        still = list(crowd.admitted)
        await moments.move(0.25)

    assert ["full burst"] == before
    assert ["full burst", "single"] == at_once == still
    assert ["full burst", "single", "batch"] == crowd.admitted


async def test_a_batch_that_waits_for_the_rate_holds_no_slot():
    """With the only slot free, a question is asked while a batch waits for its turn."""
    moments = Moments()
    admission = admission_of(1, rate=10, clock=moments.clock())
    admission.release(await admission.acquire(10, BATCH), outcome=False)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("batch", BATCH, 10)
        await crowd.come("question", QUESTION, 0)
        tasks.cancel_scope.cancel()

    assert ["question"] == crowd.admitted


@pytest.mark.parametrize("priority", [SINGLE, QUESTION, BATCH])
async def test_a_caller_that_gives_up_leaves_the_queue(priority: Priority):
    """A cancelled caller leaves at once, and the next one takes its place."""
    admission = admission_of(1)
    held = await admission.acquire(1, BATCH)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        given_up = await crowd.come("given up", priority)
        await crowd.come("next", priority)
        given_up.cancel()
        await anyio.wait_all_tasks_blocked()
        admission.release(held, outcome=False)

    assert ["next"] == crowd.admitted
    assert 1 == admission.limit.in_flight


@pytest.mark.parametrize("priority", [SINGLE, BATCH])
async def test_a_caller_that_gives_up_its_turn_releases_it(priority: Priority):
    """A caller that is cancelled while it waits for the rate claims nothing."""
    moments = Moments()
    admission = admission_of(4, rate=10, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("first", BATCH, 10)
        given_up = await crowd.come("given up", priority, 10)
        await crowd.come("next", priority, 10)
        await moments.move(0.5)
        given_up.cancel()
        await anyio.wait_all_tasks_blocked()
        await moments.move(0.5)

    assert ["first", "next"] == crowd.admitted


@pytest.mark.parametrize("priority", [SINGLE, BATCH])
async def test_a_caller_cancelled_as_it_is_admitted_leaves_no_trace(priority: Priority):
    """A slot and a turn that come just when the caller is cancelled go to the next caller."""
    moments = Moments()
    admission = admission_of(1, rate=10, clock=moments.clock())
    held = await admission.acquire(5, BATCH)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        given_up = await crowd.come("given up", priority, 5)
        admission.release(held, outcome=False)
        given_up.cancel()
        await crowd.come("next", priority, 5)

    assert ["next"] == crowd.admitted
    assert 1 == admission.limit.in_flight


async def test_the_slot_of_a_refused_request_rests():
    """A slot whose request was refused at once is free after the time that an answer takes."""
    moments = Moments()
    admission = admission_of(4, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        async with admission.slot(1, SINGLE) as slot:
            await moments.move(2.0)
            slot.finish(None)
        for _ in range(4):
            async with admission.slot(1, SINGLE) as slot:
                slot.finish(GatewayBusy("the gateway answered 503"))
        await crowd.come("next", SINGLE)
        before = list(crowd.admitted)
        await moments.move(2.0)

    assert ([], ["next"]) == (before, crowd.admitted)


async def test_a_caller_that_waits_for_a_resting_slot_takes_the_next_free_one():
    """A caller that sleeps until a resting slot is free leaves at once when another slot is free before."""
    moments = Moments()
    admission = admission_of(2, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        async with admission.slot(1, SINGLE) as slot:
            await moments.move(10.0)
            slot.finish(None)
        held = await admission.acquire(1, SINGLE)
        async with admission.slot(1, SINGLE) as slot:
            slot.finish(GatewayBusy("the gateway answered 503"))
        await crowd.come("next", SINGLE)
        before = list(crowd.admitted)
        admission.release(held, outcome=False)
        await anyio.wait_all_tasks_blocked()

    assert ([], ["next"]) == (before, crowd.admitted)


async def test_a_turn_that_is_given_back_wakes_the_next_caller():
    """A caller that sleeps until its turn of the rate leaves at once when recipients before it do not leave."""
    moments = Moments()
    admission = admission_of(4, rate=10, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        async with admission.slot(10, BATCH) as slot:
            await crowd.come("next", BATCH, 10)
            before = list(crowd.admitted)
            slot.reduce(0)
        await anyio.wait_all_tasks_blocked()

    assert ([], ["next"]) == (before, crowd.admitted)


async def test_an_outcome_that_says_nothing_moves_nothing():
    """A connection that is lost is neither an answer nor a refusal."""
    admission = admission_of(64)
    for _ in range(100):
        async with admission.slot(1, SINGLE) as slot:
            slot.finish(ConnectionLost("closed"))

    assert (4, 0) == (admission.limit.limit, admission.limit.in_flight)


async def test_room_is_what_no_pulled_batch_expects():
    """A worker may pull when a slot is free, less the batches that were pulled and have no slot yet."""
    admission = admission_of(2)
    pulled: list[str] = []

    async def pull(name: str, room: Callable[[], Awaitable[None]] = admission.room) -> None:
        await room()
        pulled.append(name)

    async with anyio.create_task_group() as tasks:
        await pull("first")
        first, second = Expected(admission), Expected(admission)
        tasks.start_soon(pull, "second")
        await anyio.wait_all_tasks_blocked()
        before = list(pulled)
        second.end()
        second.end()
        await anyio.wait_all_tasks_blocked()
        first.end()

    assert (["first"], ["first", "second"], 0) == (before, pulled, admission.expected)


@pytest.mark.parametrize(("rate", "single", "batch", "turns"), [(1e9, 1, 2, 30), (1e9, 5, 10, 30), (1e9, 0, 1, 15)])
async def test_with_a_rate_a_campaigns_share_is_counted_in_recipients(rate: float, single: int, batch: int, turns: int):
    """With a rate, a batch waits for fifteen times its recipients; a request without recipients counts as one."""
    admission = admission_of(1, rate)
    held = await admission.acquire(1, BATCH)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("batch", BATCH, batch)
        for number in range(turns + 3):
            await crowd.come(str(number), SINGLE, single)
        for _ in range(turns + 4):
            admission.release(held, outcome=False)
            await anyio.wait_all_tasks_blocked()

    assert turns == crowd.admitted.index("batch")


async def test_each_batch_waits_for_its_share():
    """After a batch, fifteen more single sends go before the next one, and a worker pulls only after the batches."""
    admission = admission_of(1)
    held = await admission.acquire(1, BATCH)
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("first", BATCH)
        await crowd.come("second", BATCH)
        tasks.start_soon(pull, admission, crowd.admitted)
        for number in range(40):
            await crowd.come(str(number), SINGLE)
        for _ in range(42):
            admission.release(held, outcome=False)
            await anyio.wait_all_tasks_blocked()
        admission.release(held, outcome=False)

    assert [15, 31] == [crowd.admitted.index(name) for name in ("first", "second")]
    assert 31 < crowd.admitted.index("pulled")


async def pull(admission: Admission, pulled: list[str]) -> None:
    """Wait until a batch may be pulled, and note it."""
    await admission.room()
    pulled.append("pulled")


async def test_a_batch_leaves_when_its_last_recipient_is_due():
    """A batch leaves at that moment: no earlier, and no later."""
    moments = Moments()
    admission = admission_of(4, rate=10, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("full burst", BATCH, 10)
        await crowd.come("batch", BATCH, 5)
        await moments.move(0.4)
        early = list(crowd.admitted)
        await moments.move(0.11)

    assert (["full burst"], ["full burst", "batch"]) == (early, crowd.admitted)


async def test_a_question_uses_up_no_rate():
    """A question is asked at once while a single send waits for its turn, and delays no batch."""
    moments = Moments()
    admission = admission_of(4, rate=10, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("large", SINGLE, 30)
        await moments.move(1.0)
        await crowd.come("question", QUESTION, 0)
        at_once = list(crowd.admitted)
        await moments.move(1.01)

    assert (["question"], ["question", "large"]) == (at_once, crowd.admitted)


async def test_a_batch_does_not_overtake_a_single_send_that_waits_for_the_rate():
    """While a large request of single sends waits for its turn, a smaller batch does not take the turn from it."""
    moments = Moments()
    admission = admission_of(4, rate=10, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        await crowd.come("full burst", BATCH, 10)
        await crowd.come("large", SINGLE, 10)
        await crowd.come("batch", BATCH, 1)
        await moments.move(0.5)
        admission.admit()
        await anyio.wait_all_tasks_blocked()
        early = list(crowd.admitted)
        await moments.move(1.0)

    assert (["full burst"], ["full burst", "large", "batch"]) == (early, crowd.admitted)


async def test_a_pull_waits_for_no_turn():
    """Right after a burst there is room for the next batch, which will wait for its own turn."""
    admission = admission_of(4, rate=10)
    await admission.acquire(10, BATCH)
    with anyio.fail_after(5):
        await admission.room()

    assert 1 == admission.limit.in_flight


async def test_a_slot_that_a_batch_expects_is_free_for_a_single_send():
    """Expected batches keep workers from pulling, and no request from leaving."""
    admission = admission_of(1)
    Expected(admission)
    with anyio.fail_after(5):
        await admission.acquire(1, SINGLE)

    assert 1 == admission.limit.in_flight


async def test_recipients_that_do_not_leave_give_back_their_turn():
    """If only three of ten recipients leave, the next ten wait for three."""
    admission = admission_of(4, rate=10)
    async with admission.slot(10, BATCH) as slot:
        slot.reduce(5)
        slot.reduce(3)

    assert admission.throttle is not None
    assert pytest.approx(0.3) == admission.throttle.due(10, since=0.0)


async def test_before_the_first_answer_the_slot_of_a_refused_request_rests_until_one():
    """How long an answer takes is not known then: the slot is free with the first one."""
    admission = admission_of(2)
    other = await admission.acquire(1, SINGLE)
    async with admission.slot(1, SINGLE) as slot:
        slot.finish(GatewayBusy("the gateway answered 503"))
    resting = admission.limit.in_flight
    admission.learn(other, None)

    assert (2, 1) == (resting, admission.limit.in_flight)


async def test_with_no_request_in_flight_no_slot_rests_without_an_end():
    """If there is no answer to wait for, the slots of refused requests are free at once."""
    admission = admission_of(3)
    other = await admission.acquire(1, SINGLE)
    for _ in range(2):
        async with admission.slot(1, SINGLE) as slot:
            slot.finish(GatewayBusy("the gateway answered 503"))
    resting = admission.limit.in_flight
    admission.release(other, outcome=False)

    assert (3, 0) == (resting, admission.limit.in_flight)


async def test_the_only_slot_rests_for_the_time_of_an_answer():
    """With one request at a time, a refusal at once makes the next one wait for as long as an answer takes."""
    moments = Moments()
    admission = admission_of(1, clock=moments.clock())
    async with anyio.create_task_group() as tasks:
        crowd = Crowd(admission, tasks)
        async with admission.slot(1, SINGLE) as slot:
            await moments.move(2.0)
            slot.finish(None)
        async with admission.slot(1, SINGLE) as slot:
            await moments.move(0.5)
            slot.finish(GatewayBusy("the gateway answered 503"))
        await crowd.come("next", SINGLE)
        await moments.move(1.4)
        early = list(crowd.admitted)
        await moments.move(0.2)

    assert ([], ["next"]) == (early, crowd.admitted)


@pytest.mark.parametrize("error", [None, ConnectionLost("closed")])
async def test_a_slot_without_an_outcome_is_free_at_once(error: ConnectionLost | None):
    """A request that was not sent, or whose connection was lost, leaves a slot that the next one takes."""
    moments = Moments()
    admission = admission_of(1, clock=moments.clock())
    async with admission.slot(1, SINGLE) as slot:
        await moments.move(2.0)
        slot.finish(None)
    async with admission.slot(1, SINGLE) as slot:
        if error is not None:
            slot.finish(error)
    admission.release(await admission.acquire(1, SINGLE), outcome=False)

    assert 0 == admission.limit.in_flight


@pytest.mark.parametrize("error", [None, ConnectionLost("closed")])
async def test_requests_without_an_outcome_do_not_count(error: ConnectionLost | None):
    """After a hundred requests without an outcome, refusals reduce the limit as they would have before."""
    admission = admission_of(4)
    for _ in range(100):
        async with admission.slot(1, SINGLE) as slot:
            if error is not None:
                slot.finish(error)
        admission.release(await admission.acquire(1, SINGLE), outcome=False)
    for _ in range(4):
        async with admission.slot(1, SINGLE) as slot:
            slot.finish(GatewayBusy("the gateway answered 503"))

    assert 2 == admission.limit.limit


async def test_a_change_of_the_limit_is_reported_with_both_numbers():
    """A change names the limit before and after; an outcome that changes nothing is not reported."""
    changes: list[tuple[int, int]] = []
    admission = Admission(6, None, still_clock(), lambda before, limit: changes.append((before, limit)))
    requests = [await admission.acquire(1, SINGLE) for _ in range(4)]
    learnt = [
        admission.learn(request, error)
        for request, error in zip(requests, [None, ConnectionLost("closed"), None, None], strict=True)
    ]

    assert [True, False, True, True] == learnt
    assert [(4, 5), (5, 6)] == changes


async def test_a_request_is_known_by_its_moment_and_its_size():
    """The limit compares a request with others of its size, from the moment it left."""
    moments = Moments()
    admission = admission_of(4, clock=moments.clock())
    await moments.move(3.0)
    small, large = await admission.acquire(1, SINGLE), await admission.acquire(500, BATCH)

    assert [3.0, 3.0] == [small.since, large.since]
    assert large.kind > small.kind
