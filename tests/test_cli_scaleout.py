"""Campaigns of many workers, by the command line: in a folder of this machine, and in a database."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
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
    """Return a gateway on a socket for the command line, in an empty working directory."""
    pytest.importorskip("webcom_async.scaleout.dbos", reason="the engine is an extra")
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
    """Without `--store` one process plans and sends the campaign in a folder of its own, and prints the outcome."""
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


def test_the_same_start_again_sends_no_second_sms(gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]):
    """The same start shows how the campaign ended; another text under its name is refused."""
    for _ in range(2):
        assert 0 == campaign("start", people, *START, *SMALL, "--json")
        assert "finished" == shown(capsys)["state"]
    assert 2 == campaign("start", people, *START[:2], "--text", "Other!", *START[4:], *SMALL)
    assert "planned with another message" in capsys.readouterr().err
    assert (10, 0) == (len(gateway.ledger), gateway.ledger.repeats)


def test_results_are_joined_with_the_rows_of_the_file(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Every row has a line, in the file's order: sent to, left out by `start`, or not reached."""
    lines = ["phone,name", *(f"{phone},Nr {number}" for number, phone in enumerate(phones(6)))]
    lines[3:3] = ["12,Bad", f"{next(iter(phones(1)))},Twice"]
    (tmp_path / "some.csv").write_text("\n".join(lines))
    (tmp_path / "stop.txt").write_text(f"{[*phones(6)][-1]}\n")
    gateway.accounts[0].balance = 4
    given = ("--text", "Hi {name}", "--stop-list", "stop.txt")
    campaign("start", "some.csv", "--sender", "ACME", *given, "--campaign", "spring", "--yes", *SMALL)
    capsys.readouterr()

    assert 1 == campaign("results", "spring", "out.csv", "--file", "some.csv", *given, "--json")
    with Path("out.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    names = ["Nr 0", "Nr 1", "Bad", "Twice", *(f"Nr {number}" for number in range(2, 6))]
    assert names == [row["name"] for row in rows]
    assert ["bad_phone", "duplicate", "stop_list"] == [rows[place]["reason"] for place in (2, 3, 7)]
    assert gateway.ledger.ids() == {row["client_id_sms"]: row["id_sms"] for row in rows if row["id_sms"]}
    assert {"accepted": 4, "rejected": 0, "unknown": 0, "not_sent": 4} == shown(capsys)["outcomes"]


def test_results_do_not_deny_what_was_sent_under_other_ids(
    gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """A file without the column of ids that a campaign was planned with is refused, and nothing is written."""
    phones = Path(people).read_text(encoding="utf-8").split()[1:]
    rows = [f"{phone},{number}" for number, phone in enumerate(phones, 1)]
    Path("ids.csv").write_text("\n".join(["phone,client_id_sms", *rows]), encoding="utf-8")
    assert 0 == campaign("start", "ids.csv", *START)
    assert len(phones) == len(gateway.ledger)

    assert 2 == campaign("results", "spring", "out.csv", "--file", people)
    assert "nothing was written" in capsys.readouterr().err
    assert not Path("out.csv").exists()
    assert 0 == campaign("results", "spring", "out.csv", "--file", "ids.csv")


def test_the_results_of_one_campaign_are_a_list_for_the_next(
    gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """`start` does not use the ids of a file that `results` has written; `results` joins the rows that were sent."""
    campaign("start", people, *START, *SMALL)
    campaign("results", "spring", "spring.csv")
    summer = ("--sender", "ACME", "--text", "Summer!", "--campaign", "summer", "--yes")

    assert 0 == campaign("start", "spring.csv", *summer, *SMALL)
    assert "not used; to send under them again: --use-ids" in capsys.readouterr().err
    assert {"Sale!": 10, "Summer!": 10} == Counter(sms.text for sms in gateway.ledger.sent)
    assert 0 == campaign("results", "summer", "summer.csv", "--file", "spring.csv")


def test_an_empty_account_halts_a_campaign_and_the_same_command_goes_on(
    gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """The gateway's words are shown, with the command to type when the account is topped up."""
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


@posix
def test_a_worker_tells_an_operator_in_sentences(gateway: Gateway, people: str):
    """A worker prints its store, and that an empty account has halted a campaign, in the operator's language."""
    gateway.accounts[0].balance = 4
    campaign("start", people, *START, *SMALL)
    campaign("resume", "spring")
    gateway.accounts[0].balance = 0
    command = [sys.executable, "-m", "webcom_async", "campaign", "worker", "--lang", "ru"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as worker:
        assert worker.stderr is not None
        said = [worker.stderr.readline() for _ in range(2)]
        worker.terminate()

    assert f"исполнитель {os.uname().nodename} готов: webcom-campaigns\n" == said[0]
    assert said[1].startswith("spring: прервана: ")
    assert 143 == worker.returncode
    assert 4 == len(gateway.ledger)


def test_a_cancelled_campaign_is_cancelled_for_good(gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]):
    """Cancelling takes a yes, and neither `start` nor `resume` revives the campaign."""
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
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_ends_early_is_resumed(gateway: Gateway, people: str, number: signal.Signals):
    """After a `kill -9` or a Ctrl-C the same command resumes at once, and every recipient gets one SMS."""
    arrived = in_flight(gateway)
    command = [sys.executable, "-m", "webcom_async", "campaign", "start", people, *START, *SMALL, "--in-flight", "1"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(30)
    first.send_signal(number)
    _, told = first.communicate(timeout=20)

    assert 0 < len(gateway.ledger) < 10
    assert {signal.SIGKILL: -9, signal.SIGINT: 130}[number] == first.returncode
    assert number is signal.SIGKILL or "to send to the rest: webcom-async campaign start" in told
    began = time.monotonic()
    assert 0 == subprocess.run(command, stdout=subprocess.DEVNULL, check=False, timeout=50).returncode
    assert time.monotonic() - began < 30  # less than the 60 seconds of a lease
    assert 10 == len(gateway.ledger)


def in_flight(gateway: Gateway, requests: int = 2) -> threading.Event:
    """Slow the gateway's answers down, and return an event that is set when *requests* have arrived."""
    arrived = threading.Event()
    gateway.faults.script(*[Fault(delay=0.3)] * (requests - 1), Fault(delay=0.3, arrived=arrived))
    gateway.faults.sometimes(1.0, Fault(delay=0.3))
    return arrived


@posix
def test_another_terminal_pauses_resumes_and_looks(gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]):
    """While one process sends from a folder, others can pause, resume and watch the campaign, but not send."""
    arrived = in_flight(gateway)
    words = ["start", people, *START, *SMALL, "--in-flight", "1"]
    command = [sys.executable, "-m", "webcom_async", "campaign", *words]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert arrived.wait(30)
    assert 0 == campaign("pause", "spring")
    assert "paused" in capsys.readouterr().out
    assert 2 == campaign(*words)
    assert "another process sends from" in capsys.readouterr().err
    assert 0 == campaign("status")
    assert "paused" in capsys.readouterr().out

    assert 0 == campaign("resume", "spring", "--json")
    told = capsys.readouterr()
    assert "running" == json.loads(told.out)["state"]
    assert "webcom-async campaign worker" in told.err
    shown, _ = sender.communicate(timeout=40)
    assert 0 == sender.returncode
    assert "10 of 10" in shown
    assert 10 == len(gateway.ledger)


def test_left_out_rows_and_refused_recipients_are_reported(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Rows without a phone are named before anything is planned; a recipient on a stop list makes the exit code 1."""
    [_, second, *_] = phones(3)
    gateway.accounts[0].stop_list = {second}
    file = tmp_path / "people.csv"
    file.write_text("phone\n" + "\n".join([*phones(3), "nobody"]))

    assert 1 == campaign("start", str(file), *START, "--json")
    told = capsys.readouterr()
    assert "cannot be used: 1: line 5" in told.err
    assert {"accepted": 2, "rejected": 1, "unknown": 0, "not_sent": 0} == json.loads(told.out)["outcomes"]
    assert 1 == campaign("results", "spring", str(tmp_path / "results.jsonl"))
    assert "stop_list" in capsys.readouterr().out


def test_nothing_is_planned_in_a_dry_run(gateway: Gateway, people: str, tmp_path: Path):
    """A dry run shows what would be sent, and leaves no folder."""
    assert 0 == campaign("start", people, *START, "--dry-run")
    assert not (tmp_path / "webcom-campaigns").exists()
    assert 0 == len(gateway.ledger)


def test_tables_speak_russian(gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]):
    """Every word of a campaign's status is in Russian."""
    assert 0 == campaign("start", people, *START, *SMALL, "--lang", "ru", "--rate", "1000")
    assert 0 == campaign("status", "--lang", "ru")

    assert 10 == len(gateway.ledger)
    told = capsys.readouterr().out
    for words in ("окончена", "10 из 10 получателей, 100.0%", "3 из 3", "исполнитель", "не больше 1,000/с", "Рассылки"):
        assert words in told
    assert not any(word in told for word in ("finished", "worker", "shards", "planned"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status",), "no campaigns in webcom-campaigns: start one"),
        (("pause", "spring"), "no campaigns in webcom-campaigns: start one"),
        (("status", "--store", "mysql://me:s3cr3t@host/x"), "--store is mysql://me@host/x: give postgresql://"),
        (("status", "--store", "host=h user=me password=s3cr3t"), "--store has key=value words: give postgresql://"),
        (("worker", "--store", "postgresql://me:s3cr3t/x@host/db"), "%2F for /"),
        (("worker", "--store", "postgresql://me:s3cr3t@h1:1,h2:2/db"), "with one host and port"),
        (("start", "{people}", *START, "--store", "POSTGRESQL://me:s3cr3t@h1:1,h2:2/db"), "with one host and port"),
        (("worker", "--lease", "0"), "lease"),
        (("worker", "--lease", "1e300", "--store", "postgresql://me:s3cr3t@host/x"), "lease_seconds is 1e+300"),
        (("worker", "--store", "postgresql://me:s3cr3t@host:1"), "names no database"),
        (("start", "{people}", *START, "--store", "what?"), "can hold no ? # or %"),
        (("start", "{people}", *START[:4], "--campaign", 201 * "x", "--yes"), "it may have 200"),
        (("start", "nowhere.csv", *START), "nowhere.csv"),
        (("start", "{people}", *START[:4], "--campaign", "spring/1/1"), "as the engine's own names do"),
        (("start", "p.csv", *START, "--between", "09:00-20:00"), "--between is an option of `send`"),
    ],
)
def test_bad_input_is_named_and_nothing_is_sent(
    words: tuple[str, ...], told: str, gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """Bad input gives a clear sentence, exit code 2, and no traceback."""
    if any("postgresql:" in word.lower() for word in words):
        pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    assert 2 == campaign(*(word.format(people=people) for word in words))
    said = capsys.readouterr().err
    assert told in said
    assert "s3cr3t" not in said
    assert 0 == len(gateway.ledger)


def test_a_server_that_is_away_is_named(capsys: pytest.CaptureFixture[str], unused_port: int):
    """The exit code says that a retry may help, and the message says which server, without the password."""
    pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    assert 3 == campaign("status", "--store", f"postgresql://me:s3cr3t@127.0.0.1:{unused_port}/x")
    told = capsys.readouterr().err
    assert str(unused_port) in told
    assert "s3cr3t" not in told


def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path: Path):
    """Where the engine or the database's driver is not installed, the message has the command to type."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['psycopg'] = sys.modules['dbos'] = None\n")
    people = tmp_path / "people.csv"
    people.write_text("phone\n79612242243\n")
    environ = os.environ | {"PYTHONPATH": str(tmp_path), "WEBCOM_TOKEN": "t", "WEBCOM_BASE_URL": "http://127.0.0.1:9"}
    for store, extras in (("postgresql://host/x", "dbos,postgres"), (str(tmp_path / "c"), "dbos")):
        command = [sys.executable, "-m", "webcom_async", "campaign", "start", str(people), *START, "--store", store]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=50)
        assert 2 == done.returncode
        assert f'pip install "webcom-async[{extras}]"' in done.stderr
        assert "Traceback" not in done.stderr


@posix
def test_a_database_takes_a_plan_and_its_workers_send(
    gateway: Gateway, people: str, postgres: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """`start` plans, prints the next command, and ends; a worker sends until it is stopped; `results` writes them."""
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE cli_{os.getpid()}")
    store = postgres.rpartition("/")[0] + f"/cli_{os.getpid()}"
    shown_store = re.sub(r"(://[^:@/]*):[^@]*@", r"\1@", store)
    monkeypatch.setenv("WEBCOM_STORE", store)

    assert 0 == campaign("start", people, *START, *SMALL, "--store", store)
    told = capsys.readouterr()
    assert "0 of 10 recipients" in told.out
    assert f"campaign worker --store {shown_store}" in told.err
    assert 0 == len(gateway.ledger)
    command = [sys.executable, "-m", "webcom_async", "campaign", "worker", "--name", "one"]
    arrived = in_flight(gateway, 5)
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(30)
    looks = (campaign("status", "spring", "--json") == 0 and '"finished"' in capsys.readouterr().out for _ in range(50))
    assert any(looks)
    worker.terminate()
    _, said = worker.communicate(timeout=30)

    assert (143, f"worker one is ready: {shown_store}\n") == (worker.returncode, said)
    assert 0 == campaign("results", "spring", "results.csv", "--json")
    assert 10 == json.loads(capsys.readouterr().out)["outcomes"]["accepted"]
    assert "s3cr3t" not in told.out + told.err


def test_a_scheme_in_capitals_is_a_server_too(unused_port: int):
    """Libpq itself reads only small letters."""
    pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    assert 3 == campaign("status", "--store", f"POSTGRESQL://me:s3cr3t@127.0.0.1:{unused_port}/x")


@pytest.mark.parametrize("command", ["start", "worker"])
def test_a_missing_database_is_named_and_not_made(
    command: str, gateway: Gateway, people: str, postgres: str, capsys: pytest.CaptureFixture[str]
):
    """A missing database may be a typing error, so it is not created, even if the user could create it."""
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL is an extra")
    slip = f"slip_{os.getpid()}"
    words = [command, people, *START] if command == "start" else [command]
    assert 2 == campaign(*words, "--store", postgres.rpartition("/")[0] + f"/{slip}")

    assert "there is no such database" in capsys.readouterr().err
    with psycopg.connect(postgres) as connection:
        found = connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [slip]).fetchone()
    assert (0,) == found
    assert 0 == len(gateway.ledger)
