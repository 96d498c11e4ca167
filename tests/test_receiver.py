"""The receiver on a socket: connections that never finish a request keep no report out."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="limits are those of POSIX systems")
for extra in ("cyclopts", "rich", "uvicorn"):
    pytest.importorskip(extra, reason="the receiver alone is the command line's")

pytestmark = [pytest.mark.socket, pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")]

SECRET = "a-secret-of-23-letters."
PUSH = b'[{"id_sms":3234,"time":"2030-01-01 15:00:00","state":"deliver"}]'
ECHO = b'[{"id_sms":3234}]'
FILES = 256
ATTACKERS = 400
HEAD = f"POST /{SECRET} HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def receiver(folder: Path, *options: str) -> Iterator[int]:
    """Run the receiver with few open files, and yield its port."""
    command = [sys.executable, "-m", "webcom_async", "webhook", str(folder / "reports.db"), "--port", "0", *options]
    environ = os.environ | {"WEBCOM_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen(
        ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", *command],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(line.split(":")[2].split("/")[0])
        finally:
            process.terminate()
            told = process.stdout.read()
    assert "webcom-async: terminated" == told.strip()


def connect(port: int, sent: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
    """Return a connection on which *sent* was sent."""
    opened = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(address, 0))
    opened.sendall(sent)
    return opened


def post(port: int) -> tuple[int, bytes]:
    """Post a report as the gateway does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", f"/{SECRET}", PUSH)
    answer = connection.getresponse()
    found = (answer.status, answer.read())
    connection.close()
    return found


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side closes *connection* without a word."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.fixture(autouse=True)
def many_files() -> None:
    """Skip where this process may not have as many connections open."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < ATTACKERS + 100:
        pytest.skip("this process may have too few files open")


@pytest.mark.parametrize(
    "sent",
    [b"", b"PO", HEAD.encode(), HEAD.encode() + b"X: " + b"x" * 2_000, b"\x16\x03\x01"],
    ids=["nothing", "half a line", "half a head", "a long header", "TLS"],
)
def test_heads_that_never_end_keep_no_report_out(sent: bytes, tmp_path: Path):
    """With 256 files and 400 connections that never finish a head, reports are stored and acknowledged."""
    with receiver(tmp_path) as port, ExitStack() as opened:
        for _ in range(ATTACKERS):
            opened.enter_context(connect(port, sent))
        assert [(200, ECHO)] * 3 == [post(port) for _ in range(3)]


def test_the_address_with_most_connections_loses_them_first(tmp_path: Path):
    """A slow head from one address is waited for while another address opens connections without end."""
    with receiver(tmp_path) as port, ExitStack() as opened:
        slow = opened.enter_context(connect(port, HEAD.encode()))
        attackers = [opened.enter_context(connect(port, b"PO", "127.0.0.2")) for _ in range(ATTACKERS)]
        assert is_closed(attackers[0])
        slow.sendall(f"Content-Length: {len(PUSH)}\r\n\r\n".encode() + PUSH)

        assert slow.recv(100).startswith(b"HTTP/1.1 200")


def test_a_head_has_its_time(tmp_path: Path):
    """A head that is not complete in its time ends the connection: the first, a slow one, and one after an answer."""
    with receiver(tmp_path, "--head-seconds", "0.2") as port, ExitStack() as opened:
        silent, slow, second = (opened.enter_context(connect(port)) for _ in range(3))
        second.sendall(f"{HEAD}Content-Length: {len(PUSH)}\r\n\r\n".encode() + PUSH)
        answer = b""
        while not answer.endswith(ECHO):
            answer += second.recv(1_000)
        second.sendall(b"P")
        slow.settimeout(0.05)
        closed = False
        while not closed:  # a byte each 0.05 seconds
            try:
                slow.sendall(b"x")
                closed = is_closed(slow)
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True

        assert is_closed(silent)
        assert is_closed(second)
        assert (200, ECHO) == post(port)


def test_a_body_has_its_time(tmp_path: Path):
    """A body that does not come in its time is refused, and holds up no other report."""
    with receiver(tmp_path, "--body-seconds", "0.2") as port, ExitStack() as opened:
        half = opened.enter_context(connect(port, f"{HEAD}Content-Length: {len(PUSH)}\r\n\r\n[".encode()))
        assert (200, ECHO) == post(port)
        assert half.recv(100).startswith(b"HTTP/1.1 408")
