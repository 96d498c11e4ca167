"""
Mutants of the core's changed lines: `python -m tests.mutants [--since REVISION | --all]`; it needs git and mutmut.

mutmut changes one detail of a function at a time, and runs the tests that reach the function; a change that no test
notices has survived. A survivor is an error, unless `mutants.toml` lists it with the reason why it does no harm.
`[tool.mutmut]` in `pyproject.toml` names the modules and the tests.
"""

import ast
import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Function", "Survivor", "functions", "listed", "survivor"]

ROOT = Path(__file__).parents[1]
LISTED = Path(__file__).with_suffix(".toml")
BUDGET = 300  # seconds
UNNOTICED = ("survived", "no tests")

_hunk = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_number = re.compile(r"__mutmut_\d+$")


class Function(NamedTuple):
    """
    A function, or a method of a class.

    Attributes:
        name: Its name, as mutmut writes it.
        first: The number of its first line, decorators included.
        last: The number of its last line.
    """

    name: str
    first: int
    last: int


class Survivor(NamedTuple):
    """
    A mutant that no test notices.

    Attributes:
        function: The changed function, as mutmut writes it.
        change: What the first changed line has become, without indentation.
        line: The number of that line; the function's first line is 1.
    """

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
    module = path.removesuffix(".py").replace("/", ".")
    for node in ast.parse(source).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"xǁ{node.name}ǁ" if isinstance(node, ast.ClassDef) else "x_"
        for each in inside:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([each.lineno, *(decorator.lineno for decorator in each.decorator_list)])
                yield Function(f"{module}.{prefix}{each.name}", first, each.end_lineno or each.lineno)


def survivor(mutant: str, diff: str) -> Survivor:
    """Return the mutant of that name; *diff* is what mutmut shows of it."""
    hunk = _hunk.search(diff)
    assert hunk is not None
    lines = diff[hunk.end() :].splitlines()[1:]
    unchanged = next(number for number, line in enumerate(lines) if line[:1] in "+-")
    change = next((line[1:].strip() for line in lines if line[:1] == "+"), "")
    return Survivor(_number.sub("", mutant), change, int(hunk[1]) + unchanged)


def _chosen(revision: str | None) -> dict[str, set[int]]:
    """Return the lines that count of each watched function, which has 1 as its first; without *revision* all."""
    chosen: dict[str, set[int]] = {}
    for path in _watched():
        source = (ROOT / path).read_text(encoding="utf-8")
        changed = set(range(source.count("\n") + 1)) if revision is None else set(_changed(revision, path))
        for function in functions(path, source):
            lines = changed.intersection(range(function.first, function.last + 1))
            if lines:
                chosen[function.name] = {line - function.first + 1 for line in lines}
    return chosen


def _watched() -> Iterator[str]:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]["only_mutate"]
    for path in sorted((ROOT / "webcom_async").rglob("*.py")):
        relative = str(path.relative_to(ROOT))
        if any(fnmatch.fnmatch(relative, pattern) for pattern in patterns):
            yield relative


def _changed(revision: str, path: str) -> Iterator[int]:
    for hunk in _hunk.finditer(_output("git", "diff", "--unified=0", "--merge-base", revision, "--", path)):
        yield from range(int(hunk[2]), int(hunk[2]) + int(hunk[3] or 1))


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _run(names: Iterable[str], seconds: float | None) -> None:
    """Try the mutants of the functions *names*, for at most so many *seconds*."""
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)  # results of other tests do not count
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["mutmut", "run", *(f"{name}__mutmut_*" for name in names)], cwd=ROOT, check=True, timeout=seconds
        )


def _verdicts(names: Container[str]) -> dict[str, str]:
    """Return the verdict on each mutant of the functions *names*."""
    lines = (line.strip().rpartition(": ") for line in _output("mutmut", "results", "--all", "true").splitlines())
    return {mutant: verdict for mutant, _, verdict in lines if _number.sub("", mutant) in names}


def main() -> int:
    parser = ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--since", default="origin/main", metavar="REVISION", help="default: %(default)s")
    choice.add_argument("--all", action="store_true", help="all lines, changed or not, however long it takes")
    arguments = parser.parse_args()
    chosen = _chosen(None if arguments.all else arguments.since)
    if not chosen:
        print(f"no line of the core has changed since {arguments.since}")
        return 0
    _run(chosen, None if arguments.all else BUDGET)
    verdicts = _verdicts(chosen)
    print("mutants: " + ", ".join(f"{count} {verdict}" for verdict, count in Counter(verdicts.values()).most_common()))
    unnoticed = [mutant for mutant, verdict in verdicts.items() if verdict in UNNOTICED]
    survivors = {survivor(mutant, _output("mutmut", "show", mutant)) for mutant in unnoticed}
    surprises = [each for each in sorted(survivors) if each.line in chosen[each.function] and each[:2] not in listed()]
    for each in surprises:
        print(f"no test notices: {each.function}: {each.change}")
    untried = sum(verdict == "not checked" for verdict in verdicts.values())
    if untried:
        print(f"{untried} mutants were not tried in {BUDGET} s: choose a later revision")
    return bool(surprises or untried)


if __name__ == "__main__":
    sys.exit(main())
