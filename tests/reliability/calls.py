"""One-time codes for impatient callers: the same call is repeated at once, and after a timeout."""

import random
from itertools import count

import anyio

from tests.builders import phones, still_clock
from tests.reliability.judge import NONE, Counts, judged
from tests.reliability.runs import cancelled_after
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import Outcome, Reply, Request, RequestTrace, SendResult, WebcomClient, WebcomError
from webcom_async.emulator import Fault, Gateway, GatewayTransport

__all__ = ["measure"]

_CUSTOMERS = 6
_CALLS = 4  # of each customer, before a last one without a deadline
_MOST_TURNS = 60
_FAULTS = (Fault(close=True, processed=True), Fault(close=True), Fault(status=503, processed=True))


class _Slow(GatewayTransport):
    """A transport that waits some turns of the event loop before and after the gateway's work."""

    def __init__(self, gateway: Gateway, chance: random.Random) -> None:
        super().__init__(gateway)
        self._chance = chance

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109 - the interface
        """Wait, send, and wait again."""
        trace.sending()
        await self._pause()
        reply = await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
        await self._pause()
        return reply

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(20)):
            await anyio.lowlevel.checkpoint()


async def _some_turns(_seconds: float) -> None:
    """Wait for no time, but let other calls join a request, or come between two."""
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


class _Found:
    """The findings so far."""

    def __init__(self) -> None:
        self.calls = count()
        self.wrong: Counts = NONE
        self.not_reached = 0
        self.other_texts = 0


def measure(scale: Scale, seed: int) -> list[Row]:
    """Let customers ask for their codes repeatedly, with and without `linger`."""
    found = _Found()
    for backend in ("asyncio", "trio"):
        anyio.run(_storms, found, scale.calls // 2, random.Random(f"{seed} {backend}"), backend=backend)
    return [
        Row(
            "the same send() again, at once and after a time-out, with and without linger, asyncio and trio",
            f"{next(found.calls):,} calls, {scale.calls // 2 * 2 * _CUSTOMERS:,} codes",
            "0 each",
            f"{found.not_reached} codes not sent in the end, {found.other_texts} other texts, {found.wrong}",
            not (found.wrong or found.not_reached or found.other_texts),
        )
    ]


async def _storms(found: _Found, storms: int, chance: random.Random) -> None:
    for number in range(storms):
        gateway = Gateway(seed=number)
        gateway.faults.sometimes(0.1, chance.choice(_FAULTS))
        claims: list[SendResult] = []
        linger = chance.choice((0.0, 0.001))
        clock = still_clock(sleep=_some_turns, random=chance.random)
        client = WebcomClient(
            token=gateway.token, transport=_Slow(gateway, chance), linger=linger, in_flight=8, clock=clock
        )
        async with client, anyio.create_task_group() as customers:
            for phone in phones(_CUSTOMERS):
                customers.start_soon(_customer, found, client, phone, claims, chance)
        found.wrong += _judged(claims, gateway)
        codes = {phone: _code(phone) for phone in phones(_CUSTOMERS)}
        found.other_texts += sum(sms.text != codes[sms.phone] for sms in gateway.ledger.sent)
        found.not_reached += len(codes.keys() - {sms.phone for sms in gateway.ledger.sent})


def _judged(claims: list[SendResult], gateway: Gateway) -> Counts:
    """Return the faults of each claim by itself, because one phone has many claims."""
    wrong = Counts(twice=len(gateway.ledger.billed_twice()))
    for claim in claims:
        alone = judged([claim.phone], [claim], gateway.ledger)
        wrong += Counts(alone.lost, 0, alone.invented, alone.wrong_id, alone.falsely_unsent)
    return wrong


async def _customer(
    found: _Found, client: WebcomClient, phone: str, claims: list[SendResult], chance: random.Random
) -> None:
    """Call some times with a short deadline, sometimes twice at once or with another code; then wait for the result."""
    for _ in range(_CALLS):
        async with anyio.create_task_group() as at_once:
            for _ in range(chance.choice((1, 1, 2))):
                at_once.start_soon(_call, found, client, phone, claims, chance.randrange(_MOST_TURNS))
    for _ in range(20):
        if await _call(found, client, phone, claims, None):
            return


async def _call(
    found: _Found, client: WebcomClient, phone: str, claims: list[SendResult], patience: int | None
) -> bool:
    """Call once, for so many turns of the event loop at most; return whether the code was accepted."""
    next(found.calls)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            if patience is not None:
                tasks.start_soon(cancelled_after, patience, scope)
            try:
                result = await client.send(phone, _code(phone), sender="ACME", campaign="codes", key="1")
            except WebcomError:
                tasks.cancel_scope.cancel()
                return False
            claims.append(result)
            tasks.cancel_scope.cancel()
            return result.outcome is Outcome.ACCEPTED
    return False


def _code(phone: str) -> str:
    return f"Code {phone[-4:]}"
