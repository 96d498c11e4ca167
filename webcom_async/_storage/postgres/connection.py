"""
Talk to PostgreSQL over one connection; the only module that imports psycopg, an extra.

Knows DSNs, transactions and what errors mean. A transaction sets what it needs for itself (`SET LOCAL`) and prepares no
statement, so a pooler may hand each transaction to another connection, and no setting reaches other users of that one.
"""

import json
import logging
import os
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as exc:
    raise ImportError("webcom_async.postgres needs psycopg: python -m pip install 'webcom-async[postgres]'") from exc

from webcom_async._domain.credentials import hide_password
from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.given import refuse_blank

__all__ = ["CONNECT_SECONDS", "FAILURES", "Address", "Link", "Session", "advice", "array", "collided", "passes"]

# psycopg's warnings about an unavailable server go to the application's handlers, and not to stderr by default.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

T = TypeVar("T")
Statement = tuple[str, Mapping[str, object]]
Rows = list[tuple[Any, ...]]
Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Cursor = psycopg.AsyncCursor[tuple[Any, ...]]
Run = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]

FAILURES = (psycopg.Error, OSError, UnicodeError)  # OSError: also a time-out of ours
CONNECT_SECONDS = 5
_STOPPED_SECONDS = 10  # after which a process suspended inside a transaction loses it
_TRANSACTION_TIMEOUT = 17_00_00

# A host that is gone does not disconnect: the client's kernel notices in half a minute, also in the middle of a write.
# libpq ignores them on Unix sockets.
_DEFAULTS: dict[str, str | int] = {
    "application_name": "webcom_async",
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# Without statistics on a new table, the planner reads all of it for a batch's few hundred rows. JIT is off because
# PostgreSQL rates a disabled plan that it must use as expensive, and would compile it.
_LOCAL_SETTINGS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    # A client's host that loses power does not disconnect: the server notices in half a minute, and frees the locks.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
# Unless the DSN, or the server's administrator, has set a bound.
_BOUND_LOCKS = "set_config('lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '30s'), true)"
# Python's names of the server encodings that cannot hold every character.
_CODECS = {
    "WIN1251": "cp1251",
    "WIN1252": "cp1252",
    "WIN866": "cp866",
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    "ISO_8859_5": "iso8859-5",
    "LATIN1": "latin-1",
}
_HOLDS_ALL = frozenset({"UTF8", "SQL_ASCII"})

_NO_TABLES = (
    "its tables are not there: the schema was dropped, or this is another, empty server, as after a failover; nothing "
    "is sent until they are back"
)
# Advice by SQLSTATE or its class. PostgreSQL's manual, appendix A.
_ADVICE = {
    "28": "it does not let this user in; check user and password of the DSN, and the server's pg_hba.conf",
    "3D": "there is no such database; make it with createdb, or correct the DSN",
    "42501": "this user may not do that; let them own the database, or GRANT them CREATE on it and all on the schema",
    "53100": "the server's disk is full; make room, then run the campaign again",
    "53200": "the server is out of memory; look at its log, then run the campaign again",
    "3F000": _NO_TABLES,
    "42P01": _NO_TABLES,
    "pooled statements": "its pooler gives each statement to another connection; let it keep one for a transaction "
    "(PgBouncer: pool_mode = transaction, or session)",
    "pooled options": "its pooler refuses a parameter of the DSN; leave that out, or let the pooler ignore it "
    "(PgBouncer: ignore_startup_parameters)",
    "25006": "the server takes no writes, as a standby does not; give the DSN of the primary",
    "22P05": "the database's encoding lacks a character; make the database with ENCODING 'UTF8', or leave it out",
    "22": "a value cannot be stored; look at the words behind it",
    "XX": "it is damaged; look at the server's log",
}
# Transient: the connection is lost, the server starts, stops or has no connection left; a statement was cancelled, or
# timed out behind a lock.
_PASSING = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300", "57014", "55P03")
_AT_ONCE = ("40001", "40P01")  # two transactions collided: retry at once
_PROTOCOL = "08P01"  # of a protocol violation; PgBouncer gives it to all its own errors
# If a connection fails, there is no SQLSTATE, only the server's text.
_REFUSALS = (
    (re.compile(r"password authentication failed|no password supplied|pg_hba\.conf|not permitted to log in"), "28"),
    (re.compile(r'FATAL:\s+role ".*" does not exist'), "28"),
    (re.compile(r'FATAL:\s+database ".*" does not exist'), "3D"),
    (re.compile(r"not allowed in statement pooling mode"), "pooled statements"),
    (re.compile(r"unsupported startup parameter"), "pooled options"),
)

_is_port = re.compile(r"[0-9, ]*").fullmatch  # one port, or one for each host


class Address:
    """
    Where a server is, and how to connect to it.

    Args:
        dsn: A `postgresql://` URL, or libpq's `key=value` form.

    Raises:
        ConfigurationError: The DSN cannot be read.
    """

    def __init__(self, dsn: str) -> None:
        self._given = _read(dsn)
        defaults = {name: value for name, value in _DEFAULTS.items() if name not in self._given}
        self._conninfo = make_conninfo(dsn, **defaults, client_encoding="utf8")

    def __str__(self) -> str:
        given = self._given
        where = given.get("host") or given.get("hostaddr") or "local"
        port = given.get("port")
        return f"{where}{f':{port}' if port else ''}/{given.get('dbname') or given.get('user') or ''}"

    def words(self, exc: BaseException) -> str:
        """Return the text of an error on one line, without the password."""
        words = " ".join(str(exc).split()) or type(exc).__name__
        password = str(self._given.get("password") or os.environ.get("PGPASSWORD") or "")
        return hide_password(words, password) if password else words

    async def connect(self) -> "Link":
        # A prepared statement belongs to a session, and a pooler hands the next transaction to another one.
        return Link(await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, prepare_threshold=None))


class Link:
    """
    A connection that can be cut: what waits for the server then ends with an error.

    Attributes:
        connection: The connection.
        process: The server's process that serves it. A pooler makes the number up; a transaction then learns it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.process = connection.info.backend_pid
        self._is_cut = False

    @property
    def usable(self) -> bool:
        """Whether the connection is open, and in no transaction."""
        return not self._is_cut and self.connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE

    @property
    def version(self) -> int:
        return self.connection.info.server_version

    def cut(self) -> None:
        """Shut the socket; a cancelled task of psycopg would talk to the server first, and wait for its answer."""
        self._is_cut = True
        with suppress(OSError, psycopg.Error), _twin(self.connection.pgconn.socket) as twin:
            twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.connection.pgconn.finish()


def _twin(descriptor: int) -> socket.socket:
    return socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM)


async def _run(work: Coroutine[Any, Any, T]) -> T:
    return await work


class Session:
    """
    A connection for one call. Each statement is a transaction, unless inside `transaction`.

    Args:
        link: The connection.
        schema: The schema whose tables statements name.
        run: A function that awaits one exchange with the server.
    """

    def __init__(self, link: Link, schema: str, run: Run = _run) -> None:
        self._link = link
        self._connection = link.connection
        self._settings = _settings(link, schema)
        self._run = run
        self._inside = False

    async def fetch(self, text: str, **parameters: object) -> Rows:
        return await _rows(await self._answer(text, parameters))

    async def change(self, text: str, **parameters: object) -> int:
        return (await self._answer(text, parameters)).rowcount

    async def together(self, *statements: Statement) -> list[Rows]:
        """Send statements of one transaction without waiting for answers."""
        return await self.transactions(statements)

    async def transactions(self, *groups: Sequence[Statement]) -> list[Rows]:
        """Send statements without waiting for answers; each group is a transaction. Return the rows of all."""
        return [await _rows(cursor) for cursor in await self._run(self._sent(groups))]

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        await self._run(self._begun())
        self._inside = True
        try:
            yield
        except Exception:
            with suppress(psycopg.Error):  # broken: the server rolls back by itself
                await self._run(self._connection.execute(b"ROLLBACK"))
            raise
        except BaseException:
            self._link.cut()  # cancelled: the same, without waiting for it
            raise
        else:
            await self._run(self._connection.execute(b"COMMIT"))
        finally:
            self._inside = False

    @asynccontextmanager
    async def unhurried_transaction(self, in_the_way: Exception) -> AsyncGenerator[None]:
        """Run a transaction of any length; raise *in_the_way* if a lock is held for long."""
        async with self.transaction():
            await self._run(self._connection.execute("; ".join(_timeouts(self._link, 0)).encode()))
            try:
                yield
            except psycopg.errors.LockNotAvailable as exc:
                raise in_the_way from exc

    @property
    def holds_all(self) -> bool:
        """Whether the database's encoding has every character."""
        return self._codec() is None

    def storable(self, text: str) -> str:
        """Return *text* with an escape for each character that the database's encoding does not have."""
        if text.isascii() or (codec := self._codec()) is None:
            return text
        return text.encode(codec, "backslashreplace").decode(codec)

    def storable_json(self, text: str) -> str:
        """Return the JSON *text* with JSON's own escapes for them: it reads the same."""
        if text.isascii() or self._codec() is None:
            return text
        return json.dumps(json.loads(text))

    async def _begun(self) -> None:
        cursor = await self._connection.execute(f"{_BEGIN}; {self._settings}".encode())
        cursor.nextset()
        [(self._link.process, *_)] = await cursor.fetchall()

    def _codec(self) -> str | None:
        encoding = (self._connection.pgconn.parameter_status(b"server_encoding") or b"UTF8").decode()
        return None if encoding in _HOLDS_ALL else _CODECS.get(encoding, "ascii")

    async def _answer(self, text: str, parameters: Mapping[str, object]) -> Cursor:
        if self._inside:
            alone: Cursor = await self._run(self._connection.execute(text.encode(), parameters, binary=True))
            return alone
        cursors: list[Cursor] = await self._run(self._sent([[(text, parameters)]]))
        return cursors[0]

    async def _sent(self, groups: Sequence[Sequence[Statement]]) -> list[Cursor]:
        cursors: list[Cursor] = []
        execute = self._connection.execute
        async with self._connection.pipeline():
            for group in groups:
                if not self._inside:
                    await execute(_BEGIN.encode())
                    await execute(self._settings.encode())
                # In binary, because the database may write moments in any style.
                cursors += [await execute(text.encode(), given, binary=True) for text, given in group]
                if not self._inside:
                    await execute(b"COMMIT")
        return cursors


async def _rows(cursor: Cursor) -> Rows:
    return await cursor.fetchall() if cursor.description else []


def _settings(link: Link, schema: str) -> str:
    """Return a statement that holds for the rest of a transaction."""
    settings = {"search_path": f'"{schema}"', **_LOCAL_SETTINGS, **_bounds(link, _STOPPED_SECONDS)}
    local = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
    return f"SELECT {', '.join(['pg_backend_pid()', *local, _BOUND_LOCKS])}"


def _timeouts(link: Link, seconds: int) -> list[str]:
    return [f"SET LOCAL {name} = '{value}'" for name, value in _bounds(link, seconds).items()]


def _bounds(link: Link, seconds: int) -> dict[str, str]:
    """End a suspended process's transaction after *seconds*; 0 for never."""
    names = ["idle_in_transaction_session_timeout"]
    if link.version >= _TRANSACTION_TIMEOUT:
        names.append("transaction_timeout")
    return dict.fromkeys(names, f"{seconds}s")


def array(values: Sequence[str]) -> str:
    """*values* need no quotes; ten times faster than quoting."""
    return f"{{{','.join(values)}}}"


def _read(dsn: str) -> dict[str, Any]:
    """An error does not quote the DSN: it may hold the password."""
    # libpq reads an empty DSN as its defaults: the wrong database, if a variable was not set.
    refuse_blank("dsn", dsn, ConfigurationError, advice="write postgresql:// for libpq's defaults")
    try:
        given = conninfo_to_dict(dsn)
    except (psycopg.Error, UnicodeError, TypeError, AttributeError):
        given = None
    if given is None:
        raise ConfigurationError("the DSN cannot be read; it is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    if "@" in str(given.get("host") or ""):
        raise ConfigurationError("the DSN's password holds an @: write %40 for it")
    if not _is_port(str(given.get("port") or "")) or _holds_marks(dsn):
        raise ConfigurationError(
            "the DSN cannot be read: its port is not a number, or its database's name holds @ or :; "
            "in a password, write %40 for @, %3A for : and %2F for /"
        )
    return given


def _holds_marks(dsn: str) -> bool:
    """Return whether part of a password with a slash would be shown as the database's name."""
    _, mark, place = dsn.partition("?")[0].partition("://")
    database = place.partition("/")[2] if mark else ""
    return "@" in database or ":" in database


def advice(exc: BaseException) -> str:
    """Return what to do about an error that does not pass by itself."""
    code = _code(exc)
    return _ADVICE.get(code) or _ADVICE.get(code[:2], "it cannot be used")


def passes(exc: BaseException) -> bool:
    """Return whether the same call may succeed later."""
    if code := _code(exc):
        return code.startswith(_PASSING + _AT_ONCE)
    return isinstance(exc, psycopg.OperationalError | OSError)


def collided(exc: BaseException) -> bool:
    """Return whether the same call may succeed at once."""
    return _code(exc).startswith(_AT_ONCE)


def _code(exc: BaseException) -> str:
    """Return the SQLSTATE, or the one that the text implies; empty if unknown."""
    code = getattr(exc, "sqlstate", None)
    if isinstance(exc, psycopg.OperationalError) and code in (None, _PROTOCOL):
        code = next((implied for said, implied in _REFUSALS if said.search(str(exc))), code)
    return code or ("22" if isinstance(exc, psycopg.DataError | UnicodeError) else "")
