"""
`id_sms` that repeat: the alarm, and the ways on after it.

A gateway that cuts ids at 31 bits takes the ids N and N + 2**31 for one. It sends an SMS under the first that comes,
and answers the second with that one's `id_sms`.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NOW, Travel, phones, still_clock, wire_phones
from tests.conftest import Connect
from webcom_async import (
    IdCollision,
    IdScheme,
    InputError,
    JournalError,
    Message,
    Outcome,
    Phone,
    Reason,
    Recipient,
    SendResult,
    WebcomClient,
    WebcomError,
)
from webcom_async.emulator import Behaviour, Fault, Gateway
from webcom_async.journal import CampaignHeader, StoredResults, campaigns, export, fingerprint
from webcom_async.scaleout import (
    BatchDone,
    BatchRef,
    CampaignSettings,
    CampaignState,
    CampaignStatus,
    CampaignStore,
    SqliteStore,
    Worker,
)

pytestmark = pytest.mark.anyio

SALE = {"text": "Sale!", "sender": "ACME"}
NEW = {"new_ids": "not-sent"}
GO_ON = {"acknowledge_repeated_ids": True}
FAR = 2**31


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the path of a journal."""
    return tmp_path / "journal"


def cutting(bits: int = 31) -> Gateway:
    """Return a gateway that keeps so many bits of an id."""
    return Gateway(behaviour=Behaviour(id_bits=bits))


async def sent(client: WebcomClient, source: Iterable[Any], campaign: str = "spring", **call: Any) -> list[SendResult]:
    """Return the results of a campaign, read up to the error that ends it."""
    seen: list[SendResult] = []
    async with client.stream(source, **SALE, campaign=campaign, **call) as results:
        try:
            seen.extend([result async for result in results])
        except IdCollision:
            seen.extend(results.unread)
            raise
    return seen


def claimed(journal: Path, campaign: str = "spring") -> dict[str, Outcome]:
    """Return the outcomes in a journal by phone."""
    with StoredResults(journal, campaign) as stored:
        return {result.phone: result.outcome for result in stored}


def agrees(gateway: Gateway, results: Iterable[SendResult]) -> bool:
    """Whether the ledger has every accepted SMS under its phone, once, and no phone twice."""
    numbers = {sms.phone: sms.id_sms for sms in gateway.ledger.sent}
    accepted = [result for result in results if result.outcome is Outcome.ACCEPTED]
    return not gateway.ledger.billed_twice() and all(numbers.get(each.phone) == each.id_sms for each in accepted)


def pair(place: int, *, far: bool) -> Recipient:
    """Return one of two recipients whose ids a gateway of 31 bits takes for one."""
    number = 2 * place + far
    return Recipient(str(79612242243 + number), client_id_sms=100 + place + (FAR if far else 0))


# ---------------------------------------------------------------------------- acknowledged


@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("kept", [True, False], ids=["journal", "none"])
async def test_an_acknowledged_campaign_goes_on(connect: Connect, journal: Path, batch_size: int, kept: bool):
    """Every recipient whose `id_sms` is another's is unknown with a reason, and all others are accepted."""
    gateway = cutting()
    source = [pair(place, far=far) for far in (False, True) for place in range(10)]
    source += [Recipient(str(79620000000 + number), client_id_sms=5_000 + number) for number in range(30)]
    async with connect(gateway, batch_size=batch_size, in_flight=1) as client:
        results = await sent(client, source, **GO_ON, **({"journal": journal} if kept else {}))

    repeated = [result for result in results if result.reason is Reason.REPEATED_ID_SMS]
    doubted = {str(pair(place, far=far).phone) for place in range(10) for far in (False, True)}
    assert (50, 40) == (len(results), len(gateway.ledger))
    assert agrees(gateway, results)
    assert {result.phone for result in repeated} <= doubted
    assert {str(pair(place, far=True).phone) for place in range(10)} <= {result.phone for result in repeated}
    assert {(Outcome.UNKNOWN, None)} == {(result.outcome, result.id_sms) for result in repeated}
    if kept:
        assert claimed(journal) == {result.phone: result.outcome for result in results}


@pytest.mark.parametrize("order", [1, -1])
async def test_who_shares_an_id_sms_is_never_accepted_later(connect: Connect, journal: Path, order: int):
    """Two recipients of one answer stay unknown in every later run, alone and in any order, and when reconciled."""
    gateway, source = cutting(), [pair(0, far=False), pair(0, far=True)]
    async with connect(gateway) as client:
        with pytest.raises(IdCollision):
            await sent(client, source, journal=journal)
    async with connect(gateway, batch_size=1, in_flight=1) as client:
        results = await sent(client, source[::order], journal=journal, **GO_ON)
        again = client.reconcile(journal, campaign="spring", **GO_ON)
        async with again as reconciled:
            results += [result async for result in reconciled]

    assert [(Outcome.UNKNOWN, Reason.REPEATED_ID_SMS)] * 4 == [(each.outcome, each.reason) for each in results]
    assert 1 == len(gateway.ledger)


async def test_a_campaign_is_acknowledged_run_by_run(connect: Connect, journal: Path):
    """Without the word, a second run halts again, as it did at first."""
    gateway, source = cutting(), [pair(0, far=False), pair(0, far=True), "79629999999"]
    async with connect(gateway, batch_size=1, in_flight=1) as client:
        for call in ({}, {}):
            with pytest.raises(IdCollision):
                await sent(client, source, journal=journal, **call)
        await sent(client, source, journal=journal, **GO_ON)
        with pytest.raises(IdCollision):
            await sent(client, source, journal=journal)

    assert not gateway.ledger.billed_twice()


async def test_the_alarm_reaches_across_campaigns(connect: Connect, journal: Path):
    """A gateway that cuts ids at 31 bits takes those of two campaigns for one; the error names both."""
    gateway = cutting()
    async with connect(gateway) as client:
        await sent(client, [pair(place, far=False) for place in range(5)], journal=journal)
        with pytest.raises(IdCollision, match=r"campaign 'summer' got an id_sms .* of campaign 'spring'") as caught:
            await sent(client, [pair(place, far=True) for place in range(3)], "summer", journal=journal)
        results = await sent(client, [pair(3, far=True), "79629999999"], "summer", journal=journal, **GO_ON)

    assert "3 recipients of campaign 'summer'" in str(caught.value)
    assert [Outcome.UNKNOWN, Outcome.ACCEPTED] == [result.outcome for result in results]
    assert {Outcome.ACCEPTED} == set(claimed(journal).values())
    assert agrees(gateway, results)


async def test_one_delivery_report_is_one_recipients(connect: Connect, journal: Path):
    """Tracking attributes an `id_sms` to the recipient that was accepted under it, and to no other."""
    time, source = Travel(), [pair(0, far=False), pair(0, far=True)]
    gateway = Gateway(behaviour=Behaviour(id_bits=31), now=time.now)
    async with connect(gateway, batch_size=1, in_flight=1, clock=time.clock()) as client:
        await sent(client, source, journal=journal, **GO_ON)
        async with client.track(journal, campaign="spring") as changes:
            tracked = [change.phone async for change in changes]
    shown = [row["id_sms"] for row in export(journal) if row["state"] != "accepted"]

    assert [source[0].phone] == sorted(set(tracked))
    assert [None] == shown


# ---------------------------------------------------------------------------- new ids


def ids_of(gateway: Gateway) -> dict[str, list[str]]:
    """Return the ids under which each phone was asked for, in order."""
    asked: dict[str, list[str]] = {}
    for request in gateway.received:
        for to in request.recipients:
            asked.setdefault(str(to.phone), []).append(str(to.client_id_sms))
    return asked


async def halted(connect: Connect, gateway: Gateway, journal: Path, people: list[str]) -> None:
    """Run a campaign until its third recipient is answered with the first one's `id_sms`."""
    ids = IdScheme("spring")
    first = gateway.behaviour
    gateway.faults.script(Fault(), Fault(close=True, processed=True))
    async with connect(gateway, batch_size=1, in_flight=1, attempts=1) as client:
        async with client.stream(people[:2], **SALE, campaign="spring", journal=journal) as results:
            seen = [result async for result in results]
        answer = b'{"information":[{"state":"send","id_sms":"%s"}]}' % (seen[0].id_sms or "").encode()
        gateway.faults.script(Fault(), Fault(body=answer))
        with pytest.raises(IdCollision):
            await sent(client, people, journal=journal)
    assert first is gateway.behaviour
    assert people[3] not in ids_of(gateway)
    assert ids.derive(Phone(people[0])) == ids_of(gateway)[people[0]][0]


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_who_was_never_sent_to_takes_a_new_id(connect: Connect, journal: Path, acknowledged: bool):
    """The others keep theirs; later runs, with the word or without, keep to that and send no second SMS."""
    gateway, people = Gateway(), list(phones(8))
    await halted(connect, gateway, journal, people)
    way = NEW | (GO_ON if acknowledged else {})
    async with connect(gateway, batch_size=2, in_flight=1) as client:
        results = await sent(client, people, journal=journal, **way)
        again = await sent(client, people, journal=journal, **way)
        plain = await sent(client, people, journal=journal)

    old, new = IdScheme("spring"), IdScheme("spring", new=True)
    kept, taken = people[:3], people[3:]
    asked = ids_of(gateway)
    assert {phone: {old.derive(Phone(phone))} for phone in kept} == {phone: set(asked[phone]) for phone in kept}
    assert {phone: {new.derive(Phone(phone))} for phone in taken} == {phone: set(asked[phone]) for phone in taken}
    for some in (results, again, plain):
        assert {Outcome.ACCEPTED} == {result.outcome for result in some}
        assert agrees(gateway, some)
    assert set(people) == {sms.phone for sms in gateway.ledger.sent}
    assert dict.fromkeys(people, Outcome.ACCEPTED) == claimed(journal)


async def test_a_row_that_was_not_sent_is_one_row_under_its_new_id(connect: Connect, journal: Path):
    """A recipient that the journal has as not sent is not counted twice once it has a new id."""
    gateway, people = Gateway(), list(phones(6))
    gateway.accounts[0].balance = 2
    async with connect(gateway, batch_size=3, in_flight=1) as client:
        with pytest.raises(WebcomError):
            await sent(client, people, journal=journal)
        gateway.accounts[0].balance = None
        results = await sent(client, people, journal=journal, **NEW)

    assert 6 == len(results) == len(gateway.ledger) == sum(campaigns(journal)[0].counts.values())
    assert agrees(gateway, results)


async def test_given_ids_stay(connect: Connect, journal: Path):
    """A `client_id_sms` of the caller's is sent as it is, new ids or not."""
    gateway = Gateway()
    async with connect(gateway) as client:
        await sent(client, ["79612242243"], journal=journal)
        await sent(client, [Recipient("79612242244", client_id_sms=7), "79612242245"], journal=journal, **NEW)

    assert ["7"] == ids_of(gateway)["79612242244"]
    assert [IdScheme("spring", new=True).derive(Phone("79612242245"))] == ids_of(gateway)["79612242245"]


async def test_keys_have_new_ids_of_their_own(connect: Connect, journal: Path):
    """Two messages to one phone stay two messages under new ids, and a repeated source sends none twice."""
    gateway = Gateway()
    people = [Recipient("79612242244", key=key) for key in ("a", "b")]
    async with connect(gateway) as client:
        await sent(client, ["79612242243"], journal=journal)
        for _ in range(2):
            await sent(client, [*people, *people], journal=journal, **NEW)

    assert 3 == len(gateway.ledger)
    assert 2 == len(set(ids_of(gateway)["79612242244"]))


async def test_new_ids_may_be_narrower(connect: Connect, journal: Path):
    """A client of another width may renew a campaign's ids, and both widths may go on with it."""
    gateway, people = Gateway(), list(phones(4))
    async with connect(gateway) as client:
        await sent(client, people[:1], journal=journal)
    async with connect(gateway, id_bits=53) as client:
        await sent(client, people[:2], journal=journal, **NEW)
    for bits in (63, 53):
        async with connect(gateway, id_bits=bits) as client:
            results = await sent(client, people, journal=journal)

    assert agrees(gateway, results)
    assert 4 == len(gateway.ledger)
    assert all(int(ids_of(gateway)[phone][0]) < 2**53 for phone in people[1:])


async def test_new_ids_need_a_campaign_that_has_begun(connect: Connect, journal: Path):
    """Without a journal, or with one that has no such campaign, nothing is sent and nothing is written."""
    gateway = Gateway()
    async with connect(gateway) as client:
        with pytest.raises(InputError, match="give journal= too"):
            client.stream(phones(2), **SALE, campaign="spring", **NEW)
        with pytest.raises(InputError, match="billed, again"):
            await sent(client, phones(2), journal=journal, **NEW)
        with pytest.raises(InputError, match="'not-sent'"):
            client.stream(phones(2), **SALE, campaign="spring", journal=journal, new_ids="unknown")  # type: ignore[arg-type]

    assert (0, False) == (gateway.requests, journal.exists())


async def test_what_was_late_stays_late_under_a_new_id(connect: Connect, journal: Path):
    """A recipient whose time is past is not sent to because its id has changed."""
    gateway = Gateway()
    async with connect(gateway) as client:
        await sent(client, ["79612242243"], journal=journal)
        late = Recipient("79612242244", validity_period=NOW)
        results = await sent(client, [late], journal=journal, **NEW)

    assert [(Outcome.NOT_SENT, Reason.BAD_TIME)] == [(result.outcome, result.reason) for result in results]
    assert 1 == len(gateway.ledger)


# ---------------------------------------------------------------------------- emulators


async def test_an_emulator_that_starts_again_raises_no_false_alarm(connect: Connect, journal: Path):
    """A journal goes on with an emulator that remembers nothing, because its numbers are others."""
    people = list(phones(20))
    for count in (10, 20):
        async with connect(Gateway()) as client:
            results = await sent(client, people[:count], journal=journal)

    assert {Outcome.ACCEPTED} == {result.outcome for result in results}
    assert 20 == len({result.id_sms for result in results})


# ---------------------------------------------------------------------------- many workers


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CampaignStore]:
    """Return an empty store of each kind in turn."""
    if request.param == "sqlite":
        async with SqliteStore(tmp_path / "campaigns") as store:
            yield store
        return
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    dsn, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")
    async with PostgresStore(dsn, schema=schema) as store:
        yield store


async def worked(connect: Connect, gateway: Gateway, store: CampaignStore, *, resume: bool = True) -> CampaignStatus:
    """Let one worker send the campaign, and return how that ended."""
    if resume:
        await store.change_state("spring", CampaignState.RUNNING)
    async with connect(gateway, in_flight=1) as client:
        worker = Worker(client, store, "one", clock=still_clock())
        for shard in await store.shards("spring"):
            await worker.run_shard("spring", shard.number)
    return await store.status("spring")


async def test_workers_go_on_once_it_is_acknowledged(connect: Connect, store: CampaignStore):
    """A halt is for all workers, and so is the word that ends it; who shares an `id_sms` is unknown."""
    gateway = cutting()
    source = [pair(place, far=far) for far in (False, True) for place in range(3)] + ["79629999999"]
    said = Message(sender="ACME", text="Sale!")
    await store.plan(CampaignSettings(campaign="spring", message=said, batch_size=2, shard_size=4), source)
    halted = await worked(connect, gateway, store, resume=False)
    again = await worked(connect, gateway, store)
    await store.acknowledge_repeated_ids("spring")
    ended = await worked(connect, gateway, store)

    results = [result async for result in store.results("spring")]
    assert [CampaignState.HALTED] * 2 == [halted.state, again.state]
    assert "acknowledge_repeated_ids=True" in halted.why
    assert (CampaignState.FINISHED, True) == (ended.state, ended.acknowledged)
    assert agrees(gateway, results)
    assert (7, 4) == (len(results), sum(result.outcome is Outcome.ACCEPTED for result in results))
    assert 3 == ended.outcomes[Outcome.UNKNOWN]


async def test_workers_give_new_ids(connect: Connect, store: CampaignStore):
    """Recipients that no worker has sent to leave under new ids, in every later run, and each phone has one SMS."""
    gateway, people = Gateway(), list(phones(12))
    said = Message(sender="ACME", text="Sale!")
    await store.plan(
        CampaignSettings(campaign="spring", message=said, batch_size=1, shard_size=12), [*people, people[0]]
    )
    with pytest.raises(InputError, match="no recipient was sent to"):
        await store.give_new_ids("spring")
    answer = b'{"information":[{"state":"send","id_sms":"77"}]}'
    gateway.faults.script(Fault(), Fault(body=answer), Fault(body=answer))
    halted = await worked(connect, gateway, store, resume=False)
    await store.give_new_ids("spring")
    await store.give_new_ids("spring")
    ended = await worked(connect, gateway, store)

    results = {result.phone: result async for result in store.results("spring", Outcome.ACCEPTED)}
    old, new = IdScheme("spring"), IdScheme("spring", new=True)
    assert (CampaignState.HALTED, CampaignState.FINISHED) == (halted.state, ended.state)
    assert (False, True) == (halted.new_ids, ended.new_ids)
    assert set(people) == set(results)
    assert not gateway.ledger.billed_twice()
    for phone in people:
        scheme = old if phone in people[:3] else new
        assert {scheme.derive(Phone(phone))} == {*ids_of(gateway)[phone], results[phone].client_id_sms}


async def test_new_ids_wait_for_workers(store: CampaignStore):
    """While a worker may still reserve recipients under their old ids, they are not changed."""
    said = Message(sender="ACME", text="Sale!")
    await store.plan(CampaignSettings(campaign="spring", message=said), phones(3))
    lease = await store.acquire("spring", 1, "one", 600.0)
    assert lease is not None
    header = CampaignHeader(campaign="spring", id_bits=63, fingerprint=fingerprint(said, None))
    journal = await store.journals(lease).open(header, lambda: NOW)
    reserved = await journal.reserve([(said, wire_phones(2))])
    await journal.settle(
        [SendResult(each.client_id_sms, each.phone, Outcome.UNKNOWN) for each in wire_phones(2)], reserved
    )
    await store.batch_done(lease, BatchRef("spring", 1, 1), BatchDone(outcomes={Outcome.UNKNOWN: 2}, open=2))
    with pytest.raises(JournalError, match="in use, by one"):
        await store.give_new_ids("spring")
    await journal.aclose()
    await store.release(lease)
    await store.give_new_ids("spring")

    assert (await store.status("spring")).new_ids


async def test_the_alarm_reaches_across_a_stores_campaigns(connect: Connect, store: CampaignStore):
    """Two campaigns of one store share no `id_sms`, and the halt names both."""
    gateway, said = cutting(), Message(sender="ACME", text="Sale!")
    await store.plan(CampaignSettings(campaign="winter", message=said), [pair(place, far=False) for place in range(3)])
    async with connect(gateway) as client:
        await Worker(client, store, "one", clock=still_clock()).run_shard("winter", 1)
    await store.plan(CampaignSettings(campaign="spring", message=said), [pair(1, far=True), "79629999999"])
    halted = await worked(connect, gateway, store, resume=False)
    await store.acknowledge_repeated_ids("spring")
    ended = await worked(connect, gateway, store)

    assert (CampaignState.HALTED, CampaignState.FINISHED) == (halted.state, ended.state)
    assert (
        "1 recipient of campaign 'spring' got an id_sms that another recipient, of campaign 'winter', has" in halted.why
    )
    assert (1, 1) == (ended.outcomes[Outcome.ACCEPTED], ended.outcomes[Outcome.UNKNOWN])
    assert agrees(gateway, [result async for result in store.results("winter")])
