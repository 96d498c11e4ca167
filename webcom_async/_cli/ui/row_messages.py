"""
What the library says of a row, in the language of the tables.

The library speaks English; its sentences about rows are known here by their shape, and others stay as they are.
"""

import re

from webcom_async._cli.ui.translations import language
from webcom_async._domain.phones import ROUNDED

__all__ = ["sentence"]

# What a part of a sentence stands for is put in where the Russian has its number.
_RUSSIAN: tuple[tuple[str, str], ...] = (
    (r"(\d+) is in line (\d+) already", "{0} уже есть в строке {1}"),
    (r"(\d+) is on the stop list", "{0} в стоп-листе"),
    (r"(.+) was taken for (\d+)", "{0} понято как {1}"),
    (
        r"(\d+) is unlike the others: is a digit or the country code missing\?",
        "{0} не похож на остальные: не пропущена ли цифра или код страны?",
    ),
    (
        r"(\d+) has ten digits, begins with 9 and has no plus: is it a Russian mobile without its 7\?",
        "{0}: десять цифр, начинается с 9, плюса нет: это российский мобильный без 7?",
    ),
    (r"column (.+) is empty, and the text needs it", "столбец {0} пуст, а он нужен для текста"),
    (r"its text is empty, and there is none for everyone", "текст пуст, а общего текста нет"),
    (r"(.+) is not a phone number: it is empty", "{0} не телефон: пусто"),
    (r"(.+) is not a phone number: it holds characters that are no digits", "{0} не телефон: есть знаки, кроме цифр"),
    (
        r"(.+) is not a phone number: it has (\d+) digits, and a number has (\d+) to (\d+)",
        "{0} не телефон: цифр {1}, а бывает от {2} до {3}",
    ),
    (
        r"(.+) is not a phone number: it starts with 0; write the country code first, as in (\d+)",
        "{0} не телефон: начинается с 0; сначала нужен код страны, как в {1}",
    ),
    (
        r"(.+) is not a phone number: no country code starts with 89; a Russian mobile is written \+7 9…",
        "{0} не телефон: кода страны на 89 нет; российский мобильный пишется +7 9…",
    ),
    (r"(.+) is not a phone number: it is a fraction", "{0} не телефон: это дробь"),
    (
        r"(.+) is not a phone number: it may be a fraction; write it with digits only",
        "{0} не телефон: возможно, это дробь; напишите одни цифры",
    ),
    (
        r"(.+) is not a phone number: it may be a decimal number; write it with digits only",
        "{0} не телефон: возможно, это десятичная запись; напишите одни цифры",
    ),
    (
        r"(.+) is not a phone number: it holds a line break; write one phone in a cell",
        "{0} не телефон: есть перенос строки; в ячейке должен быть один телефон",
    ),
    (
        r"(.+) is not a phone number: country code (\d+) has no such number",
        "{0} не телефон: в стране с кодом {1} такого номера нет",
    ),
    (
        (
            r"(.+) is not a phone number: country code (\d+) has no such number; "
            r"if it is one of another country, write (\+\d+)"
        ),
        "{0} не телефон: в стране с кодом {1} такого номера нет; если это номер другой страны, напишите {2}",
    ),
    (
        rf"(.+) is not a phone number: {ROUNDED}",
        "{0} не телефон: таблица его округлила; задайте столбцу текстовый формат и заполните его заново",
    ),
    (
        r"client_id_sms (.+) cannot be used: it may be a decimal number; write it with digits only",
        "client_id_sms {0} не годится: возможно, это десятичная запись; напишите одни цифры",
    ),
    (
        rf"client_id_sms (.+) cannot be used: {ROUNDED}",
        "client_id_sms {0} не годится: таблица его округлила; задайте столбцу текстовый формат и заполните его заново",
    ),
)
_patterns = tuple((re.compile(english, re.DOTALL).fullmatch, russian) for english, russian in _RUSSIAN)


def sentence(words: str) -> str:
    """Return *words*, a sentence of the library about a row, in the chosen language."""
    if language() != "ru":
        return words
    known = ((match(words), russian) for match, russian in _patterns)
    return next((russian.format(*found.groups()) for found, russian in known if found), words)
