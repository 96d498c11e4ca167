"""
`python -m tests.reliability`: measure what is promised, and print one table.

Every subject is measured in a process of its own. The exit code is 1 if a promise was not kept.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.reliability import (
    bodies,
    calls,
    cancellation,
    delivery,
    economy,
    exchanges,
    kills,
    limits,
    malformed,
    matrix,
    memory,
    outputs,
    patience,
    power_loss,
    readers,
    repeats,
    secrecy,
    silence,
    sources,
    storm,
    tracker_kills,
)
from tests.reliability.scales import SCALES, Scale
from tests.reliability.table import Row, Subject, markdown, plain

__all__ = ["SUBJECTS", "main"]

_AT_ONCE = 2

SUBJECTS: dict[str, Callable[[Scale, int], list[Row]]] = {
    "matrix": matrix.measure,
    "storm": storm.measure,
    "kills": kills.measure,
    "power-loss": power_loss.measure,
    "cancellation": cancellation.measure,
    "malformed": malformed.measure,
    "requests": economy.measure_requests,
    "refusals": economy.measure_refusals,
    "secrecy": secrecy.measure,
    "memory": memory.measure,
    "patience": patience.measure,
    "silence": silence.measure,
    "delivery": delivery.measure,
    "tracker": tracker_kills.measure,
    "bodies": bodies.measure,
    "bursts": exchanges.measure_bursts,
    "surplus": exchanges.measure_surplus,
    "pulls": sources.measure_pulls,
    "contexts": sources.measure_contexts,
    "calls": calls.measure,
    "readers": readers.measure,
    "repeats": repeats.measure,
    "outputs": outputs.measure,
    "limits": limits.measure,
}


def main() -> int:
    """Run the measurements that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--only", choices=SUBJECTS, metavar="ROW", help=f"measure one of: {', '.join(SUBJECTS)}")
    parser.add_argument("--scale", choices=SCALES, default="default", help="how much is measured")
    parser.add_argument("--long", action="store_const", const="long", dest="scale", help="the same as --scale long")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeat an earlier run")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print the table for machines")
    style.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    arguments = parser.parse_args()

    if arguments.only:
        rows = SUBJECTS[arguments.only](SCALES[arguments.scale], arguments.seed)
    else:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda name: _apart(name, arguments.scale, arguments.seed), SUBJECTS)
            rows = [row for some in found for row in some]
    if arguments.json:
        sys.stdout.write(f"{msgspec.json.encode(Subject(arguments.seed, rows)).decode()}\n")
    else:
        table = (markdown if arguments.markdown else plain)(rows)
        sys.stdout.write(f"seed {arguments.seed}, scale {arguments.scale}\n\n{table}\n")
    return 0 if all(row.ok for row in rows) else 1


def _apart(name: str, scale: str, seed: int) -> list[Row]:
    """Measure a subject in another process; a subject that crashes has missed its bar."""
    command = [
        sys.executable,
        "-m",
        "tests.reliability",
        "--only",
        name,
        "--scale",
        scale,
        "--seed",
        str(seed),
        "--json",
    ]
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    sys.stderr.write(f"{name}: {time.monotonic() - start:.0f} s\n")
    try:
        return msgspec.json.decode(done.stdout, type=Subject).rows
    except msgspec.DecodeError:
        return [Row(name, "", "to be measured", f"ended with exit code {done.returncode}", ok=False)]


if __name__ == "__main__":
    sys.exit(main())
