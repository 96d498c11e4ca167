"""How a file is named in arguments."""

import os
import re
from typing import TypeAlias

__all__ = ["StrPath", "is_url"]

StrPath: TypeAlias = str | os.PathLike[str]

_begins_a_url = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE).match  # one letter is a drive


def is_url(path: StrPath) -> bool:
    """Whether *path* is a URL that was taken for a path: it may hold a password, which is not to be repeated."""
    return _begins_a_url(os.fspath(path)) is not None
