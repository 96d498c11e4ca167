"""Habits of this code base that a test can check."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = sorted(HERE.rglob("test_*.py"))


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


def private_modules(path: Path) -> set[str]:
    """Return the package's private modules that *path* imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {module for module in modules if module.startswith("webcom_async.") and "._" in module}


def test_four_of_five_test_files_survive_a_rename():
    """At most a fifth of them import a private module; the others say what a caller sees."""
    inside = [path.name for path in TESTS if private_modules(path)]

    assert len(inside) <= len(TESTS) / 5, inside


def test_no_helper_brings_private_names_to_public_tests():
    """What the tests share imports public paths alone, except for the helpers of `tests/unit`."""
    helpers = [path for path in HERE.glob("*.py") if path not in TESTS and "__main__" not in path.read_text("utf-8")]

    assert {} == {path.name: modules for path in helpers if (modules := private_modules(path))}
