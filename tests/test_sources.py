"""A caller's source: pulled in one context, by one task, and never cancelled in the middle of an item."""

import decimal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from tests.builders import logged, phones
from tests.conftest import Connect
from webcom_async import Outcome, OutOfBalance, Reason, Recipient, UsageError, WebcomClient
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
