"""
Mutants of the core's changed lines: `python -m tests.mutants [--since REVISION | --all]`; it needs git and mutmut.

mutmut changes one detail of a function at a time, and runs the tests that reach the function; a change that no test
notices has survived. A survivor is an error, unless `mutants.toml` lists it with the reason why it does no harm.
`[tool.mutmut]` in `pyproject.toml` names the modules and the tests.

If a change has more mutants than fit into the minutes, chance chooses the ones to try. The exit status is 0 without an
unlisted survivor among those, 1 with one, and 2 if mutmut fails or time does not suffice.
"""

import ast
import fnmatch
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Function", "Mutant", "functions", "listed", "mutants_of", "sample"]

ROOT = Path(__file__).parents[1]
LISTED = Path(__file__).with_suffix(".toml")
MINUTES = 4.7  # nox needs the rest of five for its environment
SECONDS_PER_MUTANT = 1.5  # of one core: measured
_TESTED = Path("mutants")  # where mutmut puts its copy of the project, and what it finds out
_UNNOTICED = {0: "survived", 5: "no tests", 33: "no tests", None: "not tried"}  # verdicts, by pytest's exit status

_hunk = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_definition = re.compile(r"\s*(?:async )?def ")


class Function(NamedTuple):
    """
    A function, or a method of a class.

    Attributes:
        name: Its name, as mutmut writes it.
        first: The number of the line that begins with `def`.
        last: The number of its last line.
    """

    name: str
    first: int
    last: int


class Mutant(NamedTuple):
    """
    A function with a changed detail.

    Attributes:
        name: Its name, as mutmut writes it.
        function: The function's name, as mutmut writes it.
        change: What the first changed line has become, without indentation.
        line: The number of that line; the line that begins with `def` is 1.
    """

    name: str
    function: str
    change: str
    line: int


def listed() -> set[tuple[str, str]]:
    """Return the function and the change of the survivors that do no harm, each with a reason."""
    entries = tomllib.loads(LISTED.read_text(encoding="utf-8")).get("survivors", [])
    assert all(entry["why"] for entry in entries)
    return {(entry["function"], entry["change"]) for entry in entries}


def functions(path: str, source: str) -> Iterator[Function]:
    """Yield the functions and methods of *source*, the text of the module at *path*."""
    for node in ast.parse(source).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"xǁ{node.name}ǁ" if isinstance(node, ast.ClassDef) else "x_"
        for each in inside:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(f"{_module(path)}.{prefix}{each.name}", each.lineno, each.end_lineno or each.lineno)


def mutants_of(path: str, mutated: str, spans: dict[str, Sequence[int]]) -> Iterator[Mutant]:
    """
    Yield the mutants of the module at *path*.

    Args:
        path: The module's path.
        mutated: The text in which mutmut keeps each function, and all its mutants.
        spans: The first and the last line of each of them, by name.
    """
    lines = mutated.splitlines()
    for name, span in spans.items():
        function, _, number = name.rpartition("__mutmut_")
        original = f"{function}__mutmut_orig"
        if number != "orig":
            before = _body(lines, spans[original])
            after = [line.replace(name, original) for line in _body(lines, span)]
            line, change = _difference(before, after)
            module = _module(path)
            changed = change.strip().replace(original, function)
            # None is as false as False, and a type checker tells them apart.
            if before[line - 1].replace("False", "None") != change:
                yield Mutant(f"{module}.{name}", f"{module}.{function}", changed, line)


def sample(mutants: Sequence[Mutant], seconds: float, cores: int, seed: int) -> list[Mutant]:
    """Return as many *mutants* as *cores* can try in so many *seconds*, at least one, chosen by *seed*."""
    most = max(1, int(seconds * cores / SECONDS_PER_MUTANT))
    return list(mutants) if len(mutants) <= most else random.Random(seed).sample(mutants, most)


def _body(lines: Sequence[str], span: Sequence[int]) -> Sequence[str]:
    """Return the lines of a function from its `def` on, without the comments and decorators above it."""
    inside = lines[span[0] - 1 : span[1]]
    return inside[next(number for number, line in enumerate(inside) if _definition.match(line)) :]


def _difference(before: Sequence[str], after: Sequence[str]) -> tuple[int, str]:
    """Return the number of the first line that differs, and what it has become."""
    for number, line in enumerate(after, start=1):
        if number > len(before) or before[number - 1] != line:
            return number, line
    return len(after) + 1, ""


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _changed_lines(revision: str | None) -> dict[str, set[int]]:
    """Return the lines that count of each watched function, whose `def` is on line 1; without *revision* all."""
    chosen: dict[str, set[int]] = {}
    for path in _watched():
        source = (ROOT / path).read_text(encoding="utf-8")
        changed = set(range(1, source.count("\n") + 2)) if revision is None else set(_changed(revision, path))
        for function in functions(path, source):
            lines = changed.intersection(range(function.first, function.last + 1))
            if lines:
                chosen[function.name] = {line - function.first + 1 for line in lines}
    return chosen


def _watched() -> Iterator[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    for path in sorted((ROOT / "webcom_async").rglob("*.py")):
        relative = path.relative_to(ROOT).as_posix()
        if _matches(relative, settings["only_mutate"]) and not _matches(relative, settings["do_not_mutate"]):
            yield relative


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _changed(revision: str, path: str) -> Iterator[int]:
    command = ["git", "diff", "--no-ext-diff", "--no-color", "--unified=0", "--merge-base", revision, "--", path]
    difference = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for hunk in _hunk.finditer(difference):
        yield from range(int(hunk[1]), int(hunk[1]) + int(hunk[2] or 1))


def _prepare() -> bool:
    """Let mutmut make the mutants, and find out which tests reach which function."""
    shutil.rmtree(ROOT / _TESTED, ignore_errors=True)  # results of other tests do not count
    # mutmut has no command for this alone. Without a mutant of that name, it stops when it is ready to try them.
    ended = subprocess.run(["mutmut", "run", "none"], cwd=ROOT, check=False, capture_output=True, text=True)
    if (ROOT / _TESTED / "mutmut-stats.json").exists():
        return True
    print(ended.stdout, ended.stderr, sep="\n", file=sys.stderr)
    return False


def _choose(chosen: dict[str, set[int]]) -> list[Mutant]:
    """Return the mutants that change one of the lines *chosen*, without the listed ones."""
    harmless = listed()
    return [
        mutant
        for path in _watched()
        if (ROOT / _TESTED / f"{path}.spans").exists()
        for mutant in mutants_of(
            path,
            (ROOT / _TESTED / path).read_text(encoding="utf-8"),
            json.loads((ROOT / _TESTED / f"{path}.spans").read_text(encoding="utf-8"))["spans"],
        )
        if mutant.line in chosen.get(mutant.function, ()) and (mutant.function, mutant.change) not in harmless
    ]


def _clean_seconds() -> float:
    """Return the seconds that all tests take together."""
    statistics = json.loads((ROOT / _TESTED / "mutmut-stats.json").read_text(encoding="utf-8"))
    return sum(statistics["duration_by_test"].values())


def _try(mutants: Sequence[Mutant], seconds: float | None) -> bool:
    """Try *mutants* for at most so many *seconds*; return whether mutmut worked."""
    names = [mutant.name for mutant in mutants]
    running = subprocess.Popen(["mutmut", "run", *names], cwd=ROOT, start_new_session=True)
    try:
        return running.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)  # with the tests that it runs
            running.wait()


def _verdicts() -> dict[str, int | None]:
    """Return the exit status of the tests of each mutant; None if it was not tried."""
    verdicts: dict[str, int | None] = {}
    for path in (ROOT / _TESTED / "webcom_async").rglob("*.meta"):
        verdicts |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return verdicts


def _report(mutants: Sequence[Mutant]) -> int:
    """Print what became of *mutants*, and return the exit status."""
    statuses = _verdicts()
    verdicts = {mutant: _UNNOTICED.get(statuses[mutant.name], "noticed") for mutant in mutants}
    print("mutants: " + ", ".join(f"{count} {verdict}" for verdict, count in Counter(verdicts.values()).most_common()))
    surprises = sorted(mutant for mutant, verdict in verdicts.items() if verdict in {"survived", "no tests"})
    for each in surprises:
        print(f"no test notices: {each.function}:{each.line}: {each.change}")
    return 1 if surprises else 0


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition(":")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--since", default="origin/main", metavar="REVISION", help="default: %(default)s")
    choice.add_argument("--all", action="store_true", help="all lines, changed or not")
    parser.add_argument("--minutes", type=float, default=MINUTES, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), metavar="N", help="default: at random")
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    chosen = _changed_lines(None if arguments.all else arguments.since)
    if not chosen:
        print(f"no line of the core has changed since {arguments.since}")
        return 0
    if not _prepare():
        return 2
    mutants = _choose(chosen)
    if not mutants:
        print("no changed line of the core has a mutant")
        return 0
    left = deadline - time.monotonic() - _clean_seconds()  # mutmut runs the tests without a mutant first
    if left <= 0:
        print(f"the tests alone take {arguments.minutes} minutes: give more --minutes", file=sys.stderr)
        return 2
    tried = sample(mutants, left, os.cpu_count() or 1, arguments.seed)
    print(f"{len(tried)} of {len(mutants)} mutants, chosen by --seed {arguments.seed}", flush=True)
    if not _try(tried, deadline - time.monotonic()):
        return 2
    return _report(tried)


if __name__ == "__main__":
    sys.exit(main())
