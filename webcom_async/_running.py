"""Run a script's main function, and end it as a command does."""

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from webcom_async._domain.errors import (
    AuthenticationError,
    ConfigurationError,
    InputError,
    JournalError,
    UsageError,
    WebcomError,
)

__all__ = ["run"]

T = TypeVar("T")

_BAD_INPUT, _ENDED_EARLY = 2, 3  # as the command line has them


def run(main: Callable[[], Awaitable[T]], *, backend: str = "asyncio") -> T:
    """
    Run *main* in an event loop of its own, and return what it returns, as `anyio.run` does.

    A `WebcomError` that leaves *main* is one line on stderr, with the counts of the campaign that it ended, instead of
    a traceback. It ends the script with status 2 if call, settings, journal or credentials are wrong, and with 3 if the
    gateway or the network failed. Any other exception, Ctrl-C's `KeyboardInterrupt` too, leaves `run` as it is.

    Args:
        main: An async function without arguments.
        backend: The event loop: `asyncio` or `trio`.

    Raises:
        SystemExit: *main* raised a `WebcomError`, which is its cause.
    """
    try:
        return anyio.run(main, backend=backend)
    except WebcomError as exc:
        counts = "" if exc.report is None else f" ({exc.report})"
        sys.stderr.write(f"{type(exc).__name__}: {exc}{counts}\n")
        wrong = isinstance(exc, AuthenticationError | ConfigurationError | InputError | JournalError | UsageError)
        raise SystemExit(_BAD_INPUT if wrong else _ENDED_EARLY) from exc
