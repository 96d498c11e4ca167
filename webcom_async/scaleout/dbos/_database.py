"""
DBOS's database: engines of SQLAlchemy whose connections can be cut.

DBOS waits for its database in threads, which cannot be cancelled. What waits for a silent server ends when its
connection is cut. No statement is prepared, so that a pooler may hand each transaction to another connection.
"""

import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from dbos import DBOS
from sqlalchemy import Engine, create_engine, event, make_url

from webcom_async.scaleout.dbos._names import SCHEMA

__all__ = ["EngineDatabase"]

_CONNECT_ARGS = {
    "application_name": "webcom_async_engine",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class EngineDatabase:
    """
    The database at a URL that `usable_url` has returned.

    Attributes:
        url: The URL.
        cuts: How often its connections were cut.
    """

    def __init__(self, url: str) -> None:
        read = make_url(url)
        self._is_server = read.get_backend_name() in {"postgres", "postgresql"}
        if self._is_server:
            ours = {name: value for name, value in _CONNECT_ARGS.items() if name not in read.query}
            read = read.update_query_dict(ours).set(drivername="postgresql+psycopg")
        self.url: str = read.render_as_string(hide_password=False)
        self.cuts = 0
        self._connections: WeakSet[Any] = WeakSet()
        self._engines: list[Engine] = []

    def engine(self, connections: int) -> Engine | None:
        """Return an engine of at most so many connections; None for a file, which DBOS opens itself."""
        if not self._is_server:
            return None
        made = create_engine(self.url, pool_size=connections, max_overflow=0, pool_timeout=30)
        event.listen(made, "connect", self._connected)
        self._engines.append(made)
        return made

    def dispose(self) -> None:
        """Close the idle connections of all engines: DBOS leaves them to their maker."""
        for engine in self._engines:
            engine.dispose()

    def migrate(self) -> None:
        """Create or migrate DBOS's tables."""
        url = self.url.replace("postgresql+psycopg://", "postgresql://", 1)
        with self._listening():
            DBOS.migrate(url, schema=SCHEMA)

    def cut(self) -> None:
        """End all that waits for the server: its callers get an error."""
        self.cuts += 1
        for connection in list(self._connections):
            with suppress(OSError, connection.Error), _twin(connection.fileno()) as twin:
                twin.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _listening(self) -> Generator[None]:
        """DBOS makes an engine of its own to migrate with."""
        if not self._is_server:
            yield
            return
        event.listen(Engine, "connect", self._connected)
        try:
            yield
        finally:
            event.remove(Engine, "connect", self._connected)

    def _connected(self, connection: Any, _record: object) -> None:
        if hasattr(connection, "prepare_threshold"):
            connection.prepare_threshold = None
            self._connections.add(connection)


def _twin(descriptor: int) -> socket.socket:
    return socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM)
