"""A caller's source: pulled in one context, by one task, and never cancelled in the middle of an item."""

import decimal
import io
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.builders import logged, phones
from tests.conftest import Connect
from webcom_async import InputError, Message, Outcome, OutOfBalance, Reason, Recipient, UsageError, WebcomClient
from webcom_async.emulator import Fault, Gateway, GatewayTransport

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}
CENT = decimal.Decimal("0.01")
LANGUAGE: ContextVar[str] = ContextVar("LANGUAGE", default="en")
OUT_OF_SMS = '{"error": "Закончились SMS"}'.encode()


async def asynchronous(items: Iterator[Recipient]) -> AsyncIterator[Recipient]:
    """Yield *items* from an async generator, in the context that the items themselves set."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


def bonuses() -> Iterator[Recipient]:
    """Yield recipients whose amount is rounded down in a context of decimal's own."""
    with decimal.localcontext() as context:
        context.rounding = decimal.ROUND_DOWN
        for phone in phones(200):
            yield Recipient(phone, text=f"Your bonus is {decimal.Decimal('9.999').quantize(CENT)}")


def map_exception() -> Iterator[Recipient]:
    """Yield recipients with a language that is set with a token, and reset with it in the same context only."""
    token = LANGUAGE.set("ru")
    try:
        for phone in phones(200):
            yield Recipient(phone, text=f"The language is {LANGUAGE.get()}")
    finally:
        LANGUAGE.reset(token)


@pytest.mark.parametrize("make", [bonuses, map_exception])
@pytest.mark.parametrize("wrap", [iter, asynchronous], ids=["sync", "async"])
async def test_what_a_source_sets_is_set_when_it_goes_on(
    connect: Connect, webcom_gateway: Gateway, make: Callable[[], Iterator[Recipient]], wrap: Callable[[Any], Any]
):
    """Whichever worker pulls, texts are those of a plain loop, and the caller's own context stays as it was."""
    expected = [recipient.text for recipient in make()]
    async with connect(webcom_gateway, batch_size=7, in_flight=4) as client:
        report = await client.send_all(wrap(make()), sender="ACME", campaign="bonus")

    assert 200 == report.accepted
    assert sorted(expected) == sorted(sms.text for sms in webcom_gateway.ledger.sent)
    assert ("en", decimal.ROUND_HALF_EVEN) == (LANGUAGE.get(), decimal.getcontext().rounding)


@pytest.mark.parametrize("wrap", [iter, asynchronous], ids=["sync", "async"])
async def test_a_source_that_is_left_early_ends_in_its_own_context(
    connect: Connect, webcom_gateway: Gateway, wrap: Callable[[Any], Any]
):
    """A generator's `finally` runs in its own context, so it can reset a token, and stderr stays empty."""
    ends: list[str] = []

    def noted() -> Iterator[Recipient]:
        token = LANGUAGE.set("ru")
        try:
            for phone in phones(1_000):
                yield Recipient(phone)
        finally:
            ends.append(LANGUAGE.get())
            LANGUAGE.reset(token)

    async with connect(webcom_gateway, batch_size=7, in_flight=4) as client:
        async with client.stream(wrap(noted()), **SALE) as results:
            await anext(results)

    assert ["ru"] == ends


async def test_an_async_source_is_asked_by_one_task(connect: Connect, webcom_gateway: Gateway):
    """One task pulls an async source, so it may hold a task group or a time limit from one item to the next."""

    async def limited() -> AsyncIterator[str]:
        with anyio.fail_after(60):
            async with anyio.create_task_group():
                for phone in phones(50):
                    await anyio.lowlevel.checkpoint()
                    yield phone

    async with connect(webcom_gateway, batch_size=3, in_flight=4) as client:
        report = await client.send_all(limited(), **SALE)

    assert (50, True) == (report.accepted, report.complete)


class Cursor:
    """
    A source whose third item takes its time, as a row of a database may.

    Attributes:
        asked: Set when the third item is asked for.
        come: Set when it may come.
        said: What became of the item and of the source.
    """

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.come = anyio.Event()
        self.said: list[str] = []

    async def phones(self) -> AsyncIterator[str]:
        """Yield phones."""
        try:
            for number, phone in enumerate(phones(1_000)):
                if number == 2:
                    await self._third()
                yield phone
        finally:
            self.said.append("closed")

    async def _third(self) -> None:
        self.asked.set()
        try:
            await self.come.wait()
        except BaseException:
            self.said.append("cancelled")
            raise
        self.said.append("came")


async def set_after(first: anyio.Event, second: anyio.Event) -> None:
    """Set *second* once *first* is set."""
    await first.wait()
    second.set()


async def test_leaving_early_waits_for_the_item_that_was_requested(connect: Connect, webcom_gateway: Gateway):
    """Leaving early waits for the item in progress, reports it as not sent, and closes the source."""
    cursor, leaving = Cursor(), anyio.Event()
    async with connect(webcom_gateway, batch_size=2, in_flight=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(set_after, leaving, cursor.come)
        async with client.stream(cursor.phones(), **SALE) as results:
            for _ in range(2):
                await anext(results)
            await cursor.asked.wait()
            leaving.set()

    assert ["came", "closed"] == cursor.said
    assert (2, 1) == (results.report.accepted, results.report.not_sent)
    assert [Reason.CANCELLED] == [result.reason for result in results.unread]
    assert 2 == len(webcom_gateway.ledger)


async def test_a_cancelled_caller_waits_for_the_item_that_was_requested(connect: Connect, webcom_gateway: Gateway):
    """A time-out around the campaign does not cancel the source in the middle of an item, as a `break` does not."""
    cursor = Cursor()
    async with connect(webcom_gateway, batch_size=2, in_flight=1) as client, anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with client.stream(cursor.phones(), **SALE) as results:
                for _ in range(2):
                    await anext(results)
                await cursor.asked.wait()
                tasks.start_soon(set_after, cursor.asked, cursor.come)
                scope.cancel()
                await anyio.lowlevel.checkpoint()

    assert ["came", "closed"] == cursor.said
    assert (2, 1) == (results.report.accepted, results.report.not_sent)


async def test_a_halt_waits_for_the_item_that_was_requested(webcom_gateway: Gateway):
    """A halt while a worker pulls an item waits for it, reports it as not sent, and closes the source."""
    cursor = Cursor()
    webcom_gateway.faults.script(Fault(until=cursor.asked, body=OUT_OF_SMS))
    transport = GatewayTransport(webcom_gateway)
    read = []
    async with WebcomClient(token=webcom_gateway.token, transport=transport, batch_size=2, in_flight=2) as client:
        async with anyio.create_task_group() as tasks:
            with logged("campaign_halted") as halted:
                tasks.start_soon(set_after, halted, cursor.come)
                with pytest.raises(OutOfBalance) as caught:
                    async with client.stream(cursor.phones(), **SALE) as results:
                        async for result in results:
                            read.append(result)

    assert ["came", "closed"] == cursor.said
    assert (Outcome.NOT_SENT, 3) == (read[-1].outcome, len(read))
    assert 3 == caught.value.report.recipients


async def test_a_slow_item_is_waited_for_no_longer_than_the_grace(connect: Connect, webcom_gateway: Gateway):
    """After the grace the source is cancelled, then closed, and the campaign ends."""
    cursor = Cursor()
    async with connect(webcom_gateway, batch_size=2, in_flight=1, grace=0.05) as client:
        with anyio.fail_after(20):
            async with client.stream(cursor.phones(), **SALE) as results:
                for _ in range(2):
                    await anext(results)
                await cursor.asked.wait()

    assert ["cancelled", "closed"] == cursor.said
    assert 2 == results.report.recipients


async def test_a_source_that_fails_as_it_is_closed_says_so(connect: Connect, webcom_gateway: Gateway):
    """The error of a source that fails as it is closed is raised on leaving, and what was sent is counted."""

    async def spoilt() -> AsyncIterator[str]:
        try:
            for phone in phones(1_000):
                yield phone
        finally:
            raise ZeroDivisionError

    async with connect(webcom_gateway, batch_size=2, in_flight=1) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.stream(spoilt(), **SALE) as results:
                await anext(results)

    assert len(webcom_gateway.ledger) == results.report.accepted


async def test_a_source_of_ids_that_was_cancelled_does_not_pass_for_one_that_has_ended(
    connect: Connect, webcom_gateway: Gateway
):
    """Iterating again over a source that was cancelled in the middle of an item raises an error."""

    async def ids() -> AsyncIterator[str]:
        yield (await client.send("79612242243", "Code 1", sender="ACME")).id_sms or ""
        await anyio.sleep_forever()

    async with connect(webcom_gateway) as client:
        statuses = client.statuses(ids())
        with anyio.move_on_after(0.05):
            await anext(statuses)
        with pytest.raises(UsageError, match="cancelled in the middle of an item"):
            await anext(statuses)


@asynccontextmanager
async def watched(fire: anyio.Event) -> AsyncIterator[None]:
    """Run a task that fails when its event is set."""

    async def fail() -> None:
        await fire.wait()
        raise ZeroDivisionError

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)
        yield


@asynccontextmanager
async def timed(_fire: anyio.Event) -> AsyncIterator[None]:
    """Fail after some time, inside an open scope."""
    with anyio.fail_after(0.05):
        yield


@pytest.mark.parametrize(
    ("hold", "failure"), [(timed, TimeoutError), (watched, ExceptionGroup)], ids=["a time limit", "a task group"]
)
async def test_a_scope_that_a_source_holds_may_end_it_between_two_items(
    connect: Connect, webcom_gateway: Gateway, hold: Callable[[anyio.Event], Any], failure: type[Exception]
):
    """A scope's error ends the campaign as the source's own does: requests in flight end, the source is closed."""
    closed: list[str] = []
    fire = anyio.Event()

    async def held() -> AsyncIterator[str]:
        try:
            async with hold(fire):
                for phone in phones(1_000):
                    yield phone
        finally:
            closed.append("closed")

    async with connect(webcom_gateway, batch_size=2, in_flight=1) as client:
        with anyio.fail_after(20), pytest.raises(failure):
            async with client.stream(held(), **SALE) as results:
                await anext(results)
                fire.set()
                while not closed:
                    await anyio.lowlevel.checkpoint()
                async for _ in results:
                    pass

    assert ["closed"] == closed
    assert len(webcom_gateway.ledger) == results.report.accepted
    assert not results.report.complete


async def test_a_source_may_go_on_after_a_scope_that_it_holds(connect: Connect, webcom_gateway: Gateway):
    """Recipients that a generator yields after its `move_on_after` are sent to, as in a plain loop."""
    moved = anyio.Event()

    async def held() -> AsyncIterator[str]:
        people = phones(6)
        with anyio.move_on_after(0.05):
            for phone in people:
                yield phone
                if phone.endswith("4"):
                    await anyio.sleep_forever()
        moved.set()
        for phone in people:
            yield phone

    async with connect(webcom_gateway, batch_size=1, in_flight=1) as client:
        with anyio.fail_after(20):
            report = await client.send_all(held(), **SALE)

    assert (6, True) == (report.accepted, report.complete)


# ---------------------------------------------------------------------------- what is no recipient


class Whole:
    """A whole number of another type, as numpy's and pandas' are."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class Table(list[object]):
    """A list with the shape of a data frame, an array or a series."""

    def __init__(self, items: Iterable[object], *shape: int) -> None:
        super().__init__(items)
        self.shape = shape


STRANGE = [
    {"phone": "79612242243"},
    ("79612242243", "Hello"),
    ["79612242243"],
    b"79612242243",
    None,
    79612242243.0,
    True,
    object(),
]


@pytest.mark.parametrize("wrap", [iter, asynchronous], ids=["sync", "async"])
@pytest.mark.parametrize("item", STRANGE, ids=lambda item: type(item).__name__)
async def test_a_source_of_something_else_than_recipients_raises(
    connect: Connect, webcom_gateway: Gateway, item: object, wrap: Callable[[Any], Any]
):
    """A thousand dicts are one mistake and not a thousand results: the error names item and type, and no value."""
    words = f"item 1 of the source is of type {type(item).__name__}; a source yields phones or Recipients: "
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=words) as raised:
            await client.send_all(wrap(iter([item] * 1_000)), **SALE)

    report = raised.value.report
    assert report is not None
    assert (0, False) == (report.recipients, report.complete)
    assert "9612242" not in str(raised.value)
    assert not webcom_gateway.ledger.sent


async def test_a_source_that_turns_to_something_else_raises_after_what_was_sent(
    connect: Connect, webcom_gateway: Gateway
):
    """Recipients before the dicts are reported as sent; the campaign is not complete."""
    items = [*phones(3), *({"phone": phone} for phone in phones(500))]
    async with connect(webcom_gateway, batch_size=50, in_flight=1) as client:
        with pytest.raises(InputError, match=r"item \d+ of the source is of type dict") as raised:
            await client.send_all(items, **SALE)

    assert raised.value.report is not None
    assert (3, False) == (raised.value.report.accepted, raised.value.report.complete)
    assert [*phones(3)] == [sms.phone for sms in webcom_gateway.ledger.sent]


async def test_one_odd_item_among_recipients_is_a_result(connect: Connect, webcom_gateway: Gateway):
    """A row without a phone costs itself alone, even if it is the first one."""
    async with connect(webcom_gateway) as client:
        report = await client.send_all([None, *phones(2), {}], **SALE)

    assert (2, 2, True) == (report.accepted, report.reasons[Reason.BAD_RECIPIENT], report.complete)


def not_called() -> Iterator[str]:
    """Yield phones, once it is called."""
    return phones(3)


async def not_awaited() -> list[str]:
    """Return phones, once it is awaited."""
    return [*phones(3)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("79612242243", "a single str: put it in a list"),
        (b"79612242243", "a single bytes: put it in a list"),
        (bytearray(b"79612242243"), "a single bytearray"),
        (Recipient("79612242243"), "a single Recipient"),
        ({"79612242243": "Hello"}, "a dict, of which only the keys would be sent to"),
        (Counter(["79612242243"]), "a Counter, of which only the keys would be sent to"),
        (Table(["phone", "name"], 3, 2), r"a table [(]Table[)]: give its column of phones"),
        (Table([], 0, 1), r"a table [(]Table[)]"),
        (not_called, "a function, which is not called yet: call it"),
        (79612242243, "must be an iterable or async iterable of phones or Recipients, not int"),
        (Message(sender="ACME", text="Sale!"), "not Message"),
        (None, "not NoneType"),
    ],
    ids=lambda given: type(given).__name__ if not isinstance(given, str) else None,
)
async def test_what_cannot_be_a_source_is_told_before_anything_is_sent(
    connect: Connect, webcom_gateway: Gateway, source: Any, words: str
):
    """A data frame, a dict or a function is refused, with words that say what to give."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match=words):
            client.stream(source, **SALE)

    assert not webcom_gateway.ledger.sent


async def test_a_coroutine_is_no_source(connect: Connect, webcom_gateway: Gateway):
    """A coroutine is refused with the advice to await it."""
    source: Any = not_awaited()
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="a coroutine, which is not awaited yet: await it"):
            client.stream(source, **SALE)

    assert [*phones(3)] == await source


async def test_a_binary_file_is_told_to_be_opened_as_text(connect: Connect, webcom_gateway: Gateway):
    """A file that yields bytes is no source; the same lines as text are."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="open the file as text"):
            await client.send_all(io.BytesIO(b"79612242243\n"), **SALE)  # type: ignore[arg-type]
        report = await client.send_all(io.StringIO("79612242243\n"), **SALE)

    assert 1 == report.accepted


async def test_whole_numbers_of_other_types_are_phones_and_ids(connect: Connect, webcom_gateway: Gateway):
    """Numpy's and pandas' integers are phones, ids and numbers; a column of them is a source."""
    column: Any = Table([Whole(79612242243), Whole(79612242244)], 2)
    own: Any = Recipient(Whole(79612242245), Whole(77), number_sms=Whole(3))  # type: ignore[arg-type]
    single: Any = Whole(79612242246)
    async with connect(webcom_gateway) as client:
        report = await client.send_all(column, **SALE)
        results = [await client.send(single, "Sale!", sender="ACME", client_id_sms=Whole(78))]  # type: ignore[arg-type]
        async with client.stream([own], **SALE) as stream:
            results += [result async for result in stream]
        ids: Any = [Whole(int(result.id_sms or 0)) for result in results]
        states = [status.id_sms async for status in client.statuses(ids)]

    assert 2 == report.accepted
    assert [("79612242246", "78"), ("79612242245", "77")] == [(each.phone, each.client_id_sms) for each in results]
    assert sorted(states) == sorted(str(result.id_sms) for result in results)
    assert ["79612242243", "79612242244", "79612242246", "79612242245"] == [
        sms.phone for sms in webcom_gateway.ledger.sent
    ]


class Raising:
    """A source whose items end in an exception, from a class of its own or from a generator."""

    def __init__(self, error: BaseException) -> None:
        self._phones = phones(30)
        self._error = error

    def __iter__(self) -> "Raising":
        return self

    def __next__(self) -> str:
        for phone in self._phones:
            return phone
        raise self._error

    def generated(self) -> Iterator[str]:
        """Yield the items from a generator."""
        yield from self._phones
        raise self._error

    async def awaited(self) -> AsyncIterator[str]:
        """Yield the items from an async generator."""
        for phone in self._phones:
            yield phone
        raise self._error


class RaisingAsync(Raising):
    """The same, as an async iterator of a class of its own."""

    __iter__ = None  # type: ignore[assignment]

    def __aiter__(self) -> "RaisingAsync":
        return self

    async def __anext__(self) -> str:
        return self.__next__()


@pytest.mark.parametrize("journaled", [False, True])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (Raising, StopAsyncIteration()),
        (Raising, GeneratorExit()),
        (lambda error: Raising(error).generated(), StopIteration()),
        (lambda error: Raising(error).generated(), StopAsyncIteration()),
        (lambda error: Raising(error).generated(), GeneratorExit()),
        (lambda error: Raising(error).awaited(), StopIteration()),
        (lambda error: Raising(error).awaited(), StopAsyncIteration()),
        (lambda error: Raising(error).awaited(), GeneratorExit()),
        (RaisingAsync, StopIteration()),
        (RaisingAsync, GeneratorExit()),
    ],
)
async def test_an_exception_that_ends_an_iteration_is_no_end(
    connect: Connect,
    webcom_gateway: Gateway,
    tmp_path: Path,
    make: Callable[[BaseException], Any],
    error: BaseException,
    *,
    journaled: bool,
):
    """What would end the reader's own loop in silence is a `RuntimeError`, as PEP 479 has it, after all results."""
    journal = tmp_path / "spring.journal" if journaled else None
    async with connect(webcom_gateway, batch_size=7) as client:
        async with client.stream(make(error), **SALE, journal=journal) as results:
            with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
                async for _ in results:
                    pass

    assert error is caught.value.__cause__
    assert not results.report.complete
    assert 30 == results.report.recipients


@pytest.mark.parametrize("error", [StopAsyncIteration(), GeneratorExit()])
async def test_ids_that_end_in_such_an_exception_are_no_end_either(
    connect: Connect, webcom_gateway: Gateway, error: BaseException
):
    """A source of ids for status questions raises a `RuntimeError`, too."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(RuntimeError, match=type(error).__name__):
            async for _ in client.statuses(Raising(error)):
                pass
