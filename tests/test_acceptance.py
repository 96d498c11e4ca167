"""
The library in one sentence, promise by promise.

An async client splits large recipient lists into batched multi-message JSON payloads encoded with msgspec, sends them
concurrently under a semaphore with tenacity retry on transient failures, and streams per-phone results back as an async
iterator keyed by `client_id_sms` for idempotent resends.
"""

from collections import Counter
from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from webcom_async import Clock, Outcome, Recipient, Reply, Request, RequestTrace, SendResult, WebcomClient
from webcom_async.emulator import Fault, Gateway, GatewayTransport

pytestmark = pytest.mark.anyio

RECIPIENTS, BATCH, PER_TEXT, IN_FLIGHT = 5_000, 100, 20, 4
TRANSIENT = [Fault(), Fault(status=503), Fault(processed=True, close=True)]  # the second and the third request fail
PHONES = [str(79612242243 + number) for number in range(RECIPIENTS)]


class Phone(msgspec.Struct):
    """One entry of `message[].phones[]`, as the vendor documents it."""

    phone: str
    client_id_sms: str


class Message(msgspec.Struct):
    """One entry of `message[]`."""

    text: str
    phones: list[Phone]


class Document(msgspec.Struct):
    """The body of one request."""

    message: list[Message]


class CountingTransport:
    """
    The emulator's transport, which counts the requests that are in flight; the first ones wait until no more may come.

    Attributes:
        peak: How many were in flight at once, at most.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._emulator = GatewayTransport(gateway)
        self._in_flight = 0
        self._full = anyio.Event()
        self.peak = 0

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        self._in_flight += 1
        self.peak = max(self.peak, self._in_flight)
        if self.peak >= IN_FLIGHT:
            self._full.set()
        try:
            await self._full.wait()
            return await self._emulator.send(request, trace, timeout=timeout, max_bytes=max_bytes)
        finally:
            self._in_flight -= 1

    async def aclose(self) -> None:
        await self._emulator.aclose()


@pytest.fixture
def transport(webcom_gateway: Gateway) -> CountingTransport:
    """Return a transport to `webcom_gateway`."""
    return CountingTransport(webcom_gateway)


async def large_list() -> AsyncIterator[Recipient]:
    """Yield every recipient; twenty in a row get the same text."""
    for number, phone in enumerate(PHONES):
        yield Recipient(phone, text=f"Route {number // PER_TEXT} is open")


async def no_wait(_seconds: float) -> None:
    await checkpoint()


async def send(gateway: Gateway, transport: CountingTransport) -> dict[str, SendResult]:
    """Run the campaign `spring` and return its results by `client_id_sms`."""
    client = WebcomClient(
        token=gateway.token,
        transport=transport,
        clock=Clock(sleep=no_wait),
        in_flight=IN_FLIGHT,
        batch_size=BATCH,
    )
    async with client, client.stream(large_list(), sender="ACME", campaign="spring") as results:
        return {result.client_id_sms: result async for result in results}


async def test_a_large_list_becomes_batches_of_several_messages(webcom_gateway: Gateway, transport: CountingTransport):
    """Every body is one JSON document of several messages, and together they carry every recipient once."""
    await send(webcom_gateway, transport)

    documents = [msgspec.json.decode(request.body, type=Document) for request in webcom_gateway.received]
    assert [BATCH // PER_TEXT] * (RECIPIENTS // BATCH) == [len(document.message) for document in documents]
    assert {PER_TEXT} == {len(message.phones) for document in documents for message in document.message}
    carried = [to.phone for document in documents for message in document.message for to in message.phones]
    assert PHONES == sorted(carried)


async def test_requests_are_concurrent_under_the_semaphore(webcom_gateway: Gateway, transport: CountingTransport):
    """As many requests as `in_flight` allows are in flight at once, and never more."""
    await send(webcom_gateway, transport)

    assert IN_FLIGHT == transport.peak


async def test_transient_failures_are_retried_with_the_same_bytes(
    webcom_gateway: Gateway, transport: CountingTransport
):
    """A 503 and a lost answer are each retried with the same bytes, and every recipient has one SMS."""
    webcom_gateway.faults.script(*TRANSIENT)

    results = await send(webcom_gateway, transport)

    bodies = [request.body for request in webcom_gateway.received]
    times_sent = Counter(bodies)
    assert {1: RECIPIENTS // BATCH - 2, 2: 2} == Counter(times_sent.values())
    assert [2, 2] == [times_sent[body] for body in bodies[1:3]]
    assert {Outcome.ACCEPTED} == {result.outcome for result in results.values()}
    assert PHONES == sorted(sms.phone for sms in webcom_gateway.ledger.sent)


async def test_results_stream_back_per_phone_by_client_id(webcom_gateway: Gateway, transport: CountingTransport):
    """Every phone has one result under an id of its own, and the result names the SMS that the ledger holds."""
    results = await send(webcom_gateway, transport)

    assert PHONES == sorted(result.phone for result in results.values())
    in_ledger = {sms.client_id_sms: (sms.phone, sms.id_sms) for sms in webcom_gateway.ledger.sent}
    assert in_ledger == {client_id: (result.phone, result.id_sms) for client_id, result in results.items()}


async def test_a_second_run_sends_no_second_sms(webcom_gateway: Gateway):
    """A campaign that runs twice gives the same ids and the same results, and the ledger does not grow."""
    first = await send(webcom_gateway, CountingTransport(webcom_gateway))
    second = await send(webcom_gateway, CountingTransport(webcom_gateway))

    assert {client_id: result.id_sms for client_id, result in first.items()} == {
        client_id: result.id_sms for client_id, result in second.items()
    }
    assert (RECIPIENTS, RECIPIENTS) == (len(webcom_gateway.ledger), webcom_gateway.ledger.repeats)
    assert {} == webcom_gateway.ledger.billed_twice()
