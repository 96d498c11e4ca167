"""The failure table: for each symptom on the wire, what is done and what is claimed."""

import json
import socket
from typing import Any

import anyio
import msgspec
import pytest

from tests.builders import message, phones, recipients, still_clock
from tests.conftest import Connect
from tests.raw_servers import RawServer, http, raw_server
from webcom_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLost,
    GatewayBusy,
    GatewayUnavailable,
    IdCollision,
    Outcome,
    OutOfBalance,
    QuotaExhausted,
    Reason,
    Recipient,
    Reply,
    Request,
    RequestTrace,
    Results,
    SendResult,
    SystematicRefusal,
    WebcomClient,
    WebcomError,
)
from webcom_async.emulator import Account, Behaviour, Fault, Gateway, GatewayAnswer, GatewayTransport, Received

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME"}
POISON = "79612242250"  # the eighth of the phones


class Poisoned(Gateway):
    """A gateway that fails every request with one phone in it."""

    answer: GatewayAnswer | None = GatewayAnswer(500, {}, b"<h1>Internal Server Error</h1>")

    def process(self, request: Received) -> GatewayAnswer:
        """Fail for every request that has the phone, having sent nothing."""
        if self.answer is not None and POISON.encode() in request.body:
            return self.answer
        return super().process(request)


async def send(connect: Connect, gateway: Gateway, count: int = 20, **options: object) -> list[SendResult]:
    """Send to *count* phones in batches of ten, one at a time, and return the results in order."""
    options = {"batch_size": 10, "in_flight": 1} | options
    async with connect(gateway, **options) as client, client.stream(recipients(count), **SALE) as results:
        return sorted([result async for result in results], key=lambda result: int(result.client_id_sms))


def others_accepted(results: list[SendResult], gateway: Gateway) -> bool:
    """Whether every phone but the poison is accepted, once, with the right `id_sms`."""
    claimed = {result.client_id_sms: result.id_sms for result in results if result.phone != POISON}
    return claimed == gateway.ledger.ids() and not gateway.ledger.billed_twice()


# ---------------------------------------------------------------------------- halving


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (GatewayAnswer(500, {}, b"<h1>oops</h1>"), Outcome.UNKNOWN, Reason.BUSY),
        (GatewayAnswer(200, {}, b"<h1>oops</h1>"), Outcome.UNKNOWN, Reason.BAD_REPLY),
        (GatewayAnswer(200, {}, b'{"information":[]}'), Outcome.UNKNOWN, Reason.BAD_REPLY),
        (GatewayAnswer(200, {}, b'{"information":[null]}'), Outcome.UNKNOWN, Reason.BAD_REPLY),
        (GatewayAnswer(200, {}, b'{"information":[{"state":"send"}]}'), Outcome.UNKNOWN, Reason.BAD_REPLY),
        (GatewayAnswer(200, {}, b'{"error":"Incorrect JSON document format"}'), Outcome.REJECTED, Reason.BAD_DOCUMENT),
        (GatewayAnswer(400, {}, b'{"error":"POST data is missing"}'), Outcome.REJECTED, Reason.NO_POST_DATA),
        (
            GatewayAnswer(400, {}, b'{"error":"This destination is closed"}'),
            Outcome.REJECTED,
            Reason.DESTINATION_CLOSED,
        ),
        (GatewayAnswer(400, {}, b'{"error":"Something new"}'), Outcome.UNKNOWN, Reason.OTHER),
        (GatewayAnswer(413, {}, b""), Outcome.REJECTED, Reason.TOO_LARGE),
    ],
    ids=["500", "html", "short", "null", "no id", "bad document", "no data", "sentence", "unknown sentence", "413"],
)
async def test_one_poisonous_recipient_costs_the_others_nothing(
    connect: Connect, answer: GatewayAnswer, outcome: Outcome, reason: Reason
):
    """A request that fails because of one recipient is split in halves until that recipient is alone."""
    gateway = Poisoned()
    gateway.answer = answer
    results = await send(connect, gateway)

    [culprit] = [result for result in results if result.phone == POISON]
    assert (outcome, reason) == (culprit.outcome, culprit.reason)
    assert others_accepted(results, gateway)


async def test_halves_carry_the_same_ids(connect: Connect):
    """A recipient that is sent again in a half keeps the id of the first attempt."""
    gateway = Poisoned()
    await send(connect, gateway)
    ids: dict[str, set[str]] = {}
    for request in gateway.received:
        for recipient in request.recipients:
            ids.setdefault(str(recipient.phone), set()).add(str(recipient.client_id_sms))

    assert {1} == {len(known) for known in ids.values()}


async def test_an_outage_is_not_multiplied_by_halving(connect: Connect, webcom_gateway: Gateway):
    """When both halves fail as well, no half is split further, because the gateway is down for every recipient."""
    webcom_gateway.faults.sometimes(1.0, Fault(status=500))
    results = await send(connect, webcom_gateway, count=10, attempts=3)

    assert {Outcome.UNKNOWN} == {result.outcome for result in results}
    assert 3 + 2 == webcom_gateway.requests


async def test_a_size_that_is_too_large_is_remembered(connect: Connect):
    """After 413 the batch is split at once, and later batches are cut to the size that works."""
    gateway = Gateway(behaviour=Behaviour(max_recipients=16))
    results = await send(connect, gateway, count=300, batch_size=60)
    sizes = [request.body.count(b'"phone"') for request in gateway.received]

    assert {Outcome.ACCEPTED} == {result.outcome for result in results}
    assert [60, 30, 30, 15] == sizes[:4]
    assert 3 == len([size for size in sizes if size > 16])
    assert 300 == len(gateway.ledger)


async def test_no_connection_in_time_denies_the_sms(webcom_gateway: Gateway):
    """Where no connection comes about within the time-out, nothing was sent, and the limit stays as it is."""
    transport = Unconnected(webcom_gateway)
    async with WebcomClient(
        token=webcom_gateway.token, transport=transport, timeout=0.01, attempts=1, clock=still_clock()
    ) as client:
        with pytest.raises(GatewayUnavailable, match="nothing was sent"):
            await client.send("79612242243", **SALE)
        async with client.stream(phones(3), **SALE) as results:
            limit = results.progress.limit
            outcomes = [result.outcome for result in [await anext(results) for _ in range(3)]]

    assert [Outcome.NOT_SENT] * 3 == outcomes
    assert (limit, 0) == (results.progress.limit, webcom_gateway.requests)


class Unconnected(GatewayTransport):
    """A transport whose connections never come about."""

    async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
        """Wait for ever, before anything leaves."""
        trace.connecting()
        await anyio.Event().wait()
        raise AssertionError


async def test_out_of_balance_after_a_lost_answer_is_unknown(connect: Connect):
    """The last SMS may be the possibly sent one, because a gateway may check the balance before it looks for the id."""
    gateway = Gateway()
    empty = b'{"information":[{"error":"Out of SMS"}]}'
    gateway.faults.script(Fault(close=True, processed=True), Fault(body=empty))
    async with connect(gateway) as client, client.stream(phones(1), **SALE) as results:
        result = await anext(results)
        with pytest.raises(OutOfBalance):
            await anext(results)

    assert (Outcome.UNKNOWN, Reason.OUT_OF_SMS, 1) == (result.outcome, result.reason, len(gateway.ledger))


async def test_a_gateway_that_cuts_ids_ends_the_campaign(connect: Connect):
    """Two ids answered with one `id_sms` mean a recipient without an SMS: the campaign halts and claims nothing."""
    gateway = Gateway(behaviour=Behaviour(id_bits=4))
    async with connect(gateway, batch_size=20, in_flight=1) as client, client.stream(phones(500), **SALE) as results:
        with pytest.raises(IdCollision):
            await _exhaust(results)

    assert (20, 0) == (results.report.unknown, results.report.accepted)
    assert 1 == gateway.requests


async def test_an_sms_belongs_to_the_first_phone(connect: Connect, webcom_gateway: Gateway):
    """Of two phones under one id of the caller's, only the first has an SMS, however often both come again."""
    first, second = phones(2)
    people = [Recipient(phone, client_id_sms=7) for phone in [first, second, first, second, second, first]]
    async with connect(webcom_gateway, batch_size=1, in_flight=1) as client:
        async with client.stream(people, **SALE) as results:
            told = [(result.phone, result.outcome) async for result in results]

    assert [first] == [sms.phone for sms in webcom_gateway.ledger.sent]
    outcomes = {first: Outcome.ACCEPTED, second: Outcome.NOT_SENT}
    assert [(person.phone, outcomes[person.phone]) for person in people] == told


async def test_an_id_sms_is_noticed_again_however_many_phones_come_twice_meanwhile(connect: Connect):
    """Repeated answers do not push the other recipients' `id_sms` out of memory."""
    gateway = Gateway(behaviour=Behaviour(id_bits=11))
    first, cut = Recipient("79612249998", client_id_sms=7), Recipient("79612249999", client_id_sms=2**11 + 7)
    again = [Recipient(phone, client_id_sms=number) for number, phone in enumerate(phones(500), 100)]
    async with connect(gateway, in_flight=1) as client:
        async with client.stream([first, *again * 20, cut], **SALE) as results:
            with pytest.raises(IdCollision, match=r"2055 and 7\b"):
                await _exhaust(results)

    assert 501 == len(gateway.ledger)


async def _exhaust(results: Results) -> None:
    async for _ in results:
        pass


@pytest.mark.parametrize("last", [Reply(200, {}, b'{"error":"Incorrect login or password"}'), GatewayUnavailable()])
async def test_nothing_denies_an_attempt_that_broke_on_a_kept_connection(last: Reply | WebcomError):
    """Neither a refusal nor an unreachable gateway denies the request that went out before."""

    class Breaking:
        def __init__(self) -> None:
            self.ends: list[Reply | WebcomError] = [ConnectionLost(reused_connection=True), last]

        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            end = self.ends.pop(0)
            if isinstance(end, WebcomError):
                raise end
            return end

        async def aclose(self) -> None:
            return None

    async with WebcomClient(token="dummy", transport=Breaking(), clock=still_clock(), attempts=2) as client:
        result = await client.send("79612242243", **SALE)

    assert (Outcome.UNKNOWN, Reason.CONNECTION_LOST) == (result.outcome, result.reason)


@pytest.mark.parametrize("field", ["error", "entry"])
async def test_a_gateway_that_echoes_the_request_gives_no_secret_away(connect: Connect, field: str):
    """Credentials that an answer repeats are masked before it becomes a result or an exception."""
    gateway = Gateway()
    sentence = f"no such key: {gateway.token}"
    body = {"error": sentence} if field == "error" else {"information": [{"error": sentence}]}
    gateway.faults.script(Fault(body=msgspec.json.encode(body)))
    async with connect(gateway) as client:
        result = await client.send("79612242243", **SALE)

    assert "no such key: ***" == result.error


@pytest.mark.parametrize("secret", ["abcd/efgh+1234==", "pässwörd-длинный", 'quo"te-back\\slash'])
async def test_an_echo_is_masked_however_json_spells_it(connect: Connect, secret: str):
    """Escaped slashes, letters and quotes are masked too, because they are the same secret once read."""
    escaped = json.dumps(secret).replace("/", "\\/")
    gateway = Gateway(Account(token=secret))
    gateway.faults.script(Fault(body=('{"information":[{"error":"not allowed: ' + escaped[1:-1] + '"}]}').encode()))
    async with connect(gateway) as client:
        result = await client.send("79612242243", **SALE)

    assert "not allowed: ***" == result.error


@pytest.mark.parametrize("secret", ["password", "information", "login or password"])
async def test_a_secret_that_is_a_word_spoils_no_answer(connect: Connect, secret: str):
    """Masking changes what is shown, not what is understood."""
    gateway = Gateway(Account(token=secret))
    async with connect(gateway) as client:
        accepted = await client.send("79612242243", **SALE)
        gateway.faults.script(Fault(body=b'{"error":"Incorrect login or password"}'))
        with pytest.raises(AuthenticationError):
            await client.send("79612242244", **SALE)

    assert Outcome.ACCEPTED is accepted.outcome


class Short(Gateway):
    """A gateway whose answers for more than *most* recipients have an entry too few, or one too many."""

    def __init__(self, most: int, entries: int) -> None:
        super().__init__()
        self._most = most
        self._entries = entries

    def process(self, request: Received) -> GatewayAnswer:
        """Process the request whole, and answer it wrongly if it is too large."""
        answer = super().process(request)
        entries = json.loads(answer.body)["information"]
        if len(entries) > self._most:
            entries = [*entries, entries[-1]][: len(entries) + self._entries]
        return msgspec.structs.replace(answer, body=msgspec.json.encode({"information": entries}))


@pytest.mark.parametrize("entries", [-1, 1], ids=["too few", "too many"])
@pytest.mark.parametrize(
    ("batch_size", "most", "count"), [(64, 1, 64), (64, 16, 640), (500, 1, 1_000), (500, 30, 2_000), (2, 1, 200)]
)
async def test_a_number_of_recipients_that_works_is_learnt(
    connect: Connect, batch_size: int, most: int, count: int, entries: int
):
    """A gateway that answers whole for a few recipients only gets requests of that size, in later batches too."""
    gateway = Short(most, entries)
    async with connect(gateway, batch_size=batch_size) as client:
        report = await client.send_all(phones(count), **SALE)

    assert count == report.accepted == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()
    assert report.requests < 2 * count / most + 60


@pytest.mark.parametrize(("batch_size", "most"), [(64, 1), (500, 1), (500, 30)])
async def test_a_size_far_below_the_batch_is_found(connect: Connect, batch_size: int, most: int):
    """A gateway that takes only small requests does not spend the quota of the campaign."""
    gateway = Gateway(behaviour=Behaviour(max_recipients=most))
    async with connect(gateway, batch_size=batch_size) as client:
        report = await client.send_all(phones(1_000), **SALE)

    assert 1_000 == report.accepted == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()


async def test_short_answers_now_and_then_leave_the_batches_large(connect: Connect):
    """Answers that are short by accident do not make all later requests small."""
    gateway = Gateway(seed=5)
    gateway.faults.sometimes(0.1, Fault(body=b'{"information":[]}', processed=True))
    async with connect(gateway, batch_size=50) as client:
        report = await client.send_all(phones(10_000), **SALE)

    assert 10_000 == report.accepted == len(gateway.ledger)
    assert report.requests < 400


@pytest.mark.parametrize("transport", ["httpx2", "aiohttp"])
@pytest.mark.parametrize("stays", [False, True], ids=["closes", "stays"])
@pytest.mark.parametrize("kib", [100, 700, 4_096])
async def test_a_refusal_before_the_body_is_read_is_found(
    anyio_backend_name: str, transport: Any, kib: int, *, stays: bool
):
    """A server that answers 413 to the head, and reads no body, has refused the recipient, however large the body."""
    if transport == "aiohttp":
        pytest.importorskip("aiohttp", reason="an extra")
        if anyio_backend_name == "trio":
            pytest.skip("aiohttp runs on asyncio alone")

    def talk(server: RawServer, connection: socket.socket, _number: int) -> None:
        came = b""
        while b"\r\n\r\n" not in came:
            came += connection.recv(1_024)
        connection.sendall(http(b"", "connection: close", status="413 Payload Too Large"))
        if stays:
            server.stopping.wait(20)

    with raw_server(talk) as server:
        client = WebcomClient(token="dummy", base_url=server.url, transport=transport, timeout=5, clock=still_clock())
        async with client:
            result = await client.send("79612242243", "x" * kib * 1_024, sender="ACME", max_parts=None)

    assert (Outcome.REJECTED, Reason.TOO_LARGE) == (result.outcome, result.reason)


# ---------------------------------------------------------------------------- what an earlier attempt leaves behind


async def test_nothing_is_denied_after_an_attempt_that_was_processed():
    """After a lost answer and then no gateway at all, the recipient is unknown, and no exception claims otherwise."""
    gateway = Gateway()

    class Going(GatewayTransport):
        async def send(self, request: Request, trace: RequestTrace, *, timeout: float, max_bytes: int) -> Reply:  # noqa: ASYNC109
            if gateway.requests:
                raise GatewayUnavailable
            return await super().send(request, trace, timeout=timeout, max_bytes=max_bytes)

    gateway.faults.script(Fault(close=True, processed=True))
    async with WebcomClient(token=gateway.token, transport=Going(gateway), clock=still_clock()) as client:
        result = await client.send("79612242243", **SALE)

    assert 1 == len(gateway.ledger)
    assert (Outcome.UNKNOWN, Reason.CONNECTION_LOST) == (result.outcome, result.reason)


async def test_already_sent_is_no_refusal(connect: Connect):
    """If a request for one recipient is answered as sent already, the recipient is unknown, as with an entry."""
    gateway, words = Gateway(), "Данное сообщение уже было отправлено"
    gateway.faults.script(Fault(close=True, processed=True), Fault(body=msgspec.json.encode({"error": words})))
    async with connect(gateway) as client:
        result = await client.send("79612242243", **SALE)

    assert (Outcome.UNKNOWN, Reason.ALREADY_SENT) == (result.outcome, result.reason)


async def test_an_id_sms_that_comes_twice_raises_the_alarm(connect: Connect):
    """Without a journal, too, two ids in two requests that are answered with one `id_sms` end the campaign."""
    gateway = Gateway(behaviour=Behaviour(id_bits=4))
    async with connect(gateway, batch_size=1, in_flight=1) as client:
        with pytest.raises(IdCollision) as caught:
            await client.send_all(phones(200), **SALE)

    report = caught.value.report
    assert report is not None
    assert (16, 1) == (report.accepted, report.unknown)


async def test_an_id_that_was_another_phones_sends_nothing(connect: Connect):
    """The gateway answers a used id with the first phone's `id_sms`, so the second phone is reported as not sent to."""
    gateway = Gateway()
    people = [Recipient("79612242243", 9077), Recipient("79612242244", 9077)]
    async with connect(gateway, batch_size=1, in_flight=1) as client, client.stream(people, **SALE) as results:
        outcomes = {result.phone: (result.outcome, result.reason) async for result in results}

    assert {
        "79612242243": (Outcome.ACCEPTED, Reason.NONE),
        "79612242244": (Outcome.NOT_SENT, Reason.ID_REUSED),
    } == outcomes


# ---------------------------------------------------------------------------- quota


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=429),
        Fault(status=503, headers={"retry-after": "1"}),
        Fault(close=True),
        Fault(body=b"<html>"),
        Fault(body=b'{"information":[]}'),
    ],
    ids=["500", "429", "retry-after", "closed", "html", "no entries"],
)
async def test_a_dead_gateway_costs_a_bounded_number_of_requests(
    connect: Connect, webcom_gateway: Gateway, fault: Fault, batch_size: int
):
    """A campaign of thousands of batches ends when its quota is spent, with the rest not sent and a reason."""
    webcom_gateway.faults.sometimes(1.0, fault)
    async with connect(webcom_gateway, batch_size=batch_size, in_flight=4, retry_quota=20) as client:
        with pytest.raises(QuotaExhausted, match="The last failure") as caught:
            await client.send_all(phones(10_000), **SALE)

    # At least one token for each batch that fails, and the first requests of batches in flight at the end.
    assert webcom_gateway.requests <= 2 * 20 + 4
    assert caught.value.report is not None
    assert caught.value.report.accepted == 0
    assert not caught.value.report.complete


async def test_a_few_faults_cost_a_few_requests(connect: Connect):
    """At 5 % transient faults, requests sent per request needed stay under 1.15, and every recipient is accepted."""
    gateway = Gateway(seed=11)
    gateway.faults.sometimes(0.025, Fault(close=True, processed=True))
    gateway.faults.sometimes(0.025, Fault(status=503))
    async with connect(gateway, batch_size=10) as client:
        report = await client.send_all(phones(4_000), **SALE)

    assert 4_000 == report.accepted == len(gateway.ledger)
    assert 1.0 < gateway.requests / 400 < 1.15


@pytest.mark.parametrize("kind", [413, 400])
async def test_recipients_of_the_batch_that_spends_the_quota_are_halted(connect: Connect, kind: int):
    """In the batch that meets the end of the campaign, recipients that are not sent any more are `halted`."""
    gateway = Gateway()
    gateway.faults.script(Fault(status=kind, body=b'{"error":"POST data is missing"}' if kind == 400 else b""))
    gateway.accounts[0].balance = 0
    async with connect(gateway, batch_size=10, in_flight=1) as client, client.stream(phones(20), **SALE) as results:
        with pytest.raises(OutOfBalance):
            await _exhaust(results)

    assert {Reason.OUT_OF_SMS: 5, Reason.HALTED: 5} == results.report.reasons


# ---------------------------------------------------------------------------- halting


async def test_a_gateway_that_cannot_do_what_is_asked_ends_the_campaign(connect: Connect, webcom_gateway: Gateway):
    """A 501 is not worth a second request: the URL is wrong."""
    webcom_gateway.faults.sometimes(1.0, Fault(status=501))
    async with connect(webcom_gateway, in_flight=1) as client:
        with pytest.raises(ConfigurationError, match="check base_url and path"):
            await client.send_all(phones(2_000), **SALE)

    assert 1 == webcom_gateway.requests


@pytest.mark.parametrize("wait", ["61", "Wed, 01 Jan 2031 12:00:00 GMT"])
async def test_a_wait_beyond_the_ceiling_ends_the_campaign(connect: Connect, webcom_gateway: Gateway, wait: str):
    """A gateway that asks for more than `retry_after_max` halts the campaign, which can be resumed later."""
    webcom_gateway.faults.sometimes(1.0, Fault(status=429, headers={"retry-after": wait}))
    async with connect(webcom_gateway, in_flight=1) as client:
        with pytest.raises(GatewayBusy) as caught:
            await client.send_all(phones(2_000), **SALE)

    assert 1 == webcom_gateway.requests
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 60


async def test_the_same_unknown_refusal_for_everyone_ends_the_campaign(connect: Connect):
    """If the first 200 are refused in the same unknown words, recipients are not the cause, and the campaign halts."""

    class Strange(Gateway):
        def process(self, request: Received) -> GatewayAnswer:
            count = request.body.count(b'"phone"')
            entries = ",".join(['{"error":"Tariff plan expired"}'] * count)
            return GatewayAnswer(200, {}, f'{{"information":[{entries}]}}'.encode())

    gateway = Strange()
    async with connect(gateway, batch_size=50, in_flight=1) as client:
        with pytest.raises(SystematicRefusal, match="Tariff plan expired") as caught:
            await client.send_all(phones(5_000), **SALE)

    assert 4 == gateway.requests
    assert caught.value.report is not None
    assert (200, {Reason.OTHER: 200}) == (caught.value.report.rejected, caught.value.report.reasons)


@pytest.mark.parametrize("sender_wide", [True, False])
async def test_a_refused_message_stops_that_message_only(connect: Connect, *, sender_wide: bool):
    """An unknown sender or a rejected text is not sent to the rest of its recipients; other messages continue."""
    gateway = Gateway(behaviour=Behaviour(rejected_words=("casino",)))
    gateway.accounts[0].senders = {"ACME"}
    bad = {"sender": "NOBODY", "text": "Sale!"} if sender_wide else {"sender": "ACME", "text": "casino"}
    people = [
        Recipient(phone, message=message(**(bad if number % 2 else SALE))) for number, phone in enumerate(phones(400))
    ]
    async with connect(gateway, batch_size=20, in_flight=1) as client, client.stream(people) as results:
        seen = [result async for result in results]

    assert {Outcome.ACCEPTED: 200, Outcome.REJECTED: 10, Outcome.NOT_SENT: 190} == {
        outcome: len([result for result in seen if result.outcome is outcome])
        for outcome in {result.outcome for result in seen}
    }
    assert {Reason.UNKNOWN_SENDER if sender_wide else Reason.TEXT_REJECTED, Reason.NONE} == {r.reason for r in seen}


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_after_an_account_level_refusal_only_requests_in_flight_are_offered(connect: Connect, in_flight: int):
    """After the first refusal of the account, at most one batch per request in flight is offered to the gateway."""
    gateway = Gateway()
    gateway.accounts[0].balance = 35
    async with connect(gateway, batch_size=10, in_flight=in_flight) as client:
        with pytest.raises(WebcomError):
            await client.send_all(phones(5_000), **SALE)

    assert 35 == len(gateway.ledger)
    assert gateway.requests <= 4 + in_flight


async def test_a_halt_cancels_workers_that_wait(connect: Connect, webcom_gateway: Gateway):
    """A halt ends a worker's long back-off instead of waiting for it."""
    slept = anyio.Event()

    async def sleep(_seconds: float) -> None:
        slept.set()
        await anyio.sleep_forever()

    webcom_gateway.faults.script(Fault(status=503), Fault(until=slept))
    webcom_gateway.accounts[0].locked = True
    async with connect(webcom_gateway, batch_size=1, in_flight=2, clock=still_clock(sleep=sleep)) as client:
        with anyio.fail_after(10), pytest.raises(WebcomError, match="locked"):
            await client.send_all(phones(2), **SALE)


async def test_each_reader_gets_an_exception_of_its_own(connect: Connect, webcom_gateway: Gateway):
    """Each read of an ended campaign raises the failure with the report, as an exception object of its own."""
    webcom_gateway.accounts[0].balance = 0
    caught: list[OutOfBalance] = []
    async with connect(webcom_gateway) as client, client.stream(phones(3), **SALE) as results:
        while len(caught) < 2:
            try:
                await anext(results)
            except OutOfBalance as exc:
                caught.append(exc)
    first, second = caught

    assert first is not second
    assert first.report == second.report == results.report
