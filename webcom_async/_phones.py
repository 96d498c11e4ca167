"""
Phone numbers: from what people write to what the wire carries.

Strict about what it guesses: separators go, a Russian mobile's leading 8 becomes 7, nothing else is changed. It may
not know which numbers exist; that is the gateway's to say.
"""

import re
import reprlib
from collections.abc import Sequence
from itertools import repeat
from typing import Annotated, NamedTuple, NewType, cast

import msgspec

from webcom_async._reasons import Reason
from webcom_async.errors import InputError

__all__ = ["NormalPhones", "Phone", "normal_phones", "normalise_phone", "shown"]

Phone = NewType("Phone", str)
"""Digits only, country code first: `79612242243`."""

_INT_BITS = 128
_SHORTEST = 8  # ours: country code and subscriber number of the smallest networks
_LONGEST = 15  # ITU-T E.164
_RUSSIAN_TRUNK = "89"  # how a mobile is written inside Russia: 8 9xx xxx-xx-xx
_RUSSIAN_LENGTH = 11

# What needs no change: 8 to 15 digits that begin with no 0, and with no 8 of a Russian mobile.
_NORMAL = re.compile(r"[1-79][0-9]{7,14}|8(?!9[0-9]{9}\Z)[0-9]{7,14}").fullmatch

_numbers = msgspec.json.Decoder(
    list[Annotated[int, msgspec.Meta(ge=10 ** (_SHORTEST - 1), lt=10**_LONGEST)]],
).decode

# A number that went through a data frame: with its zero at the end it would be another phone.
_DECIMAL = re.compile(r"\s*\+?\d{10,15}\.0\s*").fullmatch

_SURROUNDING = " \t\r\n"  # of a line in a file
_JSON_BLANKS = " \t\r\n"  # RFC 8259, 2
_SEPARATORS = str.maketrans("", "", " \t\r\n\u00a0\u2009\u202f()-.\u2010\u2011\u2012\u2013\u2212")


class NormalPhones(NamedTuple):
    """Phones as `normalise_phone` has them, and the same as numbers."""

    phones: list[Phone]
    numbers: list[int]


def normalise_phone(raw: object) -> Phone:
    """
    Return *raw* as digits with the country code first.

    Args:
        raw: A `str` such as `+7 (961) 224-22-43`, `8 961 224 22 43` or `79612242243`, or an `int`.

    Raises:
        InputError: It is no phone number; the message says which one and why.
    """
    if type(raw) is str and _NORMAL(raw):
        return Phone(raw)
    if not isinstance(raw, str | int) or isinstance(raw, bool) or (isinstance(raw, int) and raw < 0):
        raise InputError(f"{shown(raw)} is no phone: give a str or an int", Reason.BAD_PHONE)
    written = raw if isinstance(raw, str) else shown(raw)

    if _DECIMAL(written):
        raise _bad(written, "it is a decimal number; write it without the point and the zero")
    digits = written.translate(_SEPARATORS)
    international = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise _bad(written, "it is empty" if not digits else "it holds characters that are no digits")
    if len(digits) == _RUSSIAN_LENGTH and digits.startswith(_RUSSIAN_TRUNK):
        if international:
            raise _bad(written, "no country code starts with 89; a Russian mobile is written +7 9…")
        digits = "7" + digits[1:]
    if digits.startswith("0"):
        raise _bad(written, "it starts with 0; write the country code first, as in 79612242243")
    if not _SHORTEST <= len(digits) <= _LONGEST:
        raise _bad(written, f"it has {len(digits)} digits, and a number has {_SHORTEST} to {_LONGEST}")
    return Phone(digits)


def normal_phones(given: Sequence[str]) -> NormalPhones | None:
    """
    Return *given* as `normalise_phone` would, if none of them needs more than a strip; else None.

    As a whole, because a call for each would take five times as long.
    """
    phones = list(given)
    numbers = _numbers_of(phones)
    if numbers is None:
        phones = list(map(str.strip, phones, repeat(_SURROUNDING)))
        numbers = _numbers_of(phones)
    return None if numbers is None else NormalPhones(cast("list[Phone]", phones), numbers)


def _numbers_of(phones: list[str]) -> list[int] | None:
    """
    Return *phones* as numbers, if none of them needs a change; else None.

    As one JSON array, in which there are no plus signs and no leading zeros, and nothing around a number but blanks.
    """
    written = f"[{','.join(phones)}]"
    try:
        numbers = _numbers(written)
    except (msgspec.DecodeError, UnicodeError):
        return None
    if len(numbers) != len(phones) or any(blank in written for blank in _JSON_BLANKS):
        return None
    perhaps_trunk = f",{_RUSSIAN_TRUNK}" in written or phones[0].startswith(_RUSSIAN_TRUNK)
    return numbers if not perhaps_trunk or all(map(_NORMAL, phones)) else None


def shown(value: object) -> str:
    """Return *value* in a few words, for a message; whatever it is, and however large."""
    if isinstance(value, int) and value.bit_length() > _INT_BITS:
        return f"<an int of {value.bit_length()} bits>"  # which Python refuses to write in decimal
    return reprlib.repr(value)


def _bad(written: str, why: str) -> InputError:
    return InputError(f"{shown(written)} is no phone: {why}", Reason.BAD_PHONE)
