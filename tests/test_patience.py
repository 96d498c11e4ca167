"""Patience: how a campaign ends, or waits, when the gateway gives no answer."""

import math
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.builders import Travel, phones, still_clock
from tests.conftest import Connect
from webcom_async import (
    Clock,
    ConfigurationError,
    GatewaySilent,
    GatewayUnavailable,
    Options,
    Outcome,
    QuotaExhausted,
    Reason,
    Reply,
    Request,
    RequestTrace,
    SendResult,
    WebcomClient,
    WebcomError,
)
from webcom_async.emulator import Fault, Faults, Gateway, GatewayTransport, Received
from webcom_async.events import Event, GatewayAway, GatewayBack

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}
SILENT = Fault(delay=60.0, processed=True)
TIMEOUT = 0.02


class Silent(Gateway):
    """A gateway that meets every request with one fault, until so many have come."""

    def __init__(self, fault: Fault, until: float = math.inf) -> None:
        super().__init__()
        self.faults.sometimes(1.0, fault)
        self._until = until

    def arrive(self, request: Received) -> None:
        """End the fault when its time is over."""
        super().arrive(request)
        if self.requests > self._until:
            self.faults = Faults()


class Stalling(Gateway):
    """A gateway that goes silent after so many requests, for one time-out: until a request comes again."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._bodies: set[bytes] = set()
        self._after: float = after

    def arrive(self, request: Received) -> None:
        """Give no answer while it is silent."""
        super().arrive(request)
        self._after = math.inf if request.body in self._bodies else self._after
        self._bodies.add(request.body)
        if self.requests > self._after:
            self.faults.script(SILENT)


class Away(GatewayTransport):
    """A way to the gateway that breaks before a connection is made, until so many requests have tried."""

    def __init__(self, gateway: Gateway, until: float) -> None:
        super().__init__(gateway)
        self.tried = 0
        self._until = until

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Refuse the connection while the gateway is away."""
        self.tried += 1
        if self.tried <= self._until:
            trace.connecting()
            raise GatewayUnavailable
        return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)


class Seen:
    """An observer that keeps the events of the gateway."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, event: Event) -> None:
        """Keep the event's name."""
        if isinstance(event, GatewayAway | GatewayBack):
            self.names.append(event.name)


async def send(
    client: WebcomClient, count: int = 40, journal: Path | None = None
) -> tuple[list[SendResult], WebcomError | None]:
    """Return the results of a campaign, and the error that ended it."""
    results: list[SendResult] = []
    try:
        async with client.stream(phones(count), **SALE, journal=journal) as stream:
            async for result in stream:
                results.append(result)
    except WebcomError as exc:
        return results, exc
    return results, None


def client_of(transport: GatewayTransport, clock: Clock, **options: object) -> WebcomClient:
    """Return a client of a gateway in this process, with batches of five and a short time-out."""
    settings: dict[str, Any] = {"batch_size": 5, "timeout": TIMEOUT} | options
    return WebcomClient(
        token="emulator-token", transport=transport, base_url="http://127.0.0.1", clock=clock, **settings
    )


def tally(results: list[SendResult]) -> set[tuple[Outcome, Reason]]:
    """Return the pairs of outcome and reason."""
    return {(result.outcome, result.reason) for result in results}


# ---------------------------------------------------------------------------- without patience


@pytest.mark.parametrize("in_flight", [1, 4, 64])
async def test_five_silent_rounds_end_a_campaign(tmp_path: Path, in_flight: int):
    """A gateway that never answers ends a campaign after five rounds, and a second run sends to all, once."""
    gateway, journal = Silent(SILENT), tmp_path / "spring.journal"
    async with client_of(GatewayTransport(gateway), still_clock(), in_flight=in_flight) as client:
        results, error = await send(client, 400, journal)
        asked = gateway.requests
        gateway.faults = Faults()
        rest, _ = await send(client, 400, journal)

    assert isinstance(error, GatewaySilent)
    assert error.report is not None
    assert asked <= 5 * in_flight + 4
    assert tally(results) <= {(Outcome.UNKNOWN, Reason.HALTED), (Outcome.NOT_SENT, Reason.HALTED)}
    assert "patience" in str(error)
    assert {(Outcome.ACCEPTED, Reason.NONE)} == tally(rest)
    assert 400 == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()


@pytest.mark.parametrize("in_flight", [1, 4, 128])
async def test_a_stall_of_one_time_out_ends_nothing(in_flight: int):
    """All requests in flight may time out at once, however many they are."""
    gateway = Stalling(3 * in_flight)
    options = {"in_flight": in_flight, "batch_size": 1, "timeout": 0.5}
    async with client_of(GatewayTransport(gateway), still_clock(), **options) as client:
        results, error = await send(client, 16 * in_flight)

    assert error is None
    assert {(Outcome.ACCEPTED, Reason.NONE)} == tally(results)
    assert not gateway.ledger.billed_twice()


async def test_the_default_patience_is_six_time_outs():
    """A single batch that gets no answer ends its campaign after six time-outs, whatever the waits between them."""
    clock = Travel()
    gateway = Silent(SILENT)
    async with client_of(GatewayTransport(gateway), clock.clock(), timeout=TIMEOUT) as client:
        _, error = await send(client, 3)

    assert isinstance(error, GatewaySilent)
    assert pytest.approx(6 * TIMEOUT) == clock.seconds


async def test_a_wait_that_the_gateway_asks_for_is_not_silence():
    """A `Retry-After` beyond the patience is waited out."""
    clock, gateway = Travel(), Gateway()
    gateway.faults.script(Fault(status=503, headers={"retry-after": "45"}))
    async with client_of(GatewayTransport(gateway), clock.clock(), patience=5.0) as client:
        _, error = await send(client)

    assert error is None
    assert 40 == len(gateway.ledger)
    assert 45 <= clock.seconds


# ---------------------------------------------------------------------------- with patience


@pytest.mark.parametrize("fault", [SILENT, Fault(close=True), Fault(close=True, processed=True)])
@pytest.mark.parametrize("count", [3, 40])
async def test_patience_bounds_the_silence(tmp_path: Path, fault: Fault, count: int):
    """A campaign with patience probes with one request at a time until it is over, and can be resumed."""
    clock, seen, gateway, journal = Travel(), Seen(), Silent(fault), tmp_path / "spring.journal"
    transport = GatewayTransport(gateway)
    async with client_of(transport, clock.clock(), patience=600.0, observers=[seen]) as client:
        results, error = await send(client, count, journal)
        asked = gateway.requests
        gateway.faults = Faults()
        await send(client, count, journal)

    assert isinstance(error, GatewaySilent)
    assert "600 s" in str(error)
    assert "patience" in str(error)
    assert tally(results) <= {(Outcome.UNKNOWN, Reason.HALTED), (Outcome.NOT_SENT, Reason.HALTED)}
    assert 600 <= clock.seconds < 630
    assert asked < 120
    assert ["gateway_away"] == seen.names
    assert count == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()


@pytest.mark.parametrize("fault", [SILENT, Fault(close=True)])
@pytest.mark.parametrize("count", [3, 40, 400])
async def test_a_campaign_that_waits_goes_on_by_itself(fault: Fault, count: int):
    """When the gateway answers again, the campaign goes on at full speed, and every recipient is accepted once."""
    clock, seen, gateway = Travel(), Seen(), Silent(fault, until=40)
    async with client_of(GatewayTransport(gateway), clock.clock(), patience=3_600.0, observers=[seen]) as client:
        results, error = await send(client, count)

    assert error is None
    assert {(Outcome.ACCEPTED, Reason.NONE)} == tally(results)
    assert ["gateway_away", "gateway_back"] == seen.names
    assert count == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()


async def test_a_probe_waits_as_long_as_the_gateway_asks():
    """A `Retry-After` that answers a probe is obeyed by the next one, and by that one alone."""
    clock, gateway, moments = Travel(), Gateway(), list[float]()
    busy = [Fault(status=503, headers=headers) for headers in ({"retry-after": "45"}, {})]
    gateway.faults.script(*[SILENT] * 20, *busy)

    class Noting(GatewayTransport):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            moments.append(clock.seconds)
            return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)

    async with client_of(Noting(gateway), clock.clock(), patience=3_600.0, wait_max=4.0, retry_quota=1) as client:
        _, error = await send(client)

    assert error is None
    assert moments[21] - moments[20] >= 45
    assert moments[22] - moments[21] <= 4
    assert 40 == len(gateway.ledger)


async def test_after_the_wait_batches_leave_side_by_side():
    """When a probe is answered, batches that waited for their turn to probe do not wait for each other."""
    most, in_flight, back = 0, 0, False

    class Together(GatewayTransport):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            nonlocal most, in_flight
            in_flight += 1
            try:
                if back:
                    await anyio.wait_all_tasks_blocked()
                    most = max(most, in_flight)
                return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
            finally:
                in_flight -= 1

    def watch(event: Event) -> None:
        nonlocal back
        back = back or isinstance(event, GatewayBack)

    transport = Together(Silent(Fault(close=True), until=40))
    settings: dict[str, Any] = {"patience": 3_600.0, "timeout": 5.0, "batch_size": 1, "observers": [watch]}
    async with client_of(transport, Travel().clock(), **settings) as client:
        results, error = await send(client, 4)

    assert error is None
    assert {(Outcome.ACCEPTED, Reason.NONE)} == tally(results)
    assert 3 == most


async def test_probes_come_one_at_a_time():
    """While the campaign waits, no second request is in flight."""
    most, in_flight, waits = 0, 0, False

    class Counting(GatewayTransport):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            nonlocal most, in_flight
            in_flight += 1
            most = max(most, in_flight if waits else 0)
            try:
                return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)
            finally:
                in_flight -= 1

    def watch(event: Event) -> None:
        nonlocal waits
        waits = isinstance(event, GatewayAway) or (waits and not isinstance(event, GatewayBack))

    gateway = Silent(SILENT, until=30)
    clock = Travel().clock()
    async with client_of(Counting(gateway), clock, patience=3_600.0, in_flight=16, observers=[watch]) as client:
        await send(client, 400)

    # Requests that left before the wait began may still be in flight.
    assert most <= 4
    assert 400 == len(gateway.ledger)


@pytest.mark.parametrize(("until", "ends"), [(30, None), (math.inf, GatewayUnavailable)])
async def test_a_gateway_that_is_away_is_waited_for(until: float, ends: type[WebcomError] | None):
    """A connection that is refused for long is tried until patience is over; nobody counts as sent to."""
    clock, gateway = Travel(), Gateway()
    transport = Away(gateway, until)
    async with client_of(transport, clock.clock(), patience=900.0) as client:
        results, error = await send(client)

    assert (ends is None) is (error is None)
    assert ends is None or isinstance(error, ends)
    assert {(Outcome.NOT_SENT, Reason.HALTED) if ends else (Outcome.ACCEPTED, Reason.NONE)} == tally(results)
    assert transport.tried < 150


@pytest.mark.parametrize("until", [250, math.inf])
async def test_a_spent_quota_is_waited_out(until: float):
    """A gateway that fails for long is probed, too, until patience is over."""
    clock, gateway = Travel(), Silent(Fault(status=503), until=until)
    async with client_of(GatewayTransport(gateway), clock.clock(), patience=3_600.0, attempts=100) as client:
        _, error = await send(client, 400)

    assert isinstance(error, QuotaExhausted) is (until == math.inf)
    assert gateway.requests < 100 + 3_600
    assert (0 if error else 400) == len(gateway.ledger)


async def test_patience_starts_again_with_each_answer():
    """A gateway that answers one request now and then is waited for longer than the patience in all."""
    clock, gateway = Travel(), Gateway()
    for _ in range(8):
        gateway.faults.script(*[SILENT] * 8, Fault())
    async with client_of(GatewayTransport(gateway), clock.clock(), patience=120.0, in_flight=1) as client:
        _, error = await send(client)

    assert error is None
    assert 120 < clock.seconds
    assert 40 == len(gateway.ledger)


async def test_a_gateway_slower_than_usual_is_not_silent():
    """Answers just inside the time-out keep a campaign going that takes far longer than its patience."""
    gateway = Silent(Fault(delay=0.9 * 0.2))
    async with client_of(GatewayTransport(gateway), Clock(), timeout=0.2, patience=0.25, in_flight=1) as client:
        _, error = await send(client, 20)

    assert error is None
    assert 20 == len(gateway.ledger)


async def test_a_patience_below_the_time_out_ends_the_request():
    """With less patience than a time-out, the campaign ends when the patience is over."""
    gateway = Silent(SILENT)
    async with client_of(GatewayTransport(gateway), Clock(), timeout=60.0, patience=0.1) as client:
        with anyio.fail_after(10):
            _, error = await send(client)

    assert isinstance(error, GatewaySilent)


async def test_a_clock_that_stands_still_ends_the_wait_too():
    """The number of probes is bounded, whatever the clock says."""
    gateway = Silent(Fault(close=True))
    async with client_of(GatewayTransport(gateway), still_clock(), patience=100.0, wait_initial=0.0) as client:
        _, error = await send(client)

    assert isinstance(error, GatewaySilent)
    assert gateway.requests <= 1_100


async def test_a_single_send_has_attempts_instead(connect: Connect):
    """A `send` that gets no answer is unknown after its attempts, and no exception."""
    gateway = Silent(SILENT)
    async with connect(gateway, timeout=TIMEOUT, attempts=3) as client:
        result = await client.send("79612242243", "Sale!", sender="ACME")

    assert (Outcome.UNKNOWN, Reason.TIMEOUT) == (result.outcome, result.reason)
    assert 3 == gateway.requests


# ---------------------------------------------------------------------------- values


@pytest.mark.parametrize("patience", [0, -1, math.nan, "60", True])
def test_a_patience_out_of_range_is_refused(patience: object):
    """A patience that means nothing is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="patience is"):
        Options(patience=patience)  # type: ignore[arg-type]


@pytest.mark.parametrize("patience", [None, 1, 0.5, math.inf])
def test_a_patience_in_range_is_kept(patience: float | None):
    """Seconds above 0 are a patience, also without an end; None is the default."""
    assert patience == Options(patience=patience).patience
