"""Workers: what they send of a shard, how another one takes it over, and what stops them."""

import multiprocessing
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.builders import NOW, Travel, message, phones, still_clock
from tests.conftest import Connect
from tests.watched import Watched
from webcom_async import (
    ConfigurationError,
    InputError,
    JournalError,
    LeaseLost,
    Outcome,
    OutOfBalance,
    Reason,
    Recipient,
    SendResult,
    StoreUnavailable,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import Account, Fault, Faults, Gateway, serve
from webcom_async.scaleout import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStatus,
    Lease,
    LeaseKeeper,
    ShardEnd,
    ShardOutcome,
    SqliteStore,
    Worker,
    run_batch,
    run_shard,
)

pytestmark = pytest.mark.anyio

SAID = message("Sale!")
CUT = Fault(close=True, processed=True)  # the SMS is sent, and nobody is told


def spring(**changes: object) -> CampaignSettings:
    """Return the settings of a campaign of small batches and shards."""
    return CampaignSettings(**({"campaign": "spring", "message": SAID, "batch_size": 5, "shard_size": 20} | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for campaigns."""
    return tmp_path / "campaigns"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[SqliteStore]:
    """Return a store with a campaign of 40 recipients in two shards."""
    async with SqliteStore(folder) as store:
        await store.plan(spring(), phones(40))
        yield store


async def sent(client: WebcomClient, store: SqliteStore, holder: str = "one", **settings: Any) -> list[ShardOutcome]:
    """Run every shard in turn, as one worker, and return the outcomes."""
    worker = Worker(client, store, holder, **({"clock": still_clock()} | settings))
    return [(await worker.run_shard("spring", shard.number)).ending for shard in await store.shards("spring")]


async def results_of(store: SqliteStore) -> list[SendResult]:
    """Return the campaign's results in the order of phones."""
    return sorted([result async for result in store.results("spring")], key=lambda result: result.phone)


async def everyone_got_one(store: SqliteStore, gateway: Gateway, count: int = 40) -> CampaignStatus:
    """Compare the ledger, the journal and the standing: one SMS and one result for each."""
    results = await results_of(store)
    standing = await store.status("spring")

    assert list(phones(count)) == [result.phone for result in results]
    assert {Outcome.ACCEPTED} == {result.outcome for result in results}
    assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in results}
    assert count == len(gateway.ledger) == standing.outcomes[Outcome.ACCEPTED]
    assert (CampaignState.FINISHED, 0) == (standing.state, standing.open)
    return standing


def held(gateway: Gateway, processed: bool = True) -> tuple[anyio.Event, anyio.Event]:
    """Hold the next request, processed or not, and return its events: arrived, and the one that releases it."""
    arrived, until = anyio.Event(), anyio.Event()
    gateway.faults.script(Fault(arrived=arrived, until=until, processed=processed))
    return arrived, until


# ---------------------------------------------------------------------------- all is well


async def test_a_campaign_is_sent_shard_by_shard(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """Every recipient gets one SMS and one result, and the last shard finishes the campaign."""
    async with connect(webcom_gateway) as client:
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    standing = await everyone_got_one(store, webcom_gateway)
    assert [("one", [], 40)] == [(each.name, each.shards, each.done) for each in standing.workers]


async def test_the_last_shard_says_that_the_campaign_is_finished(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """The last shard's end says that the campaign is finished, and a done shard makes no request when run again."""
    async with connect(webcom_gateway) as client:
        ends = [await run_shard(client, store, "spring", number, holder="one") for number in (1, 2)]
        requests = webcom_gateway.requests
        again = await run_shard(client, store, "spring", 2, holder="two")

    assert [False, True] == [end.finished for end in ends]
    assert ShardEnd(campaign="spring", shard=2, ending=ShardOutcome.DONE) == again
    assert requests == webcom_gateway.requests


async def test_workers_send_at_once(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """Two workers share a campaign, a shard each."""
    async with connect(webcom_gateway) as client:
        async with anyio.create_task_group() as tasks:
            for number, name in ((1, "one"), (2, "two")):
                tasks.start_soon(Worker(client, store, name).run_shard, "spring", number)

    standing = await everyone_got_one(store, webcom_gateway)
    assert [("one", 20), ("two", 20)] == [(each.name, each.done) for each in standing.workers]


async def test_batches_are_sent_several_at_once(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """A worker has as many batches in flight as the client allows."""
    gates = [held(webcom_gateway) for _ in range(3)]
    async with connect(webcom_gateway, in_flight=3) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Worker(client, store, "one").run_shard, "spring", 1)
            for arrived, _ in gates:
                await arrived.wait()
            for _, until in gates:
                until.set()
        await sent(client, store)

    await everyone_got_one(store, webcom_gateway)


async def test_a_recipient_that_cannot_be_sent_to_has_a_result(connect: Connect, webcom_gateway: Gateway, folder: Path):
    """Bad phones, duplicates and late recipients have results, and do not keep the campaign from finishing."""
    late = Recipient("79612242250", validity_period=NOW)
    people = ["79612242243", "nonsense", "+7 961 224 22 43", late, "79612242244", Recipient("79612242245", 17)]
    people += [Recipient("79612242246", 17)]
    async with SqliteStore(folder) as store, connect(webcom_gateway) as client:
        await store.plan(spring(batch_size=10), people)
        assert [ShardOutcome.DONE] == await sent(client, store)
        results = [result async for result in store.results("spring")]
        standing = await store.status("spring")

    assert len(people) == len(results) == sum(standing.outcomes.values())
    assert (3, 4, 0) == (standing.outcomes[Outcome.ACCEPTED], standing.outcomes[Outcome.NOT_SENT], standing.open)
    assert {Reason.NONE: 3, Reason.BAD_PHONE: 1, Reason.DUPLICATE: 2, Reason.BAD_TIME: 1} == {
        reason: sum(result.reason is reason for result in results) for reason in {result.reason for result in results}
    }
    assert 3 == len(webcom_gateway.ledger)


async def test_a_phone_in_two_batches_gets_one_sms(connect: Connect, webcom_gateway: Gateway, folder: Path):
    """A phone that occurs in several batches gets one SMS, and leaves no recipient open."""
    people = [*phones(7), *phones(7), *phones(7)]
    async with SqliteStore(folder) as store, connect(webcom_gateway, in_flight=5) as client:
        await store.plan(spring(), people)
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        results = await results_of(store)
        standing = await store.status("spring")

    assert list(phones(7)) == [result.phone for result in results if result.outcome is Outcome.ACCEPTED]
    assert (CampaignState.FINISHED, 0) == (standing.state, standing.open)
    assert 7 == len(webcom_gateway.ledger)


# ---------------------------------------------------------------------------- the gateway is not


async def test_an_open_recipient_is_sent_again_in_further_passes(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """The next pass gets an answer that was lost, under the same id."""
    webcom_gateway.faults.script(*[CUT] * 3)
    async with connect(webcom_gateway, attempts=1, in_flight=1) as client:
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    await everyone_got_one(store, webcom_gateway)
    # A batch and its halves fail, then seven batches leave, then the first one again.
    assert (3 + 7 + 1, 5 + 5) == (webcom_gateway.requests, webcom_gateway.ledger.repeats)


async def test_a_recipient_open_after_the_last_pass_waits_for_a_resume(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """The campaign finishes with a count of open recipients, and sends to them again when it is resumed."""
    webcom_gateway.faults.sometimes(1.0, CUT)
    async with connect(webcom_gateway, attempts=1, retry_quota=1_000) as client:
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        finished = await store.status("spring")
        webcom_gateway.faults = Faults()
        resumed = await store.change_state("spring", CampaignState.RUNNING)
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    assert (CampaignState.FINISHED, 40, 40) == (finished.state, finished.open, finished.outcomes[Outcome.UNKNOWN])
    assert (CampaignState.RUNNING, 0) == (resumed.state, resumed.shards_done)
    await everyone_got_one(store, webcom_gateway)


async def test_an_empty_account_halts_the_campaign(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """An empty account stops every worker with its reason, and after a resume the rest is sent."""
    webcom_gateway.accounts[0].balance = 12
    async with connect(webcom_gateway, in_flight=1) as client:
        first = await Worker(client, store, "one").run_shard("spring", 1)
        second = await Worker(client, store, "two").run_shard("spring", 2)
        halted = await store.status("spring")
        webcom_gateway.accounts[0].balance = None
        await store.change_state("spring", CampaignState.RUNNING)
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    assert (ShardOutcome.STOPPED, ShardOutcome.STOPPED) == (first.ending, second.ending)
    assert all("Out of SMS" in words for words in (first.why, second.why, halted.why))
    assert (CampaignState.HALTED, 12) == (halted.state, halted.outcomes[Outcome.ACCEPTED])
    assert [None, None] == [shard.until for shard in await store.shards("spring")]
    await everyone_got_one(store, webcom_gateway)


async def test_a_paused_campaign_is_not_halted(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """A paused campaign stays paused if a batch that was in flight fails."""
    webcom_gateway.accounts[0].locked = True
    arrived, until = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=until))
    ends: list[ShardOutcome] = []

    async def send(client: WebcomClient) -> None:
        ends.append((await run_shard(client, store, "spring", 1, holder="one")).ending)

    async with connect(webcom_gateway, in_flight=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(send, client)
        await arrived.wait()
        await store.change_state("spring", CampaignState.PAUSED, "lunch")
        until.set()
    paused = await store.status("spring")

    assert ([ShardOutcome.STOPPED], CampaignState.PAUSED, "lunch") == (ends, paused.state, paused.why)


async def test_a_dead_gateway_does_not_cost_every_shard_its_retries(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """A worker has one retry quota, not one per batch."""
    webcom_gateway.faults.sometimes(1.0, Fault(status=503))
    async with connect(webcom_gateway, in_flight=1, attempts=2, retry_quota=3) as client:
        assert [ShardOutcome.STOPPED] * 2 == await sent(client, store)
    halted = await store.status("spring")

    assert CampaignState.HALTED is halted.state
    assert "failed too often" in halted.why
    assert 8 >= webcom_gateway.requests


class SharedFolder(SqliteStore):
    """A folder that claims to be shared with other hosts."""

    shared = True


async def test_a_host_without_a_network_halts_no_other_host(
    connect: Connect, connect_to: Connect, webcom_gateway: Gateway, folder: Path, unused_port: int
):
    """A host without a network releases its shard before it waits, and the other hosts send everything."""
    waits: list[tuple[float, bool]] = []

    async def note(seconds: float) -> None:
        waits.append((seconds, (await store.shards("spring"))[0].until is None))

    async with SharedFolder(folder) as store, connect_to(f"http://127.0.0.1:{unused_port}", attempts=2) as cut_off:
        await store.plan(spring(), phones(40))
        worker = Worker(cut_off, store, "cut off", lease_seconds=30, clock=still_clock(sleep=note))
        end = await worker.run_shard("spring", 1)
        state = (await store.status("spring")).state
        async with connect(webcom_gateway) as client:
            assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        await everyone_got_one(store, webcom_gateway)

    assert (ShardOutcome.UNREACHED, CampaignState.RUNNING) == (end.ending, state)
    assert "no connection" in end.why.lower()
    assert (30, True) == waits[-1]


async def test_a_shard_that_gets_no_answer_is_given_back(connect: Connect, folder: Path):
    """A worker whose patience is over gives the shard back, waits, and takes it again later; nobody gets two SMS."""
    gateway, waits = Gateway(), list[float]()
    gateway.faults.sometimes(1.0, Fault(close=True, processed=True))

    async def note(seconds: float) -> None:
        waits.append(seconds)

    async with SharedFolder(folder) as store, connect(gateway, patience=60.0) as client:
        await store.plan(spring(), phones(40))
        worker = Worker(client, store, "one", lease_seconds=30, clock=still_clock(sleep=note))
        end = await worker.run_shard("spring", 1)
        state = (await store.status("spring")).state
        gateway.faults = Faults()
        ends = [(await worker.run_shard("spring", shard)).ending for shard in (1, 2)]
        await everyone_got_one(store, gateway)

    assert (ShardOutcome.UNREACHED, CampaignState.RUNNING) == (end.ending, state)
    assert "patience" in end.why
    assert 30 in waits
    assert [ShardOutcome.DONE] * 2 == ends


async def test_a_gateway_that_the_only_host_does_not_reach_halts_the_campaign(
    connect_to: Connect, store: SqliteStore, unused_port: int
):
    """The only host halts the campaign if it cannot reach the gateway, and says why."""
    async with connect_to(f"http://127.0.0.1:{unused_port}", attempts=2) as cut_off:
        end = await run_shard(cut_off, store, "spring", 1, holder="one")
    halted = await store.status("spring")

    assert (ShardOutcome.STOPPED, CampaignState.HALTED) == (end.ending, halted.state)
    assert end.why == halted.why


async def test_a_worker_goes_on_when_what_halted_it_is_cleared_up(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """A resumed campaign gives the worker its full retry quota."""
    webcom_gateway.faults.sometimes(1.0, Fault(status=503))
    async with connect(webcom_gateway, in_flight=1, attempts=2, retry_quota=1) as client:
        worker = Worker(client, store, "one", clock=still_clock())
        halted = await worker.run_shard("spring", 1)
        webcom_gateway.faults = Faults()
        webcom_gateway.faults.script(Fault(status=503))
        await store.change_state("spring", CampaignState.RUNNING)
        ends = [await worker.run_shard("spring", shard) for shard in (1, 2)]

    assert [ShardOutcome.STOPPED, ShardOutcome.DONE, ShardOutcome.DONE] == [end.ending for end in (halted, *ends)]
    await everyone_got_one(store, webcom_gateway)


async def test_a_refusal_of_all_recipients_is_noticed_over_batches(
    connect: Connect, webcom_gateway: Gateway, folder: Path
):
    """An unknown refusal of every recipient from the start halts the campaign after a few batches."""
    refusal = b'{"information":[' + b",".join([b'{"error":"a new rule"}'] * 50) + b"]}"
    webcom_gateway.faults.sometimes(1.0, Fault(status=200, body=refusal))
    async with SqliteStore(folder) as store, connect(webcom_gateway, in_flight=1) as client:
        await store.plan(spring(batch_size=50, shard_size=100), phones(1_000))
        assert [ShardOutcome.DONE, *[ShardOutcome.STOPPED] * 9] == await sent(client, store)
        halted = await store.status("spring")

    assert (CampaignState.HALTED, 4) == (halted.state, webcom_gateway.requests)
    assert "a new rule" in halted.why


async def test_a_refused_sender_is_tried_once(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """A sender that the gateway refuses is not sent batch after batch."""
    webcom_gateway.accounts[0].senders = set()
    async with connect(webcom_gateway, in_flight=1) as client:
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    assert 1 == webcom_gateway.requests
    assert 5 == (await store.status("spring")).outcomes[Outcome.REJECTED]


# ---------------------------------------------------------------------------- it is stopped


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.CANCELLED])
async def test_what_is_stopped_in_the_middle_stops_at_once(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore, folder: Path, state: CampaignState
):
    """Once another process stops a campaign, requests in flight are settled, no other leaves, and workers say why."""
    arrived, until = held(webcom_gateway)
    ends: list[ShardEnd] = []
    async with connect(webcom_gateway, in_flight=1) as client, SqliteStore(folder) as other:

        async def run() -> None:
            ends.append(await Worker(client, store, "one").run_shard("spring", 1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await arrived.wait()
            await other.change_state("spring", state, "by hand")
            until.set()
        meanwhile = len(webcom_gateway.ledger)
        if state is CampaignState.PAUSED:
            await other.change_state("spring", CampaignState.RUNNING)
            assert [ShardOutcome.DONE] * 2 == await sent(client, store)
            await everyone_got_one(store, webcom_gateway)

    assert [(ShardOutcome.STOPPED, f"campaign 'spring' is {state.value}: by hand")] == [
        (end.ending, end.why) for end in ends
    ]
    assert 5 == meanwhile == len([each for each in await results_of(store) if each.id_sms][:5])
    assert [None, None] == [shard.until for shard in await store.shards("spring")]


@pytest.mark.parametrize("turns", range(0, 60, 6))
async def test_a_worker_that_is_cancelled_gives_its_shard_back(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore, turns: int
):
    """A worker cancelled at any step releases its shard at once, and every recipient gets one SMS."""
    async with connect(webcom_gateway, in_flight=2, grace=0.05) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Worker(client, store, "one").run_shard, "spring", 1)
            for _ in range(turns):
                await checkpoint()
            tasks.cancel_scope.cancel()
        free = [shard.until for shard in await store.shards("spring")]
        assert [ShardOutcome.DONE] * 2 == await sent(client, store, "two")

    assert [None, None] == free
    await everyone_got_one(store, webcom_gateway)


async def test_answers_that_arrive_while_a_worker_leaves_are_counted(connect: Connect, store: SqliteStore):
    """A leaving worker's last requests get their grace, and the campaign's counts match the gateway's."""
    arrived, answer = anyio.Event(), anyio.Event()
    gateway = Gateway()
    gateway.faults.script(Fault(arrived=arrived, until=answer))
    async with connect(gateway, in_flight=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(Worker(client, store, "one").run_shard, "spring", 1)
        await arrived.wait()
        tasks.cancel_scope.cancel()
        answer.set()

    standing = await store.status("spring")
    assert 0 < len(gateway.ledger) == standing.outcomes[Outcome.ACCEPTED]


# ---------------------------------------------------------------------------- one worker at a time


async def test_a_shard_that_is_held_is_left_alone(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """A worker that runs a held shard learns its holder, and makes no request."""
    lease = await store.acquire("spring", 1, "another host", 60.0)
    async with connect(webcom_gateway) as client:
        end = await run_shard(client, store, "spring", 1, holder="one")

    assert (ShardOutcome.HELD, "another host has it", 0) == (end.ending, end.why, webcom_gateway.requests)
    assert lease is not None
    assert await store.renew(lease)


async def test_a_worker_does_not_take_a_shard_from_itself(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """A worker runs a task once that an engine delivers to it twice."""
    arrived, until = held(webcom_gateway)
    async with connect(webcom_gateway, in_flight=1) as client:
        worker = Worker(client, store, "one")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run_shard, "spring", 1)
            await arrived.wait()
            second = await worker.run_shard("spring", 1)
            until.set()
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    assert ShardOutcome.HELD is second.ending
    await everyone_got_one(store, webcom_gateway)


@pytest.mark.parametrize("processed", [True, False])
async def test_a_woken_worker_sends_nothing_more(
    connect: Connect, webcom_gateway: Gateway, folder: Path, *, processed: bool
):
    """A worker that wakes after its lease ran out writes the answer that it gets, and ends."""
    travel = Travel()
    arrived, until = held(webcom_gateway, processed)
    ends: list[ShardEnd] = []
    async with (
        SqliteStore(folder, clock=travel.clock()) as store,
        connect(webcom_gateway, in_flight=1) as asleep,
        connect(webcom_gateway) as awake,
    ):
        await store.plan(spring(), phones(40))

        async def sleep() -> None:
            ends.append(await Worker(asleep, store, "asleep").run_shard("spring", 1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await arrived.wait()
            travel.seconds += 120
            assert [ShardOutcome.DONE] * 2 == await sent(awake, store, "awake")
            before = webcom_gateway.requests
            until.set()
        await everyone_got_one(store, webcom_gateway)

    assert [ShardOutcome.LOST] == [end.ending for end in ends]
    assert before == webcom_gateway.requests


class Deaf(SqliteStore):
    """A store that answers no heartbeat once a request has arrived at the gateway."""

    def __init__(self, folder: Path, arrived: anyio.Event) -> None:
        super().__init__(folder)
        self.arrived = arrived
        self.unheard = 0

    async def renew(self, lease: Lease) -> bool:
        """Renew until then."""
        if self.arrived.is_set():
            self.unheard += 1
            raise StoreUnavailable
        return await super().renew(lease)


async def test_a_worker_that_cannot_renew_stops_by_itself(connect: Connect, webcom_gateway: Gateway, folder: Path):
    """A worker that cannot renew its lease stops by its own clock, says so, and gives up requests in flight."""
    arrived, go_on = held(webcom_gateway)
    async with (
        Deaf(folder, arrived) as store,
        connect(webcom_gateway, in_flight=1, grace=0.0) as client,
    ):
        await store.plan(spring(), phones(40))
        end = await Worker(client, store, "one", lease_seconds=1.0).run_shard("spring", 1)
        assert (ShardOutcome.LOST, "the lease could not be renewed for 1 s") == (end.ending, end.why)
        assert 0 < store.unheard
    go_on.set()
    async with SqliteStore(folder) as store, connect(webcom_gateway) as client:
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        await everyone_got_one(store, webcom_gateway)


class Heard(SqliteStore):
    """A store whose clock gains half a second per heartbeat, and that sets an event after four of them."""

    def __init__(self, folder: Path) -> None:
        self.travel = Travel()
        super().__init__(folder, clock=self.travel.clock())
        self.heard = anyio.Event()

    async def renew(self, lease: Lease) -> bool:
        """Let time pass, and renew."""
        self.travel.seconds += 0.5
        if self.travel.seconds >= 2:
            self.heard.set()
        return await super().renew(lease)


async def test_a_lease_is_renewed_while_the_block_lasts(folder: Path):
    """A block holds its lease long after the lease's seconds."""
    async with Heard(folder) as store:
        await store.plan(spring(), phones(40))
        lease = await store.acquire("spring", 1, "one", 0.9)
        assert lease is not None
        async with LeaseKeeper(store, lease):
            await store.heard.wait()
            [shard, _] = await store.shards("spring")
            assert await store.acquire("spring", 1, "two", 60.0) is None

    assert not shard.expired


async def test_a_block_ends_when_its_lease_is_taken(store: SqliteStore):
    """The next heartbeat after a takeover cancels the block."""
    lease = await store.acquire("spring", 1, "one", 1.5)
    assert lease is not None
    with pytest.raises(LeaseLost, match="taken the shard over"):
        async with LeaseKeeper(store, lease):
            await store.acquire("spring", 1, "one", 60.0)
            await anyio.sleep_forever()
    with pytest.raises(LeaseLost):
        async with LeaseKeeper(store, lease):
            raise AssertionError("never entered")


@pytest.mark.parametrize("exc", [ValueError, OutOfBalance])
async def test_a_blocks_own_error_comes_out_bare(store: SqliteStore, exc: type[Exception]):
    """An exception in a block that holds a lease is raised unchanged."""
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None

    with pytest.raises(exc):
        async with LeaseKeeper(store, lease):
            raise exc


# ---------------------------------------------------------------------------- a batch by itself


async def test_a_batch_is_sent_and_noted(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """An engine can send batch by batch, and a second call sends no second SMS."""
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None
    ref = BatchRef("spring", 1, 2)
    async with connect(webcom_gateway) as client, LeaseKeeper(store, lease):
        first = await run_batch(client, store, lease, ref)
        again = await run_batch(client, store, lease, ref)

    assert first == again
    assert (5, 0, []) == (first.outcomes[Outcome.ACCEPTED], first.open, first.left_out)
    assert [1, 3, 4] == [ref.batch for ref in await store.open_batches("spring", 1)]
    assert (5, 1) == (len(webcom_gateway.ledger), webcom_gateway.requests)


async def test_a_batch_without_a_lease_does_not_leave(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """A batch without a lease is refused by the store before anything is sent."""
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None
    await store.acquire("spring", 1, "one", 60.0)
    async with connect(webcom_gateway) as client:
        with pytest.raises(LeaseLost):
            await run_batch(client, store, lease, BatchRef("spring", 1, 1))

    assert 0 == webcom_gateway.requests


async def test_a_failure_that_ends_a_batch_loses_nothing_of_it(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """A failure that ends a batch keeps the results so far, and leaves the rest open."""
    webcom_gateway.accounts[0].balance = 3
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None
    async with connect(webcom_gateway, batch_size=1, in_flight=1) as client:
        with pytest.raises(OutOfBalance):
            await run_batch(client, store, lease, BatchRef("spring", 1, 1))
    standing = await store.status("spring")

    assert (3, 2, 2) == (standing.outcomes[Outcome.ACCEPTED], standing.outcomes[Outcome.NOT_SENT], standing.open)


# ---------------------------------------------------------------------------- the rate


async def test_recipients_leave_at_the_campaigns_rate(connect: Connect, webcom_gateway: Gateway, folder: Path):
    """After the first second's worth, recipients leave at the planned rate, over all shards."""
    travel = Travel()
    async with SqliteStore(folder, clock=travel.clock()) as store, connect(webcom_gateway) as client:
        await store.plan(spring(rate=10.0), phones(200))
        await sent(client, store, clock=travel.clock())
        await everyone_got_one(store, webcom_gateway, 200)

    assert 19.0 == pytest.approx(travel.seconds)


# ---------------------------------------------------------------------------- the store is away


class Away(SqliteStore):
    """A store whose every second call of each kind fails as away."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.calls: Counter[str] = Counter()

    def _come_and_go(self, name: str) -> None:
        self.calls[name] += 1
        if self.calls[name] % 2:
            raise StoreUnavailable("the server is restarted")

    async def settings(self, campaign: str) -> CampaignSettings:
        """Be away, or return them."""
        self._come_and_go("settings")
        return await super().settings(campaign)

    async def acquire(self, campaign: str, shard: int, holder: str, seconds: float) -> Lease | None:
        """Be away, or give a lease."""
        self._come_and_go("take")
        return await super().acquire(campaign, shard, holder, seconds)

    async def open_batches(self, campaign: str, shard: int) -> list[BatchRef]:
        """Be away, or return them."""
        self._come_and_go("open_batches")
        return await super().open_batches(campaign, shard)

    async def batch_done(self, lease: Lease, ref: BatchRef, done: BatchDone) -> None:
        """Be away, or note it."""
        self._come_and_go("batch_done")
        await super().batch_done(lease, ref, done)

    async def shard_done(self, lease: Lease) -> bool:
        """Be away, or note it."""
        self._come_and_go("shard_done")
        return await super().shard_done(lease)


async def test_a_store_that_is_away_is_waited_for(connect: Connect, webcom_gateway: Gateway, folder: Path):
    """A store that is away halts no campaign, and causes no second SMS."""
    async with Away(folder) as store, connect(webcom_gateway, in_flight=1) as client:
        await store.plan(spring(), phones(40))
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        await everyone_got_one(store, webcom_gateway)

    assert {"settings": 4, "take": 4, "open_batches": 4, "batch_done": 16, "shard_done": 4} == store.calls


# ---------------------------------------------------------------------------- set up wrongly


async def test_a_worker_of_other_ids_sends_nothing(connect: Connect, webcom_gateway: Gateway, store: SqliteStore):
    """A worker with another `id_bits` would send second SMS, so it is refused, and the campaign goes on."""
    async with connect(webcom_gateway, id_bits=53) as client:
        with pytest.raises(ConfigurationError, match="planned with id_bits=63"):
            await run_shard(client, store, "spring", 1, holder="one")

    assert CampaignState.RUNNING is (await store.status("spring")).state
    assert 0 == webcom_gateway.requests


async def test_a_worker_of_another_account_sends_nothing(connect: Connect, store: SqliteStore):
    """A worker of another account is refused, unless the caller declares the accounts the same."""
    gateway = Gateway(Account(), Account(token="a new token", login="other"))
    async with connect(gateway) as client, connect(gateway, token="a new token") as other:
        assert ShardOutcome.DONE is (await run_shard(client, store, "spring", 1, holder="one")).ending
        with pytest.raises(ConfigurationError, match=r"another account.*--same-account"):
            await run_shard(other, store, "spring", 2, holder="two")
        assert (CampaignState.RUNNING, 20) == ((await store.status("spring")).state, len(gateway.ledger))
        await store.claim("spring", None)
        assert ShardOutcome.DONE is (await run_shard(other, store, "spring", 2, holder="two")).ending
    await everyone_got_one(store, gateway)


async def test_a_mistyped_password_does_not_become_the_campaigns_account(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """A mistyped password halts the campaign, and a worker with the right one goes on after a resume."""
    async with connect(webcom_gateway, token="mistyped") as slip, connect(webcom_gateway) as client:
        halted = await run_shard(slip, store, "spring", 1, holder="one")
        await store.change_state("spring", CampaignState.RUNNING)
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        async with connect(webcom_gateway, token="mistyped") as late:
            with pytest.raises(ConfigurationError, match="another account"):
                await run_shard(late, store, "spring", 1, holder="three")

    assert ShardOutcome.STOPPED is halted.ending
    await everyone_got_one(store, webcom_gateway)


@pytest.mark.parametrize("wrong", [{"holder": ""}, {"holder": 5}, {"holder": "one", "lease_seconds": 0}])
async def test_a_worker_has_a_name_and_a_time(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore, wrong: dict[str, Any]
):
    """A worker without a name or a positive lease time is refused before anything happens."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=r"name|lease_seconds"):
            await run_shard(client, store, "spring", 1, **wrong)


async def test_a_closed_client_does_not_halt_the_campaign(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore
):
    """A closed client is its worker's error: the shard is released, and the campaign goes on."""
    async with connect(webcom_gateway) as client:
        pass
    with pytest.raises(UsageError, match="client is closed"):
        await run_shard(client, store, "spring", 1, holder="one")

    assert CampaignState.RUNNING is (await store.status("spring")).state
    assert [None, None] == [shard.until for shard in await store.shards("spring")]


async def test_a_second_process_that_sends_from_a_folder_is_refused(
    connect: Connect, webcom_gateway: Gateway, store: SqliteStore, folder: Path
):
    """A second process that sends from a folder gets an error and no shard, and stops no other worker."""
    lease = await store.acquire("spring", 1, "one", 60.0)
    async with connect(webcom_gateway) as client, SqliteStore(folder) as other:
        with pytest.raises(JournalError, match="in use"):
            await run_shard(client, other, "spring", 2, holder="two")
        assert lease is not None
        assert [lease.holder, None] == [shard.holder for shard in await other.shards("spring")]
        assert CampaignState.RUNNING is (await other.status("spring")).state
        assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    await everyone_got_one(store, webcom_gateway)


async def test_a_campaign_whose_time_has_passed_is_finished(connect: Connect, webcom_gateway: Gateway, folder: Path):
    """After its time a campaign sends to no recipient, and every recipient has a final result with the reason."""
    async with SqliteStore(folder, clock=Travel().clock()) as store:
        await store.plan(spring(validity_period=NOW.replace(hour=13)), phones(40))
        async with connect(webcom_gateway, clock=still_clock(now=lambda: NOW.replace(hour=14))) as client:
            assert [ShardOutcome.DONE] * 2 == await sent(client, store)
        finished, results = await store.status("spring"), await results_of(store)

    assert (CampaignState.FINISHED, 0, 40) == (finished.state, finished.open, finished.outcomes[Outcome.NOT_SENT])
    assert {(Outcome.NOT_SENT, Reason.BAD_TIME)} == {(result.outcome, result.reason) for result in results}
    assert (40, 0) == (len(results), webcom_gateway.requests)


# ---------------------------------------------------------------------------- all of it at once


class Chaos:
    """
    Workers that share a campaign, and every fault that may happen to them.

    Args:
        store: Where the campaign is.
        connect: Makes a client for each of them.
        gateway: The gateway.
        seed: Chance.
    """

    def __init__(self, store: SqliteStore, connect: Connect, gateway: Gateway, seed: int) -> None:
        self.store = store
        self.connect = connect
        self.gateway = gateway
        self.chance = random.Random(seed)
        self.scopes: dict[str, anyio.CancelScope] = {}
        self.over = False

    async def work(self, name: str) -> None:
        """Send free shards, and start again when this worker is cancelled, until the campaign ends."""
        while not self.over:
            with anyio.CancelScope() as scope:
                self.scopes[name] = scope
                async with self.connect(self.gateway, attempts=2, in_flight=2, grace=0.0, batch_size=3) as client:
                    worker = Worker(client, self.store, name, clock=still_clock())
                    for shard in self.chance.sample(range(1, 7), 6):
                        await worker.run_shard("spring", shard)
            await checkpoint()

    async def strike(self, travel: Travel) -> None:
        """Do one of the things that happen."""
        for _ in range(self.chance.randrange(40)):
            await checkpoint()
        match self.chance.randrange(4):
            case 0:
                self.chance.choice(list(self.scopes.values())).cancel()
            case 1:
                travel.seconds += 120  # every lease runs out
            case 2:
                await self.go_on(CampaignState.PAUSED)
                await self.go_on(CampaignState.RUNNING)
            case _:
                await self.go_on(CampaignState.RUNNING)  # whatever has halted it

    async def go_on(self, state: CampaignState) -> None:
        """Change the campaign's state, unless it is finished without open recipients."""
        with suppress(InputError):
            await self.store.change_state("spring", state)

    async def end(self) -> None:
        """Let the campaign go on until no recipient is open, and end the workers."""
        self.gateway.faults = Faults()
        while (standing := await self.store.status("spring")).state is not CampaignState.FINISHED or standing.open:
            await self.go_on(CampaignState.RUNNING)
        self.over = True


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_every_recipient_gets_one_sms(
    connect: Connect, webcom_gateway: Gateway, folder: Path, seed: int
):
    """Cancelled workers, expired leases, lost answers and pauses leave one SMS and one result per recipient."""
    webcom_gateway.faults.sometimes(0.2, CUT)
    travel = Travel()
    async with SqliteStore(folder, clock=travel.clock()) as store:
        await store.plan(spring(), phones(120))
        chaos = Chaos(store, connect, webcom_gateway, seed)
        async with anyio.create_task_group() as tasks:
            for name in ("one", "two", "three"):
                tasks.start_soon(chaos.work, name)
            for _ in range(25):
                await chaos.strike(travel)
            travel.seconds += 120
            await chaos.end()
        await everyone_got_one(store, webcom_gateway, 120)
        assert {shard.until for shard in await store.shards("spring")} == {None}


# ---------------------------------------------------------------------------- real processes


def _worker(url: str, folder: Path, name: str) -> None:
    anyio.run(_send_all, url, folder, name)


async def _send_all(url: str, folder: Path, name: str) -> None:
    async with (
        WebcomClient(token=Gateway().token, base_url=url, wait_initial=0.0) as client,
        SqliteStore(folder) as store,
    ):
        worker = Worker(client, store, name)
        for shard in await store.shards("spring"):
            await worker.run_shard("spring", shard.number)


@pytest.mark.socket
async def test_a_killed_process_is_taken_over(store: SqliteStore, folder: Path):
    """After `kill -9` a process that is started again under its name goes on at once."""
    gateway = Watched(latency=0.01)
    context = multiprocessing.get_context("spawn")
    with serve(gateway) as url:
        for requests in (2, 4):
            process = context.Process(target=_worker, args=(url, folder, "one"))
            process.start()
            await gateway.until(requests)
            process.kill()
            await anyio.to_thread.run_sync(process.join)
            assert -signal.SIGKILL == process.exitcode
        async with WebcomClient(token=gateway.token, base_url=url) as client:
            assert [ShardOutcome.DONE] * 2 == await sent(client, store)

    await everyone_got_one(store, gateway)
