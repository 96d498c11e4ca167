"""The workloads, and the bars that they are held against. Bars are printed, and never asserted in a test."""

from collections.abc import Callable

from benchmarks.case import Case
from benchmarks.report import Group
from benchmarks.scales import Scale
from benchmarks.workloads.footprint import import_time, memory
from benchmarks.workloads.pace import blocked_loop, slow_gateway, slow_reader, stragglers
from benchmarks.workloads.reports import incoming_reports
from benchmarks.workloads.single import single_calls
from benchmarks.workloads.speed import journaled, one_text, own_texts

__all__ = ["PROFILED", "WORKLOADS"]

WORKLOADS: dict[str, Callable[[Scale], Group]] = {
    "A": one_text,
    "B": own_texts,
    "C": slow_gateway,
    "D": stragglers,
    "E": slow_reader,
    "F": memory,
    "G": blocked_loop,
    "H": single_calls,
    "I": journaled,
    "J": incoming_reports,
    "import": import_time,
}

PROFILED: dict[str, Case] = {
    "A": Case(name="ours"),
    "B": Case(name="ours", personal=True, recipients=20_000),
    "C": Case(name="campaign", in_flight=8, batch_size=1_000, latency=0.2, recipients=200_000),
    "H": Case(name="calls", callers=50, in_flight=50, recipients=1_000),
    "I": Case(name="ours", journal=True, recipients=50_000),
}
"""What our client does in workloads whose profile says something."""
