"""The recipe for another engine: Taskiq with NATS JetStream, in real processes."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from tests.builders import message, phones
from tests.watched import Watched
from webcom_async import Outcome, WebcomClient
from webcom_async.emulator import Gateway, GatewayTransport, serve
from webcom_async.scaleout import CampaignSettings, CampaignStore, ShardEnd, SqliteStore, Worker

RECIPE = Path(__file__).parents[1] / "examples" / "taskiq_nats" / "campaigns.py"
SERVER = shutil.which("nats-server", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
PATIENCE = 30.0  # seconds
PEOPLE = 11_000  # in two shards

pytestmark = [
    pytest.mark.socket,
    pytest.mark.skipif(find_spec("taskiq_nats") is None or SERVER is None, reason="Taskiq and NATS are not installed"),
]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a NATS server of this test's own, on a free port."""
    command = [SERVER, "-js", "-sd", tmp_path / "nats", "-a", "127.0.0.1", "-p", "-1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            log = list(takewhile(lambda line: "Server is ready" not in line, server.stderr))
            [port] = [line.rpartition(":")[2] for line in log if "Listening for client connections" in line]
            yield f"nats://127.0.0.1:{int(port)}"
        finally:
            server.kill()


class Recipe:
    """
    The recipe, as its own docstring has it started.

    Args:
        gateway: The gateway's URL.
        nats: NATS's URL.
        store: Where campaigns are, as its settings name it.
    """

    def __init__(self, gateway: str, nats: str, store: dict[str, str]) -> None:
        self._environ = os.environ | {
            "WEBCOM_TOKEN": Watched().token,
            "WEBCOM_BASE_URL": gateway,
            "NATS_URL": nats,
            "LEASE_SECONDS": "1",
            **store,
        }

    def run(self, *arguments: object) -> subprocess.Popen[str]:
        """Start it."""
        command = [sys.executable, RECIPE, *map(str, arguments)]
        return subprocess.Popen(command, env=self._environ, stdout=subprocess.PIPE, text=True)

    def start(self, people: Path) -> None:
        """Start the campaign."""
        with self.run("start", "spring", people) as start:
            assert 0 == start.wait(PATIENCE)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return where campaigns are, as the recipe's settings name it."""
    if request.param == "sqlite":
        return {"CAMPAIGN_STORE": str(tmp_path / "campaigns")}
    dsn, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")
    return {"CAMPAIGN_STORE": dsn, "CAMPAIGN_SCHEMA": schema}


def open_store(where: dict[str, str]) -> AbstractAsyncContextManager[CampaignStore]:
    """Open the store that the recipe uses."""
    if "CAMPAIGN_SCHEMA" not in where:
        return SqliteStore(where["CAMPAIGN_STORE"])
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(where["CAMPAIGN_STORE"], schema=where["CAMPAIGN_SCHEMA"])


def test_a_killed_workers_shards_are_sent_by_the_other(nats: str, where: dict[str, str], tmp_path: Path):
    """Two workers, `kill -9` for one that sends: every recipient gets one SMS and one result, without help."""
    people = tmp_path / "phones.txt"
    people.write_text("\n".join(phones(PEOPLE)))
    gateway = Watched(latency=1.0)  # the first requests are not through when the worker is killed
    with serve(gateway) as url:
        recipe = Recipe(url, nats, where)
        workers = [recipe.run("worker") for _ in range(2)]
        try:
            recipe.start(people)
            anyio.run(gateway.until, 2)
            killed = next(worker for worker in workers if worker.pid in anyio.run(senders, where))
            killed.kill()
            gateway.latency = 0.0
            recipe.start(people)  # again, in doubt
            [other] = set(workers) - {killed}
            assert other.stdout is not None
            assert any(line == "spring is finished\n" for line in other.stdout)
            assert -signal.SIGKILL == killed.wait(PATIENCE)
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()

    anyio.run(compare, where, gateway)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_worker_that_is_set_up_wrongly_keeps_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A wrongly set up worker says what is wrong, and its shard is sent once that is mended."""
    monkeypatch.setenv("LEASE_SECONDS", "1")
    recipe = runpy.run_path(str(RECIPE))
    gateway = Gateway()
    async with (
        SqliteStore(tmp_path / "campaigns") as store,
        WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), id_bits=53) as wrong,
        WebcomClient(token=gateway.token, transport=GatewayTransport(gateway)) as right,
    ):
        await store.plan(CampaignSettings(campaign="spring", message=message()), phones(3))
        workers = iter([Worker(wrong, store, "one"), Worker(right, store, "one")])

        async def run_shard(campaign: str, shard: int) -> ShardEnd:
            return await next(workers).run_shard(campaign, shard)

        state = SimpleNamespace(store=store, worker=SimpleNamespace(run_shard=run_shard))
        with anyio.fail_after(PATIENCE):
            ended = await recipe["send_shard"].original_func("spring", 1, SimpleNamespace(state=state))

    assert "done" == ended
    assert "id_bits" in capsys.readouterr().err
    assert 3 == len(gateway.ledger)


async def senders(where: dict[str, str]) -> set[int]:
    """Return the processes that hold a shard."""
    async with open_store(where) as store:
        return {int(shard.holder.split()[-1]) for shard in await store.shards("spring") if shard.holder is not None}


async def compare(where: dict[str, str], gateway: Watched) -> None:
    """Compare the ledger, the journal and the status."""
    async with open_store(where) as store:
        results = [result async for result in store.results("spring")]
        status = await store.status("spring")

    assert set(phones(PEOPLE)) == {result.phone for result in results}
    assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in results}
    assert PEOPLE == len(results) == len(gateway.ledger) == status.outcomes[Outcome.ACCEPTED]
