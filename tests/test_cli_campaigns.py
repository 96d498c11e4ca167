"""A campaign from a file, by the command line: previewed, confirmed, sent, reported, exported."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from webcom_async.emulator import Fault, Faults, Gateway, GatewayTransport, Scenario, Step, serve

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from tests.builders import phones
from webcom_async import Clock, WebcomClient
from webcom_async.audience import Audience
from webcom_async.audience.calling_hours import CallingHours, Rounds
from webcom_async.cli import main

pytestmark = pytest.mark.socket
posix = pytest.mark.skipif(os.name != "posix", reason="these terminals are POSIX")

EXCEL = "Телефон;Имя\r\n8 (961) 224-22-43;Анна\r\n8 (961) 224-22-44;=Пётр()\r\nabc;Ян\r\n8 961 2242243;Анна\r\n"
HELLO = "Привет, {имя}!"
SEND = ("--sender", "ACME", "--text", HELLO)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Return a gateway on a socket that the command line will send to."""
    gateway = Gateway()
    with serve(gateway) as url:
        monkeypatch.setenv("WEBCOM_BASE_URL", url)
        monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
        monkeypatch.setenv("WEBCOM_LANG", "en")
        monkeypatch.setenv("COLUMNS", "200")
        yield gateway


@pytest.fixture
def excel(tmp_path: Path) -> str:
    """Return the path of a file as a Russian Excel writes it."""
    path = tmp_path / "клиенты.csv"
    path.write_bytes(EXCEL.encode("cp1251"))
    return str(path)


def write(tmp_path: Path, content: str, name: str = "people.csv") -> str:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def told(path: Path, delimiter: str, *names: str) -> set[tuple[str, ...]]:
    return {tuple(row[name] for name in names) for row in rows(path, delimiter)}


def rows(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_excels_own_file_works_without_an_option(gateway: Gateway, excel: str, tmp_path: Path):
    """A file with Windows-1251, semicolons, Russian headers and `8 (9xx)` phones is sent; each row has a result."""
    results = tmp_path / "results.csv"

    assert 1 == main(["send", excel, *SEND, "--campaign", "spring", "--results", str(results)])
    assert [("79612242243", "Привет, Анна!"), ("79612242244", "Привет, =Пётр()!")] == [
        (sms.phone, sms.text) for sms in gateway.ledger.sent
    ]
    assert {
        ("2", "accepted", "none", "79612242243", "8 (961) 224-22-43", "Анна"),
        ("3", "accepted", "none", "79612242244", "8 (961) 224-22-44", "'=Пётр()"),
        ("4", "not_sent", "bad_phone", "abc", "abc", "Ян"),
        ("5", "not_sent", "duplicate", "79612242243", "8 961 2242243", "Анна"),
    } == {
        tuple(row[name] for name in ("line", "outcome", "reason", "phone", "Телефон", "Имя"))
        for row in rows(results, ";")
    }


def test_a_preview_counts_parts_and_cost_and_sends_nothing(
    gateway: Gateway, excel: str, capsys: pytest.CaptureFixture[str]
):
    """A preview shows counts, cost, each bad row's line and sample texts; nothing is sent."""
    code = main(["preview", excel, "--text", f"{HELLO} {'Скидки! ' * 10}", "--price", "2.40"])
    shown = capsys.readouterr().out

    assert (1, []) == (code, gateway.ledger.sent)
    for words in (
        "CSV, Windows-1251, semicolons",
        "4  (2 × 2 parts)",
        "9.60",
        "line 4: 'abc' is not a phone number",
        "line 5: 79612242243 is in line 2 already",
        "'8 (961) 224-22-43' was taken for 79612242243",
        "Привет, Анна! Скидки!",
        "1 instead of 2 parts",
    ):
        assert words in shown


def test_a_preview_for_machines_is_one_line_of_json(gateway: Gateway, excel: str, capsys: pytest.CaptureFixture[str]):
    """The line has counts, findings with their lines, parts, and money as decimal text."""
    assert 1 == main(["preview", excel, "--text", HELLO, "--price", "0.1", "--json"])
    shown = json.loads(capsys.readouterr().out)

    assert (4, 2, 2, "0.2") == (shown["rows"], shown["sendable"], shown["parts"], shown["cost"])
    assert {"bad": 1, "duplicates": 1, "guessed": 2, "stopped": 0, "unlike": 0, "unsayable": 0} == shown["counts"]
    assert 4 == shown["findings"]["bad"][0]["line"]
    assert [] == gateway.ledger.sent


def test_a_preview_shows_the_balance_and_whether_it_is_enough(
    gateway: Gateway, excel: str, capsys: pytest.CaptureFixture[str]
):
    """With credentials, the preview asks for the balance, and warns if it is too low for the campaign."""
    gateway.accounts[0].money = Decimal("4.79")
    words = ["preview", excel, "--text", HELLO, "--price", "2.40"]
    main(words)
    poor = capsys.readouterr().out
    gateway.accounts[0].money = Decimal("4.80")
    main(words)
    main([*words, "--json"])
    *enough, line = capsys.readouterr().out.splitlines()

    assert "4.79 RUR  not enough" in poor
    assert "4.80 RUR" in "".join(enough)
    assert "not enough" not in "".join(enough)
    assert {"money": "4.80", "currency": "RUR"} == json.loads(line)["balance"]


def test_a_preview_needs_no_credentials_and_no_gateway(
    excel: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, unused_port: int
):
    """Without credentials no request is made, and a gateway that does not answer does not prevent the preview."""
    for name in ("WEBCOM_TOKEN", "WEBCOM_LOGIN", "WEBCOM_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEBCOM_LANG", "en")
    monkeypatch.setenv("WEBCOM_BASE_URL", f"http://127.0.0.1:{unused_port}")

    assert 1 == main(["preview", excel, "--text", HELLO])
    alone = capsys.readouterr()
    monkeypatch.setenv("WEBCOM_TOKEN", "dummy")
    assert 1 == main(["preview", excel, "--text", HELLO])
    unanswered = capsys.readouterr()

    assert "Preview" in alone.out
    assert "balance" not in alone.out + alone.err
    assert "Preview" in unanswered.out
    assert "the balance is unknown" in unanswered.err


def test_a_price_is_learned_from_what_earlier_campaigns_cost(
    gateway: Gateway, excel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Delivery reports in the journal show what a part costs; a given price comes first."""
    journal = str(tmp_path / "journal")
    gateway.scenarios.default = Scenario((Step(0.0, "deliver"),))
    main(["send", excel, *SEND, "--campaign", "spring", "--journal", journal])
    main(["track", journal, "--campaign", "spring", "--first", "0"])
    capsys.readouterr()
    main(["preview", excel, "--text", HELLO, "--journal", journal])
    learned = capsys.readouterr().out
    main(["preview", excel, "--text", HELLO, "--journal", journal, "--price", "1", "--json"])
    given = json.loads(capsys.readouterr().out)

    over = main(["send", excel, *SEND, "--campaign", "autumn", "--journal", journal, "--max-cost", "21"])

    assert "21.20 at 10.6 a part" in learned
    assert ("2", False) == (given["cost"], given["price_learned"])
    assert (2, 2) == (over, len(gateway.ledger.sent))


def test_a_preview_speaks_russian_if_it_is_asked_to(excel: str, capsys: pytest.CaptureFixture[str]):
    """An option chooses Russian for one command."""
    main(["preview", excel, "--text", HELLO, "--lang", "ru"])

    assert "Предпросмотр" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-cost", "4.7", "--price", "2.40"), "it would cost 4.80, over --max-cost 4.70"),
        (("--max-cost", "5"), "give --price too"),
        (("--confirm-above", "1"), "nobody to ask: give --yes"),
        (("--text", "я" * 671), "nobody to ask: give --yes, or a shorter text"),
        (("--text", "{имя} {город}"), "and no column has that name"),
        (("--text", "{имя"), "at character 1"),
        (("--between", "9-20"), "no span of hours"),
        (("--between", "20:00-09:00"), "open before they close"),
        (("--validity-period", "soon"), "neither a span"),
        (("--zone", "Moscow"), "no time zone"),
        (("--rate", "0"), "rate"),
        (("--encoding", "utf-8"), "not UTF-8 at byte"),
        (("--stop-list", "nowhere.txt"), "nowhere.txt: No such file"),
        (("--phone-column", "mobile"), "no column 'mobile'; its columns are: Телефон, Имя"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(
    gateway: Gateway, excel: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
):
    """Input that cannot be sent gives exit code 2, a sentence, and no request."""
    text = () if "--text" in words else ("--text", HELLO)
    assert 2 == main(["send", excel, "--sender", "ACME", *text, *words])
    assert (True, 0) == (said in capsys.readouterr().err, gateway.requests)


@pytest.mark.parametrize(
    "words",
    [("--text", "я" * 670), ("--text", "я" * 671, "--yes"), ("--text", "я" * 671, "--channel", "viber")],
)
def test_only_sms_of_more_than_ten_parts_are_asked_about(
    gateway: Gateway, excel: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
):
    """Ten SMS, a text of Viber, and what `--yes` waives, go without a question."""
    assert 1 == main(["send", excel, "--sender", "ACME", *words])
    assert "takes 11 SMS" not in capsys.readouterr().err
    assert gateway.requests


def test_an_encoding_in_doubt_is_asked_for(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is sent until the encodings of the file and of the stop list are named; then both are read in them."""
    file, stopped = tmp_path / "people.csv", tmp_path / "stop.csv"
    file.write_bytes("Телефон;Имя\n79612242243;Анна\n79612242244;Пётр\n".encode("koi8-r"))
    stopped.write_bytes("Телефон;Имя\n79612242244;Пётр\n".encode("cp866"))
    words = ["send", str(file), "--sender", "ACME", "--text", "Привет, {имя}!", "--stop-list", str(stopped)]

    assert 2 == main([*words, "--stop-list-encoding", "cp866"])
    assert "people.csv, line 3: not UTF-8" in (said := capsys.readouterr().err)
    assert "--encoding" in said
    assert "likely koi8-r ('Пётр')" in said
    assert 2 == main([*words, "--encoding", "koi8-r"])
    assert "likely cp866 ('Телефон')" in capsys.readouterr().err
    assert 0 == gateway.requests
    assert 1 == main([*words, "--encoding", "koi8-r", "--stop-list-encoding", "cp866"])
    assert ["Привет, Анна!"] == [sms.text for sms in gateway.ledger.sent]


def test_a_missing_cell_stops_everything_until_it_is_waived(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A text with a missing cell stops the campaign and names the line; `--skip-incomplete` sends to the others."""
    file = write(tmp_path, "phone,name\n79612242243,Ann\n79612242244,\n")
    words = ["send", file, "--sender", "ACME", "--text", "Hello, {name}!", "--json"]

    assert 2 == main(words)
    assert "line 3: column 'name' is empty" in capsys.readouterr().err
    assert 0 == gateway.requests
    assert 1 == main([*words, "--skip-incomplete"])
    assert {"no_text": 1} == json.loads(capsys.readouterr().out)["reasons"]
    assert ["Hello, Ann!"] == [sms.text for sms in gateway.ledger.sent]


def test_a_dry_run_needs_no_credentials_and_sends_nothing(
    gateway: Gateway, excel: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A dry run makes every check, and sends nothing."""
    monkeypatch.delenv("WEBCOM_TOKEN")

    assert 1 == main(["send", excel, *SEND, "--dry-run"])
    assert "dry run: nothing was sent" in capsys.readouterr().err
    assert 0 == gateway.requests


@posix
@pytest.mark.parametrize(("answer", "sent", "code"), [("y\n", 2, 1), ("n\n", 0, 2), ("\n", 0, 2)])
def test_many_recipients_are_asked_for_first(gateway: Gateway, excel: str, answer: str, sent: int, code: int):
    """On a terminal, a question shows recipients, parts and cost; any answer but yes sends nothing."""
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "webcom_async", "send", excel, *SEND, "--confirm-above", "1", "--price", "2"]
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, answer.encode())
        _, err = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)

    assert (code, sent) == (process.returncode, len(gateway.ledger))
    assert "Send to 2 recipients (2 parts, 4.00)? [y/N]" in err


def test_stop_lists_are_obeyed_and_the_gateways_own_remembered(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Phones in a stop file, and phones that the gateway refused as stopped before, are not sent to."""
    gateway.accounts[0].stop_list = {"79612242244"}
    file, stop = write(tmp_path, "\n".join(phones(4))), write(tmp_path, "8 961 224 22 46\n", "stop.txt")
    words = ["send", file, "--sender", "ACME", "--text", "Sale!", "--journal", str(tmp_path / "j"), "--json"]
    reasons = []
    for name, further in (("a", ["--stop-list", stop]), ("b", []), ("c", ["--ignore-remembered-stops"]), ("a", [])):
        main([*words, "--campaign", name, *further])
        reasons.append(json.loads(capsys.readouterr().out)["reasons"])

    assert [{"stop_list": 2}, {"stop_list": 1}, {"stop_list": 1}, {"stop_list": 1}] == reasons
    assert [4, 4] == [sum(b"79612242244" in r.body for r in gateway.received) + 2, len(gateway.received)]
    assert 3 + 3 + 2 + 1 == len(gateway.ledger)


def test_rate_timeout_and_validity_reach_the_gateway(gateway: Gateway, tmp_path: Path):
    """A validity span becomes a time in the gateway's zone; a given time is read in `--zone`."""
    file = write(tmp_path, "79612242243\n")
    words = ["send", file, "--sender", "ACME", "--text", "Sale!", "--rate", "50", "--timeout", "5"]

    assert 0 == main([*words, "--validity-period", "2040-01-31 18:00", "--zone", "UTC"])
    assert 0 == main([*words, "--validity-period", "2d"])
    first, second = (datetime.fromisoformat(sms.validity_period) for sms in gateway.ledger.sent)
    moscow = timezone(timedelta(hours=3))
    assert datetime(2040, 1, 31, 21, 0) == first  # noqa: DTZ001 - as it is on the wire
    assert abs(second.replace(tzinfo=moscow) - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=1)


def test_report_retry_and_export_show_a_campaign(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """After a lost answer, report says unknown, retry settles it, and export has every row in order."""
    file = write(tmp_path, "phone,name\n79612242243,Ann\nnobody,Bob\n79612242243,Ann again\n79612242245,Eve\n")
    journal, out = str(tmp_path / "j"), tmp_path / "out.csv"
    gateway.faults.sometimes(1.0, Fault(processed=True, close=True))

    async def send_once() -> None:
        transport = GatewayTransport(gateway)
        async with WebcomClient(token=gateway.token, transport=transport, attempts=1, wait_max=0.01) as client:
            people = Audience(file, "Hi {name}").recipients()
            await client.send_all(people, sender="ACME", campaign="spring", journal=journal)

    anyio.run(send_once)
    main(["report", journal, "--json"])
    before = json.loads(capsys.readouterr().out)
    gateway.faults = Faults()

    assert 2 == main(["retry", journal, "--campaign", "spring"])
    assert "--unknown" in capsys.readouterr().err
    assert 0 == main(["retry", journal, "--campaign", "spring", "--unknown", "--json"])
    capsys.readouterr()
    assert 0 == main(["report", journal, "--campaign", "spring"])
    assert "spring" in capsys.readouterr().out
    assert 1 == main(["export", str(out), "--journal", journal, "--campaign", "spring", "--file", file])

    assert 2 == before["outcomes"]["unknown"]
    assert (2, {}) == (len(gateway.ledger), gateway.ledger.billed_twice())
    assert [
        ("2", "accepted", "none", "Ann"),
        ("3", "not_sent", "bad_phone", "Bob"),
        ("4", "not_sent", "duplicate", "Ann again"),
        ("5", "accepted", "none", "Eve"),
    ] == [tuple(row[name] for name in ("line", "outcome", "reason", "name")) for row in rows(out, ",")]
    assert gateway.ledger.ids() == {row["client_id_sms"]: row["id_sms"] for row in rows(out, ",") if row["id_sms"]}


def test_an_export_accounts_for_rows_that_no_run_has_reached(gateway: Gateway, tmp_path: Path):
    """After a halt, the rows that no run has reached are exported as not sent."""
    file, journal, out = write(tmp_path, "\n".join(phones(9))), str(tmp_path / "j"), tmp_path / "out.jsonl"
    gateway.accounts[0].balance = 4
    words = ["--campaign", "spring", "--journal", journal]
    main(["send", file, "--sender", "ACME", "--text", "Sale!", "--batch-size", "2", "--in-flight", "1", *words])

    assert 1 == main(["export", str(out), *words, "--file", file])
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert list(phones(9)) == [row["input_phone"] for row in found]
    assert ["accepted"] * 4 == [row["outcome"] for row in found][:4]
    assert {"not_sent"} == {row["outcome"] for row in found[6:]}
    assert 2 == main(["export", str(out), *words]), "it exists already"
    assert 1 == main(["export", str(tmp_path / "all.csv"), *words])


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_results_are_safe_in_every_format(tmp_path: Path, suffix: str):
    """A formula or an escape sequence in a cell does not run anywhere; JSON Lines and Parquet keep it unchanged."""
    evil = "=cmd|' /C calc'!A0\x1b[31m\u202e\x9b"
    path = tmp_path / "people.jsonl"
    path.write_text(json.dumps({"phone": "79612242243", "@evil": evil}))
    out = tmp_path / f"out{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="an extra")

    assert 0 == main(["send", str(path), "--sender", "ACME", "--text", "Sale!", "--results", str(out)])
    if suffix == ".csv":
        [row] = rows(out, ",")
        assert (row["'@evil"][:2], False) == ("'=", bool({"\x1b", "\u202e", "\x9b"} & set(out.read_text())))
    elif suffix == ".jsonl":
        assert (evil, True) == (json.loads(out.read_text())["@evil"], out.read_text().isascii())
    else:
        from webcom_async.files import open_table  # noqa: PLC0415

        table = open_table(out)
        assert [evil] == [dict(zip(table.columns, row.cells, strict=True))["@evil"] for row in table.rows()]


@pytest.mark.usefixtures("gateway")
def test_results_are_put_aside_in_every_format(tmp_path: Path):
    """With a journal, the same command again writes all results, and keeps the earlier file."""
    pytest.importorskip("pyarrow", reason="an extra")
    file = write(tmp_path, "79612242243\n")
    for suffix in (".csv", ".jsonl", ".parquet"):
        out = tmp_path / f"out{suffix}"
        words = [
            "send",
            file,
            "--sender",
            "ACME",
            "--text",
            "Sale!",
            "--campaign",
            "a",
            "--journal",
            str(tmp_path / "j"),
        ]
        assert [0, 0] == [main([*words, "--results", str(out)]) for _ in range(2)]
        assert out.with_name(f"{out.name}.1").exists(), suffix


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_command_that_could_not_begin_leaves_no_results_behind(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
):
    """Without credentials nothing is sent and no file is made; with them, the same command works."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="an extra")
    results = tmp_path / f"out{suffix}"
    words = ["send", write(tmp_path, "79612242243\n"), "--sender", "ACME", "--text", "Sale!", "--results", str(results)]
    monkeypatch.delenv("WEBCOM_TOKEN")
    assert (2, False) == (main(words), results.exists())

    monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
    assert (0, True) == (main(words), results.exists())


class Day:
    """A clock that only its sleepers move."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @contextmanager
    def clock(self) -> Iterator[Clock]:
        yield Clock(now=lambda: self.now, sleep=self.sleep)


def test_hours_that_end_during_a_campaign_go_on_the_next_morning(tmp_path: Path):
    """Recipients not reached before the hours end come first when they begin again."""
    file = write(tmp_path, "\n".join(phones(6)))
    day = Day(datetime(2030, 1, 1, 19, 59, 58, tzinfo=UTC))
    rounds = Rounds(Audience(file, "Sale!").people, CallingHours(time(9), time(20), UTC), lambda: day.now)
    told: list[list[str]] = []
    while (opening := rounds.opening) is not None:
        day.now = opening
        told.append([])
        for person in rounds.people():
            assert person.recipient is not None
            told[-1].append(str(person.recipient.phone)[-1])
            day.now += timedelta(seconds=1)

    assert [["3", "4"], ["5", "6", "7", "8"]] == told
    assert datetime(2030, 1, 2, 9, 0, 4, tzinfo=UTC) == day.now


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_waiting_for_the_hours_can_be_stopped(gateway: Gateway, excel: str, number: signal.Signals, code: int):
    """A signal ends the wait at once, the resume hint is printed, and nothing is sent."""
    hours = "22:00-23:00" if datetime.now(UTC).hour < 12 else "01:00-02:00"
    words = [sys.executable, "-m", "webcom_async", "send", excel, *SEND, "--between", hours, "--zone", "UTC"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "waiting until" not in (line := process.stderr.readline()):
            assert line, process.poll()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)

    assert (code, 0) == (process.returncode, gateway.requests)
    assert f"--between {hours} --zone UTC --campaign cli-" in err


@posix
def test_colours_are_for_terminals_only(excel: str):
    """Neither a pipe nor a terminal with `NO_COLOR` gets an escape sequence."""
    words = [sys.executable, "-m", "webcom_async", "preview", excel, "--text", HELLO]
    piped = subprocess.run(words, capture_output=True, check=False)
    ours, theirs = os.openpty()
    environ = os.environ | {"NO_COLOR": "1", "TERM": "xterm"}
    plain = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, env=environ, check=False)
    shown = os.read(ours, 65_536)
    os.close(ours)
    os.close(theirs)

    assert (1, 1) == (piped.returncode, plain.returncode)
    assert b"\x1b" not in piped.stdout + piped.stderr
    assert not re.search(rb"\x1b\[[0-9;]*[39][0-7]m", shown)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_commands(capsys: pytest.CaptureFixture[str], shell: str):
    """The completion script names the commands and their options, and the shell can read it."""
    assert 0 == main(["completion", shell])
    script = capsys.readouterr().out

    assert all(word in script for word in ("preview", "export", "validity-period"))
    if shutil.which(shell):
        subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=True)


def test_hours_and_a_span_of_validity_do_not_go_together(gateway: Gateway, excel: str):
    """A span of validity could end before the hours begin, so the command refuses it and sends nothing."""
    assert 2 == main(["send", excel, *SEND, "--between", "09:00-20:00", "--validity-period", "4h"])
    assert [] == gateway.ledger.sent


def test_a_price_may_be_written_with_a_comma(excel: str, capsys: pytest.CaptureFixture[str]):
    """A price may have a comma, as in Russia; a value that is not a sum is refused in a sentence."""
    main(["preview", excel, "--text", HELLO, "--price", "2,40", "--json"])
    assert "4.80" == json.loads(capsys.readouterr().out)["cost"]
    assert 2 == main(["preview", excel, "--text", HELLO, "--price", "dear"])
    assert "is no sum of money" in capsys.readouterr().err


@pytest.mark.usefixtures("gateway")
def test_a_russian_preview_is_russian_to_its_last_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Each row's fault, and each reason for leaving a row out, is in the language of the table."""
    people = ["79612242243;Анна", "abc;Ян", "79612242243;Анна", "8 961 224-22-44;", "+8 961 224 22 45;Пётр", "123;Оля"]
    path = write(tmp_path, "\n".join(["Телефон;Имя", *people]))
    main(["preview", path, "--text", HELLO, "--lang", "ru"])
    shown = capsys.readouterr()
    main(["send", path, "--sender", "ACME", "--text", HELLO, "--skip-incomplete", "--lang", "ru"])
    sent = capsys.readouterr()

    rows = [line for line in shown.out.splitlines() if "строка" in line]
    assert not re.findall(r"\b(?:line|is|the|was|empty)\b", "".join(rows))
    for words in ("негодный телефон", "повтор", "нет текста"):
        assert words in sent.out


def test_a_stop_list_is_read_for_the_region_of_the_file(gateway: Gateway, tmp_path: Path):
    """One spelling is one phone in the file and in the stop list, for sending and for exporting."""
    pytest.importorskip("phonenumbers", reason="it is the extra `phones`")
    people = write(tmp_path, "phone\n8 701 123 45 67\n701 123 45 68\n+7 701 123 45 69\n")
    stopped = write(tmp_path, "8 701 123 45 67\n701 123 45 68\n", "stop.txt")
    journal, out = str(tmp_path / "journal"), tmp_path / "out.csv"
    words = ["--text", "Sale!", "--region", "KZ"]
    kept = ["--campaign", "spring", "--journal", journal]

    assert 1 == main(["send", people, "--sender", "ACME", *words, "--stop-list", stopped, *kept])
    assert ["77011234569"] == [sms.phone for sms in gateway.ledger.sent]
    assert 1 == main(["export", str(out), "--file", people, *words, "--stop-list", stopped, *kept])
    assert ["stop_list", "stop_list", "none"] == [row["reason"] for row in rows(out, ",")]
