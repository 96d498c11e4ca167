"""
`python -m tests.scaleout`: a campaign on many workers, killed, put to sleep and cut off from its database.

The judge is the emulated gateway's ledger. The exit code is 1 if a promise was not kept.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.postgres_server import Server, serve
from tests.reliability.table import Row, markdown, plain
from tests.scaleout import faults, idle, laptop, pace

__all__ = ["main"]

SUBJECTS = ("faults", "rate", "speedup", "cost", "laptop", "idle")


def main() -> int:
    """Run the measurements that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaleout", description=__doc__)
    parser.add_argument("--only", choices=SUBJECTS, help="measure this one")
    parser.add_argument("--seeds", type=int, default=3, help="campaigns with faults; 20 for the whole proof")
    parser.add_argument("--first-seed", type=int, default=1, help="go on from this one")
    parser.add_argument("--recipients", type=int, default=100_000, help="of each campaign; 500,000 for the whole proof")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--folder", type=Path, help="keep logs here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, serve() as server:
        folder = arguments.folder or Path(scratch)
        rows = [
            row
            for name in SUBJECTS
            if arguments.only in (None, name)
            for row in _measure(name, server, _fresh(folder / name), arguments)
        ]
    sys.stdout.write(f"{(markdown if arguments.markdown else plain)(rows)}\n")
    return 0 if all(row.ok for row in rows) else 1


def _measure(name: str, server: Server, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    recipients: int = arguments.recipients
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    subjects: dict[str, Callable[[], list[Row]]] = {
        "faults": lambda: faults.measure(server, folder, recipients, seeds, _say),
        "rate": lambda: pace.measure_rate(server, folder, min(recipients, 80_000), _say),
        "speedup": lambda: pace.measure_speedup(server, folder, min(recipients, 40_000), _say),
        "cost": lambda: pace.measure_cost(server, folder, recipients, _say),
        "idle": lambda: idle.measure(server, folder, _say),
        "laptop": lambda: laptop.measure(folder, min(recipients, 100_000), seeds, _say),
    }
    return subjects[name]()


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


if __name__ == "__main__":
    sys.exit(main())
