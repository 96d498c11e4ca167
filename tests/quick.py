"""
The fast tier: what runs before each commit, in less than a minute on two cores.

It holds the units, and campaigns to the emulator in this process; the command line, servers, databases and files that
outlive a run are left to `nox`. `test_acceptance` goes the whole way, from a list of recipients to the ledger.

    python -m tests.quick
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = (
    "acceptance",
    "audience",
    "batching",
    "campaign",
    "client_ids",
    "credentials",
    "decoding",
    "emulator",
    "emulator_delivery",
    "exports",
    "failures",
    "files",
    "given_ids",
    "habits",
    "limits",
    "linger",
    "models",
    "number_set",
    "options",
    "phonebook",
    "phones",
    "policy",
    "progress",
    "public_surface",
    "reasons",
    "retry",
    "scheduling",
    "segments",
    "send",
    "sources",
    "statuses",
    "stop_list",
    "tally",
    "templates",
    "throttle",
    "unlike",
    "untrusted",
    "wire",
    "wire_delivery",
)

if __name__ == "__main__":
    files = [str(HERE / f"test_{name}.py") for name in FILES]
    sys.exit(pytest.main(["-q", "-n", "2", "--dist", "worksteal", *files, *sys.argv[1:]]))
