"""Mishaps around a campaign of the command line: full disks, lost names, files in each other's way."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from webcom_async.emulator import Fault, Gateway

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from webcom_async.cli import main

pytestmark = pytest.mark.socket

SALE = ("--sender", "ACME", "--text", "Sale!", "--yes")


@pytest.fixture
def people(tmp_path: Path) -> str:
    """Return the path of a file of three hundred phones."""
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["phone", *(str(79612242243 + number) for number in range(300))]), encoding="utf-8")
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="the size of a file is limited as POSIX systems do it")
@pytest.mark.parametrize("name", ["results.csv", "results.jsonl"])
def test_results_that_cannot_be_written_leave_a_campaign_its_report(
    cli_gateway: Gateway, people: str, tmp_path: Path, name: str
):
    """A full disk gives one line, the counts and the name to go on with; no traceback, and no other exit code."""
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000)); "
        'import runpy; sys.argv[0] = "webcom-async"; runpy.run_module("webcom_async", run_name="__main__")'
    )
    words = ("send", people, *SALE, "--batch-size", "10", "--results", str(tmp_path / name), "--json")
    command = [sys.executable, "-c", limited, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)

    report = json.loads(done.stdout)
    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("the results could not be written: File too large")
    assert "Traceback" not in done.stderr
    assert 300 == len(cli_gateway.ledger) == report["outcomes"]["accepted"]
    assert report["campaign"].startswith("cli-")


def test_a_made_up_name_is_printed_before_anything_is_sent(
    cli_gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """Even after `kill -9`, an operator can resume the campaign, because its name was printed first."""
    assert 0 == main(["send", people, *SALE])

    first = capsys.readouterr().err.splitlines()[0]
    name = first.removeprefix("campaign ").partition(";")[0]
    assert name.startswith("cli-")
    assert first.endswith(f"go on with --campaign {name}")
    assert 0 == main(["send", people, *SALE, "--campaign", name])
    assert 300 == len(cli_gateway.ledger)


@pytest.mark.parametrize("place", ["spring.journal", "./spring.journal", "spring.journal-wal", "spring.journal-shm"])
def test_results_never_lie_over_the_journal(
    cli_gateway: Gateway, people: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
):
    """The path of the journal, or of one of SQLite's files beside it, is refused before anything is made or sent."""
    monkeypatch.chdir(tmp_path)
    words = ("--campaign", "spring", "--journal", "spring.journal", "--results", place)

    assert 2 == main(["send", people, *SALE, *words])
    assert ["people.csv"] == [path.name for path in tmp_path.iterdir()]
    assert 0 == len(cli_gateway.ledger)


def test_results_do_not_replace_the_file_that_is_read(cli_gateway: Gateway, people: str, tmp_path: Path):
    """With a journal an earlier file of results is put aside, but not if it is the list of recipients itself."""
    results = str(tmp_path / "results.csv")
    words = (*SALE, "--campaign", "spring", "--journal", str(tmp_path / "spring.journal"), "--use-ids")
    assert 0 == main(["send", people, *words, "--results", results])

    assert 2 == main(["send", results, *words, "--results", results])
    assert not (tmp_path / "results.csv.1").exists()
    assert 300 == len(cli_gateway.ledger)


def test_a_campaign_does_not_go_on_under_other_ids(
    cli_gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A campaign begun under the ids of its file is refused if the same command would no longer use them."""
    path = tmp_path / "people.csv"
    path.write_text("phone,client_id_sms\n79612242243,101\n79612242244,102\n", encoding="utf-8")
    words = ("send", str(path), *SALE, "--campaign", "spring", "--journal", str(tmp_path / "spring.journal"))
    assert 0 == main([*words])
    path.write_text("phone,client_id_sms,outcome\n79612242243,101,\n79612242244,102,\n", encoding="utf-8")

    assert 2 == main([*words])
    assert "give --use-ids to go on with it" in capsys.readouterr().err
    assert 0 == main([*words, "--use-ids"])
    assert 2 == len(cli_gateway.ledger)


COLUMNS = {
    "plain": ("phone", lambda phone: phone),
    "ids": ("phone,client_id_sms", lambda phone: f"{phone},{phone[-4:]}"),
    "half of the ids": ("phone,client_id_sms", lambda phone: f"{phone},{phone[-4:] if phone[-1] in '13579' else ''}"),
    "keys": ("phone,key", lambda phone: f"{phone},order {phone}"),
}


@pytest.mark.parametrize(
    ("begun", "again"),
    [
        ("ids", "plain"),
        ("ids", "half of the ids"),
        ("half of the ids", "plain"),
        ("plain", "ids"),
        ("plain", "half of the ids"),
        ("keys", "plain"),
        ("plain", "keys"),
    ],
)
def test_a_column_of_ids_or_keys_that_is_lost_or_added_bills_nobody_again(
    cli_gateway: Gateway, capsys: pytest.CaptureFixture[str], begun: str, again: str
):
    """A second run under other ids is refused before anything is sent, and an export does not deny what was sent."""
    people = [str(79612242243 + number) for number in range(20)]
    for name in (begun, again):
        head, row = COLUMNS[name]
        Path(f"{name}.csv").write_text("\n".join([head, *map(row, people)]), encoding="utf-8")
    campaign = ("--campaign", "spring", "--journal", "journal")
    assert 0 == main(["send", f"{begun}.csv", *SALE, *campaign])
    capsys.readouterr()

    assert 2 == main(["send", f"{again}.csv", *SALE, *campaign])
    assert "nothing was sent" in capsys.readouterr().err
    assert 2 == main(["export", "export.csv", *campaign, "--file", f"{again}.csv"])
    assert "nothing was written" in capsys.readouterr().err
    assert not Path("export.csv").exists()
    assert 0 == main(["send", f"{begun}.csv", *SALE, *campaign])
    assert people == [sms.phone for sms in cli_gateway.ledger.sent]


def test_a_campaign_goes_on_with_further_keys_of_its_phones(cli_gateway: Gateway):
    """A phone that a campaign has under one key may get a message under another, in the same file or in a later one."""
    people = [str(79612242243 + number) for number in range(20)]
    campaign = ("--campaign", "spring", "--journal", "journal", "--in-flight", "1", "--batch-size", "20")
    rows = ["phone,key", *(f"{phone},{key}" for key in ("", "second") for phone in people)]
    Path("people.csv").write_text("\n".join(rows), encoding="utf-8")
    cli_gateway.faults.script(Fault(), Fault(status=401))
    main(["send", "people.csv", *SALE, *campaign])
    assert people == [sms.phone for sms in cli_gateway.ledger.sent]

    assert 0 == main(["send", "people.csv", *SALE, *campaign])
    with Path("people.csv").open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(f"{phone},third" for phone in people))
    assert 0 == main(["send", "people.csv", *SALE, *campaign])
    assert people * 3 == [sms.phone for sms in cli_gateway.ledger.sent]


def test_an_export_judges_each_row_by_its_own_phone(cli_gateway: Gateway, tmp_path: Path):
    """Of two rows with one id, the one that was left out is not exported as accepted."""
    rows = [f"7961224{number:04},{1_000 + number}" for number in range(20)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["phone,client_id_sms", "796122400000,1001", *rows]), encoding="utf-8")
    journal = str(tmp_path / "spring.journal")
    assert 1 == main(["send", str(path), *SALE, "--campaign", "spring", "--journal", journal])
    out = str(tmp_path / "out.jsonl")
    main(["export", out, "--journal", journal, "--campaign", "spring", "--file", str(path), "--text", "Sale!"])

    first, *others = map(json.loads, Path(out).read_text(encoding="utf-8").splitlines())
    assert ("796122400000", "not_sent") == (first["phone"], first["outcome"])
    assert {"accepted"} == {row["outcome"] for row in others}
    assert 20 == len(cli_gateway.ledger)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_emulator_says_in_the_end_what_it_has_sent(number: signal.Signals):
    """At Ctrl-C or SIGTERM the emulator prints how many SMS it has sent, for a tester to compare."""
    command = [sys.executable, "-m", "webcom_async", "emulate", "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=40)

    assert "0 SMS were sent" in said


def test_a_row_that_was_sent_to_before_is_not_reported_as_not_sent(
    cli_gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A run without the earlier `--include-unlike` skips such rows, and reports their outcome from the journal."""
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["phone", *(str(79612242243 + number) for number in range(20)), "375291234567"]))
    journal, results = str(tmp_path / "spring.journal"), str(tmp_path / "results.jsonl")
    words = ("send", str(path), *SALE, "--campaign", "spring", "--journal", journal, "--json")
    assert 0 == main([*words, "--include-unlike"])
    capsys.readouterr()

    assert 0 == main([*words, "--results", results])
    assert {"accepted": 21, "rejected": 0, "unknown": 0, "not_sent": 0} == json.loads(capsys.readouterr().out)[
        "outcomes"
    ]
    rows = [json.loads(line) for line in Path(results).read_text(encoding="utf-8").splitlines()]
    assert {"accepted"} == {row["outcome"] for row in rows}
    assert 21 == len(cli_gateway.ledger) == len(rows)
