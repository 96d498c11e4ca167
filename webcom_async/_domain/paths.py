"""Check and open the files that arguments name."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import IO, Any, TypeAlias

__all__ = ["Identity", "StrPath", "check_file", "identity_of", "is_url", "open_file"]

StrPath: TypeAlias = str | os.PathLike[str]
"""A path as `open` takes it."""

Identity: TypeAlias = tuple[int, int]
"""Device and inode, which identify a file under any name."""

_begins_a_url = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE).match  # one letter is a Windows drive
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # absent on Windows, which has no such pipes
_EVERYBODY = 0o666  # minus the umask, as for any file that Python creates
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}


def is_url(path: StrPath) -> bool:
    """Whether *path* is a URL, which may hold a password: messages must not repeat it."""
    return _begins_a_url(os.fspath(path)) is not None


def identity_of(path: StrPath | int, *, empty: bool = True, links: bool = True) -> Identity | None:
    """
    Return the identity of the file at *path*, or of an open descriptor; None if there is none.

    Without *empty*, an empty file counts as none; without *links*, a symbolic link is not followed.
    """
    try:
        found = os.stat(path) if links or isinstance(path, int) else os.lstat(path)  # noqa: PTH116 - with a Path it takes twice as long, several times a batch
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if empty or found.st_size else None


def check_file(path: StrPath, *, new: bool = False, links: bool = True) -> None:
    """
    Check that *path* may be opened as a file of ours, without opening or changing anything.

    It must be a regular file, or with *links* a symbolic link to one; with *new*, also a free name in a folder.

    Raises:
        OSError: It may not be opened; `strerror` says why.
    """
    try:
        mode = Path(path).stat(follow_symlinks=links).st_mode
    except FileNotFoundError as exc:
        if Path(path).is_symlink():
            raise _refusal(path, "it is a symbolic link to a file that does not exist; remove the link") from None
        if not new:
            raise
        _check_folder(path, exc)
    except ValueError as exc:  # a NUL
        raise _refusal(path, str(exc)) from None
    else:
        _check_regular(path, mode)


def open_file(path: StrPath, mode: str = "r", encoding: str | None = None) -> IO[Any]:
    """
    Open a regular file, as `open` does.

    Raises:
        OSError: It cannot be opened, or is something else, which is neither touched nor waited for.
    """
    return open(path, mode, encoding=encoding, opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    check_file(path, new=bool(flags & os.O_CREAT))
    # Another file may have replaced it since the check, so it is truncated only once it is known to be regular.
    opened = os.open(path, (flags & ~os.O_TRUNC) | _NO_WAITING, _EVERYBODY)
    try:
        _check_regular(path, os.fstat(opened).st_mode)
        if flags & os.O_TRUNC:
            os.ftruncate(opened, 0)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _check_folder(path: StrPath, missing: OSError) -> None:
    if not Path(path).absolute().parent.is_dir():
        raise missing


def _check_regular(path: StrPath, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise _refusal(path, f"it is {kind}, not a regular file; give another path")


def _refusal(path: StrPath, why: str) -> OSError:
    return OSError(errno.EINVAL, why, os.fspath(path))
