"""Events of the receiver of webhooks."""

from webcom_async._events.base import DEBUG, ERROR, Event

__all__ = ["PostRefused", "ReportsCommitted", "ReportsNotCommitted"]


class PostRefused(Event, frozen=True, tag="webhook_refused"):
    """
    A post to the receiver is refused.

    Attributes:
        status: The HTTP status of the answer.
        why: A word for the cause: path, address, method, coding, size, busy, slow, body or store.
    """

    sentence = "a webhook's post is refused with {status}: {why}"
    status: int
    why: str


class ReportsCommitted(Event, frozen=True):
    """
    The reports of a post are stored, and will be acknowledged.

    Attributes:
        reports: The number of reports.
    """

    level = DEBUG
    sentence = "{reports} delivery reports are stored"
    reports: int


class ReportsNotCommitted(Event, frozen=True):
    """
    The reports of a post could not be stored; the answer is 503, and the gateway sends them again.

    Attributes:
        reports: The number of reports.
        error: The store's own words for an error of this library; else the exception's type.
    """

    level = ERROR
    traceback = True
    sentence = "{reports} delivery reports could not be stored: {error}"
    reports: int
    error: str
