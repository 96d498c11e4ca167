"""
Standard streams that never end a command.

A stream may be closed or full, its reader may have left, and its encoding may lack letters. None of that decides
about sending, or about the exit code.
"""

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

__all__ = ["SafeStream", "encodable", "safe_outputs"]

_CLOSED = "it is closed"
_STANDARD = 2  # the highest number of a standard stream
# Signs of our own tables and messages; letters of a name or a text become Python escapes, which lose nothing.
_PLAIN = str.maketrans(
    {"×": "x", "…": "...", "–": "-", "—": "-", "→": "->", "«": '"', "»": '"', "━": "-", "─": "-", "\u00a0": " "}
)


def encodable(text: str, stream: TextIO | None) -> bool:
    """Whether the encoding of *stream* has all characters of *text*; a stream without an encoding has all."""
    encoding = getattr(stream, "encoding", None)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class SafeStream(io.TextIOBase):
    """
    Write to another stream, and drop what it does not take.

    Each write is tried, because a full disk may have room again.

    Args:
        stream: The other stream; None if it is closed.
        told: Called once, with the reason, when something is dropped.
    """

    def __init__(self, stream: TextIO | None, told: Callable[[str], None] = lambda _: None) -> None:
        self._stream = stream
        self._told = told
        self._failed = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed by the program that runs the command
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation(_CLOSED)
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        try:
            self._write(text)
        except UnicodeEncodeError:
            plain = text.translate(_PLAIN).encode(self.encoding, "backslashreplace")
            return self.write(plain.decode(self.encoding))
        except (OSError, ValueError) as exc:
            self._fail(exc)
        return len(text)

    def flush(self) -> None:
        self._flush()

    def leave(self) -> None:
        """Redirect what cannot be written to the null device: the interpreter would try it again when it ends."""
        if self._stream is None or self._flush():
            return
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            self._stream.flush()

    def _write(self, text: str) -> None:
        if self._stream is None:
            raise ValueError(_CLOSED)
        self._stream.write(text)

    def _flush(self) -> bool:
        try:
            if self._stream is not None:
                self._stream.flush()
        except OSError as exc:
            self._fail(exc)
            return False
        except ValueError:  # it is closed: `write` says so
            pass
        return True

    def _fail(self, exc: Exception) -> None:
        if not self._failed:
            self._failed = True
            self._told(getattr(exc, "strerror", None) or _CLOSED)


@contextmanager
def safe_outputs() -> Generator[None, None, None]:
    """Let the standard streams be safe while the block runs, and say on stderr if stdout loses something."""
    _reserve_numbers()
    before = sys.stdout, sys.stderr
    errors = SafeStream(sys.stderr)
    output = SafeStream(sys.stdout, lambda why: _tell(errors, why))
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", errors)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        output.leave()
        errors.leave()


def _tell(errors: SafeStream, why: str) -> None:
    errors.write(f"webcom-async: the output could not be written: {why}\n")


def _reserve_numbers() -> None:
    """Open closed standard descriptors: a journal or a socket would get their numbers, and what is printed to them."""
    number = os.open(os.devnull, os.O_RDWR)
    while number <= _STANDARD:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
