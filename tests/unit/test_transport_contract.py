"""Every transport keeps the contract that `webcom_async.testing` states."""

import gc
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.unit.builders import request_of
from webcom_async import Options, Reply, Request, RequestTrace, Transport
from webcom_async._http.client_adapter import HttpTransport
from webcom_async._http.exchange import exchange
from webcom_async._http.httpx2_transport import Httpx2Transport, trusted_certificates
from webcom_async.emulator import Fault, Gateway, GatewayTransport
from webcom_async.testing import TRANSPORT_CHECKS, TransportCheck

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.socket,
    # httpx leaves its generator around a body that is not written to the end to the garbage collector; httpx2 does not.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx\\.:ResourceWarning"),
]

LOCAL = Options(base_url="http://127.0.0.1", in_flight=16)


class OfCaller(HttpTransport):
    """A transport over a client of *library*, which is closed with it."""

    def __init__(self, library: Any) -> None:
        self._mine = library.AsyncClient(trust_env=False)
        super().__init__(self._mine)

    async def aclose(self) -> None:
        """Close the client."""
        await self._mine.aclose()


def own() -> Transport:
    """Return our default transport."""
    return Httpx2Transport(LOCAL)


def over_aiohttp() -> Transport:
    """Return our transport on aiohttp."""
    module = pytest.importorskip("webcom_async._http.aiohttp_transport")
    return module.AiohttpTransport(LOCAL, trusted_certificates())


def over_httpx() -> Transport:
    """Return a transport over a caller's client of httpx."""
    return OfCaller(pytest.importorskip("httpx"))


def over_httpx2() -> Transport:
    """Return a transport over a caller's client of httpx2."""
    return OfCaller(pytest.importorskip("httpx2"))


@pytest.mark.parametrize("make_transport", [own, over_httpx2, over_httpx, over_aiohttp])
@pytest.mark.parametrize("check", TRANSPORT_CHECKS, ids=str)
async def test_a_transport_keeps_its_contract(
    check: TransportCheck, make_transport: Callable[[], Transport], anyio_backend_name: str
):
    """Wherever a request ends, a transport records truly what it sent and how often, and leaves nothing open."""
    if make_transport is over_aiohttp and anyio_backend_name == "trio":
        pytest.skip("aiohttp is asyncio's alone")
    await check(make_transport)
    gc.collect()  # what is left open says so


class Faulty(Httpx2Transport):
    """A transport with one fault, which *fault* names."""

    def __init__(self, fault: str) -> None:
        super().__init__(LOCAL)
        self._fault = fault

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Do what the fault is."""
        told = RequestTrace() if self._fault == "tells nothing" else trace
        if self._fault == "tells too much":
            told.sending()
        allowed = 1 << 30 if self._fault == "reads on" else max_bytes
        reply = await super().send(request, told, timeout=timeout, max_bytes=allowed)
        if self._fault == "sends twice":
            reply = await super().send(request, told, timeout=timeout, max_bytes=max_bytes)
        return reply

    async def aclose(self) -> None:
        """Close it, or not."""
        if self._fault != "stays open":
            await super().aclose()


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("tells nothing", "request and answer", "sending"),
        ("tells too much", "cancelled while it connects", "may have been sent"),
        ("sends twice", "GET", "2 requests instead of 1"),
        ("reads on", "largest body", "over max_bytes"),
    ],
)
async def test_the_contract_finds_a_fault(fault: str, check: str, words: str):
    """A transport that breaks its contract fails the check that says so."""
    [found] = [each for each in TRANSPORT_CHECKS if str(each) == check]

    with pytest.raises(AssertionError, match=words):
        await found(lambda: Faulty(fault))


# ---------------------------------------------------------------------------- the emulator's own


async def test_the_emulators_transport_has_sent_nothing_when_it_is_cancelled_before():
    """The emulator's transport has sent nothing if it is cancelled before it begins."""
    gateway, trace = Gateway(), RequestTrace()
    trace.connecting()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        await GatewayTransport(gateway).send(request_of(), trace, timeout=1.0, max_bytes=1_000)

    assert (False, 0) == (trace.possibly_sent, gateway.requests)


async def test_the_emulators_transport_records_what_it_has_sent():
    """The emulator's transport records one request, its bytes and those of its answer, and no connection."""
    gateway, trace = Gateway(), RequestTrace()
    request = request_of(token=gateway.token)
    reply = await exchange(GatewayTransport(gateway), request, trace, timeout=10, max_bytes=1_000)

    assert (True, 1, 0) == (trace.sent, gateway.requests, trace.connections)
    assert (len(request.body), len(reply.body)) == (trace.bytes_sent, trace.bytes_received)


async def test_the_emulators_transport_may_have_sent_when_it_is_cancelled():
    """A request that is cancelled while the emulator processes it is possibly sent."""
    gateway, trace, arrived = Gateway(), RequestTrace(), anyio.Event()
    gateway.faults.script(Fault(arrived=arrived, until=anyio.Event()))
    transport = GatewayTransport(gateway)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: transport.send(request_of(), trace, timeout=1.0, max_bytes=1_000))
        await arrived.wait()
        tasks.cancel_scope.cancel()

    assert (True, None) == (trace.possibly_sent, trace.reply)
