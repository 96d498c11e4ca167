"""The gateway's sentences, in both languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async import Reason
from webcom_async._domain.refusals import Scope, classify, refusal

# As printed: English on the vendor's page, Russian on its Russian page and in public documentation of siblings.
SENTENCES = [
    (Reason.BAD_DOCUMENT, "Incorrect JSON document format", "Неправильный формат JSON документа"),
    (Reason.ACCOUNT_LOCKED, "Your account is locked", "Ваш аккаунт заблокирован"),
    (Reason.BAD_LOGIN, "Incorrect login or password", "Неправильный логин или пароль"),
    (Reason.NO_POST_DATA, "POST data is missing", "POST данные отсутствуют"),
    (
        Reason.PROVIDER_OUT_OF_SMS,
        "We have run out of SMS. Contact your manager to resolve the problem",
        "У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером",
    ),
    (Reason.OUT_OF_SMS, "Out of SMS", "Закончились SMS"),
    (Reason.ACCOUNT_BLOCKED, "Account blocked", "Аккаунт заблокирован"),
    (Reason.NO_PHONE, "Specify phone number", "Укажите номер телефона"),
    (Reason.STOP_LIST, "Phone number is on the stop list", "Номер телефона присутствует в стоп-листе"),
    (Reason.DESTINATION_CLOSED_FOR_YOU, "This destination is closed for you", "Данное направление закрыто для вас"),
    (Reason.DESTINATION_CLOSED, "This destination is closed", "Данное направление закрыто"),
    (Reason.TEXT_REJECTED, "SMS text rejected by moderator", "Текст SMS отклонен модератором"),
    (Reason.NO_SENDER, "No sender", "Нет отправителя"),
    (
        Reason.SENDER_TOO_LONG,
        "The sender must not exceed 15 characters for numeric numbers and 11 characters for alphanumeric numbers",
        "Отправитель не должен превышать 15 символов для цифровых номеров и 11 символов для буквенно-числовых",
    ),
    (
        Reason.PHONE_TOO_LONG,
        "Phone number must be less than 15 characters",
        "Номер телефона должен быть меньше 15 символов",
    ),
    (Reason.NO_TEXT, "No message text", "Нет текста сообщения"),
    (Reason.NO_LINK, "No link", "Нет ссылки"),
    (
        Reason.NO_CONTACT,
        "Provide the name of the contact and at least one parameter for a business card",
        "Укажите название контакта и хотя бы один параметр для визитной карточки",
    ),
    (Reason.UNKNOWN_SENDER, "There is no such sender", "Такого отправителя нет"),
    (Reason.SENDER_NOT_MODERATED, "The sender has not been moderated", "Отправитель не прошел модерацию"),
]
PRINTED = [(reason, sentence) for reason, *sentences in SENTENCES for sentence in sentences]


@pytest.mark.parametrize(("reason", "sentence"), PRINTED)
def test_every_printed_sentence_has_its_reason(reason: Reason, sentence: str):
    """A sentence is recognised with and without its final dot, in any case and between blanks."""
    forms = [sentence, f"{sentence}.", sentence.upper(), sentence.lower(), f"  {sentence} \r\n", f"error: {sentence}."]

    assert dict.fromkeys(forms, reason) == {form: classify(form) for form in forms}


@pytest.mark.parametrize(("reason", "english", "russian"), SENTENCES)
def test_the_table_holds_the_sentences_as_printed(reason: Reason, english: str, russian: str):
    """The table keeps the sentences letter for letter, because the emulator answers with them."""
    row = refusal(reason)

    assert (reason, english, russian) == (row.reason, row.english, row.russian)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Такого отправителя Нет.", Reason.UNKNOWN_SENDER),
        ("Текст SMS отклонён модератором", Reason.TEXT_REJECTED),
        ("Номер телефона присутствует в стоп листе", Reason.STOP_LIST),
        ("Номер телефона присутствует в стоп\u2011листе", Reason.STOP_LIST),
        ("Phone number is on the stop-list", Reason.STOP_LIST),
        (
            "Укажите название контакта, и хотя бы один параметр, для визитной карточки.",
            Reason.NO_CONTACT,
        ),
        ("Нет\u00a0 текста   сообщения", Reason.NO_TEXT),
        ("Неправильный формат XML документа", Reason.BAD_DOCUMENT),
        ("Your account is locked Incorrect login or password", Reason.ACCOUNT_LOCKED),
        (
            "Недостаточно средств для отправки SMS. SMS будет отправлена как только вы пополните счет.",
            Reason.HELD_FOR_FUNDS,
        ),
        ("Данное сообщение уже было отправлено.", Reason.ALREADY_SENT),
    ],
)
def test_real_texts_differ_in_small_things(sentence: str, reason: Reason):
    """Hyphens, commas, `ё`, odd blanks and two sentences on one line do not hide a reason."""
    assert reason is classify(sentence)


@pytest.mark.parametrize("text", ["", ".", "Flood SMS", "Внутренняя ошибка", "no send", "\x00", "\ud800"])
def test_an_unknown_sentence_is_other(text: str):
    """A sentence that is not in the table has the reason `OTHER`, and never fails."""
    assert Reason.OTHER is classify(text)


@given(st.text(), st.sampled_from(PRINTED), st.text())
def test_noise_around_a_sentence_never_fails(before: str, printed: tuple[Reason, str], after: str):
    """Any text gets a reason, and a whole sentence within it is never overlooked."""
    assert classify(before + after) in Reason
    assert Reason.OTHER is not classify(f"{before} {printed[1]} {after}")


@pytest.mark.parametrize(
    ("reason", "scope"),
    [
        (Reason.BAD_DOCUMENT, Scope.REQUEST),
        (Reason.NO_POST_DATA, Scope.REQUEST),
        (Reason.BAD_LOGIN, Scope.CAMPAIGN),
        (Reason.ACCOUNT_LOCKED, Scope.CAMPAIGN),
        (Reason.ACCOUNT_BLOCKED, Scope.CAMPAIGN),
        (Reason.OUT_OF_SMS, Scope.CAMPAIGN),
        (Reason.PROVIDER_OUT_OF_SMS, Scope.CAMPAIGN),
        (Reason.UNKNOWN_SENDER, Scope.MESSAGE),
        (Reason.TEXT_REJECTED, Scope.MESSAGE),
        (Reason.STOP_LIST, Scope.RECIPIENT),
        (Reason.DESTINATION_CLOSED, Scope.RECIPIENT),
        (Reason.PHONE_TOO_LONG, Scope.RECIPIENT),
    ],
)
def test_a_refusal_says_how_far_it_reaches(reason: Reason, scope: Scope):
    """A sentence about the account concerns the campaign, one about a phone concerns that phone."""
    assert scope is refusal(reason).scope


@pytest.mark.parametrize("reason", [Reason.NONE, Reason.OTHER, Reason.BAD_PHONE, Reason.TIMEOUT, Reason.HALTED])
def test_our_own_reasons_have_no_sentence(reason: Reason):
    """Reasons that the library finds itself are not in the gateway's table."""
    with pytest.raises(KeyError):
        refusal(reason)
