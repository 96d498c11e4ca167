"""
Calling hours: when recipients may be sent to, by their local time.

Pure: the moment is an argument. A recipient's zone follows from the phone where the numbering plan gives one zone, and
for Kazakhstan, which shares +7 with Russia and has one zone. Russian mobiles, and numbers of other countries with
several zones, do not tell where they are: the caller names one zone for all of these, and its night is theirs.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache

from webcom_async._domain.errors import InputError
from webcom_async._domain.types import Phone
from webcom_async._domain.zones import KAZAKH_ZONE, find_zone
from webcom_async.audience import Person

__all__ = ["CallingHours", "Rounds"]

# +7 6xx and +7 7xx: Kazakhstan's numbering plan, ITU-T. The rest of +7 is Russia.
_is_kazakh = re.compile(r"7[67][0-9]{9}").fullmatch


class CallingHours:
    """
    Hours of the day.

    Args:
        opens: The start, inclusive.
        closes: The end, exclusive, on the same day.
        zone: The zone of recipients whose phone does not give one.
        zones_of: A function that returns the possible zones of a phone, as tz database names. One that is not known
            here counts as none.

    Raises:
        InputError: The hours close before they open, or have a time zone.
    """

    def __init__(
        self,
        opens: time,
        closes: time,
        zone: tzinfo,
        zones_of: Callable[[Phone], tuple[str, ...]] = lambda _: (),
    ) -> None:
        if not opens < closes or opens.tzinfo or closes.tzinfo:
            raise InputError(f"hours from {opens} to {closes}: they open before they close, and have no zone")
        self._opens = opens
        self._closes = closes
        self._zone = zone
        self.zones_of = zones_of

    def zone(self, phone: Phone) -> tzinfo:
        """Return the zone of *phone*."""
        zones = self.zones_of(phone)
        found = _zone(zones[0]) if len(zones) == 1 else None
        if found is None and _is_kazakh(phone):
            found = _zone(KAZAKH_ZONE)
        return self._zone if found is None else found

    def is_open(self, moment: datetime, zone: tzinfo) -> bool:
        """Return whether a recipient in *zone* may be sent to at *moment*, which is aware."""
        return self._opens <= moment.astimezone(zone).time() < self._closes

    def next_opening(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the first moment, from *moment* on, when a recipient in *zone* may be sent to."""
        if self.is_open(moment, zone):
            return moment
        here = moment.astimezone(zone)
        day = here.date() + timedelta(days=here.time() >= self._opens)
        return datetime.combine(day, self._opens, zone)


class Rounds:
    """
    A campaign in rounds: each passes over all rows, and defers those whose hours are closed.

    Memory: one number for each zone.

    Args:
        people: A function that yields all rows, in the same order at every call.
        hours: The calling hours.
        now: A function that returns the current time.
    """

    def __init__(
        self, people: Callable[[], Iterable[Person]], hours: CallingHours, now: Callable[[], datetime]
    ) -> None:
        self._people = people
        self._hours = hours
        self._now = now
        self._deferred: dict[tzinfo, int] | None = None

    @property
    def opening(self) -> datetime | None:
        """When the next round begins; None if no recipient is left."""
        if self._deferred is None:
            return self._now()
        return min((self._hours.next_opening(self._now(), zone) for zone in self._deferred), default=None)

    def people(self) -> Iterator[Person]:
        """Yield the rows whose hours are open. The first round yields the skipped rows too."""
        before, self._deferred = self._deferred, {}
        for number, person in enumerate(self._people()):
            if person.recipient is None:
                if before is None:
                    yield person
                continue
            zone = self._hours.zone(Phone(str(person.recipient.phone)))
            if before is not None and (zone not in before or number < before[zone]):
                continue
            if zone in self._deferred or not self._hours.is_open(self._now(), zone):
                self._deferred.setdefault(zone, number)
            else:
                yield person


@lru_cache(maxsize=512)
def _zone(name: str) -> tzinfo | None:
    return find_zone(name)
