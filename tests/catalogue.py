"""
The command line's catalogue of translations: `python -m tests.catalogue` checks it, `--write` compiles it first.

Every message that the package marks has one entry in the `.po` file, in the format of GNU gettext, and the `.mo` file
beside it is what Python's `gettext` reads. Messages are marked by the functions that show them, see `MARKS`; the
values of some enumerations are messages, too.
"""

import ast
import re
import struct
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import webcom_async
from webcom_async import Outcome, Reason
from webcom_async.scaleout import CampaignState
from webcom_async.segments import Remedy

__all__ = ["MO", "PO", "Entry", "Key", "compiled", "faults", "marked", "read_po"]

PACKAGE = Path(webcom_async.__file__).parent
PO = PACKAGE / "_cli" / "locale" / "ru" / "LC_MESSAGES" / "webcom_async.po"
MO = PO.with_suffix(".mo")
MARKS = {"tr": 1, "gettext_noop": 1, "Sentence": 1, "tr_plural": 2}  # how many of the arguments are messages
ENUMS: tuple[type[Enum], ...] = (Outcome, Reason, CampaignState, Remedy)
FORMS = 3  # of a Russian plural

_MAGIC = 0x950412DE
_HEADER = ("",)
_braces = re.compile(r"{\w+}").findall
_line = re.compile(r'(?:(msgid|msgid_plural|msgstr(?:\[\d\])?) )?(".*")').fullmatch
Key = tuple[str, ...]
"""A message, or its singular and its plural."""


class Entry(NamedTuple):
    """What a catalogue has for a message: its translation, or that of each plural form."""

    key: Key
    translations: tuple[str, ...]
    fuzzy: bool = False


def marked() -> set[Key]:
    """Return the messages of the package."""
    keys = {(str(member.value),) for each in ENUMS for member in each}
    for path in PACKAGE.rglob("*.py"):
        keys.update(_marked_in(path))
    return keys


def _marked_in(path: Path) -> Iterator[Key]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
            words = [each.value for each in node.args[: MARKS[node.func.id]] if isinstance(each, ast.Constant)]
            if words:
                yield tuple(map(str, words))
            elif node.func.id != "tr":  # which may show what `gettext_noop` has marked
                raise ValueError(f"{path}:{node.lineno}: write the message where {node.func.id} is called")


def _texts() -> set[str]:
    """Return every text of the command line's source: a variable may bring a message to `tr`."""
    nodes = (node for path in (PACKAGE / "_cli").rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def read_po(text: str) -> list[Entry]:
    """Return the entries of a `.po` file, the header among them, whose message is empty."""
    return [_entry(block) for block in text.split("\n\n") if block.strip()]


def _entry(block: str) -> Entry:
    parts: dict[str, str] = {}
    latest, fuzzy = "", False
    for line in block.strip().split("\n"):
        fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
        if line.startswith("#"):
            continue
        found = _line(line)
        if found is None:
            raise ValueError(f"not a line of a .po file: {line}")
        latest = found[1] or latest
        parts[latest] = parts.get(latest, "") + ast.literal_eval(found[2])
    key = tuple(parts[name] for name in ("msgid", "msgid_plural") if name in parts)
    return Entry(key, tuple(value for name, value in parts.items() if name.startswith("msgstr")), fuzzy)


def compiled(catalogue: list[Entry]) -> bytes:
    """Return the `.mo` file of a catalogue, the same as `msgfmt --no-hash` makes: two sorted tables, then the texts."""
    pairs = sorted(("\0".join(entry.key).encode(), "\0".join(entry.translations).encode()) for entry in catalogue)
    columns = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    header, table = struct.calcsize("7I"), 8 * len(pairs)
    offset, tables, texts = header + 2 * table, b"", b""
    for text in [text for column in columns for text in column]:
        tables += struct.pack("<2I", len(text), offset + len(texts))
        texts += text + b"\0"
    return struct.pack("<7I", _MAGIC, 0, len(pairs), header, header + table, 0, offset) + tables + texts


def faults(po: str, mo: bytes, wanted: set[Key]) -> list[str]:
    """
    Return what is wrong with a catalogue, a line for each fault.

    Args:
        po: The `.po` file.
        mo: The `.mo` file.
        wanted: The messages that need an entry.
    """
    catalogue = read_po(po)
    known = [entry for entry in catalogue if entry.key != _HEADER]
    keys = [entry.key for entry in known]
    found = [f"missing: {key}" for key in sorted(wanted - set(keys))]
    found += [f"unused: {key}" for key in sorted(set(keys) - wanted) if key[0] not in _texts()]
    found += [f"twice: {key}" for key in sorted({key for key in keys if keys.count(key) > 1})]
    found += [f"{fault}: {entry.key}" for entry in known if (fault := _fault(entry))]
    return found if mo == compiled(catalogue) else [*found, "not compiled: give --write"]


def _fault(entry: Entry) -> str:
    if entry.fuzzy or not all(entry.translations):
        return "unfinished"
    if len(entry.translations) != (1 if len(entry.key) == 1 else FORMS):
        return "a plural form is missing"
    wanted = set(_braces(entry.key[-1]))
    return "" if all(set(_braces(each)) == wanted for each in entry.translations) else "other braces"


def main() -> int:
    """Compile the catalogue with `--write`, print its faults, and return an exit code."""
    po = PO.read_text(encoding="utf-8")
    if "--write" in sys.argv[1:]:
        MO.write_bytes(compiled(read_po(po)))
    found = faults(po, MO.read_bytes(), marked())
    print(*(found or ["every message has its Russian"]), sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
