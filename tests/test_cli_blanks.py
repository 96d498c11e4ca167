"""Empty and blank words on the command line, as a shell has them where a variable is not set."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")


from tests.builders import NOW, phones
from webcom_async import IdScheme, Message, Phone
from webcom_async.cli import main
from webcom_async.emulator import Gateway, serve
from webcom_async.journal import CampaignFile, CampaignHeader, OutboundRecipient, campaigns, fingerprint

pytestmark = pytest.mark.socket

SEND = ("--sender", "ACME", "--text", "Sale!", "--yes")


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
