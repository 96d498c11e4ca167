"""
`python -m tests.million`: a file of a million rows, previewed, sent, killed twice, resumed and exported.

One row in a hundred has no valid phone, one is a duplicate, and every text is personal. The judge is the
emulator's ledger, on a socket in another process; the table also has the bare time of reading the file, and that
of a loop that sends it without a journal, a check or a retry. The exit code is 1 if a bar was missed.
"""

import argparse
import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import httpx2

from tests.reliability.table import Row, markdown, plain
from webcom_async._cli.commands.emulate import Child, Settings, child

__all__ = ["main"]

_BAD, _DUPLICATE = 7, 9  # which of a hundred rows
_TEXT = "Привет, {name}! В субботу скидки на всё."
_FIRST_PHONE = 79_000_000_000
_MEGABYTES = 150
_BATCH, _IN_FLIGHT = 500, 4
_KILLED_AT = (0.3, 0.6)  # of the messages


class Ran(NamedTuple):
    """A command that has ended: its exit code, its wall time in seconds, its peak memory in MB, what it printed."""

    code: int
    seconds: float
    megabytes: float
    out: str


def main() -> int:
    """Run the measurements that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.million", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many rows, a multiple of 100")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        rows = measure(Path(folder), arguments.rows, opened)
    sys.stdout.write(f"{(markdown if arguments.markdown else plain)(rows)}\n")
    return 0 if all(row.ok for row in rows) else 1


def measure(folder: Path, count: int, opened: ExitStack) -> list[Row]:
    """Measure everything, and return the lines of the table."""
    file, good = folder / "people.csv", count - count // 50
    write_people(file, count)
    bare = timed(read_bare, file)
    unsafe = opened.enter_context(child(Settings()))
    loop = timed(lambda path: asyncio.run(send_unsafely(path, unsafe)), file)
    say(f"reading {bare:.1f} s, a loop without safety {loop:.1f} s")

    emulator = opened.enter_context(child(Settings()))
    preview = run(emulator, "preview", str(file), "--text", _TEXT, "--json")
    say(f"preview {preview.seconds:.1f} s")
    journal = str(folder / "spring.journal")
    send = ["send", str(file), "--sender", "ACME", "--text", _TEXT, "--campaign", "spring", "--journal", journal]
    sends = [run(emulator, *send, "--yes", "--json", killed_at=int(good * share)) for share in _KILLED_AT]
    sends.append(run(emulator, *send, "--yes", "--json"))
    say(f"three sends {sum(ran.seconds for ran in sends):.1f} s")
    exported = folder / "results.csv"
    named = ["--journal", journal, "--campaign", "spring", "--file", str(file), "--text", _TEXT]
    export = run(emulator, "export", str(exported), *named, "--json")
    say(f"export {export.seconds:.1f} s")

    outcome = Outcome(preview, sends, export, emulator.ledger(), *read_export(exported))
    return [*correctness(outcome, count), *effort(outcome, count, bare, loop)]


def correctness(outcome: "Outcome", count: int) -> list[Row]:
    """Return the table's lines about the outcomes of the rows."""
    runs, good = f"{count:,} rows", count - count // 50
    expected = {"accepted": good, "bad_phone": count // 100, "duplicate": count // 100}
    seen = json.loads(outcome.preview.out)
    counts = seen["counts"]
    found = {"accepted": seen["sendable"], "bad_phone": counts["bad"], "duplicate": counts["duplicates"]}
    codes = [ran.code for ran in outcome.sends]
    ledger = (outcome.ledger["sent"], outcome.ledger["billed_twice"])
    return [
        Row("preview: rows by what will become of them", runs, told(expected), told(found), found == expected),
        Row("send: killed, killed again, run to the end", runs, "-9, -9, 1", f"{codes}"[1:-1], codes == [-9, -9, 1]),
        Row("export: rows in the file's order", runs, f"{count:,}", f"{outcome.in_order:,}", outcome.in_order == count),
        Row("export: what became of them", runs, told(expected), told(outcome.became), outcome.became == expected),
        Row("ledger: sent, billed twice", runs, f"{good:,}, 0", "{:,}, {:,}".format(*ledger), ledger == (good, 0)),
    ]


def effort(outcome: "Outcome", count: int, bare: float, loop: float) -> list[Row]:
    """Return the table's lines about memory and time."""
    runs, everyone = f"{count:,} rows", [outcome.preview, *outcome.sends, outcome.export]
    peak = max(ran.megabytes for ran in everyone)
    whole = sum(ran.seconds for ran in everyone)
    beside = f"{whole / bare:.0f} × reading the file, {whole / loop:.1f} × the loop"
    return [
        Row("peak memory of the commands", runs, f"{_MEGABYTES} MB", f"{peak:.0f} MB", peak < _MEGABYTES),
        Row("reading the file", runs, "", f"{bare:.1f} s", ok=True),
        Row("a loop that sends it without safety", runs, "", f"{loop:.1f} s", ok=True),
        Row("preview, three sends with two kills, export", runs, "", f"{whole:.1f} s: {beside}", ok=True),
    ]


class Outcome(NamedTuple):
    """The outcomes of the commands."""

    preview: Ran
    sends: list[Ran]
    export: Ran
    ledger: dict[str, int]
    in_order: int
    became: dict[str, int]


def write_people(file: Path, count: int) -> None:
    """Write the file of recipients."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("phone", "name", "city"))
        for number in range(count):
            place = number % 100
            phone = "no phone" if place == _BAD else str(_FIRST_PHONE + number - (place if place == _DUPLICATE else 0))
            writer.writerow((phone, f"Анна {number}", "Москва"))


def read_bare(file: Path) -> None:
    """Read the file, and nothing else."""
    with file.open(encoding="utf-8", newline="") as opened:
        for _ in csv.reader(opened):
            pass


async def send_unsafely(file: Path, emulator: Child) -> None:
    """Send the file as a program without a library would: no ids, no journal, no check, no retry."""
    with file.open(encoding="utf-8", newline="") as opened:
        batches = bodies(opened, emulator.token)
        async with httpx2.AsyncClient(base_url=emulator.base_url) as client:

            async def post() -> None:
                for body in batches:
                    (await client.post("/json", content=body)).raise_for_status()

            async with asyncio.TaskGroup() as tasks:
                for _ in range(_IN_FLIGHT):
                    tasks.create_task(post())


def bodies(lines: Iterator[str], token: str) -> Iterator[bytes]:
    """Yield requests of 500 recipients."""
    rows = csv.DictReader(lines)
    while batch := list(islice(rows, _BATCH)):
        messages = [
            {
                "type_send_1": "sms",
                "sender": "ACME",
                "text": _TEXT.format(name=row["name"]),
                "phones": [{"phone": row["phone"]}],
            }
            for row in batch
        ]
        yield json.dumps({"token": token, "message": messages}).encode()


def timed(work, file: Path) -> float:  # type: ignore[no-untyped-def]
    """Return the seconds that *work* takes with *file*."""
    start = time.monotonic()
    work(file)
    return time.monotonic() - start


def run(emulator: Child, *words: str, killed_at: int | None = None) -> Ran:
    """Run a command; `kill -9` it when the emulator has sent *killed_at* messages."""
    environ = os.environ | {"WEBCOM_BASE_URL": emulator.base_url, "WEBCOM_TOKEN": emulator.token}
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, "-m", "webcom_async", *words], stdout=out, env=environ)
        if killed_at is not None:
            kill_at(process, emulator, killed_at)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return Ran(process.returncode, time.monotonic() - start, usage.ru_maxrss * unit / 1e6, out.read())


def kill_at(process: "subprocess.Popen[bytes]", emulator: Child, messages: int) -> None:
    """Wait until the emulator has sent *messages*, and kill the process, unless it ends first."""
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if emulator.ledger()["sent"] >= messages:
            process.send_signal(signal.SIGKILL)
            return
        time.sleep(3)  # the emulator counts the whole ledger each time


def read_export(path: Path) -> tuple[int, dict[str, int]]:
    """Return how many rows are in the file's order, and the count of each outcome."""
    counts: Counter[str] = Counter()
    in_order = 0
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            in_order += str(number + 2) == row["line"] and row["name"] == f"Анна {number}"
            counts[row["outcome"] if row["outcome"] != "not_sent" else row["reason"]] += 1
    return in_order, dict(counts)


def told(counts: dict[str, int]) -> str:
    """Return counts in one line."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))


def say(words: str) -> None:
    """Print progress on stderr."""
    sys.stderr.write(f"{words}\n")


if __name__ == "__main__":
    sys.exit(main())
