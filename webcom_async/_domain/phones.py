"""
Normalise phone numbers: from the form that people write to the form of the wire.

It guesses as little as possible: it removes separators, invisible marks, a spreadsheet's apostrophe and the zeros of a
decimal, replaces a Russian mobile's leading 8 with 7, and changes nothing else. Whether a number exists is for the
gateway to say.
"""

import operator
import re
import reprlib
from collections.abc import Sequence
from itertools import repeat
from typing import Annotated, NamedTuple, SupportsIndex, cast

import msgspec

from webcom_async._domain.errors import InputError
from webcom_async._domain.reasons import Reason
from webcom_async._domain.records import mask_phones
from webcom_async._domain.sentences import Quote, Sentence
from webcom_async._domain.types import Phone

__all__ = [
    "EXACT_FLOAT",
    "ROUNDED",
    "NormalPhones",
    "WrittenPhone",
    "bad_phone",
    "is_home_form",
    "normal_phones",
    "normalise_phone",
    "plain_int",
    "quoted",
    "read_phone",
    "shown",
    "whole_number",
]


_INT_BITS = 128
_SHORTEST = 8  # ours: country code and subscriber number of the smallest networks
_LONGEST = 15  # ITU-T E.164
_RUSSIAN_TRUNK = "89"  # the domestic form of a mobile: 8 9xx xxx-xx-xx
_RUSSIAN_LENGTH = 11
_HOME_LENGTH, _HOME_START = 10, "9"

# A phone that needs no change: 8 to 15 digits, without a leading 0 or the leading 8 of a Russian mobile.
_NORMAL = re.compile(r"[1-79][0-9]{7,14}|8(?!9[0-9]{9}\Z)[0-9]{7,14}").fullmatch

_numbers = msgspec.json.Decoder(
    list[Annotated[int, msgspec.Meta(ge=10 ** (_SHORTEST - 1), lt=10**_LONGEST)]],
).decode

EXACT_FLOAT = 2**53  # IEEE 754: below it, a double holds every whole number
ROUNDED = Sentence("a spreadsheet has rounded it; format the column as text there, and enter it again")
_PERHAPS_DECIMAL = Sentence("it may be a decimal number; write it with digits only")
_FRACTION = Sentence("it is a fraction")
_PERHAPS_FRACTION = Sentence("it may be a fraction; write it with digits only")
_scientific = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+").fullmatch
_with_one_mark = re.compile(r"([^.,]*)[.,]([^.,]*)").fullmatch
_plain = re.compile(r"\+?[0-9]+").fullmatch
# Groups of three digits, and zeros as decimals: hardly a phone, but possibly a number.
_with_thousands = re.compile(r"\+?[0-9]{1,3}(?:[.,][0-9]{3})+[.,]0{1,2}").fullmatch

_EXAMPLE = "79612242243"  # the vendor's
_LINE_BREAKS = ("\n", "\r")
_SURROUNDING = " \t\r\n"  # blanks around a line of a file
_JSON_BLANKS = " \t\r\n"  # RFC 8259, 2
# Marks that contact applications, messengers and web pages copy along with a phone: soft hyphen, zero-width space and
# joiners, direction marks, embeddings and isolates, byte order mark. Not U+202E: it shows digits in another order.
_MARKS = str.maketrans(
    "",
    "",
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u2060\u2066\u2067\u2068\u2069\ufeff",
)
_APOSTROPHES = ("'", "\u2019", "\u2018")  # the first one is Excel's sign for "this is text"
_SEPARATORS = str.maketrans(
    "", "", " \t\r\n\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f()-.\u2010\u2011\u2012\u2013\u2212"
)


class NormalPhones(NamedTuple):
    """Normalised phones, and the same phones as numbers."""

    phones: list[Phone]
    numbers: list[int]


class WrittenPhone(NamedTuple):
    """The digits of a phone as written, and whether a plus precedes them."""

    digits: str
    international: bool


def normalise_phone(raw: object) -> Phone:
    """
    Return *raw* as digits with the country code first.

    Args:
        raw: A `str` such as `+7 (961) 224-22-43`, `8 961 224 22 43`, `'79612242243` or `79612242243.00`, or a whole
            number.

    Raises:
        InputError: It is not a phone number; the message says why, and quotes it with its middle digits masked.
    """
    if type(raw) is str and _NORMAL(raw):
        return Phone(raw)
    digits, international = read_phone(raw)
    if len(digits) == _RUSSIAN_LENGTH and digits.startswith(_RUSSIAN_TRUNK):
        if international:
            raise bad_phone(raw, Sentence("no country code starts with 89; a Russian mobile is written +7 9…"))
        digits = "7" + digits[1:]
    if digits.startswith("0"):
        raise bad_phone(
            raw, Sentence("it starts with 0; write the country code first, as in {example}", example=_EXAMPLE)
        )
    if not _SHORTEST <= len(digits) <= _LONGEST:
        why = Sentence(
            "it has {count} digits, and a number has {least} to {most}",
            count=len(digits),
            least=_SHORTEST,
            most=_LONGEST,
        )
        raise bad_phone(raw, why)
    return Phone(digits)


def is_home_form(raw: str, phone: Phone) -> bool:
    """Whether *raw*, read as *phone*, may be a Russian mobile written without its 7."""
    return len(phone) == _HOME_LENGTH and phone.startswith(_HOME_START) and "+" not in raw


def plain_int(value: object) -> object:
    """Return *value* as an `int` if it is a whole number of another type, such as numpy's; else unchanged."""
    if isinstance(value, str | int):
        return value
    try:
        return operator.index(cast("SupportsIndex", value))
    except Exception:  # noqa: BLE001 - a caller's own method may raise anything
        return value


def read_phone(raw: object) -> WrittenPhone:
    """
    Return the digits of *raw*, without separators and a leading plus.

    Raises:
        InputError: It holds anything else, or its digits may not be the intended ones.
    """
    raw = plain_int(raw)
    if not isinstance(raw, str | int) or isinstance(raw, bool):
        raise bad_phone(raw, Sentence("give a str or an int, not a {type}", type=type(raw).__name__))
    if isinstance(raw, int) and raw < 0:
        raise bad_phone(raw, Sentence("it is negative"))
    try:
        written = whole_number(_bare(raw) if isinstance(raw, str) else shown(raw))
    except InputError as exc:
        raise bad_phone(raw, exc.sentence) from None
    if any(each in written for each in _LINE_BREAKS):
        raise bad_phone(raw, Sentence("it holds a line break; write one phone in a cell"))
    digits = written.translate(_SEPARATORS)
    international = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not _is_digits(digits):
        raise bad_phone(raw, Sentence("it holds characters that are no digits") if digits else Sentence("it is empty"))
    return WrittenPhone(digits, international)


def _bare(raw: str) -> str:
    """Return *raw* without invisible marks, and without an apostrophe before it or one on either side."""
    text = raw.translate(_MARKS).strip()
    if not text.startswith(_APOSTROPHES):
        return text
    return text[1:-1] if text.endswith(_APOSTROPHES) else text[1:]


def whole_number(written: str) -> str:
    """
    Return *written* without surrounding blanks, and without the zeros of a decimal such as `79612242243.00`.

    Data frames and spreadsheets write such numbers. Anything but a number is returned unchanged.

    Raises:
        InputError: The remaining digits may not be the intended ones.
    """
    text = written.strip()
    if _scientific(text):
        raise InputError(ROUNDED)
    if "." not in text and "," not in text:
        return text
    marked = _with_one_mark(text)
    if marked is None:
        if _with_thousands(text):
            raise InputError(_PERHAPS_DECIMAL)
        return text
    before, after = marked.groups()
    digits, decimals = before.translate(_SEPARATORS).removeprefix("+"), after.translate(_SEPARATORS)
    if not (_is_digits(digits) and _is_digits(decimals)):
        return text
    if decimals.strip("0"):
        if _SHORTEST <= len(digits) <= _LONGEST and len(decimals) < _SHORTEST:
            raise InputError(_FRACTION if _plain(before) else _PERHAPS_FRACTION)
        return text
    if not _plain(before) or decimals != after:
        raise InputError(_PERHAPS_DECIMAL)
    return before


def normal_phones(given: Sequence[str]) -> NormalPhones | None:
    """
    Return what `normalise_phone` returns for each of *given*, if every phone needs at most a strip; else None.

    One call for each would take five times as long; workload A pays for it.
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

    In a JSON array a number has no plus sign, no leading zero and only blanks around it.
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
    """Return a short representation of *value* for a message."""
    if isinstance(value, int) and value.bit_length() > _INT_BITS:
        return f"<an int of {value.bit_length()} bits>"  # Python refuses to write it in decimal
    return reprlib.repr(value)


def quoted(value: object) -> str:
    """Return the same with phones masked, for an exception."""
    return mask_phones(shown(value))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def bad_phone(raw: object, why: str | Sentence) -> InputError:
    sentence = Sentence("{phone} is not a phone number: {why}", phone=Quote(shown(raw)), why=why)
    return InputError(sentence, Reason.BAD_PHONE)
