"""
How a report updates what is known of an SMS, in whatever order reports arrive.

Pure. Reports are repeated, lost and reordered; none of that changes a final state or restores an earlier one.
"""

from datetime import UTC, datetime

import msgspec

from webcom_async._domain.delivery import DeliveryReport, DeliveryState, Pace

__all__ = ["ENDED", "advanced", "wait_before_asking"]

_DOUBLINGS = 64  # beyond any wait
_SHORTEST = 1.0  # seconds
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

# The states that may follow a final one. `partly_deliver` means that no status came, so a late status is more exact.
_FOLLOWS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.DELIVER: frozenset({DeliveryState.READ}),
    DeliveryState.PARTLY_DELIVER: frozenset(
        {DeliveryState.DELIVER, DeliveryState.READ, DeliveryState.NOT_DELIVER, DeliveryState.EXPIRED}
    ),
}

ENDED: frozenset[DeliveryState] = frozenset(state for state in DeliveryState if state.final) - _FOLLOWS.keys()
"""States that no other state follows."""


def advanced(known: DeliveryReport | None, news: DeliveryReport) -> DeliveryReport:
    """Return the report that holds after *news* of the same SMS: *known* itself if there is nothing new."""
    if known is None:
        return news
    if not _goes_forward(known, news):
        return _with_price(known, news)
    return _with_price(news, known)


def wait_before_asking(asked: int, pace: Pace) -> float:
    """
    Return the seconds to wait after *asked* questions about an SMS.

    The first question may be sent at once; later waits are at least a second.
    """
    first = max(pace.first, _SHORTEST) if asked else pace.first
    try:
        return min(first * float(pace.factor) ** min(asked, _DOUBLINGS), pace.longest)
    except OverflowError:
        return pace.longest


def _goes_forward(known: DeliveryReport, news: DeliveryReport) -> bool:
    if known.final:
        return news.state in _FOLLOWS.get(known.state, ())
    if news.final:
        return True
    if (news.state, news.said) == (known.state, known.said):
        return known.changed_at is None and news.changed_at is not None
    # Neither is final, so the later one counts; `send` has no time, and is the earliest.
    later = (news.changed_at or _LONG_AGO) > (known.changed_at or _LONG_AGO)
    return later or (known.state is DeliveryState.SEND and known.changed_at is None)


def _with_price(report: DeliveryReport, other: DeliveryReport) -> DeliveryReport:
    num_parts = other.num_parts if report.num_parts is None else report.num_parts
    price = other.price if report.price is None else report.price
    if num_parts == report.num_parts and price == report.price:
        return report
    return msgspec.structs.replace(report, num_parts=num_parts, price=price)
