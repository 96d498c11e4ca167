"""The command that goes on where one was stopped."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

from webcom_async._cli.run.store_location import without_password
from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.outputs import encodable
from webcom_async._cli.ui.translations import tr

__all__ = ["command_line", "remember_command", "same_command", "tell_name", "way_on"]

_SYNTAX = "\\' "
_command: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


def remember_command(words: Sequence[str]) -> None:
    _command.set(tuple(words))


def way_on(campaign: str, results: Path | None = None, journal: Path | None = None, *, made_up: bool = False) -> str:
    """If *made_up*, the command did not give the name; with a *journal*, it puts *results* aside by itself."""
    command = tr("to send to the rest: {command}", command=same_command(campaign, made_up=made_up))
    return command if results is None or journal is not None else f"{command}, {tr('with another file for --results')}"


def tell_name(campaign: str) -> None:
    """Say the name before anything leaves: `kill -9` leaves no time for it."""
    say_aside(tr("campaign {name}; if this is cut short, go on with --campaign {name}", name=campaign))


def same_command(campaign: str, *, made_up: bool) -> str:
    """Return what was typed, with the name of the *campaign* if that was *made_up*, and without passwords."""
    words = [*_command.get()]
    if made_up:
        end = words.index("--") if "--" in words else len(words)
        words[end:end] = ["--campaign", campaign]
    return command_line(*words)


def command_line(*words: str) -> str:
    """Quote *words* for a shell, without passwords."""
    return " ".join(["webcom-async", *(_quoted(_without_password(word)) for word in words)])


def _without_password(word: str) -> str:
    """*word* may be a URL, or an option and a URL."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{without_password(value)}"


def _quoted(word: str) -> str:
    """
    Escape as bash does what no terminal shows as it is, what a message would lose, and what stderr cannot encode.

    A name that came out otherwise would be another campaign.
    """
    if _shown(word) and "  " not in word:
        return shlex.quote(word)
    return f"$'{''.join(each if _shown(each) and each not in _SYNTAX else _escape(each) for each in word)}'"


def _shown(text: str) -> bool:
    return text.isprintable() and encodable(text, sys.stderr)


def _escape(character: str) -> str:
    """Return the bytes that the shell gave, which no locale changes."""
    try:
        given = os.fsencode(character)
    except UnicodeEncodeError:  # no shell gave it
        given = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in given)
