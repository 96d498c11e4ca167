"""
Count recipients and requests while a campaign runs.

A batch is counted when it is settled, not when its results are read: unread results happened too. Time is an argument.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from msgspec.structs import asdict

from webcom_async._domain.exchange import RequestTrace
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import NetworkStats, Outcome, Progress, Report, SettledResults

__all__ = ["CampaignCounters"]


class CampaignCounters:
    """
    The running counts of one campaign.

    Args:
        campaign: The campaign's name.
        now: Monotonic seconds at the start.
    """

    def __init__(self, campaign: str, now: float) -> None:
        self.exhausted: bool = False
        self.halted: bool = False
        self.taken: int = 0
        self.in_flight: int = 0
        self.campaign: str = campaign
        self._traffic = dict.fromkeys(NetworkStats.__struct_fields__, 0)
        self._started = now
        self._last = now
        self._from_journal = 0
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._reasons: Counter[Reason] = Counter()

    @contextmanager
    def request(self, trace: RequestTrace, *, again: bool) -> Generator[None, None, None]:
        """Count a request, which is in flight inside the block; *again* if it repeats an earlier one."""
        self._traffic["requests"] += 1
        self._traffic["retries"] += again
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._traffic["bytes_sent"] += trace.bytes_sent
            self._traffic["bytes_received"] += trace.bytes_received
            self._traffic["connections"] += trace.connections
            self._traffic["false_timeouts"] += trace.given_up_blocked

    def settle(self, settled: SettledResults, now: float, from_journal: int = 0) -> None:
        self._last = now
        self._from_journal += from_journal
        others = settled.others()
        self._outcomes[Outcome.ACCEPTED] += len(settled.results) - len(others)
        for result in others:
            self._outcomes[result.outcome] += 1
            self._reasons[result.reason] += 1

    def report(self) -> Report:
        return self._report(self._last)

    def progress(self, now: float, *, limit: int, rate: float | None) -> Progress:
        counts = asdict(self._report(now))
        return Progress(**counts, taken=self.taken, in_flight=self.in_flight, limit=limit, rate=rate)

    def _report(self, until: float) -> Report:
        return Report(
            campaign=self.campaign,
            outcomes=dict(self._outcomes),
            reasons=dict(self._reasons.most_common()),
            **self._traffic,
            seconds=until - self._started,
            from_journal=self._from_journal,
            complete=self.exhausted and not self.halted and self.taken == sum(self._outcomes.values()),
        )
