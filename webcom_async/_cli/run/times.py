"""Times as people type them: `4h`, `2030-01-31 18:00`, `09:00-20:00`."""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from webcom_async._domain.errors import InputError
from webcom_async._domain.zones import find_zone
from webcom_async.audience.calling_hours import CallingHours

__all__ = ["hours_of", "is_span", "moment_of", "zone_of"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_duration = re.compile(r"(\d{1,6})([mhd])").fullmatch


def zone_of(name: str) -> tzinfo:
    zone = find_zone(name)
    if zone is None:
        raise InputError(f"{name!r} is no time zone: try Europe/Moscow or UTC, or install the tzdata package")
    return zone


def is_span(words: str | None) -> bool:
    """Whether *words* are a span such as `4h`."""
    return words is not None and _duration(words.strip()) is not None


def moment_of(words: str | None, zone: tzinfo, now: datetime) -> datetime | None:
    """*words* are a span from now, or a date and a time in *zone*."""
    if words is None:
        return None
    span = _duration(words.strip())
    if span:
        return (now + timedelta(**{_UNITS[span[2]]: int(span[1])})).astimezone(UTC)
    try:
        moment = datetime.fromisoformat(words.strip())
    except ValueError:
        raise InputError(f"{words!r} is neither a span such as 4h nor a moment such as 2030-01-31 18:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def hours_of(words: str, zone: tzinfo) -> CallingHours:
    """Return hours in people's own zones if the extra `phones` is here, else in *zone*."""
    try:
        opens, closes = (time.fromisoformat(part.strip()) for part in words.split("-"))
    except ValueError:
        raise InputError(f"{words!r} is no span of hours such as 09:00-20:00") from None
    try:
        from webcom_async.audience.phonebook import zones_of  # noqa: PLC0415 - an extra
    except ImportError:
        return CallingHours(opens, closes, zone)
    return CallingHours(opens, closes, zone, zones_of)
