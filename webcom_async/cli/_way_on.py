"""The command that goes on where one was stopped."""

import shlex
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

from webcom_async.cli._words import tr

__all__ = ["remember_command", "way_on"]

_ASCII = 0x80
_command: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


def remember_command(words: Sequence[str]) -> None:
    """Remember what was typed after the program's name."""
    _command.set(tuple(words))


def way_on(campaign: str, results: Path | None = None, journal: Path | None = None, *, made_up: bool = False) -> str:
    """
    Return what to do after a campaign was stopped: the same command, with the campaign's name.

    Args:
        campaign: Its name, which may have been made up.
        results: A file that the command has written.
        journal: The journal, with which the command puts that file aside by itself.
        made_up: Whether the command did not give the name.
    """
    words = [*_command.get()]
    if made_up:
        end = words.index("--") if "--" in words else len(words)
        words[end:end] = ["--campaign", campaign]
    command = tr("to send to the rest: {command}", command=" ".join(["webcom-async", *map(_quoted, words)]))
    return command if results is None or journal is not None else f"{command}, {tr('with another file for --results')}"


def _quoted(word: str) -> str:
    """Return *word* for a shell; what no terminal shows as it is, or a message would lose, as an escape of bash's."""
    if word.isprintable() and "  " not in word:
        return shlex.quote(word)
    shown = (each if each.isprintable() and each not in "\\' " else _escape(each) for each in word)
    return f"$'{''.join(shown)}'"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < _ASCII else f"\\U{code:08x}"
