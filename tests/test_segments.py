"""Counting the parts of a text; `nox -s segments` compares with an independent calculator."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async.segments import Encoding, Remedy, count_parts, segments, split, suggestions

GSM = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./09:;<=>?¡AZÄÖÑÜ§¿azäöñüà"
EXTENSION = "\f^{}\\[~]|€"
POOLS = [GSM, f"a{EXTENSION}", "€", "Я–", "я😀", "😀"]


@pytest.mark.parametrize(
    ("text", "encoding", "units", "parts", "left"),
    [
        ("", "GSM-7", 0, 0, 160),
        ("a" * 160, "GSM-7", 160, 1, 0),
        ("a" * 161, "GSM-7", 161, 2, 145),
        ("a" * 306, "GSM-7", 306, 2, 0),
        ("a" * 307, "GSM-7", 307, 3, 152),
        ("€" * 80, "GSM-7", 160, 1, 0),
        ("a" * 159 + "€", "GSM-7", 161, 2, 145),
        ("a" * 152 + "€" + "a" * 10, "GSM-7", 164, 2, 141),
        ("€" * 152, "GSM-7", 304, 2, 1),
        ("€" * 153, "GSM-7", 306, 3, 151),
        ("я" * 70, "UCS-2", 70, 1, 0),
        ("я" * 71, "UCS-2", 71, 2, 63),
        ("я" * 134, "UCS-2", 134, 2, 0),
        ("я" * 135, "UCS-2", 135, 3, 66),
        ("😀" * 35, "UCS-2", 70, 1, 0),
        ("я" * 66 + "😀" * 3, "UCS-2", 72, 2, 61),
        ("😀" * 67, "UCS-2", 134, 3, 65),
    ],
)
def test_texts_are_counted_at_the_limits(text: str, encoding: str, units: int, parts: int, left: int):
    """A part holds 160 or 153 septets, 70 or 67 units, and an escape or a pair is never split between parts."""
    counted = segments(text)

    assert (encoding, units, parts, left) == (counted.encoding.label, counted.units, counted.parts, counted.units_left)
    assert parts == count_parts(text)


@given(st.one_of(st.text(), *(st.text(pool, min_size=low, max_size=low + 200) for pool in POOLS for low in (0, 140))))
def test_parts_are_whole_full_and_make_up_the_text(text: str):
    """Joined, the parts are the text; each fits, and none has room for the next one's first character."""
    counted, parts = segments(text), split(text)
    limit = counted.encoding.single if len(parts) == 1 else counted.encoding.part

    assert (text, counted.parts) == ("".join(parts), len(parts))
    assert all(units(part, counted.encoding) <= limit for part in parts)
    assert all(units(a + b[0], counted.encoding) > limit for a, b in pairwise(parts))
    assert not parts or counted.units_left == limit - units(parts[-1], counted.encoding)


def units(text: str, encoding: Encoding) -> int:
    """Count as the standard says, in the simplest way."""
    if encoding is Encoding.GSM_7:
        return sum(2 if character in EXTENSION else 1 for character in text)
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def test_the_whole_alphabet_is_gsm_7():
    """127 characters of the default alphabet take one septet each, ten of its extension two."""
    letters = [chr(code) for code in range(0x11000) if segments(chr(code)).encoding is Encoding.GSM_7]

    assert (127, 10) == (
        sum(segments(letter).units == 1 for letter in letters),
        sum(segments(letter).units == 2 for letter in letters),
    )
    assert set(GSM + EXTENSION) <= set(letters)
    assert not set("çÊ\t`\u00a0") & set(letters)


def test_one_dash_is_named_and_priced():
    """A typographic dash in a long Latin text is named, and a text without it offered in fewer parts."""
    text = "Sale – " + "x" * 140
    counted = segments(text)
    [dash] = counted.forcing
    [offered] = suggestions(text)

    assert ("–", 1, "EN DASH", "-") == (dash.character, dash.count, dash.name, dash.plain)
    assert (3, 1) == (counted.parts, counted.parts_without_forcing)
    assert (Remedy.PUNCTUATION, text.replace("–", "-"), 1) == (offered.remedy, offered.text, offered.parts)


def test_cyrillic_is_offered_in_latin_letters():
    """Transliteration comes with plain punctuation, and only where it saves a part."""
    text = "«Щука» — приходите в субботу на распродажу зимней коллекции в наш магазин!"
    [offered] = suggestions(text)

    assert '"Shchuka" - prikhodite v subbotu na rasprodazhu zimney kollektsii v nash magazin!' == offered.text
    assert (Remedy.TRANSLITERATION, 1) == (offered.remedy, offered.parts)
    assert [] == suggestions("Скидки")


def test_what_has_no_plain_form_is_named_and_left():
    """An emoji has no GSM-7 form: it is named with its cost, and no other text is suggested."""
    text = "🎉" + "x" * 100
    counted = segments(text)

    assert [("🎉", None)] == [(forcing.character, forcing.plain) for forcing in counted.forcing]
    assert (2, 1, []) == (counted.parts, counted.parts_without_forcing, suggestions(text))


def test_signs_of_two_septets_count_twice_without_the_forcing_ones():
    """A text of 80 euro signs and one dash takes two parts without the dash too: each euro sign is two septets."""
    counted = segments("–" + "€" * 80)

    assert (2, 2) == (counted.parts, counted.parts_without_forcing)


@given(st.text(st.one_of(st.sampled_from("«»–—…№ёЪщ😀é\u0301\u00a0ab"), st.characters(exclude_categories=("Cs",)))))
def test_each_suggestion_is_cheaper_than_the_one_before(text: str):
    """Every suggestion takes fewer parts than the text, and a stronger change fewer than a milder one."""
    parts = [segments(text).parts, *(offered.parts for offered in suggestions(text))]

    assert sorted(set(parts), reverse=True) == parts
    assert all(offered.parts == count_parts(offered.text) for offered in suggestions(text))


@pytest.mark.parametrize("text", ["\ud800", "a\udc00" * 80, "\x00", "\x1b"])
def test_odd_characters_are_counted_too(text: str):
    """Halves of pairs, NUL and a bare escape are units of UCS-2: counting never fails."""
    assert Encoding.UCS_2 is segments(text).encoding
    assert text == "".join(split(text))
