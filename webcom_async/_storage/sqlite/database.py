"""
Open, lock, check and migrate SQLite files, and explain SQLite's errors.

The only module that imports sqlite3. It does not know what the rows mean; `write_log` completes them when a file is
opened.
"""

import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import tzinfo
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, ClassVar, Self

from webcom_async._domain.errors import JournalError, JournalInUse, StoreUnavailable
from webcom_async._domain.given import StrPath, is_url, refuse_blank
from webcom_async._domain.options import Options
from webcom_async._storage.rows import from_wall_clock
from webcom_async._storage.sqlite import journal_sql as _sql
from webcom_async._storage.sqlite.file_copy import Mark, copy_beside
from webcom_async._storage.sqlite.file_identity import FileIdentity, FileMoved
from webcom_async._storage.sqlite.file_owner import OWNERS, FileOwner
from webcom_async._storage.sqlite.write_log import digest

__all__ = ["SQLITE_VERSION", "Closing", "JournalCopy", "JournalFile", "StoredFile"]


_PRIVATE = 0o600  # the file holds phones and texts
_OTHERS = 0o177
_PAGE_ROWS = 1_000
SQLITE_VERSION: tuple[int, int, int] = sqlite3.sqlite_version_info
_OLDEST_SQLITE = (3, 33)  # 2020; for UPDATE … FROM

_IN_USE = (
    "it is in use, by another process or by another campaign of this one; wait until that ends: "
    "SqliteJournal(path, wait=60) and --wait 60 wait for a minute"
)
_COPIES = 20  # attempts to copy a file while it is written
_SWITCHES = 1_000  # attempts to switch a new file to a log, with a wait before each
_DAMAGED = (
    "it is damaged; put a copy of it back, or move it away. Without it, the same campaign name gives the same ids, "
    "and the gateway sends no second SMS, unless the campaign was given new ids"
)
_ADVICE = {
    sqlite3.SQLITE_IOERR_LOCK: "it cannot be locked: it is read-only, or on a file system without locks",
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_NOTADB: "it is not a journal; give another path",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: "the disk is full; make room, then run the campaign again",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; check it and its room, then run the campaign again",
    sqlite3.SQLITE_READONLY: "it is read-only; let this user write it and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its directory exists and that this user may write both",
}
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_NO_ROOM = (
    "it is read from a copy, for which the directory for temporary files has no room; make room there, or set TMPDIR "
    "to another directory"
)
_MOVED = (
    "it was moved, removed or replaced while it was open; put it back where it was, with its -wal file beside it, and "
    "try again"
)
_MOVED_BESIDE = (
    "{paths} was moved, removed or replaced while it was open; stop whatever has the file open, which brings all rows "
    "into it, and try again"
)


class Closing:
    """Calls `close` at the end of a `with` block."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StoredFile(Closing):
    """
    An open file: locked, checked, and of the current version. Commits are on disk, until `relax`.

    Args:
        path: The file.
        create: Whether to create the file if it is missing.

    Raises:
        JournalError: The file cannot be used; the message says why, and what to do. Raised by every method.

    Attributes:
        kind: The name of this kind of file, for messages.
        application_id: The id in the file's header.
        migrations: The statements that migrate the file, by version.
        locking: `NORMAL` if other processes may open the file too, else `EXCLUSIVE`.
        beside: The endings of the files that SQLite keeps open beside it.
        patience: Seconds to wait for other writers.
        cache_kib: KiB of pages that are kept in memory.
        advice: What to do, by SQLite's extended error code, or by its low byte, the primary code.
    """

    kind: ClassVar[str]
    application_id: ClassVar[int]
    migrations: ClassVar[tuple[tuple[str, ...], ...]]
    locking: ClassVar[str]
    beside: ClassVar[tuple[str, ...]]
    patience: ClassVar[float]
    cache_kib: ClassVar[int]
    advice: ClassVar[Mapping[int, str]] = _ADVICE

    def __init__(self, path: StrPath, *, create: bool = False) -> None:
        self._path = path
        refuse_blank(f"the path of the {self.kind}", path, JournalError)
        if is_url(path):
            raise JournalError(
                f"a {self.kind} has a path, and this is a URL; a journal on a server is a PostgresStore, which "
                "`webcom-async report --store` and `webcom-async campaign` read"
            )
        with self._explained():
            if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
                raise self.unusable(f"Python's SQLite is {sqlite3.sqlite_version}, and 3.33 is needed; upgrade it")
            self._place = self._openable(create=create)
            self._owner = self._own(create=create)
            try:
                self._db = self._connect()
            except BaseException:
                self._release()
                raise
        with self.closing_on_error():
            self._prepare()

    def fetch(self, statement: str, *parameters: object) -> list[Any]:
        with self._explained():
            rows = self._db.execute(statement, _numbered(parameters)).fetchall()
        if self.locking == "NORMAL":
            self._check_in_place()  # or changes of other processes would be missed
        return rows

    def change(self, statement: str, *parameters: object) -> int:
        """Outside a transaction, check that the file is in place."""
        changed = self._run(statement, *parameters)
        if not self._db.in_transaction:
            self._check_in_place()
        return changed

    def pages(self, statement: str, *criteria: object) -> Iterator[sqlite3.Row]:
        """
        Yield rows in bounded memory; no statement stays open, so the file can be written.

        *statement* is ordered by its first column. Its first parameter is where to continue, its last the number of
        rows.
        """
        last = -1
        while page := self._page(statement, last, *criteria, _PAGE_ROWS):
            yield from page
            last = page[-1][0]

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        self._run("BEGIN IMMEDIATE")
        try:
            self._check_in_place()
            yield
            self._run("COMMIT")
        except BaseException:
            # Some errors, such as a full disk, have rolled back already.
            if self._db.in_transaction:
                self._run("ROLLBACK")
            raise
        self._check_in_place()

    @contextmanager
    def closing_on_error(self) -> Generator[None, None, None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def flush(self) -> None:
        """Copy the write-ahead log into the main file, with fsync."""
        self.fetch("PRAGMA wal_checkpoint(TRUNCATE)")

    def relax(self) -> None:
        """From now on, commits survive the process; a power loss may undo the latest."""
        self.change("PRAGMA synchronous = NORMAL")

    def cache(self, kib: int | None = None) -> None:
        """Keep `cache_kib` of pages by default."""
        self.change(f"PRAGMA cache_size = -{self.cache_kib if kib is None else kib}")

    def shred(self) -> None:
        """Leave no deleted row readable in a free page."""
        self.change("VACUUM")
        self.flush()

    def close(self) -> None:
        with self._explained():
            try:
                if self._place.path in self._place.lost():
                    # SQLite leaves the `-wal` of a moved file behind: copy its rows into the file first.
                    self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                self._place.forget()
                try:
                    self._db.close()
                finally:
                    self._release()

    def unusable(self, why: str) -> JournalError:
        return JournalError(f"{self.kind} {os.fspath(self._path)}: {why}")

    def busy(self, why: str) -> JournalError:
        return JournalInUse(str(self.unusable(why)))

    def damaged(self, found: str) -> JournalError:
        return self.unusable(f"{_DAMAGED} ({found})")

    def _run(self, statement: str, *parameters: object) -> int:
        with self._explained():
            return self._db.execute(statement, _numbered(parameters)).rowcount

    def _openable(self, *, create: bool) -> FileIdentity:
        """Refuse anything but a regular file, without touching it."""
        try:
            return FileIdentity(self._path, create=create)
        except FileNotFoundError as exc:
            raise self.unusable(f"it cannot be made: {exc.strerror}" if create else "there is no such file") from None
        except OSError as exc:
            raise self.unusable(exc.strerror or str(exc)) from None

    def _own(self, *, create: bool) -> FileOwner | None:
        """Create the file, and become its owner if no other process may open it."""
        with OWNERS:
            if create:
                _create(self._path)
            if self.locking == "NORMAL":
                return None
            owner = FileOwner.of(self._place.path)
        if owner is None:
            raise self.busy(_IN_USE)
        return owner

    def _connect(self) -> sqlite3.Connection:
        # `mode=rw`, so that SQLite does not create a file with its own permissions.
        return _connect(f"{Path(self._place.path).as_uri()}?mode=rw", self.patience)

    def _release(self) -> None:
        """Close the owner's handle last: closing any handle of a file drops SQLite's locks on it."""
        if self._owner is not None:
            self._owner.close()

    def _check_in_place(self) -> None:
        """Check that other processes would open this same file at its path."""
        lost = self._place.lost()
        if self._place.path in lost:
            raise FileMoved(str(self.unusable(_MOVED)))
        if lost:
            raise FileMoved(str(self.unusable(_MOVED_BESIDE.format(paths=", ".join(lost)))))

    def _page(self, statement: str, *parameters: object) -> list[sqlite3.Row]:
        with self._explained():
            cursor = self._db.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(statement, _numbered(parameters)).fetchall()

    def _prepare(self) -> None:
        with self._explained():
            self._place.remember()
        # First, so that reading the first page takes the lock, and keeps it.
        self.change(f"PRAGMA locking_mode = {self.locking}")
        version = self._checked_version()
        with self._explained():
            _protect(self._place.real)
        self._write_ahead()
        self.change("PRAGMA synchronous = FULL")
        # Ids are random, so a batch touches one index page per recipient: checkpoint several batches at once.
        self.change("PRAGMA wal_autocheckpoint = 8000")
        self.cache()
        self._check_sound()
        if version < len(self.migrations):
            self._migrate()
        with self._explained():
            self._place.remember(*self.beside)
        # After a power loss, this is repeated from the log.
        self.relax()
        self._complete()
        self.change("PRAGMA synchronous = FULL")

    def _write_ahead(self) -> None:
        """SQLite switches at once or not at all, but waits for a transaction while others open the new file."""
        for _ in range(_SWITCHES):
            try:
                self.change("PRAGMA journal_mode = WAL")
            except (JournalInUse, StoreUnavailable):
                self._run("BEGIN EXCLUSIVE")
                self._run("COMMIT")
            else:
                return
        raise self.busy(_IN_USE)

    def _complete(self) -> None:
        """Finish the work of earlier runs; subclasses override this."""

    def _checked_version(self) -> int:
        """Return 0 if the file is empty; write nothing."""
        [(application, version, tables)] = self.fetch(_sql.IDENTIFY)
        if application != self.application_id and (application or version or tables):
            raise self.unusable("it is the database of another program; give another path")
        if version > len(self.migrations):
            raise self.unusable(
                f"its format is version {version}, and this release knows {len(self.migrations)}; upgrade webcom-async"
            )
        return int(version)

    def _check_sound(self) -> None:
        [(found,)] = self.fetch("PRAGMA quick_check(1)")
        if found != "ok":
            raise self.damaged(found)

    def _migrate(self) -> None:
        with self.transaction():
            # Read again: another process may have migrated meanwhile.
            for migration in self.migrations[self._checked_version() :]:
                for statement in migration:
                    self.change(statement)
            self.change(f"PRAGMA application_id = {self.application_id}")
            self.change(f"PRAGMA user_version = {len(self.migrations)}")

    @contextmanager
    def _explained(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.Error as exc:
            code: int = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = self.advice.get(code) or self.advice.get(code & 0xFF, "it cannot be used")
            explain = self.busy if code & 0xFF in _BUSY else self.unusable
            raise explain(f"{advice} ({exc})") from exc
        except (OSError, ValueError) as exc:
            raise self.unusable(f"it cannot be used: {exc}") from exc


class JournalFile(StoredFile):
    """
    An open journal, with the log of earlier runs turned into rows.

    Before version 5 a file kept recipients' times as the gateway's clock shows them, without its zone.

    Args:
        path: The file.
        create: Whether to create it if it is missing.
        zone: The zone of such times; that of `Options`, Moscow's, if left out.
    """

    kind = "journal"
    application_id = _sql.APPLICATION_ID
    migrations = _sql.MIGRATIONS
    locking = "EXCLUSIVE"
    beside = ("-wal",)
    patience = 0.0
    cache_kib = 32_000

    def __init__(self, path: StrPath, *, create: bool = False, zone: tzinfo | None = None) -> None:
        self._zone = zone or Options().zone
        super().__init__(path, create=create)

    def _migrate(self) -> None:
        with self._explained():
            self._db.create_function("from_wall_clock", 1, partial(from_wall_clock, zone=self._zone))
        super()._migrate()

    def _complete(self) -> None:
        digest(self, self._zone)


class JournalCopy(JournalFile):
    """
    A private copy of a journal as of its last commit, migrated, with the log turned into rows.

    Taking it needs no lock, so a running campaign neither waits nor fails; and nothing is written beside the journal.
    The copy has no name in the file system while it is read, so that a killed process leaves nothing behind.

    Args:
        path: The journal.
        zone: See `JournalFile`.
        rows: Whether all recipients are needed as rows. Without, the log stays as it is, which takes a tenth of the
            time after a long run.
    """

    advice = _ADVICE | {
        sqlite3.SQLITE_FULL: _NO_ROOM,
        sqlite3.SQLITE_IOERR: _NO_ROOM,
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that this user may read it",
    }

    def __init__(self, path: StrPath, *, zone: tzinfo | None = None, rows: bool = True) -> None:
        self._rows = rows
        super().__init__(path, zone=zone)

    def _own(self, *, create: bool) -> None:
        """A copy belongs to its reader."""

    def _connect(self) -> sqlite3.Connection:
        with self._folder() as folder:
            copy = os.path.join(folder, "copy")  # noqa: PTH118 - a text is needed
            self._copy(copy)
            db = _connect(Path(copy).as_uri(), 0.0)
            try:
                # Reads the log, and keeps no file open but the copy.
                for statement in ("locking_mode = EXCLUSIVE", "journal_mode = MEMORY", "synchronous = OFF"):
                    db.execute(f"PRAGMA {statement}")
            except BaseException:
                db.close()
                raise
        return db

    def _folder(self) -> "TemporaryDirectory[str]":
        try:
            return TemporaryDirectory(prefix="webcom-", ignore_cleanup_errors=True)
        except OSError as exc:
            raise self.unusable(
                f"it is read from a copy, and {exc.strerror or exc}; set TMPDIR to a directory"
            ) from exc

    def _copy(self, copy: str) -> None:
        """Copy again if the file was changed meanwhile in a way that a copy does not show."""
        real = self._place.real
        for _ in range(_COPIES):
            before = Mark.of(real)
            error: sqlite3.Error | None = None
            try:
                _copy_pages(real, copy)
                copy_beside(real, copy)
            except sqlite3.Error as exc:
                error = exc
            if Mark.of(real) == before:
                if error is not None:
                    raise error
                return
        raise self.busy("it is written faster than it can be copied; try again")

    def _prepare(self) -> None:
        version = self._checked_version()
        self.cache()
        self._check_sound()
        if version < len(self.migrations):
            self._migrate()
        if self._rows:
            self._complete()


def _connect(uri: str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)


def _copy_pages(path: str, copy: str) -> None:
    """Copy a file's pages by SQLite: closing a handle of our own would drop this process's locks on the file."""
    with suppress(FileNotFoundError):
        os.unlink(copy)  # noqa: PTH108 - a text
    with (
        closing(_connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", 0.0)) as source,
        closing(_connect(Path(copy).as_uri(), 0.0)) as target,
    ):
        # While pages are copied from the log, the first may count pages that are not in the file yet.
        source.execute("PRAGMA writable_schema = ON")
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)


def _numbered(parameters: Sequence[object]) -> dict[str, object]:
    """Name parameters as statements do: `:1`, `:2` and so on."""
    return {str(number): value for number, value in enumerate(parameters, 1)}


def _create(path: StrPath) -> None:
    # An existing file is not opened here: closing it would drop the lock of another journal in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _PRIVATE))


def _protect(path: str) -> None:
    """Remove other users' permissions."""
    for file in (Path(path), Path(f"{path}-wal")):
        with suppress(FileNotFoundError):
            if file.stat().st_mode & _OTHERS:
                file.chmod(_PRIVATE)
