"""
Decide whether words in an 8-bit encoding are Russian in Windows-1251.

Most bytes are a letter in each of these encodings, so that decoding never fails. What tells them apart is which letters
follow each other, where capitals stand, and whether Latin and Cyrillic letters share a word.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["NOT_RUSSIAN", "WINDOWS_1251", "Doubt", "doubt_of"]

WINDOWS_1251 = "cp1251"  # Excel's encoding on a Russian Windows
_CYRILLIC = (WINDOWS_1251, "kz1048", "cp866", "koi8-r", "koi8-u", "mac-cyrillic", "iso8859-5")
_LATIN = ("cp1252", "cp1254", "cp1250")

# Letters that Windows-1251 has for Ukrainian, Belarusian, Serbian and Macedonian, and the byte that it leaves free.
_OTHER_LETTERS = "ЂЃѓЉЊЌЋЏђљњќћџЎўЈҐЄЇІіґєјЅѕї"
NOT_RUSSIAN = re.compile(b"[" + re.escape(_OTHER_LETTERS.encode(WINDOWS_1251)) + b"\x98]")

# The 300 most frequent of all pairs of letters, nine in ten of a text: each first letter, and those that follow it.
# Counted in Russian names, streets, firms (Faker's lists) and translated programs, half of the weight each.
_PAIRS = """
    абвгдежзйклмнпрстфхцчшя баеиклоруы ваеиклнорстуы гаеилнору даеилнорсу евгдежзйклмнопрстфхцчщ жадеин завдеимноу
    иабвгдезийклмнопрстфхцчшюя йлст каеилорстуц лаеиклноуьюя мавеимопсуыя нагдеикностуыья обвгдежзийклмнпрстфчш
    паеилопру равгдежикмностухыья савеиклмнопстуыья тавеикнорсуыь убгдежзклмнпрстчщю фаеиор хаио цеи чаеин шаеик
    щеи ывейлмтх ьезкнся элт ючщ яент
"""
_FREQUENT = frozenset(letters[0] + second for letters in _PAIRS.split() for second in letters[1:])

_words = re.compile(r"[^\W\d_A-Za-z]+").findall
_is_usual = re.compile("[А-ЯЁ]?[а-яё]+|[А-ЯЁ]+").fullmatch
# Letters of Ukrainian, Belarusian and Kazakh, and Russian ones that have their place among the others.
_TO_RUSSIAN = str.maketrans("ІЇЄҐЎӘҒҚҢӨҰҮҺіїєґўәғқңөұүһ", "ИИЕГУАГКНОУУХииегуагкноуух")
# A Latin letter beside a Cyrillic one, or a sign between two letters that stands around words, not in them.
_odd_neighbours = re.compile(
    "[A-Za-z](?=[А-Яа-яЁё])|[А-Яа-яЁё](?=[A-Za-z])|(?<=[A-Za-zА-Яа-яЁё])[‚„†‡€‰‹“”™›¤¦§©«¬®±¶№•»](?=[A-Za-zА-Яа-яЁё])"
).findall
_ENOUGH = 10  # pairs of letters that say whether a text is Russian
_LEAST_SHARE = 0.25  # of frequent pairs in a Russian text; as a rule it is 0.9


class Doubt(NamedTuple):
    """
    Why words are hardly Russian in Windows-1251.

    Attributes:
        word: The first word that is not.
        likely: Likely encodings, the likeliest first.
    """

    word: bytes
    likely: list[str]


class _Score(NamedTuple):
    """
    How Russian a text looks.

    Attributes:
        frequent: Frequent pairs of letters, in words of Russian letters with usual capitals.
        pairs: All pairs of letters in such words.
        total: All pairs of letters.
    """

    frequent: int
    pairs: int
    total: int

    def has_share(self, share: float) -> bool:
        return self.frequent > 0 and self.frequent >= share * self.total


def doubt_of(words: Sequence[bytes]) -> Doubt | None:
    """Return what speaks against reading *words* as Russian in Windows-1251; None if nothing does."""
    whole = b"\n".join(words)
    texts = {encoding: whole.decode(encoding, "replace") for encoding in _CYRILLIC}
    scores = {encoding: _score(text) for encoding, text in texts.items()}
    ours, text = scores[WINDOWS_1251], texts[WINDOWS_1251]
    mixed = len(_odd_neighbours(text))
    odd = next(filter(NOT_RUSSIAN.search, words), None)
    if mixed > ours.frequent:
        odd = odd or next((word for word in words if _odd_neighbours(word.decode(WINDOWS_1251))), None)
    elif not _may_be_russian(text) or any(score[:2] > ours[:2] and score.has_share(0.5) for score in scores.values()):
        odd = odd or words[0]
    return None if odd is None else Doubt(odd, _likely(texts, mixed))


def _score(text: str) -> _Score:
    words = _words(text)
    usual = list(filter(_is_usual, words))
    return _Score(sum(_are_frequent(usual)), _pairs(usual), _pairs(words))


def _pairs(words: Sequence[str]) -> int:
    return sum(map(len, words)) - len(words)


def _are_frequent(words: Iterable[str]) -> Iterator[bool]:
    """Yield for each pair of letters whether it is frequent; ё counts as е within a word."""
    plain = (word[0].lower() + word[1:].lower().replace("ё", "е") for word in words)
    return (word[place : place + 2] in _FREQUENT for word in plain for place in range(len(word) - 1))


def _may_be_russian(text: str) -> bool:
    frequent = list(_are_frequent(_words(text)))
    return len(frequent) < _ENOUGH or sum(frequent) >= _LEAST_SHARE * len(frequent)


def _likely(texts: dict[str, str], mixed: int) -> list[str]:
    """Return the encodings that give the most Slavic or Kazakh texts; Latin ones if there are none."""
    scores = {encoding: _score(text.translate(_TO_RUSSIAN)) for encoding, text in texts.items()}
    best = max(scores.values()).frequent
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    likely = [each for each in ranked if scores[each].has_share(0.3) and 2 * scores[each].frequent >= best]
    return likely if likely and best > mixed else list(_LATIN)
