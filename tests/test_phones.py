"""Phone numbers, from what people write to what the wire carries."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webcom_async import InputError, Reason
from webcom_async.audience import normalise_phone

SEPARATORS = " \t\u00a0\u2009\u202f()-.\u2010\u2011\u2012\u2013\u2212"


@pytest.mark.parametrize(
    "written",
    [
        "79612242243",
        "+79612242243",
        "+7 (961) 224-22-43",
        "+7 961 224-22-43",
        "8 961 224 22 43",
        "8 (961) 224-22-43",
        "89612242243",
        "7.961.224.22.43",
        "79612242243.0",
        "+79612242243.00",
        "79612242243,00",
        " 89612242243.000 ",
        "79612242243.",
        "\u00a07\u202f961\u2009224\u201122\u201243\t",
        79612242243,
        89612242243,
    ],
)
def test_what_people_write_becomes_digits(written: object):
    """Separators and a plus go, and the trunk prefix 8 of a Russian mobile becomes the country code 7."""
    assert "79612242243" == normalise_phone(written)


@pytest.mark.parametrize(
    "written",
    [
        "'79612242243",
        "'+7 961 224-22-43",
        " '8 (961) 224-22-43 ",
        "\u2019+79612242243",
        "'79612242243'",
        "\u201879612242243\u2019",
        "'79612242243,00",
        "\u202a+7 961 224-22-43\u202c",
        "\u202b+7 961 224-22-43\u202c",
        "\u202d+7 961 224-22-43\u202c",
        "\u2068+7 961 224-22-43\u2069",
        "\u2066+7\u00a0961\u202f224\u200722\u201143\u2069",
        "\u200e+7 961 224-22-43\u200e",
        "\u200f+79612242243",
        "+7\u200e961\u200b224\u00ad22\u206043",
        "\ufeff79612242243",
        "\u202a'79612242243.0\u202c ",
        "\u202a8 961 224 22 43\n\u202c",
    ],
)
def test_what_programs_put_around_a_phone_is_left_out(written: str):
    """A spreadsheet's apostrophe, and the invisible marks of contact applications, change no digit."""
    assert "79612242243" == normalise_phone(written) == normalise_phone(normalise_phone(written))


@pytest.mark.parametrize(
    ("written", "phone"),
    [
        ("8 800 555 35 35", "88005553535"),  # not a mobile
        ("8961224224", "8961224224"),  # a digit short of a Russian number
        ("+44 20 7946 0958", "442079460958"),
        ("12345678", "12345678"),
        ("123456789012345", "123456789012345"),
    ],
)
def test_nothing_else_is_guessed(written: str, phone: str):
    """A number that is not certainly a Russian mobile keeps its digits."""
    assert phone == normalise_phone(written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "it is empty"),
        (" ", "it is empty"),
        ("+", "it is empty"),
        ("ACME", "no digits"),
        ("7961224224x", "no digits"),
        ("7961+2242243", "no digits"),
        ("++79612242243", "no digits"),
        ("٧٩٦١٢٢٤٢٢٤٣", "no digits"),
        ("7961224224²", "no digits"),
        ("''79612242243", "no digits"),
        ("79612242243'", "no digits"),
        ("7961'2242243", "no digits"),
        ("'", "it is empty"),
        ("\u202a\u202c", "it is empty"),
        ("\u202e79612242243", "no digits"),
        ("'7.96E+10", "a spreadsheet has rounded it"),
        ("\u202a79612242243.5\u202c", "a fraction"),
        ("79612242243\u200b79612242244", "22 digits"),
        ("\ud800", "no digits"),
        ("79612242243, 79612242244", "no digits"),
        ("09612242243", "starts with 0"),
        ("007 961 224 22 43", "starts with 0"),
        ("+0", "starts with 0"),
        (0, "starts with 0"),
        ("1234567", "7 digits"),
        (112, "3 digits"),
        ("1234567890123456", "16 digits"),
        ("5123456.0", "7 digits"),
        ("7 961 224 22 43.00", "may be a decimal number"),
        ("+7 961 224-22.00", "may be a decimal number"),
        ("79612242243.0 0", "may be a decimal number"),
        ("79 612 242 243,00", "may be a decimal number"),
        ("79612242243.5", "a fraction"),
        ("79612242243,50", "a fraction"),
        ("7.96E+10", "a spreadsheet has rounded it"),
        ("7,96122422e10", "a spreadsheet has rounded it"),
        ("8e10", "a spreadsheet has rounded it"),
        ("79612242243\n79612242244", "line break"),
        ("224-22-43\r224-22-44", "line break"),
        (True, "give a str or an int, not a bool"),
        (None, "give a str or an int"),
        (79612242243.0, "give a str or an int, not a float"),
        (b"79612242243", "give a str or an int"),
    ],
)
def test_a_bad_phone_is_refused_with_a_reason(written: object, why: str):
    """The error says what is wrong; its sentence quotes what was written, for those who may read it."""
    with pytest.raises(InputError, match=why) as refused:
        normalise_phone(written)

    assert Reason.BAD_PHONE is refused.value.reason
    assert repr(written) in str(refused.value.sentence)


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        ("+7 (961) 224-22-43x", "'+7961…43x'"),
        ("+8 961 224 22 43", "'+8961…43'"),
        ("79612242243, 79612242244", "'7961…43, 7961…44'"),
        (79612242243.0, "7961…30 is"),
        (b"79612242243", "b'7961…43'"),
        ("1234567890123456", "'1234…56'"),
        ("٧٩٦١٢٢٤٢٢٤٣", "'٧٩٦١…٤٣'"),
    ],
)
def test_an_error_masks_the_phone(written: object, masked: str):
    """Words, repr and attributes of the exception show no more than the ends of a phone: they reach logs."""
    with pytest.raises(InputError) as refused:
        normalise_phone(written)

    assert masked in str(refused.value)
    assert not re.search(r"\d{5}", f"{refused.value} {refused.value!r} {refused.value.args} {vars(refused.value)}")


@pytest.mark.parametrize("written", [-79612242243, 10**5000, -(10**5000)], ids=["negative", "huge", "negative huge"])
def test_a_bad_int_is_refused(written: int):
    """A minus sign is not a separator, and a number too long to print is refused like any other."""
    with pytest.raises(InputError) as refused:
        normalise_phone(written)

    assert Reason.BAD_PHONE is refused.value.reason


@given(st.from_regex(r"[1-79][0-9]{7,14}", fullmatch=True), st.data())
def test_separators_never_change_a_number(digits: str, data: st.DataObject):
    """Wherever separators stand, the digits come out in order."""
    gaps = data.draw(st.lists(st.text(SEPARATORS, max_size=3), min_size=len(digits), max_size=len(digits)))
    written = "".join(gap + digit for gap, digit in zip(gaps, digits, strict=True))
    assume(1 != written.count("."))  # may be a number that a data frame has written

    assert digits == normalise_phone(written) == normalise_phone("+" + written)


@given(
    st.from_regex(r"\+?[0-9 ()-]{1,17}", fullmatch=True),
    st.sampled_from(".,"),
    st.from_regex(r"0{1,4}", fullmatch=True),
)
def test_a_decimal_rendering_never_gets_more_digits(written: str, mark: str, zeros: str):
    """`298212345.0` is the number before its point, or refused; it never gains a digit."""
    digits = "".join(filter(str.isdigit, written))
    try:
        phone = normalise_phone(f"{written}{mark}{zeros}")
    except InputError:
        return

    assert phone == normalise_phone(digits)


@given(st.one_of(st.text(), st.text("0123456789+-()., e", max_size=20), st.integers(), st.none(), st.binary()))
def test_the_outcome_is_digits_or_an_input_error(written: object):
    """Every input becomes a phone of 8 to 15 digits or raises an `InputError`."""
    try:
        phone = normalise_phone(written)
    except InputError as exc:
        refused = exc.reason
        assert Reason.BAD_PHONE is refused
    else:
        assert phone.isascii()
        assert phone.isdigit()
        assert 8 <= len(phone) <= 15
        assert "0" != phone[0]


@given(st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True))
def test_what_came_out_goes_in_again(digits: str):
    """A normalised phone is its own normal form, so that results can be fed back."""
    once = normalise_phone(digits)

    assert once == normalise_phone(once) == normalise_phone(int(once))


def test_a_plus_before_a_russian_trunk_prefix_is_refused():
    """`+8 9xx` is not a country code: taken literally, it would become another phone when it is read again."""
    with pytest.raises(InputError, match=r"written \+7 9"):
        normalise_phone("+8 961 224 22 43")


@given(st.text("0123456789 +-().,", max_size=20))
def test_a_phone_that_is_read_again_stays_what_it_is(written: str):
    """Normalising a phone again returns the same phone."""
    try:
        once = normalise_phone(written)
    except InputError:
        return

    assert once == normalise_phone(once)


class _Float64(float):
    """A subclass of float, as numpy has one."""


class _Text(str):
    """A subclass of str, as numpy has one."""

    __slots__ = ()


def test_another_librarys_float_is_refused_and_its_text_is_read():
    """A float of any library is refused, as it may have lost digits; a `str` subclass becomes a plain phone."""
    with pytest.raises(InputError, match="give a str or an int, not a _Float64"):
        normalise_phone(_Float64(79612242243))

    assert ["79612242243"] * 2 == [normalise_phone(_Text(written)) for written in ("79612242243.0", "79612242243")]
    assert str is type(normalise_phone(_Text("79612242243.0")))
