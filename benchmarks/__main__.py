"""
`python -m benchmarks`: how fast, how soon, how much memory; every figure beside its bar.

Each contender runs in a process of its own against a gateway in another, in turns, and the median counts. A missed
bar comes with a profile of our client. Figures are compared within one run only: machines are noisy.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.case import Case, Measured, measured_apart
from benchmarks.cases import CASES, measured_here
from benchmarks.chart import chart
from benchmarks.machine import in_words, versions
from benchmarks.profiling import import_shares, shares
from benchmarks.report import Group, Report, markdown, plain
from benchmarks.scales import SCALES, Scale
from benchmarks.workloads import PROFILED, WORKLOADS

__all__ = ["main"]


def main() -> None:
    """Do what the command line asks for."""
    arguments = _parser().parse_args()
    if arguments.case:
        _measure_here(arguments)
    elif arguments.profile:
        print("\n".join(_profile(arguments.profile)))
    else:
        _run(arguments)


def _parser() -> argparse.ArgumentParser:
    """Return what the command line may say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(WORKLOADS)
    parser.add_argument("--only", choices=WORKLOADS, action="append", metavar="NAME", help=f"measure one of: {names}")
    parser.add_argument("--long", action="store_const", const="long", default="quick", dest="scale", help="full scale")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw workload A")
    parser.add_argument(
        "--profile", choices=[*PROFILED, "import"], metavar="NAME", help="say where our client's time goes"
    )
    parser.add_argument("--recipients", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)  # one case, in this process
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--shares", action="store_true", help=argparse.SUPPRESS)
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print everything for machines")
    style.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    return parser


def _measure_here(arguments: argparse.Namespace) -> None:
    """
    Measure one case in this process.

    With options, as another process of the suite gives them, all of `Measured` is printed; otherwise the figures.
    """
    if arguments.options is None:
        case = Case(name=arguments.case, recipients=arguments.recipients or Case(name="").recipients)
        print(msgspec.json.encode(measured_here(case).figures).decode())
        return
    case = msgspec.json.decode(arguments.options, type=Case)
    measured = Measured(lines=shares(case)) if arguments.shares else measured_here(case)
    print(msgspec.json.encode(measured).decode())


def _run(arguments: argparse.Namespace) -> None:
    """Run the workloads and print what came out."""
    scale = SCALES[arguments.scale]
    names = arguments.only or list(WORKLOADS)
    groups = {name: _group(name, scale) for name in names}
    report = Report(
        machine=in_words(),
        versions=versions(),
        scale=scale.name,
        head_room=_head_room(list(groups.values())),
        groups=list(groups.values()),
    )
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print((markdown if arguments.markdown else plain)(report))
    if arguments.chart and "A" in groups:
        arguments.chart.write_text(chart(groups["A"].measured), encoding="utf-8")


def _group(name: str, scale: Scale) -> Group:
    """Run one workload, and profile it if it misses a bar."""
    sys.stderr.write(f"{name}…\n")
    group = WORKLOADS[name](scale)
    if any(row.verdict == "MISSED" for row in group.rows):
        group.profile = _profile(name)
    return group


def _profile(name: str) -> list[str]:
    """Return where the time of our client goes in a workload; nothing for one that waits, or counts."""
    if name == "import":
        return import_shares()
    return measured_apart(PROFILED[name], "--shares").lines if name in PROFILED else []


def _head_room(groups: list[Group]) -> str:
    """Return how far the gateway was from being the bottleneck, where contenders did nothing but send."""
    runs = [
        (one.figures["gateway_busy"], one.figures["gateway_cpu_ns"], name)
        for group in groups
        for name, one in group.measured.items()
        if "gateway_busy" in one.figures
    ]
    if not runs:
        return ""
    busy, cpu, name = max(runs)
    return (
        f"The gateway's core was busy for {busy:.0%} of the time at most ({name}, {cpu:,.0f} ns of its CPU per "
        f"recipient), so it had room for {1 / busy:.0f} times as much."
    )


if __name__ == "__main__":
    main()
