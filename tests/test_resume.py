"""Campaigns with a journal: what a second run sends, and what it claims."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from tests.builders import NOW, phones, send_request, still_clock
from tests.conftest import Connect
from webcom_async import (
    AccountLocked,
    IdCollision,
    IdScheme,
    InputError,
    JournalError,
    Message,
    Outcome,
    OutOfBalance,
    Phone,
    Reason,
    Recipient,
    SendResult,
    SystematicRefusal,
    WebcomClient,
)
from webcom_async.emulator import Behaviour, Fault, Faults, Gateway, GatewayTransport, Received
from webcom_async.journal import CampaignFile, CampaignHeader, OutboundRecipient, campaigns, export, fingerprint

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME", "campaign": "spring"}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return where a journal may be."""
    return tmp_path / "spring.journal"


async def run(
    connect: Connect, gateway: Gateway, journal: Path, count: int = 40, **options: object
) -> list[SendResult]:
    """Run the campaign and return its results in the order of phones."""
    async with (
        connect(gateway, **({"batch_size": 5} | options)) as client,
        client.stream(phones(count), journal=journal, **SALE) as results,
    ):
        return sorted([result async for result in results], key=lambda result: result.phone)


def offered(gateway: Gateway) -> list[str]:
    """Return the phones of all requests, in order."""
    return [str(recipient.phone) for request in gateway.received for recipient in request.recipients]


async def test_a_second_run_sends_nothing_and_returns_the_same(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """A second run takes settled recipients' results from the journal, and makes no request."""
    webcom_gateway.accounts[0].stop_list = {"79612242250"}
    first = await run(connect, webcom_gateway, journal)
    before = webcom_gateway.requests
    second = await run(connect, webcom_gateway, journal)

    assert first == second
    assert 39 == len(webcom_gateway.ledger)
    assert before == webcom_gateway.requests


async def test_a_first_run_makes_no_rows(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A first run writes two log entries per batch, whatever the answers; the next run makes rows, and no reader."""
    webcom_gateway.accounts[0].stop_list = {"79612242250"}
    await run(connect, webcom_gateway, journal)

    assert (0, 16) == rows_and_entries(journal)
    [stored] = campaigns(journal)
    assert (39, 1) == (stored.counts[Outcome.ACCEPTED], stored.counts[Outcome.REJECTED])
    assert (0, 16) == rows_and_entries(journal)

    await run(connect, webcom_gateway, journal)
    assert (40, 0) == rows_and_entries(journal)


async def test_a_campaign_that_is_left_makes_no_rows(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """Leaving early makes no rows, however long the log is, and loses no recipient."""
    async with connect(webcom_gateway, batch_size=5) as client:
        async with client.stream(phones(400), journal=journal, **SALE) as results:
            await anext(results)
        asked = results.report.recipients - results.report.not_sent

    rows, entries = rows_and_entries(journal)
    assert 0 == rows
    assert 0 < entries
    assert asked == sum(campaigns(journal)[0].counts.values())


def rows_and_entries(journal: Path) -> tuple[int, ...]:
    """Return how many recipients a file has as rows, and how many entries its log has."""
    with closing(sqlite3.connect(journal)) as db:
        return tuple(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("recipients", "log"))


async def test_a_second_run_sends_to_the_rest_only(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """After a campaign that ran out of money, the next run sends only to recipients that were not sent to."""
    webcom_gateway.accounts[0].balance = 17
    with pytest.raises(OutOfBalance):
        await run(connect, webcom_gateway, journal, in_flight=1)
    [stored] = campaigns(journal)
    sent = {sms.phone for sms in webcom_gateway.ledger.sent}
    webcom_gateway.accounts[0].balance = None
    webcom_gateway.received.clear()
    results = await run(connect, webcom_gateway, journal)

    assert (17, 0) == (stored.counts[Outcome.ACCEPTED], stored.counts[Outcome.UNKNOWN])
    assert not sent & set(offered(webcom_gateway))
    assert [Outcome.ACCEPTED] * 40 == [result.outcome for result in results]
    assert webcom_gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in results}


async def test_a_report_counts_recipients_that_were_settled_before(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """A report counts recipients from the journal apart from those that this run settled."""
    webcom_gateway.accounts[0].balance = 17
    reports = []
    for _ in range(2):
        async with connect(webcom_gateway, batch_size=5, in_flight=1) as client:
            with pytest.raises(OutOfBalance) as halted:
                await client.send_all(phones(40), journal=journal, **SALE)
        reports.append(halted.value.report)
    webcom_gateway.accounts[0].balance = None
    async with connect(webcom_gateway) as client:
        reports.append(await client.send_all(phones(40), journal=journal, **SALE))

    assert [(0, 17), (17, 17), (17, 40)] == [(report.from_journal, report.accepted) for report in reports if report]
    assert "; 17 from the journal; " in str(reports[2])
    assert "journal" not in str(reports[0])


async def test_settled_recipients_after_a_halt_come_from_the_journal_too(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """After a halt no recipient is sent to, and results from the journal are returned and counted as such."""
    await run(connect, webcom_gateway, journal, count=30)
    webcom_gateway.accounts[0].balance = 0
    # The first request has one of the recipients that were taken from the source together.
    async with connect(webcom_gateway, batch_bytes=1, in_flight=1) as client:
        with pytest.raises(OutOfBalance) as halted:
            await client.send_all([*phones(40)][::-1], journal=journal, **SALE)

    report = halted.value.report
    assert report is not None
    assert (30, 30, 10) == (report.from_journal, report.accepted, report.not_sent)


async def test_what_was_unknown_is_asked_again_under_its_id(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """The next run gets an answer that was lost, without a second SMS."""
    webcom_gateway.faults.sometimes(1.0, Fault(close=True, processed=True))
    first = await run(connect, webcom_gateway, journal, count=5, attempts=1)
    second = await run(connect, Gateway(), journal, count=0)
    gateway = webcom_gateway
    gateway.faults = type(gateway.faults)()
    third = await run(connect, gateway, journal, count=5)

    assert ({Outcome.UNKNOWN}, []) == ({result.outcome for result in first}, second)
    assert {Outcome.ACCEPTED} == {result.outcome for result in third}
    assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in third}
    assert 5 == len(gateway.ledger)


@pytest.mark.parametrize("leave_after", [0, 1, 7])
async def test_leaving_early_and_running_again_reaches_everyone_once(
    connect: Connect, webcom_gateway: Gateway, journal: Path, leave_after: int
):
    """A campaign that was left by `break` is finished by the same call, with one SMS each."""
    async with connect(webcom_gateway, batch_size=5) as client:
        async with client.stream(phones(40), journal=journal, **SALE) as results:
            for _ in range(leave_after):
                await anext(results)
        results_again = await run(connect, webcom_gateway, journal)

    assert 40 == len(results_again) == len(webcom_gateway.ledger)
    assert not webcom_gateway.ledger.billed_twice()
    assert 0 == webcom_gateway.ledger.repeats


async def test_who_is_settled_stays_so_when_the_next_run_is_left(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """A second run that is left early reports every settled recipient as the first run did."""
    await run(connect, webcom_gateway, journal, count=60)
    async with connect(webcom_gateway, batch_size=20, batch_bytes=400) as client:
        async with client.stream(phones(60), journal=journal, **SALE) as results:
            await anext(results)

    assert results.unread
    assert {Outcome.ACCEPTED} == {result.outcome for result in results.unread}


async def test_only_a_recipient_that_was_sent_alone_is_rejected(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """A halving that is cut short leaves the others not sent, and the next run reaches them."""
    webcom_gateway.accounts[0].balance = 0
    webcom_gateway.faults.script(Fault(status=400, body=b'{"error":"Incorrect JSON document format"}'))
    with pytest.raises(OutOfBalance) as caught:
        await run(connect, webcom_gateway, journal, count=4, batch_size=4, in_flight=1)
    webcom_gateway.accounts[0].balance = None
    results = await run(connect, webcom_gateway, journal, count=4, batch_size=4)

    assert caught.value.report is not None
    assert (4, 0) == (caught.value.report.not_sent, caught.value.report.rejected)
    assert [Outcome.ACCEPTED] * 4 == [result.outcome for result in results]


@pytest.mark.parametrize("refusal", [Fault(status=413), Fault(status=400, body=b'{"error":"strange"}')])
@pytest.mark.parametrize("alone", [True, False])
async def test_a_refused_request_does_not_settle_what_an_earlier_run_left_unknown(
    connect: Connect, webcom_gateway: Gateway, journal: Path, refusal: Fault, *, alone: bool
):
    """A possibly sent recipient stays unknown until the gateway gives its first `id_sms`."""
    webcom_gateway.faults.script(Fault(close=True, processed=True))
    await run(connect, webcom_gateway, journal, count=1, attempts=1)
    webcom_gateway.faults.script(refusal)
    async with connect(webcom_gateway) as client:
        again = (
            client.reconcile(journal, campaign="spring") if alone else client.stream(phones(1), journal=journal, **SALE)
        )
        async with again as results:
            [possibly_sent] = [result async for result in results]
    [final] = await run(connect, webcom_gateway, journal, count=1)

    assert (Outcome.UNKNOWN, Outcome.ACCEPTED) == (possibly_sent.outcome, final.outcome)
    assert [final.id_sms] == [sms.id_sms for sms in webcom_gateway.ledger.sent]


async def test_a_stopped_sender_does_not_hide_who_has_an_sms(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A recipient that an earlier run reached is reported as accepted, even if its sender is stopped now."""
    await run(connect, webcom_gateway, journal, count=2, in_flight=1, batch_size=2)
    webcom_gateway.accounts[0].senders = set()
    people = [*list(phones(4))[2:], *phones(2)]
    async with connect(webcom_gateway, in_flight=1, batch_size=2) as client:
        async with client.stream(people, journal=journal, **SALE) as results:
            seen = {result.phone: result.outcome async for result in results}

    assert [Outcome.ACCEPTED] * 2 + [Outcome.REJECTED] * 2 == [seen[phone] for phone in phones(4)]


async def test_a_recipient_with_an_sms_stays_accepted_after_its_time_has_passed(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """A `validity_period` that passes between two runs stops only recipients that the first did not send to."""
    soon = NOW + timedelta(hours=1)
    own = [Recipient(phone, validity_period=soon) for phone in phones(4)]
    async with connect(webcom_gateway) as client:
        await client.send_all(own[:2], journal=journal, **SALE)
    async with connect(webcom_gateway, clock=still_clock(now=lambda: soon)) as client:
        async with client.stream(own, journal=journal, **SALE) as results:
            seen = {result.phone: result async for result in results}

    assert [Outcome.ACCEPTED] * 2 + [Outcome.NOT_SENT] * 2 == [seen[phone].outcome for phone in phones(4)]
    assert [Reason.BAD_TIME] * 2 == [seen[phone].reason for phone in list(phones(4))[2:]]
    assert all(result.client_id_sms for result in seen.values())
    assert 2 == len(webcom_gateway.ledger)


async def test_a_call_whose_time_has_passed_returns_what_the_journal_has(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """The same call after its time returns the settled results, and sends to no other recipient."""
    soon = NOW + timedelta(hours=1)
    async with connect(webcom_gateway) as client:
        await client.send_all(phones(3), journal=journal, validity_period=soon, **SALE)
    async with connect(webcom_gateway, clock=still_clock(now=lambda: soon)) as client:
        report = await client.send_all(phones(5), journal=journal, validity_period=soon, **SALE)

    assert (3, 2) == (report.accepted, report.not_sent)
    assert 3 == len(webcom_gateway.ledger)


async def test_a_first_run_whose_time_has_passed_is_refused(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A past time on a new campaign is an error on entering, and the corrected call can follow."""
    async with connect(webcom_gateway) as client:
        for _ in range(2):
            with pytest.raises(InputError, match=r"validity_period .* is past"):
                await client.send_all(phones(3), journal=journal, validity_period=NOW, **SALE)
        report = await client.send_all(phones(3), journal=journal, **SALE)

    assert 3 == report.accepted == len(webcom_gateway.ledger)


async def test_an_unknown_recipient_makes_no_other_unknown(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """New recipients in a batch with an unknown one are not sent after a halt, and only that one stays unknown."""
    webcom_gateway.faults.script(Fault(close=True, processed=True))
    await run(connect, webcom_gateway, journal, count=1, attempts=1)
    webcom_gateway.accounts[0].locked = True
    with pytest.raises(AccountLocked) as caught:
        await run(connect, webcom_gateway, journal, count=5)

    report = caught.value.report
    assert report is not None
    assert (1, 4) == (report.unknown, report.not_sent)


async def test_without_a_journal_too_an_unknown_recipient_stays_unknown(connect: Connect, webcom_gateway: Gateway):
    """A phone whose answer was lost stays unknown, even if its sender is stopped before it comes again."""
    webcom_gateway.faults.script(Fault(close=True, processed=True))

    async def source() -> AsyncIterator[str]:
        yield "79612242243"
        webcom_gateway.accounts[0].senders = set()
        yield "79612242244"
        yield "79612242243"

    async with connect(webcom_gateway, batch_size=1, in_flight=1, attempts=1) as client:
        async with client.stream(source(), **SALE) as results:
            outcomes = [result.outcome async for result in results]

    assert 1 == len(webcom_gateway.ledger)
    assert [Outcome.UNKNOWN, Outcome.REJECTED, Outcome.UNKNOWN] == outcomes


@pytest.mark.parametrize("way", ["reconcile", "left at once", "source raises"])
async def test_an_unknown_recipient_stays_so_in_a_run_that_never_comes_to_it(
    connect: Connect, webcom_gateway: Gateway, journal: Path, way: str
):
    """A recipient that a killed run left reserved is unknown, however early the next run ends, and is sent again."""

    def raising() -> Iterator[str]:
        yield from phones(12)
        raise LookupError("the file ends here")

    async with connect(webcom_gateway, batch_size=3, in_flight=1) as client:
        killed_run(journal, webcom_gateway, 12)
        if way == "reconcile":
            async with client.reconcile(journal, campaign="spring") as results:
                await anext(results)
        elif way == "left at once":
            async with client.stream(phones(12), journal=journal, **SALE) as results:
                pass
        else:
            with pytest.raises(LookupError):
                await client.send_all(raising(), journal=journal, **SALE)
        report = await client.send_all(phones(12), journal=journal, **SALE)

    assert 12 == report.accepted == len(webcom_gateway.ledger)
    [stored] = campaigns(journal)
    assert (12, 0) == (stored.counts[Outcome.ACCEPTED], stored.counts[Outcome.NOT_SENT])


async def test_an_id_that_another_campaign_has_used_is_refused(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """An id that another campaign used is refused: the gateway would answer with that campaign's `id_sms`."""
    here = {"text": "Sale!", "sender": "ACME", "campaign": "a", "journal": journal}
    async with connect(webcom_gateway) as client:
        webcom_gateway.accounts[0].balance = 0
        with pytest.raises(OutOfBalance):
            await client.send_all([Recipient("79612242243", 1001)], **here)
        webcom_gateway.accounts[0].balance = None
        await client.send_all([Recipient("79612249999", 1001)], **(here | {"campaign": "b"}))
        async with client.stream([Recipient("79612242243", 1001)], **here) as results:
            [result] = [result async for result in results]

    assert (Outcome.NOT_SENT, Reason.ID_REUSED) == (result.outcome, result.reason)
    assert ["79612249999"] == [sms.phone for sms in webcom_gateway.ledger.sent]


async def test_an_unknown_result_of_any_campaign_counts(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """An id that is unknown in the second of three campaigns stays unknown in the third."""
    person = [Recipient("79612242243", 1001)]
    here = {"text": "Sale!", "sender": "ACME", "journal": journal}
    async with connect(webcom_gateway, attempts=1) as client:
        webcom_gateway.faults.script(Fault(close=True, processed=True))
        await client.send_all(person, campaign="a", **here)
        await client.send_all(person, campaign="b", **here)
        webcom_gateway.accounts[0].locked = True
        with pytest.raises(AccountLocked) as caught:
            await client.send_all(person, campaign="c", **here)

    report = caught.value.report
    assert report is not None
    assert (1, 0) == (report.unknown, report.not_sent)


async def test_an_id_that_is_unknown_in_another_campaign_is_unknown_here_too(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """A recipient that another campaign possibly sent to under its id is not claimed to be not sent."""
    webcom_gateway.faults.script(Fault(close=True, processed=True))
    here = {"text": "Sale!", "sender": "ACME", "campaign": "a", "journal": journal}
    async with connect(webcom_gateway, attempts=1) as client:
        await client.send_all([Recipient("79612242243", 1001)], **here)
        webcom_gateway.accounts[0].locked = True
        with pytest.raises(AccountLocked) as caught:
            await client.send_all([Recipient("79612242243", 1001)], **(here | {"campaign": "b"}))

    report = caught.value.report
    assert report is not None
    assert (1, 0) == (report.unknown, report.not_sent)


async def test_a_refused_first_run_does_not_bind_the_name(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A run that is refused before it begins leaves no header, so the next run may use other settings."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="is past"):
            await client.send_all(phones(3), journal=journal, validity_period=NOW, **SALE)
        report = await client.send_all(phones(3), journal=journal, **(SALE | {"text": "Sale, cheaper!"}))

    assert 3 == report.accepted


@pytest.mark.parametrize("turns", range(0, 60, 4))
def test_a_natively_cancelled_campaign_closes_its_journal(journal: Path, turns: int):
    """A task that asyncio cancels without waiting for its thread frees the journal's file soon."""

    async def cancelled() -> None:
        gateway = Gateway()
        async with WebcomClient(token=gateway.token, transport=GatewayTransport(gateway), batch_size=5) as client:
            task = asyncio.ensure_future(client.send_all(phones(40), journal=journal, **SALE))
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            task.cancel()
            await asyncio.wait([task])
            with anyio.fail_after(5):
                while True:
                    try:
                        await client.send_all(phones(40), journal=journal, **SALE)
                    except JournalError:
                        await asyncio.to_thread(lambda: None)
                    else:
                        return

    asyncio.run(cancelled())


def killed_run(journal: Path, gateway: Gateway, count: int) -> None:
    """Leave a journal as `kill -9` leaves it: every recipient reserved and sent to, and none settled."""
    said = Message(sender=SALE["sender"], text=SALE["text"])
    ids = IdScheme(SALE["campaign"])
    people = [OutboundRecipient(Phone(phone), ids.derive(Phone(phone))) for phone in phones(count)]
    header = CampaignHeader(campaign=SALE["campaign"], id_bits=63, fingerprint=fingerprint(said, SALE["sender"]))
    with CampaignFile(journal, header, now=lambda: NOW) as left:
        left.reserve([(said, people)])
    body = send_request([(said, people)], token=gateway.token).body
    gateway.process(Received("POST", "/json", {}, body))


async def test_a_recipient_refused_for_a_reason_that_is_gone_is_sent_again(
    connect: Connect, webcom_gateway: Gateway, journal: Path
):
    """`resend_rejected` sends again to recipients that were rejected for the given reasons, and to no others."""
    *_, last = phones(301)
    webcom_gateway.accounts[0].stop_list = {last}
    async with connect(webcom_gateway) as client:
        await client.send_all([last], journal=journal, **SALE)
    refusal = b'{"information":[%s]}' % b",".join([b'{"error":"Contract is on hold"}'] * 5)
    webcom_gateway.faults.script(*[Fault(body=refusal)] * 40)
    with pytest.raises(SystematicRefusal):
        await run(connect, webcom_gateway, journal, count=301, in_flight=1)
    webcom_gateway.faults = Faults()
    async with connect(webcom_gateway) as client:
        report = await client.send_all(phones(301), journal=journal, resend_rejected={Reason.OTHER}, **SALE)

    assert (300, 1) == (report.accepted, report.rejected)
    assert 300 == len(webcom_gateway.ledger)
    assert 0 == webcom_gateway.ledger.repeats


async def test_resending_rejected_recipients_needs_a_journal(connect: Connect, webcom_gateway: Gateway):
    """Without a journal no earlier rejections are known, so `resend_rejected` is refused."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="give journal= too"):
            client.stream(phones(1), resend_rejected={Reason.OTHER}, **SALE)


@pytest.mark.parametrize("reasons", ["other", {"other"}, Reason.OTHER])
async def test_reasons_are_named_by_reasons(connect: Connect, webcom_gateway: Gateway, journal: Path, reasons: object):
    """Anything but a collection of reasons is refused before anything is opened."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="collection of Reasons"):
            client.stream(phones(1), journal=journal, resend_rejected=reasons, **SALE)

    assert not journal.exists()


async def test_cancellation_at_every_step_leaves_a_journal_that_resumes(connect: Connect, tmp_path: Path):
    """Cancelled after 0, 1, 2, … turns of the loop and run again, everyone has one SMS and the right `id_sms`."""
    for turns in range(0, 120, 3):
        gateway, journal = Gateway(), tmp_path / f"{turns}.journal"
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_after, turns, scope)
                await run(connect, gateway, journal, count=6, batch_size=2, grace=0)
                group.cancel_scope.cancel()
        results = await run(connect, gateway, journal, count=6, batch_size=2)

        assert gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in results}
        assert 6 == len(gateway.ledger)
        assert not gateway.ledger.billed_twice()


async def _cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


async def test_reconcile_asks_for_the_unknown_alone(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """Each unknown recipient is sent again alone, with the same message, and is settled without a second SMS."""
    webcom_gateway.faults.script(Fault(close=True, processed=True), Fault(close=True))
    async with connect(webcom_gateway, batch_size=3, in_flight=1, attempts=1) as client:
        async with client.stream(phones(9), journal=journal, **SALE) as results:
            first = [result async for result in results]
        webcom_gateway.received.clear()
        async with client.reconcile(journal, campaign="spring") as results:
            learnt = [result async for result in results]

    unknown = {result.phone for result in first if result.outcome is Outcome.UNKNOWN}
    assert unknown
    assert unknown == {result.phone for result in learnt}
    assert {1} == {request.body.count(b'"phone":') for request in webcom_gateway.received}
    assert {Outcome.ACCEPTED} == {result.outcome for result in learnt}
    assert 9 == len(webcom_gateway.ledger)
    assert not webcom_gateway.ledger.billed_twice()


async def test_reconcile_of_a_settled_campaign_sends_nothing(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """When every recipient is settled, `reconcile` makes no request."""
    await run(connect, webcom_gateway, journal)
    before = webcom_gateway.requests
    async with connect(webcom_gateway) as client, client.reconcile(journal, campaign="spring") as results:
        learnt = [result async for result in results]

    assert ([], before) == (learnt, webcom_gateway.requests)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": "Sale, cheaper!"}, "spring"),
        ({"sender": "OTHER"}, "spring"),
    ],
)
async def test_another_campaign_under_the_same_name_is_refused(
    connect: Connect, webcom_gateway: Gateway, journal: Path, change: dict, words: str
):
    """A text or sender that differs from the first run is refused before anything is sent."""
    await run(connect, webcom_gateway, journal, count=3)
    before = webcom_gateway.requests
    async with connect(webcom_gateway) as client:
        with pytest.raises(JournalError, match=words):
            await client.send_all(phones(3), journal=journal, **(SALE | change))

    assert before == webcom_gateway.requests


async def test_an_id_for_another_message_is_refused(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A gateway would silently swallow a different message under a used id: the journal says so instead."""
    async with connect(webcom_gateway) as client:
        call = {"sender": "ACME", "campaign": "orders", "journal": journal}
        await client.send_all([Recipient("79612242243", 101, text="Order 1")], **call)
        async with client.stream([Recipient("79612242243", 101, text="Order 2")], **call) as results:
            [result] = [result async for result in results]

    assert (Outcome.NOT_SENT, Reason.ID_REUSED) == (result.outcome, result.reason)
    assert ["Order 1"] == [sms.text for sms in webcom_gateway.ledger.sent]


async def test_a_collision_between_batches_ends_the_campaign(connect: Connect, journal: Path):
    """An `id_sms` that an earlier batch has under another id halts the campaign."""
    gateway = Gateway(behaviour=Behaviour(id_bits=5))
    with pytest.raises(IdCollision):
        await run(connect, gateway, journal, count=200, batch_size=1, in_flight=1)

    assert gateway.requests <= 33
    assert len(gateway.ledger) < 33


async def test_one_journal_is_run_by_one_at_a_time(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A second run with an open journal is refused at once, and the first goes on."""
    async with connect(webcom_gateway, batch_size=5) as client:
        async with client.stream(phones(20), journal=journal, **SALE) as results:
            with pytest.raises(JournalError):
                await client.send_all(phones(20), journal=journal, **SALE)
            seen = [result async for result in results]

    assert 20 == len(seen) == len(webcom_gateway.ledger)


@pytest.mark.parametrize(
    "content", [b"not a journal at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000], ids=["foreign", "corrupt"]
)
async def test_a_file_that_is_not_a_journal_sends_nothing(
    connect: Connect, webcom_gateway: Gateway, journal: Path, content: bytes
):
    """A foreign or corrupt file is refused before anything is sent, and is left as it is."""
    journal.write_bytes(content)
    with pytest.raises(JournalError):
        await run(connect, webcom_gateway, journal)

    assert (0, content) == (webcom_gateway.requests, journal.read_bytes())


async def test_a_directory_that_is_not_there_sends_nothing(connect: Connect, webcom_gateway: Gateway, tmp_path: Path):
    """A journal that cannot be made is an error before anything is sent."""
    with pytest.raises(JournalError):
        await run(connect, webcom_gateway, tmp_path / "nowhere" / "spring.journal")

    assert 0 == webcom_gateway.requests


async def test_a_journal_needs_a_name(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """A journal without a campaign's name is refused, as its results could not be found again."""
    async with connect(webcom_gateway) as client:
        with pytest.raises(InputError, match="give campaign= too"):
            client.stream(phones(1), text="Sale!", sender="ACME", journal=journal)


async def test_a_journal_holds_no_token_and_is_private(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """The file has neither the token nor rights for others, and can be exported whole."""
    await run(connect, webcom_gateway, journal)

    assert webcom_gateway.token.encode() not in b"".join(path.read_bytes() for path in journal.parent.iterdir())
    assert 0o600 == journal.stat().st_mode & 0o777
    assert 40 == len(list(export(journal)))
    assert ["spring"] == [stored.header.campaign for stored in campaigns(journal)]


async def test_an_async_source_is_resumed_too(connect: Connect, webcom_gateway: Gateway, journal: Path):
    """The next run goes on after an async source that failed half-way."""

    async def half() -> AsyncIterator[str]:
        for phone in phones(17):
            yield phone
        raise LookupError("the cursor was closed")

    async with connect(webcom_gateway, batch_size=5) as client:
        with pytest.raises(LookupError):
            await client.send_all(half(), journal=journal, **SALE)
    results = await run(connect, webcom_gateway, journal)

    assert 40 == len(results) == len(webcom_gateway.ledger)
    assert 0 == webcom_gateway.ledger.repeats


KILLED = """
import sys, anyio
from webcom_async import WebcomClient

async def main():
    url, journal, count = sys.argv[1:]
    async with WebcomClient(token="emulator-token", base_url=url, batch_size=7) as client:
        phones = (str(79612242243 + number) for number in range(int(count)))
        async with client.stream(phones, text="Sale!", sender="ACME", campaign="spring", journal=journal) as results:
            async for result in results:
                print(result.phone, result.outcome.value, result.id_sms, flush=True)

anyio.run(main)
"""


def killed_campaign(url: str, journal: Path, lines: int) -> Iterator[str]:
    """Run the campaign in a process, kill it with `kill -9` after *lines* lines, and yield these."""
    command = [sys.executable, "-c", KILLED, url, str(journal), "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            yield process.stdout.readline()
        process.send_signal(signal.SIGKILL)


@pytest.mark.socket
@pytest.mark.parametrize("seed", range(4))
async def test_killed_again_and_again_a_campaign_reaches_everyone_once(connect_to: Connect, journal: Path, seed: int):
    """After three `kill -9` and a full run, every recipient has one SMS, and every printed result still holds."""
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    from webcom_async.emulator import serve  # noqa: PLC0415 - an extra

    gateway = Gateway(latency=0.005, seed=seed)
    gateway.faults.sometimes(0.1, Fault(close=True, processed=True))
    printed: list[str] = []
    with serve(gateway) as url:
        for moment in (1, 13 + 11 * seed, 60 + 17 * seed):
            printed += await anyio.to_thread.run_sync(lambda lines=moment: list(killed_campaign(url, journal, lines)))
        async with connect_to(url) as client, client.stream(phones(200), journal=journal, **SALE) as results:
            final = {result.phone: result async for result in results}

    assert 200 == len(final) == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()
    assert {sms.phone: sms.id_sms for sms in gateway.ledger.sent} == {p: r.id_sms for p, r in final.items()}
    for phone, outcome, id_sms in (line.split() for line in printed if line.endswith("\n")):
        assert ("accepted", final[phone].id_sms) == (outcome, id_sms)


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
"""


@pytest.mark.socket
async def test_a_disk_that_fills_up_stops_the_campaign_and_the_next_run_ends_it(connect_to: Connect, journal: Path):
    """A full disk stops the sending; with room again the next run reaches every recipient, once."""
    pytest.importorskip("uvicorn", reason="the emulator's socket is an extra")
    from webcom_async.emulator import serve  # noqa: PLC0415 - an extra

    gateway = Gateway()
    with serve(gateway) as url:
        command = [sys.executable, "-c", FULL_DISK + KILLED, "200000", url, str(journal), "20000"]
        done = await anyio.run_process(command, check=False)
        offered_then = len(gateway.ledger)
        async with connect_to(url, batch_size=500) as client:
            report = await client.send_all(phones(20_000), journal=journal, **SALE)

    accepted = done.stdout.decode().count(" accepted ")
    assert b"JournalError" in done.stderr
    assert accepted <= offered_then <= accepted + 4 * 7
    assert 0 < offered_then < 20_000
    assert 20_000 == report.accepted == len(gateway.ledger)
    assert not gateway.ledger.billed_twice()
