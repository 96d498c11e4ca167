"""Outputs that fail: closed, full, without a reader, in a poor encoding. They do not decide about sending."""

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from webcom_async import ClientIdSms, InputError, Outcome, Phone, SendResult
from webcom_async.emulator import Fault, Gateway, Scenario, Step
from webcom_async.files import ResultsFile, open_table

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from webcom_async.cli import main

pytestmark = [
    pytest.mark.socket,
    pytest.mark.skipif(os.name != "posix", reason="a POSIX shell redirects, and limits the size of files"),
]

SALE = ("--sender", "ACME", "--text", "Sale!", "--yes")
PROGRAM = (sys.executable, "-m", "webcom_async")
LIMITED = (
    "import resource, runpy, sys; limit = int(sys.argv.pop(1)); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); sys.argv[0] = 'webcom-async'; "
    "runpy.run_module('webcom_async', run_name='__main__')"
)


def shell(command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command of bash, whose exit code is that of the first of its pipe that fails."""
    words = ["bash", "-c", f"set -o pipefail; {command}"]
    return subprocess.run(
        words, capture_output=True, text=True, errors="replace", check=False, env=os.environ | environ, timeout=50
    )


def cli(*words: str) -> str:
    """Return the words of the command line as a shell wants them."""
    return shlex.join([*PROGRAM, *words])


def on_a_full_disk(limit: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where no file may grow over *limit* bytes."""
    command = [sys.executable, "-c", LIMITED, str(limit), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


@pytest.fixture
def gateway(cli_gateway: Gateway) -> Gateway:
    """Return the gateway for the command line; it delivers at once."""
    cli_gateway.scenarios.default = Scenario((Step(0.0, "deliver"),))
    return cli_gateway


@pytest.fixture
def people(gateway: Gateway) -> str:
    """Return the path of a file of three hundred phones, in the gateway's directory."""
    assert not gateway.ledger.sent
    Path("people.csv").write_text("\n".join(["phone", *(str(79612242243 + number) for number in range(300))]))
    return "people.csv"


BROKEN = {
    "stdout closed": ">&-",
    "stderr closed": ">/dev/null 2>&-",
    "both closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "stderr full": ">/dev/null 2>/dev/full",
    "both full": ">/dev/full 2>&1",
    "stdout not read": "| true",
    "stderr not read": "2>&1 >/dev/null | true",
    "neither read": "2>&1 | true",
}


@pytest.mark.parametrize("redirection", BROKEN.values(), ids=BROKEN)
def test_no_broken_stream_decides_about_a_campaign(gateway: Gateway, people: str, redirection: str):
    """All recipients are sent to, the exit code says so, and no traceback is shown."""
    done = shell(f"{cli('send', people, *SALE)} {redirection}")

    assert (0, 300) == (done.returncode, len(gateway.ledger)), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    ("words", "redirection"),
    [
        (("send", "missing.csv", *SALE), "2>/dev/full"),
        (("send", "--nonsense"), "2>&-"),
        (("report", "missing.db"), ">&- 2>&-"),
        (("report", "missing.db"), "2>&1 | true"),
    ],
)
def test_bad_input_is_exit_code_2_without_a_stream_to_say_it_on(words: tuple[str, ...], redirection: str):
    """A command that cannot begin ends with 2, whether or not it can say why."""
    assert 2 == shell(f"{cli(*words)} {redirection}").returncode


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("completion", "bash"),
        ("balance", "--json"),
        ("preview", "people.csv", "--text", "Sale!"),
        ("status", "1", "2", "--json"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("people")
def test_every_command_ends_as_usual_on_a_full_stdout(words: tuple[str, ...]):
    """One line on stderr says that the output is lost."""
    done = shell(f"{cli(*words)} >/dev/full")

    assert 0 == done.returncode
    assert 1 == done.stderr.count("webcom-async: the output could not be written: No space left on device")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("encoding", "language"), [("ascii", "en"), ("ascii", "ru"), ("latin-1", "ru"), ("cp1251", "en"), ("cp1251", "ru")]
)
def test_no_encoding_breaks_a_preview_or_a_report(gateway: Gateway, people: str, encoding: str, language: str):
    """Signs that an encoding lacks become plain ones, and a language that it lacks becomes English."""
    Path("texts.csv").write_text("phone,text\n79612242243,«Скидка» … 5 × 5\n79612242244,Sale!\n", encoding="utf-8")
    environ = {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    preview = shell(cli("preview", "texts.csv", "--lang", language), **environ)
    sent = shell(cli("send", people, *SALE, "--lang", language, "--campaign", "весна"), **environ)

    assert (0, 0, 300) == (preview.returncode, sent.returncode, len(gateway.ledger))
    assert "Traceback" not in preview.stderr + sent.stderr
    assert ("accepted" in sent.stdout) == (language == "en" or encoding in ("ascii", "latin-1"))
    if encoding == "ascii":
        assert "... 5 x 5" in preview.stdout


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("columns", ["0", "20"])
def test_a_narrow_terminal_is_shown_whole_numbers(people: str, columns: str):
    """The report has its counts, and `--help` its words, in a terminal without a width."""
    sent = shell(cli("send", people, *SALE), COLUMNS=columns)
    told = shell(cli("balance", "--help"), COLUMNS=columns)

    assert re.search(r"accepted +300 +100\.00%", sent.stdout)
    assert "Ask the gateway what is left" in told.stdout


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_narrow_terminal_is_shown_how_far_a_campaign_is(gateway: Gateway, tmp_path: Path, columns: str):
    """The progress line loses its end and no digit of how many recipients are done."""
    file = tmp_path / "many.txt"
    file.write_text("\n".join(map(str, range(79610000000, 79610002000))), encoding="ascii")

    sent = shell(cli("send", str(file), *SALE), COLUMNS=columns)

    assert "2,000/2,000 " in sent.stderr
    assert re.search(r"[\d,]+/s +2,000 accepted", sent.stderr)
    assert 2_000 == len(gateway.ledger)


def test_a_printed_command_spells_a_name_as_the_shell_gave_it(gateway: Gateway, people: str):
    """On a stderr that has no Cyrillic, bash reads the same campaign from the command: another would bill twice."""
    words = ("send", people, *SALE, "--campaign", "весна", "--results", "r.csv")
    command = shlex.join([sys.executable, "-c", LIMITED, "100", *words])
    first = shell(command, PYTHONIOENCODING="ascii")
    [again] = re.findall("to write all of them: webcom-async (.*), with another file", first.stderr)

    assert again.isascii()
    assert 0 == shell(f"{shlex.join(PROGRAM)} {again}").returncode
    assert (300, set()) == (len(gateway.ledger), set(gateway.ledger.billed_twice()))


# ---------------------------------------------------------------------------- files of results


def rows_of(path: Path) -> list[str]:
    """Return the phones in a file of results, each row of which is whole."""
    table = open_table(path)
    places = [table.columns.index(name) for name in ("phone", "outcome")]
    rows = [[row.cells[place] for place in places] for row in table.rows()]
    assert {"accepted"} == {outcome for _, outcome in rows}
    return [phone for phone, _ in rows]


@pytest.mark.parametrize("name", ["results.csv", "results.jsonl", "results.parquet"])
@pytest.mark.parametrize("room", [0, 3_000])
def test_results_that_cannot_be_written_do_not_end_a_campaign(gateway: Gateway, people: str, name: str, room: int):
    """A full disk leaves whole rows or no file, the campaign's exit code, and the command that writes all results."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="an extra")
    done = on_a_full_disk(room, "send", people, *SALE, "--batch-size", "10", "--results", name, "--json")
    kept = len(rows_of(Path(name))) if Path(name).exists() else 0

    assert (0, 300) == (done.returncode, json.loads(done.stdout)["outcomes"]["accepted"]), done.stderr
    assert 300 == len(gateway.ledger)
    assert 1 == done.stderr.count(f"{name}: the results could not be written: File too large")
    assert f"{300 - kept} results are missing from the file of results" in done.stderr
    assert (kept > 0) == (room > 0 and not name.endswith(".parquet"))
    assert [] == list(Path().glob(".*.part"))
    [again] = re.findall("to write all of them: webcom-async (.*), with another file for --results", done.stderr)
    assert 0 == main(shlex.split(again.replace(f"--results {name}", f"--results new-{name}")))
    assert (300, 300) == (len(set(rows_of(Path(f"new-{name}")))), len(gateway.ledger))


def test_an_export_is_named_for_results_that_a_journal_has(gateway: Gateway, tmp_path: Path):
    """The printed command is complete: it writes a row for each of the file's, with its options."""
    rows = [f"{79612242243 + number};-{number};{'x' * 2_000}" for number in range(60)]
    Path("people.csv").write_text("\n".join(["number;key;name", *rows]), encoding="utf-8")
    words = ("--phone-column", "number", "--campaign", "весна", "--journal", "spring.journal", "--results", "r.csv")
    sale = ("--sender", "ACME", "--text", "- Sale!", "--batch-size", "10", "--yes")
    done = on_a_full_disk(90_000, "send", "people.csv", *[f"{sale[2]}={sale[3]}", *sale[:2], *sale[4:]], *words)
    assert (0, 60) == (done.returncode, len(gateway.ledger)), done.stderr
    [export] = re.findall("to write all of them: webcom-async (export .*)", done.stderr)

    assert 0 == main(shlex.split(export))
    assert 60 == len(rows_of(tmp_path / "r-2.csv")) > len(rows_of(tmp_path / "r.csv"))
    assert 60 == len(gateway.ledger)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_cut_export_has_no_name(gateway: Gateway, tmp_path: Path, name: str):
    """On a full disk an export exits with 2 and leaves nothing, neither under its name nor beside it."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="an extra")
    rows = [f"{79612242243 + number},{os.urandom(4_000).hex()}" for number in range(60)]
    Path("people.csv").write_text("\n".join(["phone,name", *rows]))
    words = ("--journal", "spring.journal", "--campaign", "spring")
    assert 0 == main(["send", "people.csv", *SALE, *words])
    assert 0 == main(["export", "first.csv", *words])
    before = sorted(path.name for path in tmp_path.iterdir())
    done = on_a_full_disk(150_000, "export", name, *words, "--file", "people.csv", "--text", "Sale!")

    assert (2, 60) == (done.returncode, len(gateway.ledger))
    assert f"webcom-async: {name}: the results could not be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert before == sorted(path.name for path in tmp_path.iterdir())


def accepted(phone: str) -> tuple[SendResult, None]:
    """Return the result of a phone, without a row."""
    return SendResult(ClientIdSms(phone), Phone(phone), Outcome.ACCEPTED, "7"), None


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_whole_file_gets_its_name_when_it_is_closed(tmp_path: Path, name: str):
    """Until then nothing is there; a block that fails leaves nothing."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="an extra")
    path = tmp_path / name
    file = ResultsFile(path, whole=True)
    file.write([accepted("79612242243")])
    assert not path.exists()
    file.close()
    assert ["79612242243"] == rows_of(path)
    assert (1, True) == (file.rows, file.in_place)
    other = ResultsFile(tmp_path / f"other-{name}", whole=True)
    other.write([accepted("79612242244")])
    other.discard()

    assert [name] == [each.name for each in tmp_path.iterdir()]


def test_a_whole_file_replaces_none_that_was_made_meanwhile(tmp_path: Path):
    """Another program's file keeps its content, and the error says what to do."""
    path = tmp_path / "out.csv"
    file = ResultsFile(path, whole=True)
    file.write([accepted("79612242243")])
    path.write_text("theirs")
    with pytest.raises(InputError, match="another program has made a file there meanwhile; name a new file"):
        file.close()

    assert "theirs" == path.read_text()
    assert ["out.csv"] == [each.name for each in tmp_path.iterdir()]
    with pytest.raises(InputError, match="exists already"):
        ResultsFile(path, whole=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_campaign_still_says_how_to_go_on(gateway: Gateway, people: str, number: signal.Signals):
    """With stdout and the results lost, a signal's exit code and the command that sends to the rest remain."""
    gateway.faults.script(*[Fault()] * 2)
    gateway.faults.sometimes(1.0, Fault(delay=30))
    words = ("send", people, *SALE, "--batch-size", "10", "--campaign", "spring", "--results", "r.csv")
    command = f"exec {shlex.join([sys.executable, '-c', LIMITED, '100', *words])} >&-"
    with subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE, text=True) as process:
        while gateway.requests < 6 and process.poll() is None:
            pass
        process.send_signal(number)
        _, told = process.communicate(timeout=40)

    assert 128 + number == process.returncode, told
    assert "to send to the rest: webcom-async send people.csv" in told
    assert "results are missing from the file of results" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_files_that_hold_phones_are_their_owners_alone(gateway: Gateway, people: str, tmp_path: Path, mask: int):
    """Whatever the umask: journals, results, exports, changes, reports, and all that is in a store's folder."""
    pytest.importorskip("webcom_async.scaleout.dbos", reason="the engine is an extra")
    kept = ("--campaign", "spring", "--journal", "spring.journal")
    before = os.umask(mask)
    try:
        assert 0 == main(["send", people, *SALE, *kept, "--results", "sent.csv"])
        assert 0 == main(["export", "out.csv", *kept])
        assert 0 == main(["track", "spring.journal", *kept[:2], "--first", "0", "--changes", "changes.csv"])
        assert 0 == main(["campaign", "start", people, *SALE, "--campaign", "summer", "--store", "store"])
        assert 0 == main(["campaign", "results", "summer", "summer.jsonl", "--store", "store"])
    finally:
        os.umask(before)
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != people]
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in made}

    assert dict.fromkeys(modes, oct(0o600)) == modes
    assert {"sent.csv", "out.csv", "changes.csv", "summer.jsonl", "spring.journal", "engine.db"} <= set(modes)
    assert 0o700 == stat.S_IMODE((tmp_path / "store").stat().st_mode)
    assert 600 == len(gateway.ledger)
