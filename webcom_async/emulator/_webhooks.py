"""
The gateway's webhooks: which reports are to be offered, and what becomes of them when they are answered.

No socket, task or clock: `calls` gives the bodies that are due, `answered` takes what came back. What may happen to a
report on its way (repeated, overtaken, early, lost) is an option here.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from webcom_async.emulator._ledger import Sms
from webcom_async.emulator._scenarios import DeliveryScenarios, Step
from webcom_async.emulator._wire import Document, push_entry, read_acknowledgement, write_json

__all__ = ["Call", "Webhooks"]

_ATTEMPTS = 5  # apidocs.webcom.mobi, webhook: a report whose id is not echoed is offered five times


class _Pending(NamedTuple):
    due: datetime
    number: int
    sms: Sms
    step: Step
    attempts: int


class Call(NamedTuple):
    """
    One webhook call.

    Attributes:
        body: What is posted.
        reports: What is in it.
    """

    body: bytes
    reports: tuple[_Pending, ...]


class Webhooks:
    """
    Reports that are to be offered.

    Args:
        now: The time.
        scenarios: What becomes of SMS.
        seed: For what strikes by chance.

    Attributes:
        enabled: Whether reports are kept at all.
        early: Share of SMS whose reports are all due at once, before the answer to the send is out.
        lost: Share of reports that are never offered.
        repeated: Share of acknowledged reports that are offered again all the same.
        jitter: Seconds by which a report may be late, so that they overtake one another.
        batch: Reports in a call, at most.
        interval: Seconds until a report is offered again that was not acknowledged. Not documented.
        numeric_ids: Whether ids are numbers.
        abandoned: Reports that were offered five times without an acknowledgement.
        offered: Reports that were offered, repeats included.
    """

    def __init__(self, now: Callable[[], datetime], scenarios: DeliveryScenarios, seed: int = 0) -> None:
        self.enabled: bool = False
        self.early: float = 0.0
        self.lost: float = 0.0
        self.repeated: float = 0.0
        self.jitter: float = 0.0
        self.batch: int = 100
        self.interval: float = 60.0
        self.numeric_ids: bool = True
        self.abandoned: int = 0
        self.offered: int = 0
        self._now = now
        self._scenarios = scenarios
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._pending: list[_Pending] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._pending)

    def sent(self, sms: Sms) -> None:
        """Take note of an SMS that was accepted just now."""
        if not self.enabled:
            return
        early = self._random.random() < self.early
        for step in self._scenarios.of(sms).steps:
            if self._random.random() >= self.lost:
                late = 0.0 if early else step.after + self._random.random() * self.jitter
                self._put(sms.sent_at + timedelta(seconds=late), sms, step, 0)

    def next_due(self) -> datetime | None:
        """Return when the next report is due; None if there is none."""
        return self._pending[0].due if self._pending else None

    def calls(self) -> list[Call]:
        """Return the calls that are due now. Each is to be `answered`."""
        now = self._now()
        due: list[_Pending] = []
        while self._pending and self._pending[0].due <= now:
            due.append(heappop(self._pending))
        self.offered += len(due)
        return [self._call(due[start : start + self.batch]) for start in range(0, len(due), self.batch)]

    def answered(self, call: Call, body: bytes | None) -> None:
        """Take the answer to *call*: None if there was none. What it does not repeat is offered again, in the end."""
        echoed = set(read_acknowledgement(body)) if body is not None else set[str]()
        again = self._now() + timedelta(seconds=self.interval)
        for report in call.reports:
            if report.sms.id_sms not in echoed:
                if report.attempts + 1 < _ATTEMPTS:
                    self._put(again, report.sms, report.step, report.attempts + 1)
                else:
                    self.abandoned += 1
            elif self._random.random() < self.repeated:
                self._put(again, report.sms, report.step, report.attempts)

    def _put(self, due: datetime, sms: Sms, step: Step, attempts: int) -> None:
        heappush(self._pending, _Pending(due, next(self._numbers), sms, step, attempts))

    def _call(self, reports: list[_Pending]) -> Call:
        return Call(write_json([self._entry(report) for report in reports]), tuple(reports))

    def _entry(self, report: _Pending) -> Document:
        moment = report.sms.sent_at + timedelta(seconds=report.step.after)
        return push_entry(report.sms.id_sms, report.step.state, moment, numeric=self.numeric_ids)
