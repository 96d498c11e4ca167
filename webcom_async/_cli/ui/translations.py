"""
The command line's messages in English and Russian, from a gettext catalogue.

English is written where it is shown; `_cli/locale` has the Russian, and `python -m tests.catalogue` checks and compiles
it. A sentence of the library is translated by its template. Help, JSON, and what the catalogue lacks stay English.
"""

import gettext
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

from webcom_async._cli.ui.outputs import encodable
from webcom_async._domain.errors import WebcomError
from webcom_async._domain.sentences import Sentence

__all__ = ["choose_language", "explain", "gettext_noop", "language_of", "sentence", "tr", "tr_plural"]

_LOCALE = Path(__file__).parent.parent / "locale"
_CYRILLIC = "Ёя"
_ENGLISH = gettext.NullTranslations()
_catalogue: ContextVar[gettext.NullTranslations] = ContextVar("catalogue", default=_ENGLISH)


def tr(words: str, /, **values: object) -> str:
    translated = _catalogue.get().gettext(words)
    return translated.format(**values) if values else translated


def tr_plural(one: str, many: str, count: int, /, **values: object) -> str:
    """Fill the braces with *count* and *values*."""
    return _catalogue.get().ngettext(one, many, count).format(count=f"{count:,}", **values)


def gettext_noop(words: str) -> str:
    """Give the catalogue an entry for *words*, which a variable brings to `tr`."""
    return words


def sentence(said: str | Sentence) -> str:
    if isinstance(said, str):
        return said
    values = {
        name: sentence(value) if isinstance(value, Sentence) else value for name, value in said.parameters.items()
    }
    return tr(said.template, **values)


def explain(error: WebcomError) -> str:
    return sentence(error.sentence)


def choose_language(given: str | None, environ: Mapping[str, str] = os.environ) -> None:
    """Keep to English where stdout or stderr has no Cyrillic: escapes are unreadable."""
    language = given or language_of(environ)
    if not (encodable(_CYRILLIC, sys.stdout) and encodable(_CYRILLIC, sys.stderr)):
        language = "en"
    _catalogue.set(gettext.translation("webcom_async", _LOCALE, languages=[language], fallback=True))


def language_of(environ: Mapping[str, str]) -> str:
    """Follow `WEBCOM_LANG`, or else the locale, as POSIX ranks its variables."""
    for name in ("WEBCOM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return "ru" if environ[name].casefold().startswith("ru") else "en"
    return "en"
