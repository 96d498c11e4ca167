"""What a person sees of a file before it is sent: what is wrong with its rows, what it costs, what it looks like."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from webcom_async._cli.ui.console import show_tables
from webcom_async._cli.ui.translations import gettext_noop, sentence, tr, tr_plural
from webcom_async._domain.delivery import Balance
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience import Audience, Audit, Finding, Sample
from webcom_async.segments import Forcing, Segments, segments, suggestions

__all__ = ["KINDS", "Cost", "findings_line", "preview_json", "show_preview"]

KINDS = {
    "bad": gettext_noop("cannot be used"),
    "duplicates": gettext_noop("duplicates"),
    "stopped": gettext_noop("on the stop list"),
    "unsayable": gettext_noop("without a text"),
    "unlike": gettext_noop("phones unlike the others"),
    "guessed": gettext_noop("phones changed by rule"),
}
_SHOWN_FINDINGS = 3  # of a kind
_SHOWN_FORCING = 5
_STYLES: dict[str, str] = {
    "bad": "red",
    "unsayable": "red",
    "unlike": "red",
    "duplicates": "yellow",
    "stopped": "yellow",
    "guessed": "cyan",
}


class Cost(NamedTuple):
    """
    Parts, and what they cost.

    Attributes:
        parts: How many SMS.
        price: The price of one part; None if it is not known.
        learned: Whether the price comes from delivery reports of earlier campaigns.
    """

    parts: int
    price: Decimal | None
    learned: bool = False

    @property
    def money(self) -> Decimal | None:
        """The sum; None if the price is not known."""
        return None if self.price is None else self.parts * self.price

    def __str__(self) -> str:
        money = self.money
        if money is None:
            return tr("unknown: give --price")
        if self.learned:
            return tr("{money} at {price} a part, the highest reported price", money=f"{money:,.2f}", price=self.price)
        return f"{money:,.2f}"


def findings_line(audit: Audit, kind: str) -> str:
    found: list[Finding] = getattr(audit, kind)
    shown = [_finding(each) for each in found[:_SHOWN_FINDINGS]]
    more = audit.count(kind) - _SHOWN_FINDINGS
    return "; ".join([*shown, *([tr("{count} more", count=f"{more:,}")] if more > 0 else [])])


def _finding(finding: Finding) -> str:
    return f"{tr('line {line}', line=finding.line)}: {printable(sentence(finding.sentence))}"


def show_preview(audience: Audience, audit: Audit, cost: Cost, balance: Balance | None) -> None:
    show_tables(_overview(audience, audit, cost, balance), _samples(audit.samples))


def _overview(audience: Audience, audit: Audit, cost: Cost, balance: Balance | None) -> Table:
    table = Table(title=tr("Preview"), box=SIMPLE_HEAD, title_justify="left", show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row(tr("file"), Text(printable(f"{audience.table.path} ({audience.table.described})")))
    table.add_row(tr("rows"), f"{audit.rows:,}")
    table.add_row(tr("to be sent"), Text(f"{audit.sendable:,}", style="bold green"))
    for kind, words in KINDS.items():
        if audit.count(kind):
            table.add_row(tr(words), Text(f"{audit.count(kind):,}  {findings_line(audit, kind)}", style=_STYLES[kind]))
    table.add_section()
    table.add_row(tr("parts"), Text(f"{audit.parts:,}  {_by_parts(audit)}"))
    table.add_row(tr("cost"), Text(str(cost), style="bold" if cost.money is not None else "dim"))
    if balance is not None:
        enough = cost.money is None or cost.money <= balance.money
        left = printable(f"{balance.money:,} {balance.currency}")
        table.add_row(
            tr("balance"), Text(left if enough else f"{left}  {tr('not enough')}", style="" if enough else "red")
        )
    for words, sample in ((tr("longest text"), audit.longest), (tr("costliest text"), audit.costliest)):
        if sample is not None:
            table.add_row(words, Text(_measured(sample)))
    if audit.costliest is not None:
        for words, advice in _advice(audit.costliest.text):
            table.add_row(words, Text(advice, style="magenta"))
    return table


def _by_parts(audit: Audit) -> str:
    told = ", ".join(f"{count:,} × {_parts(parts)}" for parts, count in sorted(audit.by_parts.items()))
    return f"({told})" if told else ""


def _parts(count: int) -> str:
    return tr_plural("{count} part", "{count} parts", count)


def _measured(sample: Sample) -> str:
    counted = segments(sample.text)
    characters = tr_plural("{count} character", "{count} characters", len(sample.text))
    size = f"{characters}, {_parts(counted.parts)}"
    return f"{tr('line {line}', line=sample.line)}: {size} {counted.encoding.label}, +{counted.units_left}"


def _advice(text: str) -> Iterable[tuple[str, str]]:
    """Yield what makes the costliest text dear, and cheaper ones."""
    counted = segments(text)
    # Where most of a text is Cyrillic, its letters are no news.
    if counted.parts_without_forcing < counted.parts and len(counted.forcing) <= _SHOWN_FORCING:
        yield tr("forces UCS-2"), _forcing(counted)
    for offered in suggestions(text):
        saved = tr_plural(
            "{fewer} instead of {count} part", "{fewer} instead of {count} parts", counted.parts, fewer=offered.parts
        )
        yield (
            tr("cheaper"),
            f"{tr('with {remedy}', remedy=tr(offered.remedy.value))}: {saved}\n{printable(offered.text)}",
        )


def _forcing(counted: Segments) -> str:
    def one(forcing: Forcing) -> str:
        return f"{printable(forcing.character)} ({forcing.name}) × {forcing.count}"

    return f"{counted.parts} → {counted.parts_without_forcing}: {', '.join(map(one, counted.forcing))}"


def _samples(samples: list[Sample]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for sample in samples:
        said = "\n".join(map(printable, sample.text.splitlines()))
        table.add_row(tr("To {phone}, line {line}", phone=sample.phone, line=sample.line), Text(said))
    return table


def preview_json(audience: Audience, audit: Audit, cost: Cost, balance: Balance | None) -> dict[str, Any]:
    """Money is decimal text."""
    costliest = "" if audit.costliest is None else audit.costliest.text
    return {
        "file": {
            "path": str(audience.table.path),
            "format": audience.table.described,
            "columns": list(audience.table.columns),
        },
        "rows": audit.rows,
        "sendable": audit.sendable,
        "counts": {kind: audit.count(kind) for kind in KINDS},
        "findings": {kind: [{"line": line, "words": words} for line, words in getattr(audit, kind)] for kind in KINDS},
        "parts": audit.parts,
        "recipients_by_parts": {str(parts): count for parts, count in sorted(audit.by_parts.items())},
        "recipients_by_encoding": audit.by_encoding,
        "price": None if cost.price is None else str(cost.price),
        "cost": None if cost.money is None else str(cost.money),
        "price_learned": cost.learned,
        "balance": None if balance is None else {"money": str(balance.money), "currency": balance.currency},
        "longest": None if audit.longest is None else audit.longest._asdict(),
        "costliest": None if audit.costliest is None else audit.costliest._asdict(),
        "samples": [sample._asdict() for sample in audit.samples],
        "forcing": [
            {"character": forcing.character, "name": forcing.name, "plain": forcing.plain}
            for forcing in segments(costliest).forcing
        ],
        "suggestions": [
            {"remedy": offered.remedy.value, "text": offered.text, "parts": offered.parts}
            for offered in suggestions(costliest)
        ],
    }
