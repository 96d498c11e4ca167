"""
How long a campaign goes on without an answer.

Pure, except for the lock that probes take: the current time is an argument, and nothing here waits or sends.
"""

import math

import anyio

from webcom_async._domain.errors import (
    GatewaySilent,
    GatewayUnavailable,
    QuotaExhausted,
    ReplyTimeout,
    TransportError,
    WebcomError,
)
from webcom_async._domain.options import Options
from webcom_async._domain.sentences import Sentence

__all__ = ["Patience", "patience_of"]

_TIMEOUTS = 6  # as many as one batch has attempts: the default patience
_SILENT_ROUNDS = 5  # the longest streak of time-outs, in rounds of the requests in flight
_SHORTEST_PAUSE = 0.5  # seconds between probes
_PROBES = 1_000  # at most, for a patience of less than half as many seconds


class Patience:
    """
    The silence of the gateway in a campaign, and what it means.

    Only time in which the campaign tries counts: requests in flight, and the waits after those without an answer. A
    slow reader, a rate, or a `Retry-After` is not the gateway's silence.

    Args:
        seconds: The longest silence.
        waits: Whether the campaign probes until then; if not, silent rounds of requests end it before.
        rounds: The number of silent rounds after which sending at full speed ends.

    Attributes:
        seconds: The same.
        waits: The same.
        waiting: Whether the campaign waits now, and sends one request at a time.
        useful: The number of answers of use.
        probes: The number of probes of this wait.
        probing: The lock that a probe holds.
        last: The failure of the last request without an answer of use; None if there is none since the last answer.
        has_ended: Whether it has ended the campaign.
    """

    def __init__(self, seconds: float, *, waits: bool, rounds: float = _SILENT_ROUNDS) -> None:
        self.seconds = seconds
        self.waits = waits
        self.waiting: bool = False
        self.useful: int = 0
        self.probes: int = 0
        self.probing: anyio.Lock = anyio.Lock()
        self.last: WebcomError | None = None
        self.has_ended: bool = False
        self._longest = rounds - 1e-9  # shares of a round add up to a little less
        self._trying: set[object] = set()
        self._since: float | None = None
        self._silent = 0.0
        self._paused = 0.0
        self._rounds = 0.0

    @classmethod
    def without_limit(cls) -> "Patience":
        """Return the patience of a single send, which has a number of attempts instead."""
        return cls(math.inf, waits=False, rounds=math.inf)

    def left(self, now: float) -> float:
        """Return the seconds until patience is over, at least 0."""
        return max(0.0, self.seconds - self.silence(now))

    def is_over(self, now: float) -> bool:
        """Whether the gateway has been silent for too long."""
        return not self.left(now)

    @property
    def is_silent(self) -> bool:
        """Whether so many rounds of requests in flight had no answer that sending at full speed is of no use."""
        return self._rounds >= self._longest

    def tries(self, who: object, now: float) -> None:
        """Count the time from *now* on: *who* has sent a request, or waits after one without an answer."""
        self._trying.add(who)
        self._count(now)

    def rests(self, who: object, now: float) -> None:
        """Stop counting for *who*."""
        self._trying.discard(who)
        self._count(now)

    def answered(self, who: object, now: float) -> None:
        """Note a whole answer, whatever it says; a campaign that waits goes on waiting until one is of use."""
        self.rests(who, now)
        if not self.waiting:
            self._start_again()

    def unanswered(self, error: WebcomError, limit: int) -> None:
        """Note a request that ended with *error*, one of *limit* at once."""
        self.last = error
        if isinstance(error, ReplyTimeout):
            self._rounds += 1 / limit

    def silence(self, now: float) -> float:
        """Return the seconds without an answer up to *now*."""
        running = 0.0 if self._since is None else now - self._since
        # A clock that stands still must not make the wait endless.
        return max(self._silent + running, self._paused)

    def shortened(self, seconds: float, who: object, now: float) -> float:
        """Return the wait of *seconds*, or what is left if *who* waits without an answer."""
        return min(seconds, self.left(now)) if who in self._trying else seconds

    def begin_to_wait(self, error: WebcomError, now: float) -> None:
        """Let the campaign send one request at a time from now on, after *error*."""
        self.waiting = True
        self.last = error
        self._paused = self.silence(now)

    def end_waiting(self) -> float:
        """Let the campaign send at full speed again, and return the seconds that it has waited."""
        seconds = max(self._silent, self._paused)
        self.waiting = False
        self._start_again()
        return seconds

    def pause(self, back_off: float, now: float) -> float:
        """Return the seconds before the next probe, given a *back_off*, and count them."""
        shortest = min(_SHORTEST_PAUSE, self.seconds / _PROBES)
        seconds = min(self.left(now), max(shortest, back_off))
        self.probes += 1
        self._paused += seconds
        return seconds

    def gave_up(self, last: WebcomError) -> WebcomError:
        """Return the error that ends a campaign whose patience is over; *last* is its last failure."""
        self.has_ended = True
        kind: type[WebcomError] = QuotaExhausted
        if isinstance(last, GatewayUnavailable):
            kind = GatewayUnavailable
        elif isinstance(last, TransportError):
            kind = GatewaySilent
        words = Sentence(
            "the gateway gave no answer of use for {seconds} s, and the patience of this campaign is over. Run it "
            "again under the same name when the gateway answers: it goes on with the rest. The last failure: {last}",
            seconds=f"{self.seconds:g}",
            last=last.sentence,
        )
        return kind(words)

    def fell_silent(self, last: WebcomError) -> GatewaySilent:
        """Return the error that ends a campaign that does not wait, after five silent rounds."""
        self.has_ended = True
        words = Sentence(
            "the gateway left {rounds} rounds of requests without an answer, and the campaign has no patience to wait "
            "for it. Run it again under the same name when the gateway answers: it goes on with the rest. The last "
            "failure: {last}",
            rounds=_SILENT_ROUNDS,
            last=last.sentence,
        )
        return GatewaySilent(words)

    def _start_again(self) -> None:
        self._silent = self._paused = self._rounds = 0.0
        self.probes = 0
        self.last = None

    def _count(self, now: float) -> None:
        if self._since is not None:
            self._silent += now - self._since
        self._since = now if self._trying else None


def patience_of(options: Options) -> Patience:
    """Return the patience of a campaign."""
    if options.patience is None:
        return Patience(_TIMEOUTS * options.timeout, waits=False)
    return Patience(options.patience, waits=True)
