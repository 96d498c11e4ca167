"""
What becomes of an SMS once it is accepted: its states, and when it comes into them.

Arithmetic on a moment that is given; the same SMS has the same fate whenever it is asked for.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from zlib import crc32

import msgspec

from webcom_async.emulator._ledger import Sms

__all__ = ["DELIVERED", "DeliveryScenarios", "Scenario", "Step", "sample"]

_SEND = "send"


class Step(NamedTuple):
    """
    A change of state.

    Attributes:
        after: Seconds since the SMS was accepted.
        state: The gateway's word, or a sentence of its.
    """

    after: float
    state: str


class Scenario(msgspec.Struct, frozen=True):
    """
    What becomes of an SMS.

    Attributes:
        steps: Its changes of state, in order; none for one of which nothing is ever heard.
    """

    steps: tuple[Step, ...] = ()


DELIVERED = Scenario((Step(5.0, "deliver"),))


class DeliveryScenarios:
    """
    Who meets which fate.

    Args:
        seed: For those that strike by chance.

    Attributes:
        usual: What becomes of an SMS that nothing else is said of.
        to: Fates of single phones.
    """

    def __init__(self, seed: int = 0) -> None:
        self.default: Scenario = DELIVERED
        self.to: dict[str, Scenario] = {}
        self._chances: list[tuple[float, Scenario]] = []
        self._seed = seed

    def sometimes(self, probability: float, fate: Scenario) -> None:
        """Let each SMS whose phone has no fate of its own meet *fate* with *probability*."""
        self._chances.append((probability, fate))

    def of(self, sms: Sms) -> Scenario:
        """Return what becomes of *sms*."""
        if sms.phone in self.to:
            return self.to[sms.phone]
        for number, (probability, fate) in enumerate(self._chances):
            if sample(f"{self._seed} {number} {sms.id_sms}") < probability:
                return fate
        return self.default

    def state(self, sms: Sms, now: datetime) -> tuple[str, datetime | None]:
        """Return the state of *sms* at a moment, and when it came into it; None while nothing is known."""
        state: tuple[str, datetime | None] = (_SEND, None)
        for step in self.of(sms).steps:
            moment = sms.sent_at + timedelta(seconds=step.after)
            if moment <= now:
                state = (step.state, moment)
        return state


def sample(words: str) -> float:
    """Return a number from 0.0 up to 1.0 that follows from *words*."""
    return crc32(words.encode()) / (1 << 32)
