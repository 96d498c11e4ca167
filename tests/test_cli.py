"""The command line, as a process: what it prints, and how it exits."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import phones
from webcom_async.cli import main
from webcom_async.emulator import Fault, Gateway, serve

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")
pytestmark = pytest.mark.socket

SEND = ("--sender", "ACME", "--text", "Sale!")


def run(*words: str, gateway_url: str = "http://127.0.0.1:9", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with a token in its environment."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("WEBCOM_")}
    environ = {"WEBCOM_TOKEN": Gateway().token, "WEBCOM_BASE_URL": gateway_url} | environ
    command = [sys.executable, "-m", "webcom_async", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=known | environ, timeout=50)


def write_phones(folder: Path, count: int = 10) -> str:
    """Write a file of phones and return its path."""
    path = folder / "phones.csv"
    path.write_text("phone\n" + "\n".join(phones(count)))
    return str(path)


def test_the_demo_agrees_with_the_ledger():
    """The demo sends to another process over HTTP, loses answers on the way, and ends in agreement."""
    done = run("demo", "--recipients", "5000", "--batch-size", "50", "--json")

    shown = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert shown["agrees"]
    assert (4975, 25) == (shown["report"]["outcomes"]["accepted"], shown["report"]["reasons"]["stop_list"])
    assert (4975, 0) == (shown["ledger"]["sent"], shown["ledger"]["billed_twice"])
    assert shown["ledger"]["repeats"] > 0 < shown["report"]["retries"]


def test_the_demo_shows_people_a_table():
    """Without `--json` the report is a table on stdout, and progress goes to stderr."""
    done = run("demo", "--recipients", "300")

    assert 0 == done.returncode
    assert "What the client says" in done.stdout
    assert "agree" in done.stdout
    assert "sending" in done.stderr


def test_a_file_is_sent_and_its_results_written(tmp_path: Path):
    """Everyone in the file gets an SMS, and the results file has a row each."""
    gateway = Gateway()
    results = tmp_path / "results.csv"
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, "--results", str(results), "--json", gateway_url=url)

    rows = list(csv.DictReader(results.read_text(encoding="utf-8").splitlines()))
    assert 0 == done.returncode, done.stderr
    assert 10 == json.loads(done.stdout)["outcomes"]["accepted"]
    assert gateway.ledger.ids() == {row["client_id_sms"]: row["id_sms"] for row in rows}


def test_the_same_campaign_again_sends_nobody_a_second_sms(tmp_path: Path):
    """The command that is run again under the same campaign is answered with the first ids."""
    gateway = Gateway()
    with serve(gateway) as url:
        for _ in range(2):
            done = run("send", write_phones(tmp_path), *SEND, "--campaign", "spring", gateway_url=url)
            assert 0 == done.returncode

    assert 10 == len(gateway.ledger) == gateway.ledger.repeats


def test_a_rejected_recipient_is_exit_code_1(tmp_path: Path):
    """A campaign that ran, with somebody refused, says so by its exit code and its table."""
    gateway = Gateway()
    gateway.accounts[0].stop_list = {"79612242243"}
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, gateway_url=url)

    assert 1 == done.returncode
    assert "stop_list" in done.stdout


def test_an_early_end_is_exit_code_3_with_the_report_so_far(tmp_path: Path):
    """Out of balance: the report is printed, the reason is one line on stderr."""
    gateway = Gateway()
    gateway.accounts[0].balance = 4
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, "--batch-size", "5", "--json", gateway_url=url)

    assert 3 == done.returncode
    assert 4 == json.loads(done.stdout)["outcomes"]["accepted"] == len(gateway.ledger)
    assert "webcom-async: the gateway answered: Out of SMS" == done.stderr.strip()


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("phone\n", SEND, "no recipients"),
        ("", SEND, "no column 'phone'"),
        ("phone\n79612242243\n", ("--sender", "ACME"), "no text: give --text"),
        ("name,number\nAnn,79612242243\n", SEND, "--phone-column"),
        ("phone\n79612242243\n", ("--sender", "ACME", "--text", ""), "text is empty"),
        ("phone\n79612242243\n", ("--sender", "FAR TOO LONG", "--text", "Sale!"), "has 12 characters"),
        ("phone\n79612242243\n", ("--text", "Sale!"), "--sender"),
        ("phone\n79612242243\n", (*SEND, "--in-flight", "0"), "--in-flight"),
        ("phone\n79612242243\n", (*SEND, "--no-such-option"), "--no-such-option"),
        ("phone\n79612242243\n", (*SEND, "--credentials", "/no/such/file.toml"), "No such file"),
        ("phone\n79612242243\n", (*SEND, "--base-url", "http://gateway.example"), "clear text"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line(tmp_path: Path, content: str, words: tuple[str, ...], message: str):
    """What cannot be used is said in one line on stderr, and nothing is sent."""
    file = tmp_path / "file.csv"
    file.write_text(content)
    gateway = Gateway()
    with serve(gateway) as url:
        done = run("send", str(file), *words, gateway_url=url)

    assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
    assert message in done.stderr
    assert done.stderr.startswith("webcom-async: ")
    assert 0 == gateway.requests


def test_missing_credentials_are_named(tmp_path: Path):
    """Without credentials the line says which variables to set."""
    done = run("send", write_phones(tmp_path), *SEND, WEBCOM_TOKEN="")

    assert 2 == done.returncode
    assert "set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD" in done.stderr


def test_credentials_come_from_a_file(tmp_path: Path):
    """A TOML file of credentials takes the environment's place."""
    secrets = tmp_path / "webcom.toml"
    secrets.write_text('login = "emulator-login"\npassword = "emulator-password"\n')
    gateway = Gateway()
    with serve(gateway) as url:
        words = (write_phones(tmp_path), *SEND, "--credentials", str(secrets))
        done = run("send", *words, gateway_url=url, WEBCOM_TOKEN="")

    assert (0, 10) == (done.returncode, len(gateway.ledger))


def test_a_results_file_is_never_overwritten(tmp_path: Path):
    """A results file that exists already is an error before anything is sent."""
    gateway = Gateway()
    with serve(gateway) as url:
        file = write_phones(tmp_path)
        done = run("send", file, *SEND, "--results", file, gateway_url=url)

    assert (2, 0) == (done.returncode, gateway.requests)
    assert "File exists" in done.stderr


def test_ctrl_c_ends_with_the_counts_and_the_way_to_go_on(tmp_path: Path):
    """Ctrl-C ends with exit code 130, the report so far, and the campaign to run again."""
    gateway = Gateway()
    gateway.faults.script(*[Fault()] * 2)
    gateway.faults.sometimes(1.0, Fault(delay=30))
    with serve(gateway) as url:
        environ = os.environ | {"WEBCOM_TOKEN": gateway.token, "WEBCOM_BASE_URL": url}
        command = [sys.executable, "-m", "webcom_async", "send", write_phones(tmp_path, 100), *SEND]
        command += ["--batch-size", "10", "--campaign", "spring", "--json", "--results", str(tmp_path / "results.csv")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, env=environ, **pipes) as process:  # type: ignore[call-overload]
            while gateway.requests < 6:
                if process.poll() is not None:
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=40)

    shown = json.loads(out)
    assert 130 == process.returncode, err
    assert (20, 40) == (shown["outcomes"]["accepted"], shown["outcomes"]["unknown"])
    assert "--campaign spring" in err


def test_the_emulator_runs_until_it_is_told_to_stop(tmp_path: Path):
    """`emulate` prints what a shell needs, answers, and ends well at SIGTERM."""
    command = [sys.executable, "-m", "webcom_async", "emulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip().partition("=") for _ in range(2)]
        done = run("send", write_phones(tmp_path), *SEND, gateway_url=lines[0][2], WEBCOM_TOKEN=lines[1][2])
        process.terminate()

    assert ["export WEBCOM_BASE_URL", "export WEBCOM_TOKEN"] == [line[0] for line in lines]
    assert 0 == done.returncode, done.stderr


def test_a_taken_port_is_one_line(unused_port: int):
    """An emulator that cannot listen says where and why."""
    with serve(Gateway(), port=unused_port):
        done = run("emulate", "--port", str(unused_port))

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert f"127.0.0.1:{unused_port}" in done.stderr


@pytest.mark.parametrize("words", [("--help",), ("send", "--help"), ("demo", "--help"), ("emulate", "--help")])
def test_help_is_there(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    """Every command explains itself, and exits with 0."""
    assert 0 == main(words)
    assert "Usage: webcom-async" in capsys.readouterr().out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]):
    """`--version` prints the package's version."""
    assert 0 == main(["--version"])
    assert __import__("webcom_async").__version__ == capsys.readouterr().out.strip()
