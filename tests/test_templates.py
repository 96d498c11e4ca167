"""Personal texts from columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async import InputError
from webcom_async.audience.templates import Template


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello, {name}!", "Hello, Анна!"),
        ("{ NAME }{city}{name}", "АннаМоскваАнна"),
        ("{first name}: {{name}} }}{{", "Anna: {name} }{"),
        ("{{{name}}}", "{Анна}"),
        ("no columns", "no columns"),
    ],
)
def test_columns_stand_in_braces(text: str, said: str):
    """A column's name in braces becomes the row's cell, and doubled braces become braces."""
    assert said == Template(text).bind(["Name", "city", "first name"]).render([" Анна ", "Москва", "Anna"])


@pytest.mark.parametrize("text", ["{", "}", "{}", "{ }", "Hello, {name", "name}", "{a{name}}", "{name}}"])
def test_a_brace_that_means_nothing_is_an_error(text: str):
    """Braces that name no column are an error before anything is sent."""
    with pytest.raises(InputError, match="at character"):
        Template(text).bind(["name", "a"])


@pytest.mark.parametrize(
    "text", ["{name.__class__}", "{name[0]}", "{name!r}", "{name:>1000000000}", "{0}", "{name:{city}}"]
)
def test_braces_hold_no_expressions(text: str):
    """Attributes, indexes, conversions and formats in braces are read as unknown columns."""
    with pytest.raises(InputError, match=r"no column|at character"):
        Template(text).bind(["name", "city"])


def test_a_name_that_two_columns_have_is_an_error():
    """A name that two columns share is an error, because either may be meant."""
    with pytest.raises(InputError, match="2 columns"):
        Template("{name}").bind(["name", "Name "])


@pytest.mark.parametrize("cells", [["", "x"], [" \t", "x"], []])
def test_an_empty_cell_is_an_error(cells: list[str]):
    """An empty cell is an error, so `Hello, !` is never sent."""
    with pytest.raises(InputError, match="'name' is empty"):
        Template("Hello, {name}!").bind(["name", "city"]).render(cells)


def test_a_cell_is_not_read_as_a_template():
    """Braces in a cell stay as they are."""
    assert "Hello, {city}!" == Template("Hello, {name}!").bind(["name", "city"]).render(["{city}", "Moscow"])


@given(st.text())
def test_any_text_with_doubled_braces_is_said_as_it_is(text: str):
    """Doubling a text's braces is all it takes to say it literally."""
    doubled = text.replace("{", "{{").replace("}", "}}")

    assert text == Template(doubled).bind([]).render([])
