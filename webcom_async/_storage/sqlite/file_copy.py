"""
Tell whether a SQLite file can have changed while it was copied, and copy what lies beside it.

While a log is open, the file changes only by pages that are copied from the log, and the log only grows until it
begins from its start, with another header. So pages and a log that was copied after them are consistent, however they
are torn, if the log's header has stayed the same. SQLite checks each entry of the log.

Source: sqlite.org/fileformat2.html, sections 3 and 4.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from webcom_async._domain.given import Identity, identity_of

__all__ = ["Mark", "copy_beside"]

_HEADER = 32  # bytes of a log's header, with a salt that changes when the log begins again
_COPIED = ("-journal", "-wal")


class Mark(NamedTuple):
    """
    What stays the same unless a copy that is taken meanwhile is torn.

    Attributes:
        identity: The file.
        log: The header of its log; empty if there is none.
        changed: Time and size of the file's last change; without a log only.
    """

    identity: Identity | None
    log: bytes
    changed: tuple[int, int]

    @classmethod
    def of(cls, path: str) -> Self:
        found = os.stat(path)  # noqa: PTH116 - a text
        log = _header(f"{path}-wal")
        return cls(identity_of(path), log, (0, 0) if log else (found.st_mtime_ns, found.st_size))


def copy_beside(path: str, copy: str) -> None:
    """Copy the logs beside *path*; those of an earlier copy are removed."""
    for ending in _COPIED:
        Path(f"{copy}{ending}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")


def _header(path: str) -> bytes:
    try:
        with Path(path).open("rb") as log:
            return log.read(_HEADER)
    except FileNotFoundError:
        return b""
