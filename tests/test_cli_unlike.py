"""Phones that are unlike the others of a file, by the command line."""

import csv
import json
from pathlib import Path

import pytest

from webcom_async.emulator import Gateway

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from tests.builders import phones
from webcom_async.cli import main

pytestmark = pytest.mark.socket

SEND = ("--sender", "ACME", "--text", "Sale!", "--campaign", "spring")
HOME = ["9612242249", "9258432958"]


@pytest.fixture
def people(tmp_path: Path) -> str:
    """Return the path of a file of three usual phones and two in home form."""
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["phone", *phones(3), *HOME]), encoding="utf-8")
    return str(path)


def reached(gateway: Gateway) -> list[str]:
    """Return the phones that got an SMS."""
    return sorted(sms.phone for sms in gateway.ledger.sent)


def outcomes(path: str) -> list[tuple[str, str, str]]:
    """Return each row's phone, outcome and reason from a file of results, in the order of lines."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        found = sorted(csv.DictReader(file), key=lambda row: int(row["line"]))
    return [(row["phone"], row["outcome"], row["reason"]) for row in found]


LEFT_OUT = [
    *((phone, "accepted", "none") for phone in phones(3)),
    *((phone, "not_sent", "unlike_phone") for phone in HOME),
]


def test_home_forms_are_left_out_and_both_ways_out_are_shown(
    cli_gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """The message has the count, the lines and both options; the others are sent to, and every row has its result."""
    assert 1 == main(["send", people, *SEND, "--results", "results.csv"])
    said = capsys.readouterr().err

    assert [*phones(3)] == reached(cli_gateway)
    assert LEFT_OUT == outcomes("results.csv")
    for words in ("unlike the others: 2: line 5: 9612242249 has ten digits", "--region RU", "--include-unlike"):
        assert words in said


def test_a_region_sends_them_home_and_a_waiver_as_written(cli_gateway: Gateway, people: str):
    """With `--region` they get its country code; with `--include-unlike` they are sent to as written."""
    assert 0 == main(["send", people, *SEND, "--include-unlike"])
    assert sorted([*phones(3), *HOME]) == reached(cli_gateway)

    pytest.importorskip("phonenumbers", reason="an extra")
    assert 0 == main(["send", people, *SEND[:-1], "summer", "--region", "RU"])
    assert {"79612242249", "79258432958"} <= set(reached(cli_gateway))


@pytest.mark.usefixtures("cli_gateway")
@pytest.mark.parametrize("preview", [["preview"], ["send", "--sender", "ACME", "--dry-run"]])
def test_a_preview_neither_counts_nor_costs_them(people: str, capsys: pytest.CaptureFixture[str], preview: list[str]):
    """They are in neither the number to send nor the price; the ways out are shown in Russian, too."""
    command, *options = preview
    words = [command, people, *options, "--text", "Sale!", "--price", "2", "--lang", "ru"]

    assert 1 == main([*words, "--json"])
    machine = capsys.readouterr()
    shown = json.loads(machine.out)
    assert (5, 3, "6", 2) == (shown["rows"], shown["sendable"], shown["cost"], shown["counts"]["unlike"])
    assert [5, 6] == [finding["line"] for finding in shown["findings"]["unlike"]]
    assert 1 == main(words)
    table = capsys.readouterr()
    assert "строка 5: 9612242249: десять цифр, начинается с 9" in table.out
    for said in (machine.err, table.err):
        assert "номера пропущены: 2; если это российские мобильные без 7: --region RU" in said


def test_an_export_says_why_they_were_not_sent_and_knows_when_they_were(cli_gateway: Gateway, people: str):
    """An export with the options of `send`, with or without the waiver, has the right result for each row."""
    words = [*SEND, "--journal", "journal"]
    export = ["--journal", "journal", "--campaign", "spring", "--file", people]
    main(["send", people, *words])

    assert 1 == main(["export", "before.csv", *export])
    assert LEFT_OUT == outcomes("before.csv")
    assert 0 == main(["send", people, *words, "--include-unlike"])
    assert 0 == main(["export", "after.csv", *export])
    assert 0 == main(["export", "waived.csv", *export, "--include-unlike"])
    accepted = [(phone, "accepted", "none") for phone in [*phones(3), *HOME]]
    assert [accepted] * 2 == [outcomes("after.csv"), outcomes("waived.csv")]
    assert 5 == len(cli_gateway.ledger)


def test_a_campaign_of_workers_leaves_them_out(cli_gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]):
    """`campaign start` plans only the others, and `campaign results` has every row."""
    pytest.importorskip("webcom_async.scaleout.dbos", reason="the engine is an extra")
    main(["campaign", "start", people, *SEND])

    assert "--include-unlike" in capsys.readouterr().err
    assert [*phones(3)] == reached(cli_gateway)
    assert 1 == main(["campaign", "results", "spring", "results.csv", "--file", people])
    assert LEFT_OUT == outcomes("results.csv")


def test_a_stop_list_of_home_forms_stops_the_command(
    cli_gateway: Gateway, people: str, capsys: pytest.CaptureFixture[str]
):
    """Nothing is sent while a line of the stop list could be more than one phone."""
    Path("stop.txt").write_text("79612242243\n9612242244\n", encoding="utf-8")

    assert 2 == main(["send", people, *SEND, "--stop-list", "stop.txt"])
    assert "stop.txt, line 2: '9612242244' may be a Russian mobile without its 7" in capsys.readouterr().err
    assert [] == reached(cli_gateway)


def test_a_number_in_lebanon_that_the_gateway_has_stopped_is_remembered(cli_gateway: Gateway):
    """A journal has phones with their country code, so one that looks like a home form is still found as stopped."""
    cli_gateway.accounts[0].stop_list = {"9612242243"}
    Path("people.txt").write_text("+961 2242243\n", encoding="utf-8")
    words = ["send", "people.txt", "--sender", "ACME", "--text", "Sale!", "--journal", "journal"]

    assert 1 == main([*words, "--campaign", "spring"])
    assert 1 == main([*words, "--campaign", "summer", "--results", "results.csv"])
    with Path("results.csv").open(newline="", encoding="utf-8") as file:
        assert [("stop_list", "0")] == [(row["reason"], row["attempts"]) for row in csv.DictReader(file)]
