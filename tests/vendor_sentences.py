"""The sentences that the gateway's manual prints, in both languages."""

from webcom_async import Reason

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
