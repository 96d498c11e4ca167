"""
Convert between a journal's rows and values: arrays, messages, results.

Only the cache of messages keeps state. When and why rows are written is decided elsewhere.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

import msgspec

from webcom_async._domain.messages import Message, OutboundRecipient
from webcom_async._domain.outcome_rules import unclaimed
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = [
    "array",
    "asked",
    "columns",
    "counts",
    "from_wall_clock",
    "message_of",
    "milliseconds",
    "moment",
    "outcome_of",
    "result_of",
    "states",
    "storable",
    "storable_result",
    "stored_moment",
    "told_moment",
    "unsettled_of",
]

# Exact from the year 1 to 9999; a float of seconds may round to an invalid date.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_CUT_SHORT = "the run ended before an answer was recorded"


def milliseconds(when: datetime) -> int:
    """Return milliseconds since 1970; *when* is aware."""
    return (when - _EPOCH) // _MILLISECOND


def moment(stamp: int) -> datetime:
    return _EPOCH + stamp * _MILLISECOND


def stored_moment(when: datetime | None) -> str | None:
    """Return a UTC moment in ISO 8601, with its offset."""
    return None if when is None else when.isoformat()


def told_moment(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored).astimezone(UTC)


def from_wall_clock(stored: str | None, zone: tzinfo) -> str | None:
    """
    Return a moment as journals keep it, from a text that any version has stored.

    Versions before 5 stored the clock in *zone*: `2030-01-02 10:00:00` or `2030-01-02 10:00`.
    """
    if stored is None:
        return None
    when = datetime.fromisoformat(stored)
    return stored_moment((when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC))


def array(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()


# A campaign has few texts and many recipients.
@lru_cache(maxsize=256)
def message_of(content: str) -> Message:
    return msgspec.json.decode(content, type=Message)


def asked(to: OutboundRecipient) -> tuple[object, ...]:
    """Return the columns of *to* that `RESERVE_AGAIN` takes."""
    return (to.client_id_sms, stored_moment(to.validity_period), stored_moment(to.time_send), to.number_sms)


def unsettled_of(row: Sequence[Any], moment: Callable[[Any], datetime | None]) -> tuple[Message, OutboundRecipient]:
    """*row* has content, phone, client_id_sms, validity_period, time_send, number_sms."""
    content, phone, client_id, validity_period, time_send, number_sms = row
    return message_of(content), OutboundRecipient(
        Phone(phone), ClientIdSms(str(client_id)), moment(validity_period), moment(time_send), number_sms
    )


def result_of(row: Sequence[Any]) -> SendResult:
    """*row* has client_id_sms, phone, state, id_sms, reason, error, attempts."""
    client_id, phone, state, id_sms, reason, error, attempts = row
    outcome, why = outcome_of(state, reason)
    words = _CUT_SHORT if state == RESERVED else error
    return unclaimed(SendResult(ClientIdSms(str(client_id)), Phone(phone), outcome, id_sms, why, words, attempts))


def outcome_of(state: str, reason: str) -> tuple[Outcome, Reason]:
    """A recipient that is reserved and never settled is unknown."""
    return (Outcome.UNKNOWN, Reason.CANCELLED) if state == RESERVED else (Outcome(state), Reason(reason))


def states(outcomes: Iterable[Outcome]) -> list[str]:
    """No *outcomes* means all."""
    wanted = set(outcomes) or set(Outcome)
    return [*(each.value for each in wanted), *([RESERVED] if Outcome.UNKNOWN in wanted else [])]


def counts(rows: Iterable[tuple[str, str, int]]) -> tuple[dict[Outcome, int], dict[Reason, int]]:
    """Reasons leave out accepted recipients, and the most frequent come first."""
    outcomes, reasons = dict.fromkeys(Outcome, 0), dict[Reason, int]()
    for state, reason, count in rows:
        outcome, why = outcome_of(state, reason)
        outcomes[outcome] += count
        if outcome is not Outcome.ACCEPTED:
            reasons[why] = reasons.get(why, 0) + count
    return outcomes, dict(sorted(reasons.items(), key=lambda each: (-each[1], each[0].value)))


def columns(result: SendResult) -> tuple[object, ...]:
    """Return a row for `SETTLE`."""
    return (
        result.client_id_sms,
        result.phone,
        result.outcome.value,
        None if result.id_sms is None else storable(result.id_sms),
        result.reason.value,
        storable(result.error),
        result.attempts,
    )


def storable_result(result: SendResult) -> SendResult:
    return msgspec.structs.replace(
        result, client_id_sms=storable(result.client_id_sms), phone=storable(result.phone), error=storable(result.error)
    )


def storable(text: str) -> str:
    """Replace what SQLite's JSON cannot carry: lone surrogates, and NUL."""
    return text if text.isprintable() else text.replace("\0", "\ufffd").encode(errors="replace").decode()


RESERVED = "reserved"  # the only state that is not an outcome
