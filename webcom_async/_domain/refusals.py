"""
The gateway's sentences of refusal, and the reason that each gives.

The gateway has no error codes, only sentences: in English on its English pages, in Russian in production. Client and
emulator read this one table. A format knows how an answer frames a sentence; `_gateway.policy` knows what follows from
a reason.

Sources: apidocs.webcom.mobi, JSON specification, sending (English); the same, balance, Russian edition (Russian request
errors); public documentation of sibling platforms (Russian recipient errors, two of which production code written
against this gateway compares letter for letter).
"""

import enum
from typing import NamedTuple

from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome

__all__ = ["Language", "Refusal", "Scope", "classify", "refusal", "refused_outcome", "scope_of"]


class Scope(enum.StrEnum):
    """How far a refusal reaches."""

    RECIPIENT = "recipient"  #: this phone only
    MESSAGE = "message"  #: every recipient of this message
    REQUEST = "request"  #: every recipient of this request
    CAMPAIGN = "campaign"  #: everything this account sends now


class Language(enum.StrEnum):
    """The language of the gateway's sentences."""

    ENGLISH = "en"
    RUSSIAN = "ru"


class Refusal(NamedTuple):
    """
    One row of the table.

    Attributes:
        reason: Our word for it.
        scope: How far the refusal reaches.
        english: The sentence of the English page; empty where only siblings document it.
        russian: The sentence in Russian, without its final dot.
        marks: Folded substrings that distinguish it from every row below.
    """

    reason: Reason
    scope: Scope
    english: str
    russian: str
    marks: tuple[str, str]


# Order matters: a row whose marks contain another row's marks precedes it.
_TABLE = (
    Refusal(
        Reason.BAD_DOCUMENT,
        Scope.REQUEST,
        "Incorrect JSON document format",
        "Неправильный формат JSON документа",
        ("document format", "неправильный формат"),
    ),
    Refusal(
        Reason.ACCOUNT_LOCKED,
        Scope.CAMPAIGN,
        "Your account is locked",
        "Ваш аккаунт заблокирован",
        ("account is locked", "ваш аккаунт заблокирован"),
    ),
    Refusal(
        Reason.BAD_LOGIN,
        Scope.CAMPAIGN,
        "Incorrect login or password",
        "Неправильный логин или пароль",
        ("login or password", "логин или пароль"),
    ),
    Refusal(
        Reason.NO_POST_DATA,
        Scope.REQUEST,
        "POST data is missing",
        "POST данные отсутствуют",
        ("post data", "post данные"),
    ),
    Refusal(
        Reason.PROVIDER_OUT_OF_SMS,
        Scope.CAMPAIGN,
        "We have run out of SMS. Contact your manager to resolve the problem",
        "У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером",
        ("we have run out of sms", "у нас закончились sms"),
    ),
    Refusal(Reason.OUT_OF_SMS, Scope.CAMPAIGN, "Out of SMS", "Закончились SMS", ("out of sms", "закончились sms")),
    Refusal(
        Reason.ACCOUNT_BLOCKED,
        Scope.CAMPAIGN,
        "Account blocked",
        "Аккаунт заблокирован",
        ("account blocked", "аккаунт заблокирован"),
    ),
    Refusal(
        Reason.NO_PHONE,
        Scope.RECIPIENT,
        "Specify phone number",
        "Укажите номер телефона",
        ("specify phone", "укажите номер"),
    ),
    Refusal(
        Reason.STOP_LIST,
        Scope.RECIPIENT,
        "Phone number is on the stop list",
        "Номер телефона присутствует в стоп-листе",
        ("stop list", "стоп лист"),
    ),
    Refusal(
        Reason.DESTINATION_CLOSED_FOR_YOU,
        Scope.RECIPIENT,
        "This destination is closed for you",
        "Данное направление закрыто для вас",
        ("closed for you", "закрыто для вас"),
    ),
    Refusal(
        Reason.DESTINATION_CLOSED,
        Scope.RECIPIENT,
        "This destination is closed",
        "Данное направление закрыто",
        ("destination is closed", "направление закрыто"),
    ),
    Refusal(
        Reason.TEXT_REJECTED,
        Scope.MESSAGE,
        "SMS text rejected by moderator",
        "Текст SMS отклонен модератором",
        ("rejected by moderator", "отклонен модератором"),
    ),
    Refusal(Reason.NO_SENDER, Scope.MESSAGE, "No sender", "Нет отправителя", ("no sender", "нет отправителя")),
    Refusal(
        Reason.SENDER_TOO_LONG,
        Scope.MESSAGE,
        "The sender must not exceed 15 characters for numeric numbers and 11 characters for alphanumeric numbers",
        "Отправитель не должен превышать 15 символов для цифровых номеров и 11 символов для буквенно-числовых",
        ("sender must not exceed", "отправитель не должен превышать"),
    ),
    Refusal(
        Reason.PHONE_TOO_LONG,
        Scope.RECIPIENT,
        "Phone number must be less than 15 characters",
        "Номер телефона должен быть меньше 15 символов",
        ("phone number must be less", "номер телефона должен быть меньше"),
    ),
    Refusal(
        Reason.NO_TEXT,
        Scope.MESSAGE,
        "No message text",
        "Нет текста сообщения",
        ("no message text", "нет текста"),
    ),
    Refusal(Reason.NO_LINK, Scope.MESSAGE, "No link", "Нет ссылки", ("no link", "нет ссылки")),
    Refusal(
        Reason.NO_CONTACT,
        Scope.MESSAGE,
        "Provide the name of the contact and at least one parameter for a business card",
        "Укажите название контакта и хотя бы один параметр для визитной карточки",
        ("name of the contact", "название контакта"),
    ),
    Refusal(
        Reason.UNKNOWN_SENDER,
        Scope.MESSAGE,
        "There is no such sender",
        "Такого отправителя нет",
        ("no such sender", "такого отправителя нет"),
    ),
    Refusal(
        Reason.SENDER_NOT_MODERATED,
        Scope.MESSAGE,
        "The sender has not been moderated",
        "Отправитель не прошел модерацию",
        ("sender has not been moderated", "отправитель не прошел модерацию"),
    ),
    Refusal(
        Reason.HELD_FOR_FUNDS,
        Scope.RECIPIENT,
        "",
        "Недостаточно средств для отправки SMS. "
        "SMS будет отправлена как только вы пополните счет по данному направлению",
        ("недостаточно средств", "недостаточно средств"),
    ),
    Refusal(
        Reason.ALREADY_SENT,
        Scope.RECIPIENT,
        "",
        "Данное сообщение уже было отправлено",
        ("уже было отправлено", "уже было отправлено"),
    ),
)
_BY_REASON = {row.reason: row for row in _TABLE}

# With an id beside these two sentences, the SMS exists: sibling platforms document that.
_TAKEN_ANYWAY = frozenset({Reason.HELD_FOR_FUNDS, Reason.ALREADY_SENT})

# Real texts differ in final dots, a comma, hyphens and `ё`; none of them carries meaning here.
_FOLD = str.maketrans({"ё": "е", ",": None, "-": " ", "‐": " ", "‑": " "})


def refusal(reason: Reason) -> Refusal:
    return _BY_REASON[reason]


def scope_of(reason: Reason) -> Scope | None:
    """Return how far a refusal reaches; None if the gateway has no sentence for it."""
    row = _BY_REASON.get(reason)
    return None if row is None else row.scope


def refused_outcome(reason: Reason, *, has_id: bool = False) -> Outcome:
    """Return the outcome of a recipient that was refused for *reason*."""
    if has_id:
        return Outcome.ACCEPTED if reason in _TAKEN_ANYWAY else Outcome.UNKNOWN
    if reason in _TAKEN_ANYWAY:
        return Outcome.UNKNOWN
    if scope_of(reason) is Scope.CAMPAIGN:
        return Outcome.NOT_SENT
    return Outcome.REJECTED


def classify(text: str) -> Reason:
    """Return the reason for a sentence of the gateway."""
    folded = " ".join(text.casefold().translate(_FOLD).split())
    for row in _TABLE:
        if any(mark in folded for mark in row.marks):
            return row.reason
    return Reason.OTHER
