"""A PostgreSQL that goes silent: its sockets stay open, and no answer comes, as with a frozen host or a cut cable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest

pytest.importorskip("psycopg", reason="psycopg is an extra")

from tests.builders import NOW, message, phones, wire_phones
from tests.postgres_proxies import SilentProxy, silent
from tests.test_journal import SAID, answers, batch, header
from webcom_async import Outcome, StoreUnavailable, WebcomClient
from webcom_async.emulator import Gateway, GatewayTransport
from webcom_async.postgres import PostgresStore
from webcom_async.scaleout import BatchDone, BatchRef, CampaignSettings, CampaignState, Lease

pytestmark = pytest.mark.anyio

SPRING = CampaignSettings(campaign="spring", message=SAID, rate=100.0, batch_size=2)
CANCELLED_SECONDS = 8.0  # five, and what a busy machine takes
Door = Callable[["Doors"], Awaitable[Any]]


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Return the one event loop that psycopg supports."""
    return request.param


@pytest.fixture
def line(postgres: str, schema: str) -> Iterator[SilentProxy]:  # noqa: ARG001 - dropped after the line has ended
    """Return a line to the server that can go silent."""
    with silent(postgres) as proxy:
        yield proxy


class Doors:
    """A store with all that is needed to call each of its methods."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store

    async def enter(self) -> None:
        """Plan a campaign, and open the journals of a run and of a lease."""
        await self.store.plan(SPRING, phones(6))
        lease = await self.store.acquire("spring", 1, "one", 60.0)
        assert lease is not None
        self.lease: Lease = lease
        self.run = await self.store.open(header("summer"), lambda: NOW)
        self.reserved = await self.run.reserve(batch(2))
        self.leased = await self.store.journals(lease).open(header(), lambda: NOW)


async def _all(rows: AsyncIterator[Any]) -> list[Any]:
    return [row async for row in rows]


DOORS: dict[str, Door] = {
    "open": lambda on: on.store.open(header("autumn"), lambda: NOW),
    "open a leased journal": lambda on: on.store.journals(on.lease).open(header(), lambda: NOW),
    "header": lambda on: on.store.header("spring"),
    "reserve": lambda on: on.run.reserve([(batch(1)[0][0], wire_phones(9)[8:])]),
    "reserve under a lease": lambda on: on.leased.reserve(batch(1)),
    "settle": lambda on: on.run.settle(answers(batch(2)), on.reserved),
    "lookup in a journal": lambda on: on.run.lookup(answers(batch(2))),
    "unsettled": lambda on: _all(on.run.unsettled()),
    "stored campaigns": lambda on: on.store.stored_campaigns(),
    "counts": lambda on: on.store.counts("spring"),
    "results": lambda on: _all(on.store.results("spring")),
    "export": lambda on: _all(on.store.export("spring")),
    "lookup": lambda on: on.store.lookup("spring", answers(batch(1))),
    "purge": lambda on: on.store.purge("summer"),
    "plan": lambda on: on.store.plan(CampaignSettings(campaign="winter", message=message()), phones(6)),
    "settings": lambda on: on.store.settings("spring"),
    "claim": lambda on: on.store.claim("spring", "a"),
    "campaigns": lambda on: on.store.campaigns(),
    "recipients": lambda on: on.store.recipients(BatchRef("spring", 1, 1)),
    "status": lambda on: on.store.status("spring"),
    "change_state": lambda on: on.store.change_state("spring", CampaignState.PAUSED),
    "shards": lambda on: on.store.shards("spring"),
    "try_dispatch": lambda on: on.store.try_dispatch("spring", 1, 1),
    "acquire": lambda on: on.store.acquire("spring", 1, "two", 60.0),
    "renew": lambda on: on.store.renew(on.lease),
    "release": lambda on: on.store.release(on.lease),
    "open_batches": lambda on: on.store.open_batches("spring", 1),
    "batch_done": lambda on: on.store.batch_done(on.lease, BatchRef("spring", 1, 1), BatchDone(outcomes={})),
    "shard_done": lambda on: on.store.shard_done(on.lease),
    "reserve_rate": lambda on: on.store.reserve_rate("spring", 1),
}


@pytest.mark.parametrize("connections", [1, 50], ids=["one connection", "many"])
async def test_every_call_ends_after_the_patience(line: SilentProxy, schema: str, connections: int):
    """With one connection the calls wait for it, and for a server that does not let them in."""
    met: dict[str, str] = {}

    async def call(name: str, on: Doors) -> None:
        with pytest.raises(StoreUnavailable, match=r"for 0\.5 s"):
            await DOORS[name](on)
        met[name] = "unavailable"

    async with PostgresStore(line.dsn, schema=schema, patience=0.5, connections=connections) as store:
        on = Doors(store)
        await on.enter()
        line.freeze()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for name in DOORS:
                    tasks.start_soon(call, name, on)
        began = anyio.current_time()
        await on.run.aclose()

    assert dict.fromkeys(DOORS, "unavailable") == met
    assert anyio.current_time() - began < CANCELLED_SECONDS


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_every_call_ends_with_its_caller(line: SilentProxy, schema: str, how: str):
    """A caller that is cancelled, by anyio or asyncio, is free in seconds, and closing the store takes no longer."""
    store = PostgresStore(line.dsn, schema=schema, patience=600, connections=50)
    on = Doors(store)
    await on.enter()
    line.freeze()
    with anyio.fail_after(4 * CANCELLED_SECONDS):  # against hanging: the patience is ten minutes
        if how == "scope":
            async with anyio.create_task_group() as tasks:
                for door in DOORS.values():
                    tasks.start_soon(_unavailable, door, on)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        else:
            running = [asyncio.ensure_future(_awaited(door(on))) for door in DOORS.values()]
            await anyio.wait_all_tasks_blocked()
            for each in running:
                each.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert {asyncio.CancelledError} == {type(each) for each in ended}
        await store.aclose()


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


@pytest.mark.parametrize("how", ["connect", "startup", "tables"])
async def test_a_first_call_ends_after_the_patience(line: SilentProxy, postgres: str, schema: str, how: str):
    """The server may be silent at once, when it lets the user in, or when the tables are made."""
    words = {"startup": b"webcom_async", "tables": b"CREATE TABLE"}
    if how == "connect":
        line.freeze()
    else:
        line.freeze_at(lambda _, data: words[how] in data)
    async with PostgresStore(line.dsn, schema=schema, patience=0.5) as store:
        with anyio.fail_after(CANCELLED_SECONDS), pytest.raises(StoreUnavailable, match="did not answer"):
            await store.campaigns()
    line.close()
    async with PostgresStore(postgres, schema=schema) as store:
        assert [] == await store.campaigns()


MOMENTS: dict[str, Callable[[bool, bytes], bool]] = {
    "a reservation": lambda theirs, data: not theirs and b"INSERT INTO recipients" in data,
    "a settlement": lambda theirs, data: not theirs and b"INSERT INTO answers" in data,
    "an answer": lambda theirs, data: theirs and b"COMMIT" in data,
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_campaign_that_meets_silence_is_resumed(line: SilentProxy, postgres: str, schema: str, moment: str):
    """It ends with an error, and the next run sends to the rest: everybody once, by the gateway's ledger."""
    gateway = Gateway()
    spring: dict[str, Any] = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}
    async with WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=10) as client:
        async with PostgresStore(line.dsn, schema=schema, patience=0.5, lease=0.1) as store:
            with anyio.fail_after(3 * CANCELLED_SECONDS), pytest.raises(StoreUnavailable):
                async with client.stream(phones(100), journal=store, **spring) as results:
                    async for _ in results:
                        if results.report.accepted >= 30:
                            line.freeze_at(MOMENTS[moment])
        line.close()  # the server ends the transactions behind it
        async with PostgresStore(postgres, schema=schema) as store:
            left = {each.outcome async for each in store.results("spring")}
            report = await client.send_all(phones(100), journal=store, **spring)
            told = [each async for each in store.results("spring")]

    assert left <= {Outcome.ACCEPTED, Outcome.UNKNOWN}
    assert 100 == report.accepted == len(gateway.ledger) == len(told)
    assert gateway.ledger.ids() == {each.client_id_sms: each.id_sms for each in told}


async def test_a_campaign_that_is_cancelled_in_silence_ends(line: SilentProxy, schema: str):
    """Its stream is left in seconds, however long the store would wait for its server."""
    gateway = Gateway()
    async with (
        PostgresStore(line.dsn, schema=schema, patience=600) as store,
        WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=10, grace=1) as client,
    ):
        with anyio.fail_after(3 * CANCELLED_SECONDS), anyio.CancelScope() as scope:
            async with client.stream(
                phones(1_000), text="Sale!", sender="ACME", campaign="spring", journal=store
            ) as results:
                async for _ in results:
                    if results.report.accepted >= 100:
                        line.freeze()
                        scope.cancel()


async def test_a_statement_that_takes_longer_than_the_patience_is_waited_for(postgres: str, schema: str):
    """A server that says on another connection that it is at work is not away."""
    async with PostgresStore(postgres, schema=schema, patience=0.5) as store:
        rows = await store._server.call(lambda session: session.fetch("SELECT 1 FROM pg_sleep(2.5)"))

    assert [(1,)] == rows


async def test_an_answer_that_got_lost_is_not_waited_for(line: SilentProxy, schema: str):
    """Where only old connections are silent, the server says that it is done, and the call is made again."""
    async with PostgresStore(line.dsn, schema=schema, patience=3) as store:
        await store.plan(SPRING, phones(6))
        line.freeze()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_unavailable, DOORS["status"], Doors(store))
            await anyio.wait_all_tasks_blocked()
            line.thaw()
        assert ["spring"] == await store.campaigns()


async def _unavailable(door: Door, on: Doors) -> None:
    """A settlement, which a cancellation does not end, may fail."""
    with contextlib.suppress(StoreUnavailable):
        await door(on)
