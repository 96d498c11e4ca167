"""
Admit requests: at most so many in flight, at most so many recipients per second, and single sends first.

One queue decides about both limits. A request that waits for its turn of the rate holds no slot, and nothing is claimed
until the request leaves, so that a single send never waits for a batch that has not left.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from types import TracebackType
from typing import Self

import anyio
from anyio import CancelScope
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from webcom_async._domain.clock import Clock
from webcom_async._domain.errors import WebcomError
from webcom_async._gateway.adaptive_limit import AdaptiveLimit, InFlight
from webcom_async._gateway.limits import Throttle
from webcom_async._gateway.policy import shrinks

__all__ = ["Admission", "Expected", "Priority", "Slot"]

# Ours: while both wait, campaigns get a sixteenth of the requests, or with a rate of the recipients.
_OTHERS = 15


class Priority(IntEnum):
    """What goes first."""

    SINGLE = 0
    QUESTION = 1
    BATCH = 2
    PULL = 3


class Waiter:
    """
    A caller that waits.

    Attributes:
        priority: The caller's priority.
        recipients: The recipients of its request.
        since: The moment from which it waits.
        awake_at: The moment up to which it has slept.
        admitted: Whether it waits no longer.
        request: The admitted request.
        changed: An event that is set when it may have to wait for something else.
    """

    def __init__(self, priority: Priority, recipients: int, since: float) -> None:
        self.priority = priority
        self.recipients = recipients
        self.since = since
        self.awake_at: float = since
        self.admitted: bool = False
        self.request: InFlight
        self.changed: anyio.Event = anyio.Event()
        self._asleep_until = -math.inf
        self._sleep = CancelScope()

    def wake(self, moment: float = -math.inf) -> None:
        """Let it look again, unless it sleeps until *moment* or an earlier one."""
        self.changed.set()
        if moment < self._asleep_until:
            self._sleep.cancel()

    async def sleep_until(self, moment: float, clock: Clock) -> bool:
        """Wait for *moment*; False if it was woken before."""
        now = max(clock.monotonic(), self.awake_at)
        with CancelScope() as self._sleep:
            self._asleep_until = moment
            await clock.sleep(max(0.0, moment - now))
            self.awake_at = moment
        self._asleep_until = -math.inf
        return not self._sleep.cancelled_caught


class Expected:
    """A batch that was pulled from its source, and will need a slot soon."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self._open = True
        admission.expected += 1

    def end(self) -> None:
        """Have it in flight, or sent no more."""
        if self._open:
            self._open = False
            self._admission.expected -= 1
            self._admission.admit()


class Admission:
    """
    Admits requests.

    Args:
        in_flight: The maximum number of requests in flight.
        rate: The maximum number of recipients per second; None for no limit.
        clock: Time and chance.
        changed: A function that is called with the limit before and after a change.

    Attributes:
        limit: The limit on requests in flight.
        throttle: The limit on recipients per second; None for no limit.
        expected: Batches that were pulled and have no slot yet.
    """

    def __init__(self, in_flight: int, rate: float | None, clock: Clock, changed: Callable[[int, int], None]) -> None:
        self.limit: AdaptiveLimit = AdaptiveLimit(in_flight)
        self.throttle: Throttle | None = None if rate is None else Throttle(rate)
        self.expected: int = 0
        self._clock = clock
        self._changed = changed
        self._queues: dict[Priority, OrderedDict[Waiter, None]] = {each: OrderedDict() for each in Priority}
        self._resting: list[float] = []  # a heap of the moments at which the slots of refused requests are free
        self._resting_untimed = 0
        self._passed = 0  # requests or recipients that went before a campaign's

    def slot(self, recipients: int, priority: Priority, expected: Expected | None = None) -> "Slot":
        return Slot(self, recipients, priority, expected)

    async def room(self) -> None:
        """Wait until a slot is free that no pulled batch expects."""
        await self._wait(Waiter(Priority.PULL, 0, self._clock.monotonic()))

    async def acquire(self, recipients: int, priority: Priority) -> InFlight:
        """Wait for a slot, and until *recipients* may leave. A cancelled caller leaves no trace."""
        return await self.admitted(self.waiter(recipients, priority))

    def waiter(self, recipients: int, priority: Priority) -> Waiter:
        return Waiter(priority, recipients, self._clock.monotonic())

    async def admitted(self, waiter: Waiter) -> InFlight:
        """Wait as `acquire` does."""
        try:
            await self._wait(waiter)
            # A slot may come free just when the caller is cancelled: nothing more may be sent then. On asyncio, a
            # caller's own task receives its cancellation only when the event loop turns.
            await (checkpoint_if_cancelled() if waiter.priority is Priority.BATCH else checkpoint())
        except BaseException:
            if waiter.admitted:
                self.reduce(waiter, 0)
                self.release(waiter.request, outcome=False)
            raise
        return waiter.request

    def reduce(self, waiter: Waiter, recipients: int) -> None:
        """Let only so many *recipients* of *waiter* leave; the others give their turn of the rate back."""
        others, waiter.recipients = waiter.recipients - recipients, recipients
        if self.throttle is not None and waiter.admitted and others:
            self.throttle.release(others)
        self.admit()

    def learn(self, request: InFlight, error: WebcomError | None) -> bool:
        """Feed the outcome of *request* to the adaptive limit; return whether it was one."""
        before, now = self.limit.limit, self._clock.monotonic()
        if error is None:
            self.limit.answered(request, now)
            self._wake_untimed()
        elif shrinks(error):
            self.limit.refused(request, now)
        else:
            return False
        if self.limit.limit != before:
            self._changed(before, self.limit.limit)
        return True

    def release(self, request: InFlight, *, outcome: bool, refused: bool = False) -> None:
        """
        Free the slot of *request*; *outcome* says whether the limit has learnt from it.

        The slot of a refused request rests for as long as an answer usually takes: a gateway that refuses at once gets
        no more requests than one that refuses later. Before the first answer, the slot rests until another request is
        answered, or none is in flight.
        """
        if not outcome:
            self.limit.forget(request)
        now = self._clock.monotonic()
        usual = self.limit.usual_seconds(request)
        if refused and usual is None:
            self._resting_untimed += 1
        elif refused and usual is not None and request.since + usual > now:
            heapq.heappush(self._resting, request.since + usual)
        else:
            self.limit.left()
        if self.limit.in_flight == self._resting_untimed + len(self._resting):
            self._wake_untimed()
        self.admit()

    def _wake_untimed(self) -> None:
        for _ in range(self._resting_untimed):
            self.limit.left()
        self._resting_untimed = 0

    def admit(self, now: float = 0.0) -> None:
        """Admit as many waiting callers as the limits allow; wake the one that waits for a moment."""
        now = max(now, self._clock.monotonic())
        while self._resting and self._resting[0] <= now:
            heapq.heappop(self._resting)
            self.limit.left()
        while (waiter := self._next(now)) is not None:
            self._admit(waiter, now)
        for first in self._in_order()[:1]:
            moment = self._next_moment(first)
            if moment is not None:
                first.wake(moment)

    def _in_order(self) -> list[Waiter]:
        """Return the first caller of each queue, in the order in which they go."""
        waiting = [next(iter(queue)) for queue in self._queues.values() if queue]
        # What waits for pulled batches alone holds no other caller up.
        waiting = [waiter for waiter in waiting if self._has_slot(waiter) or not self._free]
        campaigns = [waiter for waiter in waiting if waiter.priority >= Priority.BATCH]
        if campaigns and self._passed >= _OTHERS * self._cost(campaigns[0]):
            waiting.sort(key=lambda waiter: waiter.priority < Priority.BATCH)
        return waiting

    def _next(self, now: float) -> Waiter | None:
        """Return the caller that may leave now; None if there is none."""
        rate_taken = False
        for waiter in self._in_order():
            if not self._has_slot(waiter):
                return None
            if not (rate_taken and self._needs_rate(waiter)):
                if self._due(waiter) <= max(now, waiter.awake_at):
                    return waiter
                rate_taken = True
        return None

    def _needs_rate(self, waiter: Waiter) -> bool:
        return self.throttle is not None and waiter.priority is not Priority.QUESTION

    def _cost(self, waiter: Waiter) -> int:
        return 1 if self.throttle is None else max(1, waiter.recipients)

    def _has_slot(self, waiter: Waiter) -> bool:
        return self._free > (self.expected if waiter.priority is Priority.PULL else 0)

    @property
    def _free(self) -> int:
        return max(0, self.limit.limit - self.limit.in_flight)

    def _due(self, waiter: Waiter) -> float:
        if self.throttle is None or not waiter.recipients:
            return waiter.since
        return self.throttle.due(waiter.recipients, waiter.since)

    def _admit(self, waiter: Waiter, now: float) -> None:
        del self._queues[waiter.priority][waiter]
        if waiter.priority is not Priority.PULL:
            self._claim(waiter, max(now, waiter.awake_at))
        waiter.admitted = True
        waiter.wake()

    def _claim(self, waiter: Waiter, now: float) -> None:
        """Give *waiter* its slot and its turn of the rate, and count what goes before a campaign."""
        if waiter.priority is Priority.BATCH:
            self._passed = 0
        elif self._queues[Priority.BATCH] or self._queues[Priority.PULL]:
            self._passed += self._cost(waiter)
        if self.throttle is not None and waiter.recipients:
            self.throttle.claim(waiter.recipients, waiter.since, now)
        waiter.request = self.limit.sent(now, waiter.recipients)

    async def _wait(self, waiter: Waiter) -> None:
        self._queues[waiter.priority][waiter] = None
        try:
            self.admit()
            while not waiter.admitted:
                moment = self._next_moment(waiter)
                if moment is None:
                    waiter.changed = anyio.Event()
                    await waiter.changed.wait()
                elif await waiter.sleep_until(moment, self._clock):
                    self.admit(moment)
        finally:
            if not waiter.admitted:
                del self._queues[waiter.priority][waiter]
                self.admit()

    def _next_moment(self, waiter: Waiter) -> float | None:
        """Return the moment at which *waiter* may leave; None if it waits for other callers."""
        if waiter not in self._in_order()[:1]:
            return None
        if not self._has_slot(waiter):
            return self._resting[0] if self._resting else None
        return self._due(waiter)


class Slot:
    """
    A context manager that holds a slot for one request.

    It takes a free slot at once, where a semaphore would first let the event loop turn.
    """

    def __init__(self, admission: Admission, recipients: int, priority: Priority, expected: Expected | None) -> None:
        self._admission = admission
        self._waiter = admission.waiter(recipients, priority)
        self._expected = expected
        self._request: InFlight
        self._outcome = False
        self._refused = False

    async def __aenter__(self) -> Self:
        try:
            self._request = await self._admission.admitted(self._waiter)
        finally:
            if self._expected is not None:
                self._expected.end()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._admission.release(self._request, outcome=self._outcome, refused=self._refused)

    def reduce(self, recipients: int) -> None:
        """Let only so many *recipients* leave, also while the request waits."""
        self._admission.reduce(self._waiter, recipients)

    def finish(self, error: WebcomError | None) -> None:
        """Report the outcome of the request: an answer, or *error*."""
        self._outcome = self._admission.learn(self._request, error)
        self._refused = self._outcome and error is not None
