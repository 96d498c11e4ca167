"""
Make text from outside safe to show.

The gateway's words and a file's cells reach terminals and spreadsheets. Pure functions on text.
"""

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["csv_cell", "csv_text", "listed", "printable"]

_REPLACEMENT = "\ufffd"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, bidi marks, surrogates, separators
_LISTED, _LONGEST = 12, 40  # names, and characters of each
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TO_QUOTE = (*_FORMULA, *(f"'{start}" for start in _FORMULA))  # and text that would look quoted
# Allowed in a cell: a line end, a tab, and the joiners inside a letter or an emoji.
_harmless = re.compile("([\n\t\u200c\u200d])").split


def printable(text: str) -> str:
    """Return *text* with characters that steer a terminal, or are invisible, replaced by `U+FFFD`."""
    if text.isprintable():  # it has none of these, and no blank but a space
        return text
    return "".join(_REPLACEMENT if unicodedata.category(character) in _HIDDEN else character for character in text)


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return *names* for a message, shortened if they are many or long."""
    told = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in names[:_LISTED]]
    more = len(names) - len(told)
    return printable(separator.join(told)) + (f" and {more:,} more" if more > 0 else "")


def csv_cell(text: str) -> str:
    """Return *text* as a cell that a spreadsheet does not evaluate: a quote precedes a formula."""
    quoted = f"'{text}" if text.startswith(_TO_QUOTE) else text
    if quoted.isprintable():
        return quoted
    parts = _harmless(quoted)
    parts[::2] = map(printable, parts[::2])
    return "".join(parts)


def csv_text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_TO_QUOTE) else cell
