"""
Sources: any iterable of recipients, pulled lazily.

A source that fails half-way loses none of the items that it has yielded: they stay in the caller's deque.
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

    An ordinary iterable is pulled in one context, a copy of the caller's, whichever task pulls: a context variable that
    a generator sets (`decimal.localcontext`, a translation, a logger's fields) is still set at the next item. An async
    iterable must be pulled by one task.

    Attributes:
        exhausted: Whether the source has ended.

    Raises:
        InputError: It is a single phone, or not iterable.
    """

    def __init__(self, items: RecipientSource) -> None:
        self.exhausted: bool = False
        self._sync: Iterator[object] | None = None
        self._async: AsyncIterator[object] | None = None
        self._context = copy_context()
        self._cut_short = False
        # Text is iterable too, character by character.
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
        return self._async is not None

    def fill_now(self, waiting: deque[object], size: int) -> bool:
        """Append items until *waiting* holds *size*; False if they must be awaited."""
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
        Do the same as `fill_now`, and await each item, unless *until* returns True before it.

        Raises:
            UsageError: A generator was cancelled in the middle of an item: it has ended, and would look exhausted.
        """
        if self.fill_now(waiting, size) or self._async is None:
            return
        if self._cut_short:
            raise UsageError(
                "the source was cancelled in the middle of an item, and cannot continue: pass the rest as a new source"
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
        Raise *exc* inside a suspended async generator, and append the item that it then yields.

        Raises:
            UsageError: The source is not a generator.
        """
        if not isinstance(self._async, AsyncGenerator):
            raise UsageError("a scope or a time limit that the source holds was cancelled") from None
        try:
            waiting.append(await cast("AsyncGenerator[object, None]", self._async).athrow(exc))
        except StopAsyncIteration:
            self.exhausted = True

    async def aclose(self) -> None:
        """
        Close an async generator that was left early: trio warns if the garbage collector does it.

        An ordinary generator is released in its own context, where its `finally` finds its variables.
        """
        left: object = self._async if not self.exhausted else None
        if isinstance(left, AsyncGenerator):
            await cast("AsyncGenerator[object, None]", left).aclose()
        self._context.run(self._let_go)

    def _let_go(self) -> None:
        if self._sync is not None:
            self._sync = iter(())
