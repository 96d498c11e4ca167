"""Habits of this code base that a test can check."""

import ast
from pathlib import Path

import pytest

TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


def functions_in(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the test functions in *path*."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_every_test_states_its_promise(path: Path):
    """A test's docstring is its promise, in one sentence."""
    assert [] == [function.name for function in functions_in(path) if not ast.get_docstring(function)]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_no_test_sleeps_to_wait(path: Path):
    """Tests wait for events: a sleep is either too short or too long."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    sleeps = [ast.unparse(call) for call in calls if ast.unparse(call.func).endswith((".sleep", "sleep_until"))]

    assert set() == set(sleeps) - {"time.sleep(timeout * 1.5)"}  # the one that blocks an event loop on purpose
