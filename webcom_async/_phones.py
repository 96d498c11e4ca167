"""
Phone numbers: from what people write to what the wire carries.

Strict about what it guesses: separators go, a Russian mobile's leading 8 becomes 7, nothing else is changed. It may
not know which numbers exist; that is the gateway's to say.
"""

import re
import reprlib
from collections.abc import Sequence
from itertools import repeat
from typing import NewType, cast

from webcom_async._reasons import Reason
from webcom_async.errors import InputError

__all__ = ["Phone", "normal_phones", "normalise_phone", "shown"]

Phone = NewType("Phone", str)
"""Digits only, country code first: `79612242243`."""

_INT_BITS = 128
_SHORTEST = 8  # ours: country code and subscriber number of the smallest networks
_LONGEST = 15  # ITU-T E.164
_LENGTHS = frozenset(range(_SHORTEST, _LONGEST + 1))
_RUSSIAN_TRUNK = "89"  # how a mobile is written inside Russia: 8 9xx xxx-xx-xx
_RUSSIAN_LENGTH = 11

# What needs no change: 8 to 15 digits that begin with no 0, and with no 8 of a Russian mobile.
_NORMAL = re.compile(r"[1-79][0-9]{7,14}|8(?!9[0-9]{9}\Z)[0-9]{7,14}").fullmatch

# A number that went through a data frame: with its zero at the end it would be another phone.
_DECIMAL = re.compile(r"\s*\+?\d{10,15}\.0\s*").fullmatch

_SURROUNDING = " \t\r\n"  # of a line in a file
_SEPARATORS = str.maketrans("", "", " \t\r\n\u00a0\u2009\u202f()-.\u2010\u2011\u2012\u2013\u2212")


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


def normal_phones(given: Sequence[object]) -> list[Phone] | None:
    """
    Return *given* as `normalise_phone` would, if all of them are texts that need no more than a strip; else None.

    As a whole, because a call for each would take five times as long.
    """
    if set(map(type, given)) != {str}:
        return None
    phones = list(cast("Sequence[str]", given))
    if not _are_normal(phones):
        phones = list(map(str.strip, phones, repeat(_SURROUNDING)))
        if not _are_normal(phones):
            return None
    return cast("list[Phone]", phones)


def _are_normal(phones: list[str]) -> bool:
    """Whether none of *phones* needs a change: looks at all of them at once take half as long as one at each."""
    clean = (
        "".join(phones).encode("ascii", "replace").isdigit()
        and _LENGTHS.issuperset(map(len, phones))
        and min(phones) >= "1"
    )
    return clean and (max(phones) < _RUSSIAN_TRUNK or all(map(_NORMAL, phones)))


def shown(value: object) -> str:
    """Return *value* in a few words, for a message; whatever it is, and however large."""
    if isinstance(value, int) and value.bit_length() > _INT_BITS:
        return f"<an int of {value.bit_length()} bits>"  # which Python refuses to write in decimal
    return reprlib.repr(value)


def _bad(written: str, why: str) -> InputError:
    return InputError(f"{shown(written)} is no phone: {why}", Reason.BAD_PHONE)
