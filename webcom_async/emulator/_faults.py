"""
Faults: what can go wrong with a request, scripted or drawn with a seed.

Values only; the faces of the emulator act on them.
"""

import random
from collections import deque
from typing import Protocol

import msgspec

__all__ = ["Fault", "Faults", "Gate"]


class Gate(Protocol):
    """An event, as anyio, asyncio and trio have it."""

    def set(self) -> object:
        """Let through whoever waits."""
        ...

    async def wait(self) -> object:
        """Wait for `set`."""
        ...


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """
    What happens to one request.

    Attributes:
        processed: Whether the gateway does its work although the answer is bad. A fault that lets the answer through
            (a delay, a cut, headers) always has it done.
        delay: Seconds before the answer; the work is done before.
        close: Close the connection instead of answering.
        status: Answer with this status; with `processed`, instead of the real one.
        headers: Further headers of the answer.
        body: Answer with this body; with `processed`, instead of the real one.
        cut: Break the connection after so many bytes of the answer's body.
        arrived: Is set when the request is here. In-process only.
        until: Is waited for before anything else happens. In-process only.
    """

    processed: bool = False
    delay: float = 0.0
    close: bool = False
    status: int | None = None
    headers: dict[str, str] = {}
    body: bytes | None = None
    cut: int | None = None
    arrived: Gate | None = None
    until: Gate | None = None

    @property
    def answers(self) -> bool:
        """Whether the fault itself answers."""
        return self.close or self.status is not None or self.body is not None


_NONE = Fault()


class Faults:
    """
    The faults that the next requests meet.

    Args:
        seed: For those that strike by chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self._script: deque[Fault] = deque()
        self._chances: list[tuple[float, Fault]] = []
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def script(self, *faults: Fault) -> None:
        """Let the next requests meet *faults*, one each, in order; `Fault()` lets one pass."""
        self._script.extend(faults)

    def sometimes(self, probability: float, fault: Fault) -> None:
        """Let each request that has no scripted fault meet *fault* with *probability*."""
        self._chances.append((probability, fault))

    def draw(self) -> Fault:
        """Return the fault of one more request."""
        if self._script:
            return self._script.popleft()
        for probability, fault in self._chances:
            if self._random.random() < probability:
                return fault
        return _NONE
