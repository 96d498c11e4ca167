"""The public surface changes only together with its list."""

from difflib import unified_diff

from tests.public_surface import FOR_THE_PACKAGE, SNAPSHOT, private_types, reachable, surface

CHANGED = "A public name changed. If that is meant, run `python -m tests.public_surface`, and say so in CHANGELOG.md.\n"


def test_the_public_surface_is_the_listed_one():
    """Every public name, with its kind, signature and fields, is the one in `public_surface.txt`."""
    listed = SNAPSHOT.read_text(encoding="utf-8").splitlines()

    changes = list(unified_diff(listed, surface().splitlines(), "listed", "now", lineterm="", n=0))

    assert [] == changes, CHANGED + "\n".join(changes)


def test_every_type_of_a_public_signature_is_public():
    """A caller can import each of the package's types that a public function, method or field names."""
    assert {} == private_types()


def test_what_is_left_out_of_the_list_is_there():
    """Names that the list leaves out, because only the package calls them, still exist."""
    assert set() == FOR_THE_PACKAGE - {entry.path for entry in reachable()}
