"""
Calling hours: when people may be sent to, by their own clocks.

Pure: the moment is an argument. A recipient's zone is the one that the numbering plan gives their phone, where it
gives one; a Russian mobile's number, like most, tells the country and not the place, so that a zone for everyone else
is named.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from webcom_async._domain.errors import InputError
from webcom_async._domain.types import Phone
from webcom_async.audience import Person

__all__ = ["CallingHours", "Rounds"]


class CallingHours:
    """
    Hours of the day.

    Args:
        opens: The first moment of them.
        closes: The first moment after them, on the same day.
        zone: Of everyone whose phone does not tell.
        zones_of: Which zones a phone may be in, as tz database names.

    Raises:
        InputError: They close before they open.
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
        return _zone(zones[0]) if len(zones) == 1 else self._zone

    def is_open(self, moment: datetime, zone: tzinfo) -> bool:
        """Whether someone in *zone* may be sent to at *moment*, an aware one."""
        return self._opens <= moment.astimezone(zone).time() < self._closes

    def next_opening(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the first moment from *moment* on at which someone in *zone* may be sent to."""
        if self.is_open(moment, zone):
            return moment
        here = moment.astimezone(zone)
        day = here.date() + timedelta(days=here.time() >= self._opens)
        return datetime.combine(day, self._opens, zone)


class Rounds:
    """
    A campaign in rounds: each goes through everyone, and leaves out those whose hours are over.

    Memory: one number for each zone.

    Args:
        people: Everyone, in the same order at every call.
        hours: When they may be sent to.
        now: The time.
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
        """When the next round begins; None if nobody is left."""
        if self._deferred is None:
            return self._now()
        return min((self._hours.next_opening(self._now(), zone) for zone in self._deferred), default=None)

    def people(self) -> Iterator[Person]:
        """Yield those whose hours have come; who is left out for good comes in the first round."""
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
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
