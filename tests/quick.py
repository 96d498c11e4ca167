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
    "campaign",
    "client_ids",
    "credentials",
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
    "options",
    "phonebook",
    "phones",
    "public_surface",
    "scheduling",
    "segments",
    "send",
    "sources",
    "statuses",
    "stop_list",
    "templates",
    "unlike",
)
UNITS = (
    "batching",
    "decoding",
    "domain",
    "gateway",
    "sending",
    "tables",
    "wire",
)

if __name__ == "__main__":
    files = [str(HERE / f"test_{name}.py") for name in FILES] + [str(HERE / f"unit/test_{name}.py") for name in UNITS]
    sys.exit(pytest.main(["-q", "-n", "2", "--dist", "worksteal", *files, *sys.argv[1:]]))
