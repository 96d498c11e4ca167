"""Mutants: which functions a change touches, what a survivor is called in the list, and which ones are tried."""

from pathlib import Path

import pytest

import webcom_async
from tests.mutants import Function, Mutant, functions, listed, mutants_of, sample

SOURCE = """
def one():
    return 1


class Two:
    @property
    def three(self):
        def inside():
            return 3

        return inside()
"""

MUTATED = """
# Why it is so.
async def x_one__mutmut_orig(first, second=2):
    if first:
        return first
    return second

# Why it is so.
async def x_one__mutmut_1(first, second=3):
    if first:
        return first
    return second

# Why it is so.
async def x_one__mutmut_2(first, second=2):
    if first:
        return first
    return first
class Two:

    @staticmethod
    def xǁTwoǁthree__mutmut_orig():
        call(
            1,
            2,
        )
    @staticmethod
    def xǁTwoǁthree__mutmut_1():
        call(
            1,
        )
def x_four__mutmut_orig():
    return call(False)
def x_four__mutmut_1():
    return call(None)
def x_four__mutmut_2():
    return call(True)
"""
SPANS = {
    "x_one__mutmut_orig": [2, 6],
    "x_one__mutmut_1": [7, 12],
    "x_one__mutmut_2": [13, 18],
    "xǁTwoǁthree__mutmut_orig": [20, 26],
    "xǁTwoǁthree__mutmut_1": [27, 31],
    "x_four__mutmut_orig": [32, 33],
    "x_four__mutmut_1": [34, 35],
    "x_four__mutmut_2": [36, 37],
}


def test_functions_have_the_names_that_mutants_have():
    """A function's name carries its module, and a method's its class; decorators and functions inside have no name."""
    assert [
        Function("webcom_async.x.x_one", 2, 3),
        Function("webcom_async.x.xǁTwoǁthree", 8, 12),
    ] == list(functions("webcom_async/x.py", SOURCE))


def test_a_mutant_is_named_by_what_it_changes():
    """A mutant has its function's name and the changed line, counted from `def` on; None for False is no mutant."""
    assert [
        Mutant("webcom_async.x.x_one__mutmut_1", "webcom_async.x.x_one", "async def x_one(first, second=3):", 1),
        Mutant("webcom_async.x.x_one__mutmut_2", "webcom_async.x.x_one", "return first", 4),
        Mutant("webcom_async.x.xǁTwoǁthree__mutmut_1", "webcom_async.x.xǁTwoǁthree", ")", 4),
        Mutant("webcom_async.x.x_four__mutmut_2", "webcom_async.x.x_four", "return call(True)", 2),
    ] == list(mutants_of("webcom_async/x.py", MUTATED, SPANS))


@pytest.mark.parametrize(("seconds", "tried"), [(-5, 1), (15, 20), (75, 100), (300, 100)])
def test_as_many_mutants_are_tried_as_time_allows(seconds: float, tried: int):
    """A sample has as many mutants as the cores can try, at least one, and the same ones for the same seed."""
    mutants = [Mutant(f"webcom_async.x.x_one__mutmut_{number}", "", "", 1) for number in range(100)]
    chosen = sample(mutants, seconds, cores=2, seed=1)

    assert tried == len(chosen) == len(set(chosen))
    assert chosen == sample(mutants, seconds, cores=2, seed=1)


def test_each_listed_survivor_has_a_function_and_a_reason():
    """The list is read, refuses an entry without a reason, and names functions that exist."""
    modules = {function.rpartition(".")[0] for function, _ in listed()}
    known = {each.name for module in modules for each in _functions_in(module)}

    assert set() == {function for function, _ in listed()} - known


def _functions_in(module: str) -> list[Function]:
    path = Path(*module.split(".")).with_suffix(".py")
    installed = Path(webcom_async.__file__).parents[1]
    return list(functions(path.as_posix(), (installed / path).read_text(encoding="utf-8")))
