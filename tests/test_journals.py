"""
Journals: the recipients that may leave, and the results that are kept, in a file or in a server's tables.

Every kind passes the same tests: `journals` has one of each. Tests of a file alone are in `test_journal`,
and tests of a server alone in `test_postgres`.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.builders import LATER, NOW, TOMORROW, message, phones, wire_phones
from tests.test_journal import SAID, TEXT, answer, answers, batch, header
from webcom_async import (
    Channel,
    ClientIdSms,
    IdCollision,
    JournalError,
    Knowledge,
    Message,
    Outcome,
    Phone,
    Reason,
    SendResult,
)
from webcom_async.journal import (
    CampaignHeader,
    CampaignNotBegun,
    DurableCampaignJournal,
    JournalReader,
    OutboundRecipient,
    Reservation,
    SqliteJournal,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres"])
async def journals(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalReader]:
    """Return empty journals of each kind in turn."""
    if request.param == "sqlite":
        yield SqliteJournal(tmp_path / "spring.journal")
        return
    async with on_postgres(request.getfixturevalue("postgres"), request.getfixturevalue("schema")) as store:
        yield store


def on_postgres(dsn: str, schema: str):
    """Return journals on PostgreSQL."""
    from webcom_async.postgres import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(dsn, schema=schema)


@asynccontextmanager
async def run(
    journals: JournalReader,
    campaign: str = "spring",
    given: CampaignHeader | None = None,
    resend: frozenset[Reason] = frozenset(),
) -> AsyncIterator[DurableCampaignJournal]:
    """Open a campaign's journal at the tests' time, as a run does."""
    journal = await journals.open(given or header(campaign), lambda: NOW, resend_rejected=resend)
    async with aclosing(journal):
        yield journal


async def settled(journal: DurableCampaignJournal, results: list[SendResult]) -> list[SendResult]:
    """Settle recipients that were reserved before."""
    return await journal.settle(results, Reservation([], [], []))


async def told(journals: JournalReader, campaign: str = "spring", *outcomes: Outcome) -> list[SendResult]:
    """Return a campaign's results."""
    async with aclosing(journals.results(campaign, *outcomes)) as results:
        return [result async for result in results]


async def states(journals: JournalReader, campaign: str = "spring") -> dict[str, Outcome]:
    """Return the outcome of each id."""
    return {result.client_id_sms: result.outcome for result in await told(journals, campaign)}


async def unsettled(journal: DurableCampaignJournal) -> list[tuple[Message, OutboundRecipient]]:
    """Return the recipients without a settled result."""
    return [each async for each in journal.unsettled()]


async def exported(journals: JournalReader, *campaign: str) -> list[dict[str, object]]:
    """Return every exported row."""
    async with aclosing(journals.export(*campaign)) as rows:
        return [row async for row in rows]


# ---------------------------------------------------------------------------- what may leave


async def test_new_recipients_leave_as_they_were_given(journals: JournalReader):
    """Groups, order and times are returned as they came in, whatever the order of their ids."""
    five, four, three, two, one = wire_phones(5)
    two = msgspec.structs.replace(two, validity_period=TOMORROW, time_send=LATER)
    three, four, five = (msgspec.structs.replace(to, number_sms=2**63 - 1) for to in (three, four, five))
    given = [(message("A"), [one, two]), (message("B"), [three]), (message("A"), [four, five])]

    async with run(journals) as journal:
        reserved = await journal.reserve(given)

        assert (given, [], []) == (reserved.addressed, reserved.settled, reserved.refused)
        assert [(said, to) for said, tos in given for to in tos] == await unsettled(journal)


async def test_an_empty_batch_may_be_reserved(journals: JournalReader):
    """A batch without recipients raises nothing, neither in `reserve` nor in `settle`."""
    async with run(journals) as journal:
        assert [] == (await journal.reserve([])).addressed
        assert [] == await settled(journal, [])


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REJECTED])
async def test_what_is_settled_does_not_leave_again(journals: JournalReader, outcome: Outcome):
    """Accepted and rejected recipients are returned with their results; the others of the batch leave."""
    async with run(journals) as journal:
        await journal.settle(answers(batch(2), outcome), await journal.reserve(batch(2)))

        reserved = await journal.reserve(batch(3))

        assert answers(batch(2), outcome) == reserved.settled
        assert [(SAID, wire_phones(3)[2:])] == reserved.addressed
        assert set() == reserved.possibly_sent


@pytest.mark.parametrize("outcome", [None, Outcome.UNKNOWN, Outcome.NOT_SENT])
async def test_what_is_open_leaves_again(journals: JournalReader, outcome: Outcome | None):
    """Reserved, unknown and unsent recipients are sent again, under the same ids, with today's times."""
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(2))
        if outcome is not None:
            await journal.settle(answers(batch(2), outcome), reserved)
    later = [(SAID, [msgspec.structs.replace(to, validity_period=TOMORROW) for to in wire_phones(2)])]

    async with run(journals) as journal:
        reserved = await journal.reserve(later)

        assert later == reserved.addressed
        assert (set() if outcome is Outcome.NOT_SENT else {"101", "102"}) == reserved.possibly_sent
        assert later[0][1] == [to for _, to in await unsettled(journal)]


async def test_a_refusal_is_final_unless_resend_rejected_names_it(journals: JournalReader):
    """A recipient rejected for a reason that no longer holds leaves again, and may be rejected again."""
    async with run(journals) as journal:
        await journal.settle(answers(batch(2), Outcome.REJECTED), await journal.reserve(batch(2)))
    async with run(journals, resend=frozenset({Reason.STOP_LIST})) as journal:
        reserved = await journal.reserve(batch(2))
        assert (batch(2), set()) == (reserved.addressed, reserved.possibly_sent)
        await journal.settle(answers(batch(2), Outcome.NOT_SENT), reserved)

    assert {"101": Outcome.NOT_SENT, "102": Outcome.NOT_SENT} == await states(journals)


@pytest.mark.parametrize(
    ("said", "to"),
    [
        (message("Another text"), wire_phones(1)[0]),
        (message(TEXT, "another"), wire_phones(1)[0]),
        (SAID, OutboundRecipient(Phone("79990000000"), ClientIdSms("101"))),
    ],
    ids=["text", "sender", "phone"],
)
@pytest.mark.parametrize("outcome", [None, *Outcome])
async def test_an_id_belongs_to_one_phone_and_message(
    journals: JournalReader, said: Message, to: OutboundRecipient, outcome: Outcome | None
):
    """A used id with another phone or message is refused, because the gateway would not send it."""
    async with run(journals) as journal:
        first = await journal.reserve(batch(1))
        if outcome is not None:
            await journal.settle(answers(batch(1), outcome), first)
    before = await told(journals)

    async with run(journals) as journal:
        reserved = await journal.reserve([(said, [to])])

    [refused] = reserved.refused
    assert ([], []) == (reserved.addressed, reserved.settled)
    assert (Outcome.NOT_SENT, Reason.ID_REUSED, to.phone) == (refused.outcome, refused.reason, refused.phone)
    assert before == await told(journals)


async def test_an_id_belongs_to_one_message_in_all_campaigns(journals: JournalReader):
    """An id used in one campaign is used in the others, because the gateway does not know campaigns."""
    async with run(journals) as spring:
        await spring.settle([answer(wire_phones(1)[0], Outcome.NOT_SENT)], await spring.reserve(batch(2)))
    async with run(journals, "summer") as summer:
        reserved = await summer.reserve(batch(3, message("Another text")))

        assert ["102"] == [result.client_id_sms for result in reserved.refused]
        assert ["101", "103"] == [to.client_id_sms for _, tos in reserved.addressed for to in tos]
    assert {"101", "103"} == set(await states(journals, "summer"))


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, None])
async def test_campaigns_are_apart(journals: JournalReader, outcome: Outcome | None):
    """The same message under the same id leaves in each campaign; the gateway answers both with the first SMS."""
    async with run(journals) as spring:
        reserved = await spring.reserve(batch(1))
        if outcome is not None:
            await spring.settle(answers(batch(1), outcome), reserved)
    async with run(journals, "summer") as summer:
        reserved = await summer.reserve(batch(1))
        assert (batch(1), set() if outcome else {"101"}) == (reserved.addressed, reserved.possibly_sent)
        assert answers(batch(1)) == await summer.settle(answers(batch(1)), reserved)

    assert {"101": outcome or Outcome.UNKNOWN} == await states(journals)


async def test_a_refused_reservation_leaves_nothing_behind(journals: JournalReader):
    """An id twice in one call is the caller's error, and nothing of the call is written."""
    [to] = wire_phones(1)
    async with run(journals) as journal:
        with pytest.raises(JournalError):
            await journal.reserve([(SAID, [to, to])])
    assert [] == await told(journals)

    async with run(journals) as journal:
        assert batch(1) == (await journal.reserve(batch(1))).addressed


# ---------------------------------------------------------------------------- results


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_results_come_back_as_they_went_in(journals: JournalReader, outcome: Outcome):
    """Every field of a result survives."""
    said = answer(wire_phones(1)[0], outcome, error='Нет "текста",\n{\u202e}\\', attempts=7)
    async with run(journals) as journal:
        assert [said] == await journal.settle([said], await journal.reserve(batch(1)))

    assert [said] == await told(journals) == await told(journals, "spring", outcome)
    assert [] == await told(journals, "spring", *set(Outcome) - {outcome})
    assert dict.fromkeys(Outcome, 0) | {outcome: 1} == await journals.counts("spring")


@pytest.mark.parametrize("id_sms", ["NULL", "a,b", '"', "{}", "\\"])
async def test_whatever_an_id_sms_looks_like_it_is_kept(journals: JournalReader, id_sms: str):
    """An `id_sms` may have any characters, and none of them is taken for syntax."""
    results = [answer(wire_phones(1)[0], id_sms=id_sms), *answers(batch(2))[1:]]
    async with run(journals) as journal:
        await journal.settle(results, await journal.reserve(batch(2)))

    assert results == await told(journals)


async def test_a_batch_that_is_accepted_as_a_whole_is_kept(journals: JournalReader):
    """The shortcut for a wholly accepted batch stores the same results."""
    results = [answer(to, error="") for to in wire_phones(500)]
    async with run(journals) as journal:
        assert results == await journal.settle(results, await journal.reserve(batch(500)), all_accepted=True)

    assert results == await told(journals)


async def test_what_cannot_be_stored_is_replaced(journals: JournalReader):
    """Half a surrogate pair and NUL in the gateway's words do not lose the result."""
    async with run(journals) as journal:
        results = [answer(wire_phones(1)[0], Outcome.REJECTED, error="a\ud800b\0c")]
        await journal.settle(results, await journal.reserve(batch(1)))

    assert ["a?b\ufffdc"] == [result.error for result in await told(journals)]


@pytest.mark.parametrize("later", list(Outcome))
async def test_accepted_is_final(journals: JournalReader, later: Outcome):
    """No later result replaces an acceptance, and `settle` returns the stored one."""
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(1))
        await journal.settle(answers(batch(1)), reserved)

        assert answers(batch(1)) == await journal.settle([answer(wire_phones(1)[0], later, attempts=9)], reserved)
    assert answers(batch(1)) == await told(journals)


@pytest.mark.parametrize("crashed", [False, True])
async def test_not_sent_does_not_deny_an_earlier_request(journals: JournalReader, crashed: bool):
    """A possibly sent recipient stays unknown when a later run did not reach the gateway."""
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(1))
        if not crashed:
            await journal.settle(answers(batch(1), Outcome.UNKNOWN), reserved)
    async with run(journals) as journal:
        [known] = await journal.settle(answers(batch(1), Outcome.NOT_SENT), await journal.reserve(batch(1)))

    assert Outcome.UNKNOWN is known.outcome
    assert [known] == await told(journals)


async def test_a_result_of_a_duplicate_does_not_touch_the_first(journals: JournalReader):
    """The result of an item that never had its id's row is returned and not written."""
    to = wire_phones(1)[0]
    strangers = [
        answer(to, Outcome.NOT_SENT, reason=Reason.DUPLICATE),
        answer(to, Outcome.NOT_SENT, reason=Reason.ID_REUSED),
        answer(to, Outcome.NOT_SENT, reason=Reason.BAD_PHONE, phone="not a phone"),
        answer(to, Outcome.NOT_SENT, reason=Reason.BAD_CLIENT_ID, client_id_sms="7x"),
        answer(to, Outcome.NOT_SENT, reason=Reason.BAD_CLIENT_ID, client_id_sms="9" * 40),
        answer(to, Outcome.NOT_SENT, reason=Reason.BAD_RECIPIENT, client_id_sms=""),
    ]
    async with run(journals) as journal:
        await journal.reserve(batch(1))

        assert strangers == await settled(journal, strangers)
        assert strangers == await journal.lookup(strangers)
    assert {"101": Outcome.UNKNOWN} == await states(journals)


async def test_the_stored_result_of_an_unreserved_recipient_is_looked_up(journals: JournalReader):
    """If a recipient has a stored result, `lookup` returns it instead of "not sent"."""
    as_not_sent = answers(batch(2), Outcome.NOT_SENT)
    async with run(journals) as journal:
        await journal.settle(answers(batch(1)), await journal.reserve(batch(1)))

        assert answers(batch(1)) + as_not_sent[1:] == await journal.lookup(as_not_sent)


async def test_reserved_counts_as_unknown(journals: JournalReader):
    """A reserved recipient without a recorded answer may have been sent to."""
    async with run(journals) as journal:
        await journal.reserve(batch(1))
        assert [(SAID, wire_phones(1)[0])] == await unsettled(journal)

    [result] = await told(journals, "spring", Outcome.UNKNOWN)
    assert (Outcome.UNKNOWN, Reason.CANCELLED, None) == (result.outcome, result.reason, result.id_sms)
    assert 1 == (await journals.counts("spring"))[Outcome.UNKNOWN]


async def test_unsettled_can_be_settled_on_the_way(journals: JournalReader):
    """A resend that settles on the way gets every recipient once, over many pages."""
    many = wire_phones(1_300)
    async with run(journals) as journal:
        reserved = await journal.reserve([(SAID, many)])
        await journal.settle([answer(to, Outcome.UNKNOWN) for to in many[::2]], reserved)
        asked = []
        async for _, to in journal.unsettled():
            asked.append(to)
            if len(asked) % 100 == 0:
                await journal.settle([answer(each) for each in asked[-100:]], reserved)

        assert many == asked
        assert [] == await unsettled(journal)


async def test_results_survive_a_cancelled_caller(journals: JournalReader):
    """A batch's results are written even while the task that settles is being cancelled."""
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(3))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await journal.settle(answers(batch(3)), reserved)

    assert answers(batch(3)) == await told(journals)


# ---------------------------------------------------------------------------- collisions


async def test_two_ids_with_one_id_sms_in_a_batch_raise(journals: JournalReader):
    """Sound results are recorded, the two with one `id_sms` are unknown, and the error has what is known."""
    one, two, three = wire_phones(3)
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(3))
        with pytest.raises(IdCollision, match="101 and 102") as caught:
            await journal.settle([answer(one, id_sms="9"), answer(two, id_sms="9"), answer(three)], reserved)

    expected = {"101": Outcome.UNKNOWN, "102": Outcome.UNKNOWN, "103": Outcome.ACCEPTED}
    assert expected == await states(journals)
    assert await told(journals) == caught.value.results
    assert (True, False, Knowledge.POSSIBLY_SENT) == (
        caught.value.halts,
        caught.value.transient,
        caught.value.knowledge,
    )


@pytest.mark.parametrize("campaign", ["spring", "summer"])
async def test_an_id_sms_that_belongs_to_another_id_raises(journals: JournalReader, campaign: str):
    """An `id_sms` from an earlier answer, in any campaign, stays with its first id."""
    one, two = wire_phones(2)
    async with run(journals) as journal:
        await journal.settle([answer(one, id_sms="9")], await journal.reserve(batch(1)))
    async with run(journals, campaign) as journal:
        reserved = await journal.reserve([(SAID, [two])])
        with pytest.raises(IdCollision, match="101 and 102"):
            await journal.settle([answer(two, id_sms="9")], reserved)

    assert Outcome.UNKNOWN is (await states(journals, campaign))["102"]
    assert Outcome.ACCEPTED is (await states(journals))["101"]


async def test_an_id_sms_that_two_ids_were_answered_with_has_no_owner(journals: JournalReader):
    """Neither of the two ids owns it, however often it is answered alone, until the other one has an `id_sms`."""
    one, two = wire_phones(2)
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(2))
        with pytest.raises(IdCollision):
            await journal.settle([answer(one, id_sms="9"), answer(two, id_sms="9")], reserved)
        with pytest.raises(IdCollision):
            await journal.settle([answer(two, id_sms="9")], await journal.reserve([(SAID, [two])]))
        for known in ([answer(one, id_sms="8")], [answer(two, id_sms="9")]):
            to = one if known[0].client_id_sms == one.client_id_sms else two
            assert known == await journal.settle(known, await journal.reserve([(SAID, [to])]))

    assert {"101": Outcome.ACCEPTED, "102": Outcome.ACCEPTED} == await states(journals)


async def test_a_repeated_id_sms_is_remembered(journals: JournalReader):
    """The result has the reason and no `id_sms`, and an attempt that learns nothing does not replace it."""
    one, two = wire_phones(2)
    async with run(journals) as journal:
        await journal.settle([answer(one, id_sms="9")], await journal.reserve(batch(1)))
        with pytest.raises(IdCollision, match="1 recipient of campaign 'spring'") as caught:
            await journal.settle([answer(two, id_sms="9")], await journal.reserve([(SAID, [two])]))
        again = await journal.reserve([(SAID, [two])])
        kept = await journal.settle([answer(two, Outcome.UNKNOWN)], again)
        with pytest.raises(IdCollision) as known:
            await journal.settle([answer(two, id_sms="9")], again)

    [stored] = [result for result in await told(journals) if result.client_id_sms == "102"]
    assert [(Outcome.UNKNOWN, Reason.REPEATED_ID_SMS, None)] == [
        (result.outcome, result.reason, result.id_sms) for result in kept
    ]
    assert [stored] == list(known.value.results)
    assert [None] == [row["id_sms"] async for row in journals.export("spring") if row["client_id_sms"] == "102"]
    assert (False, True) == (caught.value.known, known.value.known)


async def test_the_alarm_names_both_campaigns(journals: JournalReader):
    """An `id_sms` that another campaign's recipient has names that campaign, how many there are, and the ways on."""
    tos = wire_phones(4)
    async with run(journals) as journal:
        await journal.settle([answer(to, id_sms=to.client_id_sms) for to in tos[:2]], await journal.reserve(batch(2)))
    async with run(journals, "summer") as journal:
        reserved = await journal.reserve([(SAID, tos[2:])])
        with pytest.raises(IdCollision) as caught:
            await journal.settle([answer(tos[2], id_sms="101"), answer(tos[3], id_sms="102")], reserved)

    assert ["spring", "summer"] == list(caught.value.campaigns)
    for words in (
        "2 recipients of campaign 'summer' got an id_sms that another recipient, of campaign 'spring', has",
        "acknowledge_repeated_ids=True (--acknowledge-repeated-ids)",
        "new_ids='not-sent' (--new-ids not-sent)",
        "Another campaign name would send to all again, and bill again",
    ):
        assert words in str(caught.value)


async def test_recipients_that_were_never_sent_to_take_new_ids(journals: JournalReader):
    """Who was possibly sent to keeps its id, and the others' rows get new ones; the campaign remembers that."""
    tos = wire_phones(4)
    async with run(journals) as journal:
        reserved = await journal.reserve([(SAID, tos[:3])])
        results = [answer(tos[0]), answer(tos[1], Outcome.NOT_SENT), answer(tos[2], Outcome.UNKNOWN)]
        await journal.settle(results, reserved)
    new_ids = {to.client_id_sms: ClientIdSms(str(int(to.client_id_sms) + 1000)) for to in tos}
    renewed = msgspec.structs.replace(header(), new_ids=63)
    async with run(journals, given=renewed) as journal:
        first = await journal.reserve([(SAID, tos)], new_ids=new_ids)
    async with run(journals) as journal:
        assert 63 == journal.header.new_ids
        second = await journal.reserve([(SAID, tos)], new_ids=new_ids)

    leaving = [[to.client_id_sms for _, some in reserved.addressed for to in some] for reserved in (first, second)]
    assert [["1102", "103", "1104"]] * 2 == leaving
    assert (["101"], {"103"}, {"1102", "103", "1104"}) == (
        [result.client_id_sms for result in second.settled],
        first.possibly_sent,
        second.possibly_sent,
    )
    assert ["101", "103", "1102", "1104"] == sorted(await states(journals))


async def test_one_id_may_be_answered_with_its_id_sms_again(journals: JournalReader):
    """The same id with the same `id_sms` twice is the gateway's memory, and raises nothing."""
    async with run(journals) as journal:
        reserved = await journal.reserve(batch(1))
        await journal.settle(answers(batch(1)), reserved)

        assert answers(batch(1)) == await journal.settle(answers(batch(1)), reserved)


# ---------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (header(id_bits=53), "started with id_bits=63, not 53; go on"),
        (header(said=message("Another text")), "started with another message or sender; go on"),
        (header(id_bits=53, said=message("B")), "id_bits=63, not 53 and with another message"),
    ],
    ids=["id_bits", "text", "both"],
)
async def test_other_settings_under_the_same_name_are_refused(
    journals: JournalReader, changed: CampaignHeader, words: str
):
    """The error names the difference and the remedy; the campaign can continue with its first settings."""
    async with run(journals):
        pass
    with pytest.raises(JournalError, match=words):
        async with run(journals, given=changed):
            pass

    assert header() == await journals.header("spring")
    async with run(journals):
        pass


async def test_a_campaign_name_that_cannot_be_written_is_a_journal_error(journals: JournalReader):
    """Half a surrogate pair in a name is refused in words."""
    with pytest.raises(JournalError, match="surrogates"):
        async with run(journals, "\ud800"):
            pass


async def test_only_a_campaign_that_has_begun_may_be_late(journals: JournalReader):
    """A run that must continue a campaign is refused until the campaign's first recipient was reserved."""
    for begun in (False, False, True):
        if begun:
            async with run(journals) as journal:
                await journal.reserve(batch(1))
            await (await journals.open(header(), lambda: NOW, require_begun=True)).aclose()
        else:
            with pytest.raises(CampaignNotBegun):
                await journals.open(header(), lambda: NOW, require_begun=True)
            async with run(journals):
                pass


# ---------------------------------------------------------------------------- against a model

IDS = st.integers(101, 108)
ITEMS = st.tuples(IDS, st.sampled_from(list(phones(2))), st.sampled_from("AB"))


class Twin(RuleBasedStateMachine):
    """A journal, and a dict as its model."""

    portal: BlockingPortal
    places: Iterator[JournalReader]

    def __init__(self) -> None:
        super().__init__()
        self.journals = next(self.places)
        self.journal = self.call(self.journals.open, header(), lambda: NOW)
        self.rows: dict[int, tuple[str, str, str]] = {}  # phone, text, state
        self.reserved: dict[int, Reservation] = {}

    def call(self, function, *arguments):
        return self.portal.call(function, *arguments)

    @rule(items=st.lists(ITEMS, max_size=5, unique_by=lambda item: item[0]))
    def reserve(self, items: list[tuple[int, str, str]]) -> None:
        """Compare which recipients leave."""
        sorted_: dict[str, list[int]] = {"leaves": [], "settled": [], "refused": []}
        for number, phone, text in items:
            sorted_[self.fate(number, phone, text)].append(number)
        given = [
            (message(text), [OutboundRecipient(Phone(to), ClientIdSms(str(number)))]) for number, to, text in items
        ]

        reserved = self.call(self.journal.reserve, given)
        self.reserved |= {int(to.client_id_sms): reserved for _, tos in reserved.addressed for to in tos}

        assert sorted_["leaves"] == [int(to.client_id_sms) for _, tos in reserved.addressed for to in tos]
        assert sorted_["settled"] == [int(result.client_id_sms) for result in reserved.settled]
        assert sorted_["refused"] == [int(result.client_id_sms) for result in reserved.refused]

    def fate(self, number: int, phone: str, text: str) -> str:
        """Return the model's verdict on an item, and store it."""
        known = self.rows.setdefault(number, (phone, text, "new"))
        if known[:2] != (phone, text):
            return "refused"
        if known[2] in ("accepted", "rejected"):
            return "settled"
        self.rows[number] = (phone, text, "reserved" if known[2] in ("new", "not_sent") else "unknown")
        return "leaves"

    @rule(number=IDS, outcome=st.sampled_from(Outcome))
    def settle(self, number: int, outcome: Outcome) -> None:
        """Settle a recipient that the journal has, now or long after it was reserved."""
        if number not in self.rows:
            return
        phone, text, state = self.rows[number]
        to = OutboundRecipient(Phone(phone), ClientIdSms(str(number)))
        reserved = self.reserved.get(number, Reservation([], [], []))
        [known] = self.call(self.journal.settle, [answer(to, outcome)], reserved)
        if state != "accepted" and (state, outcome) != ("unknown", Outcome.NOT_SENT):
            self.rows[number] = (phone, text, outcome.value)
        assert self.rows[number][2] == known.outcome.value

    @rule()
    def agree_and_reopen(self) -> None:
        """Compare all outcomes, and continue in another run."""
        expected = {str(number): row[2].replace("reserved", "unknown") for number, row in self.rows.items()}
        unknown = {number for number, state in expected.items() if state == "unknown"}

        assert unknown == {to.client_id_sms for _, to in self.call(unsettled, self.journal)}
        self.call(self.journal.aclose)
        assert expected == {number: outcome.value for number, outcome in self.call(states, self.journals).items()}
        assert len(expected) == sum(self.call(self.journals.counts, "spring").values())
        self.journal = self.call(self.journals.open, header(), lambda: NOW)

    def teardown(self) -> None:
        self.agree_and_reopen()
        self.call(self.journal.aclose)


@contextmanager
def files(_portal: BlockingPortal, folder: Path) -> Iterator[Iterator[JournalReader]]:
    """Yield an endless number of paths."""
    yield (SqliteJournal(folder / str(number)) for number in range(1_000))


@contextmanager
def schemas(portal: BlockingPortal, dsn: str, schema: str) -> Iterator[Iterator[JournalReader]]:
    """Yield a store, emptied before each use."""
    store = on_postgres(dsn, schema)

    def emptied() -> Iterator[JournalReader]:
        while True:
            for stored in portal.call(store.stored_campaigns):
                portal.call(store.purge, stored.header.campaign)
            yield store

    yield emptied()
    portal.call(store.aclose)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_journal_knows_what_a_dict_would(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    """For any order of reserving, settling and reopening, a journal follows the rules of its model."""
    if kind == "sqlite":
        opener = partial(files, folder=tmp_path)
    else:
        opener = partial(schemas, dsn=request.getfixturevalue("postgres"), schema=request.getfixturevalue("schema"))
    with start_blocking_portal() as portal, opener(portal) as places:
        machine = type("Machine", (Twin,), {"portal": portal, "places": places})
        run_state_machine_as_test(machine, settings=settings(max_examples=12, stateful_step_count=20))


# ---------------------------------------------------------------------------- between runs


async def test_journals_list_their_campaigns(journals: JournalReader):
    """Names, settings, times and counts, in the order of first runs."""
    async with run(journals, "summer") as journal:
        await journal.settle([answer(wire_phones(1)[0], Outcome.REJECTED)], await journal.reserve(batch(2)))
    async with run(journals):
        pass

    summer, spring = await journals.stored_campaigns()
    assert (header("summer"), header()) == (summer.header, spring.header)
    assert (NOW, NOW) == (summer.created, spring.opened)
    assert dict.fromkeys(Outcome, 0) | {Outcome.UNKNOWN: 1, Outcome.REJECTED: 1} == summer.counts
    assert {Reason.CANCELLED: 1, Reason.STOP_LIST: 1} == summer.reasons
    assert (dict.fromkeys(Outcome, 0), {}) == (spring.counts, spring.reasons)


async def test_an_export_has_everything_and_is_json(journals: JournalReader):
    """Every row of every campaign, or of one, can be written as JSON."""
    async with run(journals) as journal:
        await journal.settle([answer(wire_phones(1)[0])], await journal.reserve(batch(2)))
    async with run(journals, "summer") as journal:
        await journal.reserve(batch(1))

    accepted, reserved, other = await exported(journals)
    assert {
        "campaign": "spring",
        "client_id_sms": "101",
        "phone": "79612242243",
        "message": {"type_send_1": "sms", "sender": "sender 1", "text": TEXT},
        "validity_period": None,
        "time_send": None,
        "number_sms": None,
        "state": "accepted",
        "id_sms": "9101",
        "reason": "none",
        "error": "accepted",
        "attempts": 2,
        "reserved_at": "2030-01-01T12:00:00+00:00",
        "settled_at": "2030-01-01T12:00:00+00:00",
    } | dict.fromkeys(("delivery", "said", "changed_at", "num_parts", "price")) == accepted
    assert ("reserved", None, "summer") == (reserved["state"], reserved["settled_at"], other["campaign"])
    assert [other] == await exported(journals, "summer")
    assert msgspec.json.encode(accepted)


async def test_a_purged_campaign_is_gone_and_the_other_is_whole(journals: JournalReader):
    """A purge frees a campaign's ids and answers; equal names, ids and texts of another campaign stay."""
    async with run(journals, "autumn") as journal:
        await journal.reserve(batch(3))
    async with run(journals) as journal:
        await journal.settle([answer(wire_phones(4)[3])], await journal.reserve([(message("B"), wire_phones(4)[3:])]))

    assert 1 == await journals.purge("spring")

    assert ["autumn"] == [stored.header.campaign for stored in await journals.stored_campaigns()]
    async with run(journals, "autumn") as journal:
        assert [(SAID, to) for to in wire_phones(3)] == await unsettled(journal)
        await journal.settle([answer(wire_phones(1)[0], id_sms="9104")], await journal.reserve(batch(1)))
    async with run(journals, given=header(said=message("B"))) as journal:
        assert [(SAID, wire_phones(4)[3:])] == (await journal.reserve([(SAID, wire_phones(4)[3:])])).addressed


async def test_a_running_campaign_is_not_purged(journals: JournalReader):
    """A campaign that a run has open cannot be purged."""
    async with run(journals) as journal:
        await journal.reserve(batch(1))
        with pytest.raises(JournalError, match="in use"):
            await journals.purge("spring")
        await settled(journal, answers(batch(1)))

    assert 1 == await journals.purge("spring")


@pytest.mark.parametrize("ask", ["header", "counts", "results", "export", "purge"])
async def test_an_unknown_campaign_is_named_with_those_that_are_there(journals: JournalReader, ask: str):
    """The error lists the campaigns that exist, and a typing error in a name removes nothing."""
    async with run(journals):
        pass
    with pytest.raises(JournalError, match="no campaign 'sprung'; it holds 'spring'"):
        if ask in ("results", "export"):
            async with aclosing(getattr(journals, ask)("sprung")) as items:
                await anext(items)
        else:
            await getattr(journals, ask)("sprung")


async def test_every_field_of_a_message_comes_back(journals: JournalReader):
    """A recipient that is sent again gets the same message, with the channel's extra fields."""
    said = Message(
        type_send_1=Channel.VIBER,
        type_send_2=Channel.SMS,
        sender="ACME",
        text="Привет, \0 {мир}",
        text_viber="🎁",
        url="https://a",
    )
    async with run(journals) as journal:
        await journal.reserve(batch(1, said))

        assert [(said, wire_phones(1)[0])] == await unsettled(journal)


async def test_every_outcome_can_be_stored(journals: JournalReader):
    """The schema's list of states has every outcome."""
    results = [answer(to, outcome) for to, outcome in zip(wire_phones(9), Outcome, strict=False)]
    async with run(journals) as journal:
        await journal.settle(results, await journal.reserve(batch(len(Outcome))))

    assert dict.fromkeys(Outcome, 1) == await journals.counts("spring")
