"""Sources that set and hold resources, and sources that are left in the middle of an item."""

import decimal
import random
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

import anyio

from tests.builders import phones
from tests.reliability.judge import NONE, Counts, judged
from tests.reliability.runs import SALE, cancelled_after, client_of
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Recipient, SendResult, WebcomError
from webcom_async.emulator import Fault, Gateway

__all__ = ["measure_contexts", "measure_pulls"]

_AMOUNT, _CENT = decimal.Decimal("9.999"), decimal.Decimal("0.01")
_LANGUAGE: ContextVar[str] = ContextVar("LANGUAGE", default="en")
_FAULTS = (Fault(close=True, processed=True), Fault(close=True), Fault(status=503))
_OUT_OF_SMS = Fault(body='{"error": "Закончились SMS"}'.encode())


# ---------------------------------------------------------------------------- context of a source


def measure_contexts(scale: Scale, seed: int) -> list[Row]:
    """Send texts that depend on context variables, and compare them with those of a plain loop."""
    wrong = texts = 0
    for backend in ("asyncio", "trio"):
        found = anyio.run(_contexts, scale.sources // 2, random.Random(f"{seed} {backend}"), backend=backend)
        wrong, texts = wrong + found[0], texts + found[1]
    return [
        Row(
            "texts that depend on context variables which the source sets, sync and async, asyncio and trio",
            f"{scale.sources // 2 * 2:,} campaigns, {texts:,} texts",
            "0",
            f"{wrong} other than in a plain loop",
            not wrong,
        )
    ]


def _bonuses(count: int) -> Iterator[Recipient]:
    token = _LANGUAGE.set("ru")
    try:
        with decimal.localcontext() as context:
            context.rounding = decimal.ROUND_DOWN
            for phone in phones(count):
                yield Recipient(phone, text=f"{_LANGUAGE.get()} {_AMOUNT.quantize(_CENT)}")
    finally:
        _LANGUAGE.reset(token)


async def _async_bonuses(count: int) -> AsyncIterator[Recipient]:
    async with anyio.create_task_group():
        for recipient in _bonuses(count):
            await anyio.lowlevel.checkpoint()
            yield recipient


async def _contexts(campaigns: int, chance: random.Random) -> tuple[int, int]:
    wrong = texts = 0
    for number in range(campaigns):
        gateway, count = Gateway(seed=number), chance.randint(1, 200)
        gateway.faults.sometimes(0.1, chance.choice(_FAULTS))
        source = _bonuses(count) if number % 2 else _async_bonuses(count)
        options = {"batch_size": chance.randint(1, 9), "in_flight": chance.randint(1, 5)}
        async with client_of(gateway, **options) as client:
            await client.send_all(source, sender=SALE["sender"], campaign=SALE["campaign"])
        plain = {recipient.phone: recipient.text for recipient in _bonuses(count)}
        wrong += sum(sms.text != plain[sms.phone] for sms in gateway.ledger.sent)
        texts += len(gateway.ledger)
    return wrong, texts


# ---------------------------------------------------------------------------- the middle of an item


class _Slow:
    """
    An async source whose items take some turns of the event loop.

    Attributes:
        given: The phones that it has yielded.
        cut: Items in the middle of which it was cancelled.
        closed: How often it has ended.
    """

    def __init__(self, chance: random.Random) -> None:
        self.given: list[str] = []
        self.cut = 0
        self.closed = 0
        self._chance = chance

    async def phones(self) -> AsyncIterator[str]:
        """Yield phones."""
        try:
            for phone in phones(60):
                try:
                    for _ in range(self._chance.randrange(6)):
                        await anyio.lowlevel.checkpoint()
                except BaseException:
                    self.cut += 1
                    raise
                self.given.append(phone)
                yield phone
        finally:
            self.closed += 1


def measure_pulls(scale: Scale, seed: int) -> list[Row]:
    """Leave, cancel and halt campaigns early, and compare the source and the phones it yielded with the claims."""
    wrong, cut, left_open = NONE, 0, 0
    for backend in ("asyncio", "trio"):
        found = anyio.run(_pulls, scale.sources // 2, random.Random(f"{seed} {backend}"), backend=backend)
        wrong, cut, left_open = wrong + found[0], cut + found[1], left_open + found[2]
    return [
        Row(
            "async sources of campaigns that are left early, cancelled or halted, asyncio and trio",
            f"{scale.sources // 2 * 2:,} campaigns",
            "0 each",
            f"{cut} cancelled in the middle of an item, {left_open} left open, {wrong}",
            not (wrong or cut or left_open),
        )
    ]


async def _pulls(campaigns: int, chance: random.Random) -> tuple[Counts, int, int]:
    wrong, cut, left_open = NONE, 0, 0
    for _ in range(campaigns):
        gateway, source = Gateway(), _Slow(chance)
        how = chance.choice(("left", "cancelled", "halted"))
        if how == "halted":
            gateway.faults.script(*[Fault()] * chance.randrange(6), _OUT_OF_SMS)
        options = {"batch_size": chance.randint(1, 9), "in_flight": chance.randint(1, 5), "grace": 30.0}
        async with client_of(gateway, **options) as client:
            results = await _read(client.stream(source.phones(), **SALE), how, chance)
        wrong += judged(source.given, results, gateway.ledger)
        cut += source.cut
        left_open += bool(source.given) and source.closed != 1
    return wrong, cut, left_open


async def _read(campaign: object, how: str, chance: random.Random) -> list[SendResult]:
    """Read a campaign until it is left, cancelled or halted, and return all of its results."""
    read: list[SendResult] = []
    results = None
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            if how == "cancelled":
                tasks.start_soon(cancelled_after, chance.randrange(200), scope)
            try:
                async with campaign as results:  # type: ignore[attr-defined]
                    leave_after = chance.randrange(1, 30) if how == "left" else None
                    async for result in results:
                        read.append(result)
                        if len(read) == leave_after:
                            break
            except WebcomError:
                pass
            tasks.cancel_scope.cancel()
    return read if results is None else [*read, *results.unread]
