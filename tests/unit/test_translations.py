"""The command line's messages in Russian: a catalogue without gaps, plural forms, and the library's sentences."""

from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import pytest

from tests import catalogue
from webcom_async import InputError
from webcom_async._cli.ui.translations import choose_language, explain, language_of, sentence, tr, tr_plural
from webcom_async.audience import Audience, StopList, normalise_phone
from webcom_async.errors import Sentence

ENTRY = '#, python-brace-format\nmsgid "{count} more"\nmsgstr "ещё {count}"\n'
MORE = ("{count} more",)


def in_russian(said: Callable[[], str]) -> str:
    """Return a message in Russian; the language is set for this call only."""

    def choose_and_say() -> str:
        choose_language("ru")
        return said()

    return copy_context().run(choose_and_say)


def compiled(po: str) -> bytes:
    """Return the `.mo` file of a `.po` file."""
    return catalogue.compiled(catalogue.read_po(po))


def test_every_message_of_the_command_line_has_its_russian():
    """Each has a finished translation, with the same braces and all plural forms, in the compiled file too."""
    assert [] == catalogue.faults(catalogue.PO.read_text("utf-8"), catalogue.MO.read_bytes(), catalogue.marked())


@pytest.mark.parametrize(
    ("po", "wanted", "fault"),
    [
        (ENTRY, {MORE, ("a message of tomorrow",)}, "missing: "),
        (ENTRY + '\nmsgid "a message of yesterday"\nmsgstr "вчера"\n', {MORE}, "unused: "),
        (f"{ENTRY}\n{ENTRY}", {MORE}, "twice: "),
        (ENTRY.replace("ещё {count}", "ещё {number}"), {MORE}, "other braces: "),
        (ENTRY.replace("ещё {count}", ""), {MORE}, "unfinished: "),
        (ENTRY.replace("#, ", "#, fuzzy, "), {MORE}, "unfinished: "),
        (
            'msgid "{count} a"\nmsgid_plural "{count} b"\nmsgstr[0] "{count}"\n',
            {("{count} a", "{count} b")},
            "a plural",
        ),
    ],
)
def test_a_gap_in_the_catalogue_is_found(po: str, wanted: set[catalogue.Key], fault: str):
    """A message that is missing, unused, double, unfinished or unlike the English is one line of the report."""
    [found] = catalogue.faults(po, compiled(po), wanted)

    assert found.startswith(fault)


def test_a_catalogue_that_was_changed_and_not_compiled_is_found():
    """A compiled file that is older than its catalogue is reported, because it would show the old words."""
    assert [] == catalogue.faults(ENTRY, compiled(ENTRY), {MORE})
    assert ["not compiled: give --write"] == catalogue.faults(ENTRY, compiled(ENTRY.replace("ещё", "и")), {MORE})


@pytest.mark.parametrize(
    ("count", "russian", "english"),
    [
        (1, "Отправить 1 получателю (x)?", "Send to 1 recipient (x)?"),
        (2, "Отправить 2 получателям (x)?", "Send to 2 recipients (x)?"),
        (5, "Отправить 5 получателям (x)?", "Send to 5 recipients (x)?"),
        (1_021, "Отправить 1,021 получателю (x)?", "Send to 1,021 recipients (x)?"),
    ],
)
def test_a_question_has_the_form_that_its_number_needs(count: int, russian: str, english: str):
    """A plural form follows the rule of its language."""

    def question() -> str:
        one, many = "Send to {count} recipient ({parts}{cost})?", "Send to {count} recipients ({parts}{cost})?"
        return tr_plural(one, many, count, parts="x", cost="")

    assert (russian, english) == (in_russian(question), question())


def test_rows_and_parts_have_three_russian_forms():
    """Rows and parts have the Russian forms for one, few and many."""
    rows = [in_russian(lambda count=count: tr_plural("{count} row", "{count} rows", count)) for count in (1, 2, 5, 11)]
    parts = [in_russian(lambda count=count: tr_plural("{count} part", "{count} parts", count)) for count in (1, 3, 25)]

    assert ["1 строка", "2 строки", "5 строк", "11 строк"] == rows
    assert ["1 часть", "3 части", "25 частей"] == parts


def test_what_the_catalogue_lacks_stays_english():
    """A message without a translation is shown in English, such as one that only a developer meets."""
    assert "the client is closed" == in_russian(lambda: tr("the client is closed"))
    assert "no text" == in_russian(lambda: explain(InputError("no text")))
    assert "row 7" == in_russian(lambda: sentence(Sentence("row {number}", number=7)))


@pytest.mark.parametrize(
    ("phone", "russian"),
    [
        ("", "'' не телефон: пусто"),
        ("abc", "'abc' не телефон: есть знаки, кроме цифр"),
        ("123", "'123' не телефон: цифр 3, а бывает от 8 до 15"),
        ("0961224", "'0961224' не телефон: начинается с 0; сначала нужен код страны, как в 79612242243"),
        ("+89612242243", "'+89612242243' не телефон: кода страны на 89 нет; российский мобильный пишется +7 9…"),
        ("79612242243.5", "'79612242243.5' не телефон: это дробь"),
        ("7 9612242243,5", "'7 9612242243,5' не телефон: возможно, это дробь; напишите одни цифры"),
        ("79.612.242.243,00", "'79.612.242.243,00' не телефон: возможно, это десятичная запись; напишите одни цифры"),
        ("79612242243\n1", "'79612242243\\n1' не телефон: есть перенос строки; в ячейке должен быть один телефон"),
        (
            "7.96E+10",
            "'7.96E+10' не телефон: таблица его округлила; задайте столбцу текстовый формат и заполните его заново",
        ),
        (-7, "-7 не телефон: число отрицательное"),
        ([], "[] не телефон: нужны str или int, а не list"),
    ],
)
def test_what_is_wrong_with_a_phone_is_said_in_russian(phone: object, russian: str):
    """The Russian sentence is made from the error's template and parameters."""
    with pytest.raises(InputError) as raised:
        normalise_phone(phone)

    assert russian == in_russian(lambda: explain(raised.value))


@pytest.mark.parametrize(
    ("phone", "russian"),
    [
        ("+7 000 000 00 00", "'+7 000 000 00 00' не телефон: в стране с кодом 7 такого номера нет"),
        (
            "420601123456",
            (
                "'420601123456' не телефон: в стране с кодом 7 такого номера нет; "
                "если это номер другой страны, напишите +420601123456"
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_phone_of_a_region_is_said_in_russian(phone: str, russian: str):
    """The Russian sentence says what to do if the phone is another country's."""
    phonebook = pytest.importorskip("webcom_async.audience.phonebook", reason="an extra")
    with pytest.raises(InputError) as raised:
        phonebook.PhoneBook("RU").normalise(phone)

    assert russian == in_russian(lambda: explain(raised.value))


@pytest.mark.parametrize(
    ("kind", "rows", "text", "russian"),
    [
        ("duplicates", ["79612242243", "79612242243"], "Sale!", "79612242243 уже есть в строке 2"),
        ("stopped", ["79612242244"], "Sale!", "79612242244 в стоп-листе"),
        ("guessed", ["8 961 224-22-43"], "Sale!", "'8 961 224-22-43' понято как 79612242243"),
        (
            "unlike",
            ["79612242243"] + [f"796122422{number}" for number in range(50, 90)] + ["7961224224"],
            "Sale!",
            "7961224224 не похож на остальные: не пропущена ли цифра или код страны?",
        ),
        (
            "unlike",
            ["9612242249"],
            "Sale!",
            "9612242249: десять цифр, начинается с 9, плюса нет: это российский мобильный без 7?",
        ),
        ("unsayable", ["79612242243;"], "Hello, {name}!", "столбец 'name' пуст, а он нужен для текста"),
        ("unsayable", ["79612242243;;"], None, "текст пуст, а общего текста нет"),
        (
            "bad",
            ["79612242243;;;1.000,00"],
            "Sale!",
            "client_id_sms '1.000,00' не годится: возможно, это десятичная запись; напишите одни цифры",
        ),
        (
            "bad",
            ["79612242243;;;9.2E+17"],
            "Sale!",
            (
                "client_id_sms '9.2E+17' не годится: таблица его округлила; "
                "задайте столбцу текстовый формат и заполните его заново"
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_row_is_said_in_russian(
    tmp_path: Path, kind: str, rows: list[str], text: str | None, russian: str
):
    """Every kind of finding is translated from its template and parameters."""
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["phone;name;text;client_id_sms", *(row + ";" * (3 - row.count(";")) for row in rows)]))
    audit = Audience(path, text, stopped=StopList(["79612242244"])).check()

    [finding] = getattr(audit, kind)
    assert russian == in_russian(lambda: sentence(finding.sentence))


def test_the_language_is_that_of_the_environment():
    """`WEBCOM_LANG` comes first, then the locale, as POSIX ranks its variables."""
    assert "ru" == language_of({"LANG": "ru_RU.UTF-8"})
    assert "en" == language_of({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"})
    assert "ru" == language_of({"LC_ALL": "C", "WEBCOM_LANG": "ru"})
    assert "en" == language_of({})
