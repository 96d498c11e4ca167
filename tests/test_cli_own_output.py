"""Files that our own commands wrote, given back to them as recipients."""

import csv
import json
from pathlib import Path

import pytest

from webcom_async.emulator import Gateway, Scenario, Step

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("uvicorn", reason="the command line is an extra")

from webcom_async.audience import Audience, ColumnNames, Unused
from webcom_async.cli import main
from webcom_async.files import RESULT_COLUMNS

pytestmark = pytest.mark.socket

SPRING = ("--sender", "ACME", "--text", "Spring!", "--campaign", "spring")
SUMMER = ("--sender", "ACME", "--text", "Summer!", "--campaign", "summer")


@pytest.fixture
def gateway(cli_gateway: Gateway) -> Gateway:
    """Return the gateway for the command line; it delivers at once."""
    cli_gateway.scenarios.default = Scenario((Step(0.0, "deliver"),))
    return cli_gateway


@pytest.fixture
def people(tmp_path: Path) -> str:
    """Return the path of a file of two phones."""
    path = tmp_path / "people.csv"
    path.write_text("phone,name\n79612242243,Ann\n79612242244,Bob\n", encoding="utf-8")
    return str(path)


def texts(gateway: Gateway) -> list[tuple[str, str]]:
    """Return the texts that each phone got, in order."""
    return sorted((sms.phone, sms.text) for sms in gateway.ledger.sent)


BOTH = [("79612242243", "Spring!"), ("79612242243", "Summer!"), ("79612242244", "Spring!"), ("79612242244", "Summer!")]


@pytest.mark.parametrize("name", ["results.csv", "results.jsonl", "results.parquet"])
def test_the_results_of_one_campaign_are_a_list_for_the_next(
    gateway: Gateway, people: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
):
    """Spring's ids are not used in summer, in any format: each recipient gets summer's text, and a message says so."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="an extra")
    results = str(tmp_path / name)

    assert 0 == main(["send", people, *SPRING, "--results", results])
    assert 0 == main(["send", results, *SUMMER])
    assert BOTH == texts(gateway)
    assert "the ids in its column client_id_sms are not used; to send under them again: --use-ids" in (
        capsys.readouterr().err
    )


def test_the_ids_of_a_file_of_results_are_used_when_they_are_asked_for(
    gateway: Gateway, people: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """`--use-ids` sends under the ids of the file, so that a recipient who has that SMS gets no other."""
    results = str(tmp_path / "results.csv")
    main(["send", people, *SPRING, "--results", results])

    assert 0 == main(["send", results, *SUMMER, "--use-ids"])
    assert [("79612242243", "Spring!"), ("79612242244", "Spring!")] == texts(gateway)
    assert "not used" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["export", "track", "retry"])
def test_other_files_with_ids_that_our_commands_write_are_known(
    gateway: Gateway, people: str, tmp_path: Path, command: str
):
    """The files that `export`, `track` and `retry` write are recognised as those of `send` are."""
    journal, out = str(tmp_path / "journal"), tmp_path / "out.csv"
    main(["send", people, *SPRING, "--journal", journal])
    words = {
        "export": ["export", str(out), "--journal", journal, "--campaign", "spring"],
        "track": ["track", journal, "--campaign", "spring", "--first", "0", "--changes", str(out)],
        "retry": ["retry", journal, "--campaign", "spring", "--unknown", "--results", str(out)],
    }
    main(words[command])
    if command == "retry":  # no recipient was unknown, so it has not written any
        out.write_text(",".join(RESULT_COLUMNS) + "\n79612242243,101,unknown,,timeout,,1\n")

    assert {Unused.IDS: "client_id_sms"} == Audience(out, "Summer!").unused
    assert 0 == main(["send", str(out), *SUMMER])
    assert ("79612242243", "Summer!") in texts(gateway)


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("preview", [["preview"], ["send", "--sender", "ACME", "--dry-run"]])
def test_a_preview_tells_in_russian_that_ids_are_not_used(
    people: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], preview: list[str]
):
    """The notice goes to stderr with the option's name, so that stdout stays JSON."""
    results = str(tmp_path / "results.csv")
    main(["send", people, *SPRING, "--results", results])
    capsys.readouterr()
    command, *options = preview

    assert 0 == main([command, results, *options, "--text", "Summer!", "--lang", "ru", "--json"])
    said = capsys.readouterr()
    assert "номера из столбца client_id_sms не используются; чтобы отправить под ними снова: --use-ids" in said.err
    assert 2 == json.loads(said.out)["sendable"]


@pytest.mark.usefixtures("gateway")
def test_an_export_joins_what_was_sent_from_a_file_of_results(people: str, tmp_path: Path):
    """With the options that `send` got, with ids or without, each row is joined with its result."""
    results, journal = str(tmp_path / "results.csv"), str(tmp_path / "journal")
    main(["send", people, *SPRING, "--results", results])
    for number, options in enumerate(([], ["--use-ids"])):
        campaign = ["--campaign", f"summer {number}"]
        main(["send", results, "--sender", "ACME", "--text", "Summer!", *campaign, "--journal", journal, *options])
        out = tmp_path / f"{number}.csv"

        assert 0 == main(["export", str(out), "--journal", journal, *campaign, "--file", results, *options])
        with out.open(newline="") as file:
            assert ["accepted", "accepted"] == [row["outcome"] for row in csv.DictReader(file)]


def test_the_texts_of_a_file_of_results_do_not_replace_the_new_one(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A column of spring's own texts is ignored when summer has a text, unless the column is named."""
    own, results = tmp_path / "own.csv", str(tmp_path / "results.csv")
    own.write_text("phone,text\n79612242243,Dear Ann!\n", encoding="utf-8")
    main(["send", str(own), *SPRING, "--results", results])
    main(["send", results, *SUMMER])
    said = capsys.readouterr().err
    main(["send", results, *SUMMER[:-1], "autumn", "--text-column", "text"])
    main(["send", results, "--sender", "ACME", "--campaign", "winter"])

    assert ["Dear Ann!", "Summer!", "Dear Ann!", "Dear Ann!"] == [sms.text for sms in gateway.ledger.sent]
    assert "the texts in its column text are not used; to send them: --text-column text" in said


def write(folder: Path, content: bytes, name: str = "people.csv") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(content)
    return path


ROW = "79612242243;101;accepted;7;none;;1;2;Анна"
COLUMNS = "phone;client_id_sms;outcome;id_sms;reason;error;attempts;line;имя"


@pytest.mark.parametrize(
    "content",
    [
        f"{COLUMNS}\r\n{ROW}".encode("cp1251"),
        f"sep=;\r\n{COLUMNS}\r\n{ROW}".encode("utf-8-sig"),
        f"{COLUMNS}\r\n{ROW}".replace(";", "\t").encode("utf-16"),
        f"{COLUMNS.upper()}\r\n{ROW}".encode(),
        b"Outcome, Client_ID_SMS ,phone\naccepted,101,79612242243\n",
        b"phone,client_id_sms,id_sms\n79612242243,101,7\n",
        b"phone,client_id_sms,reason,attempts\n79612242243,101,none,1\n",
        b"client_id_sms,phone,input_outcome\n101,79612242243,accepted\n",
        b"\xef\xbb\xbf\xef\xbb\xbfoutcome,phone,client_id_sms\naccepted,79612242243,101\n",
    ],
)
def test_a_file_of_results_is_known_however_it_was_saved_again(tmp_path: Path, content: bytes):
    """In any case, order, delimiter or encoding, the file is recognised and its ids are not used."""
    [recipient] = Audience(write(tmp_path, content), "Summer!").recipients()

    assert ("79612242243", None) == (recipient.phone, recipient.client_id_sms)


@pytest.mark.parametrize(
    "content",
    [
        b"phone,client_id_sms\n79612242243,101\n",
        b"phone,client_id_sms,reason\n79612242243,101,birthday\n",
        b"phone,client_id_sms,line,state,price,text\n79612242243,101,2,RU,10,Hi\n",
    ],
)
def test_ids_of_ones_own_need_no_option(tmp_path: Path, content: bytes):
    """A file with a column of ids that none of our commands wrote is sent under them."""
    audience = Audience(write(tmp_path, content), "Summer!")

    assert (["101"], {}) == ([recipient.client_id_sms for recipient in audience.recipients()], audience.unused)


@pytest.mark.parametrize(
    "options", [{"use_ids": True}, {"columns": ColumnNames(client_id_sms="client_id_sms")}], ids=["use_ids", "named"]
)
def test_a_library_asks_for_ids_by_a_word_or_by_the_columns_name(tmp_path: Path, options: dict):
    """In Python, `use_ids` or the name of the column asks for the ids."""
    [recipient] = Audience(write(tmp_path, f"{COLUMNS}\n{ROW}".encode()), "Summer!", **options).recipients()

    assert "101" == recipient.client_id_sms
