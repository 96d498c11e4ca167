"""
Segments: how many SMS a text is billed as, and which characters make it expensive.

Pure functions on text. Sources:

* 3GPP TS 23.038, 6.2.1: the GSM 7 bit default alphabet, and its extension table (6.2.1.1), whose characters take two
  septets because each follows an escape. National language shift tables are not used: gateways rarely use them.
* 3GPP TS 23.038, 6.2.3: UCS-2, sixteen bits a unit. Characters outside the basic plane, such as emoji, take two units
  (a UTF-16 surrogate pair), as phones encode them.
* 3GPP TS 23.040, 9.2.3.24.1: 140 octets a message, six of them a header if the message has several parts: 160 septets,
  or 153 a part; 70 units, or 67 a part. A part never ends between an escape and its character, or inside a surrogate
  pair.

The vendor does not document how the gateway splits texts: the number of parts in a delivery report is decisive.
"""

import enum
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Self

import msgspec

__all__ = [
    "Encoding",
    "Forcing",
    "Remedy",
    "Segments",
    "Suggestion",
    "count_parts",
    "encoding_of",
    "segments",
    "split",
    "suggestions",
]

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"
_GSM = frozenset(_BASIC + _EXTENSION)

_all_basic = re.compile(f"[{re.escape(_BASIC)}]*").fullmatch
_all_gsm = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*").fullmatch
_two_septets = re.compile(f"[{re.escape(_EXTENSION)}]")
_two_units = re.compile("[\U00010000-\U0010ffff]")


class Encoding(enum.StrEnum):
    """How a text is encoded over the air, with the units in a single SMS, and in each of several parts."""

    GSM_7 = ("GSM-7", 160, 153)
    UCS_2 = ("UCS-2", 70, 67)

    single: int  #: units in a single SMS
    part: int  #: units in each of several parts

    def __new__(cls, label: str, single: int, part: int) -> Self:
        """Return the member whose value is its label."""
        member = str.__new__(cls, label)
        member._value_ = label
        member.single = single
        member.part = part
        return member

    @property
    def label(self) -> str:
        """Its common name."""
        return self.value

    @property
    def wide(self) -> re.Pattern[str]:
        """A pattern that matches characters of two units."""
        return _two_septets if self is Encoding.GSM_7 else _two_units


class Forcing(msgspec.Struct, frozen=True):
    """
    A character outside GSM-7, which forces the whole text to UCS-2.

    Attributes:
        character: The character.
        count: Its number of occurrences in the text.
        plain: Its replacement in GSM-7; None if there is no similar character.
    """

    character: str
    count: int
    plain: str | None

    @property
    def name(self) -> str:
        """The character's name in Unicode, such as `EN DASH`."""
        return unicodedata.name(self.character, f"U+{ord(self.character):04X}")


class Segments(msgspec.Struct, frozen=True):
    """
    How a text is billed.

    Attributes:
        encoding: How the text is encoded over the air.
        units: Septets (GSM-7) or 16-bit units (UCS-2) of the characters; with escapes, without headers.
        parts: Number of SMS; 0 for an empty text.
        units_left: Units that fit in the last part.
        forcing: The characters that force UCS-2, in the order of their first occurrence; empty for GSM-7.
        parts_without_forcing: Number of SMS if each of these characters were one GSM-7 character.
    """

    encoding: Encoding
    units: int
    parts: int
    units_left: int
    forcing: tuple[Forcing, ...]
    parts_without_forcing: int


class Remedy(enum.StrEnum):
    """What a suggestion changes to make a text cheaper."""

    PUNCTUATION = "plain punctuation"  #: quotes, dashes, spaces and accents of GSM-7
    TRANSLITERATION = "transliteration"  #: that, and Cyrillic in Latin letters


class Suggestion(msgspec.Struct, frozen=True):
    """
    A text that says the same in fewer parts, for its author to accept or refuse.

    Attributes:
        remedy: The kind of change.
        text: The changed text.
        parts: Number of SMS.
    """

    remedy: Remedy
    text: str
    parts: int

    def __repr__(self) -> str:
        return f"Suggestion(remedy={self.remedy!r}, text=<{len(self.text)} characters>, parts={self.parts})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        # msgspec's own method, whose output rich's tracebacks print, shows the text.
        return [("remedy", self.remedy), ("characters", len(self.text)), ("parts", self.parts)]


def segments(text: str) -> Segments:
    """Return how *text* is billed."""
    encoding = encoding_of(text)
    parts, left = _measure(text, encoding)
    forcing = () if encoding is Encoding.GSM_7 else tuple(_forcing(text))
    without = parts if not forcing else count_parts("".join(c if c in _GSM else "?" for c in text))
    return Segments(encoding, _units(text, encoding), parts, left, forcing, without)


def count_parts(text: str) -> int:
    """Return the number of SMS that *text* takes; faster than `segments`, for many texts."""
    if _all_basic(text):
        length = len(text)
        return 1 if 0 < length <= Encoding.GSM_7.single else -(-length // Encoding.GSM_7.part)
    return _measure(text, encoding_of(text))[0]


def split(text: str) -> list[str]:
    """Return the parts of *text* as phones receive them; joined, they are *text*."""
    encoding = encoding_of(text)
    if not text or _units(text, encoding) <= encoding.single:
        return [text] if text else []
    starts = [start for start, _ in _parts(text, encoding)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def suggestions(text: str) -> list[Suggestion]:
    """Return cheaper texts, the mildest change first; each takes fewer parts than the one before. Often empty."""
    found: list[Suggestion] = []
    fewest = count_parts(text)
    for remedy, table in ((Remedy.PUNCTUATION, _PUNCTUATION), (Remedy.TRANSLITERATION, _PUNCTUATION | _LATIN)):
        changed = _changed(text, table)
        parts = count_parts(changed)
        if 0 < parts < fewest:
            found.append(Suggestion(remedy, changed, parts))
            fewest = parts
    return found


def encoding_of(text: str) -> Encoding:
    """Return how *text* is encoded over the air."""
    return Encoding.GSM_7 if _all_gsm(text) else Encoding.UCS_2


def _units(text: str, encoding: Encoding) -> int:
    return len(text) + len(encoding.wide.findall(text))


def _measure(text: str, encoding: Encoding) -> tuple[int, int]:
    """Return the number of parts, and the units left in the last one."""
    units = _units(text, encoding)
    if not units:
        return 0, encoding.single
    if units <= encoding.single:
        return 1, encoding.single - units
    if units == len(text):
        parts = -(-units // encoding.part)
        return parts, parts * encoding.part - units
    used = [units for _, units in _parts(text, encoding)]
    return len(used), encoding.part - used[-1]


def _parts(text: str, encoding: Encoding) -> Iterator[tuple[int, int]]:
    """Yield the start and the units of each of several parts."""
    wide = encoding.wide.fullmatch
    start = used = 0
    for place, character in enumerate(text):
        width = 2 if wide(character) else 1
        if used + width > encoding.part:
            yield start, used
            start, used = place, 0
        used += width
    yield start, used


def _forcing(text: str) -> Iterator[Forcing]:
    for character, count in Counter(character for character in text if character not in _GSM).items():
        plain = _changed(character, _PUNCTUATION | _LATIN)
        yield Forcing(character, count, plain if _all_gsm(plain) else None)


# ---------------------------------------------------------------------------- cheaper characters


def _changed(text: str, table: dict[str, str]) -> str:
    return "".join(character if character in _GSM else _plain(character, table) for character in text)


def _plain(character: str, table: dict[str, str]) -> str:
    """Return the GSM-7 replacement of *character*, by table or without accents; itself, if there is none."""
    known = table.get(character)
    if known is not None:
        return known
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return bare if _all_gsm(bare) and (bare or unicodedata.combining(character)) else character


def _pairs(groups: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {character: plain for characters, plain in groups for character in characters}


_PUNCTUATION = _pairs(
    (
        ("«»“”„‟″〝〞", '"'),
        ("‘’‚‛′`´ʹʼ", "'"),
        ("‹", "<"),
        ("›", ">"),
        ("‐‑‒–—―−⁃", "-"),
        ("…", "..."),
        ("•·∙●▪", "*"),
        ("№", "No."),
        ("×", "x"),
        ("\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        ("\u2028\u2029", "\n"),
        ("\u00ad\u200b\u200c\u2060\ufeff", ""),
        ("₽", "RUB"),
        ("©", "(c)"),
        ("®", "(R)"),
        ("™", "(TM)"),
    )
)

# BGN/PCGN 1947, without its marks for the soft and the hard sign.
_LOWER = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch - y - e yu ya".replace("-", "").split(" "),
        strict=True,
    )
)
_LATIN = _LOWER | {cyrillic.upper(): latin.capitalize() for cyrillic, latin in _LOWER.items()}
