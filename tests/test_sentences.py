"""Sentences that keep their template and parameters, so that they can be shown in another language."""

import pickle
from pathlib import Path

import pytest

from webcom_async import InputError
from webcom_async.audience import Audience, normalise_phone
from webcom_async.errors import Sentence


def test_an_error_has_its_english_sentence_template_and_parameters():
    """The message stays one English sentence; template and parameters survive a pickle."""
    with pytest.raises(InputError) as raised:
        normalise_phone("123")

    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert "'123' is not a phone number: it has 3 digits, and a number has 8 to 15" == str(error)
        assert ("{phone} is not a phone number: {why}", "'123'") == (
            error.sentence.template,
            error.sentence.parameters["phone"],
        )


def test_an_error_without_parameters_has_its_message_as_its_sentence():
    """An error without parameters has its message, or its class's default, as its sentence."""
    for error in (InputError("nothing to send"), InputError("")):
        assert str(error) == error.sentence
    assert "Something in the call cannot be sent; nothing was." == str(InputError(""))


def test_a_finding_is_a_line_and_words_with_their_sentence_beside_them(tmp_path: Path):
    """A finding unpacks as a pair of line and words, and keeps its sentence beside them."""
    path = tmp_path / "people.csv"
    path.write_text("phone\n79612242243\n79612242243\n", encoding="utf-8")
    [finding] = Audience(path, "Sale!").check().duplicates

    line, words = finding
    assert (3, "79612242243 is in line 2 already") == (line, words)
    assert isinstance(finding.sentence, Sentence)
    assert {"phone": "79612242243", "line": 2} == finding.sentence.parameters
