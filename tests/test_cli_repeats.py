"""`id_sms` that repeat, by the command line: the alarm, and its two ways on."""

import csv
from pathlib import Path

import pytest

from webcom_async.emulator import Behaviour, Fault, Gateway

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from tests.builders import phones
from webcom_async import IdScheme, Phone
from webcom_async.cli import main

pytestmark = pytest.mark.socket

SEND = ("--sender", "ACME", "--text", "Sale!", "--campaign", "spring", "--journal", "journal", "--in-flight", "1")
ONE_BY_ONE = ("--batch-size", "1")
GO_ON = "--acknowledge-repeated-ids"
NEW = ("--new-ids", "not-sent")


def written(*rows: tuple[str, int]) -> str:
    """Write a file of phones and their ids, and return its path."""
    lines = ["phone,client_id_sms", *(f"{phone},{client_id}" for phone, client_id in rows)]
    Path("people.csv").write_text("\n".join(lines), encoding="utf-8")
    return "people.csv"


def outcomes(path: str) -> dict[str, tuple[str, str, str]]:
    """Return outcome, reason and `id_sms` of each phone in a file of results that has a line for it."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return {row["phone"]: (row["outcome"], row["reason"], row["id_sms"]) for row in csv.DictReader(file)}


def test_repeats_halt_until_they_are_acknowledged(cli_gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    """The error names the option, and with it the rest is sent to; the recipient that shares is unknown everywhere."""
    cli_gateway.behaviour = Behaviour(id_bits=31)
    first, second, third = phones(3)
    file = written((first, 7), (second, 2**31 + 7), (third, 9))

    assert 3 == main(["send", file, *SEND, *ONE_BY_ONE])
    halted = capsys.readouterr().err
    assert 3 == main(["send", file, *SEND, *ONE_BY_ONE])
    assert 1 == main(["send", file, *SEND, *ONE_BY_ONE, GO_ON, "--results", "results.csv"])
    assert 3 == main(["retry", "journal", "--campaign", "spring", "--unknown"])
    assert 1 == main(["retry", "journal", "--campaign", "spring", "--unknown", GO_ON])
    assert 1 == main(["export", "export.csv", "--journal", "journal", "--campaign", "spring", "--file", file])

    assert "1 recipient of campaign 'spring' got an id_sms that another recipient has" in halted
    assert GO_ON in halted
    assert "bill again" in halted
    assert [first, third] == [sms.phone for sms in cli_gateway.ledger.sent]
    for path in ("results.csv", "export.csv"):
        told = outcomes(path)
        assert ("unknown", "repeated_id_sms", "") == told[second]
        assert ("accepted", "accepted") == (told[first][0], told[third][0])


def test_the_alarm_speaks_russian(cli_gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    """The alarm and its ways on are Russian where the command is, in `send` and in `retry`."""
    cli_gateway.behaviour = Behaviour(id_bits=31)
    first, second, third = phones(3)
    file = written((first, 7), (second, 2**31 + 7), (third, 2**32 + 7))

    assert 3 == main(["send", file, *SEND, *ONE_BY_ONE, "--lang", "ru"])
    halted = capsys.readouterr().err
    assert 3 == main(["retry", "journal", "--campaign", "spring", "--unknown", "--lang", "ru"])
    retried = capsys.readouterr().err

    assert "получателей: 1, рассылка 'spring': тот же id_sms" in halted
    for said in (halted, retried):
        assert "--acknowledge-repeated-ids отправляет остальным" in said
        assert "recipient" not in said


def test_new_ids_are_joined_to_their_rows(cli_gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    """Recipients that were never sent to leave under new ids, once, and each result stands beside its row."""
    people = list(phones(6))
    Path("people.csv").write_text("\n".join(["phone,name", *(f"{phone},n{phone}" for phone in people)]))
    answer = b'{"information":[{"state":"send","id_sms":"77"}]}'
    cli_gateway.faults.script(Fault(body=answer), Fault(body=answer))
    assert 3 == main(["send", "people.csv", *SEND, *ONE_BY_ONE])
    capsys.readouterr()
    for number, way in enumerate((NEW, NEW, ())):
        assert 0 == main(["send", "people.csv", *SEND, *ONE_BY_ONE, *way, "--results", f"{number}.csv"])
        told = outcomes(f"{number}.csv")
        assert set(people) == set(told)
    main(["export", "export.csv", "--journal", "journal", "--campaign", "spring", "--file", "people.csv"])

    assert told == outcomes("export.csv")
    old, new = IdScheme("spring"), IdScheme("spring", new=True)
    expected = {phone: (old if phone == people[1] else new).derive(Phone(phone)) for phone in people[1:]}
    assert expected == {sms.phone: sms.client_id_sms for sms in cli_gateway.ledger.sent}
    assert not cli_gateway.ledger.billed_twice()


def test_new_ids_need_a_campaign_that_has_begun(cli_gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    """A path with a typing error does not bill everyone again."""
    Path("people.csv").write_text("\n".join(["phone", *phones(3)]))

    assert 2 == main(["send", "people.csv", *SEND, *NEW])
    assert 2 == main(["send", "people.csv", "--sender", "ACME", "--text", "Sale!", *NEW])
    assert "give its --journal and --campaign" in capsys.readouterr().err
    assert (0, False) == (cli_gateway.requests, Path("journal").exists())


def test_a_stores_campaign_goes_on_with_the_options(cli_gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    """`campaign start` halts with the reason, and goes on when the same command has the options."""
    pytest.importorskip("dbos", reason="the engine is an extra")
    cli_gateway.behaviour = Behaviour(id_bits=31)
    first, second, third = phones(3)
    file = written((first, 7), (second, 2**31 + 7), (third, 9))
    start = ["campaign", "start", file, *SEND[:6], *ONE_BY_ONE, "--in-flight", "1"]

    assert 2 == main([*start, *NEW])
    assert 3 == main(start)
    halted = capsys.readouterr().err
    assert 1 == main([*start, GO_ON, *NEW])
    assert 1 == main(["campaign", "results", "spring", "results.csv", "--file", file])

    assert GO_ON in halted
    assert [first, third] == [sms.phone for sms in cli_gateway.ledger.sent]
    assert ("unknown", "repeated_id_sms", "") == outcomes("results.csv")[second]
