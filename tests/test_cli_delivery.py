"""The commands about delivery: their output and their exit codes."""

import csv
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from tests.builders import numbered_gateway, phones
from webcom_async import WebcomClient
from webcom_async.cli import main
from webcom_async.emulator import Gateway, GatewayTransport, Scenario, Step, UrlPost, serve
from webcom_async.webhooks import ReportFile

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

pytestmark = pytest.mark.socket

SECRET = "a-secret-of-23-letters."
posix = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX")


def environment(**environ: str) -> dict[str, str]:
    """Return this process's environment, with a token and nothing else of ours."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("WEBCOM_")}
    return known | {"WEBCOM_TOKEN": Gateway().token} | environ


class Done(NamedTuple):
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: str, url: str = "http://127.0.0.1:9") -> Done:
    """Run the command line in this process: a new process takes a second."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.delenv("WEBCOM_WEBHOOK_SECRET", raising=False)
        patch.setenv("WEBCOM_TOKEN", Gateway().token)
        patch.setenv("WEBCOM_BASE_URL", url)
        code = main(words)
    return Done(code, out.getvalue(), err.getvalue())


def until(so: Callable[[], bool]) -> None:
    """Wait until *so* returns true, for at most 30 seconds."""
    pause, last = threading.Event(), time.monotonic() + 30
    while not so():
        assert time.monotonic() < last
        pause.wait(0.01)


def yesterday() -> datetime:
    """Return a time from which every SMS has been delivered by now."""
    return datetime.now(UTC) - timedelta(days=1)


def sent(journal: Path, count: int = 4) -> Gateway:
    """Return a gateway that has sent a campaign of the journal a day ago."""
    moments = iter([yesterday()] * count)
    gateway = numbered_gateway(now=lambda: next(moments, datetime.now(UTC)))
    gateway.scenarios.to["79612242244"] = Scenario((Step(3, "expired"),))

    async def send() -> None:
        async with WebcomClient(
            token=gateway.token, base_url="http://127.0.0.1", transport=GatewayTransport(gateway)
        ) as client:
            await client.send_all(phones(count), text="Sale!", sender="ACME", campaign="spring", journal=journal)

    anyio.run(send)
    return gateway


def test_status_prints_a_table_or_lines_of_json(tmp_path: Path):
    """Ids come as arguments or from a file; each has a line, even one that the gateway does not know."""
    gateway = sent(tmp_path / "journal")
    (tmp_path / "ids.txt").write_text("1000002\n\n77\n")
    with serve(gateway) as url:
        table = run("status", "1000001", url=url)
        lines = run("status", "1000001", "--file", str(tmp_path / "ids.txt"), "--json", url=url)

    told = {line["id_sms"]: line for line in map(json.loads, lines.stdout.splitlines())}
    assert (0, 0) == (table.returncode, lines.returncode), lines.stderr
    assert {"1000001": "deliver", "1000002": "expired", "77": "unknown"} == {
        id_sms: line["state"] for id_sms, line in told.items()
    }
    assert (True, "10.6000000") == (told["1000001"]["final"], told["1000001"]["price"])
    assert re.search(r"1000001 +deliver +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +1 +10.6", table.stdout)


def test_balance_prints_a_table_or_json():
    """Money is exact, and an account without a limit is shown as such."""
    gateway = Gateway()
    gateway.accounts[0].money = Decimal("19023.90")
    with serve(gateway) as url:
        table, line = run("balance", url=url), run("balance", "--json", url=url)

    assert "19023.90 RUR" in table.stdout
    assert "1,794" in table.stdout
    assert ("19023.90", 1794) == (json.loads(line.stdout)["money"], json.loads(line.stdout)["directions"][0]["num_sms"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status",), 2, "no ids"),
        (("status", "x y"), 2, "'x y' is not an id_sms"),
        (("status", "1", "--file", "/nowhere/ids"), 2, "No such file"),
        (("track", "nowhere.journal", "--campaign", "spring"), 2, "no such file"),
        (("webhook", "reports.db"), 2, "set WEBCOM_WEBHOOK_SECRET"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: tuple[str, ...], code: int, said: str):
    """The line says what is wrong, without a traceback."""
    done = run(*words)

    assert code == done.returncode, done.stderr
    assert said in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_track_follows_a_campaign_and_writes_its_changes(tmp_path: Path):
    """The table shows every state, and the file of changes has a row for each change."""
    journal, changes = tmp_path / "journal", tmp_path / "changes.csv"
    gateway = sent(journal)
    with serve(gateway) as url:
        done = run("track", str(journal), "--campaign", "spring", "--first", "0", "--changes", str(changes), url=url)
        again = run("track", str(journal), "--campaign", "spring", "--json", url=url)

    rows = list(csv.DictReader(changes.read_text(encoding="utf-8").splitlines()))
    assert (0, 0) == (done.returncode, again.returncode), done.stderr
    assert "75.00% delivered" in done.stdout
    assert {"1000001": "deliver", "1000002": "expired", "1000003": "deliver", "1000004": "deliver"} == {
        row["id_sms"]: row["state"] for row in rows
    }
    report = json.loads(again.stdout)
    assert (4, 0, 0, "42.4000000") == (report["final"], report["open"], report["requests"], report["spent"])


@posix
def test_track_ends_at_a_signal_and_goes_on_later(tmp_path: Path):
    """Ctrl-C shows the counts so far, exits with 130, and leaves a journal that tracking can go on with."""
    journal = tmp_path / "journal"
    gateway = sent(journal)
    gateway.scenarios.to["79612242245"] = Scenario()
    with serve(gateway) as url:
        command = [sys.executable, "-m", "webcom_async", "track", str(journal), "--campaign", "spring", "--first", "0"]
        changes = tmp_path / "changes.csv"
        with subprocess.Popen(
            [*command, "--changes", str(changes), "--json", "--deadline", "999999"],
            env=environment(WEBCOM_BASE_URL=url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                until(lambda: gateway.requests > 2)  # the requests of the campaign, and some calls
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()

    assert 130 == process.returncode, err
    assert "the same command goes on" in err
    assert 4 == json.loads(out)["accepted"]


@contextmanager
def listening(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a webhook receiver, and give the process and its URL."""
    command = [sys.executable, "-m", "webcom_async", "webhook", *words, "--port", "0"]
    environ = environment(WEBCOM_WEBHOOK_SECRET=SECRET)
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert SECRET not in said
        try:
            yield process, said.split()[-1].replace("$WEBCOM_WEBHOOK_SECRET", SECRET)
        finally:
            process.kill()


@posix
def test_webhook_receives_and_track_finds_it(tmp_path: Path):
    """The reports that the gateway posts are in the receiver's file, so that tracking makes no call."""
    journal, reports = tmp_path / "journal", tmp_path / "reports.db"
    gateway = sent(journal)
    body = json.dumps([{"id_sms": int(sms.id_sms), "time": "", "state": "deliver"} for sms in gateway.ledger.sent])
    with listening(str(reports)) as (process, url):
        assert {1000001, 1000002, 1000003, 1000004} == {
            each["id_sms"] for each in json.loads(UrlPost(url).post(body.encode()) or b"[]")
        }
        assert None is UrlPost(f"{url}x").post(body.encode())
        process.send_signal(signal.SIGTERM)
        assert 143 == process.wait(timeout=30)
    with serve(gateway) as gateway_url:
        words = ("track", str(journal), "--campaign", "spring", "--reports", str(reports), "--json")
        report = json.loads(run(*words, url=gateway_url).stdout)

    assert (4, 0) == (report["states"]["deliver"], report["requests"])


@posix
def test_killed_at_any_moment_a_receiver_has_what_it_acknowledged(tmp_path: Path):
    """`kill -9` under load loses no acknowledged report, and stores none twice."""
    reports = tmp_path / "reports.db"
    acknowledged: list[int] = []
    for start in (1, 10_001):
        with listening(str(reports)) as (process, url):
            post = UrlPost(url)
            for number in range(start, start + 60):
                if number == start + 40:
                    process.kill()
                body = json.dumps([{"id_sms": number, "time": "", "state": "deliver"}]).encode()
                acknowledged += [each["id_sms"] for each in json.loads(post.post(body) or b"[]")]

    async def known() -> list[str]:
        async with ReportFile(reports) as file:
            return [report.id_sms for report in (await file.after(0, 100_000))[1]]

    kept = anyio.run(known)
    assert 80 == len(acknowledged)
    assert set(map(str, acknowledged)) <= set(kept)
    assert len(set(kept)) == len(kept)


@posix
def test_a_receiver_bounds_what_it_reads(tmp_path: Path):
    """A large body, a slow one and a foreign address are refused, and the receiver goes on."""
    words = (str(tmp_path / "reports.db"), "--max-bytes", "1000", "--body-seconds", "0.2")
    with listening(*words) as (_, url):
        parts = urlsplit(url)
        large = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=20)
        large.request("POST", parts.path, b" " * 1_001)
        slow = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=20)
        slow.putrequest("POST", parts.path)
        slow.putheader("content-length", "100")
        slow.endheaders(b"[")
        assert [413, 408] == [large.getresponse().status, slow.getresponse().status]
        assert b'[{"id_sms":1}]' == UrlPost(url).post(b'[{"id_sms":1,"time":"","state":"send"}]')
        large.close()
        slow.close()
    with listening(*words, "--allow", "192.0.2.0/24") as (_, url):
        assert None is UrlPost(url).post(b'[{"id_sms":1,"time":"","state":"send"}]')


@posix
def test_the_emulator_reports_to_a_receiver(tmp_path: Path):
    """`emulate --webhook` posts the delivery of an SMS to the receiver at that URL."""
    with listening(str(tmp_path / "reports.db")) as (_, url):
        command = [sys.executable, "-m", "webcom_async", "emulate", "--port", "0", "--until-eof", "--webhook", url]
        command += ["--delivery", "0.1"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as emulator:
            assert emulator.stdout is not None
            base_url = emulator.stdout.readline().split("=", 1)[1].strip()
            emulator.stdout.readline()

            async def wait_for_it() -> str:
                async with WebcomClient(token=Gateway().token, base_url=base_url) as client:
                    result = await client.send("79612242243", "Code 1234", sender="ACME")
                async with ReportFile(tmp_path / "reports.db") as reports:
                    with anyio.fail_after(30):
                        while (report := await reports.find(result.id_sms or "")) is None:
                            await anyio.to_thread.run_sync(threading.Event().wait, 0.05)
                return report.said

            try:
                assert "deliver" == anyio.run(wait_for_it)
            finally:
                emulator.communicate("", timeout=30)
