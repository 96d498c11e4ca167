"""The command line as a process: its output and its exit codes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders import phones
from webcom_async.cli import main
from webcom_async.emulator import Fault, Faults, Gateway, serve

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")


pytestmark = pytest.mark.socket

SEND = ("--sender", "ACME", "--text", "Sale!")
posix = pytest.mark.skipif(os.name != "posix", reason="signals between processes are POSIX")


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
    assert "300/300" in done.stderr


def test_a_file_is_sent_and_its_results_written(tmp_path: Path):
    """Every recipient in the file gets an SMS, and the results file has a row for each."""
    gateway = Gateway()
    results = tmp_path / "results.csv"
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, "--results", str(results), "--json", gateway_url=url)

    rows = list(csv.DictReader(results.read_text(encoding="utf-8").splitlines()))
    assert 0 == done.returncode, done.stderr
    assert 10 == json.loads(done.stdout)["outcomes"]["accepted"]
    assert gateway.ledger.ids() == {row["client_id_sms"]: row["id_sms"] for row in rows}


def test_the_same_campaign_again_sends_no_second_sms(tmp_path: Path):
    """The same command under the same campaign is answered with the first ids."""
    gateway = Gateway()
    with serve(gateway) as url:
        for _ in range(2):
            done = run("send", write_phones(tmp_path), *SEND, "--campaign", "spring", gateway_url=url)
            assert 0 == done.returncode

    assert 10 == len(gateway.ledger) == gateway.ledger.repeats


def test_a_channel_holds_for_texts_from_the_file_too(tmp_path: Path):
    """`--channel viber` holds for a text from an option and for a text from the file."""
    file = tmp_path / "texts.csv"
    file.write_text("phone,text\n79612242243,Hello\n79612242244,\n")
    gateway = Gateway()
    with serve(gateway) as url:
        run("send", str(file), *SEND, "--channel", "viber", gateway_url=url)
        run("send", str(file), "--sender", "ACME", "--channel", "viber", "--skip-incomplete", gateway_url=url)

    assert ["viber"] * 3 == [sms.channel for sms in gateway.ledger.sent]
    assert ["Hello", "Sale!", "Hello"] == [sms.text for sms in gateway.ledger.sent]


def test_a_journal_makes_the_second_run_send_to_the_rest_only(tmp_path: Path):
    """With a journal, the same command again skips settled recipients."""
    gateway = Gateway()
    gateway.accounts[0].balance = 4
    words = (*SEND, "--campaign", "spring", "--journal", str(tmp_path / "spring.journal"), "--batch-size", "2")
    with serve(gateway) as url:
        first = run("send", write_phones(tmp_path), *words, gateway_url=url)
        gateway.accounts[0].balance = None
        second = run("send", write_phones(tmp_path), *words, "--json", gateway_url=url)

    assert (3, 0) == (first.returncode, second.returncode)
    told = json.loads(second.stdout)
    assert (10, 4) == (told["outcomes"]["accepted"], told["from_journal"])
    assert 10 == len(gateway.ledger)
    assert 0 == gateway.ledger.repeats


@pytest.mark.parametrize("where", ["/dev/full", "closed"])
def test_a_report_that_cannot_be_written_does_not_hide_what_happened(tmp_path: Path, where: str):
    """With stdout full or closed, stderr says so, and the exit code is still the campaign's."""
    gateway = Gateway()
    environ = os.environ | {"WEBCOM_TOKEN": gateway.token}
    redirect = ">&-" if where == "closed" else f"> {where}"
    words = (
        f"{sys.executable} -m webcom_async send {write_phones(tmp_path)} --sender ACME --text Sale --json {redirect}"
    )
    with serve(gateway) as url:
        environ["WEBCOM_BASE_URL"] = url
        done = subprocess.run(words, shell=True, env=environ, stderr=subprocess.PIPE, text=True, check=False)

    assert (0, 10) == (done.returncode, len(gateway.ledger))
    assert "the output could not be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_with_brackets_is_shown_as_it_is(tmp_path: Path):
    """A campaign's name is shown as plain text, not as markup."""
    gateway = Gateway()
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, "--campaign", "[/spring] [bold]5", gateway_url=url)

    assert 0 == done.returncode, done.stderr
    assert "[/spring] [bold]5" in done.stdout


def test_a_rejected_recipient_is_exit_code_1(tmp_path: Path):
    """A campaign with a rejected recipient exits with 1, and its table has the reason."""
    gateway = Gateway()
    gateway.accounts[0].stop_list = {"79612242243"}
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, gateway_url=url)

    assert 1 == done.returncode
    assert "stop_list" in done.stdout


def test_an_early_end_is_exit_code_3_with_the_report_so_far(tmp_path: Path):
    """When the balance runs out, the report is printed, and stderr has the reason in one line."""
    gateway = Gateway()
    gateway.accounts[0].balance = 4
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, "--batch-size", "5", "--json", gateway_url=url)

    assert 3 == done.returncode
    assert 4 == json.loads(done.stdout)["outcomes"]["accepted"] == len(gateway.ledger)
    assert "webcom-async: the gateway answered: Out of SMS" == done.stderr.strip()


@pytest.mark.parametrize(("lang", "waits"), [("en", "waiting for the gateway"), ("ru", "ждём шлюз")])
def test_a_silent_gateway_is_waited_for(tmp_path: Path, lang: str, waits: str):
    """The command says that it waits, ends when patience is over with the command to resume, and can be resumed."""
    gateway = Gateway()
    gateway.faults.sometimes(1.0, Fault(close=True, processed=True))
    words = (*SEND, "--campaign", "spring", "--lang", lang, "--patience", "1", "--json")
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *words, gateway_url=url)
        gateway.faults = Faults()
        resumed = run("send", write_phones(tmp_path), *words, gateway_url=url)

    assert (3, 0) == (done.returncode, resumed.returncode)
    assert waits in done.stderr
    assert "webcom-async send" in done.stderr
    assert {"unknown"} == {outcome for outcome, count in json.loads(done.stdout)["outcomes"].items() if count}
    assert not gateway.ledger.billed_twice()


def test_a_campaign_goes_on_when_the_gateway_answers(tmp_path: Path):
    """The default patience outlasts a gateway that is silent for a while."""
    gateway = Gateway()
    gateway.faults.script(*[Fault(close=True, processed=True)] * 7)
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *SEND, "--json", gateway_url=url)

    assert 0 == done.returncode, done.stderr
    assert "the gateway answers again" in done.stderr
    assert not gateway.ledger.billed_twice()


def test_rejected_recipients_can_be_sent_again(tmp_path: Path):
    """`--resend-rejected` resends where the refusal no longer holds; `other` names refusals not in the table."""
    gateway = Gateway()
    gateway.accounts[0].stop_list = {"79612242243"}
    words = (*SEND, "--campaign", "spring", "--journal", str(tmp_path / "spring.journal"), "--json")
    with serve(gateway) as url:
        first = run("send", write_phones(tmp_path), *words, gateway_url=url)
        gateway.accounts[0].stop_list = set()
        second = run("send", write_phones(tmp_path), *words, gateway_url=url)
        third = run("send", write_phones(tmp_path), *words, "--resend-rejected", "stop-list", gateway_url=url)

    assert (1, 1, 0) == (first.returncode, second.returncode, third.returncode)
    assert 10 == len(gateway.ledger)


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("phone\n79612242243\n", (*SEND, "--resend-rejected", "other"), "give --journal too"),
        ("phone\n", SEND, "no recipients"),
        ("", SEND, "it is empty"),
        ("phone,text\n79612242243,Hi, comma\n", SEND, "line 2: 3 cells under 2 columns"),
        ("79612242243,Hi\n", SEND, "no header"),
        ('phone,text\n79612242243,"Hi\n', SEND, "not CSV"),
        ("phone\n79612242243\n", ("--sender", "ACME"), "no text: give one"),
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
    """Unusable input is one line on stderr, and nothing is sent."""
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
    """Without credentials, the error names the variables to set."""
    done = run("send", write_phones(tmp_path), *SEND, WEBCOM_TOKEN="")

    assert 2 == done.returncode
    assert "set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD" in done.stderr


@pytest.mark.parametrize(
    "words", [("send", "FILE", *SEND), ("balance",), ("status", "1000001")], ids=lambda words: words[0]
)
def test_wrong_credentials_are_exit_code_2(tmp_path: Path, words: tuple[str, ...]):
    """Wrong credentials are bad input: nothing was sent, and stderr has the gateway's words without a traceback."""
    gateway = Gateway()
    words = tuple(write_phones(tmp_path) if word == "FILE" else word for word in words)
    with serve(gateway) as url:
        done = run(*words, gateway_url=url, WEBCOM_TOKEN="wrong")

    assert (2, 0) == (done.returncode, len(gateway.ledger))
    assert "webcom-async: the gateway answered: Incorrect login or password" == done.stderr.strip().splitlines()[-1]


def test_credentials_come_from_a_file(tmp_path: Path):
    """A TOML file of credentials replaces the environment's."""
    secrets = tmp_path / "webcom.toml"
    secrets.write_text('login = "emulator-login"\npassword = "emulator-password"\n')
    gateway = Gateway()
    with serve(gateway) as url:
        words = (write_phones(tmp_path), *SEND, "--credentials", str(secrets))
        done = run("send", *words, gateway_url=url, WEBCOM_TOKEN="")

    assert (0, 10) == (done.returncode, len(gateway.ledger))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o644, 1)])
def test_credentials_that_others_can_read_are_warned_of(tmp_path: Path, mode: int, warnings: int):
    """The warning names the file and what to do, once, and the file is used."""
    secrets = tmp_path / "webcom.toml"
    secrets.write_text('token = "emulator-token"\n')
    secrets.chmod(mode)
    with serve(Gateway()) as url:
        done = run("balance", "--credentials", str(secrets), gateway_url=url, WEBCOM_TOKEN="")

    assert 0 == done.returncode
    assert warnings == done.stderr.count(f"credentials file {secrets} can be read by other users of this machine")


def test_the_same_command_again_puts_the_earlier_results_aside(tmp_path: Path):
    """With a journal, every result is written again and the old file kept, so that a service can repeat its command."""
    gateway = Gateway()
    gateway.accounts[0].balance = 4
    results = tmp_path / "results.csv"
    words = (*SEND, "--campaign", "spring", "--journal", str(tmp_path / "j"), "--results", str(results))
    with serve(gateway) as url:
        first = run("send", write_phones(tmp_path), *words, gateway_url=url)
        gateway.accounts[0].balance = None
        second = run("send", write_phones(tmp_path), *words, gateway_url=url)

    assert (3, 0) == (first.returncode, second.returncode)
    assert 10 == results.read_text().count("accepted")
    assert 4 == (tmp_path / "results.csv.1").read_text().count("accepted")


def test_results_stay_where_they_are_as_long_as_nothing_comes(tmp_path: Path):
    """A refused command leaves the earlier results alone."""
    gateway = Gateway()
    results = tmp_path / "results.csv"
    words = (*SEND, "--campaign", "spring", "--journal", str(tmp_path / "j"), "--results", str(results))
    with serve(gateway) as url:
        run("send", write_phones(tmp_path), *words, gateway_url=url)
        before = results.read_text()
        refused = run("send", write_phones(tmp_path), *words, "--text", "Another", gateway_url=url)

    assert (2, before) == (refused.returncode, results.read_text())


def test_a_journal_replaces_no_file_but_results(tmp_path: Path):
    """A file that is not one of results is left as it is."""
    other = tmp_path / "other.csv"
    other.write_text("name,number\n")
    words = (*SEND, "--campaign", "spring", "--journal", str(tmp_path / "j"), "--results", str(other))
    done = run("send", write_phones(tmp_path), *words)

    assert (2, "name,number\n") == (done.returncode, other.read_text())


def test_a_journal_that_cannot_be_used_is_exit_code_2(tmp_path: Path):
    """Nothing is sent, and one line says why."""
    gateway = Gateway()
    words = (*SEND, "--campaign", "spring", "--journal", str(tmp_path / "nowhere" / "j"))
    with serve(gateway) as url:
        done = run("send", write_phones(tmp_path), *words, gateway_url=url)

    assert (2, 0, 1) == (done.returncode, gateway.requests, len(done.stderr.splitlines()))


def test_a_results_file_is_never_overwritten(tmp_path: Path):
    """A results file that exists already is an error before anything is sent."""
    gateway = Gateway()
    with serve(gateway) as url:
        file = write_phones(tmp_path)
        done = run("send", file, *SEND, "--results", file, gateway_url=url)

    assert (2, 0) == (done.returncode, gateway.requests)
    assert "exists already" in done.stderr


def test_ctrl_c_ends_with_the_counts_and_the_way_to_go_on(tmp_path: Path):
    """Ctrl-C ends with exit code 130, the report so far, and the command that resumes the campaign."""
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


@contextmanager
def started(
    *words: str, gateway_url: str = "http://127.0.0.1:9", stdin: int | None = None, **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """Start the command line, and make sure that it ends."""
    environ = os.environ | {"WEBCOM_TOKEN": Gateway().token, "WEBCOM_BASE_URL": gateway_url} | environ
    command = [sys.executable, "-m", "webcom_async", *words]
    pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environ, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def rows_in(results: Path) -> list[dict[str, str]]:
    """Return the rows of a results file."""
    return list(csv.DictReader(results.read_text(encoding="utf-8").splitlines()))


@posix
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("answered", [0, 9], ids=["before the first answer", "mid-campaign"])
def test_a_stopped_campaign_waits_for_requests_in_flight(
    tmp_path: Path, number: signal.Signals, code: int, word: str, answered: int
):
    """After Ctrl-C or SIGTERM no request starts, answers are awaited, and the printed command sends to the rest."""
    gateway, arrived, results = Gateway(), threading.Event(), tmp_path / "results.csv"
    gateway.faults.script(*[Fault()] * answered, *[Fault(delay=1.0)] * 3)
    gateway.faults.script(Fault(arrived=arrived, delay=1.0))  # type: ignore[arg-type]
    gateway.faults.sometimes(1.0, Fault(delay=1.0))
    words = ["send", write_phones(tmp_path, 1_000), *SEND, "--batch-size", "1", "--campaign", "spring sale"]
    with serve(gateway) as url:
        with started(*words, "--results", str(results), "--json", gateway_url=url) as process:
            arrived.wait(30)
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        accepted = json.loads(out)["outcomes"]["accepted"]
        stopped_with = gateway.ledger.ids()
        gateway.faults = Faults()
        again = run(*words, gateway_url=url)

    assert (code, 1) == (process.returncode, len(err.splitlines())), err
    command = f"webcom-async send {words[1]} --sender ACME --text 'Sale!' --batch-size 1 --campaign 'spring sale'"
    assert f"webcom-async: {word}; to send to the rest: {command}" in err
    assert answered < accepted == len(stopped_with) < 1_000
    assert stopped_with == {row["client_id_sms"]: row["id_sms"] for row in rows_in(results)}
    assert (0, 1_000, {}) == (again.returncode, len(gateway.ledger), gateway.ledger.billed_twice())


@posix
@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_ends_a_campaign_at_once(tmp_path: Path, numbers: tuple[signal.Signals, ...]):
    """Requests in flight become unknown at once; report, results and the resume hint are written as usual."""
    gateway, arrived, results = Gateway(), threading.Event(), tmp_path / "results.csv"
    gateway.faults.script(Fault(), Fault(), *[Fault(delay=40)] * 3)
    gateway.faults.sometimes(1.0, Fault(arrived=arrived, delay=40))  # type: ignore[arg-type]
    words = ["send", write_phones(tmp_path, 100), *SEND, "--batch-size", "10", "--campaign", "spring"]
    with (
        serve(gateway) as url,
        started(*words, "--results", str(results), "--json", gateway_url=url) as process,
    ):
        arrived.wait(30)
        for number in numbers:
            process.send_signal(number)
        out, err = process.communicate(timeout=30)

    shown = json.loads(out)
    assert process.returncode in (130, 143)
    assert shown["seconds"] < 5, "the client's grace"
    assert (20, 40) == (shown["outcomes"]["accepted"], shown["outcomes"]["unknown"])
    assert {"accepted": 20, "unknown": 40} == Counter(row["outcome"] for row in rows_in(results))
    assert "--json, with another file for --results" in err.strip()
    assert 1 == len(err.splitlines()), err


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_campaign_sends_nothing(tmp_path: Path, number: signal.Signals, code: int):
    """A signal while the command waits for consent ends it at once, in one line."""
    gateway = Gateway()
    terminal, theirs = os.openpty()
    words = ["send", write_phones(tmp_path), *SEND, "--confirm-above", "0"]
    with serve(gateway) as url, started(*words, gateway_url=url, stdin=theirs) as process:
        assert process.stderr is not None
        while process.stderr.read(1) != "?":
            pass
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    os.close(theirs)
    os.close(terminal)

    assert (code, "", 1) == (process.returncode, out, len(err.splitlines())), err
    assert 0 == gateway.requests


@posix
def test_a_signal_that_was_to_be_ignored_is_ignored(tmp_path: Path):
    """A command in a script's background, where shells ignore Ctrl-C, runs to its end."""
    gateway, arrived = Gateway(), threading.Event()
    gateway.faults.script(Fault(arrived=arrived, delay=0.5))  # type: ignore[arg-type]
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # children inherit it
    try:
        with serve(gateway) as url, started("send", write_phones(tmp_path), *SEND, gateway_url=url) as process:
            arrived.wait(30)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    finally:
        signal.signal(signal.SIGINT, ignored)

    assert (0, 10) == (process.returncode, len(gateway.ledger)), err


@posix
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (9, -9)], ids=["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_stopped_demo_leaves_no_process_behind(number: int, code: int):
    """Whatever ends the demo, its emulator ends too, and closes the pipes that both hold."""
    with started("demo", "--recipients", "10000000", FORCE_COLOR="1", COLUMNS="200") as process:
        assert process.stderr is not None
        seen = ""
        while not re.search(r"[1-9][\d,]* accepted", seen):
            seen += process.stderr.read(1)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert code == process.returncode, err
    assert "Traceback" not in err
    assert "DISAGREE" not in out
    assert code == -9 or ("incomplete" in out and "the demo begins anew" in err)


def test_the_emulator_runs_until_it_is_stopped(tmp_path: Path):
    """`emulate` prints what a shell needs, answers requests, and ends cleanly at SIGTERM."""
    command = [sys.executable, "-m", "webcom_async", "emulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip().partition("=") for _ in range(2)]
        done = run("send", write_phones(tmp_path), *SEND, gateway_url=lines[0][2], WEBCOM_TOKEN=lines[1][2])
        process.terminate()

    assert ["export WEBCOM_BASE_URL", "export WEBCOM_TOKEN"] == [line[0] for line in lines]
    assert 0 == done.returncode, done.stderr


def test_a_taken_port_is_one_line(unused_port: int):
    """An emulator that cannot listen says at which address, and why."""
    with serve(Gateway(), port=unused_port):
        done = run("emulate", "--port", str(unused_port))

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert f"127.0.0.1:{unused_port}" in done.stderr


@pytest.mark.parametrize("words", [("--help",), ("send", "--help"), ("demo", "--help"), ("emulate", "--help")])
def test_help_is_there(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    """Every command has a help page, and exits with 0."""
    assert 0 == main(words)
    assert "Usage: webcom-async" in capsys.readouterr().out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]):
    """`--version` prints the package's version."""
    assert 0 == main(["--version"])
    assert __import__("webcom_async").__version__ == capsys.readouterr().out.strip()
