"""Two of four workers are killed, one sleeps past its lease, the database restarts: each recipient gets one SMS."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.postgres_server import Server
from tests.reliability.table import Row
from tests.scaleout.stage import Stage, Verdict, gateway_of, on_stage, write_phones

__all__ = ["measure"]

_WORKERS = 4
_LEASE = 5.0  # seconds
_ASLEEP = _LEASE + 3.0
_LATENCY, _REQUESTS_PER_SECOND = 0.1, 40
_EARLIEST, _LATEST = 0.03, 0.85  # of the recipients


def measure(server: Server, folder: Path, recipients: int, seeds: range, say: Callable[[str], None]) -> list[Row]:
    """Run a campaign for each seed, and return the lines of the table."""
    phones = write_phones(folder / "phones.csv", recipients)
    verdicts = [_run(server, folder / str(seed), phones, recipients, seed, say) for seed in seeds]
    runs = f"{len(seeds)} × {recipients:,}"
    lost, twice = sum(each.lost for each in verdicts), sum(each.twice for each in verdicts)
    unlike, repeats = sum(each.unlike for each in verdicts), sum(each.repeats for each in verdicts)
    return [
        Row("two workers killed, one asleep, database restarted: lost", runs, "0", f"{lost}", lost == 0),
        Row("… sent to twice", runs, "0", f"{twice}", twice == 0),
        Row("… results that the ledger denies, or more than one", runs, "0", f"{unlike}", unlike == 0),
        Row("… sent again, and answered with the first SMS", runs, "", f"{repeats:,}", ok=True),
    ]


def _run(server: Server, folder: Path, phones: Path, recipients: int, seed: int, say: Callable[[str], None]) -> Verdict:
    began = time.monotonic()
    with on_stage(server, gateway_of(_LATENCY, _REQUESTS_PER_SECOND), folder) as stage:
        stage.start(phones)
        for _ in range(_WORKERS):
            stage.add_worker("--lease", str(_LEASE), "--in-flight", "4")
        done = _Faults(stage, random.Random(seed)).strike(recipients)
        stage.wait_for_end()
        codes = [worker.end() for worker in stage.workers if not worker.killed]
        verdict = stage.judge(recipients)
    say(f"seed {seed}: {verdict}, {', '.join(done)}; exit codes {codes}; {time.monotonic() - began:.0f} s")
    return verdict


class _Faults:
    """Faults of a stage, each at a random moment; the worker that sleeps is not one that is killed."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self._sleeper, *self._others = chance.sample(stage.workers, len(stage.workers))

    def strike(self, recipients: int) -> list[str]:
        """Cause each fault when its share of the recipients has been sent to, and return the faults."""
        faults = [self._kill, self._kill, self._sleep, self._restart]
        self._chance.shuffle(faults)
        shares = sorted(self._chance.uniform(_EARLIEST, _LATEST) for _ in faults)
        done: list[str] = []
        for share, fault in zip(shares, faults, strict=True):
            self._stage.wait_for_sent(int(share * recipients))
            done.append(f"{fault()} at {share:.0%}")
        return done

    def _kill(self) -> str:
        worker = self._others.pop()
        worker.kill()
        return f"{worker.name} killed"

    def _sleep(self) -> str:
        worker = self._sleeper
        worker.stop()
        time.sleep(_ASLEEP)
        worker.wake()
        return f"{worker.name} asleep"

    def _restart(self) -> str:
        immediately = self._chance.random() < 0.5
        self._stage.server.restart("immediate" if immediately else "fast")
        return f"database restarted ({'immediate' if immediately else 'fast'})"
