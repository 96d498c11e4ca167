"""The public surface as callers use it: checked by two type checkers, never run."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, assert_type

import httpx2

from webcom_async import (
    Balance,
    Channel,
    Delivery,
    DeliveryReport,
    Message,
    Outcome,
    Pace,
    Reason,
    Recipient,
    Report,
    SendResult,
    TrackReport,
    WebcomClient,
)
from webcom_async.audience import Audience, Audit, ColumnNames, StopList
from webcom_async.audience.phonebook import PhoneBook
from webcom_async.audience.templates import Template
from webcom_async.emulator import Gateway, GatewayTransport
from webcom_async.files import Row, open_table
from webcom_async.postgres import PostgresStore
from webcom_async.scaleout import CampaignSettings, CampaignStore
from webcom_async.segments import Segments, count_parts, segments, suggestions
from webcom_async.webhooks import Limits, ReportFile, WebhookApp, acknowledge, parse


def some() -> Iterator[Recipient]:
    """Recipients from a generator."""
    yield Recipient("79612242243", key="order 17", text="Your order is ready")


async def more() -> AsyncIterator[str]:
    """Phones from an async generator."""
    yield "79612242243"


async def one(client: WebcomClient) -> None:
    """One message."""
    result = await client.send("+7 961 224-22-43", "Code 1234", sender="ACME")
    assert_type(result, SendResult)
    assert_type(result.outcome, Outcome)
    assert_type(result.reason, Reason)
    assert_type(result.id_sms, str | None)


async def many(client: WebcomClient) -> None:
    """A campaign, in every form that a source may have."""
    until = datetime.now(UTC) + timedelta(hours=2)
    async with client.stream(more(), text="Sale!", sender="ACME", validity_period=until) as results:
        async for result in results:
            assert_type(result, SendResult)
        async for batch in results.batches():
            assert_type(batch, list[SendResult])
    message = Message(type_send_1=Channel.VIBER, sender="ACME", text="Sale!", button_viber="Go")
    assert_type(await client.send_all(some(), message=message, campaign="spring"), Report)
    assert_type(await client.send_all([79612242243, "79612242244"], text="Sale!", sender="ACME"), Report)


async def delivery(client: WebcomClient) -> None:
    """Delivery reports, by questions and by webhooks."""
    async for report in client.statuses(["82216", 82217]):
        assert_type(report, DeliveryReport)
        assert_type(report.price, Decimal | None)
    assert_type(await client.balance(), Balance)
    async with client.track("spring.journal", campaign="spring", reports="reports.db", pace=Pace(first=60)) as changes:
        async for change in changes:
            assert_type(change, Delivery)
        assert_type(changes.report, TrackReport)
    async with ReportFile("reports.db") as reports:
        WebhookApp(reports, secret="s" * 16, limits=Limits(max_bytes=1_000), allowed=["192.0.2.0/24"])
        assert_type(await reports.commit(parse(b"[]")), Sequence[DeliveryReport])
        assert_type(acknowledge(parse(b"[]")), bytes)


async def clients() -> None:
    """Every way to make a client."""
    WebcomClient.from_env(in_flight=8)
    WebcomClient(login="login", password="password", base_url="https://my3.webcom.mobi", path="/json/")
    WebcomClient(token="token", http_client=httpx2.AsyncClient())
    gateway = Gateway()
    WebcomClient(token=gateway.token, transport=GatewayTransport(gateway))


async def from_a_file(client: WebcomClient) -> None:
    """A campaign from a file, checked before it is sent."""
    names = ColumnNames(phone="mobile", key="order")
    people = Audience("people.csv", "Hello, {name}!", columns=names, normalise=PhoneBook("DE").normalise)
    audit = people.check(print)
    assert_type(audit, Audit)
    assert_type(audit.bad[0].line, int)
    assert_type(await client.send_all(people.recipients(), sender="ACME", campaign="spring"), Report)
    Audience(open_table("people.jsonl"), "Sale!", stopped=StopList.from_file("stopped.txt"))
    for row in open_table("people.parquet").rows():
        assert_type(row, Row)
        assert_type(Template("Hello, {name}!").bind(["name"]).render(row.cells), str)


async def on_many_hosts(client: WebcomClient) -> None:
    """A journal on PostgreSQL, which is a store of campaigns too."""
    async with PostgresStore("postgresql://webcom@127.0.0.1/webcom") as store:
        planned: CampaignStore = store
        assert_type(await planned.plan(CampaignSettings(campaign="spring"), ["79612242243"]), int)
        assert_type(await client.send_all(["79612242243"], text="Sale!", campaign="summer", journal=store), Report)
        assert_type(await store.counts("summer"), dict[Outcome, int])
        assert_type([row async for row in store.export("summer")], list[dict[str, Any]])


def of_texts() -> None:
    """What a text costs."""
    assert_type(segments("Sale!"), Segments)
    assert_type(count_parts("Sale!"), int)
    assert_type([offered.text for offered in suggestions("Sale!")], list[str])
