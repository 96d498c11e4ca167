"""
Decide which of several that open a file at once becomes its owner.

SQLite's own lock is what protects the file. But it is taken in two steps, so that two who open a file at the same
moment may both be refused. The owner's lock is one byte, far beyond the file's end, and is taken in one step. It
belongs to the file and not to its name, and the system releases it when a process dies.
"""

import errno
import os
import sys
import threading
from contextlib import suppress
from typing import Self

from webcom_async._domain.given import Identity, StrPath

__all__ = ["OWNERS", "FileOwner"]

OWNERS = threading.RLock()
"""Held while a file is created or owned: closing any handle of a file drops this process's locks on it."""

_BYTE = 2**62
_owned: "dict[Identity, FileOwner]" = {}


class FileOwner:
    """
    The owner of a file, until it is closed.

    Args:
        handle: An open descriptor of the file; None if it cannot be locked.
        identity: The file.

    Attributes:
        process: The process that owns the file: one that is forked inherits no locks.
    """

    def __init__(self, handle: int | None, identity: Identity) -> None:
        self._handle = handle
        self._identity = identity
        self.process: int = os.getpid()

    @classmethod
    def of(cls, path: StrPath) -> Self | None:
        """
        Return None if the file has an owner, in this process or in another.

        Raises:
            OSError: There is no such file.
        """
        with OWNERS:
            found = os.stat(path)  # noqa: PTH116 - as `identity_of`
            identity = (found.st_dev, found.st_ino)
            if identity in _owned and _owned[identity].process == os.getpid():
                return None
            handle = _opened(path)
            if handle is not None and not _locked(handle):
                os.close(handle)
                return None
            owner = _owned[identity] = cls(handle, identity)
            return owner

    def close(self) -> None:
        with OWNERS:
            if _owned.get(self._identity) is self:
                del _owned[self._identity]
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


def _opened(path: StrPath) -> int | None:
    """Return None if the file is read-only, or the system has no such locks: SQLite says what is wrong."""
    if sys.platform == "win32":
        return None
    with suppress(OSError):
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    return None


def _locked(handle: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _BYTE)
    except OSError as exc:
        return exc.errno not in (errno.EAGAIN, errno.EACCES)
    return True
