"""Malformed webhook bodies: refused, or read as far as they are sound, and never further."""

import random
from collections import Counter
from collections.abc import Sequence

import anyio
from anyio.lowlevel import checkpoint

from tests.reliability.delivery import resident
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.test_webhooks import SECRET, call, mutated
from webcom_async import DeliveryReport
from webcom_async.webhooks import WebhookApp

__all__ = ["measure"]

_WARM = 1_000  # bodies, after which memory must not grow
_TURN = 100  # bodies
_BAR = 5.0  # MiB


class _Counting:
    """A store that only counts."""

    def __init__(self) -> None:
        self.reports = 0

    async def commit(self, reports: Sequence[DeliveryReport]) -> Sequence[DeliveryReport]:
        self.reports += len(reports)
        return reports


def measure(scale: Scale, seed: int) -> list[Row]:
    """Post mutated bodies, and count unexpected answers."""
    return [anyio.run(_post, scale.bodies, seed)]


async def _post(count: int, seed: int) -> Row:
    chance = random.Random(seed)
    app = WebhookApp(_Counting(), secret=SECRET)
    answers: Counter[object] = Counter()
    before = 0.0
    for number in range(count):
        answers[(await call(app, mutated(chance))).status] += 1
        if not number % _TURN:
            await checkpoint()  # a server's loop turns too, and drops stopped timers then
        if number == _WARM:
            before = resident()
    grown = max(0.0, resident() - before)
    strange = sum(times for status, times in answers.items() if status not in {200, 400, 413})
    return Row(
        "mutated webhook bodies",
        f"{count:,} bodies: {answers[200]:,} read, {answers[400] + answers[413]:,} refused",
        f"0 exceptions, {_BAR:.0f} MiB",
        f"{strange} other answers or exceptions, {grown:.1f} MiB",
        ok=not strange and grown <= _BAR,
    )
