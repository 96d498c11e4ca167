"""
Observers of events: the log, and those that a caller gives.

Observers cannot affect sending: their return values are ignored, and their exceptions are logged.
"""

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import TypeAlias

from webcom_async._domain.errors import ConfigurationError
from webcom_async._events.base import DEBUG, ERROR, Event

__all__ = ["Observer", "ObserverFailed", "Observers", "emit", "log"]

Observer: TypeAlias = Callable[[Event], object]

logger: logging.Logger = logging.getLogger("webcom_async")


class ObserverFailed(Event, frozen=True):
    """
    An observer has raised an exception; sending goes on. Logged once for each observer; observers do not see it.

    Attributes:
        observer: The observer's name.
        error: The type of the exception.
    """

    level = ERROR
    traceback = True
    sentence = "the observer {observer} raises {error}; sending goes on, and further failures of it are not logged"
    observer: str
    error: str


def log(event: Event) -> None:
    """Log *event* with the logger `webcom_async`: its sentence, and its fields."""
    if logger.isEnabledFor(event.level):
        logger.log(event.level, str(event), extra=event.fields, exc_info=event.traceback)


class Observers:
    """
    The log, and a caller's observers in their order.

    Args:
        observers: Plain functions of one event. They run in the event loop, so they must not block.

    Raises:
        ConfigurationError: An observer cannot be called, or is a coroutine function.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers: tuple[Observer, ...] = (log, *observers)
        self._failed: set[int] = set()
        for observer in self._observers:
            if not callable(observer) or iscoroutinefunction(observer) or iscoroutinefunction(type(observer).__call__):
                raise ConfigurationError(f"an observer is {observer!r}; it must be a plain function of one event")

    def listening(self, level: int = DEBUG) -> bool:
        """Whether an event of *level* has an observer."""
        return len(self._observers) > 1 or logger.isEnabledFor(level)

    def emit(self, event: Event) -> None:
        """Log *event*, and call every observer with it."""
        for place, observer in enumerate(self._observers):
            try:
                observer(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - observers and log filters are the caller's, and must not harm sending
                # Nothing is awaited here, so a cancellation is the observer's own, as of a future that it looks into.
                self._log_first_failure(place, observer, exc)

    def _log_first_failure(self, place: int, observer: Observer, exc: BaseException) -> None:
        if place not in self._failed:
            self._failed.add(place)
            name = getattr(observer, "__qualname__", type(observer).__qualname__)
            with suppress(Exception):
                log(ObserverFailed(observer=name, error=type(exc).__name__))

    @contextmanager
    def hearing(self) -> Generator[None, None, None]:
        """Have the function `emit` use these observers inside the block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


_current: ContextVar[Observers] = ContextVar("webcom_async_observers", default=Observers())  # noqa: B039 - it holds no events


def emit(event: Event) -> None:
    """
    Emit *event* to the observers of the block that is `hearing`; without one, only to the log.

    For HTTP transports, which have no client.
    """
    _current.get().emit(event)
