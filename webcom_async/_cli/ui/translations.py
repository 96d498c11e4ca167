"""
The command line's own words, in English and Russian.

English is written where it is said; this holds the Russian for it. Errors of the library, help and JSON stay English:
the first two are looked up in its documentation, and the last is for machines.
"""

import os
from collections.abc import Mapping
from contextvars import ContextVar

__all__ = ["choose_language", "language", "language_of", "tr"]

_language: ContextVar[str] = ContextVar("language", default="en")

_RUSSIAN = {
    "Preview": "Предпросмотр",
    "Report": "Отчёт",
    "Campaigns": "Рассылки",
    "outcome": "исход",
    "recipients": "получатели",
    "share": "доля",
    "accepted": "принято",
    "rejected": "отклонено",
    "unknown": "неизвестно",
    "not_sent": "не отправлено",
    "requests": "запросы",
    "time": "время",
    "campaign": "рассылка",
    "from the journal": "из журнала",
    "{count} recipients, for whom nothing was sent": "получателей: {count}, им ничего не отправлялось",
    "incomplete": "не окончена",
    "the campaign ended before its last recipient": "рассылка прервана до последнего получателя",
    "{requests}, {retries} of them repeated": "{requests}, из них повторных {retries}",
    "{seconds} s, {rate} recipients/s": "{seconds} с, {rate} получателей/с",
    "{count} retried": "{count} повторов",
    "file": "файл",
    "rows": "строки",
    "to be sent": "к отправке",
    "cannot be used": "негодные",
    "duplicates": "повторы",
    "on the stop list": "в стоп-листе",
    "without a text": "без текста",
    "phones changed by rule": "номера изменены по правилу",
    "phones unlike the others": "номера не похожи на остальные",
    (
        "{file} holds the results of a campaign: the ids in its column {column} are not used; "
        "to send under them again: --use-ids"
    ): (
        "{file} — результаты рассылки: номера из столбца {column} не используются; "
        "чтобы отправить под ними снова: --use-ids"
    ),
    (
        "{file} holds the results of a campaign: the texts in its column {column} are not used; "
        "to send them: --text-column {column}"
    ): (
        "{file} — результаты рассылки: тексты из столбца {column} не используются; "
        "чтобы отправить их: --text-column {column}"
    ),
    (
        "phones unlike the others are left out: {count}; if they are Russian mobiles without the 7: --region RU; "
        "to send to them as they stand: --include-unlike"
    ): (
        "не похожие на остальные номера пропущены: {count}; если это российские мобильные без 7: --region RU; "
        "чтобы отправить на них как есть: --include-unlike"
    ),
    "of those a run has come to": "из тех, до кого дошёл запуск",
    "state": "состояние",
    "changed (UTC)": "изменено (UTC)",
    "price": "цена",
    "said": "ответ шлюза",
    "kind": "вид",
    "direction": "направление",
    "messages": "сообщения",
    "unlimited": "без ограничений",
    "Status": "Состояние",
    "in all": "всего",
    "{share} delivered": "доставлено {share}",
    "open": "в пути",
    "overdue": "просрочено",
    "spent": "потрачено",
    "on {count} SMS": "на SMS: {count}",
    "questions": "вопросы",
    "{seconds} s": "{seconds} с",
    "parts": "части",
    "cost": "стоимость",
    "longest text": "самый длинный текст",
    "costliest text": "самый дорогой текст",
    "cheaper": "дешевле",
    "forces UCS-2": "требует UCS-2",
    "line {line}": "строка {line}",
    "{count} more": "ещё {count}",
    "{characters} characters, {parts}": "символов: {characters}, {parts}",
    "{count} × {parts}": "{count} × {parts}",
    "1 part": "1 часть",
    "{count} parts": "частей: {count}",
    "unknown: give --price": "неизвестна: задайте --price",
    "{money} at {price} a part, the most that reports have told": (
        "{money} по {price} за часть, по наибольшей цене из отчётов о доставке"
    ),
    "balance": "баланс",
    "not enough": "не хватит",
    "the balance is unknown: {error}": "баланс неизвестен: {error}",
    "{before} instead of {after} parts": "частей: {before} вместо {after}",
    "with {remedy}": "если взять {remedy}",
    "plain punctuation": "простую пунктуацию",
    "transliteration": "транслитерацию",
    "To {phone}, line {line}": "На {phone}, строка {line}",
    "Send to {count} recipients ({parts}{cost})?": "Отправить получателям: {count} ({parts}{cost})?",
    "Check-up": "Проверка шлюза",
    "Send up to {count} SMS to {phone}, at the account's cost?": (
        "Отправить на {phone} до {count} SMS за счёт учётной записи?"
    ),
    "[y/N]": "[д/Н]",
    "reading the file": "чтение файла",
    "{count} rows": "строк: {count}",
    "waiting until {moment}": "ожидание до {moment}",
    "{under_way}/{limit} requests under way": "запросов в пути: {under_way}/{limit}",
    "at most {rate}/s": "не больше {rate}/с",
    "nothing was sent": "ничего не отправлено",
    "dry run: nothing was sent": "пробный запуск: ничего не отправлено",
    "the ids in column {column} are used: a recipient who has an SMS under one of them gets none": (
        "номера из столбца {column} используются: у кого по такому номеру уже есть SMS, новое не получит"
    ),
    "to send to the rest: {command}": "отправить остальным: {command}",
    "campaign {name}; if this is cut short, go on with --campaign {name}": (
        "кампания {name}; если отправка прервётся, продолжить с --campaign {name}"
    ),
    "with another file for --results": "с другим файлом для --results",
    "bad_document": "запрос не прочитан",
    "account_locked": "учётная запись закрыта",
    "bad_login": "неверный логин или пароль",
    "no_post_data": "запрос не дошёл",
    "provider_out_of_sms": "у оператора кончились SMS",
    "out_of_sms": "на счёте кончились SMS",
    "account_blocked": "учётная запись заблокирована",
    "no_phone": "нет телефона",
    "stop_list": "в стоп-листе",
    "destination_closed_for_you": "направление закрыто для вас",
    "destination_closed": "направление закрыто",
    "text_rejected": "текст отклонён модератором",
    "no_sender": "нет отправителя",
    "sender_too_long": "имя отправителя слишком длинное",
    "phone_too_long": "телефон слишком длинный",
    "no_text": "нет текста",
    "no_link": "нет ссылки",
    "no_contact": "нет контакта",
    "unknown_sender": "неизвестный отправитель",
    "sender_not_moderated": "отправитель на модерации",
    "held_for_funds": "ждёт пополнения счёта",
    "already_sent": "уже отправлено",
    "too_large": "запрос слишком велик",
    "other": "другая причина",
    "bad_recipient": "негодный получатель",
    "bad_phone": "негодный телефон",
    "unlike_phone": "телефон не похож на остальные",
    "bad_client_id": "негодный номер сообщения",
    "bad_sender": "негодный отправитель",
    "bad_text": "негодный текст",
    "bad_time": "негодное время",
    "duplicate": "повтор",
    "id_reused": "номер сообщения занят",
    "halted": "рассылка прервана",
    "cancelled": "отправка прервана",
    "not_reached": "шлюз недоступен",
    "connection_lost": "связь прервалась",
    "timeout": "нет ответа вовремя",
    "busy": "шлюз занят",
    "bad_reply": "ответ шлюза непонятен",
    "interrupted": "прервано",
    "terminated": "остановлено",
    "running": "идёт",
    "paused": "на паузе",
    "cancelled for good": "отменена",
    "finished": "окончена",
    "done": "сделано",
    "{done} of {count} recipients, {share}": "{done} из {count} получателей, {share}",
    "{done} of {count}": "{done} из {count}",
    "to be asked again": "спросить ещё раз",
    "shards": "порции",
    "speed": "скорость",
    "{rate} recipients/s": "{rate} получателей/с",
    "limit": "предел",
    "planned (UTC)": "запланирована (UTC)",
    "ended (UTC)": "завершена (UTC)",
    "worker": "исполнитель",
    "holds shards": "держит порции",
    "lease": "аренда",
    "expired": "истекла",
    "Cancel {campaign} for good? {count} recipients were not come to.": (
        "Отменить {campaign} навсегда? Не отправлено получателям: {count}."
    ),
    "nothing was changed": "ничего не изменено",
    "worker {name} is ready: {place}": "исполнитель {name} готов: {place}",
    "{store} cannot be reached just now; waiting for it ({error})": "{store} сейчас недоступен; ждём ({error})",
    "{sent} SMS were sent; asked for again, and answered with the first one: {again}": (
        "отправлено SMS: {sent}; запрошено повторно, отвечено прежним номером: {again}"
    ),
    "nobody works on it now": "сейчас никто над ней не работает",
    "{store} is reached again": "{store} снова доступен",
    "still waiting: {error}": "ждём дальше: {error}",
    "{campaign}, shard {shard}: given back, because it cannot be sent from here now: {error}": (
        "{campaign}, порция {shard}: возвращена, потому что отсюда сейчас не отправить: {error}"
    ),
    "{campaign}: its shards could not be handed out, which is tried again: {error}": (
        "{campaign}: порции не удалось раздать, попробуем снова: {error}"
    ),
    "{campaign}: halted: {error}": "{campaign}: прервана: {error}",
    "{campaign}, shard {shard}: given up: {error}": "{campaign}, порция {shard}: оставлена: {error}",
    "{campaign}: not sent from here: {error}": "{campaign}: отсюда не отправляется: {error}",
    "{campaign}: nothing is heard of the worker that oversees it; another one does from now on": (
        "{campaign}: исполнитель, который следил за ней, молчит; теперь следит другой"
    ),
    "it could not be looked at which campaigns run: {error}": "не удалось узнать, какие рассылки идут: {error}",
    "not started: {error}": "не начаты: {error}",
    "it goes on where workers run: {command}": "продолжат исполнители: {command}",
    "it is paused; to let it go on: {command}": "она на паузе; продолжить: {command}",
    "to send it, on every host that is to: {command}": "чтобы отправить, запустите на каждой машине: {command}",
    "to look at it: {command}": "посмотреть: {command}",
    "to ask again for {count}: {command}": "спросить ещё раз о {count}: {command}",
    (
        "{file} was moved or removed while it was written: its rows go where it was moved, and are lost if it was "
        "removed; with a journal, `webcom-async export` writes them all again"
    ): (
        "{file} перемещён или удалён во время записи: строки идут туда, куда его переместили, а если он удалён, "
        "потеряны; с журналом `webcom-async export` запишет их все снова"
    ),
    "{file} was moved or removed while it was written: its changes are where it was moved, or lost if it was removed": (
        "{file} перемещён или удалён во время записи: изменения там, куда его переместили, а если он удалён, потеряны"
    ),
    "first run": "первый запуск",
    "last run": "последний запуск",
}


def language() -> str:
    """Return the chosen language: `en` or `ru`."""
    return _language.get()


def tr(words: str, **values: object) -> str:
    """Return *words* in the chosen language, with *values* in their braces."""
    said = _RUSSIAN.get(words, words) if _language.get() == "ru" else words
    return said.format(**values) if values else said


def choose_language(given: str | None, environ: Mapping[str, str] = os.environ) -> None:
    """Speak *given*, or else the language of the environment; see `language_of`."""
    _language.set(given or language_of(environ))


def language_of(environ: Mapping[str, str]) -> str:
    """Return `ru` or `en`, after `WEBCOM_LANG`, or else the locale, as POSIX ranks its variables."""
    for name in ("WEBCOM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return "ru" if environ[name].casefold().startswith("ru") else "en"
    return "en"
