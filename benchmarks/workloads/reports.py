"""Workload J: delivery reports that come in."""

from benchmarks.case import Case, Measured
from benchmarks.race import raced, ratio
from benchmarks.report import Group, at_least, without_bar
from benchmarks.scales import Scale

__all__ = ["incoming_reports"]

_CONNECTIONS = 16
_SIZES = (1, 100)  # reports in a call
_KINDS = {"empty": "an empty ASGI handler", "ours": "WebhookApp with ReportFile", "unkept": "WebhookApp without a file"}
_BARS = {1: 0.25, 100: 0.1}  # of the calls that an empty handler answers


def incoming_reports(scale: Scale) -> Group:
    """Workload J."""
    cases = {
        _name(kind, size): Case(
            name="reports", receiver=kind, callers=_CONNECTIONS, batch_size=size, recipients=scale.calls * size
        )
        for size in _SIZES
        for kind in _KINDS
    }
    found = raced(cases, scale.repeats)
    rows = []
    for size in _SIZES:
        empty = found[_name("empty", size)]
        rows += [
            at_least(f"{_words(size)}: ours ÷ empty", ratio(found[_name("ours", size)], empty, _FIGURE), _BARS[size]),
            without_bar(
                f"{_words(size)}: ours without a file ÷ empty", ratio(found[_name("unkept", size)], empty, _FIGURE)
            ),
        ]
    title = f"J. Delivery reports over webhooks: {scale.calls:,} calls on {_CONNECTIONS} connections, uvicorn on h11"
    return Group(title=title, facts=_facts(found), rows=rows, measured=found)


_FIGURE = "reports_per_second"


def _name(kind: str, size: int) -> str:
    """Return what a case is called."""
    return f"{_KINDS[kind]}, {_words(size)}"


def _words(size: int) -> str:
    """Return how much is in a call."""
    return f"{size} report{'s' if size > 1 else ''} in a call"


def _facts(found: dict[str, Measured]) -> list[list[str]]:
    """Return the table behind J."""
    lines = [
        [name, f"{of['calls_per_second']:,.0f}", f"{of[_FIGURE]:,.0f}"]
        for name, measured in found.items()
        if (of := measured.figures)
    ]
    return [["", "calls/s", "reports/s"], *lines]
