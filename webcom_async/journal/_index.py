"""
Where a key may stand in a journal: never missed, and rarely named in vain.

Lives as long as the journal is open. It may not know what keys mean; whoever asks looks at the places it names.
"""

import struct
from collections.abc import Collection, Iterable
from itertools import combinations, cycle, islice

from webcom_async.journal import _sql
from webcom_async.journal._file import JournalFile

__all__ = ["Index"]

# A filter in front: two bits of one of eight million bytes per key. Of a million keys, one new one in 200 seems known.
_BYTES = 1 << 23
_TWO_BITS = tuple(1 << one | 1 << two for one, two in combinations(range(8), 2))
_PATTERNS = tuple(islice(cycle(_TWO_BITS), 256))
_BUCKETS = 1 << 9  # the fewer, the cheaper is adding, and the dearer is finding
_KEPT = 1 << 16  # entries in memory, about 3 MB; the more, the cheaper is one
_PLACE = (1 << 32) - 1  # the lower half of an entry; the upper one is half of the key's hash
_ENTRY = 8


class Index:
    """
    Keys, and the places they may stand in.

    Args:
        file: Whose temporary tables take what memory should not.
        number: 0, 1, …: its own among those of a file.
    """

    def __init__(self, file: JournalFile, number: int) -> None:
        self._file = file
        self._first_bucket = number * _BUCKETS
        self._bits = bytearray(_BYTES)
        self._buckets: list[list[int]] = [[] for _ in range(_BUCKETS)]
        self._kept = 0
        file.change(_sql.MAKE_PLACES)

    def seen(self, keys: Iterable[str]) -> list[str]:
        """Return those of *keys* that may have been added or noted; the others have not."""
        bits, patterns = self._bits, _PATTERNS
        return [
            key
            for key in keys
            # Most bytes are zero still, and a pattern costs as much as its byte.
            if (found := bits[(hashed := hash(key)) >> 8 & _BYTES - 1])
            and found & (pattern := patterns[hashed & 255]) == pattern
        ]

    def note(self, keys: Iterable[str]) -> None:
        """Add *keys* that the main file's own indexes find."""
        bits, patterns = self._bits, _PATTERNS
        for hashed in map(hash, keys):
            bits[hashed >> 8 & _BYTES - 1] |= patterns[hashed & 255]

    def add(self, keys: Collection[str], place: int) -> None:
        """Add *keys*, who stand in *place*."""
        bits, patterns, buckets = self._bits, _PATTERNS, self._buckets
        for hashed in map(hash, keys):
            bits[hashed >> 8 & _BYTES - 1] |= patterns[hashed & 255]
            buckets[hashed & _BUCKETS - 1].append(hashed & ~_PLACE | place)
        self._kept += len(keys)

    def places(self, keys: Iterable[str]) -> set[int]:
        """Return where *keys* may stand; some of it in vain."""
        wanted: dict[int, list[int]] = {}
        for hashed in map(hash, keys):
            wanted.setdefault(hashed & _BUCKETS - 1, []).append(hashed >> 32)
        found: set[int] = set()
        for number, halves in wanted.items():
            found.update(entry & _PLACE for entry in self._buckets[number] if entry >> 32 in halves)
        rows = ",".join(str(self._first_bucket + number) for number in wanted)
        for bucket, entries in self._file.fetch(_sql.FIND_PLACES, f"[{rows}]"):
            for half in wanted[bucket - self._first_bucket]:
                found.update(_search(entries, half.to_bytes(_ENTRY // 2, "little", signed=True)))
        return found

    def tidy(self, *, everything: bool = False) -> None:
        """Bring what memory should not hold any longer to the disk. Not within a transaction, which may be undone."""
        if not everything and self._kept < _KEPT:
            return
        rows = [
            (self._first_bucket + number, struct.pack(f"<{len(entries)}q", *entries))
            for number, entries in enumerate(self._buckets)
            if entries
        ]
        with self._file.transaction():
            self._file.change_many(_sql.ADD_PLACES, rows)
        for entries in self._buckets:
            entries.clear()
        self._kept = 0


def _search(entries: bytes, needle: bytes) -> Iterable[int]:
    """Yield the places of the entries whose upper half is *needle*."""
    at = entries.find(needle)
    while at >= 0:
        if at % _ENTRY == _ENTRY // 2:
            yield int.from_bytes(entries[at - _ENTRY // 2 : at], "little")
        at = entries.find(needle, at + 1)
