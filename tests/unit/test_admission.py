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
