"""
Text from outside, made safe to show.

The gateway's words and a file's cells reach terminals and spreadsheets. Pure functions on text.
"""

import unicodedata

__all__ = ["csv_cell", "printable"]

_REPLACEMENT = "\ufffd"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, bidi marks, half characters, separators
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal, or hide, replaced by `U+FFFD`."""
    if text.isprintable():  # none of these, nor a blank that is no space
        return text
    return "".join(_REPLACEMENT if unicodedata.category(character) in _HIDDEN else character for character in text)


def csv_cell(text: str) -> str:
    """Return *text* so that a spreadsheet takes it for text: a formula's first character gets a quote before it."""
    return printable(f"'{text}" if text.startswith(_FORMULA) else text)
