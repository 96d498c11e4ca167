"""Where campaigns of many workers are kept: a PostgreSQL database, or a folder of this machine."""

import os
import re
import socket
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from webcom_async._domain.errors import InputError
from webcom_async._domain.given import new_private_file, open_file, refuse_blank, variable
from webcom_async._storage.contracts import JournalReader
from webcom_async.client import WebcomClient
from webcom_async.events import Observer
from webcom_async.scaleout import CampaignStore

if TYPE_CHECKING:
    from webcom_async.postgres import PostgresStore
    from webcom_async.scaleout.dbos import DbosEngine

__all__ = ["STORE", "StoreLocation", "without_password"]

STORE = "WEBCOM_STORE"
_FOLDER = "webcom-campaigns"
_PLAN, _ENGINE, _LOCK = "campaigns.db", "engine.db", "worker.lock"
_OF_URLS = frozenset("?#%")
_PATIENCE = 5.0  # seconds: a person waits at a terminal
_is_url = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE).match
# Of libpq's other way to write a DSN; a folder's name may hold any other `=`.
_is_libpq = re.compile(r"(.*\s)?(host|hostaddr|port|dbname|user|password|service)\s*=", re.IGNORECASE | re.DOTALL).match
_is_server = re.compile(r"postgres(ql)?://", re.IGNORECASE).match


class StoreLocation(NamedTuple):
    """
    A database or a folder.

    Attributes:
        words: As `--store` or `WEBCOM_STORE` have it; it may hold a password.
        said: Whether the command line itself has it.
    """

    words: str
    said: bool

    @classmethod
    def of(cls, option: str | None) -> Self:
        """
        Fall back to `WEBCOM_STORE`, then to a folder in the working directory.

        A set and empty `WEBCOM_STORE` raises `ConfigurationError`: another place than was meant would have the
        campaign.
        """
        refuse_blank("--store", option)
        words = option or variable(os.environ, STORE) or _FOLDER
        if not _is_url(words) and _is_libpq(words):
            url = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            raise InputError(f"--store has key=value words: give {url}, or a folder")
        if _is_url(words) and not _is_server(words):
            raise InputError(f"--store is {without_password(words)}: give postgresql://… or a folder")
        scheme, mark, rest = words.partition("://")  # libpq knows it in small letters only
        return cls(scheme.lower() + mark + rest if mark and _is_server(words) else words, option is not None)

    @property
    def is_server(self) -> bool:
        """Whether other hosts can reach it."""
        return _is_server(self.words) is not None

    @property
    def shown(self) -> str:
        return without_password(self.words)

    @property
    def option(self) -> list[str]:
        """The words that name it on a command line."""
        return ["--store", self.shown] if self.said else []

    @property
    def engine_file(self) -> Path:
        return (Path(self.words) / _ENGINE).absolute()

    @asynccontextmanager
    async def store(
        self, *, new: bool = False, patience: float = _PATIENCE, observers: Sequence[Observer] = ()
    ) -> AsyncGenerator[CampaignStore, None]:
        """If *new*, make a store that is not there; wait *patience* seconds for a server that is away."""
        store = self._server(patience, observers) if self.is_server else self._folder(new=new)
        try:
            yield store
        finally:
            await store.aclose()

    @asynccontextmanager
    async def archive(self) -> AsyncGenerator[JournalReader, None]:
        """Raise `InputError` if the place is no database, or an extra is missing."""
        if not self.is_server:
            raise InputError(f"--store is {self.shown}: give postgresql://…, or the path of a journal instead")
        async with self._server(_PATIENCE) as store:
            yield store

    @contextmanager
    def worked_on(self) -> Generator[None, None, None]:
        """Keep other workers out of a folder: they would have the same name."""
        if self.is_server:
            yield
            return
        folder = Path(self.words)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise InputError(f"--store is {folder}: {exc.strerror}; give another folder") from None
        try:
            _make_private(folder / _LOCK)
            _make_private(self.engine_file)
            file = open_file(folder / _LOCK, "a")
        except OSError as exc:
            raise InputError(f"--store is {folder}, and {_LOCK} in it cannot be used: {exc.strerror}") from None
        with file:
            if not _lock(file):
                raise InputError(f"another process sends from {self.words}: one at a time does; nothing was sent")
            yield

    def engine(
        self,
        store: CampaignStore,
        client: WebcomClient | None = None,
        *,
        name: str | None = None,
        lease_seconds: float = 60.0,
        shards_at_once: int = 2,
    ) -> "DbosEngine":
        """A folder's worker always has the same name, so that it takes its work up again at once after a crash."""
        try:
            from webcom_async.scaleout.dbos import DbosEngine  # noqa: PLC0415 - an extra
        except ImportError:
            raise _missing("dbos") from None
        file = self.engine_file
        if not self.is_server and not _OF_URLS.isdisjoint(str(file)):
            raise InputError(f"--store is {file.parent}: the engine's URL can hold no ? # or %; give another folder")
        url = self.words if self.is_server else f"sqlite:///{file}"
        return DbosEngine(
            store,
            client,
            system_database_url=url,
            name=socket.gethostname() if name is None and not self.is_server else name,
            lease_seconds=lease_seconds,
            shards_at_once=shards_at_once,
        )

    def _server(self, patience: float, observers: Sequence[Observer] = ()) -> "PostgresStore":
        try:
            from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra
        except ImportError:
            raise _missing("dbos,postgres") from None
        return PostgresStore(self.words, patience=patience, observers=observers)

    def _folder(self, *, new: bool) -> CampaignStore:
        from webcom_async.scaleout import SqliteStore  # noqa: PLC0415 - the other kind does not need it

        folder = Path(self.words)
        if not new and not (folder / _PLAN).exists():
            raise InputError(f"no campaigns in {self.words}: start one, or name another --store")
        return SqliteStore(folder)


def without_password(words: str) -> str:
    """A URL keeps its user, be it badly written."""
    if not _is_url(words):
        return "…" if _is_libpq(words) else words
    scheme, _, rest = words.partition("://")
    # A password may hold what ends it in a URL. Whatever stands before the last @ is of it, but the user.
    login, at, place = rest.rpartition("@")
    if "?" in login or "#" in login:
        return "…"  # or the @ is of a password in the query
    try:
        url = urlsplit(f"{scheme}://{place}")
        kept = [(name, value) for name, value in parse_qsl(url.query) if "password" not in name.casefold()]
        query = f"?{urlencode(kept, safe='/:')}" if kept else ""
        return f"{url.scheme}://{re.split('[:/@]', login)[0]}{at}{url.netloc}{url.path}{query}"
    except ValueError:
        return "…"  # what cannot be read cannot be told to hold none


def _make_private(path: Path) -> None:
    """Make the file for its owner alone: SQLAlchemy would let all users of the machine read it."""
    with suppress(FileExistsError):
        new_private_file(path).close()


def _lock(file: IO[str]) -> bool:
    """Return whether no other process has the lock; it lasts until the file is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there only

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _missing(extras: str) -> InputError:
    return InputError(f'campaigns of many workers need: pip install "webcom-async[{extras}]"')
