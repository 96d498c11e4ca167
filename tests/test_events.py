"""Events: observers and the log see each with its fields, and none holds a phone, a text or a credential."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import anyio
import msgspec
import pytest

import webcom_async.events
from tests.builders import Travel, message, phones
from tests.conftest import Connect
from webcom_async import (
    ConfigurationError,
    DeliveryState,
    LeaseLost,
    Outcome,
    OutOfBalance,
    QuotaExhausted,
    Reason,
    Recipient,
)
from webcom_async.emulator import Account, Fault, Gateway
from webcom_async.events import (
    AttemptFailed,
    BatchAnswered,
    BatchSent,
    BatchSettled,
    CampaignEnded,
    CampaignHalted,
    CampaignResumed,
    CampaignStarted,
    DeliveryChanged,
    Event,
    LimitChanged,
    RequestRetried,
    RetryAfterObeyed,
    RetryQuotaLow,
    SendAnswered,
    SendEnded,
    SendQueued,
    SendSent,
    SendSettled,
    ShardEnded,
    ShardLost,
    ShardTaken,
    ShardTakenOver,
    TrackingPaused,
)
from webcom_async.scaleout import CampaignSettings, LeaseKeeper, ShardOutcome, SqliteStore, Worker

pytestmark = pytest.mark.anyio

E = TypeVar("E", bound=Event)

SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}
CODE = {"text": "Code 1234", "sender": "ACME", "client_id_sms": 101}
KINDS = [
    getattr(webcom_async.events, name)
    for name in webcom_async.events.__all__
    if name not in {"Event", "Observer", "Observers"}
]


class Seen(list[Event]):
    """An observer that keeps the events it sees."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self if isinstance(event, kind)]


@pytest.fixture
def seen() -> Seen:
    """Return an observer."""
    return Seen()


def settled(batch: int, accepted: int, **changes: int) -> BatchSettled:
    """Return how a batch of the campaign is settled, by a clock that stands still."""
    others = {"rejected": 0, "unknown": 0, "not_sent": 0, "from_journal": 0} | changes
    return BatchSettled(campaign="spring", batch=batch, accepted=accepted, seconds=0.0, **others)


# ---------------------------------------------------------------------------- campaigns


async def test_a_campaign_is_seen_from_its_start_to_its_end(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """Each batch is sent, answered and settled between the start and the end, which has the report's counts."""
    async with connect(webcom_gateway, in_flight=1, batch_size=2, observers=[seen]) as client:
        await client.send_all(phones(3), **SALE)

    request = {"campaign": "spring", "attempt": 1}
    counts = {"accepted": 3, "rejected": 0, "unknown": 0, "not_sent": 0, "from_journal": 0, "requests": 2, "retries": 0}
    assert [
        CampaignStarted(campaign="spring"),
        BatchSent(**request, batch=1, recipients=2),
        BatchAnswered(**request, batch=1, recipients=2, status=200, seconds=0.0),
        settled(1, 2),
        BatchSent(**request, batch=2, recipients=1),
        BatchAnswered(**request, batch=2, recipients=1, status=200, seconds=0.0),
        settled(2, 1),
        CampaignEnded(campaign="spring", complete=True, seconds=0.0, **counts),
    ] == list(seen)


async def test_the_seconds_of_an_answer_are_those_of_its_request(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """An answer is timed from the request to its last byte, by the client's clock."""
    travel, arrived, until = Travel(), anyio.Event(), anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=until, processed=True))
    async with connect(webcom_gateway, clock=travel.clock(), observers=[seen]) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.send_all(phones(1), **SALE))
            await arrived.wait()
            travel.seconds += 2.5
            until.set()

    assert [2.5] == [answered.seconds for answered in seen.of(BatchAnswered)]
    assert [2.5] == [settled.seconds for settled in seen.of(BatchSettled)]


async def test_a_retry_is_seen_with_its_cause_and_its_wait(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """A request that fails is seen with its status and the error's type, and the retry with the back-off."""
    webcom_gateway.faults.script(Fault(close=True), Fault(status=503))
    async with connect(webcom_gateway, in_flight=1, observers=[seen]) as client:
        await client.send_all(phones(1), **SALE)

    place = {"campaign": "spring", "batch": 1}
    assert [
        AttemptFailed(**place, attempt=1, error="ConnectionLost"),
        AttemptFailed(**place, attempt=2, error="GatewayBusy"),
    ] == seen.of(AttemptFailed)
    assert [
        RequestRetried(**place, attempt=1, error="ConnectionLost", seconds=0.5 * 0.999),
        RequestRetried(**place, attempt=2, error="GatewayBusy", seconds=1.0 * 0.999),
    ] == seen.of(RequestRetried)
    assert [(2, 503), (3, 200)] == [(answered.attempt, answered.status) for answered in seen.of(BatchAnswered)]
    assert [1, 2, 3] == [sent.attempt for sent in seen.of(BatchSent)]


async def test_a_retry_after_is_seen_when_it_is_obeyed(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """The pause that the gateway asks for is an event."""
    webcom_gateway.faults.script(Fault(status=429, headers={"retry-after": "7"}))
    async with connect(webcom_gateway, observers=[seen]) as client:
        await client.send_all(phones(1), **SALE)

    assert [RetryAfterObeyed(campaign="spring", batch=1, attempt=1, seconds=7.0)] == seen.of(RetryAfterObeyed)


async def test_a_question_that_is_retried_is_seen(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """A call about the account has no campaign and no batch."""
    webcom_gateway.faults.script(Fault(status=429, headers={"retry-after": "7"}))
    async with connect(webcom_gateway, observers=[seen]) as client:
        await client.balance()

    assert [RetryAfterObeyed(campaign="", batch=0, attempt=1, seconds=7.0)] == seen.of(RetryAfterObeyed)
    assert ["a question: the next attempt waits 7 s, as Retry-After asks"] == list(map(str, seen.of(RetryAfterObeyed)))


async def test_a_change_of_the_limit_is_seen(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """The limit is halved when all requests are refused, and raised with the answers."""
    together = anyio.Event()
    webcom_gateway.faults.script(*[Fault(status=503, until=together)] * 4)
    async with connect(webcom_gateway, in_flight=4, observers=[seen]) as client, anyio.create_task_group() as calls:
        for phone in phones(4):
            calls.start_soon(lambda phone=phone: client.send(phone, "Code", sender="ACME"))
        await anyio.wait_all_tasks_blocked()
        together.set()

    changes = [LimitChanged(before=before, limit=limit) for before, limit in [(4, 2), (2, 3), (3, 4)]]
    assert changes == seen.of(LimitChanged)


async def test_a_low_retry_quota_is_seen_before_it_halts(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """The event comes once, when three quarters of the quota are spent, and before the halt."""
    webcom_gateway.faults.sometimes(1.0, Fault(status=503))
    async with connect(webcom_gateway, in_flight=1, retry_quota=4, observers=[seen]) as client:
        with pytest.raises(QuotaExhausted):
            await client.send_all(phones(3), **SALE)

    assert [RetryQuotaLow(campaign="spring", left=1)] == seen.of(RetryQuotaLow)
    assert ["QuotaExhausted"] == [halted.error for halted in seen.of(CampaignHalted)]
    assert seen.index(seen.of(RetryQuotaLow)[0]) < seen.index(seen.of(CampaignHalted)[0])


async def test_a_halt_is_seen_with_its_cause(connect: Connect, seen: Seen):
    """An empty account halts the campaign, and the end has the counts of all recipients."""
    async with connect(Gateway(Account(balance=0)), in_flight=1, observers=[seen]) as client:
        with pytest.raises(OutOfBalance):
            await client.send_all(phones(3), **SALE)

    assert [CampaignHalted(campaign="spring", error="OutOfBalance", reason=Reason.OUT_OF_SMS)] == seen.of(
        CampaignHalted
    )
    assert [(False, 0, 3)] == [(ended.complete, ended.accepted, ended.not_sent) for ended in seen.of(CampaignEnded)]


async def test_a_source_that_fails_halts_without_its_words(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """A caller's own exception may hold a phone, so the event has only its type."""

    def broken() -> Iterator[str]:
        yield "79612242243"
        raise ValueError("79612242244 is odd")

    async with connect(webcom_gateway, observers=[seen]) as client:
        with pytest.raises(ValueError, match="odd"):
            await client.send_all(broken(), **SALE)

    assert [CampaignHalted(campaign="spring", error="ValueError")] == seen.of(CampaignHalted)


async def test_a_resumed_campaign_is_seen_with_its_journal(
    connect: Connect, webcom_gateway: Gateway, seen: Seen, tmp_path: Path
):
    """The first run is new; the second has the number of recipients that the journal had settled."""
    sale = SALE | {"journal": tmp_path / "spring.journal"}
    async with connect(webcom_gateway, in_flight=1, batch_size=2, observers=[seen]) as client:
        await client.send_all(phones(4), **sale)
        assert [] == seen.of(CampaignResumed)
        seen.clear()
        await client.send_all(phones(5), **sale)

    assert [CampaignResumed(campaign="spring", from_journal=4)] == seen.of(CampaignResumed)
    assert [settled(1, 2, from_journal=2), settled(2, 2, from_journal=2), settled(3, 1)] == seen.of(BatchSettled)
    assert [(5, 4)] == [(ended.accepted, ended.from_journal) for ended in seen.of(CampaignEnded)]


async def test_a_campaign_that_is_left_early_is_seen_to_end(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """Recipients that were taken and did not leave are settled as not sent, and the end is not complete."""
    async with connect(webcom_gateway, in_flight=1, batch_size=1, observers=[seen]) as client:
        async with client.stream(phones(9), **SALE) as results:
            async for _ in results:
                break

    [ended] = seen.of(CampaignEnded)
    assert (False, results.report.outcomes[Outcome.ACCEPTED]) == (ended.complete, ended.accepted)
    assert ended is seen[-1]
    assert sum(results.report.outcomes.values()) == sum(
        each.accepted + each.rejected + each.unknown + each.not_sent for each in seen.of(BatchSettled)
    )


# ---------------------------------------------------------------------------- single sends


async def test_a_single_send_is_seen_on_its_way(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """It is queued, sent, answered and settled, under its id."""
    async with connect(webcom_gateway, in_flight=1, observers=[seen]) as client:
        await client.send("79612242243", **CODE)

    sms = {"client_id_sms": "101"}
    assert [
        SendQueued(**sms),
        SendSent(**sms, attempt=1, recipients=1),
        SendAnswered(**sms, attempt=1, status=200, seconds=0.0),
        SendSettled(**sms, outcome=Outcome.ACCEPTED, reason=Reason.NONE, attempts=1),
    ] == list(seen)


async def test_sends_that_share_a_request_are_seen_one_by_one(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """Each of them is sent, answered and settled under its own id."""
    async with connect(webcom_gateway, linger=0.005, observers=[seen]) as client:
        async with anyio.create_task_group() as tasks:
            for number, phone in enumerate(phones(2)):
                tasks.start_soon(
                    lambda phone=phone, id_=101 + number: client.send(phone, **CODE | {"client_id_sms": id_})
                )

    assert {("101", 2), ("102", 2)} == {(sent.client_id_sms, sent.recipients) for sent in seen.of(SendSent)}
    assert {"101", "102"} == {answered.client_id_sms for answered in seen.of(SendAnswered)}
    assert {"101", "102"} == {settled.client_id_sms for settled in seen.of(SendSettled)}


async def test_a_cancelled_send_is_seen_with_what_is_known(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """It may have been sent, and the event names the id under which to send again."""
    arrived = anyio.Event()
    webcom_gateway.faults.script(Fault(arrived=arrived, until=anyio.Event(), processed=True))
    async with connect(webcom_gateway, observers=[seen]) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.send("79612242243", **CODE))
            await arrived.wait()
            tasks.cancel_scope.cancel()

    assert [SendEnded(client_id_sms="101", outcome=Outcome.UNKNOWN)] == seen.of(SendEnded)


# ---------------------------------------------------------------------------- many workers, tracking


def plan() -> CampaignSettings:
    """Return the settings of a campaign of small batches and shards."""
    return CampaignSettings(campaign="spring", message=message("Sale!"), batch_size=5, shard_size=20)


async def test_a_workers_shard_is_seen_with_its_lease(
    connect: Connect, webcom_gateway: Gateway, seen: Seen, tmp_path: Path
):
    """A worker acquires the lease and ends the shard; its batches are not campaigns of their own."""
    async with SqliteStore(tmp_path) as store, connect(webcom_gateway, observers=[seen]) as client:
        await store.plan(plan(), phones(20))
        await Worker(client, store, "one").run_shard("spring", 1)

    assert ShardTaken(campaign="spring", shard=1, token=1) == seen[0]
    assert ShardEnded(campaign="spring", shard=1, ending=ShardOutcome.DONE.value) == seen[-1]
    assert [("spring", 5)] * 4 == [(settled.campaign, settled.accepted) for settled in seen.of(BatchSettled)]
    assert [] == seen.of(CampaignStarted) + seen.of(CampaignEnded) + seen.of(ShardTakenOver)


async def test_a_take_over_is_seen_with_the_former_holder(
    connect: Connect, webcom_gateway: Gateway, seen: Seen, tmp_path: Path
):
    """A worker that finds an expired lease replaces it, and the event names the former worker."""
    travel = Travel()
    async with (
        SqliteStore(tmp_path, clock=travel.clock()) as store,
        connect(webcom_gateway, observers=[seen]) as client,
    ):
        await store.plan(plan(), phones(20))
        await store.acquire("spring", 1, "dead", 60.0)
        travel.seconds += 61.0
        await Worker(client, store, "one").run_shard("spring", 1)

    assert [ShardTakenOver(campaign="spring", shard=1, token=2, holder="dead")] == seen.of(ShardTakenOver)


async def test_a_lost_lease_is_seen(connect: Connect, webcom_gateway: Gateway, seen: Seen, tmp_path: Path):
    """A worker whose shard was taken over reports the lost lease."""
    async with SqliteStore(tmp_path) as store, connect(webcom_gateway, observers=[seen]) as client:
        await store.plan(plan(), phones(20))
        lease = await store.acquire("spring", 1, "one", 0.3)
        assert lease is not None
        with pytest.raises(LeaseLost) as lost:
            async with LeaseKeeper(store, lease, client.observers):
                await store.acquire("spring", 1, "one", 60.0)
                await anyio.sleep_forever()

    assert [ShardLost(campaign="spring", shard=1, error=str(lost.value))] == seen.of(ShardLost)


async def test_a_worker_that_halts_a_campaign_is_seen_once(connect: Connect, seen: Seen, tmp_path: Path):
    """However many batches meet an empty account, one halt is seen, with the words that `status` shows."""
    async with (
        SqliteStore(tmp_path) as store,
        connect(Gateway(Account(balance=0)), observers=[seen]) as client,
    ):
        await store.plan(plan(), phones(20))
        await Worker(client, store, "one").run_shard("spring", 1)
        why = (await store.status("spring")).why

    assert [CampaignHalted(campaign="spring", error="OutOfBalance", reason=Reason.OUT_OF_SMS, why=why)] == seen.of(
        CampaignHalted
    )


async def test_tracking_is_seen_to_learn_and_to_pause(connect: Connect, seen: Seen, tmp_path: Path):
    """Each new state is an event of its SMS, and a gateway that cannot be reached is one too."""
    travel = Travel()
    gateway = Gateway(now=travel.now)
    journal = tmp_path / "spring.journal"
    async with connect(gateway, clock=travel.clock(), attempts=1, observers=[seen]) as client:
        await client.send_all([Recipient("79612242243", 101)], journal=journal, **SALE)
        gateway.faults.script(Fault(status=503))
        async with client.track(journal, campaign="spring") as changes:
            [change] = [change async for change in changes if change.report.final]

    assert [TrackingPaused(campaign="spring", error="GatewayBusy", failures=1)] == seen.of(TrackingPaused)
    assert (
        DeliveryChanged(
            campaign="spring",
            client_id_sms="101",
            id_sms=change.report.id_sms,
            state=DeliveryState.DELIVER,
            overdue=False,
        )
        == seen.of(DeliveryChanged)[-1]
    )


# ---------------------------------------------------------------------------- the log, and observers of all kinds


async def test_the_log_observes_events(
    connect: Connect, webcom_gateway: Gateway, seen: Seen, caplog: pytest.LogCaptureFixture
):
    """A record's message is the event's sentence; its name and fields are attributes of the record."""
    caplog.set_level(logging.DEBUG, "webcom_async")
    webcom_gateway.faults.script(Fault(close=True))
    async with connect(webcom_gateway, observers=[seen]) as client:
        await client.send_all(phones(2), **SALE)
        await client.send("79612242245", **CODE)

    records = [record for record in caplog.records if record.name == "webcom_async"]
    assert [(str(event), event.level) for event in seen] == [(each.getMessage(), each.levelno) for each in records]
    assert [event.fields for event in seen] == [
        {name: vars(record)[name] for name in event.fields} for event, record in zip(seen, records, strict=True)
    ]


async def test_a_level_that_is_off_is_not_logged(
    connect: Connect, webcom_gateway: Gateway, caplog: pytest.LogCaptureFixture
):
    """At INFO a campaign is two records, however many batches it has."""
    caplog.set_level(logging.INFO, "webcom_async")
    async with connect(webcom_gateway, batch_size=1) as client:
        await client.send_all(phones(9), **SALE)

    assert ["campaign_started", "campaign_ended"] == [vars(record)["event"] for record in caplog.records]


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_has_a_sentence_and_a_name(kind: type[Event]):
    """The fields fill the sentence, can be written as JSON, and clash with no attribute of a log record."""
    fields = {field.name: _example(field.type) for field in msgspec.structs.fields(kind)}
    event = kind(**fields)

    assert str(event).strip()
    assert "{" not in str(event)
    assert event.name.islower()
    assert {"event": event.name} | event.fields == msgspec.json.decode(msgspec.json.encode(event))
    assert set() == set(event.fields) & {*vars(logging.makeLogRecord({})), "message", "asctime"}


def _example(kind: Any) -> Any:
    kind = getattr(kind, "__supertype__", kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    return {str: "spring", int: 3, float: 1.5, bool: True}.get(kind)


async def test_an_observer_that_raises_harms_nothing(
    connect: Connect, webcom_gateway: Gateway, seen: Seen, caplog: pytest.LogCaptureFixture
):
    """Recipients get their SMS, other observers see everything, and the log has the failure once, as a traceback."""

    def broken(event: Event) -> None:
        raise RuntimeError(event.name)

    webcom_gateway.faults.script(Fault(status=503))
    async with connect(webcom_gateway, batch_size=2, observers=[broken, seen]) as client:
        report = await client.send_all(phones(9), **SALE)

    failures = [record for record in caplog.records if vars(record)["event"] == "observer_failed"]
    assert (True, 9) == (report.complete, len(webcom_gateway.ledger))
    assert 5 == len(seen.of(BatchSettled))
    assert [("RuntimeError", True)] == [(vars(each)["error"], each.exc_info is not None) for each in failures]
    assert "broken" in failures[0].getMessage()


async def test_an_observer_whose_future_was_cancelled_cancels_nothing(
    connect: Connect, webcom_gateway: Gateway, caplog: pytest.LogCaptureFixture
):
    """A cancellation that an observer raises ends neither a campaign nor a single send, and is logged as a failure."""

    def looks_into_a_cancelled_future(event: Event) -> None:
        raise asyncio.CancelledError(event.name)

    async with connect(webcom_gateway, batch_size=2, observers=[looks_into_a_cancelled_future]) as client:
        report = await client.send_all(phones(9), **SALE)
        result = await client.send("79612242243", key="code", **SALE)

    failures = [vars(each)["error"] for each in caplog.records if vars(each)["event"] == "observer_failed"]
    assert (True, 10) == (report.complete, len(webcom_gateway.ledger))
    assert Outcome.ACCEPTED is result.outcome
    assert ["CancelledError"] == failures


async def test_a_log_filter_that_raises_harms_nothing(connect: Connect, webcom_gateway: Gateway, seen: Seen):
    """The log is an observer too, so its failure is contained."""

    def broken(_record: logging.LogRecord) -> bool:
        raise RuntimeError

    logger = logging.getLogger("webcom_async")
    logger.addFilter(broken)
    try:
        async with connect(webcom_gateway, observers=[seen]) as client:
            report = await client.send_all(phones(2), **SALE)
    finally:
        logger.removeFilter(broken)

    assert report.complete
    assert 1 == len(seen.of(CampaignEnded))


async def coroutine(_event: Event) -> None:
    """Return an awaitable, which an observer may not do."""


class Awaitable:
    """An object whose call must be awaited."""

    async def __call__(self, event: Event) -> None:
        raise AssertionError(event)


@pytest.mark.parametrize("observer", [coroutine, Awaitable(), "a word", None])
async def test_what_cannot_observe_is_refused(connect: Connect, webcom_gateway: Gateway, observer: Any):
    """A coroutine function, or an object that cannot be called, is an error when the client is made."""
    with pytest.raises(ConfigurationError, match="an observer is"):
        async with connect(webcom_gateway, observers=[observer]):
            raise AssertionError("never opened")


# ---------------------------------------------------------------------------- what events do not do


async def test_no_event_or_record_holds_a_phone_a_text_or_a_credential(
    connect: Connect, webcom_gateway: Gateway, seen: Seen, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    """Campaigns, retries, refusals, single sends, workers and tracking put nothing private into an event."""
    private = ["private words", "s3cr3t-t0k3n", *phones(30)]
    caplog.set_level(logging.DEBUG)
    webcom_gateway.accounts[0].token = "s3cr3t-t0k3n"
    webcom_gateway.accounts[0].stop_list = {"79612242246"}
    webcom_gateway.faults.script(Fault(close=True), Fault(status=503), Fault(body=b"79612242243"), Fault(status=413))
    sale = SALE | {"text": "private words", "journal": tmp_path / "spring.journal"}
    async with connect(webcom_gateway, batch_size=4, observers=[seen]) as client:
        await client.send_all([*phones(9), "no phone"], **sale)
        await client.send_all(phones(30), **sale)
        await client.send("79612242243", "private words", sender="ACME")
        async with SqliteStore(tmp_path / "store") as store:
            await store.plan(msgspec.structs.replace(plan(), message=message("private words")), phones(20))
            await Worker(client, store, "one").run_shard("spring", 1)

    assert {"campaign_resumed", "request_retried", "send_settled", "shard_ended"} <= {event.name for event in seen}
    records = [record for record in caplog.records if record.name == "webcom_async"]
    assert len(seen) == len(records)
    told = [f"{event!r} {event}" for event in seen] + [f"{each.getMessage()} {vars(each)}" for each in records]
    assert [] == [(word, text) for word in private for text in told if word in text]


@contextmanager
def calls_counted() -> Iterator[list[str]]:
    """Count the calls of Python functions that handle events."""
    calls: list[str] = []

    def profile(frame: FrameType, what: str, _argument: object) -> None:
        if what == "call" and Path(frame.f_code.co_filename).parent.name == "_events":  # not asyncio's `base_events.py`
            calls.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(before)


async def test_events_cost_nothing_per_recipient(
    connect: Connect, webcom_gateway: Gateway, caplog: pytest.LogCaptureFixture
):
    """Without an observer, and with the log off, a batch of 500 makes as many calls as one of 5, and no sentence."""
    caplog.set_level(logging.CRITICAL, logger="webcom_async")
    counts = []
    async with connect(webcom_gateway, batch_size=500, in_flight=1) as client:
        for count in (5, 500):
            with calls_counted() as calls:
                await client.send_all(phones(count), text="Sale!", sender="ACME")
            counts.append(len(calls))

    assert counts[0] == counts[1] > 0
    assert not {"__str__", "fields"} & set(calls)
