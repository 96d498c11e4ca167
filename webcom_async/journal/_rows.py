"""
A journal's rows as values: arrays for the statements, messages by number, results as columns.

Pure but for the numbering of messages. It may not know when a row is written, or why.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from webcom_async._books import digest
from webcom_async._client_ids import ClientIdSms
from webcom_async._phones import Phone
from webcom_async._reasons import Reason
from webcom_async._wire import WirePhone
from webcom_async.journal import _sql
from webcom_async.models import Message, Outcome, SendResult

__all__ = [
    "Statements",
    "array",
    "asked",
    "columns",
    "message_of",
    "number_messages",
    "outcome_of",
    "result_of",
    "storable",
]

_CUT_SHORT = "the run ended before an answer was recorded"


class Statements(Protocol):
    """What runs the statements of `_sql`."""

    def fetch(self, statement: str, *parameters: object) -> list[Any]:
        """Return the rows of *statement*."""
        ...

    def change(self, statement: str, *parameters: object) -> int:
        """Run *statement* and return how many rows it changed."""
        ...


def array(values: Iterable[object]) -> str:
    """Return *values* as one parameter."""
    return msgspec.json.encode(list(values)).decode()


def number_messages(file: Statements, contents: Sequence[bytes]) -> list[int]:
    """Store messages, as JSON, that the file does not have, and return the numbers of all."""
    digests = [digest(content) for content in contents]
    # A dict, because a message may come twice in a batch.
    file.change(_sql.ADD_MESSAGES, array(dict(zip(digests, map(bytes.decode, contents), strict=True)).items()))
    numbers: dict[str, int] = dict(file.fetch(_sql.FIND_MESSAGES, array(digests)))
    return [numbers[digest] for digest in digests]


# A campaign has few texts and many recipients.
@lru_cache(maxsize=256)
def message_of(content: str) -> Message:
    """Return the message that is stored as *content*."""
    return msgspec.json.decode(content, type=Message)


def asked(to: WirePhone) -> tuple[object, ...]:
    """Return *to* as a row of `_sql.RESERVE_AGAIN`."""
    return (to.client_id_sms, to.validity_period, to.time_send, to.number_sms)


def result_of(row: Sequence[Any]) -> SendResult:
    """Return what a row says: client_id_sms, phone, state, id_sms, reason, error, attempts."""
    client_id, phone, state, id_sms, reason, error, attempts = row
    outcome, why = outcome_of(state, reason)
    words = _CUT_SHORT if state == _sql.RESERVED else error
    return SendResult(ClientIdSms(str(client_id)), Phone(phone), outcome, id_sms, why, words, attempts)


def outcome_of(state: str, reason: str) -> tuple[Outcome, Reason]:
    """Return what a row's state says, and why: who was reserved and never settled is unknown."""
    return (Outcome.UNKNOWN, Reason.CANCELLED) if state == _sql.RESERVED else (Outcome(state), Reason(reason))


def columns(result: SendResult) -> tuple[object, ...]:
    """Return *result* as a row of `_sql.SETTLE`."""
    return (
        result.client_id_sms,
        result.phone,
        result.outcome.value,
        None if result.id_sms is None else storable(result.id_sms),
        result.reason.value,
        storable(result.error),
        result.attempts,
    )


def storable(text: str) -> str:
    """Return *text* without what SQLite's JSON cannot carry: halves of characters, and NUL."""
    return text if text.isprintable() else text.replace("\0", "\ufffd").encode(errors="replace").decode()
