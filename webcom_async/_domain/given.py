"""
Text that a caller gives as a name, a key, a path or an address.

Empty text is none of these: as a rule it is a variable that was never set, and taking it for "left out" would give a
campaign another name, or a message another way, than its author meant.
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
    Look whether *given* holds anything; what is not a `str` is left to others.

    Args:
        what: What the caller knows it by.
        given: The text.
        error: What to raise.
        advice: What to do.

    Raises:
        WebcomError: It is empty, or holds white space only.
    """
    if isinstance(given, str) and not _seen(given):
        raise error(f"{what} is {'blank' if given else 'empty'}: {advice}")


def campaign_name(given: object) -> str:
    """
    Return the name of a campaign that may exist already.

    Raises:
        InputError: It is not a `str`, is empty, or holds white space only.
    """
    if not isinstance(given, str):
        raise InputError(f"campaign is {given!r}; it must be a name, or left out")
    refuse_blank("campaign", given)
    return given


def new_name_error(campaign: str) -> InputError | None:
    """
    Return why no campaign may begin under this name; None if one may.

    Ids are derived from the name as it stands, so that `spring` sends a second SMS to everyone who has one from
    `spring` with a line end, as a shell or a file may add it. Earlier releases took such names: a campaign that is
    under way goes on under its own.
    """
    seen = _seen(campaign)
    if campaign == seen:
        return None
    return InputError(
        f"campaign {campaign!r} begins or ends with white space, which makes it another campaign than "
        f"{seen!r}: leave the white space out"
    )


def _seen(text: str) -> str:
    """Return *text* without what is not seen at its ends: white space, and marks as editors leave them in a file."""
    text = text.strip()
    while text and not text.isprintable() and (_is_hidden(text[0]) or _is_hidden(text[-1])):
        text = (text[1:] if _is_hidden(text[0]) else text[:-1]).strip()
    return text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN


def variable(environ: Mapping[str, str], name: str) -> str | None:
    """
    Return a variable of the environment; None if it is not set.

    Raises:
        ConfigurationError: It is set, and empty or blank: what it stands for cannot be guessed.
    """
    given = environ.get(name)
    refuse_blank(name, given, ConfigurationError, advice="give it a value, or unset it")
    return given
