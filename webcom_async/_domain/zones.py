"""Time zones by their names in the tz database."""

from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["DEFAULT_ZONE", "KAZAKH_ZONE", "find_zone"]

DEFAULT_ZONE = "Europe/Moscow"
KAZAKH_ZONE = "Asia/Almaty"

# For machines without a tz database. Moscow has kept UTC+3 since 2014, and all of Kazakhstan UTC+5 since March 2024.
_FIXED: dict[str, tzinfo] = {
    "UTC": UTC,
    "Etc/UTC": UTC,
    DEFAULT_ZONE: timezone(timedelta(hours=3), DEFAULT_ZONE),
    KAZAKH_ZONE: timezone(timedelta(hours=5), KAZAKH_ZONE),
}


def find_zone(name: str) -> tzinfo | None:
    """Return the zone of that name; None if it is not known here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        return _FIXED.get(name) if isinstance(name, str) else None
