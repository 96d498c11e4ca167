"""Files that the command line reads and writes."""

from pathlib import Path

import pytest

from webcom_async._untrusted import csv_cell, printable
from webcom_async.cli._recipients_file import RecipientsFile
from webcom_async.errors import InputError


def read(tmp_path: Path, content: bytes, column: str = "phone") -> list[tuple[object, ...]]:
    """Write *content* to a file and read its recipients."""
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    file = RecipientsFile(path, column)
    found = [(r.phone, r.client_id_sms, r.key, r.text) for r in file.recipients()]
    assert file.count == len(found)
    return found


@pytest.mark.parametrize(
    "content",
    [
        b"phone\n79612242243\n",
        b"\xef\xbb\xbfphone\r\n79612242243\r\n",
        b"Phone ;name\n79612242243;Ann\n",
        b"name\tphone\nAnn\t79612242243\n",
        b'"phone","name"\n"79612242243","Ann, of Moscow"\n',
        b"79612242243\n",
        b"79612242243",
        b"phone\n\n79612242243\n\n ,\n",
    ],
    ids=["header", "BOM and CRLF", "semicolons", "tabs", "quotes", "no header", "no line end", "blank lines"],
)
def test_one_phone_is_found_however_it_is_written(tmp_path: Path, content: bytes):
    """Commas, semicolons, tabs, quotes, a byte order mark, blank lines and no header at all are understood."""
    assert [("79612242243", None, "", None)] == read(tmp_path, content)


def test_columns_are_used_if_they_are_there(tmp_path: Path):
    """Ids, keys and texts stand in columns of these names, in any order; an empty cell leaves it to the call."""
    content = "text,phone,key,client_id_sms\nПривет,79612242243,a,101\n,79612242244,,\n".encode()

    assert [("79612242243", "101", "a", "Привет"), ("79612242244", None, "", None)] == read(tmp_path, content)


def test_the_phones_column_may_have_another_name(tmp_path: Path):
    """`--phone-column` names it."""
    assert [("79612242243", None, "", None)] == read(tmp_path, b"id,mobile\n1,79612242243\n", column="mobile")


def test_what_is_not_utf8_is_said_before_anything_is_sent(tmp_path: Path):
    """A bad byte anywhere in the file is found when it is opened, not half-way through the campaign."""
    with pytest.raises(InputError, match="not UTF-8 at byte"):
        read(tmp_path, b"phone\n" + b"79612242243\n" * 50_000 + "Привет".encode("cp1251"))


@pytest.mark.parametrize("cell", ["=1+1", "+79612242243", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_formula_in_a_results_file_is_text(cell: str):
    """A spreadsheet must not run what the gateway or a source wrote."""
    assert csv_cell(cell).startswith("'")


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\u202eb", "line\nbreak", "\x9b31m", "\u2066x", "nul\0"])
def test_text_from_outside_cannot_steer_a_terminal(text: str):
    """Control and direction marks become a replacement character."""
    assert not {c for c in printable(text) if ord(c) < 32 or c in "\x9b\u202e\u2066"}
    assert "\ufffd" in printable(text)


def test_ordinary_text_is_left_alone():
    """Russian, dashes and emoji are ordinary."""
    assert "Номер телефона — «стоп-лист» 🙂" == printable("Номер телефона — «стоп-лист» 🙂")
