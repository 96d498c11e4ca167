"""
Detect the encoding of a text file from its bytes.

The whole file is read, in bounded memory, so that no unreadable byte turns up half-way through a campaign.
"""

import codecs
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from webcom_async._domain.errors import InputError
from webcom_async.files._table import LONGEST_LINE

__all__ = ["ENCODING_NAMES", "find_encoding"]

_CHUNK = LONGEST_LINE
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = "cp1251"  # Excel's encoding on a Russian Windows
ENCODING_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with a mark", "utf-16": "UTF-16", "cp1251": "Windows-1251"}

# Files that are often given in place of a text file, and what to do about each.
_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or another archive; save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV"),
    (b"\x1f\x8b", "compressed; unpack it first"),
    (b"%PDF", "a PDF; save the table as CSV"),
)


def find_encoding(path: Path, given: str | None = None) -> str:
    """
    Return the encoding of *path*: *given*, after a check, or the detected one.

    UTF-8, with or without a byte order mark; UTF-16 with one; else Windows-1251.

    Raises:
        InputError: The bytes fit no encoding or not *given*, the file is not text, or a line is longer than any message
            could be.
    """
    with path.open("rb") as file:
        start = file.read(4)
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise InputError(f"{path}: it is {what}")
    if given is not None:
        return _checked(path, given)
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if marked is not None:
        return _checked(path, marked)
    wrong, right = _faults(path)
    if not wrong:
        return "utf-8"
    if right >= wrong:
        raise InputError(
            f"{path}: mostly UTF-8, with bytes that are not, such as at byte {_first_fault(path)}; "
            "save it as UTF-8, or name its encoding"
        )
    return _checked(path, _LEGACY)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if len(chunk) == _CHUNK and b"\n" not in chunk and b"\r" not in chunk:
                raise InputError(f"{path}: it has a line of more than {_CHUNK:,} bytes")
            yield chunk


def _checked(path: Path, encoding: str) -> str:
    try:
        "a".encode(encoding)  # fails for codecs that do not encode text, such as rot13
        decoder = codecs.getincrementaldecoder(encoding)()
    except (LookupError, ValueError):
        raise InputError(f"{encoding!r} is not an encoding; try utf-8, cp1251 or utf-16") from None
    read = 0
    try:
        for chunk in _chunks(path):
            _refuse_nul(path, decoder.decode(chunk))
            read += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeError as exc:
        place = read + getattr(exc, "start", 0)
        raise InputError(f"{path}: not {ENCODING_NAMES.get(encoding, encoding)} at byte {place}") from None
    return encoding


def _refuse_nul(path: Path, text: str) -> None:
    if "\0" in text:
        raise InputError(f"{path}: it holds NUL characters, as UTF-16 without a mark and binary files do")


def _faults(path: Path) -> tuple[int, int]:
    """Return how many bytes are not UTF-8, and how many characters are valid and not ASCII."""
    # Invalid bytes become surrogates, which valid UTF-8 never holds; U+FFFD may be in the file itself.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    wrong = right = 0
    for chunk in chain(_chunks(path), [b""]):
        text = decoder.decode(chunk, final=not chunk)
        _refuse_nul(path, text)
        if not text.isascii():
            sound = len(text.encode(errors="ignore").decode())
            wrong += len(text) - sound
            right += sound - len(text.encode("ascii", errors="ignore"))
    return wrong, right


def _first_fault(path: Path) -> int:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    for chunk in _chunks(path):
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as exc:
            return read + exc.start
        read += len(chunk)
    return read
