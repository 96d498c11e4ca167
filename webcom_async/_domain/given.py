"""
Check what a caller gives as a name, a key, a path or an address, and open the files that arguments name.

Empty text is refused: as a rule it is a variable that was never set. If it meant "left out", a campaign would get
another name, or a message another route, than its author meant.
"""

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from webcom_async._domain.errors import ConfigurationError, InputError, WebcomError

__all__ = [
    "Identity",
    "StrPath",
    "campaign_name",
    "check_file",
    "identity_of",
    "is_url",
    "new_name_error",
    "new_private_file",
    "open_file",
    "refuse_blank",
    "refuse_unknown",
    "variable",
]


_HIDDEN = frozenset({"Cc", "Cf"})  # controls and marks, such as a byte order mark


def refuse_blank(
    what: str,
    given: object,
    error: type[WebcomError] = InputError,
    *,
    advice: str = "give it a value, or leave it out",
) -> None:
    """
    Raise *error* if *given* is empty or white space; values other than `str` pass.

    *what* is the caller's name for it, and *advice* what the caller can do.
    """
    if isinstance(given, str) and not _seen(given):
        raise error(f"{what} is {'blank' if given else 'empty'}: {advice}")


# What other libraries call it: the two names have few letters in common.
_ELSEWHERE = {
    "concurrency": "in_flight",
    "from_": "sender",
    "max_attempts": "attempts",
    "max_connections": "in_flight",
    "max_retries": "attempts",
    "rate_limit": "rate",
    "retries": "attempts",
    "url": "base_url",
}


def refuse_unknown(call: str, given: Iterable[str], known: Collection[str], *, elsewhere: Collection[str] = ()) -> None:
    """
    Raise `TypeError` if *given* has a keyword that is not in *known*; it names the nearest, and all of *known*.

    The client has those in *elsewhere*.
    """
    for name in given:
        if name not in known:
            hint = _hint(name, known, elsewhere)
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}{hint} It takes {', '.join(known)}")


def _hint(name: str, known: Collection[str], elsewhere: Collection[str]) -> str:
    near = _nearest(name, known)
    if near and not {name, _ELSEWHERE.get(name)} & {*elsewhere} - {*known}:
        return f": do you mean {near}?"
    near = _nearest(name, elsewhere)
    return f": it is an option of the client, as in WebcomClient({near}=...)." if near else "."


def _nearest(name: str, names: Collection[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - for an error alone

    if _ELSEWHERE.get(name) in names:
        return _ELSEWHERE[name]
    return next(iter(get_close_matches(name, names, 1)), None)


def campaign_name(given: object) -> str:
    if not isinstance(given, str):
        raise InputError(f"campaign is {given!r}; it must be a name, or left out")
    refuse_blank("campaign", given)
    return given


def new_name_error(campaign: str) -> InputError | None:
    """
    Return why a new campaign may not have this name; None if it may.

    Ids are derived from the exact name: `spring` with a line end, which a shell or a file may add, would send every
    recipient of `spring` a second SMS. Existing campaigns of earlier releases keep such names.
    """
    seen = _seen(campaign)
    if campaign == seen:
        return None
    return InputError(
        f"campaign {campaign!r} begins or ends with white space, which makes it another campaign than "
        f"{seen!r}: leave the white space out"
    )


def _seen(text: str) -> str:
    """Return *text* without white space and invisible marks at its ends."""
    text = text.strip()
    while text and not text.isprintable() and (_is_hidden(text[0]) or _is_hidden(text[-1])):
        text = (text[1:] if _is_hidden(text[0]) else text[:-1]).strip()
    return text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN


def variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return a variable of the environment, and refuse a blank one."""
    given = environ.get(name)
    refuse_blank(name, given, ConfigurationError, advice="give it a value, or unset it")
    return given


StrPath: TypeAlias = str | os.PathLike[str]
"""A path as `open` takes it."""

Identity: TypeAlias = tuple[int, int]
"""Device and inode, which identify a file under any name."""

_begins_a_url = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE).match  # one letter is a Windows drive
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # absent on Windows, which has no such pipes
_PRIVATE = 0o600
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


def new_private_file(path: StrPath, buffering: int = -1) -> IO[bytes]:
    """
    Create a file that its owner alone may read, because it holds phones.

    Raises:
        OSError: It exists, or cannot be created.
    """
    return open(path, "xb", buffering, opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE)


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
