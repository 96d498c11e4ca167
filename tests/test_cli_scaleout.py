"""Campaigns of many workers, by the command line: in a folder of this machine, and in a database."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webcom_async.emulator import Fault, Gateway, serve

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from tests.builders import phones
from webcom_async.cli import main

pytestmark = pytest.mark.socket
posix = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX")

START = ("--sender", "ACME", "--text", "Sale!", "--campaign", "spring", "--yes")
SMALL = ("--batch-size", "2", "--shard-size", "4")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """Return a gateway on a socket that the command line will send to, from an empty working directory."""
    pytest.importorskip("dbos", reason="the engine is an extra")
    gateway = Gateway()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEBCOM_STORE", raising=False)
    with serve(gateway) as url:
        monkeypatch.setenv("WEBCOM_BASE_URL", url)
        monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
        monkeypatch.setenv("WEBCOM_LANG", "en")
        monkeypatch.setenv("COLUMNS", "200")
        yield gateway


@pytest.fixture
def people(tmp_path: Path) -> str:
    """Return the path of a file of ten phones."""
    path = tmp_path / "people.csv"
    path.write_text("phone\n" + "\n".join(phones(10)))
    return str(path)


def campaign(*words: str) -> int:
    return main(["campaign", *words])


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out)


def test_a_folder_needs_no_server(gateway: Gateway, people: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Without `--store` one process plans and sends it all, in a folder of its own, and says how it went."""
    assert 0 == campaign("start", people, *START, *SMALL)
    told = capsys.readouterr().out
    assert 10 == len(gateway.ledger)
    for words in ("spring", "finished", "10 of 10 recipients, 100.0%", "3 of 3"):
        assert words in told

    assert 0 == campaign("status", "spring", "--json")
    standing = shown(capsys)
    assert ("finished", 10, 10, 3) == tuple(standing[name] for name in ("state", "recipients", "done", "shards_done"))
    assert 0 == campaign("results", "spring", "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert gateway.ledger.ids() == {row["client_id_sms"]: row["id_sms"] for row in rows}


def test_the_same_start_again_sends_nobody_a_second_sms(
    gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """It shows how the campaign ended; another text under its name is refused."""
    for _ in range(2):
        assert 0 == campaign("start", people, *START, *SMALL, "--json")
        assert "finished" == shown(capsys)["state"]
    assert 2 == campaign("start", people, *START[:2], "--text", "Other!", *START[4:], *SMALL)
    assert "planned with another message" in capsys.readouterr().err
    assert (10, 0) == (len(gateway.ledger), gateway.ledger.repeats)


def test_an_empty_account_halts_a_campaign_and_the_same_command_goes_on(
    gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """The words of the gateway are shown, and what to type when the account is topped up."""
    gateway.accounts[0].balance = 4
    remember = ["campaign", "start", people, *START, *SMALL]

    assert 3 == main(remember)
    told = capsys.readouterr()
    assert "halted" in told.out
    assert "to send to the rest: webcom-async campaign start" in told.err
    assert 3 == campaign("status", "spring", "--once")

    gateway.accounts[0].balance = 100
    assert 0 == main(remember)
    assert 10 == len(gateway.ledger)


def test_a_cancelled_campaign_is_cancelled_for_good(gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]):
    """It takes a yes, and neither `start` nor `resume` brings it back."""
    gateway.accounts[0].balance = 4
    campaign("start", people, *START, *SMALL)
    assert 2 == campaign("cancel", "spring")
    assert "give --yes" in capsys.readouterr().err

    assert 0 == campaign("cancel", "spring", "--yes")
    gateway.accounts[0].balance = 100
    assert 2 == campaign("start", people, *START, *SMALL)
    assert 2 == campaign("resume", "spring")
    assert "was cancelled" in capsys.readouterr().err
    assert 4 == len(gateway.ledger)


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_ends_early_is_gone_on_with(gateway: Gateway, people: str, number: signal.Signals):
    """After a `kill -9`, a Ctrl-C or a SIGTERM the same command goes on at once, and everyone gets one SMS."""
    gateway.faults.sometimes(1.0, Fault(delay=0.3))
    command = [sys.executable, "-m", "webcom_async", "campaign", "start", people, *START, *SMALL, "--in-flight", "1"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(gateway.ledger) >= 2)
    first.send_signal(number)
    _, told = first.communicate(timeout=20)

    assert 0 < len(gateway.ledger) < 10
    assert {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number] == first.returncode
    assert number is signal.SIGKILL or "to send to the rest: webcom-async campaign start" in told
    began = time.monotonic()
    assert 0 == subprocess.run(command, stdout=subprocess.DEVNULL, check=False, timeout=50).returncode
    assert time.monotonic() - began < 30  # and not the 60 seconds of a lease
    assert 10 == len(gateway.ledger)


def wait_for(come: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 30
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.01)
