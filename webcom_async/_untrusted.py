"""
Text from outside, made safe to show.

The gateway's words and a file's cells reach terminals and spreadsheets. Pure functions on text.
"""

import unicodedata
from collections.abc import Sequence

__all__ = ["csv_cell", "listed", "printable"]

_REPLACEMENT = "\ufffd"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, bidi marks, half characters, separators
_LISTED, _LONGEST = 12, 40  # names, and characters of each
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal, or hide, replaced by `U+FFFD`."""
    if text.isprintable():  # none of these, nor a blank that is no space
        return text
    return "".join(_REPLACEMENT if unicodedata.category(character) in _HIDDEN else character for character in text)


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return *names* for a message: printable, and not all of them if they are many or long."""
    told = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in names[:_LISTED]]
    more = len(names) - len(told)
    return printable(separator.join(told)) + (f" and {more:,} more" if more > 0 else "")


def csv_cell(text: str) -> str:
    """Return *text* so that a spreadsheet takes it for text: a formula's first character gets a quote before it."""
    return printable(f"'{text}" if text.startswith(_FORMULA) else text)
