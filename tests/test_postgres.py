"""
Journals on PostgreSQL: many runs of one campaign at once, leases, and a server that goes away and comes back.

What every journal promises is in `test_journals`, and what every store of campaigns does in `test_stores`.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from datetime import UTC
from hashlib import blake2b
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

pytest.importorskip("psycopg", reason="psycopg is an extra")
import psycopg

from tests.builders import LATER, NOW, TOMORROW, logged, message, phones, still_clock, wire_phones
from tests.conftest import Connect
from tests.postgres_server import PASSWORD, Server
from tests.test_journal import SAID, answer, answers, batch, header
from tests.test_journals import exported, run, settled, states, told
from webcom_async import (
    CampaignStopped,
    ConfigurationError,
    InputError,
    JournalError,
    LeaseLost,
    Outcome,
    OutOfBalance,
    Reason,
    Report,
    StoreUnavailable,
    UsageError,
    WebcomClient,
)
from webcom_async.emulator import Fault, Gateway, GatewayTransport
from webcom_async.events import Event, StoreAway, StoreBack
from webcom_async.journal import Addressed, DurableCampaignJournal
from webcom_async.postgres import PostgresStore
from webcom_async.scaleout import CampaignSettings, CampaignState, Lease, ShardOutcome, Worker

pytestmark = pytest.mark.anyio

Opener = Callable[..., PostgresStore]
VERSION_1 = Path(__file__).parent / "postgres" / "version-1.sql"  # its tables, as it made them


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Return the one event loop that psycopg supports."""
    return request.param


@pytest.fixture
def opener(postgres: str, schema: str) -> Opener:
    """Return a function that opens another handle on the same store, as another host has it."""

    def opened(**options: Any) -> PostgresStore:
        return PostgresStore(**({"dsn": postgres, "schema": schema} | options))

    return opened


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[PostgresStore]:
    """Return an open store."""
    async with opener() as store:
        yield store


@pytest.fixture
async def other(opener: Opener) -> AsyncIterator[PostgresStore]:
    """Return the same store, as another host has it."""
    async with opener() as store:
        yield store


def ids(addressed: list[Addressed]) -> list[str]:
    """Return the id of every recipient."""
    return [to.client_id_sms for _, tos in addressed for to in tos]


# ---------------------------------------------------------------------------- many runs at once


async def test_who_is_reserved_by_another_run_is_a_duplicate(store: PostgresStore, other: PostgresStore):
    """A recipient in flight in one run is a duplicate in another; once it is settled, both have its result."""
    async with run(store) as one, run(other) as two:
        first = await one.reserve(batch(2))
        second = await two.reserve(batch(3))

        assert (["103"], []) == (ids(second.addressed), second.settled)
        assert [("101", Reason.DUPLICATE), ("102", Reason.DUPLICATE)] == [
            (each.client_id_sms, each.reason) for each in second.refused
        ]
        assert second.refused == await two.settle(second.refused, second)
        await one.settle(answers(batch(2)), first)
        assert answers(batch(2)) == (await two.reserve(batch(2))).settled


async def test_many_runs_share_a_campaign(opener: Opener, store: PostgresStore):
    """Eight runs that offer the same recipients in different orders at once reserve each of them once."""
    many = wire_phones(600)
    left: list[str] = []

    async def offer(seed: int) -> None:
        chance = random.Random(seed)
        async with opener() as own, run(own) as journal:
            for _ in range(12):
                reserved = await journal.reserve([(SAID, chance.sample(many, 100))])
                left.extend(ids(reserved.addressed))
                assert not reserved.possibly_sent
                await journal.settle(answers(reserved.addressed), reserved)

    async with run(store), anyio.create_task_group() as tasks:
        for seed in range(8):
            tasks.start_soon(offer, seed)

    assert len(set(left)) == len(left)
    assert dict.fromkeys(left, Outcome.ACCEPTED) == await states(store)


async def test_of_two_campaigns_that_reserve_an_id_at_once_one_sends(opener: Opener):
    """One of two campaigns that reserve an id at once is refused: the gateway would swallow its message."""
    left: list[tuple[int, str]] = []
    met = [anyio.Event() for _ in range(2 * 15)]

    async def offer(number: int, store: PostgresStore) -> None:
        said = message(f"text {number}")
        async with run(store, f"campaign {number}", header(f"campaign {number}", said=said)) as journal:
            for step in range(15):
                met[2 * step + number].set()
                await met[2 * step + 1 - number].wait()
                to = wire_phones(20 * step + 20)[20 * step :]
                reserved = await journal.reserve([(said, to[:: 1 - 2 * number])])
                left.extend((number, each) for each in ids(reserved.addressed))
                assert {Reason.ID_REUSED} >= {each.reason for each in reserved.refused}

    async with opener() as one, opener() as two, anyio.create_task_group() as tasks:
        await one.stored_campaigns()
        tasks.start_soon(offer, 0, one)
        tasks.start_soon(offer, 1, two)

    who = [client_id for _, client_id in left]
    assert len(set(who)) == len(who)
    assert 15 * 20 == len(who)


async def test_of_two_ids_that_share_an_answer_at_once_one_has_it(opener: Opener):
    """The first of two results keeps a shared `id_sms`; the second is unknown, and its run gets an error."""
    alarms: list[int] = []

    async def settle(number: int) -> None:
        async with opener() as store, run(store, f"campaign {number}") as journal:
            to = wire_phones(2)[number]
            reserved = await journal.reserve([(SAID, [to])])
            try:
                await journal.settle([answer(to, id_sms="9")], reserved)
            except Exception as exc:  # noqa: BLE001 - which it is says the test below
                assert "101 and 102" in str(exc)  # noqa: PT017
                alarms.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settle, 0)
        tasks.start_soon(settle, 1)

    assert 1 == len(alarms)


async def test_two_clients_send_one_campaign(connect: Connect, webcom_gateway: Gateway, opener: Opener):
    """Two clients of one campaign give every recipient one SMS in the ledger and one result in the journal."""
    async with opener() as one, opener() as two:

        async def send(store: PostgresStore) -> None:
            async with connect(webcom_gateway, batch_size=20) as client:
                report = await client.send_all(
                    phones(300), text="Sale!", sender="ACME", campaign="spring", journal=store
                )
                assert report.complete

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, one)
            tasks.start_soon(send, two)

        assert sorted(phones(300)) == sorted(sms.phone for sms in webcom_gateway.ledger.sent)
        assert {Outcome.ACCEPTED: 300} == {key: n for key, n in (await one.counts("spring")).items() if n}


async def test_a_client_reconciles(connect: Connect, webcom_gateway: Gateway, store: PostgresStore):
    """A recipient that an ended run left reserved is sent again by `reconcile`, alone, under the same id."""
    campaign = {"text": "Sale!", "sender": "ACME", "campaign": "spring", "journal": store}
    async with connect(webcom_gateway) as client:
        await client.send_all(phones(3), **campaign)
        before = await told(store)
        async with client.stream([], **campaign) as results:
            assert [] == [each async for each in results]
        journal = await store.open(await store.header("spring"), lambda: NOW)
        await journal.reserve([(message("Sale!", "ACME"), wire_phones(5)[3:])])
        await journal.aclose()
        async with client.reconcile(store, campaign="spring") as results:
            asked = {each.client_id_sms async for each in results}

    assert {"104", "105"} == asked
    assert 5 == len(webcom_gateway.ledger) == (await store.counts("spring"))[Outcome.ACCEPTED]
    assert before == (await told(store))[:3]


# ---------------------------------------------------------------------------- leases


async def ended(opener: Opener) -> None:
    """Wait until every lease has run out, by the server's word, and look for those that have."""
    async with opener() as watch:
        with anyio.fail_after(10):
            while await watch._server.call(
                lambda session: session.fetch("SELECT 1 FROM leases WHERE until > clock_timestamp()")
            ):
                pass


async def test_a_run_that_is_not_heard_of_loses_what_it_had(opener: Opener):
    """Recipients of a lost run are possibly sent for the next run; the lost run can only settle accepted ones."""
    async with opener(lease=0.05) as lost, opener() as next_one:
        old = await lost.open(header(), lambda: NOW)
        before = await old.reserve(batch(3))
        await ended(opener)
        async with run(next_one) as new:
            reserved = await new.reserve(batch(4))
            assert (batch(4), {"101", "102", "103"}) == (reserved.addressed, reserved.possibly_sent)

            with pytest.raises(LeaseLost, match="run it again"):
                await old.reserve([(SAID, wire_phones(6)[5:])])
            one, two, _ = wire_phones(3)
            woken = [answer(one), answer(two, Outcome.REJECTED)]
            first, second = await old.settle(woken, before)
            assert (Outcome.ACCEPTED, Outcome.UNKNOWN) == (first.outcome, second.outcome)
            await old.aclose()
            known = await new.settle(answers(batch(4), Outcome.NOT_SENT), reserved)
            assert [Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.NOT_SENT] == [
                each.outcome for each in known
            ]


async def test_who_was_taken_over_comes_from_the_journal(connect: Connect, webcom_gateway: Gateway, opener: Opener):
    """A run returns results of recipients that another run sent to, and counts them as from the journal."""
    arrived, go_on = anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=go_on, status=429))
    reports: list[Report] = []

    async with (
        opener(lease=0.05) as slow,
        opener() as fast,
        connect(webcom_gateway, attempts=1) as one,
        connect(webcom_gateway) as other,
    ):

        async def send(client: WebcomClient, store: PostgresStore) -> None:
            sent = await client.send_all(phones(5), text="Sale!", sender="ACME", campaign="spring", journal=store)
            reports.append(sent)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, one, slow)
            await arrived.wait()
            await ended(opener)
            await send(other, fast)
            go_on.set()

    assert [(5, 0), (5, 5)] == [(report.accepted, report.from_journal) for report in reports]
    assert 5 == len(webcom_gateway.ledger)


async def test_a_run_keeps_its_lease_as_it_goes_on(opener: Opener):
    """A run that renews its lease keeps its recipients, however long it takes."""
    moment = 0.0

    class Later:
        now = staticmethod(lambda: NOW)
        monotonic = staticmethod(lambda: moment)
        sleep = staticmethod(asyncio.sleep)

    async with opener(lease=0.05, clock=Later()) as store, opener() as other:
        journal = await store.open(header(), lambda: NOW)
        await journal.reserve(batch(1))
        await ended(opener)
        moment = 1.0
        await journal.reserve([(SAID, wire_phones(2)[1:])])
        async with run(other) as second:
            assert {Reason.DUPLICATE} >= {each.reason for each in (await second.reserve(batch(1))).refused}
        await journal.aclose()


async def test_a_run_that_ends_gives_its_lease_back(store: PostgresStore, other: PostgresStore):
    """After a run ends, the recipients that it left reserved are free at once, and possibly sent."""
    async with run(store) as journal:
        await journal.reserve(batch(2))
    async with run(other) as journal:
        assert {"101", "102"} == (await journal.reserve(batch(2))).possibly_sent


async def waiting(connection: psycopg.AsyncConnection[Any], count: int) -> None:
    """Wait until so many sessions wait for a lock."""
    with anyio.fail_after(10):
        while True:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
            [(found,)] = await (await connection.execute(query)).fetchall()
            if found >= count:
                return


@pytest.mark.parametrize("by", ["takeover", "pause"])
async def test_revoking_waits_for_who_is_reserving(store: PostgresStore, postgres: str, schema: str, by: str):
    """Once a takeover or a pause returns, no reservation that began before it commits."""
    await store.plan(CampaignSettings(campaign="spring", message=SAID), phones(3))
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None
    order: list[str] = []

    async def reserve(journal: DurableCampaignJournal) -> None:
        assert ["101", "102"] == ids((await journal.reserve(batch(2))).addressed)
        order.append("reserved")

    async def revoke() -> None:
        if by == "takeover":
            assert await store.acquire("spring", 1, "one", 60.0)
        else:
            await store.change_state("spring", CampaignState.PAUSED)
        order.append("revoked")

    async with (
        aclosing(await store.journals(lease).open(header(), lambda: NOW)) as journal,
        await psycopg.AsyncConnection.connect(postgres) as in_the_way,
        await psycopg.AsyncConnection.connect(postgres, autocommit=True) as watching,
    ):
        # Another session is writing one of the ids, so the reservation waits in its middle.
        await in_the_way.execute(
            f"INSERT INTO {schema}.recipients (recipient_id, campaign_id, client_id_sms, phone, message, state, "
            f"reserved_at) SELECT 1, campaign_id, 102, '', gen_random_uuid(), 'reserved', now() FROM {schema}.campaigns"
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reserve, journal)
            await waiting(watching, 1)
            tasks.start_soon(revoke)
            await waiting(watching, 2)
            assert [] == order
            await in_the_way.rollback()
        assert {"reserved", "revoked"} == set(order)
        with pytest.raises(LeaseLost if by == "takeover" else CampaignStopped):
            await journal.reserve([(SAID, wire_phones(3)[2:])])
    assert {"101", "102"} == set(await states(store))


async def test_a_takeover_waits_for_who_is_settling(store: PostgresStore, postgres: str, schema: str):
    """A takeover waits for a settlement, so the next holder sees it, and nothing overwrites its reservations."""
    await store.plan(CampaignSettings(campaign="spring", message=SAID), phones(3))
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None
    taken: list[Lease] = []
    one, two = wire_phones(2)
    refused = [answer(one, id_sms="77"), answer(two, Outcome.REJECTED)]

    async def take_over() -> None:
        again = await store.acquire("spring", 1, "one", 60.0)
        assert again is not None
        taken.append(again)

    async with (
        aclosing(await store.journals(lease).open(header(), lambda: NOW)) as journal,
        await psycopg.AsyncConnection.connect(postgres) as in_the_way,
        await psycopg.AsyncConnection.connect(postgres, autocommit=True) as watching,
    ):
        reserved = await journal.reserve(batch(2))
        # Another session is writing the same answer, so the settlement waits in its middle.
        await in_the_way.execute(f"INSERT INTO {schema}.answers VALUES ('77', 1)")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.settle, refused, reserved)
            await waiting(watching, 1)
            tasks.start_soon(take_over)
            await waiting(watching, 2)
            assert [] == taken
            await in_the_way.rollback()
    async with aclosing(await store.journals(taken[0]).open(header(), lambda: NOW)) as journal:
        again = await journal.reserve(batch(2))
    assert ([], {"101", "102"}) == (again.addressed, {result.client_id_sms for result in again.settled})


async def test_no_lease_is_given_while_a_pause_is_on_its_way(store: PostgresStore, postgres: str, schema: str):
    """A worker that asks for a lease during a pause waits, and then gets the new state."""
    await store.plan(CampaignSettings(campaign="spring", message=SAID, batch_size=1, shard_size=1), phones(2))
    lease = await store.acquire("spring", 1, "one", 60.0)
    assert lease is not None
    given: list[object] = []

    async def acquire() -> None:
        given.append(await store.acquire("spring", 2, "two", 60.0))

    async with (
        await psycopg.AsyncConnection.connect(postgres) as in_the_way,
        await psycopg.AsyncConnection.connect(postgres, autocommit=True) as watching,
    ):
        # The same lock as a reservation takes.
        await in_the_way.execute(f"SELECT 1 FROM {schema}.leases WHERE token = {lease.token} FOR KEY SHARE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.change_state, "spring", CampaignState.PAUSED)
            await waiting(watching, 1)
            tasks.start_soon(acquire)
            await waiting(watching, 2)
            assert [] == given
            await in_the_way.rollback()
    assert [None] == given


async def test_a_run_without_a_lease_of_a_shard_obeys_the_state(store: PostgresStore):
    """A campaign that is paused for its workers is paused for every run under its name."""
    await store.plan(CampaignSettings(campaign="spring", message=SAID), phones(3))
    async with run(store) as journal:
        await journal.reserve(batch(1))
        await store.change_state("spring", CampaignState.PAUSED, "lunch")
        with pytest.raises(CampaignStopped, match="'spring' is paused: lunch"):
            await journal.reserve([(SAID, wire_phones(2)[1:])])
        await settled(journal, answers(batch(1)))

    assert {"101": Outcome.ACCEPTED} == await states(store)


# ---------------------------------------------------------------------------- a server that goes away


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_in_the_middle_is_sat_out(postgres_server: Server, schema: str, mode: str):
    """Reserving and settling go on with the same pool when the server is back, and no recipient is lost."""
    done = anyio.Event()
    batches = 0

    async with PostgresStore(postgres_server.dsn, schema=schema) as store, run(store) as journal:

        async def work(number: int) -> None:
            nonlocal batches
            step = 0
            while not (done.is_set() and step > 3):
                first = 1_000 * (10 * step + number)
                to = wire_phones(first + 20)[first:]
                reserved = await journal.reserve([(SAID, to)])
                assert [(SAID, to)] == reserved.addressed
                known = await journal.settle(answers(reserved.addressed), reserved)
                assert answers(reserved.addressed) == known
                batches += 1
                step += 1

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(work, number)
            while batches < 8:
                await anyio.lowlevel.checkpoint()
            await anyio.to_thread.run_sync(postgres_server.restart, mode)
            done.set()

        assert {Outcome.ACCEPTED: 20 * batches} == {key: n for key, n in (await store.counts("spring")).items() if n}


async def test_a_server_that_stays_away_is_reported(unused_port: int):
    """After `patience`, the error names the server and what to do, and never the password."""
    dsn = f"postgresql://webcom:{PASSWORD}@127.0.0.1:{unused_port}/webcom"
    async with PostgresStore(dsn, patience=0.1) as store:
        with pytest.raises(StoreUnavailable, match=rf"127.0.0.1:{unused_port}/webcom could not be reached") as caught:
            await store.open(header(), lambda: NOW)

    assert PASSWORD not in f"{caught.value} {caught.value.__cause__} {store!r}"


@pytest.mark.parametrize(
    ("user", "database", "words"),
    [
        ("strict", "postgres", "user and password"),
        ("nobody_here", "postgres", "user"),
        ("postgres", "nowhere", "createdb"),
    ],
    ids=["password", "user", "database"],
)
async def test_a_refused_login_is_reported_at_once(
    postgres_server: Server, user: str, database: str, words: str, caplog: pytest.LogCaptureFixture
):
    """A refused login is an error at once, and neither it nor the log has the password."""
    caplog.set_level(logging.DEBUG)
    postgres_server.execute("DROP ROLE IF EXISTS strict; CREATE ROLE strict LOGIN PASSWORD 'another'")
    async with PostgresStore(postgres_server.dsn_of(database, user), patience=600) as store:
        with anyio.fail_after(10), pytest.raises(JournalError, match=words) as caught:
            await store.stored_campaigns()

    assert not isinstance(caught.value, StoreUnavailable)
    assert PASSWORD not in f"{caught.value} {caught.value.__cause__} {store!r} {caplog.text}"


async def test_a_user_who_may_not_make_tables_gets_an_error(postgres_server: Server, schema: str):
    """The error names the missing right."""
    postgres_server.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN")
    async with PostgresStore(postgres_server.dsn_of("postgres", "guest"), schema=schema) as store:
        with pytest.raises(JournalError, match="GRANT"):
            await store.stored_campaigns()


async def test_a_caller_who_is_cancelled_leaves_a_whole_connection(opener: Opener):
    """A call that has begun is finished, so the next call finds an idle connection."""
    async with opener(connections=1) as store, run(store) as journal:
        for step in range(20):
            with anyio.move_on_after(0) as scope:
                await journal.reserve([(SAID, wire_phones(step + 1)[step:])])
            assert scope.cancelled_caught
            [known] = await journal.lookup(answers([(SAID, wire_phones(step + 1)[step:])], Outcome.NOT_SENT))
            assert known.outcome in (Outcome.UNKNOWN, Outcome.NOT_SENT)
            assert (Outcome.UNKNOWN is known.outcome) == (known.client_id_sms in await states(store))
        reserved = await journal.reserve(batch(30))
        assert 30 == len(ids(reserved.addressed))
        await journal.settle(answers(batch(30)), reserved)

        assert 30 == (await store.counts("spring"))[Outcome.ACCEPTED]


async def test_a_run_that_ends_while_the_server_is_away_has_its_results(postgres_server: Server, schema: str):
    """Settled results stay known; a lease that cannot be released runs out without an error."""
    async with PostgresStore(postgres_server.dsn, schema=schema, patience=0.2) as store:
        try:
            async with run(store) as journal:
                reserved = await journal.reserve(batch(1))
                await journal.settle(answers(batch(1)), reserved)
                await anyio.to_thread.run_sync(postgres_server.stop)
                with pytest.raises(StoreUnavailable):
                    await journal.reserve([(SAID, wire_phones(2)[1:])])
        finally:
            await anyio.to_thread.run_sync(postgres_server.start)
        assert answers(batch(1)) == await told(store)


@pytest.mark.parametrize("bound", ["statement_timeout", "lock_timeout"])
async def test_a_statement_that_was_cancelled_is_made_again(opener: Opener, postgres: str, schema: str, bound: str):
    """A statement that the administrator's time-outs cancel is retried, as after an outage."""
    async with opener() as store:
        await store.plan(CampaignSettings(campaign="spring", message=message()), phones(2))
    mark, seen = "&" if "?" in postgres else "?", list[Event]()
    async with (
        opener(dsn=f"{postgres}{mark}options=-c%20{bound}%3D100ms", observers=[seen.append]) as hurried,
        await psycopg.AsyncConnection.connect(postgres) as connection,
        anyio.create_task_group() as tasks,
    ):
        await hurried.campaigns()
        await connection.execute(f"LOCK TABLE {schema}.campaigns IN ACCESS EXCLUSIVE MODE")
        with logged("store_away") as away:
            tasks.start_soon(hurried.status, "spring")
            await away.wait()
        await connection.rollback()

    assert [StoreAway, StoreBack] == [type(seen[0]), type(seen[-1])]


@pytest.mark.parametrize("odd", ["DateStyle=German", "DateStyle=SQL", "TimeZone=-03:30", "IntervalStyle=sql_standard"])
async def test_a_database_may_write_dates_as_it_likes(opener: Opener, postgres: str, odd: str):
    """The library reads dates the same, whatever formats an administrator has set."""
    mark = "&" if "?" in postgres else "?"
    async with opener(dsn=f"{postgres}{mark}options=-c%20{odd.replace('=', '%3D')}") as store:
        await store.plan(CampaignSettings(campaign="весна", message=message("Скидка")), phones(2))
        lease = await store.acquire("весна", 1, "one", 60.0)
        standing = await store.status("весна")
        [shard] = await store.shards("весна")

    assert lease is not None
    assert (UTC, [shard.until]) == (standing.planned.tzinfo, [each.until for each in standing.workers])


async def test_a_worker_that_the_store_refuses_halts_no_campaign(opener: Opener, postgres: str, schema: str):
    """Its shard is free for other workers, and it sends again when the store admits it."""
    gateway = Gateway()
    transport = GatewayTransport(gateway)
    async with opener() as store, await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        await store.plan(CampaignSettings(campaign="spring", message=message(), batch_size=2), phones(5))
        async with WebcomClient(token=gateway.token, transport=transport, clock=still_clock()) as client:
            worker = Worker(client, store, "one", clock=still_clock())
            await connection.execute(f"ALTER TABLE {schema}.recipients RENAME TO hidden")
            refused = await worker.run_shard("spring", 1)
            state = (await store.status("spring")).state
            await connection.execute(f"ALTER TABLE {schema}.hidden RENAME TO recipients")
            done = await worker.run_shard("spring", 1)

    assert (ShardOutcome.UNREACHED, CampaignState.RUNNING, ShardOutcome.DONE) == (refused.ending, state, done.ending)
    assert 5 == len(gateway.ledger)


# ---------------------------------------------------------------------------- its tables


async def test_many_first_runs_make_the_tables_once(opener: Opener):
    """Hosts that start at the same moment make the tables once, without errors."""
    stores = [opener() for _ in range(6)]
    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(store.stored_campaigns)
    for store in stores:
        await store.aclose()


async def test_tables_of_version_1_are_brought_to_moments(opener: Opener, postgres: str, schema: str):
    """Clock times of version 1 become moments in the store's zone."""
    content = msgspec.json.encode(SAID).decode()
    digest = blake2b(content.encode(), digest_size=16).hexdigest()
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.execute(f"SET search_path = {schema}")
        await connection.execute(VERSION_1.read_bytes())
        await connection.execute("INSERT INTO format VALUES ('webcom_async journal', 1)")
        await connection.execute(
            "INSERT INTO campaigns (name, id_bits, fingerprint, created_at, opened_at) "
            "VALUES (%s, 63, %s, now(), now())",
            (header().campaign, header().fingerprint),
        )
        await connection.execute("INSERT INTO messages SELECT campaign_id, %s, %s FROM campaigns", (digest, content))
        await connection.execute(
            "INSERT INTO recipients (recipient_id, campaign_id, client_id_sms, phone, message, validity_period, "
            "time_send, state, reserved_at) SELECT 1 << 20, campaign_id, 101, '79612242243', %s, "
            "'2030-01-02 17:00:00', '2030-01-02 01:00', 'unknown', now() FROM campaigns",
            (digest,),
        )

    async with opener(time_zone="Asia/Vladivostok") as store:
        [row] = await exported(store)
        async with run(store) as journal:
            assert [(TOMORROW, LATER)] == [(to.validity_period, to.time_send) async for _, to in journal.unsettled()]
    assert (TOMORROW.isoformat(), LATER.isoformat()) == (row["validity_period"], row["time_send"])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("CREATE SCHEMA {0}; CREATE TABLE {0}.theirs (a integer)", "another program"),
        ("CREATE SCHEMA {0}; CREATE TABLE {0}.format (application text, version integer)", "another program"),
        ("UPDATE {0}.format SET version = 99", "upgrade webcom-async"),
    ],
    ids=["foreign", "foreign format", "newer"],
)
async def test_tables_of_others_are_refused_and_left_alone(
    opener: Opener, postgres: str, schema: str, spoil: str, words: str
):
    """Tables of another program are left as they are, and the error names the schema and what to do."""
    if "UPDATE" in spoil:
        async with opener() as store:
            await store.stored_campaigns()
    tables = f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' ORDER BY 1"
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        for statement in spoil.format(schema).split(";"):
            await connection.execute(statement)
        before = await (await connection.execute(tables)).fetchall()
        async with opener() as store:
            with pytest.raises(JournalError, match=f"{schema}: .*{words}"):
                await store.open(header(), lambda: NOW)
        assert before == await (await connection.execute(tables)).fetchall()


# ---------------------------------------------------------------------------- a caller's own connection


@pytest.mark.parametrize("how", ["left early", "halted"])
async def test_a_callers_connection_outlives_a_campaign_that_reads_from_it(postgres: str, how: str):
    """Leaving, or a halt, cancels no query of the source, so its connection can still write the results."""
    gateway = Gateway()
    if how == "halted":
        gateway.faults.script(Fault(), Fault(body='{"error": "Закончились SMS"}'.encode()))
    numbers = "SELECT (79612240000 + n)::text, pg_sleep(0.001) FROM generate_series(1, 5000) n"
    told: list[str] = []
    async with (
        await psycopg.AsyncConnection.connect(postgres) as connection,
        connection.cursor(name="people") as rows,
        WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=100) as client,
    ):
        rows.itersize = 50
        await rows.execute(numbers)

        async def people() -> AsyncIterator[str]:
            async for phone, _ in rows:
                yield phone

        with suppress(OutOfBalance):
            async with client.stream(people(), text="Sale!", sender="ACME", campaign="spring") as results:
                async for result in results:
                    told.append(result.phone)
                    if how == "left early" and len(told) == 300:
                        break
        told += [result.phone for result in results.unread]
        await connection.execute("CREATE TEMPORARY TABLE told (phone text)")
        for phone in told:
            await connection.execute("INSERT INTO told VALUES (%s)", [phone])
        written = await (await connection.execute("SELECT count(*) FROM told")).fetchone()

    assert written == (len(told),)
    assert {sms.phone for sms in gateway.ledger.sent} <= set(told)


# ---------------------------------------------------------------------------- plans and turns


async def test_a_plan_that_fails_leaves_a_connection_as_it_was(opener: Opener):
    """A plan lifts the connection's time-outs, and sets them again even if it fails."""
    names = "'idle_in_transaction_session_timeout', 'transaction_timeout', 'lock_timeout'"
    asked = f"SELECT name, setting FROM pg_settings WHERE name IN ({names}) ORDER BY name"

    async def failing() -> AsyncIterator[str]:
        yield next(phones(1))
        raise ValueError("no more")

    async with opener(connections=1) as store:
        before = await store._server.call(lambda session: session.fetch(asked))
        for source, failure in ((failing(), ValueError), ([], InputError)):
            with pytest.raises(failure):
                await store.plan(CampaignSettings(campaign="spring", message=SAID), source)
        after = await store._server.call(lambda session: session.fetch(asked))

    assert ("idle_in_transaction_session_timeout", "10000") in before
    assert before == after


async def test_planning_what_is_being_planned_is_an_error(postgres: str, opener: Opener, store: PostgresStore):
    """A process waits for another one's plan for a bounded time, which the DSN can shorten, and then fails."""
    spring = CampaignSettings(campaign="spring", message=SAID)
    hasty = psycopg.conninfo.make_conninfo(postgres, options="-c lock_timeout=100")
    counts: list[int] = []

    async def slow() -> AsyncIterator[str]:
        async with opener(dsn=hasty) as other:
            yield next(phones(1))
            with anyio.fail_after(20), pytest.raises(StoreUnavailable, match="'spring': another process is planning"):
                await other.plan(spring, phones(1))
            counts.append(0)

    assert 1 == await store.plan(spring, slow())
    assert [0] == counts


async def test_a_clock_that_is_set_back_does_not_stop_the_sending(store: PostgresStore, postgres: str, schema: str):
    """After the server's clock goes back a day, a batch waits for those before it, and not for a day."""
    await store.plan(CampaignSettings(campaign="spring", message=SAID, rate=10.0), phones(3))
    for _ in range(2):
        await store.reserve_rate("spring", 15)
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        day = "interval '1 day'"
        await connection.execute(f"UPDATE {schema}.turns SET claimed = claimed + {day}, asked = asked + {day}")

    assert [2.5, 3.0] == pytest.approx([await store.reserve_rate("spring", count) for count in (5, 5)], abs=0.5)


async def test_schemas_are_apart(postgres: str, schema: str, opener: Opener):
    """Two schemas of one database share nothing."""
    async with opener() as one, PostgresStore(postgres, schema=f"{schema}_2") as two:
        async with run(one) as journal:
            await journal.reserve(batch(1))
        assert [] == await two.stored_campaigns()
        await two._server.call(lambda session: session.change(f"DROP SCHEMA {schema}_2 CASCADE"))


async def test_results_come_page_by_page(store: PostgresStore):
    """Results that fill several pages come once each, in order."""
    many = wire_phones(2_300)
    async with run(store) as journal:
        await journal.reserve([(SAID, many)])

    assert [to.client_id_sms for to in many] == [each.client_id_sms for each in await told(store)]


# ---------------------------------------------------------------------------- how it is made


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgres {PASSWORD}",
        f"postgresql://webcom:{PASSWORD}@[::1/x",
        f"postgresql://webcom:{PASSWORD}@@host/x",
        f"postgresql://webcom:{PASSWORD}/x@host/db",
        f"postgresql://webcom:12/{PASSWORD}@host/db",
        f"postgresql://webcom:12/{PASSWORD}:x",
        f"postgresql://webcom:1@2/{PASSWORD}@host/db",
        f"host=host port={PASSWORD}",
        7,
    ],
)
def test_a_dsn_that_cannot_be_read_is_not_repeated(dsn: Any):
    """An error about a DSN does not repeat it, as the password may be anywhere in it."""
    with pytest.raises(ConfigurationError, match="DSN") as caught:
        PostgresStore(dsn)

    assert PASSWORD not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        (f"postgresql://webcom:{PASSWORD}%2Fx%40@host:5432/db", "host:5432/db"),
        ("postgresql://[::1]:5432/db?user=a@b", "::1:5432/db"),
        ("postgresql://h1:5432,h2:5433/db", "h1,h2:5432,5433/db"),
        ("postgresql:///a%40b?host=/run", "/run/a@b"),
        (f"host=host dbname=a@b password={PASSWORD}/:@x", "host/a@b"),
    ],
)
def test_a_dsn_that_is_well_written_is_taken(dsn: str, shown: str):
    """Whatever a password or a name holds, as long as it is written as libpq wants it."""
    assert f"<PostgresStore: {shown}, schema webcom_async>" == repr(PostgresStore(dsn))


@pytest.mark.parametrize(
    "options",
    [{"schema": "No Name"}, {"schema": "pg_mine"}, {"lease": 0}, {"patience": -1}, {"connections": 0}],
    ids=str,
)
def test_options_are_checked_before_anything_is_reached(options: dict[str, Any]):
    """A bad option is an error when the store is made."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        PostgresStore("postgresql://127.0.0.1/webcom", **options)


async def test_a_closed_store_says_so(store: PostgresStore):
    """A call after closing is a UsageError; closing again is none."""
    await store.aclose()
    await store.aclose()
    with pytest.raises(UsageError, match="closed"):
        await store.stored_campaigns()


def test_a_store_belongs_to_one_event_loop(opener: Opener):
    """Its connections cannot be used from another one, and the error says so."""
    store = opener()
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(store.stored_campaigns())
        with pytest.raises(UsageError, match="another event loop"):
            second.run(store.stored_campaigns())
        first.run(store.aclose())


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_trio_is_refused():
    """Psycopg runs on asyncio only, and on trio an error says so before anything is sent."""
    store = PostgresStore("postgresql://127.0.0.1/webcom")
    with pytest.raises(ConfigurationError, match="asyncio only"):
        await store.open(header(), lambda: NOW)
    await store.aclose()
