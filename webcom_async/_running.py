"""Run a script's main function, and end it as a command does."""

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

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

    A `WebcomError` that leaves *main*, also as the only error of a task group, is one line on stderr, with the counts
    of the campaign that it ended, instead of a traceback. It ends the script with status 2 if call, settings, journal
    or credentials are wrong, and with 3 if the gateway or the network failed. Any other exception, Ctrl-C's
    `KeyboardInterrupt` too, leaves `run` as it is.

    Args:
        main: An async function without arguments.
        backend: The event loop: `asyncio` or `trio`.

    Raises:
        SystemExit: *main* raised a `WebcomError`, which is its cause.
    """
    try:
        return anyio.run(main, backend=backend)
    except (WebcomError, ExceptionGroup) as exc:
        error = _only_error(exc)
        if not isinstance(error, WebcomError):
            raise
        raise SystemExit(_print_error(error)) from error


def _only_error(exc: Exception) -> Exception:
    if not isinstance(exc, ExceptionGroup):
        return exc
    group = cast("ExceptionGroup[Exception]", exc)
    return _only_error(group.exceptions[0]) if len(group.exceptions) == 1 else group


def _print_error(error: WebcomError) -> int:
    """Print the line, and return the status."""
    counts = "" if error.report is None else f" ({error.report})"
    sys.stderr.write(f"{type(error).__name__}: {error}{counts}\n")
    wrong = isinstance(error, AuthenticationError | ConfigurationError | InputError | JournalError | UsageError)
    return _BAD_INPUT if wrong else _ENDED_EARLY
