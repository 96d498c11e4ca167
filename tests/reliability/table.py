"""The table of measurements: what was measured, how often, against which bar."""

from collections.abc import Sequence

import msgspec

__all__ = ["Row", "Subject", "markdown", "plain"]

_HEAD = ("what", "runs", "bar", "measured", "")


class Row(msgspec.Struct, frozen=True):
    """
    One line.

    Attributes:
        what: What was measured.
        runs: How often, in words.
        bar: What is promised.
        measured: What was found.
        ok: Whether the promise was kept.
    """

    what: str
    runs: str
    bar: str
    measured: str
    ok: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as it is printed."""
        return (self.what, self.runs, self.bar, self.measured, "ok" if self.ok else "MISSED")


class Subject(msgspec.Struct):
    """
    What one `measure` found.

    Attributes:
        seed: What every random choice followed from.
        rows: The lines.
    """

    seed: int
    rows: list[Row]


def plain(rows: Sequence[Row]) -> str:
    """Return the table for people."""
    lines = [_HEAD, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown(rows: Sequence[Row]) -> str:
    """Return the same in Markdown."""
    lines = [_HEAD, ("---",) * len(_HEAD), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
