"""
SQLite for DBOS on interpreters whose library is too old for it.

From Python 3.12 on, DBOS 3.4 uses `unixepoch('subsec')`, new in SQLite 3.42; many interpreters have an older one
(Debian 12: 3.40). This dialect of SQLAlchemy adds the function.
"""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from webcom_async._storage.sqlite.database import SQLITE_VERSION

__all__ = ["Dialect", "usable"]

_NAME = "webcom_async"
_PLAIN, _OURS = "sqlite://", f"sqlite+{_NAME}://"


def usable(url: str, version: tuple[int, ...] = SQLITE_VERSION) -> str:
    """Return the URL to give DBOS for the database at *url*."""
    if version >= (3, 42) or not url.startswith(_PLAIN):
        return url
    registry.register(f"sqlite.{_NAME}", __name__, Dialect.__name__)
    return url.replace(_PLAIN, _OURS, 1)


class Dialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect, with `unixepoch('subsec')` on each connection."""

    supports_statement_cache = True

    def on_connect(self) -> Callable[[Any], None]:
        inherited = super().on_connect()

        def connected(connection: Any) -> None:
            inherited(connection)
            connection.create_function("unixepoch", 1, _seconds)

        return connected


def _seconds(modifier: str) -> float:
    """Return seconds since 1970, with milliseconds."""
    if modifier != "subsec":
        raise ValueError(modifier)  # SQLite's own takes moments too: DBOS does not use that
    return round(time.time(), 3)
