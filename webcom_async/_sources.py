"""
Where recipients come from: any iterable, pulled lazily.

A source that fails half-way through loses nothing of what it has yielded: that stays in the caller's deque.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TypeAlias, cast

from webcom_async._reasons import Reason
from webcom_async.errors import InputError
from webcom_async.models import Recipient

__all__ = ["RecipientSource", "Source"]

RecipientSource: TypeAlias = Iterable[str | int | Recipient] | AsyncIterable[str | int | Recipient]
"""Phones or recipients, from a list, a generator, a file, a database cursor, …"""


class Source:
    """
    One pass over *items*.

    Attributes:
        exhausted: Whether the end has been reached.

    Raises:
        InputError: It is one phone, or nothing that can be iterated.
    """

    def __init__(self, items: RecipientSource) -> None:
        self.exhausted: bool = False
        self._sync: Iterator[object] | None = None
        self._async: AsyncIterator[object] | None = None
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

    def fill_now(self, waiting: deque[object], size: int) -> bool:
        """Append items to *waiting* until it holds *size*, or the source ends; False if that is to be awaited."""
        wanted = size - len(waiting)
        if self.exhausted or wanted <= 0:
            return True
        if self._sync is None:
            return False
        waiting.extend(islice(self._sync, wanted))
        self.exhausted = len(waiting) < size
        return True

    async def fill(self, waiting: deque[object], size: int) -> None:
        """Do the same, and await each item."""
        if self.fill_now(waiting, size) or self._async is None:
            return
        while len(waiting) < size:
            try:
                waiting.append(await anext(self._async))
            except StopAsyncIteration:
                break
        self.exhausted = len(waiting) < size

    async def aclose(self) -> None:
        """Close an async generator that was left early: trio warns of one that is left to the garbage collector."""
        left: object = self._async if not self.exhausted else None
        if isinstance(left, AsyncGenerator):
            await cast("AsyncGenerator[object, None]", left).aclose()
