"""
Check text that a caller gives as a name, a key, a path or an address.

Empty text is refused: as a rule it is a variable that was never set. If it meant "left out", a campaign would get
another name, or a message another route, than its author meant.
"""

import unicodedata
from collections.abc import Mapping

from webcom_async._domain.errors import ConfigurationError, InputError, WebcomError

__all__ = ["campaign_name", "new_name_error", "refuse_blank", "variable"]

_HIDDEN = frozenset({"Cc", "Cf"})  # controls and marks, such as a byte order mark


def refuse_blank(
    what: str,
    given: object,
    error: type[WebcomError] = InputError,
    *,
    advice: str = "give it a value, or leave it out",
) -> None:
    """
    Raise *error* if *given* is empty or white space; values other than `str` pass.

    *what* is the caller's name for it, and *advice* what the caller can do.
    """
    if isinstance(given, str) and not _seen(given):
        raise error(f"{what} is {'blank' if given else 'empty'}: {advice}")


def campaign_name(given: object) -> str:
    if not isinstance(given, str):
        raise InputError(f"campaign is {given!r}; it must be a name, or left out")
    refuse_blank("campaign", given)
    return given


def new_name_error(campaign: str) -> InputError | None:
    """
    Return why a new campaign may not have this name; None if it may.

    Ids are derived from the exact name: `spring` with a line end, which a shell or a file may add, would send every
    recipient of `spring` a second SMS. Existing campaigns of earlier releases keep such names.
    """
    seen = _seen(campaign)
    if campaign == seen:
        return None
    return InputError(
        f"campaign {campaign!r} begins or ends with white space, which makes it another campaign than "
        f"{seen!r}: leave the white space out"
    )


def _seen(text: str) -> str:
    """Return *text* without white space and invisible marks at its ends."""
    text = text.strip()
    while text and not text.isprintable() and (_is_hidden(text[0]) or _is_hidden(text[-1])):
        text = (text[1:] if _is_hidden(text[0]) else text[:-1]).strip()
    return text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN


def variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return a variable of the environment, and refuse a blank one."""
    given = environ.get(name)
    refuse_blank(name, given, ConfigurationError, advice="give it a value, or unset it")
    return given
