"""`python -m benchmarks`: every case in a process of its own, as a table or, with `--json`, for machines."""

import argparse
import json
import platform
import subprocess
import sys
from importlib.metadata import version

from benchmarks.end_to_end import CASES, run_case

_PACKAGES = ("webcom-async", "httpx2", "anyio", "msgspec", "tenacity", "uvicorn")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--case", choices=sorted(CASES), help="run this case only, in this process, and print JSON")
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(run_case(arguments.case, arguments.recipients)))
        return

    versions = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
    figures = {name: _apart(name, arguments.recipients) for name in CASES}
    if arguments.json:
        print(json.dumps({"versions": versions, "recipients": arguments.recipients, "figures": figures}))
        return
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    for case, values in figures.items():
        print(f"\n{case} ({arguments.recipients:,} recipients)")
        for name, value in values.items():
            print(f"  {name:<36}{value:>14,.1f}")


def _apart(name: str, recipients: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks", "--case", name, "--recipients", str(recipients)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


if __name__ == "__main__":
    main()
