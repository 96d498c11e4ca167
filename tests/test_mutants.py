"""Mutants: which functions a change touches, and what a survivor is called in the list."""

from tests.mutants import Function, Survivor, functions, listed, survivor

SOURCE = """
def one():
    return 1


class Two:
    @property
    def three(self):
        return 3
"""
DIFF = """# webcom_async.x.x_one__mutmut_12: survived
--- webcom_async/x.py
+++ webcom_async/x.py
@@ -2,5 +2,5 @@
     first = 1
     second = 2
-    return first
+    return second
     # the end
"""


def test_functions_have_the_names_that_mutants_have():
    """A function's name carries its module, and a method's its class too; decorators are lines of theirs."""
    assert [
        Function("webcom_async.x.x_one", 2, 3),
        Function("webcom_async.x.xǁTwoǁthree", 7, 9),
    ] == list(functions("webcom_async/x.py", SOURCE))


def test_a_survivor_is_named_by_what_it_changes():
    """A survivor has the function's name without the mutant's number, and the changed line with its number."""
    assert Survivor("webcom_async.x.x_one", "return second", 4) == survivor("webcom_async.x.x_one__mutmut_12", DIFF)


def test_each_listed_survivor_has_a_reason():
    """The list is read, and refuses an entry without a reason."""
    assert all(function.startswith("webcom_async.") and change for function, change in listed())
