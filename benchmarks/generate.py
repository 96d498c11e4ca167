"""Recipients for benchmarks and trials: seeded, so that every contender gets the same ones."""

import random
from collections.abc import Iterator

from webcom_async import Recipient

__all__ = ["personal", "phones"]

_FIRST = 79_000_000_000
_SPAN = 1_000_000_000
_WORDS = (
    *("ваш", "заказ", "готов", "ждём", "вас", "завтра", "скидка", "только", "сегодня"),
    *("по", "адресу", "спасибо", "что", "вы", "с", "нами"),
)
_TEXT_CHARACTERS = 120


def phones(count: int, seed: int = 1) -> Iterator[str]:
    """Yield *count* different Russian mobile numbers in a shuffled order, without keeping them."""
    # A walk by a step that shares no factor with the span (2 and 5 are its only ones) visits every number once.
    step = random.Random(seed).randrange(_SPAN // 10) * 10 + 3
    return (str(_FIRST + number * step % _SPAN) for number in range(count))


def personal(count: int, seed: int = 1) -> Iterator[Recipient]:
    """Yield *count* recipients with a text of 120 Cyrillic characters of their own."""
    chance = random.Random(seed)
    for phone in phones(count, seed):
        words = " ".join(chance.choices(_WORDS, k=_TEXT_CHARACTERS // 3))
        yield Recipient(phone, text=f"{phone[-4:]} {words}"[:_TEXT_CHARACTERS])
