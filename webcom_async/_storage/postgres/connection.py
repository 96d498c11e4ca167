"""
Connect to a PostgreSQL server; the only module that imports psycopg, an extra.

Handles connections, error messages and retries: a call that a server restart interrupts is repeated until it succeeds
or the patience ends. It does not know what the rows mean.
"""

import asyncio
import logging
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from anyio import CancelScope

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg_pool import AsyncConnectionPool, PoolTimeout
except ImportError as exc:
    raise ImportError(
        "webcom_async.postgres needs psycopg and its pool: python -m pip install 'webcom-async[postgres]'"
    ) from exc

from webcom_async._domain.clock import Clock
from webcom_async._domain.credentials import hide_password
from webcom_async._domain.errors import ConfigurationError, JournalError, StoreUnavailable, UsageError
from webcom_async._domain.given import refuse_blank
from webcom_async._events.observers import Observers
from webcom_async._events.workers import StoreAway, StoreBack

__all__ = ["Server", "Session", "array"]

# psycopg's warnings about an unavailable server go to the application's handlers, and not to stderr by default.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_CONNECT_SECONDS = 5
_WAIT_FOR_A_CONNECTION = 2.0  # seconds; then the cause is looked for
_WAIT_AT_FIRST = 0.05
_IDLE_SECONDS = 30.0  # after which an idle connection is closed: a server allows a hundred in all
_WAIT_AT_MOST = 1.0
_STOPPED_SECONDS = 10  # after which a process suspended inside a transaction loses it
_OLDEST_SERVER = 12_00_00
_TRANSACTION_TIMEOUT = 17_00_00

# Without statistics on a new table, the planner reads all of it for a batch's few hundred rows. JIT is off because
# PostgreSQL rates a disabled plan that it must use as expensive, and would compile it.
_SETTINGS = (
    "SET default_transaction_isolation = 'read committed'",
    "SET DateStyle = 'ISO'",  # psycopg reads no other
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET plan_cache_mode = force_generic_plan",
    "SET jit = off",
    # A host that loses power does not disconnect: the server notices in half a minute, and frees the locks.
    "SET tcp_keepalives_idle = 15",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
# Unless the DSN, or the server's administrator, has set a bound.
_BOUND_LOCKS = """
SELECT set_config('lock_timeout', '30s', true) WHERE current_setting('lock_timeout') = '0'
"""

# Advice by SQLSTATE or its class. PostgreSQL's manual, appendix A.
_ADVICE = {
    "28": "it does not let this user in; check user and password of the DSN, and the server's pg_hba.conf",
    "3D": "there is no such database; make it with createdb, or correct the DSN",
    "42501": "this user may not do that; let them own the database, or GRANT them CREATE on it and all on the schema",
    "53100": "the server's disk is full; make room, then run the campaign again",
    "53200": "the server is out of memory; look at its log, then run the campaign again",
    "25006": "the server takes no writes, as a standby does not; give the DSN of the primary",
    "22": "a value cannot be stored; look at the words behind it",
    "XX": "it is damaged; look at the server's log",
}
# Transient: the connection is lost, the server starts, stops or has no connection left; a statement was cancelled, or
# timed out behind a lock.
_PASSING = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300", "57014", "55P03")
_AT_ONCE = ("40001", "40P01")  # two transactions collided: retry at once
# If a connection fails, there is no SQLSTATE, only the server's text.
_REFUSALS = (
    (re.compile(r"password authentication failed|no password supplied|pg_hba\.conf|not permitted to log in"), "28"),
    (re.compile(r'FATAL:\s+role ".*" does not exist'), "28"),
    (re.compile(r'FATAL:\s+database ".*" does not exist'), "3D"),
)


_is_port = re.compile(r"[0-9, ]*").fullmatch  # one port, or one for each host


class Session:
    """A connection for one call. Each statement is a transaction, unless inside `transaction`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, text: str, **parameters: object) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(text.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []

    async def change(self, text: str, **parameters: object) -> int:
        return (await self._connection.execute(text.encode(), parameters)).rowcount

    async def together(self, *statements: tuple[str, Mapping[str, object]]) -> list[list[tuple[Any, ...]]]:
        """
        Send statements without waiting for answers.

        Each is a transaction, or those between BEGIN and COMMIT are one.
        """
        async with self._connection.pipeline():
            cursors = [await self._connection.execute(text.encode(), given) for text, given in statements]
        return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    @asynccontextmanager
    async def copy(self, text: str) -> AsyncGenerator[Callable[[Sequence[object]], Awaitable[None]]]:
        async with self._connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
            yield copy.write_row

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        async with self._connection.transaction():
            yield

    @asynccontextmanager
    async def unhurried_transaction(self, in_the_way: Exception) -> AsyncGenerator[None]:
        """Run a transaction of any length; raise *in_the_way* if a lock is held for long."""
        async with self.transaction():
            timeouts = _timeouts(self._connection, 0, local=True)
            await self._connection.execute("; ".join((*timeouts, _BOUND_LOCKS)).encode())
            try:
                yield
            except psycopg.errors.LockNotAvailable as exc:
                raise in_the_way from exc


class _Attempt:
    """How long a call may take, and whether its caller has given up."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.abandoned = False


class Server:
    """
    A server, with a connection pool that the first call opens.

    Args:
        dsn: A `postgresql://` URL, or libpq's `key=value` form.
        schema: The schema of the tables: a plain name.
        prepare: A function that creates or checks the tables on the first connection.
        patience: Seconds that a call waits for an unavailable server.
        connections: The most connections at once.
        clock: The clock.
        observers: The store's observers.

    Raises:
        ConfigurationError: The DSN cannot be read.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str,
        prepare: Callable[[Session, "Server"], Awaitable[None]],
        patience: float,
        connections: int,
        clock: Clock,
        observers: Observers,
    ) -> None:
        self.schema = schema
        self._observers = observers
        self._given = _read(dsn)
        self._dsn = make_conninfo(dsn, **self._defaults())
        self._prepare = prepare
        self._patience = patience
        self._connections = connections
        self._clock = clock
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._calls: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any]] = set()

    def __str__(self) -> str:
        given = self._given
        where = given.get("host") or given.get("hostaddr") or "local"
        port = given.get("port")
        return f"{where}{f':{port}' if port else ''}/{given.get('dbname') or given.get('user') or ''}"

    async def call(
        self,
        work: Callable[[Session], Coroutine[Any, Any, T]],
        *,
        shielded: bool = False,
        patience: float | None = None,
    ) -> T:
        """
        Return the result of *work*, which must be idempotent: it is repeated if the connection breaks.

        A call that has begun finishes even if its caller is cancelled, so that no connection is left in an unknown
        state. A *shielded* call begins even then, and waits for calls that cancelled callers left running. After
        *patience* seconds without the server, the call raises `StoreUnavailable`.
        """
        self._check_usable()
        attempt = _Attempt(self._patience if patience is None else patience)
        returned: list[T] = []
        with CancelScope(shield=shielded):
            if shielded and self._abandoned:
                await asyncio.wait(self._abandoned)
            task = asyncio.create_task(self._patiently(work, attempt))
            self._calls.add(task)
            task.add_done_callback(self._forget)
            try:
                returned.append(await asyncio.shield(task))
            except asyncio.CancelledError:
                if shielded and not task.done():
                    await asyncio.wait({task})
                elif not task.done():
                    attempt.abandoned = True
                    self._abandoned.add(task)
                raise
        return returned[0]

    async def once(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """*work* cannot be repeated; only connecting is retried."""
        self._check_usable()
        pool = await self._patiently_opened(_Attempt(self._patience))
        try:
            async with pool.connection() as connection:
                return await work(Session(connection))
        except (psycopg.Error, PoolTimeout, UnicodeError) as exc:
            raise self._explained(exc) from exc

    def unusable(self, why: str) -> JournalError:
        return JournalError(f"PostgreSQL journal {self}, schema {self.schema}: {why}")

    async def aclose(self) -> None:
        self._closed = True
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=_CONNECT_SECONDS)
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    # ------------------------------------------------------------------------ retries

    async def _patiently(self, work: Callable[[Session], Coroutine[Any, Any, T]], attempt: _Attempt) -> T:
        until = self._clock.monotonic() + attempt.patience
        pause = _WAIT_AT_FIRST
        while True:
            try:
                pool = await self._opened()
                left = max(_WAIT_AT_FIRST, until - self._clock.monotonic())
                async with pool.connection(timeout=min(left, _WAIT_FOR_A_CONNECTION)) as connection:
                    if pause > _WAIT_AT_FIRST:
                        self._observers.emit(StoreBack(store=str(self)))
                    return await work(Session(connection))
            except (psycopg.Error, OSError, UnicodeError) as exc:
                pause = await self._wait(exc, attempt, pause, until)

    async def _patiently_opened(self, attempt: _Attempt) -> "AsyncConnectionPool[Connection]":
        async def nothing(_: Session) -> None:
            return None

        await self._patiently(nothing, attempt)
        return await self._opened()

    async def _wait(self, exc: Exception, attempt: _Attempt, pause: float, until: float) -> float:
        """Return the next pause after a transient error; raise any other error."""
        exc = await self._cause(exc)
        if not _passes(exc) or attempt.abandoned:
            raise self._explained(exc) from exc
        if _has_code(exc, _AT_ONCE):
            return pause
        if self._clock.monotonic() + pause > until:
            raise self._away(exc) from exc
        self._observers.emit(StoreAway(store=str(self), error=self._words(exc)))
        await self._clock.sleep(pause)
        if self._pool is not None:
            await self._pool.check()  # drop all broken connections, instead of trying each
        return min(2 * pause, _WAIT_AT_MOST)

    async def _cause(self, exc: Exception) -> Exception:
        """The pool does not say itself why it has no connection."""
        if not isinstance(exc, PoolTimeout):
            return exc
        try:
            connection = await self._connect()
        except (psycopg.Error, OSError) as cause:
            return cause
        await connection.close()
        return exc

    # ------------------------------------------------------------------------ connections

    async def _opened(self) -> "AsyncConnectionPool[Connection]":
        async with self._opening:
            if self._pool is None:
                connection = await self._connect()
                try:
                    if connection.info.server_version < _OLDEST_SERVER:
                        raise self.unusable(f"the server is version {connection.info.server_version}; 12 is needed")
                    await self._configure(connection)
                    await self._prepare(Session(connection), self)
                finally:
                    await connection.close()
                self._pool = await self._made_pool()
            return self._pool

    async def _made_pool(self) -> "AsyncConnectionPool[Connection]":
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._dsn,
            kwargs={"autocommit": True},
            min_size=0,
            max_size=self._connections,
            open=False,
            max_idle=_IDLE_SECONDS,
            configure=self._configure,
            # The pool's own back-off grows too long for a restart of seconds: start it over.
            reconnect_timeout=_WAIT_FOR_A_CONNECTION,
            name="webcom_async",
        )
        await pool.open()
        return pool

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)

    async def _configure(self, connection: Connection) -> None:
        timeouts = _timeouts(connection, _STOPPED_SECONDS)
        settings = (f'SET search_path = "{self.schema}"', *_SETTINGS, *timeouts)
        await connection.execute("; ".join(settings).encode())

    def _defaults(self) -> dict[str, Any]:
        ours = {"application_name": "webcom_async", "connect_timeout": _CONNECT_SECONDS, "client_encoding": "utf8"}
        return {name: value for name, value in ours.items() if name not in self._given}

    def _check_usable(self) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "PostgreSQL is reached from asyncio only, because psycopg does not support trio: "
                "run this on asyncio, or keep the journal in a file"
            ) from None
        if self._closed:
            raise UsageError("this store is closed: make another one")
        if self._loop is None:
            self._loop = here
        elif self._loop is not here:
            raise UsageError("this store belongs to another event loop: make one store per loop")

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # already raised to the caller

    # ------------------------------------------------------------------------ error messages

    def _explained(self, exc: Exception) -> JournalError:
        if _passes(exc):
            return self._away(exc)
        code = _code(exc)
        advice = _ADVICE.get(code) or _ADVICE.get(code[:2], "it cannot be used")
        return self.unusable(f"{advice} ({self._words(exc)})")

    def _away(self, exc: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"PostgreSQL at {self} could not be reached, or gave no connection, for {self._patience:g} s; nothing is "
            f"sent without it. Check that it runs, and the DSN; then try again ({self._words(exc)})"
        )

    def _words(self, exc: Exception) -> str:
        """Return the text on one line, without the password."""
        words = " ".join(str(exc).split()) or type(exc).__name__
        password = str(self._given.get("password") or os.environ.get("PGPASSWORD") or "")
        return hide_password(words, password) if password else words


def _timeouts(connection: Connection, seconds: int, *, local: bool = False) -> list[str]:
    """End a suspended process's transaction after *seconds*; 0 for never."""
    names = ["idle_in_transaction_session_timeout"]
    if connection.info.server_version >= _TRANSACTION_TIMEOUT:
        names.append("transaction_timeout")
    return [f"SET {'LOCAL ' if local else ''}{name} = '{seconds}s'" for name in names]


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


def _code(exc: BaseException) -> str:
    """Return the SQLSTATE, or the one that the text implies; empty if unknown."""
    code = getattr(exc, "sqlstate", None)
    if code is None and isinstance(exc, psycopg.OperationalError):
        code = next((code for said, code in _REFUSALS if said.search(str(exc))), None)
    return code or ("22" if isinstance(exc, psycopg.DataError | UnicodeError) else "")


def _has_code(exc: BaseException, codes: tuple[str, ...]) -> bool:
    return _code(exc).startswith(codes)


def _passes(exc: BaseException) -> bool:
    if _code(exc):
        return _has_code(exc, _PASSING + _AT_ONCE)
    return isinstance(exc, psycopg.OperationalError | PoolTimeout | OSError)
