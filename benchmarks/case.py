"""
One measurement: everything that decides it in one struct, and how it is made in a process of its own.

A case is a name and options; a function of that name makes figures of it.
"""

import subprocess
import sys

import msgspec

from benchmarks.gateway import Behaviour

__all__ = ["BROKE", "Case", "Figures", "Measured", "Unavailable", "measured_apart"]

Figures = dict[str, float]

BROKE = "is_connection_lost"

_SECONDS = 900  # no case takes so long


class Unavailable(Exception):
    """A contender that cannot take part, and why: its package, or the option of ours, is not there."""


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is measured.

    Attributes:
        name: Which function measures; see `benchmarks.cases`.
        recipients: How many.
        personal: Whether every recipient has a text of its own.
        transport: The HTTP library.
        batches: Whether results are read in lists.
        in_flight: Requests in flight at once.
        batch_size: Recipients in a request.
        latency: Seconds before the gateway answers.
        slow_share: Share of its answers that take longer.
        slow_factor: How many times longer.
        seconds: How long is measured, where the time is given and not the recipients.
        pause: Seconds that the reader takes for a batch, or that the event loop is blocked.
        callers: Concurrent calls of `send`.
        linger: Seconds that a call of `send` may wait for others; None for the client's default.
        journal: Whether the campaign is written down in a journal.
        receiver: What receives reports: `ours`, `unkept` or `empty`.
    """

    name: str
    recipients: int = 100_000
    personal: bool = False
    transport: str = "httpx2"
    batches: bool = False
    in_flight: int = 8
    batch_size: int = 500
    latency: float = 0.0
    slow_share: float = 0.0
    slow_factor: float = 1.0
    seconds: float = 3.0
    pause: float = 0.0
    callers: int = 1
    linger: float | None = None
    journal: bool = False
    receiver: str = "ours"

    @property
    def behaviour(self) -> Behaviour:
        """What is asked of the gateway."""
        return Behaviour(self.latency, self.slow_share, self.slow_factor)


class Measured(msgspec.Struct, frozen=True):
    """
    What came out of a case.

    Attributes:
        figures: By name; empty if there are none.
        why_not: Why there are none.
        lines: Words for people, such as a profile.
    """

    figures: Figures = {}
    why_not: str = ""
    lines: list[str] = []


def measured_apart(case: Case, *more: str) -> Measured:
    """Measure *case* in another process; one that breaks has no figures, and says so."""
    options = msgspec.json.encode(case).decode()
    command = [sys.executable, "-m", "benchmarks", "--case", case.name, "--options", options, *more]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    try:
        return msgspec.json.decode(done.stdout, type=Measured)
    except msgspec.DecodeError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no words"]
        return Measured(why_not=f"{BROKE} with exit code {done.returncode}: {last[0]}")
