"""What came out, for people: rows with their bars, and tables in plain text or Markdown."""

from collections.abc import Sequence

import msgspec

from benchmarks.case import BROKE, Measured

__all__ = ["Group", "Report", "Row", "at_least", "at_most", "markdown", "plain", "without_bar"]

_HEAD = ("what", "bar", "measured", "")
_LONGEST_REASON = 100  # characters


class Row(msgspec.Struct, frozen=True):
    """
    One figure and its bar.

    Attributes:
        what: What was measured.
        bar: What it should be; empty for a figure without a bar.
        measured: What it was.
        verdict: `ok`, `MISSED`, `not available`, `is_connection_lost`, or nothing.
    """

    what: str
    bar: str
    measured: str
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        return (self.what, self.bar, self.measured, self.verdict)


class Group(msgspec.Struct, kw_only=True):
    """
    A workload and what came out.

    Attributes:
        title: What it is.
        facts: A table of figures behind the rows; the first line is its head.
        rows: Figures and their bars.
        measured: Everything that was measured, for machines.
        profile: Where our client's time goes, if a bar was missed.
    """

    title: str
    facts: list[list[str]] = []
    rows: list[Row]
    measured: dict[str, Measured]
    profile: list[str] = []


class Report(msgspec.Struct, kw_only=True):
    """
    A run of the suite.

    Attributes:
        machine: What it ran on.
        versions: Of everything that took part.
        scale: How much was measured.
        head_room: How far the gateway was from being the bottleneck.
        groups: What came out.
    """

    machine: str
    versions: dict[str, str]
    scale: str
    head_room: str
    groups: list[Group]


def at_most(what: str, value: float | str, bar: float, unit: str = "", digits: int = 2) -> Row:
    """Return a row of which *value* should be no more than *bar*; words instead of a value say why there is none."""
    return _row(what, value, f"≤ {bar:,g}{unit}", unit, digits, ok=isinstance(value, float) and value <= bar)


def at_least(what: str, value: float | str, bar: float, unit: str = "", digits: int = 2) -> Row:
    """Return a row of which *value* should be no less than *bar*."""
    return _row(what, value, f"≥ {bar:,g}{unit}", unit, digits, ok=isinstance(value, float) and value >= bar)


def without_bar(what: str, value: float | str, unit: str = "", digits: int = 2) -> Row:
    """Return a row for a figure without a bar."""
    return Row(what, "", value if isinstance(value, str) else f"{value:,.{digits}f}{unit}", "")


def _row(what: str, value: float | str, bar: str, unit: str, digits: int, *, ok: bool) -> Row:
    """Return a row; one without a value misses no bar."""
    if isinstance(value, str):
        return Row(
            what, bar, value[:_LONGEST_REASON], "is_connection_lost" if value.startswith(BROKE) else "not available"
        )
    return Row(what, bar, f"{value:,.{digits}f}{unit}", "ok" if ok else "MISSED")


def plain(report: Report) -> str:
    """Return *report* for a terminal."""
    parts = [
        f"{report.machine}; scale {report.scale}",
        ", ".join(f"{name} {number}" for name, number in report.versions.items()),
        report.head_room,
    ]
    for group in report.groups:
        parts.append(f"\n{group.title}")
        parts += [_plain_table(lines) for lines in _tables(group)]
        parts += ["\n".join(group.profile)] if group.profile else []
    return "\n".join(part for part in parts if part)


def markdown(report: Report) -> str:
    """Return *report* as Markdown for a README."""
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items() if name != "python")
    parts = [f"{report.machine}. Scale: {report.scale}. {versions}.", report.head_room]
    for group in report.groups:
        parts.append(f"### {group.title}")
        parts += [_markdown_table(lines) for lines in _tables(group)]
        parts += ["```text\n" + "\n".join(group.profile) + "\n```"] if group.profile else []
    return "\n\n".join(part for part in parts if part)


def _tables(group: Group) -> list[Sequence[Sequence[str]]]:
    """Return the lines of a group's tables, heads first."""
    facts = [group.facts] if group.facts else []
    return [*facts, [_HEAD, *(row.cells for row in group.rows)]]


def _plain_table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table with its columns aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Return the same in Markdown."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))
