"""
Detect the encoding of a text file from its bytes.

The whole file is read, in bounded memory, so that no unreadable byte turns up half-way through a campaign. Strict
decoding decides. An 8-bit encoding is never assumed without a look at the letters: the caller is asked if in doubt.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from webcom_async._domain.errors import InputError
from webcom_async._domain.untrusted_text import printable
from webcom_async.files._russian import NOT_RUSSIAN, WINDOWS_1251, Doubt, doubt_of
from webcom_async.files._table import LONGEST_LINE

__all__ = ["ENCODING_NAMES", "find_encoding"]

_CHUNK = LONGEST_LINE
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARKED = {  # encodings that would read a mark as a character
    "utf-8": "utf-8-sig",
    "utf-16-le": "utf-16",
    "utf-16-be": "utf-16",
    "utf-32-le": "utf-32",
    "utf-32-be": "utf-32",
}
ENCODING_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with a mark", "utf-16": "UTF-16", "cp1251": "Windows-1251"}
_SAMPLE = 4_096  # bytes
_MOST_WORDS = 20_000  # that an 8-bit encoding is looked for in: more of them take longer and say no more
_LONGEST_WORD = 60

_high_bytes = re.compile(rb"[\x80-\xff][A-Za-z\x80-\xff]*").finditer
_letters_before = re.compile(rb"[A-Za-z\x80-\xff]*\Z").search
_letters_from = re.compile(rb"[A-Za-z\x80-\xff]*").match

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

    UTF-8, with or without a byte order mark; UTF-16 and UTF-32 with one; else Windows-1251, if its letters are Russian.

    Raises:
        InputError: The bytes fit no encoding or not *given*, several encodings are likely, the file is not text, or a
            line is longer than any message could be.
    """
    with path.open("rb") as file:
        start = file.read(_SAMPLE)
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise InputError(f"{path}: it is {what}")
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if given is not None and (marked is None or marked != _MARKED.get(_canonical(given))):
        return _checked(path, given)
    if marked is not None:
        return _checked(path, marked)
    _refuse_wide(path, start)
    wrong, right = _faults(path)
    if not wrong:
        return "utf-8"
    if right > wrong:
        place = _first_fault(path)
        raise InputError(
            f"{path}, line {_line_at(path, place)}: mostly UTF-8, with bytes that are not, such as at byte {place}; "
            "save it as UTF-8, or name its encoding (--encoding)"
        )
    return _windows_1251(path)


def _canonical(encoding: str) -> str:
    """Return an encoding's own name; unchanged if there is no such encoding."""
    try:
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        return encoding


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
        raise InputError(f"{encoding!r} is not an encoding; try utf-8, cp1251, koi8-r, cp866 or utf-16") from None
    read = 0
    try:
        for chunk in _chunks(path):
            _refuse_nul(path, decoder.decode(chunk))
            read += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeError as exc:
        place = read + getattr(exc, "start", 0)
        name = ENCODING_NAMES.get(encoding, encoding)
        raise InputError(f"{path}, line {_line_at(path, place, encoding)}: not {name} at byte {place}") from None
    return encoding


def _windows_1251(path: Path) -> str:
    words = _words(path)
    doubt = doubt_of(list(words))
    if doubt is None:
        return WINDOWS_1251
    *others, last = [f"{encoding} ({_read(doubt, encoding)})" for encoding in doubt.likely]
    likely = f"{', '.join(others)} or {last}" if others else last
    raise InputError(
        f"{path}, line {_line_at(path, words[doubt.word])}: not UTF-8, and not Windows-1251 in Russian "
        f"({_read(doubt, WINDOWS_1251)}); name its encoding (--encoding; of a stop list "
        f"--stop-list-encoding), likely {likely}"
    )


def _read(doubt: Doubt, encoding: str) -> str:
    return repr(printable(doubt.word.decode(encoding, "replace")))


def _words(path: Path) -> dict[bytes, int]:
    """Return words that are not ASCII and where each begins: the first ones, and the first that is not Russian."""
    words: dict[bytes, int] = {}
    read = 0
    left = _MOST_WORDS
    for chunk in _chunks(path):
        for found in islice(_high_bytes(chunk), left):
            left -= 1
            _add_word(words, chunk, found.start(), read)
        odd = NOT_RUSSIAN.search(chunk)
        if odd:
            _add_word(words, chunk, odd.start(), read)
            break
        read += len(chunk)
    return words


def _add_word(words: dict[bytes, int], chunk: bytes, place: int, read: int) -> None:
    """Add the word that holds the byte at *place* of a *chunk* that *read* bytes precede."""
    before = _letters_before(chunk[max(0, place - _LONGEST_WORD) : place])
    after = _letters_from(chunk, place, place + _LONGEST_WORD)
    if before and after:  # always: both may be empty
        words.setdefault(before[0] + after[0], read + place - len(before[0]))


def _line_at(path: Path, place: int, encoding: str = "ascii") -> int:
    """Return the number of the line that holds the byte at *place*."""
    with path.open("rb") as file:
        decoder = codecs.getincrementaldecoder(encoding)(errors="ignore")
        line, last = 1, ""
        while place > 0 and (chunk := file.read(min(place, _CHUNK))):
            place -= len(chunk)
            text = last + decoder.decode(chunk)
            last = "\r" if text.endswith("\r") else ""  # its line feed may come next
            text = text.removesuffix("\r")
            line += text.count("\n") + text.count("\r") - text.count("\r\n")
        return line + len(last)


def _refuse_wide(path: Path, start: bytes) -> None:
    """Refuse UTF-16 without a mark: of a phone's digits, every other byte is a NUL."""
    first, second = start[::2].count(0), start[1::2].count(0)
    if bool(first) != bool(second) and 10 * (first + second) > len(start):
        name = "utf-16-be" if first else "utf-16-le"
        raise InputError(f"{path}: it holds NUL characters, as UTF-16 without a mark does; likely --encoding {name}")


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
