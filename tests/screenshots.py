"""
`python -m tests.screenshots`: the pictures in `docs/`, of real commands on a terminal, sending to an emulator.

The file has people with Russian names and phones as Excel writes them; each phone is one of the vendor's
example numbers or follows one.
"""

import argparse
import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import anyio
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.postgres_server import serve
from webcom_async._cli.commands.emulate import Settings, child
from webcom_async.postgres import PostgresStore
from webcom_async.scaleout import CampaignStatus

__all__ = ["main"]

_DOCS = Path(__file__).parent.parent / "docs"
_COLUMNS = 118
_PEOPLE = 3_000
_FIRST_PHONE = 9_612_242_243
_NAMES = ("Анна", "Пётр", "Мария", "Ян", "Ольга", "Константин", "Александра-Виктория")
_TEXT = "Здравствуйте, {имя}! В субботу — скидки до 50 % на всю зимнюю коллекцию. Ждём вас!"
_SHOWN_AT = 0.6  # of the campaign
_REDRAWN = re.compile(r"\r(?:\x1b\[1A)?\x1b\[2K")


def main() -> int:
    """Make the pictures that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--lang", choices=("en", "ru"), default="en", help="the language of the tables")
    parser.add_argument("--folder", type=Path, default=_DOCS, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stopped = Path(folder) / "stopped.txt"
        stopped.write_text("\n".join(f"7{_FIRST_PHONE + number}" for number in range(40, _PEOPLE, 250)))
        with child(Settings(latency=0.3, lost=0.02, busy=0.03, seed=3, stop_list=stopped)) as emulator:
            environ = {"WEBCOM_BASE_URL": emulator.base_url, "WEBCOM_TOKEN": emulator.token}
            for name, picture in pictures(Path(folder), environ | {"WEBCOM_LANG": arguments.lang}).items():
                (arguments.folder / f"{name}.svg").write_text(picture, encoding="utf-8")
    return 0


def pictures(folder: Path, environ: dict[str, str]) -> dict[str, str]:
    """Return the pictures by their names."""
    write_people(folder / "клиенты.csv")
    text = ["--text", _TEXT]
    shown = _REDRAWN.split(run(folder, environ, "preview", "клиенты.csv", *text, "--price", "2.40"))[-1]
    named = ["--campaign", "spring", "--journal", "spring.journal"]
    send = ["send", "клиенты.csv", "--sender", "ACME", *text, *named, "--yes", "--batch-size", "50", "--rate", "400"]
    written = _REDRAWN.split(run(folder, environ, *send))
    frames = [frame for frame in written if "━" in frame]
    findings = written[written.index(frames[0]) - 1].removesuffix("\x1b[?25l")
    at = frames[int(len(frames) * _SHOWN_AT)].rstrip("\r\n")
    report = run(folder, environ, "report", "spring.journal")
    brief = "--text '…' --campaign spring --journal spring.journal"
    at_work = "webcom-async campaign status spring"
    return {
        "campaign": picture(at_work, run_by_many(folder, environ, *text)),
        "preview": picture(f"webcom-async preview клиенты.csv --text '{_TEXT}' --price 2.40", shown),
        "sending": picture(f"webcom-async send клиенты.csv --sender ACME {brief} --rate 400", findings + at),
        "report": picture("webcom-async report spring.journal", report),
    }


def run_by_many(folder: Path, environ: dict[str, str], *text: str) -> str:
    """Return what `campaign status` shows while three workers send."""
    with serve() as server, ExitStack() as at_work:
        known = environ | {"WEBCOM_STORE": server.database()}
        sizes = ["--batch-size", "20", "--shard-size", "200", "--rate", "150"]
        named = ["--sender", "ACME", "--campaign", "spring", "--yes"]
        run(folder, known, "campaign", "start", "клиенты.csv", *text, *named, *sizes)
        for name in ("host-1", "host-2", "host-3"):
            worker = at_work.enter_context(start(folder, known, "campaign", "worker", "--name", name))
            at_work.callback(worker.terminate)
        while not _is_shown(known):
            time.sleep(0.5)
        return run(folder, known, "campaign", "status", "spring", "--once")


def start(folder: Path, environ: dict[str, str], *words: str) -> "subprocess.Popen[bytes]":
    """Start a command, and discard what it says on stderr."""
    command = [sys.executable, "-m", "webcom_async", *words]
    return subprocess.Popen(command, cwd=folder, env=os.environ | environ, stderr=subprocess.DEVNULL)


def _is_shown(environ: dict[str, str]) -> bool:
    """Whether a campaign is as far as the pictures show it."""
    standing = anyio.run(_status, environ["WEBCOM_STORE"])
    return sum(standing.outcomes.values()) > _SHOWN_AT * standing.recipients


async def _status(dsn: str) -> CampaignStatus:
    async with PostgresStore(dsn) as store:
        return await store.status("spring")


def write_people(file: Path) -> None:
    """Write the file that Excel on a Russian Windows would write: Windows-1251, semicolons, local phones."""
    lines = ["Телефон;Имя;Город"]
    for number in range(_PEOPLE):
        digits = str(_FIRST_PHONE + number)
        phone = f"8 ({digits[:3]}) {digits[3:6]}-{digits[6:8]}-{digits[8:]}"
        lines.append(f"{'нет' if number % 500 == 217 else phone};{_NAMES[number % len(_NAMES)]};Москва")
        if number % 1_000 == 500:
            lines.append(lines[-1])
    file.write_bytes("\r\n".join(lines).encode("cp1251"))


def run(folder: Path, environ: dict[str, str], *words: str) -> str:
    """Return what a command writes to a terminal, with its escape sequences."""
    ours, theirs = pty.openpty()
    known = os.environ | environ | {"COLUMNS": str(_COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    command = [sys.executable, "-m", "webcom_async", *words]
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=known) as process:
        os.close(theirs)
        read = bytearray()
        while chunk := _read(ours):
            read += chunk
        os.close(ours)
        process.wait()
    return read.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux reports that the last writer has closed the terminal
        return b""


def picture(command: str, shown: str) -> str:
    """Return an SVG of a terminal in which *command* was typed and *shown* came out."""
    console = Console(record=True, width=_COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), command))
    console.print(Text.from_ansi(re.sub(r"\x1b\[\?25[lh]", "", shown).strip("\n")))
    svg = console.export_svg(title="webcom-async", theme=MONOKAI)
    # A picture asks no other host for its font.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")


if __name__ == "__main__":
    sys.exit(main())
