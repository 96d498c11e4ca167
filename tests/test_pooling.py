"""A journal whose connections are shared with others: by a pooler of transactions, or of another encoding than ours."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

pytest.importorskip("psycopg", reason="psycopg is an extra")
import psycopg

from tests.builders import message, phones, still_clock
from tests.conftest import Connect
from tests.postgres_proxies import PoolingProxy, pooling
from tests.postgres_server import Server
from webcom_async import JournalError, Outcome, StoreUnavailable, WebcomClient
from webcom_async.emulator import Fault, Gateway, GatewayTransport
from webcom_async.postgres import PostgresStore
from webcom_async.scaleout import CampaignSettings, CampaignState, ShardOutcome, Worker

pytestmark = pytest.mark.anyio

SETTINGS = (
    "search_path",
    "default_transaction_isolation",
    "enable_seqscan",
    "enable_hashjoin",
    "jit",
    "plan_cache_mode",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "DateStyle",
)
LEFT = (
    f"SELECT {', '.join(f'current_setting({name!r})' for name in SETTINGS)}, "
    "(SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
)


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Return the one event loop that psycopg supports."""
    return request.param


@pytest.fixture
def pooler(postgres: str, schema: str) -> Iterator[PoolingProxy]:  # noqa: ARG001 - dropped after the pooler has ended
    """Return a pooler before the server."""
    with pooling(postgres) as proxy:
        yield proxy


async def left_on(dsn: str, looks: int) -> set[tuple[Any, ...]]:
    """Return what sessions of *dsn* have set, over so many transactions."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        return {tuple((await (await connection.execute(LEFT)).fetchall())[0]) for _ in range(looks)}


async def test_a_pooler_of_transactions_serves_a_campaign(pooler: PoolingProxy, postgres: str, schema: str):
    """Two runs and a worker send through it, and leave nothing on its connections to other users of them."""
    gateway = Gateway()
    spring: dict[str, Any] = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}
    async with (
        PostgresStore(pooler.dsn, schema=schema) as one,
        PostgresStore(pooler.dsn, schema=schema) as two,
        WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=10) as client,
    ):
        async with anyio.create_task_group() as tasks:
            for store in (one, two):
                tasks.start_soon(lambda store: client.send_all(phones(200), journal=store, **spring), store)
        await one.plan(CampaignSettings(campaign="summer", message=message(), batch_size=5, rate=1e6), phones(60))
        ended = await Worker(client, two, "one", clock=still_clock()).run_shard("summer", 1)
        summer = await one.status("summer")
        counts = await two.counts("spring")
        purged = await one.purge("summer")

    assert 200 == counts[Outcome.ACCEPTED]
    assert (ShardOutcome.DONE, 60, 60) == (ended.ending, summer.outcomes[Outcome.ACCEPTED], purged)
    assert 260 == len(gateway.ledger)
    assert await left_on(postgres, 1) == await left_on(pooler.dsn, 9)


async def test_a_pooler_that_takes_no_options_says_so(pooler: PoolingProxy, schema: str):
    """A DSN with options that the pooler refuses is an error at once, with what to do."""
    async with PostgresStore(f"{pooler.dsn}?options=-c%20lock_timeout%3D1s", schema=schema, patience=600) as store:
        with (
            anyio.fail_after(10),
            pytest.raises(JournalError, match="a parameter of the DSN; leave") as caught,
        ):
            await store.campaigns()

    assert not isinstance(caught.value, StoreUnavailable)


# ---------------------------------------------------------------------------- PgBouncer itself

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def bouncer(request: pytest.FixtureRequest, postgres: str, schema: str, tmp_path: Path) -> Iterator[str]:  # noqa: ARG001
    """Return a DSN by way of PgBouncer in the mode that the test names."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed")
    to = urlsplit(postgres)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tmp_path.chmod(0o755)
    lines = [
        "[databases]",
        f"* = host={to.hostname} port={to.port} user={to.username} password={to.password}",
        "[pgbouncer]",
        f"pool_mode = {request.param}",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "default_pool_size = 3",
    ]
    (tmp_path / "pgbouncer.ini").write_text("\n".join(lines))
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "pgbouncer.ini").chmod(0o644)
    command = [PROGRAM, str(tmp_path / "pgbouncer.ini")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **user)
    assert process.stderr is not None
    while "process up" not in process.stderr.readline():
        assert process.poll() is None
    yield to._replace(netloc=f"{to.username}@127.0.0.1:{port}").geturl()
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("bouncer", ["transaction", "session"], indirect=True)
async def test_pgbouncer_serves_a_campaign(bouncer: str, connect: Connect, webcom_gateway: Gateway, schema: str):
    """Its pools of transactions and of sessions do."""
    async with PostgresStore(bouncer, schema=schema, patience=10) as store, connect(webcom_gateway) as client:
        report = await client.send_all(phones(300), text="Sale!", sender="ACME", campaign="spring", journal=store)

    assert 300 == report.accepted == len(webcom_gateway.ledger)


@pytest.mark.parametrize("bouncer", ["statement"], indirect=True)
async def test_pgbouncer_that_pools_statements_is_refused_in_words(bouncer: str, schema: str):
    """Without transactions there is no journal, and the error says which mode there has to be."""
    async with PostgresStore(bouncer, schema=schema, patience=600) as store:
        with anyio.fail_after(20), pytest.raises(JournalError, match="pool_mode = transaction") as caught:
            await store.campaigns()

    assert not isinstance(caught.value, StoreUnavailable)


# ---------------------------------------------------------------------------- encodings

_databases = itertools.count(1)


@pytest.fixture
async def encoded(request: pytest.FixtureRequest, postgres_server: Server) -> str:
    """Return the DSN of a database in the encoding that the test names."""
    name = f"encoded_{os.getpid()}_{next(_databases)}"
    making = f"CREATE DATABASE {name} ENCODING '{request.param}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    await asyncio.to_thread(postgres_server.execute, making)
    return postgres_server.dsn_of(name)


TEXTS = {"UTF8": "Скидка 🎁", "SQL_ASCII": "Скидка 🎁", "LATIN1": "Été"} | dict.fromkeys(
    ("WIN1251", "KOI8R", "ISO_8859_5"), "Скидка"
)


@pytest.mark.parametrize(("encoded", "text"), list(TEXTS.items()), indirect=["encoded"], ids=list(TEXTS))
async def test_a_database_of_any_encoding_keeps_a_journal(
    encoded: str, text: str, connect: Connect, webcom_gateway: Gateway
):
    """It has what it can hold, and what the gateway says in characters that it lacks comes escaped, not lost."""
    words = "ошибка 🎁 ÿ"
    answer = f'{{"information": [{{"error": "{words}"}}]}}'
    webcom_gateway.faults.script(Fault(body=answer.encode()))
    async with PostgresStore(encoded) as store, connect(webcom_gateway, batch_size=1, in_flight=1) as client:
        report = await client.send_all(phones(3), text=text, sender="ACME", campaign="spring", journal=store)
        told = [each async for each in store.results("spring")]
        await store.plan(CampaignSettings(campaign="summer", message=message(text)), phones(3))
        await store.change_state("summer", CampaignState.HALTED, words)
        [row, *_] = [each async for each in store.export("spring")]
        settings, status = await store.settings("summer"), await store.status("summer")

    assert (2, 3) == (report.accepted, len(told))
    assert [text, text] == [row["message"]["text"], settings.message.text if settings.message else None]
    assert {status.why, told[0].error} == {told[0].error}
    assert "\\" in status.why or words == status.why


@pytest.mark.parametrize("encoded", ["WIN1251", "LATIN1"], indirect=True)
async def test_a_text_that_a_database_cannot_hold_is_an_error_before_it_is_sent(
    encoded: str, connect: Connect, webcom_gateway: Gateway
):
    """The error says that the database's encoding is the cause."""
    async with PostgresStore(encoded) as store, connect(webcom_gateway) as client:
        with pytest.raises(JournalError, match="ENCODING 'UTF8'"):
            await client.send_all(phones(3), text="日本 🎁", sender="ACME", campaign="spring", journal=store)
        with pytest.raises(JournalError, match="ENCODING 'UTF8'"):
            await store.plan(CampaignSettings(campaign="summer", message=message("日本 🎁")), phones(3))

    assert 0 == len(webcom_gateway.ledger)
