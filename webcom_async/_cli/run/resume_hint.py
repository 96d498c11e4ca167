"""The command that goes on where one was stopped."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from itertools import count
from os.path import lexists
from pathlib import Path
from typing import cast

from webcom_async._cli.options import NO_FILE_OPTIONS, FileOptions
from webcom_async._cli.run.store_location import without_password
from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.outputs import encodable
from webcom_async._cli.ui.translations import tr

__all__ = ["command_line", "remember_command", "same_command", "tell_name", "way_on", "way_to_results"]

_SYNTAX = "\\' "
_command: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


def remember_command(words: Sequence[str]) -> None:
    _command.set(tuple(words))


def way_on(campaign: str, results: Path | None = None, journal: Path | None = None, *, made_up: bool = False) -> str:
    """If *made_up*, the command did not give the name; with a *journal*, it puts *results* aside by itself."""
    again = same_command(campaign, made_up=made_up)
    return tr("to send to the rest: {command}", command=again if journal is not None else _elsewhere(again, results))


def way_to_results(
    results: Path | None,
    journal: Path | None,
    campaign: str,
    *,
    file: Path | None = None,
    text: str | None = None,
    options: FileOptions = NO_FILE_OPTIONS,
    made_up: bool = False,
) -> str:
    """
    Return the command that writes all results of a campaign into a new file.

    Without a *journal* that is the same command: the gateway answers it with what it has sent.
    """
    if results is None or journal is None:
        return _elsewhere(same_command(campaign, made_up=made_up), results)
    words = ["export", str(_free(results)), *_option("--journal", journal), *_option("--campaign", campaign)]
    if file is not None:
        words += [*_option("--file", file), *_option("--text", text), *_options(options)]
    return command_line(*words)


def _elsewhere(command: str, results: Path | None) -> str:
    return command if results is None else f"{command}, {tr('with another file for --results')}"


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(name for name in names if not lexists(name))


def _options(given: FileOptions) -> Iterator[str]:
    for field in dataclasses.fields(given):
        value: object = getattr(given, field.name)
        for each in cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,):
            yield from _option(f"--{field.name.replace('_', '-')}", each)


def _option(name: str, value: object) -> list[str]:
    """A value with a hyphen before it would be read as an option."""
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    return [f"{name}={value}"] if str(value).startswith("-") else [name, str(value)]


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
