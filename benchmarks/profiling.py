"""Where our client's time goes: shares of its CPU by library, and the functions that take most."""

import asyncio
import pstats
import subprocess
import sys
from collections import Counter
from pathlib import Path

import benchmarks
import webcom_async
from benchmarks.case import Case
from benchmarks.cases import measured_here
from benchmarks.watch import profiled

__all__ = ["import_shares", "shares"]

_FUNCTIONS = 12
_SMALLEST = 0.01  # share that is worth a line

_BUILT_IN = "~"  # the profiler's name for what has no file
_ROOTS = [Path(module.__file__).parent for module in (webcom_async, benchmarks, asyncio)]

Place = tuple[str, int, str]


def shares(case: Case) -> list[str]:
    """Profile *case* in this process, and return lines for people. Profiling makes calls look dearer than they are."""
    with profiled() as profile:
        measured_here(case)
    own = {place: row[2] for place, row in pstats.Stats(profile).stats.items() if not _waits(place)}  # type: ignore[attr-defined]
    total = sum(own.values())
    libraries: Counter[str] = Counter()
    for place, seconds in own.items():
        libraries[_library(place)] += seconds
    dearest = sorted(own, key=own.__getitem__, reverse=True)[:_FUNCTIONS]
    return [
        "where the time goes, by library: "
        + ", ".join(f"{name} {part / total:.0%}" for name, part in libraries.most_common() if part / total > _SMALLEST),
        *(f"  {own[place] / total:5.1%}  {_named(place)}" for place in dearest),
    ]


def import_shares() -> list[str]:
    """Return lines for people on what an import of ours spends its time with: our modules, others' packages."""
    command = [sys.executable, "-X", "importtime", "-c", "from webcom_async import WebcomClient"]
    said = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True).stderr
    spent: Counter[str] = Counter()
    for line in said.splitlines()[1:]:
        own, _, module = line.removeprefix("import time:").split("|")
        name = module.strip()
        spent[name if name.startswith(webcom_async.__name__) else name.partition(".")[0]] += int(own)
    dearest = ", ".join(f"{name} {microseconds / 1e3:.0f} ms" for name, microseconds in spent.most_common(_FUNCTIONS))
    return [f"where the time goes, in one process that times its imports: {dearest}"]


def _waits(place: Place) -> bool:
    """Return whether nothing is computed there."""
    return place[0] == _BUILT_IN and any(word in place[2] for word in ("poll", "kqueue", "sleep", "acquire"))


def _library(place: Place) -> str:
    """Return whose code it is."""
    if place[0] == _BUILT_IN:
        return "built-in"
    path = Path(place[0])
    for root in _ROOTS:
        if path.is_relative_to(root):
            return root.name
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1].removesuffix(".py")
    return "standard library"


def _named(place: Place) -> str:
    """Return a place as a reader looks for it."""
    file, line, function = place
    return function if file == _BUILT_IN else f"{_library(place)}: {Path(file).name}:{line} {function}"
