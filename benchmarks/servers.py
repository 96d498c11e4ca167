"""Servers to talk to, each in a process of its own that ends with this one."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager

from benchmarks.gateway import Behaviour, Counts
from benchmarks.paths import PATH

__all__ = ["Server", "broker", "gateway", "receiver"]


class Server:
    """
    A server in another process.

    Attributes:
        port: Where it listens, on this machine.
        path: Where it is posted to.
    """

    def __init__(self, port: int, path: str = "/json") -> None:
        """Know a server by its *port*."""
        self.port = port
        self.path = path

    @property
    def url(self) -> str:
        """Where it listens, for clients of HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counts:
        """Return what the gateway has done so far."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=60) as answer:
            return Counts(*json.load(answer))


@contextmanager
def gateway(behaviour: Behaviour) -> Generator[Server, None, None]:
    """Run the gateway."""
    with _child("benchmarks.gateway", json.dumps(behaviour)) as server:
        yield server


@contextmanager
def broker() -> Generator[Server, None, None]:
    """Run the Kafka broker."""
    with _child("benchmarks.broker") as server:
        yield server


@contextmanager
def receiver(kind: str) -> Generator[Server, None, None]:
    """Run a receiver of webhooks."""
    with _child("benchmarks.receiver", kind) as server:
        yield Server(server.port, PATH)


@contextmanager
def _child(module: str, *arguments: str) -> Generator[Server, None, None]:
    """Run a module that prints its port, and that ends with its standard input."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(timeout=30)
