"""Empty and blank words on the command line, as a shell has them where a variable is not set."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from cyclopts import App, Argument

from tests.builders import NOW, phones
from webcom_async import Message, Phone
from webcom_async._cli.app import app
from webcom_async._domain.client_ids import IdScheme
from webcom_async.cli import main
from webcom_async.emulator import Gateway, serve
from webcom_async.journal import CampaignFile, CampaignHeader, OutboundRecipient, campaigns, fingerprint

pytestmark = pytest.mark.socket

SEND = ("--sender", "ACME", "--text", "Sale!", "--yes")
TEXTS = ("str", "Path")
MAY_BE_BLANK = {("--delimiter", " ")}


def commands(group: App, *before: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command of *group* and of its subgroups."""
    for name in group:
        if name.startswith("-"):
            continue
        if group[name].default_command is None:
            yield from commands(group[name], *before, name)
        else:
            yield (*before, name)


def arguments(command: tuple[str, ...]) -> list[Argument]:
    """Return a command's arguments and options, without switches."""
    called = app
    for name in command:
        called = called[name]
    return [argument for argument in called.assemble_argument_collection() if not argument.is_flag()]


def is_text(argument: Argument) -> bool:
    """Whether the argument's value is taken as text or as a path."""
    return any(kind in str(argument.hint) for kind in TEXTS)


def given(argument: Argument, value: str) -> list[str]:
    """Return the words that give *argument* a value."""
    return [f"{argument.name}={value}"] if argument.name.startswith("--") else [value]


def with_blank(command: tuple[str, ...], argument: Argument, blank: str) -> list[str]:
    """Return a command line whose only fault is a blank *argument*."""
    all_of_them = arguments(command)
    place = [each.name for each in all_of_them].index(argument.name)
    words = list(command)
    for number, each in enumerate(all_of_them):
        before_it = number < place and not each.name.startswith("--")
        if number == place:
            words += given(each, blank)
        elif each.required or before_it:
            words += given(each, "people.csv")
    return words


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """Return a gateway for the command line, in a working directory with a file of phones."""
    gateway = Gateway()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEBCOM_STORE", raising=False)
    monkeypatch.setenv("WEBCOM_WEBHOOK_SECRET", 16 * "s")
    Path("people.csv").write_text("phone\n" + "\n".join(phones(3)))
    with serve(gateway) as url:
        monkeypatch.setenv("WEBCOM_BASE_URL", url)
        monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
        monkeypatch.setenv("WEBCOM_LANG", "")
        yield gateway


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_every_command_is_checked():
    """The tests below see every command, every group and the options they share."""
    found = {command: {argument.name for argument in arguments(command)} for command in commands(app)}

    assert {("send",), ("campaign", "start"), ("webhook",), ("emulate",), ("completion",)} <= set(found)
    assert {"FILE", "--campaign", "--journal", "--key-column", "--zone", "--credentials"} <= found["send",]
    assert 20 == len(found)


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("command", list(commands(app)), ids=" ".join)
def test_no_command_takes_a_blank_value(
    gateway: Gateway, command: tuple[str, ...], blank: str, capsys: pytest.CaptureFixture[str]
):
    """An empty or blank value gives exit code 2 and names the option; nothing is sent, no file is made."""
    for argument in arguments(command):
        if (argument.name, blank) in MAY_BE_BLANK:
            continue
        assert 2 == main(with_blank(command, argument, blank)), argument.name
        said = capsys.readouterr().err
        assert not is_text(argument) or f"{argument.name} is {'blank' if blank else 'empty'}: give it" in said

    assert (0, ["people.csv"]) == (gateway.requests, files())


@pytest.mark.parametrize("command", [("send",), ("campaign", "start")], ids=" ".join)
def test_an_unset_variable_for_a_name_sends_nothing(
    gateway: Gateway, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    """A random name in its place would bill every recipient again with each run."""
    journal = ["--journal", "spring.journal"] if command == ("send",) else []
    for _ in range(2):
        assert 2 == main([*command, "people.csv", *SEND, "--campaign", "", *journal])
    assert "--campaign is empty: give it a value, or leave it out; a shell variable may be unset" in (
        capsys.readouterr().err
    )
    assert ([], ["people.csv"]) == (list(gateway.ledger.sent), files())


@pytest.mark.parametrize("name", [" spring", "spring ", "spring\n"])
def test_a_line_end_in_a_name_sends_nothing(gateway: Gateway, name: str, capsys: pytest.CaptureFixture[str]):
    """A name with a line end would be another campaign than the name without it."""
    assert 2 == main(["send", "people.csv", *SEND, "--campaign", name, "--journal", "spring.journal"])
    assert "begins or ends with white space, which makes it another campaign than 'spring'" in capsys.readouterr().err
    assert (0, ["people.csv"]) == (gateway.requests, files())


def test_a_name_with_white_space_is_read_and_finished_if_a_journal_has_it(gateway: Gateway):
    """An earlier release may have begun such a campaign, so each command finds it under its exact name."""
    name, said = "spring ", Message(sender="ACME", text="Sale!")
    header = CampaignHeader(campaign=name, id_bits=63, fingerprint=fingerprint(said, None))
    with CampaignFile("spring.journal", header, now=lambda: NOW) as journal:
        phone = Phone(next(phones(1)))
        journal.reserve([(said, [OutboundRecipient(phone, IdScheme(name).derive(phone))])])
    its = ("--campaign", name)

    assert 0 == main(["retry", "spring.journal", *its, "--unknown"])
    assert 0 == main(["report", "spring.journal", *its])
    assert 0 == main(["export", "results.csv", "--journal", "spring.journal", *its])
    assert 0 == main(["send", "people.csv", *SEND, *its, "--journal", "spring.journal"])
    assert [*phones(3)] == [sms.phone for sms in gateway.ledger.sent]
    assert [name] == [stored.header.campaign for stored in campaigns("spring.journal")]


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("WEBCOM_STORE", ("campaign", "start", "people.csv", *SEND, "--campaign", "spring")),
        ("WEBCOM_STORE", ("campaign", "status")),
        ("WEBCOM_STORE", ("campaign", "worker")),
        ("WEBCOM_BASE_URL", ("send", "people.csv", *SEND, "--campaign", "spring")),
        ("WEBCOM_BASE_URL", ("balance",)),
        ("WEBCOM_WEBHOOK_SECRET", ("webhook", "reports.db")),
        ("WEBCOM_TOKEN", ("send", "people.csv", *SEND, "--campaign", "spring")),
    ],
)
def test_a_blank_variable_names_no_place_and_no_account(
    gateway: Gateway,
    variable: str,
    words: tuple[str, ...],
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """A blank variable is refused, so that a campaign goes to the intended store and gateway only."""
    monkeypatch.setenv(variable, value)

    assert 2 == main(words)
    assert variable in capsys.readouterr().err
    assert (0, ["people.csv"]) == (gateway.requests, files())


def test_an_option_goes_before_a_blank_variable(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    """A command line that names a value needs no variable for it."""
    url = os.environ["WEBCOM_BASE_URL"]
    monkeypatch.setenv("WEBCOM_BASE_URL", "")

    assert 0 == main(["send", "people.csv", *SEND, "--base-url", url])
    assert 3 == len(gateway.ledger)


def test_a_tab_is_a_delimiter(gateway: Gateway):
    """Of all options, only the delimiter may be white space."""
    Path("people.csv").write_text("phone\tname\n" + "\n".join(f"{phone}\tAnn" for phone in phones(3)))

    assert 0 == main(["send", "people.csv", *SEND, "--delimiter", "\t"])
    assert 3 == len(gateway.ledger)
