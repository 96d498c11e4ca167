"""
The way to a PostgreSQL server, and the only door to psycopg, an extra.

Connections, their failures in words, and patience: what a server that is restarted breaks off is done again, until it
is done or the patience is at an end. It may not know what the rows mean.
"""

import asyncio
import logging
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
from webcom_async._domain.errors import ConfigurationError, JournalError, StoreUnavailable, UsageError
from webcom_async._domain.given import refuse_blank

__all__ = ["Server", "Session", "array"]

logger: logging.Logger = logging.getLogger("webcom_async")
# What it says of a server that is away goes where the application's logs go, and not to stderr by itself.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_CONNECT_SECONDS = 5
_WAIT_FOR_A_CONNECTION = 2.0  # seconds; then it is looked what keeps the server from giving one
_WAIT_AT_FIRST = 0.05
_IDLE_SECONDS = 30.0  # after which a connection goes: the server has a hundred for all
_WAIT_AT_MOST = 1.0
_STOPPED_SECONDS = 10  # in which a process that was stopped within a transaction loses it
_OLDEST_SERVER = 12_00_00
_TRANSACTION_TIMEOUT = 17_00_00

# A table that was just made has no statistics, and the planner then reads all of it for a batch's few hundred rows.
# What is forbidden here, and done all the same, counts as dear, and would be compiled first.
_SETTINGS = (
    "SET default_transaction_isolation = 'read committed'",
    "SET DateStyle = 'ISO'",  # psycopg reads no other
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET plan_cache_mode = force_generic_plan",
    "SET jit = off",
    # A host that lost its power says no goodbye: the server finds out in half a minute, and frees what was locked.
    "SET tcp_keepalives_idle = 15",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
# Unless the DSN, or the server's administrator, has set a bound.
_BOUND_LOCKS = """
SELECT set_config('lock_timeout', '30s', true) WHERE current_setting('lock_timeout') = '0'
"""

# By SQLSTATE, or by its class: what is to be done. PostgreSQL's manual, appendix A.
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
# What passes: the connection is gone, the server starts or stops, or has no connection left; somebody has cancelled a
# statement, or has set a time for it, and another one has held a lock for longer.
_PASSING = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300", "57014", "55P03")
_AT_ONCE = ("40001", "40P01")  # two transactions were in each other's way: the next try is alone
# Of a connection that was not made, the server's words are all there is: it gives no SQLSTATE then.
_REFUSALS = (
    (re.compile(r"password authentication failed|no password supplied|pg_hba\.conf|not permitted to log in"), "28"),
    (re.compile(r'FATAL:\s+role ".*" does not exist'), "28"),
    (re.compile(r'FATAL:\s+database ".*" does not exist'), "3D"),
)


_is_port = re.compile(r"[0-9, ]*").fullmatch  # or as many as there are hosts


class Session:
    """A connection, for as long as a call takes. A statement is a transaction, unless `transaction` surrounds it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, text: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        cursor = await self._connection.execute(text.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []

    async def change(self, text: str, **parameters: object) -> int:
        """Run a statement and return how many rows it changed."""
        return (await self._connection.execute(text.encode(), parameters)).rowcount

    async def together(self, *statements: tuple[str, Mapping[str, object]]) -> list[list[tuple[Any, ...]]]:
        """
        Return the rows of each of several statements, of which none waits for another's answer.

        A transaction of its own each, or of those between BEGIN and COMMIT.
        """
        async with self._connection.pipeline():
            cursors = [await self._connection.execute(text.encode(), given) for text, given in statements]
        return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    @asynccontextmanager
    async def copy(self, text: str) -> AsyncGenerator[Callable[[Sequence[object]], Awaitable[None]]]:
        """Return what appends a row to a table, for a `COPY … FROM STDIN`."""
        async with self._connection.cursor() as cursor, cursor.copy(text.encode()) as copy:
            yield copy.write_row

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        """Commit what is done in the block, or nothing of it."""
        async with self._connection.transaction():
            yield

    @asynccontextmanager
    async def unhurried_transaction(self, in_the_way: Exception) -> AsyncGenerator[None]:
        """
        Do the same, for as long as it takes; but others who are at work on the same rows are not waited for for ever.

        Args:
            in_the_way: What is raised if they take too long.
        """
        async with self.transaction():
            timeouts = _timeouts(self._connection, 0, local=True)
            await self._connection.execute("; ".join((*timeouts, _BOUND_LOCKS)).encode())
            try:
                yield
            except psycopg.errors.LockNotAvailable as exc:
                raise in_the_way from exc


class _Attempt:
    """How long a call may take, and whether nobody waits for it any more."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.abandoned = False


class Server:
    """
    A server, reached through a pool of connections that is opened with the first call.

    Args:
        dsn: Where it is: a `postgresql://` URL, or libpq's `key=value` words.
        schema: Where the tables are: a plain name.
        prepare: Makes or checks the tables, with the first connection.
        patience: Seconds for which a server that is away is waited for.
        connections: How many there may be at once, at most.
        clock: Time, for tests.

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
    ) -> None:
        self.schema = schema
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
        Return what *work* makes of a session; a server that is away is waited for, and *work* is done anew then.

        What has begun is finished even if the caller is cancelled, so that no connection is left in the middle of
        something; a *shielded* caller waits for that, and for what others have left.

        Args:
            work: What is to be done. It is done anew if the connection breaks, so it must bear that.
            shielded: Whether it is begun, and waited for, even if the caller is being cancelled.
            patience: Seconds for which a server that is away is waited for; the server's own patience if left out.

        Raises:
            JournalError: It cannot be done; the message says why, and what to do.
            StoreUnavailable: The server was away for too long.
            UsageError: It is closed, or belongs to another event loop.
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
        """Do the same for what cannot be done anew; only until there is a connection, patience is kept."""
        self._check_usable()
        pool = await self._patiently_opened(_Attempt(self._patience))
        try:
            async with pool.connection() as connection:
                return await work(Session(connection))
        except (psycopg.Error, PoolTimeout, UnicodeError) as exc:
            raise self._explained(exc) from exc

    def unusable(self, why: str) -> JournalError:
        """Return an error that names the server."""
        return JournalError(f"PostgreSQL journal {self}, schema {self.schema}: {why}")

    async def aclose(self) -> None:
        """Finish what has begun, and close the connections."""
        self._closed = True
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=_CONNECT_SECONDS)
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    # ------------------------------------------------------------------------ patience

    async def _patiently(self, work: Callable[[Session], Coroutine[Any, Any, T]], attempt: _Attempt) -> T:
        until = self._clock.monotonic() + attempt.patience
        pause = _WAIT_AT_FIRST
        while True:
            try:
                pool = await self._opened()
                left = max(_WAIT_AT_FIRST, until - self._clock.monotonic())
                async with pool.connection(timeout=min(left, _WAIT_FOR_A_CONNECTION)) as connection:
                    if pause > _WAIT_AT_FIRST:
                        logger.info("store_back", extra={"store": str(self)})
                    return await work(Session(connection))
            except (psycopg.Error, OSError, UnicodeError) as exc:
                pause = await self._wait(exc, attempt, pause, until)

    async def _patiently_opened(self, attempt: _Attempt) -> "AsyncConnectionPool[Connection]":
        async def nothing(_: Session) -> None:
            return None

        await self._patiently(nothing, attempt)
        return await self._opened()

    async def _wait(self, exc: Exception, attempt: _Attempt, pause: float, until: float) -> float:
        """Wait after a failure that may pass, and return how long to wait the next time; raise any other one."""
        exc = await self._cause(exc)
        if not _passes(exc) or attempt.abandoned:
            raise self._explained(exc) from exc
        if _has_code(exc, _AT_ONCE):
            return pause
        if self._clock.monotonic() + pause > until:
            raise self._away(exc) from exc
        logger.warning("store_away", extra={"store": str(self), "error": self._words(exc)})
        await self._clock.sleep(pause)
        if self._pool is not None:
            await self._pool.check()  # those that broke as well are not tried one by one
        return min(2 * pause, _WAIT_AT_MOST)

    async def _cause(self, exc: Exception) -> Exception:
        """Return why the pool has no connection: it does not say."""
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
        """Return the pool; the first time, look at the server and its tables before."""
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
            # Its own back-off doubles without a bound that suits a restart of seconds: let it begin anew.
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
                "PostgreSQL is reached from asyncio only, because psycopg knows no trio: "
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
            task.exception()  # it was raised to whoever waited

    # ------------------------------------------------------------------------ words

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
        """Return a failure's words on one line, without the password, whoever put it there."""
        words = " ".join(str(exc).split()) or type(exc).__name__
        password = str(self._given.get("password") or "")
        return words.replace(password, "***") if password else words


def _timeouts(connection: Connection, seconds: int, *, local: bool = False) -> list[str]:
    """
    Return the settings that bound a transaction whose process was stopped in the middle of it.

    Args:
        connection: Whose server it is.
        seconds: How long it may take; 0 for no bound.
        local: Whether they are for the transaction that has begun only.
    """
    names = ["idle_in_transaction_session_timeout"]
    if connection.info.server_version >= _TRANSACTION_TIMEOUT:
        names.append("transaction_timeout")
    return [f"SET {'LOCAL ' if local else ''}{name} = '{seconds}s'" for name in names]


def array(values: Sequence[str]) -> str:
    """Return *values*, which need no quotes, as one parameter: a tenth of the work of quoting each."""
    return f"{{{','.join(values)}}}"


def _read(dsn: str) -> dict[str, Any]:
    """Return the parts of a DSN; what cannot be read is not repeated: it may be the password."""
    # To libpq an empty one is a database by its defaults: another one than was meant, if a variable was not set.
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
            "the DSN cannot be read: its port is no number, or its database's name holds @ or :; "
            "in a password, write %40 for @, %3A for : and %2F for /"
        )
    return given


def _holds_marks(dsn: str) -> bool:
    """Whether the rest of a password that holds a slash would be taken, and shown, for the database's name."""
    _, mark, place = dsn.partition("?")[0].partition("://")
    database = place.partition("/")[2] if mark else ""
    return "@" in database or ":" in database


def _code(exc: BaseException) -> str:
    """Return the SQLSTATE of a failure, or what its words say instead; empty if neither is known."""
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
