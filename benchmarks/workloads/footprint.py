"""Workload F, memory, and what the import takes."""

from benchmarks.case import Case
from benchmarks.race import figure, raced
from benchmarks.report import Group, at_most
from benchmarks.scales import Scale

__all__ = ["import_time", "memory"]


def memory(scale: Scale) -> Group:
    """Workload F."""
    names = [f"{count:,}" for count in scale.counts]
    cases = {
        f"{count:,}{said}": Case(name="memory", recipients=count, journal=journal)
        for journal, said in ((False, ""), (True, ", with a journal"))
        for count in scale.counts
    }
    found = raced(cases, 1)
    least, *_, most = names
    difference = figure(found[most], "over_idle_mib")
    base = figure(found[least], "over_idle_mib")
    more = difference - base if isinstance(difference, float) and isinstance(base, float) else str(difference)
    return Group(
        title="F. Recipients out of a generator: peak memory over an idle client",
        facts=[["recipients", "MiB"], *([name, f"{figure(one, 'over_idle_mib'):.1f}"] for name, one in found.items())],
        rows=[at_most(f"{most} recipients against {least}", more, 2, " MiB")],
        measured=found,
    )


def import_time(_scale: Scale) -> Group:
    """Measure what the import takes."""
    found = raced({"imports": Case(name="imports")}, 1)
    [measured] = found.values()
    return Group(
        title="Import: a fresh process, without the start of Python",
        facts=[
            ["", "ms"],
            ["import webcom_async", f"{figure(measured, 'words_ms'):.0f}"],
            ["from webcom_async import WebcomClient", f"{figure(measured, 'client_ms'):.0f}"],
            ["import httpx2, anyio, msgspec, tenacity", f"{figure(measured, 'dependencies_ms'):.0f}"],
        ],
        rows=[
            at_most("import webcom_async ÷ its four dependencies", figure(measured, "words_times"), 1.15, " ×"),
            at_most("the client too ÷ its four dependencies", figure(measured, "client_times"), 1.15, " ×"),
        ],
        measured=found,
    )
