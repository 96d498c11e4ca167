"""The end of a call's wait for a server."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

__all__ = ["Deadline"]

_HASTE_SECONDS = 5.0  # after its caller was cancelled
_SHORTEST_ANSWER = 1.0  # seconds that an exchange gets, however late in a call it begins
_LONGEST_QUESTION = 5.0  # seconds, for asking whether a server is at work


class Deadline:
    """
    The moment at which a call ends its wait, in the event loop's time.

    Args:
        seconds: From now.

    Attributes:
        seconds: The seconds.
        abandoned: Whether the caller has gone.
        over: Whether the server was silent until the deadline.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.abandoned = False
        self.over = False
        self._hasty = False
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds
        self._move: Callable[[], None] | None = None

    @property
    def left(self) -> float:
        return self._at - self._loop.time()

    def hasten(self) -> None:
        """End the wait in a few seconds at most."""
        if not self._hasty:
            self._hasty = True
            self._move_to(min(self._at, self._loop.time() + _HASTE_SECONDS))

    def abandon(self) -> None:
        """The same, and nothing is retried."""
        self.abandoned = True
        self.hasten()

    def end(self) -> None:
        """End the wait now."""
        self.abandoned = self._hasty = True
        self._move_to(self._loop.time())

    @asynccontextmanager
    async def interrupting(self, words: str) -> AsyncGenerator[None]:
        """Raise `TimeoutError` with *words* in the block at the deadline."""
        try:
            async with asyncio.timeout_at(self._at) as timeout:
                self._move = lambda: timeout.reschedule(self._at)
                try:
                    yield
                finally:
                    self._move = None
        except TimeoutError as exc:
            raise TimeoutError(words) from exc

    @contextmanager
    def cutting(self, cut: Callable[[], None], at_work: Callable[[float], Awaitable[bool]]) -> Generator[None]:
        """
        Call *cut* at the deadline, unless the server is at work.

        Args:
            cut: Ends the block.
            at_work: Returns within the given seconds whether the server works on what the block awaits.
        """
        if not self._hasty:
            self._at = max(self._at, self._loop.time() + _SHORTEST_ANSWER)
        guard = _Guard(self, self._loop, cut, at_work)
        self._move = guard.arm
        guard.arm()
        try:
            yield
        finally:
            self._move = None
            guard.disarm()

    @property
    def at(self) -> float:
        """The moment."""
        return self._at

    @property
    def question_at(self) -> float | None:
        """When to ask whether the server is at work; None for not at all."""
        return None if self._hasty else self._at - self.question_seconds

    @property
    def question_seconds(self) -> float:
        return min(_LONGEST_QUESTION, max(self.seconds, _SHORTEST_ANSWER) / 2)

    def begin_again(self) -> None:
        """The server is there, so the patience begins again."""
        self._move_to(self._loop.time() + max(self.seconds, _SHORTEST_ANSWER))

    def _move_to(self, at: float) -> None:
        self._at = at
        if self._move is not None:
            self._move()


class _Guard:
    """The timer of a block that may be cut."""

    def __init__(
        self,
        deadline: Deadline,
        loop: asyncio.AbstractEventLoop,
        cut: Callable[[], None],
        at_work: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._deadline = deadline
        self._loop = loop
        self._cut = cut
        self._at_work = at_work
        self._timer: asyncio.TimerHandle | None = None
        self._question: asyncio.Task[None] | None = None

    def arm(self) -> None:
        self.disarm()
        question_at = self._deadline.question_at
        if question_at is None:
            self._timer = self._loop.call_at(self._deadline.at, self._expire)
        else:
            self._timer = self._loop.call_at(question_at, self._begin_question)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._question is not None:
            self._question.cancel()
            self._question = None

    def _begin_question(self) -> None:
        self._question = self._loop.create_task(self._ask())

    async def _ask(self) -> None:
        at_work = await self._at_work(self._deadline.question_seconds)
        self._question = None  # `arm` does not cancel it
        if at_work:
            self._deadline.begin_again()
        else:
            self._timer = self._loop.call_at(self._deadline.at, self._expire)

    def _expire(self) -> None:
        self._deadline.over = True
        self._cut()
