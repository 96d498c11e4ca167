"""The command that goes on where one was stopped."""

import shlex
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

from webcom_async.cli._words import tr

__all__ = ["remember_command", "way_on"]

_command: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


def remember_command(words: Sequence[str]) -> None:
    """Remember what was typed after the program's name."""
    _command.set(tuple(words))


def way_on(campaign: str, results: Path | None = None, journal: Path | None = None) -> str:
    """
    Return what to do after a campaign was stopped: the same command, with the campaign's name.

    Args:
        campaign: Its name, which may have been made up.
        results: A file that the command has written.
        journal: The journal, with which the command puts that file aside by itself.
    """
    words = [*_command.get()]
    if not any(word == "--campaign" or word.startswith("--campaign=") for word in words):
        words += ["--campaign", campaign]
    command = tr("to send to the rest: {command}", command="webcom-async " + shlex.join(words))
    return command if results is None or journal is not None else f"{command}, {tr('with another file for --results')}"
