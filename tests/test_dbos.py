"""Campaigns of many workers on DBOS: what is restarted, what happens once, and which processes may be killed."""

import asyncio
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from tests.builders import logged, message, phones
from tests.postgres_server import serve as own_server
from webcom_async import InputError, Outcome, StoreUnavailable, UsageError, WebcomClient
from webcom_async._cli.run.campaign_watch import looks
from webcom_async.emulator import Fault, Gateway, GatewayTransport, serve
from webcom_async.events import CampaignMissing, CampaignsAwaited, Event
from webcom_async.scaleout import CampaignSettings, CampaignState, CampaignStatus, CampaignStore, SqliteStore

pytest.importorskip("dbos", reason="the engine is an extra")

from dbos import DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy import Engine, event

from webcom_async.scaleout.dbos import DbosEngine
from webcom_async.scaleout.dbos._names import CAMPAIGN, SCHEMA, enqueued
from webcom_async.scaleout.dbos._sqlite_compat import usable

pytestmark = pytest.mark.anyio

LEASE = 3.0  # seconds


@pytest.fixture
def anyio_backend() -> str:
    """DBOS runs on asyncio only."""
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "campaigns") as store:
        yield store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/engine.db"


@asynccontextmanager
async def working(
    gateway: Gateway, store: CampaignStore, url: str, name: str = "here", **options: Any
) -> AsyncIterator[DbosEngine]:
    """Run a worker in this process while the block runs."""
    transport = GatewayTransport(gateway)
    async with (
        WebcomClient(token=gateway.token, transport=transport, wait_initial=0.01, wait_max=0.01, **options) as client,
        DbosEngine(store, client, system_database_url=url, name=name, lease_seconds=LEASE) as engine,
        engine.working(),
    ):
        yield engine


async def plan(store: CampaignStore, count: int = 20, campaign: str = "spring", **settings: Any) -> None:
    """Plan a campaign of *count* recipients, in batches of two and shards of four."""
    of_spring = {"message": message(), "batch_size": 2, "shard_size": 4} | settings
    await store.plan(CampaignSettings(campaign=campaign, **of_spring), phones(count))


async def until(store: CampaignStore, come: Callable[[CampaignStatus], bool]) -> CampaignStatus:
    """Return the campaign's status when *come* holds of it, or when the campaign has ended."""
    with anyio.fail_after(40):
        async with aclosing(looks(store, "spring")) as seen:
            async for standing, _ in seen:
                if come(standing):
                    break
    return standing


async def a_while(store: CampaignStore, looks: int = 4) -> None:
    """Look at the campaign so often, four times a second, that its scheduler has looked again."""
    left = itertools.count(looks, -1)
    await until(store, lambda _: next(left) == 0)


@contextmanager
def client_of(url: str) -> Iterator[DBOSClient]:
    """Open DBOS's own client on the engine's tables."""
    client = DBOSClient(
        system_database_url=usable(url), dbos_system_schema=SCHEMA, serializer=DBOSPortableJSONSerializer()
    )
    try:
        yield client
    finally:
        client.destroy()


def workflows(url: str) -> dict[str, Any]:
    """Return the workflows that DBOS has stored, by id."""
    with client_of(url) as client:
        return {each.workflow_id: each for each in client.list_workflows()}


def one_sms_each(gateway: Gateway, count: int = 20) -> bool:
    return (count, set(phones(count))) == (len(gateway.ledger), {sms.phone for sms in gateway.ledger.sent})


async def test_a_campaign_is_a_workflow_and_its_shards_are_its_children(store: SqliteStore, url: str):
    """The campaign's name is its workflow's id; a shard's id adds the shard and the generation."""
    gateway = Gateway()
    await plan(store)
    async with working(gateway, store, url) as engine:
        await engine.start("spring")
        await engine.start("spring")
        standing = await engine.wait("spring")
        await _ended(url, "spring")

    found = await asyncio.to_thread(workflows, url)
    assert {"spring", *(f"spring/{shard}/1" for shard in range(1, 6))} == set(found)
    assert {"SUCCESS"} == {each.status for each in found.values()}
    assert {"spring"} == {each.parent_workflow_id for id_, each in found.items() if "/" in id_}
    assert (CampaignState.FINISHED, 20, ["here"]) == (
        standing.state,
        standing.outcomes[Outcome.ACCEPTED],
        [worker.name for worker in standing.workers],
    )
    assert one_sms_each(gateway)


async def _ended(url: str, workflow_id: str) -> None:
    """Wait until a workflow has ended."""

    def wait() -> None:
        with client_of(url) as client:
            client.retrieve_workflow(workflow_id).get_result(polling_interval_sec=0.1)

    with anyio.fail_after(20):
        await asyncio.to_thread(wait)


async def test_the_engine_stores_no_phone_and_no_text(store: SqliteStore, url: str, tmp_path: Path):
    """Steps carry only numbers: the engine's database has no text and no phone."""
    gateway = Gateway()
    await plan(store, message=message("Keep this to yourself"))
    async with working(gateway, store, url) as engine:
        await engine.start("spring")
        await engine.wait("spring")

    assert one_sms_each(gateway)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("engine.db*"))
    assert b"spring/1/1" in kept
    assert not any(word in kept for word in (b"Keep this", b"7961", gateway.token.encode()))


async def test_a_failure_that_would_meet_every_batch_halts_the_campaign(store: SqliteStore, url: str):
    """An empty account is shown in the campaign's status; topped up and resumed, the same workers continue."""
    gateway = Gateway()
    gateway.accounts[0].balance = 7
    await plan(store)
    async with working(gateway, store, url) as engine:
        await engine.start("spring")
        halted = await engine.wait("spring")
        sent = len(gateway.ledger)
        gateway.accounts[0].balance = None
        await store.change_state("spring", CampaignState.RUNNING)
        finished = await engine.wait("spring")

    assert CampaignState.HALTED is halted.state
    assert 0 < sent <= 7
    assert "SMS" in halted.why
    assert CampaignState.FINISHED is finished.state
    assert one_sms_each(gateway)


async def test_a_paused_campaign_waits_until_it_is_resumed(store: SqliteStore, url: str):
    """While a campaign is paused nothing leaves; when it is resumed, its scheduler dispatches its shards again."""
    gateway = Gateway()
    gateway.faults.sometimes(1.0, Fault(delay=0.02))
    await plan(store, 60)
    async with working(gateway, store, url, in_flight=1) as engine:
        await engine.start("spring")
        await until(store, lambda standing: standing.outcomes[Outcome.ACCEPTED] > 0)
        await store.change_state("spring", CampaignState.PAUSED)
        await until(store, lambda standing: not any(worker.shards for worker in standing.workers))
        sent = len(gateway.ledger)
        await a_while(store)
        still = len(gateway.ledger)
        await store.change_state("spring", CampaignState.RUNNING)
        await engine.wait("spring")

    assert sent == still < 60
    assert one_sms_each(gateway, 60)


async def test_a_finished_campaign_is_resumed_in_another_round(store: SqliteStore, url: str):
    """Recipients not settled at its end are sent again after a resume, by a workflow of the next number."""
    gateway = Gateway()
    await plan(store, 4)
    gateway.accounts[0].balance = None
    for _ in range(200):
        gateway.faults.script(Fault(status=503))
    async with working(gateway, store, url, attempts=1, retry_quota=10_000) as engine:
        await engine.start("spring")
        first = await engine.wait("spring")
        gateway.faults._script.clear()
        await _ended(url, "spring")
        await store.change_state("spring", CampaignState.RUNNING)
        second = await engine.wait("spring")

    assert (CampaignState.FINISHED, 4) == (first.state, first.open)
    assert (CampaignState.FINISHED, 0, 4) == (second.state, second.open, second.outcomes[Outcome.ACCEPTED])
    assert "spring#2" in await asyncio.to_thread(workflows, url)
    assert one_sms_each(gateway, 4)


async def test_a_worker_that_stops_gives_back_what_it_has_begun(store: SqliteStore, url: str):
    """Its leases are free at once, its workflows are queued again, and another worker continues without waiting."""
    gateway = Gateway()
    gateway.faults.sometimes(1.0, Fault(delay=0.05))
    await plan(store, 40)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_work_for_ever, gateway, store, url)
        await until(store, lambda standing: standing.outcomes[Outcome.ACCEPTED] > 3)
        tasks.cancel_scope.cancel()

    stopped = await store.status("spring")
    found = await asyncio.to_thread(workflows, url)
    assert (CampaignState.RUNNING, [[]]) == (stopped.state, [worker.shards for worker in stopped.workers])
    assert "PENDING" not in {each.status for each in found.values()}
    assert await asyncio.to_thread(lambda: True)  # DBOS has stopped its threads, and the loop has others

    began = anyio.current_time()
    async with working(gateway, store, url, "second") as engine:
        await engine.wait("spring")
    assert anyio.current_time() - began < 20
    assert {"first", "second"} == {worker.name for worker in (await store.status("spring")).workers}
    assert one_sms_each(gateway, 40)


async def _work_for_ever(gateway: Gateway, store: CampaignStore, url: str) -> None:
    transport = GatewayTransport(gateway)
    async with (
        WebcomClient(token=gateway.token, transport=transport, in_flight=1) as client,
        DbosEngine(store, client, system_database_url=url, name="first", lease_seconds=LEASE) as engine,
    ):
        await engine.start("spring")
        await engine.run()


async def test_a_campaign_that_was_only_planned_is_started_by_any_worker(store: SqliteStore, url: str):
    """If a process dies between planning and starting, a worker starts the campaign without an operator."""
    gateway = Gateway()
    await plan(store)
    async with working(gateway, store, url) as engine:
        await engine.wait("spring")

    assert one_sms_each(gateway)


async def test_a_campaign_that_cannot_be_started_keeps_no_other_waiting(
    store: SqliteStore, url: str, caplog: pytest.LogCaptureFixture
):
    """Campaigns whose names the engine reserves are warned of together; the campaign planned after them is sent."""
    gateway = Gateway()
    for campaign in ("summer#2", "summer/1/1", "spring"):
        await plan(store, campaign=campaign)
    async with working(gateway, store, url):
        await until(store, lambda standing: standing.state is CampaignState.FINISHED)

    assert one_sms_each(gateway)
    warned = [
        vars(record)["error"] for record in caplog.records if vars(record).get("event") == "campaigns_not_started"
    ]
    assert warned
    assert all("'summer#2'" in words and "'summer/1/1'" in words for words in warned)


async def test_a_scheduler_that_cannot_hand_out_shards_tries_again(dsn: str):
    """A scheduler retries while the database refuses it, so that no operator has to act afterwards."""
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    gateway = Gateway()
    async with PostgresStore(dsn) as store:
        await plan(store)
        with psycopg.connect(dsn, autocommit=True) as connection:
            async with working(gateway, store, dsn) as engine:
                connection.execute("ALTER TABLE webcom_async.shards RENAME TO hidden")
                await engine.start("spring")
                with logged("overseer_failed") as failed, anyio.fail_after(20):
                    await failed.wait()
                connection.execute("ALTER TABLE webcom_async.hidden RENAME TO shards")
                await engine.wait("spring")

    assert one_sms_each(gateway)


async def test_two_campaigns_are_sent_side_by_side(store: SqliteStore, url: str):
    """A campaign with a low rate does not delay the other one."""
    gateway = Gateway()
    await plan(store, rate=1.0)
    await plan(store, 20, "summer")
    async with working(gateway, store, url) as engine:
        await engine.start("spring")
        await until(store, lambda standing: len(standing.workers) == 1)
        await engine.start("summer")
        await engine.wait("summer")
        spring = await store.status("spring")

    assert CampaignState.RUNNING is spring.state


@pytest.mark.parametrize("campaign", ["spring/1/1", "spring#2"])
async def test_a_name_that_the_engine_could_take_for_its_own_is_refused(store: SqliteStore, url: str, campaign: str):
    """A campaign may not have the name of another campaign's shard or round."""
    await plan(store, campaign=campaign)
    async with DbosEngine(store, system_database_url=url) as engine:
        with pytest.raises(InputError, match="as the engine's own names do"):
            await engine.start(campaign)


async def test_what_was_not_planned_is_not_started(store: SqliteStore, url: str):
    """Starting a campaign that the store does not have is an error, and leaves no workflow."""
    await plan(store)
    async with DbosEngine(store, system_database_url=url) as engine:
        with pytest.raises(InputError, match="summer"):
            await engine.start("summer")
    assert {} == await asyncio.to_thread(workflows, url)


async def test_misuse_raises_before_anything_happens(store: SqliteStore, url: str):
    """A closed engine, a worker without a client, a second one in the process and bad numbers are errors."""
    engine = DbosEngine(store, system_database_url=url)
    await plan(store)
    with pytest.raises(UsageError, match="async with"):
        await engine.start("spring")
    async with engine:
        with pytest.raises(UsageError, match="client"):
            await engine.run()
    async with working(Gateway(), store, url):
        with pytest.raises(UsageError, match="in this process already"):
            async with working(Gateway(), store, url, "another"):
                pass
    with pytest.raises(InputError, match="lease_seconds"):
        DbosEngine(store, system_database_url=url, lease_seconds=0)
    with pytest.raises(InputError, match="shards_at_once"):
        DbosEngine(store, system_database_url=url, shards_at_once=0)


async def test_a_password_is_never_shown(store: SqliteStore, caplog: pytest.LogCaptureFixture, unused_port: int):
    """Neither the engine's repr, nor its error about a server that is away, nor a log shows the password."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("dbos").setLevel(logging.DEBUG)
    engine = DbosEngine(store, system_database_url=f"postgresql://me:s3cr3t-w0rd@127.0.0.1:{unused_port}/x")
    with pytest.raises(StoreUnavailable) as caught:
        async with engine:
            pass
    logging.getLogger("dbos").setLevel(logging.WARNING)

    assert "s3cr3t-w0rd" not in f"{engine!r} {caught.value} {caught.value!r} {caplog.text}"
    assert "refused" in str(caught.value)


async def test_nothing_but_the_gateway_and_the_database_is_called(store: SqliteStore, url: str):
    """There is no telemetry and no remote console: with SQLite and an emulator here, no connection is made."""
    called: list[Any] = []
    watched = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watched and event in {"socket.connect", "socket.getaddrinfo"}:
            called.append(arguments)

    sys.addaudithook(hook)
    gateway = Gateway()
    await plan(store)
    async with working(gateway, store, url) as engine:
        await engine.start("spring")
        await engine.wait("spring")
    watched = False

    assert [] == called
    assert one_sms_each(gateway)


# ---------------------------------------------------------------------------- what a worker waits for


async def test_a_campaign_of_another_engine_version_is_told_of(
    store: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A worker, and the status, say which version a campaign waits for, instead of waiting without a word."""
    main = pytest.importorskip("webcom_async.cli", reason="the command line is an extra").main
    url = f"sqlite:///{tmp_path}/campaigns/engine.db"
    await plan(store)
    async with DbosEngine(store, system_database_url=url):
        await asyncio.to_thread(_enqueue_for, url, "2")
    with logged("engine_version_awaited") as told, anyio.fail_after(20):
        async with working(Gateway(), store, url):
            await told.wait()
    await store.aclose()
    status = ["campaign", "status", "spring", "--store", str(tmp_path / "campaigns"), "--lang"]
    for language, words in (("en", "waiting for a worker of engine version 2"), ("ru", "движком версии 2")):
        assert 0 == await asyncio.get_running_loop().run_in_executor(None, main, [*status, language])
        assert words in capsys.readouterr().err


def _enqueue_for(url: str, version: str) -> None:
    with client_of(url) as client:
        client.enqueue(enqueued(CAMPAIGN, "spring") | {"app_version": version}, "spring")


async def test_a_worker_tells_of_a_campaign_that_its_store_has_lost(dsn: str):
    """A worker says that a failover has lost its campaign, and that it waits for another one."""
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    async with PostgresStore(dsn) as store:
        await plan(store, rate=1.0)
        awaited, seen = anyio.Event(), list[Event]()

        def see(event: Event) -> None:
            seen.append(event)
            if isinstance(event, CampaignsAwaited):
                awaited.set()

        with anyio.fail_after(30):
            async with working(Gateway(), store, dsn, observers=[see]):
                await until(store, lambda standing: bool(standing.workers))
                with psycopg.connect(dsn, autocommit=True) as connection:
                    connection.execute("DELETE FROM webcom_async.campaigns")
                await awaited.wait()

    assert [CampaignMissing(campaign="spring")] == [each for each in seen if isinstance(each, CampaignMissing)]


LOOKS = {
    "queues": "main.queues.application_name IN",
    "schedules": "FROM main.workflow_schedules",
    "time-outs": "ORDER BY main.workflow_status.workflow_deadline_epoch_ms",
}


async def test_an_idle_worker_looks_seldom(store: SqliteStore, url: str):
    """While DBOS looks six times for new queues, once a second, it looks twice at most for schedules and time-outs."""
    seen: Counter[str] = Counter()
    enough = threading.Event()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.update(what for what, words in LOOKS.items() if words in statement)
        if seen["queues"] >= 6:
            enough.set()

    event.listen(Engine, "before_cursor_execute", note)
    try:
        async with working(Gateway(), store, url):
            assert await run_sync(enough.wait, 40)
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert seen["schedules"] in {1, 2}
    assert seen["time-outs"] in {1, 2}


async def test_an_engine_whose_database_goes_silent_ends(store: SqliteStore, dsn: str):
    """Its loop goes on, a start is an error in time, and a worker that is stopped ends in seconds."""
    from tests.postgres_proxies import silent  # noqa: PLC0415

    await plan(store, rate=1.0)
    with silent(dsn) as line:
        async with working(Gateway(), store, line.dsn) as engine:
            await engine.start("spring")
            await until(store, lambda standing: bool(standing.workers))
            line.freeze()
            began = anyio.current_time()
            silence = "did not answer|connection timeout expired"  # of a connection that was open, or of a new one
            with anyio.fail_after(20), pytest.raises(StoreUnavailable, match=silence):
                await engine.start("spring")
        assert anyio.current_time() - began < 60


# ---------------------------------------------------------------------------- processes, on PostgreSQL


posix = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX")
WORKER = [sys.executable, "-m", "webcom_async", "campaign", "worker", "--lease", "3", "--in-flight", "2"]


class Crew:
    """Worker processes, and the campaign that they send."""

    def __init__(self, gateway_url: str, dsn: str) -> None:
        known = {name: value for name, value in os.environ.items() if not name.startswith("WEBCOM_")}
        self._environ = known | {
            "WEBCOM_BASE_URL": gateway_url,
            "WEBCOM_TOKEN": Gateway().token,
            "WEBCOM_STORE": dsn,
            "WEBCOM_LANG": "en",
        }
        self.dsn = dsn
        self.workers: dict[str, subprocess.Popen[str]] = {}

    def hire(self, *names: str) -> None:
        """Start workers, and return when they are ready."""
        for name in names:
            self.workers[name] = subprocess.Popen(
                [*WORKER, "--name", name], env=self._environ, stderr=subprocess.PIPE, text=True
            )
        for name in names:
            said = self.workers[name].stderr
            assert said is not None
            assert said.readline().startswith(f"worker {name} is ready: postgresql://")

    def signal(self, name: str, number: signal.Signals) -> None:
        self.workers[name].send_signal(number)

    def dismiss(self) -> list[int]:
        """End all workers, and return their exit codes."""
        for worker in self.workers.values():
            worker.send_signal(signal.SIGCONT)
            worker.terminate()
        return [_ended_with(worker) for worker in self.workers.values()]


def _ended_with(worker: "subprocess.Popen[str]") -> int:
    try:
        worker.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.communicate()
    return worker.returncode


@pytest.fixture
def dsn(postgres: str) -> str:
    """Return the DSN of an empty database."""
    pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    name = f"engine_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.rpartition("/")[0] + f"/{name}"


_numbers = itertools.count(1)


@pytest.fixture
def slow() -> Iterator[tuple[Gateway, str]]:
    """Return a slow gateway on a socket, and its URL."""
    gateway = Gateway()
    gateway.faults.sometimes(1.0, Fault(delay=0.15))
    with serve(gateway) as url:
        yield gateway, url


@pytest.fixture
def crew(slow: tuple[Gateway, str], dsn: str) -> Iterator[Crew]:
    """Return a crew without workers yet; its workers are stopped at the end."""
    pytest.importorskip("cyclopts", reason="the command line is an extra")
    crew = Crew(slow[1], dsn)
    yield crew
    crew.dismiss()


@asynccontextmanager
async def on_postgres(dsn: str) -> AsyncIterator[tuple[CampaignStore, DbosEngine]]:
    """Open a store and an engine in this process, which is not a worker."""
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    async with PostgresStore(dsn) as store, DbosEngine(store, system_database_url=dsn) as engine:
        yield store, engine


def scheduler_of(dsn: str) -> str:
    """Return the name of the worker that schedules the campaign."""
    return str(workflows(dsn)["spring"].executor_id)


@posix
@pytest.mark.socket
async def test_a_campaign_outlives_kill_and_sleep_and_a_restart(
    slow: tuple[Gateway, str], crew: Crew, request: pytest.FixtureRequest
):
    """One worker is killed, one sleeps past its lease, PostgreSQL restarts, and every recipient gets one SMS."""
    gateway, _ = slow
    async with on_postgres(crew.dsn) as (store, engine):
        await plan(store, 160)
        await asyncio.to_thread(crew.hire, "one", "two", "three")
        await engine.start("spring")
        await until(store, lambda standing: standing.outcomes[Outcome.ACCEPTED] >= 20)

        scheduler = await asyncio.to_thread(scheduler_of, crew.dsn)
        sleeper, steady = sorted({"one", "two", "three"} - {scheduler})
        crew.signal(scheduler, signal.SIGKILL)
        crew.signal(sleeper, signal.SIGSTOP)
        if "WEBCOM_TEST_POSTGRES" not in os.environ:  # the tests do not own that server
            await asyncio.to_thread(request.getfixturevalue("postgres_server").restart)
        await until(store, lambda standing: not _held_by(standing, sleeper))
        crew.signal(sleeper, signal.SIGCONT)
        with anyio.fail_after(45):
            standing = await engine.wait("spring")
        results = [result async for result in store.results("spring")]

    assert (CampaignState.FINISHED, 160) == (standing.state, standing.outcomes[Outcome.ACCEPTED])
    assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in results}
    assert one_sms_each(gateway, 160)
    assert {143} == {code for name, code in zip(crew.workers, crew.dismiss(), strict=True) if name != scheduler}
    assert steady in {worker.name for worker in standing.workers}


@posix
@pytest.mark.socket
async def test_a_worker_ends_though_its_database_is_away(slow: tuple[Gateway, str]):
    """One signal ends it within a bound, a second one at once, and the exit code is the first signal's."""
    pytest.importorskip("cyclopts", reason="the command line is an extra")
    pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    if "WEBCOM_TEST_POSTGRES" in os.environ:
        pytest.skip("the server is somebody else's, and may not be stopped")
    with own_server() as server:
        crew = Crew(slow[1], server.database())
        async with on_postgres(crew.dsn) as (store, engine):
            await plan(store, 400)
            await engine.start("spring")
            await asyncio.to_thread(crew.hire, "once", "twice")
            await until(store, lambda standing: _held_by(standing, "once") and _held_by(standing, "twice"))
        await asyncio.to_thread(server.stop, "immediate")

        for name, number in (("once", signal.SIGTERM), ("twice", signal.SIGINT)):
            crew.signal(name, number)
        with pytest.raises(subprocess.TimeoutExpired):  # it has requests in flight, and has received the signal
            await asyncio.to_thread(crew.workers["twice"].wait, 1)
        crew.signal("twice", signal.SIGTERM)
        try:
            assert 130 == await asyncio.to_thread(crew.workers["twice"].wait, 5)
            assert 143 == await asyncio.to_thread(crew.workers["once"].wait, 18)
        finally:
            await asyncio.to_thread(crew.dismiss)


def _held_by(standing: CampaignStatus, name: str) -> bool:
    return any(worker.shards for worker in standing.workers if worker.name == name)


@posix
@pytest.mark.socket
async def test_any_host_pauses_resumes_and_cancels(slow: tuple[Gateway, str], crew: Crew):
    """A pause, resume or cancellation on one host holds for the workers of all."""
    gateway, _ = slow
    async with on_postgres(crew.dsn) as (store, engine):
        await plan(store, 200)
        await engine.start("spring")
        await asyncio.to_thread(crew.hire, "one", "two")
        await until(store, lambda standing: standing.outcomes[Outcome.ACCEPTED] >= 8)
        await store.change_state("spring", CampaignState.PAUSED)
        await until(store, lambda standing: not any(worker.shards for worker in standing.workers))
        paused = len(gateway.ledger)
        await a_while(store)
        still = len(gateway.ledger)

        await store.change_state("spring", CampaignState.RUNNING)
        await until(store, lambda standing: standing.outcomes[Outcome.ACCEPTED] > paused)
        cancelled = await store.change_state("spring", CampaignState.CANCELLED)
        await _ended(crew.dsn, "spring")

    assert paused == still < 200
    assert CampaignState.CANCELLED is cancelled.state
    assert paused < len(gateway.ledger) < 200


@posix
@pytest.mark.socket
async def test_a_worker_of_the_same_name_takes_its_work_up_at_once(slow: tuple[Gateway, str], crew: Crew):
    """A host that restarts after a crash does not wait until its former lease expires."""
    gateway, url = slow
    async with on_postgres(crew.dsn) as (store, engine):
        await plan(store, 60, shard_size=30)
        await engine.start("spring")
        await asyncio.to_thread(crew.hire, "one")
        await until(store, lambda standing: standing.outcomes[Outcome.ACCEPTED] >= 4)
        crew.signal("one", signal.SIGKILL)
        crew.workers["one"].communicate()
        held = await store.status("spring")
        async with (
            WebcomClient(token=gateway.token, base_url=url) as client,
            DbosEngine(store, client, system_database_url=crew.dsn, name="one", lease_seconds=300) as again,
            again.working(),
        ):
            with anyio.fail_after(40):
                await again.wait("spring")

    assert _held_by(held, "one")
    assert one_sms_each(gateway, 60)
