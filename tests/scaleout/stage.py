"""A stage for campaigns of many workers: a PostgreSQL server, a gateway on a socket, and workers in processes."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio

from tests.postgres_server import Server
from webcom_async import Outcome, SendResult, StoreUnavailable
from webcom_async.emulator import Behaviour, Gateway
from webcom_async.emulator._server import serve
from webcom_async.postgres import PostgresStore
from webcom_async.scaleout import CampaignState, CampaignStatus

__all__ = [
    "CAMPAIGN",
    "FIRST_PHONE",
    "Stage",
    "Verdict",
    "Worker",
    "cpu_of",
    "gateway_of",
    "on_stage",
    "verdict",
    "wait_until",
    "write_phones",
]

T = TypeVar("T")

CAMPAIGN = "spring"
FIRST_PHONE = 79_000_000_000
_PATIENCE = 180.0  # seconds for a campaign
_LOOK = 0.2


class Verdict(NamedTuple):
    """The comparison of a ledger and a journal."""

    lost: int
    twice: int
    unlike: int
    repeats: int

    @property
    def sound(self) -> bool:
        """Whether every recipient has one SMS and one result, which names it."""
        return (self.lost, self.twice, self.unlike) == (0, 0, 0)


class Worker:
    """A worker in a process of its own."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self.killed = False
        self._process = process

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        self.killed = True

    def stop(self) -> None:
        """Stop the process."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Continue the stopped process."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> int:
        """Ask the process to end, and return its exit code."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def wait_until_ready(self) -> None:
        """Wait until the process says that it is ready."""
        wait_until(self.log.read_text, lambda said: " is ready" in said, _PATIENCE)

    def cpu(self) -> float:
        """Return the process's seconds of CPU so far; Linux only."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lives(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def end_measured(self) -> float:
        """Ask the process to end, and return its seconds of CPU."""
        self._process.send_signal(signal.SIGTERM)
        return cpu_of(self._process)


class Stage:
    """
    One campaign's database, gateway and folder.

    Args:
        server: The database server.
        dsn: The campaign's own database.
        gateway: The emulated gateway.
        url: The gateway's URL.
        folder: For logs and files.
    """

    def __init__(self, server: Server, dsn: str, gateway: Gateway, url: str, folder: Path) -> None:
        self.server = server
        self.dsn = dsn
        self.gateway = gateway
        self.workers: list[Worker] = []
        self._url = url
        self._folder = folder

    def run(self, *words: str) -> str:
        """Run a command of `webcom-async campaign` and return what it printed."""
        done = subprocess.run(self._command(*words), env=self._environ(), capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr.decode()[-2_000:]}")
        return done.stdout.decode()

    def start(self, phones: Path, *words: str) -> None:
        """Plan the campaign to the *phones* of a file, and start it."""
        named = ("--campaign", CAMPAIGN, "--sender", "ACME", "--text", "Sale!", "--yes")
        self.run("start", str(phones), *named, *words)

    def add_worker(self, *words: str) -> Worker:
        """Start another worker."""
        name = f"worker-{len(self.workers) + 1}"
        log = self._folder / f"{name}.log"
        with log.open("wb") as out:
            command = self._command("worker", *words)
            process = subprocess.Popen(command, env=self._environ(), stdout=out, stderr=subprocess.STDOUT)
        self.workers.append(Worker(name, process, log))
        return self.workers[-1]

    def status(self) -> CampaignStatus:
        """Return the campaign's status."""
        return anyio.run(self._status)

    def wait_for_sent(self, recipients: int) -> None:
        """Wait until the gateway has sent to *recipients* recipients, or every worker has ended."""
        deadline = time.monotonic() + _PATIENCE
        while len(self.gateway.ledger) < recipients:
            if time.monotonic() > deadline or not any(worker.lives() for worker in self.workers):
                raise TimeoutError(f"{len(self.gateway.ledger):,} of {recipients:,} were sent to; see {self._folder}")
            time.sleep(0.01)

    def wait_for_end(self) -> CampaignStatus:
        """Wait until the campaign is finished."""
        return wait_until(self.status, lambda standing: standing.state is CampaignState.FINISHED, _PATIENCE)

    def judge(self, recipients: int) -> Verdict:
        """Compare the gateway's ledger with the journal."""
        return anyio.run(self._judge, recipients)

    def close(self) -> None:
        """End every worker that has not ended."""
        for worker in self.workers:
            if worker.lives():
                worker.kill()

    def _command(self, command: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "webcom_async", "campaign", command, *words, "--store", self.dsn]

    def _environ(self) -> dict[str, str]:
        return os.environ | {"WEBCOM_BASE_URL": self._url, "WEBCOM_TOKEN": self.gateway.token}

    async def _status(self) -> CampaignStatus:
        store = PostgresStore(self.dsn)
        try:
            return await store.status(CAMPAIGN)
        finally:
            await store.aclose()

    async def _judge(self, recipients: int) -> Verdict:
        store = PostgresStore(self.dsn)
        try:
            return await verdict(self.gateway, store.results(CAMPAIGN), recipients)
        finally:
            await store.aclose()


async def verdict(gateway: Gateway, results: AsyncIterator[SendResult], recipients: int) -> Verdict:
    sent = Counter(sms.phone for sms in gateway.ledger.sent)
    ids = {sms.id_sms: sms.phone for sms in gateway.ledger.sent}
    told: Counter[str] = Counter()
    unlike = 0
    async for result in results:
        told[result.phone] += 1
        unlike += result.outcome is not Outcome.ACCEPTED or ids.get(result.id_sms or "") != result.phone
    expected = {str(FIRST_PHONE + number) for number in range(recipients)}
    unlike += len(expected ^ told.keys()) + sum(count - 1 for count in told.values())
    return Verdict(
        lost=len(expected - sent.keys()),
        twice=sum(count - 1 for count in sent.values()),
        unlike=unlike,
        repeats=gateway.ledger.repeats,
    )


def gateway_of(latency: float, requests_per_second: int | None = None) -> Gateway:
    """Return a gateway that answers after *latency* seconds, and takes so many requests per second."""
    return Gateway(behaviour=Behaviour(requests_per_second=requests_per_second), latency=latency)


def cpu_of(process: "subprocess.Popen[bytes]") -> float:
    """Wait for the end of *process*, and return its seconds of CPU."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def on_stage(server: Server, gateway: Gateway, folder: Path) -> Generator[Stage, None, None]:
    """Yield a stage with a database of its own; its workers end with the block."""
    folder.mkdir(parents=True)
    with serve(gateway) as url:
        stage = Stage(server, server.database(), gateway, url, folder)
        try:
            yield stage
        finally:
            stage.close()


def write_phones(path: Path, count: int) -> Path:
    """Write a file of *count* phones, and return its path."""
    lines: Iterator[str] = (f"{FIRST_PHONE + number}\n" for number in range(count))
    with path.open("w", encoding="utf-8") as file:
        file.write("phone\n")
        file.writelines(lines)
    return path


def wait_until(look: Callable[[], T], wanted: Callable[[T], bool], seconds: float) -> T:
    """Return the result of *look* as soon as it is *wanted*."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(StoreUnavailable):  # the server may be starting again
            found = look()
            if wanted(found):
                return found
        time.sleep(_LOOK)
    raise TimeoutError(f"not within {seconds:g} s")
