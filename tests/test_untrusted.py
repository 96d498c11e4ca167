"""Text from outside, on terminals and in spreadsheets."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async._domain.untrusted_text import csv_cell, listed, printable


@pytest.mark.parametrize("cell", ["=1+1", "+79612242243", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_formula_in_a_results_file_is_text(cell: str):
    """A spreadsheet must not run what the gateway or a source wrote."""
    assert csv_cell(cell).startswith("'")


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\u202eb", "line\nbreak", "\x9b31m", "\u2066x", "nul\0"])
def test_text_from_outside_cannot_steer_a_terminal(text: str):
    """Control and direction marks become a replacement character before a terminal gets them."""
    assert not {c for c in printable(text) if ord(c) < 32 or c in "\x9b\u202e\u2066"}
    assert "\ufffd" in printable(text)


def test_ordinary_text_is_left_alone():
    """Russian, dashes and emoji are shown as they are."""
    assert "Номер телефона — «стоп-лист» 🙂" == printable("Номер телефона — «стоп-лист» 🙂")


@given(st.text())
def test_what_is_shown_holds_nothing_hidden(text: str):
    """Shown text has no control, direction mark or half of a character, and is otherwise unchanged."""
    shown = printable(text)

    assert len(text) == len(shown)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert all(after in {before, "\ufffd"} for before, after in zip(text, shown, strict=True))


def test_a_list_in_a_message_stays_short():
    """A list of thousands of columns, or of names with thousands of characters, is shortened in a message."""
    assert "a, b" == listed(["a", "b"])
    assert len(listed(["x" * 5_000] * 5_000)) < 600
    assert listed(["x"] * 20).endswith("and 8 more")
