"""
Where recipients come from: any iterable, pulled lazily.

A source that fails half-way through loses nothing of what it has yielded: that stays in the caller's deque.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from itertools import islice
from typing import TypeAlias, cast

from webcom_async._domain.errors import InputError, UsageError
from webcom_async._domain.messages import Recipient
from webcom_async._domain.reasons import Reason

__all__ = ["RecipientSource", "Source"]

RecipientSource: TypeAlias = Iterable[str | int | Recipient] | AsyncIterable[str | int | Recipient]
"""Phones or recipients, from a list, a generator, a file, a database cursor, …"""


class Source:
    """
    One pass over *items*.

    An ordinary iterable is pulled in one context from its first item to its last, a copy of the caller's, whichever
    task pulls: a context variable that a generator sets (`decimal.localcontext`, a translation, a logger's fields) is
    set when it goes on. An async one is to be pulled by one task.

    Attributes:
        exhausted: Whether the end has been reached.

    Raises:
        InputError: It is one phone, or nothing that can be iterated.
    """

    def __init__(self, items: RecipientSource) -> None:
        self.exhausted: bool = False
        self._sync: Iterator[object] | None = None
        self._async: AsyncIterator[object] | None = None
        self._context = copy_context()
        self._cut_short = False
        # Text is iterable too, one character at a time.
        if isinstance(items, str | bytes | Recipient):
            raise InputError(
                f"recipients is a single {type(items).__name__}: put it in a list, or use client.send()",
                Reason.BAD_RECIPIENT,
            )
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        elif isinstance(items, Iterable):
            self._sync = iter(items)
        else:
            raise InputError(
                f"recipients must be an iterable or async iterable of phones or Recipients, not {type(items).__name__}",
                Reason.BAD_RECIPIENT,
            )

    @property
    def is_async(self) -> bool:
        """Whether its items are awaited."""
        return self._async is not None

    def fill_now(self, waiting: deque[object], size: int) -> bool:
        """Append items to *waiting* until it holds *size*, or the source ends; False if that is to be awaited."""
        wanted = size - len(waiting)
        if self.exhausted or wanted <= 0:
            return True
        if self._sync is None:
            return False
        self._context.run(waiting.extend, islice(self._sync, wanted))
        self.exhausted = len(waiting) < size
        return True

    async def fill(self, waiting: deque[object], size: int, until: Callable[[], bool] = lambda: False) -> None:
        """
        Do the same, and await each item.

        Args:
            waiting: Where items are put.
            size: How many it is to hold.
            until: Asked before each item whether to stop.

        Raises:
            UsageError: A generator was cancelled in the middle of an item before: it has ended, and would pass for one
                that has nothing more.
        """
        if self.fill_now(waiting, size) or self._async is None:
            return
        if self._cut_short:
            raise UsageError(
                "the source was cancelled in the middle of an item, and cannot go on: pass the rest as a new source"
            )
        while len(waiting) < size and not until():
            try:
                waiting.append(await anext(self._async))
            except StopAsyncIteration:
                self.exhausted = True
                break
            except BaseException as exc:
                self._cut_short = isinstance(self._async, AsyncGenerator) and not isinstance(exc, Exception)
                raise

    async def throw(self, waiting: deque[object], exc: BaseException) -> None:
        """
        Raise *exc* where an async generator waits to be asked, and append the item that it yields then, if it does.

        Raises:
            UsageError: The source is not a generator, so nothing can be raised in it.
        """
        if not isinstance(self._async, AsyncGenerator):
            raise UsageError("a scope or a time limit that the source holds was cancelled") from None
        try:
            waiting.append(await cast("AsyncGenerator[object, None]", self._async).athrow(exc))
        except StopAsyncIteration:
            self.exhausted = True

    async def aclose(self) -> None:
        """
        Close an async generator that was left early: trio warns of one that is left to the garbage collector.

        An ordinary one is let go of in its context, where its `finally` finds what it has set.
        """
        left: object = self._async if not self.exhausted else None
        if isinstance(left, AsyncGenerator):
            await cast("AsyncGenerator[object, None]", left).aclose()
        self._context.run(self._let_go)

    def _let_go(self) -> None:
        if self._sync is not None:
            self._sync = iter(())
