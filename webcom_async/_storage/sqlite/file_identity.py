"""
The identity of a SQLite file: whether it may be opened, and whether its path still leads to it.

A file that is moved or removed while open can still be written without an error, and the data is lost to later readers.
So the open files are compared with what their paths lead to, without opening anything: on POSIX systems, closing any
handle of a file drops SQLite's locks on it.
"""

import os
from collections.abc import Collection
from pathlib import Path

from webcom_async._domain.errors import JournalError
from webcom_async._domain.given import Identity, StrPath, check_file, identity_of

__all__ = ["BESIDE", "FileIdentity", "FileMoved"]

BESIDE = ("-wal", "-shm", "-journal")  # SQLite's endings
_LEFT_BEHIND = (
    "its rows are missing, and a {wal} is there with the latest of them: the file was moved or removed while it was in "
    "use. Put it back, or move that file to where it is now, as its -wal; if the rows are not needed, remove that file"
)


class FileMoved(JournalError):
    """An open file is no longer where it was opened; it may lack the last write."""


class FileIdentity:
    """
    The path of a file, and the identity of what was opened there.

    Args:
        path: The path.
        create: Whether the file may be missing.

    Raises:
        OSError: The file may not be opened, and nothing was touched; `strerror` says why.

    Attributes:
        path: The absolute path.
        real: The path behind symbolic links, beside which SQLite keeps its files.
    """

    def __init__(self, path: StrPath, *, create: bool) -> None:
        check_file(path, new=create)
        self.path: str = os.fspath(Path(path).absolute())
        self.real: str = os.path.realpath(self.path)
        self._links = Path(path).is_symlink()
        self._opened: dict[str, Identity] = {}
        self._filled = ""  # the file, once it is not empty
        for ending in BESIDE:
            self._check_beside(f"{self.real}{ending}")
        wal = f"{self.real}-wal"
        if _size(wal) and not _size(self.real):  # SQLite would remove it
            raise OSError(0, _LEFT_BEHIND.format(wal=wal), path)

    def remember(self, *endings: str) -> None:
        """Record identities, also with *endings*; with these, the file counts as not empty."""
        check_file(self.path)
        for path in (self.path, *(f"{self.real}{ending}" for ending in endings)):
            found = identity_of(path)
            if found is not None:
                self._opened.setdefault(path, found)
        self._filled = self.path if endings else ""

    def forget(self) -> None:
        self._opened.clear()

    def lost(self) -> Collection[str]:
        """Takes a few microseconds."""
        filled = self._filled
        # A moved file with a link in its place lacks its `-wal` for those that open it there.
        links = self._links
        opened = self._opened.items()
        return [path for path, was in opened if identity_of(path, empty=path != filled, links=links) != was]

    def _check_beside(self, path: str) -> None:
        try:
            check_file(path, new=True, links=False)
        except OSError as exc:
            raise OSError(exc.errno, f"{path} is in its way: {exc.strerror}", path) from None


def _size(path: str) -> int:
    """Return 0 if the file is missing."""
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
