"""Phones as a numbering plan knows them."""

import pytest

from webcom_async import InputError, Reason

phonebook = pytest.importorskip("webcom_async.audience.phonebook", reason="an extra")


@pytest.mark.parametrize(
    "written",
    [
        "+7 961 2OO O2 43",
        "1-800-FLOWERS",
        "+7 961 224 22 43 доб. 12",
        "+7 961 224 22 43 ext 3",
        "+7 961 224 22 43 x3",
        "+7 961 224 22 43 #12",
        "+79612242243;ext=12",
        "tel:+79612242243",
        "+79612242243/+79612242244",
        "+79612242243, +79612242244",
        "+79612242243; +79612242244",
        "9612242243\n9612242244",
        "\uff0b\uff17 961 224 22 43",
        "9612242243.5",
        "9.61E+09",
    ],
)
def test_a_region_refuses_what_the_strict_reader_refuses(written: str):
    """Letters never become digits, and no extension or second phone is dropped."""
    book = phonebook.PhoneBook("RU")
    with pytest.raises(InputError, match=r"no digits|line break|a fraction|has rounded") as refused:
        book.normalise(written)

    assert Reason.BAD_PHONE is refused.value.reason


@pytest.mark.parametrize(
    ("region", "written", "phone"),
    [
        ("RU", "961 224-22-43", "79612242243"),
        ("RU", "9612242243.0", "79612242243"),
        ("RU", "8 (961) 224.22.43", "79612242243"),
        ("RU", "'9612242243", "79612242243"),
        ("RU", "\u202a8 (961) 224-22-43\u202c", "79612242243"),
        ("EE", "5123456.0", "3725123456"),
        ("DE", "0049 (0)30 901820", "4930901820"),
        ("DE", "+49 (0)30 901820", "4930901820"),
    ],
)
def test_a_region_reads_local_forms_and_no_more_digits(region: str, written: str, phone: str):
    """A region reads its country's local forms, and leaves out the zeros of a decimal."""
    book = phonebook.PhoneBook(region)

    assert phone == book.normalise(written)


def test_a_number_of_another_country_is_refused_with_the_way_to_write_it():
    """A number of another country is refused, and the error shows how to write it with a plus."""
    with pytest.raises(InputError, match=r"has no such number; if it is one of another country, write \+3752…67"):
        phonebook.PhoneBook("RU").normalise("375291234567")

    assert "375291234567" == phonebook.PhoneBook("RU").normalise("+375291234567")
