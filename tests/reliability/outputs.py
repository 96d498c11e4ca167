"""Real processes that send while their outputs fail: closed, full, not read, poor in letters, without room."""

import csv
import os
import random
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged, unreached
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import ClientIdSms, Outcome, Phone, SendResult
from webcom_async.emulator import Fault, Gateway, serve

__all__ = ["measure"]

_PEOPLE = 200
_AT_ONCE = 2
_STREAMS = ("", ">&-", ">/dev/full", "| true")
_ERRORS = ("", "2>&-", "2>/dev/full")
_ENCODINGS = ("utf-8", "ascii", "cp1251")
_LIMITED = (
    "import resource, runpy, sys; limit = int(sys.argv.pop(1)); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); sys.argv[0] = 'webcom-async'; "
    "runpy.run_module('webcom_async', run_name='__main__')"
)


class _Found(NamedTuple):
    """What one command did."""

    wrong: Counts
    codes: int
    tracebacks: int
    cut: int


def measure(scale: Scale, seed: int) -> list[Row]:
    """Run commands, and count recipients without an SMS, false claims, other exit codes, tracebacks and cut rows."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(
            pool.map(lambda number: _send(Path(folder) / f"{number}", f"{seed} {number}"), range(scale.outputs))
        )
    wrong = sum((each.wrong for each in found), NONE)
    codes, tracebacks, cut = (sum(each[place] for each in found) for place in (1, 2, 3))
    return [
        Row(
            "outputs closed, full, not read, poor in letters, without room: recipients, exit codes, rows",
            f"{scale.outputs:,} commands",
            "0 each",
            f"{wrong}, {codes} other exit codes, {tracebacks} tracebacks, {cut} cut rows",
            not wrong and not codes and not tracebacks and not cut,
        )
    ]


def _send(folder: Path, seed: str) -> _Found:
    folder.mkdir()
    (folder / "people.csv").write_text("\n".join(["phone", *phones(_PEOPLE)]))
    chance = random.Random(seed)
    gateway = Gateway(seed=chance.randrange(1 << 30))
    gateway.faults.sometimes(0.1, Fault(close=True, processed=True))
    streams = f"{chance.choice(_ERRORS)} {chance.choice(_STREAMS)}"
    encoding, room = chance.choice(_ENCODINGS), chance.choice((0, 5_000, 1 << 20))
    words = "send people.csv --sender ACME --text Sale! --campaign spring --batch-size 20 --results results.csv"
    command = shlex.join([sys.executable, "-c", _LIMITED, str(room), *words.split()])
    with serve(gateway) as url:
        environ = os.environ | {"WEBCOM_TOKEN": gateway.token, "WEBCOM_BASE_URL": url, "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command} {streams}"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    claims, cut = _claims(folder / "results.csv")
    wrong = judged([claim.phone for claim in claims], claims, gateway.ledger)
    wrong += unreached(phones(_PEOPLE), gateway.ledger)
    return _Found(wrong, done.returncode != 0, "Traceback" in done.stderr, cut)


def _claims(path: Path) -> tuple[list[SendResult], int]:
    """Return the results in a file, and how many of its rows are cut."""
    if not path.exists():
        return [], 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    whole = [row for row in rows if row["outcome"] == Outcome.ACCEPTED.value and row["line"]]
    results = [
        SendResult(ClientIdSms(row["client_id_sms"]), Phone(row["phone"]), Outcome.ACCEPTED, row["id_sms"])
        for row in whole
    ]
    return results, len(rows) - len(whole)
