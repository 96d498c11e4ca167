"""
Sources: any iterable of recipients, pulled lazily.

A source that fails half-way loses none of the items that it has yielded: they stay in the caller's deque.
"""

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextvars import copy_context
from itertools import islice
from typing import TypeAlias, cast

from webcom_async._domain.errors import InputError, UsageError
from webcom_async._domain.messages import Recipient
from webcom_async._domain.phones import plain_int
from webcom_async._domain.reasons import Reason

__all__ = ["RecipientSource", "Source", "strange_item"]

RecipientSource: TypeAlias = Iterable[str | int | Recipient] | AsyncIterable[str | int | Recipient]
"""Phones or recipients, from a list, a generator, a file, a database cursor, …"""

_STRANGE_RUN = 100  # items: so many in a row are no odd rows of a table, but a source of something else
_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (Mapping, 'wrap its values, as in Recipient(row["phone"], text=row["text"])'),
    ((tuple, list), "wrap its values, as in Recipient(phone, text=text) for phone, text in rows"),
    ((bytes, bytearray), "decode it, or open the file as text"),
    (float, "a data frame with missing phones has fractions: read that column as text"),
    (type(None), "leave out rows without a phone"),
)
_WRAP = "wrap it, as in Recipient(phone, text=text)"


class Source:
    """
    One pass over *items*.

    An ordinary iterable is pulled in one context, a copy of the caller's, whichever task pulls: a context variable that
    a generator sets (`decimal.localcontext`, a translation, a logger's fields) is still set at the next item. An async
    iterable must be pulled by one task.

    Args:
        items: The iterable.
        checked: Whether a source without recipients is refused: its first pull, or a hundred items in a row, have
            neither a phone nor a `Recipient`. A single odd item is left to the batcher, which makes it a result.

    Attributes:
        exhausted: Whether the source has ended.

    Raises:
        InputError: It is a single phone, a dict or a table, or is not iterable.
    """

    def __init__(self, items: RecipientSource, *, checked: bool = False) -> None:
        self.exhausted: bool = False
        self._sync: Iterator[object] | None = None
        self._async: AsyncIterator[object] | None = None
        self._context = copy_context()
        self._cut_short = False
        self._check = _ItemCheck() if checked else None
        refused = _refused(items)
        if refused:
            raise InputError(refused, Reason.BAD_RECIPIENT)
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)

    @property
    def is_async(self) -> bool:
        return self._async is not None

    def fill_now(self, waiting: deque[object], size: int) -> bool:
        """
        Append items until *waiting* holds *size*; False if they must be awaited.

        Raises:
            RuntimeError: The source raised an exception that ends an iteration elsewhere.
        """
        wanted = size - len(waiting)
        if self.exhausted or wanted <= 0:
            return True
        if self._sync is None:
            return False
        held = len(waiting)
        try:
            self._context.run(waiting.extend, islice(self._sync, wanted))
        except (StopAsyncIteration, GeneratorExit) as exc:
            raise _as_runtime_error(exc) from exc
        self.exhausted = len(waiting) < size
        self._look(waiting, held)
        return True

    async def fill(self, waiting: deque[object], size: int, until: Callable[[], bool] = lambda: False) -> None:
        """
        Do the same as `fill_now`, and await each item, unless *until* returns True before it.

        Raises:
            InputError: The source is checked, and yields something else than recipients.
            UsageError: A generator was cancelled in the middle of an item: it has ended, and would look exhausted.
            RuntimeError: The source raised an exception that ends an iteration elsewhere.
        """
        held = len(waiting)
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
            except (StopIteration, GeneratorExit) as exc:
                if _is_thrown_here(exc):
                    raise
                raise _as_runtime_error(exc) from exc
            except BaseException as exc:
                self._cut_short = isinstance(self._async, AsyncGenerator) and not isinstance(exc, Exception)
                raise
        self._look(waiting, held)

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
        except GeneratorExit as thrown:
            if _is_thrown_here(thrown):
                raise
            raise _as_runtime_error(thrown) from thrown

    async def aclose(self) -> None:
        """
        Close an async generator that was left early: trio warns if the garbage collector does it.

        An ordinary generator is released in its own context, where its `finally` finds its variables.
        """
        left: object = self._async if not self.exhausted else None
        if isinstance(left, AsyncGenerator):
            await cast("AsyncGenerator[object, None]", left).aclose()
        self._context.run(self._let_go)

    def _look(self, waiting: deque[object], held: int) -> None:
        if self._check is not None and len(waiting) > held:
            self._check.look(waiting, held)

    def _let_go(self) -> None:
        if self._sync is not None:
            self._sync = iter(())


class _ItemCheck:
    """Tells a source of something else than recipients from a source with odd items, which become results."""

    def __init__(self) -> None:
        self._pulled = 0
        self._strange_run = _STRANGE_RUN  # until a recipient comes, any strange pull is refused

    def look(self, waiting: deque[object], held: int) -> None:
        """
        Check the items behind the first *held*.

        Raises:
            InputError: None of them fits, nor does any of enough items before; they are dropped.
        """
        pulled = len(waiting) - held
        self._strange_run = 0 if any(map(_fits, islice(waiting, held, None))) else self._strange_run + pulled
        if self._strange_run >= _STRANGE_RUN:
            first = waiting[held]
            while len(waiting) > held:
                waiting.pop()
            raise strange_item(first, self._pulled + 1)
        self._pulled += pulled


def _fits(item: object) -> bool:
    return isinstance(plain_int(item), str | int | Recipient) and not isinstance(item, bool)


def strange_item(item: object, position: int) -> InputError:
    """Return the error for an item that is neither a phone nor a `Recipient`; it names the type, not the value."""
    advice = next((words for kinds, words in _ADVICE if isinstance(item, kinds)), _WRAP)
    kind = type(item).__name__
    return InputError(
        f"item {position:,} of the source is of type {kind}; a source yields phones or Recipients: {advice}",
        Reason.BAD_RECIPIENT,
    )


def _refused(items: object) -> str:
    """Return why *items* cannot be a source; empty if it can."""
    kind = type(items).__name__
    if not isinstance(items, Iterable | AsyncIterable):
        return _not_iterable(items, kind)
    if isinstance(items, str | bytes | bytearray | memoryview):  # iterable too, by character
        return f"recipients is a single {kind}: put it in a list, or use client.send()"
    if isinstance(items, Mapping):
        return (
            f"recipients is a {kind}, of which only the keys would be sent to: give Recipients, as in "
            "(Recipient(phone, text=text) for phone, text in texts.items())"
        )
    shape = getattr(cast("object", items), "shape", None)
    if isinstance(shape, tuple) and len(cast("tuple[object, ...]", shape)) != 1:
        return f'recipients is a table ({kind}): give its column of phones, as in table["phone"], or Recipients'
    return ""


def _not_iterable(items: object, kind: str) -> str:
    if isinstance(items, Recipient):
        return "recipients is a single Recipient: put it in a list, or use client.send()"
    if callable(items):
        return f"recipients is a {kind}, which is not called yet: call it, as in client.stream(phones(), ...)"
    if isinstance(items, Awaitable):
        return f"recipients is a {kind}, which is not awaited yet: await it, or give an async generator"
    return f"recipients must be an iterable or async iterable of phones or Recipients, not {kind}"


def _as_runtime_error(exc: BaseException) -> RuntimeError:
    """Return what PEP 479 makes of *exc*, which the code around the source would take for a regular end."""
    return RuntimeError(f"the source raised {type(exc).__name__}")


def _is_thrown_here(exc: BaseException) -> bool:
    """Whether *exc* comes from the closing of our own coroutine, so that no frame of the source is in its traceback."""
    return exc.__traceback__ is not None and exc.__traceback__.tb_next is None
