"""
Personal texts: `Hello, {name}!`, with a row's cells in place of the braces.

Braces hold a column's name and nothing else: no expression, attribute, index or format. So neither the text's author
nor the file can run anything. A missing column or an empty cell is an error.
"""

import re
from collections.abc import Sequence

from webcom_async._domain.errors import InputError
from webcom_async._domain.reasons import Reason
from webcom_async._domain.sentences import Sentence
from webcom_async._domain.untrusted_text import listed, printable

__all__ = ["BoundTemplate", "Template"]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """
    A text with column names in braces; `{{` and `}}` give literal braces.

    Args:
        text: The text, as in `Hello, {name}!`.

    Attributes:
        text: The text as given.
        names: The columns that the text needs, each once, in order.

    Raises:
        InputError: A brace has no partner, or no name in it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        # Literal, name, literal, name, …, literal: the order that `re.split` gives.
        self._pieces = _pieces(text)
        self.names: list[str] = list(dict.fromkeys(self._pieces[1::2]))

    def bind(self, columns: Sequence[str]) -> "BoundTemplate":
        """
        Return the template for rows with these *columns*; case and blanks around a name do not matter.

        Raises:
            InputError: A column is missing or ambiguous.
        """
        known = [column.strip().casefold() for column in columns]
        for name in self.names:
            found = known.count(name.casefold())
            if found != 1:
                what = "no column has" if not found else f"{found} columns have"
                raise InputError(
                    f"the text names {{{printable(name)}}}, and {what} that name; there are: {listed(columns)}"
                )
        return BoundTemplate(self._pieces, [known.index(name.casefold()) for name in self._pieces[1::2]])


class BoundTemplate:
    """A template with the positions of its columns; made by `Template.bind`."""

    def __init__(self, pieces: Sequence[str], places: Sequence[int]) -> None:
        self._pieces = list(pieces)
        self._places = list(zip(range(1, len(pieces), 2), places, strict=True))

    @property
    def columns(self) -> frozenset[int]:
        """Positions of the columns that the text needs."""
        return frozenset(column for _, column in self._places)

    @property
    def is_constant(self) -> bool:
        """Whether the text is the same for all rows."""
        return not self._places

    def render(self, cells: Sequence[str]) -> str:
        """
        Return the text for a row.

        Raises:
            InputError: A cell that the text needs is empty or missing; the message names the column.
        """
        pieces = self._pieces.copy()
        for place, column in self._places:
            cell = cells[column].strip() if column < len(cells) else ""
            if not cell:
                words = Sentence("column {column} is empty, and the text needs it", column=repr(pieces[place]))
                raise InputError(words, Reason.NO_TEXT)
            pieces[place] = cell
        return "".join(pieces)


def _pieces(text: str) -> list[str]:
    pieces, literal, end = [""], "", 0
    for token in _TOKEN.finditer(text):
        literal += text[end : token.start()]
        end = token.end()
        if token.group() in ("{{", "}}"):
            literal += token.group()[0]
            continue
        name = (token.group(1) or "").strip()
        if not name:
            raise InputError(
                f"the text has {printable(token.group())!r} at character {token.start() + 1}: "
                "name a column in braces, as in {name}, or write {{ and }} for braces",
                Reason.BAD_TEXT,
            )
        pieces[-1] = literal
        pieces += [name, ""]
        literal = ""
    pieces[-1] = literal + text[end:]
    return pieces
