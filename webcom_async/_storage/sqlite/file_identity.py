"""
Where a file of SQLite's is: whether it may be opened there, and whether it still is there.

A file that is moved or removed while it is open can be written as before, without an error, and what is written is in
no file that anybody opens again. So what SQLite has open is compared with what the paths lead to. Nothing is opened for
that: on POSIX systems, closing any handle of a file drops the locks that SQLite has on it.
"""

import os
from collections.abc import Collection
from pathlib import Path

from webcom_async._domain.errors import JournalError
from webcom_async._domain.paths import Identity, StrPath, check_file, identity_of

__all__ = ["BESIDE", "FileIdentity", "FileMoved"]

BESIDE = ("-wal", "-shm", "-journal")  # SQLite's endings
_LEFT_BEHIND = (
    "its rows are missing, and a {wal} is there with the latest of them: the file was moved or removed while it was in "
    "use. Put it back, or move that file to where it is now, as its -wal; if the rows are not needed, remove that file"
)


class FileMoved(JournalError):
    """An open file is not where it was opened; what was written last may be in it or not."""


class FileIdentity:
    """
    The path of a file, which may be opened.

    Args:
        path: The path.
        create: Whether a free name will do.

    Raises:
        OSError: The file may not be opened, and nothing was touched; `strerror` says why.

    Attributes:
        path: The path, whatever the working directory becomes.
        real: The path behind symbolic links, which is that of SQLite's files beside it.
    """

    def __init__(self, path: StrPath, *, create: bool) -> None:
        check_file(path, new=create)
        self.path: str = os.fspath(Path(path).absolute())
        self.real: str = os.path.realpath(self.path)
        self._links = Path(path).is_symlink()
        self._opened: dict[str, Identity] = {}
        self._filled = ""  # the file, once something is in it
        for ending in BESIDE:
            self._check_beside(f"{self.real}{ending}")
        wal = f"{self.real}-wal"
        if _size(wal) and not _size(self.real):  # SQLite would remove it
            raise OSError(0, _LEFT_BEHIND.format(wal=wal), path)

    def remember(self, *endings: str) -> None:
        """
        Remember what has just been opened: the file, and those beside it that are there; with these, it is not empty.

        Raises:
            OSError: The path leads to another kind of file by now.
        """
        check_file(self.path)
        for path in (self.path, *(f"{self.real}{ending}" for ending in endings)):
            found = identity_of(path)
            if found is not None:
                self._opened.setdefault(path, found)
        self._filled = self.path if endings else ""

    def forget(self) -> None:
        """Have nothing to remember: all is closed."""
        self._opened.clear()

    def lost(self) -> Collection[str]:
        """Return the paths that do not lead to what was opened there; a few microseconds."""
        filled = self._filled
        # A file that was moved, and has a link to it in its place, is without its `-wal` for all who open it there.
        links = self._links
        opened = self._opened.items()
        return [path for path, was in opened if identity_of(path, empty=path != filled, links=links) != was]

    def _check_beside(self, path: str) -> None:
        try:
            check_file(path, new=True, links=False)
        except OSError as exc:
            raise OSError(exc.errno, f"{path} is in its way: {exc.strerror}", path) from None


def _size(path: str) -> int:
    """Return a file's bytes; 0 if there is none."""
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
