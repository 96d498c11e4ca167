"""
The journal's log: a run writes nothing else, and readers of the journal see the same as with rows.

`python -m tests.unit.test_write_log` writes the stored file of today's format; see
`test_stored_logs_become_todays_rows`.
"""

import math
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.builders import LATER, NOW, TOMORROW, message, wire_phones
from tests.test_journal import SAID, answer, answers, batch, copy_open, header, numbered, opened, states
from webcom_async import ClientIdSms, IdCollision, JournalError, Outcome, Phone, Reason, SendResult
from webcom_async._storage.sqlite.database import JournalFile
from webcom_async._storage.sqlite.journal_sql import MIGRATIONS
from webcom_async._storage.sqlite.number_table import Numbers, as_numbers
from webcom_async._storage.sqlite.write_log import Log, digest
from webcom_async.journal import (
    Addressed,
    CampaignFile,
    OutboundRecipient,
    Reservation,
    campaigns,
    export,
    has_begun,
    purge,
)

STORED = Path(__file__).parent.parent / "logs"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a journal may be made."""
    return tmp_path / "journal"


def counted(journal: CampaignFile) -> tuple[int, int]:
    """Return how many rows and entries are in a journal's file, without making any."""
    return tuple(journal._file.fetch(f"SELECT count(*) FROM {table}")[0][0] for table in ("recipients", "log"))


def run(journal: CampaignFile, batches: int) -> None:
    """Reserve and settle batches, as a campaign does."""
    for number in range(batches):
        reserved = journal.reserve(numbered(number))
        journal.settle(answers(numbered(number), error=""), reserved, all_accepted=True)


class RowsOnly(Log):
    """A log that takes nothing."""

    def reserve(self, addressed: list[Addressed], stamp: int) -> None:
        return None

    def settle(
        self, results: list[SendResult], reserved: Reservation, stamp: int, *, all_accepted: bool = False
    ) -> bool:
        return False


def opened_rows_only(path: Path, campaign: str = "spring") -> CampaignFile:
    """Open a campaign's journal that makes rows at once."""
    journal = opened(path, campaign)
    journal._log = RowsOnly(journal._file, journal._campaign)
    return journal


# ---------------------------------------------------------------------------- what is logged


def test_a_first_run_writes_no_row(path: Path):
    """A run writes two log entries per batch; the first reader turns them into rows and empties the log."""
    with opened(path) as journal:
        run(journal, 5)
        assert (0, 10) == counted(journal)
        assert 150 == journal.counts()[Outcome.ACCEPTED]
        assert (150, 0) == counted(journal)


@pytest.mark.parametrize("look", [lambda path: list(export(path)), campaigns, lambda path: has_begun(path, "spring")])
def test_a_reader_of_a_file_finds_rows(path: Path, look: Callable[[Path], object]):
    """After a run, a reader of the file finds rows only."""
    with opened(path) as journal:
        run(journal, 5)
    with opened_rows_only(path.with_name("rows")) as rows:
        run(rows, 5)

    assert look(path) == look(path.with_name("rows"))
    with JournalFile(path) as file:
        assert [(150,)] == file.fetch("SELECT count(*) FROM recipients WHERE id_sms IS NOT NULL")
        assert [] == file.fetch("SELECT * FROM log")


def test_a_purge_takes_what_is_in_the_log(path: Path):
    """Recipients that are only in the log are counted, and a purge removes every trace of them."""
    with opened(path) as journal:
        run(journal, 5)
    assert b"79612242243" in path.read_bytes()

    assert 150 == purge(path, "spring")
    assert b"79612242243" not in path.read_bytes()


def test_a_resumed_campaign_logs_who_is_new(path: Path):
    """A resumed run takes recipients with a row from there, and logs the others."""
    with opened(path) as journal:
        run(journal, 2)
    with opened(path) as journal:
        run(journal, 4)
        assert (60, 4) == counted(journal)


def test_leaving_a_campaign_makes_no_rows(path: Path):
    """A lookup of recipients that were never reserved makes no rows, however long the log."""
    with opened(path) as journal:
        run(journal, 5)
        as_not_sent = [answer(to, Outcome.NOT_SENT) for _, tos in numbered(7) for to in tos]
        odd = [answer(wire_phones(1)[0], Outcome.NOT_SENT, client_id_sms=odd) for odd in ("", "7x", "0", "9" * 30)]
        assert as_not_sent + odd == journal.lookup(as_not_sent + odd)
        assert (0, 10) == counted(journal)


def test_who_is_in_the_log_is_recalled(path: Path):
    """What the log knows is known."""
    with opened(path) as journal:
        run(journal, 1)
        said = answers(numbered(0), error="")
        assert said == journal.lookup([msgspec.structs.replace(each, outcome=Outcome.NOT_SENT) for each in said])


def test_no_recipient_leaves_twice_in_a_run(path: Path):
    """An id that is in the log already is settled or belongs to another recipient, and the rows say which."""
    with opened(path) as journal:
        journal.settle(answers(batch(2)), journal.reserve(batch(2)))
        other = OutboundRecipient(Phone("79990000000"), ClientIdSms("102"))
        reserved = journal.reserve([(SAID, [wire_phones(1)[0], other, wire_phones(3)[2]])])

    assert answers(batch(1)) == reserved.settled
    assert ["102"] == [result.client_id_sms for result in reserved.refused]
    assert [(SAID, wire_phones(3)[2:])] == reserved.addressed


def test_a_batch_is_settled_after_its_entry_became_rows(path: Path):
    """A reservation outlives the log that held it, and is not confused with a later one."""
    with opened(path) as journal:
        early = journal.reserve(batch(2))
        journal.counts()
        late = journal.reserve(numbered(9))
        assert answers(batch(2)) == journal.settle(answers(batch(2)), early)
        assert answers(numbered(9)) == journal.settle(answers(numbered(9)), late)
        assert {Outcome.ACCEPTED} == set(states(journal).values())


def test_an_old_reservation_denies_no_later_one(path: Path):
    """A recipient that was reserved again is possibly sent, whatever the first request reports afterwards."""
    with opened(path) as journal:
        early = journal.reserve(batch(1))
        assert {"101"} == journal.reserve(batch(1)).possibly_sent
        [known] = journal.settle(answers(batch(1), Outcome.NOT_SENT), early)
        assert Outcome.UNKNOWN is known.outcome


def test_a_batch_is_settled_once_in_the_log(path: Path):
    """A second settlement is compared with the first."""
    with opened(path) as journal:
        reserved = journal.reserve(batch(1))
        journal.settle(answers(batch(1), Outcome.UNKNOWN), reserved)
        [known] = journal.settle(answers(batch(1), Outcome.NOT_SENT), reserved)
        assert Outcome.UNKNOWN is known.outcome


def test_results_of_a_batch_may_come_in_parts_and_in_any_order(path: Path):
    """Recipients that a settlement leaves out stay open, and may be settled later."""
    with opened(path) as journal:
        reserved = journal.reserve(batch(4))
        one, two, three, four = answers(batch(4))
        assert [three, one] == journal.settle([three, one], reserved)
        assert [four, two] == journal.settle([four, two], reserved)
        assert [one, two, three, four] == list(journal.results())


ODD: dict[str, Callable[[list[SendResult]], list[SendResult]]] = {
    "one twice": lambda results: [*results, results[0]],
    "a duplicate's": lambda results: [msgspec.structs.replace(results[0], reason=Reason.DUPLICATE), *results[1:]],
    "another phone's": lambda results: [msgspec.structs.replace(results[0], phone=Phone("79990000000")), *results[1:]],
    "a stranger's": lambda results: [*results, *answers(numbered(3), Outcome.REJECTED)],
    "unreadable": lambda results: [*results, msgspec.structs.replace(results[0], client_id_sms=ClientIdSms("7x"))],
    "unstorable": lambda results: [msgspec.structs.replace(results[0], error="a\ud800b\0c"), *results[1:]],
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_results_that_are_not_one_each_are_weighed_as_rows_are(path: Path, odd: Callable[..., list[SendResult]]):
    """Odd results are noticed, and change the rows as they would without a log."""
    results = odd(answers(numbered(0), Outcome.REJECTED))
    with opened(path) as journal, opened_rows_only(path.with_name("rows")) as rows:
        assert rows.settle(results, rows.reserve(numbered(0))) == journal.settle(results, journal.reserve(numbered(0)))

    assert list(export(path.with_name("rows"))) == list(export(path))


def test_results_that_come_in_while_others_are_read_are_read_too(path: Path):
    """A reader also gets the results that are logged while it reads."""
    with opened(path) as journal:
        run(journal, 40)
        found = []
        for number, result in enumerate(journal.results()):
            found.append(result)
            if number == 0:
                journal.reserve(numbered(40))
        assert 41 * 30 == len(found)


@pytest.mark.parametrize("id_sms", ["9", "09", "a9", "9" * 64])
@pytest.mark.parametrize("when", ["in one batch", "in one run", "in two runs"])
def test_a_shared_id_sms_is_noticed(path: Path, id_sms: str, when: str):
    """Two owners of one `id_sms` are noticed however it is written, and wherever the first owner is stored."""
    one, two = wire_phones(2)
    journal = opened(path)
    if when == "in one batch":
        reserved = journal.reserve(batch(2))
        with pytest.raises(IdCollision, match="101 and 102"):
            journal.settle([answer(one, id_sms=id_sms), answer(two, id_sms=id_sms)], reserved)
    else:
        journal.settle([answer(one, id_sms=id_sms)], journal.reserve([(SAID, [one])]))
        if when == "in two runs":
            journal.close()
            journal = opened(path)
        reserved = journal.reserve([(SAID, [two])])
        with pytest.raises(IdCollision, match="101 and 102"):
            journal.settle([answer(two, id_sms=id_sms)], reserved)

    assert Outcome.UNKNOWN is states(journal)["102"]
    journal.close()


# ---------------------------------------------------------------------------- what it survives


class Broken(Exception):
    """A digest is broken off."""


class Breaking:
    """A file that fails at one of its changes."""

    def __init__(self, file: JournalFile, left: int) -> None:
        self._file = file
        self._left = left

    def fetch(self, statement: str, *parameters: object) -> list[object]:
        return self._file.fetch(statement, *parameters)

    def change(self, statement: str, *parameters: object) -> int:
        if self._left == 0:
            raise Broken
        self._left -= 1
        return self._file.change(statement, *parameters)

    def transaction(self) -> AbstractContextManager[None]:
        return self._file.transaction()

    def cache(self, kib: int | None = None) -> None:
        self._file.cache(kib)

    def damaged(self, found: str) -> JournalError:
        return self._file.damaged(found)


@pytest.mark.parametrize("left", range(0, 165, 13))
def test_a_digest_that_breaks_off_anywhere_loses_and_doubles_nothing(path: Path, left: int):
    """Wherever a digest breaks off, the next one completes the same rows."""
    with opened(path) as journal, opened_rows_only(path.with_name("rows")) as rows:
        run(journal, 80)
        run(rows, 80)
        with pytest.raises(Broken):
            digest(Breaking(journal._file, left), UTC)

    assert list(export(path.with_name("rows"))) == list(export(path))


ENTRIES = "SELECT entry, campaign_id, kind, written_at, crc, payload FROM log"
HARMS = {
    "a bit of the payload": "UPDATE log SET payload = cast(replace(payload, '7961', '7960') AS BLOB) WHERE entry = 3",
    "a payload of another type": "UPDATE log SET payload = cast(payload AS TEXT) WHERE entry = 3",
    "the campaign": "UPDATE log SET campaign_id = campaign_id + 1 WHERE entry = 3",
    "the time": "UPDATE log SET written_at = written_at + 1 WHERE entry = 3",
    "the kind": "UPDATE log SET kind = 'settled' WHERE entry = 3",
    "the CRC": "UPDATE log SET crc = crc + 1 WHERE entry = 3",
    "an entry that is gone": "DELETE FROM log WHERE entry = 3",
    "two entries changed places": "UPDATE log SET entry = 1000 - entry WHERE entry IN (3, 5)",
    "the last entry": "UPDATE log SET crc = 0 WHERE entry = 80",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_damaged_log_is_reported_and_the_file_left_alone(path: Path, harm: str):
    """A damaged entry is an error: its content is not guessed, and the file stays as it is."""
    with opened(path) as journal:
        run(journal, 40)
    with sqlite3.connect(path) as db:
        assert db.execute(harm).rowcount
    db.close()
    before = path.read_bytes()
    for attempt in (opened, campaigns, lambda path: next(export(path)), lambda path: purge(path, "spring")):
        with pytest.raises(JournalError, match=r"it is damaged; put a copy of it back.*log"):
            attempt(path)

    assert before == path.read_bytes()


pack = msgspec.msgpack.encode
SETTLED = '["{}","79612242243","accepted","9","none","",1]'


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("reserved", "[[1"),
        ("reserved", '[["one",[{"phone":7}]]]'),
        ("reserved", "\ud800"),
        ("settled", "{}"),
        ("settled", '[["101"]]'),
        ("settled", f"[{SETTLED.format(102)}]"),
        ("settled", f"[{SETTLED.format(101)},{SETTLED.format(102)}]"),
        ("reserved", ""),
        ("reserved", pack([[1], [2], ["79612242244"], [102], None, None, None])),
        ("reserved", pack([[1], [1], ["79612242244"], [102, 103], None, None, None])),
        ("reserved", pack([[1], [1], ["79612242244"], ["102"], None, None, None])),
        ("reserved", pack([[1], [1], ["79612242244"], [102], ["", ""], None, None])),
        ("reserved", pack([[1], [1], ["79612242244"], [102]])),
        ("settled", pack([1, [102], ["79612242243"], [9]])),
        ("settled", pack([1, [101], ["79612242244"], [9]])),
        ("settled", pack([1, [101], ["79612242243"], [9, 10]])),
        ("settled", pack([1, [101], ["79612242243"], ["9"]])),
        ("settled", pack([])),
    ],
)
def test_an_entry_that_says_nothing_is_damage(path: Path, kind: str, payload: str | bytes):
    """An entry that cannot be read, or has results without recipients, is reported even if its CRC is right."""
    with opened(path) as journal:
        journal.reserve(batch(1))
        log = journal._log
        log._append(kind, payload if isinstance(payload, bytes) else payload.encode(errors="surrogatepass"), 0)
    with pytest.raises(JournalError, match="damaged"):
        opened(path)


@pytest.mark.parametrize("seed", range(30))
def test_a_scrambled_file_is_reported_or_harmless(path: Path, seed: int):
    """Whatever bytes a disk changes, a reader gets what was written, or an error."""
    with opened(path) as journal:
        run(journal, 40)
    shutil.copy(path, path.with_name("whole"))
    expected = list(export(path.with_name("whole")))
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    place = chance.randrange(4096, len(content) - 64)
    content[place : place + 64] = chance.randbytes(64)
    path.write_bytes(content)
    try:
        found = list(export(path))
    except JournalError as exc:
        assert str(path) in str(exc)  # noqa: PT017 - either is right
    else:
        assert expected == found


def test_the_crc_is_of_the_whole_entry(path: Path):
    """As the stored format has it: number, campaign, kind and time, then the payload."""
    with opened(path) as journal:
        journal.reserve(batch(1))
        [(*_, crc, payload)] = journal._file.fetch(ENTRIES)

    assert crc == crc32(payload, crc32(b"1 1 reserved 1893499200000"))


# ---------------------------------------------------------------------------- against rows

# How far from the first unused id: mostly new ones, as in a campaign.
PEOPLE = st.lists(st.integers(0, 5), max_size=4, unique=True) | st.lists(st.integers(-8, 3), max_size=4, unique=True)
SPOKEN = st.sampled_from("AAAB")
ANSWERS = st.sampled_from(Outcome).map(lambda outcome: [outcome] * 12) | st.lists(
    st.sampled_from([Outcome.ACCEPTED, *Outcome]), min_size=12, max_size=12
)
ID_SMS = st.sampled_from(["own"] * 6 + ["7", "8", "08", "x8", "9" * 64])


class Twins(RuleBasedStateMachine):
    """A journal, and one that makes rows at once: callers must see no difference."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.folder = Path(self.directory.name)
        self.files = 0
        self.paths = (self.folder / "logged", self.folder / "rows")
        self.reading: tuple[Iterator[object], Iterator[object]] | None = None
        self.reserved: list[tuple[Reservation, Reservation]] = []
        self.new = 101
        self.open("spring")

    def open(self, campaign: str, resend: frozenset[Reason] = frozenset()) -> None:
        """Begin a run."""
        self.journals = [
            CampaignFile(path, header(campaign), now=lambda: NOW, resend_rejected=resend) for path in self.paths
        ]
        rows = self.journals[1]
        rows._log = RowsOnly(rows._file, rows._campaign)
        self.reading = None

    def both(self, act: Callable[[CampaignFile], object]) -> object:
        """Do the same to both, and compare the results."""
        logged, rows = (attempted(act, journal) for journal in self.journals)
        assert rows == logged
        return logged

    @rule(
        people=PEOPLE,
        said=st.lists(SPOKEN, min_size=5, max_size=5),
        phone=st.sampled_from([None] * 6 + ["79990000000"]),
        validity=st.sampled_from([None, TOMORROW]),
        twice=st.sampled_from([False] * 9 + [True]),
    )
    def reserve(
        self, people: list[int], said: list[str], phone: str | None, validity: datetime | None, twice: bool
    ) -> None:
        """Ask whether a batch may leave."""
        numbers = [self.new + far for far in people + people[:1] * twice]
        self.new = max([self.new, *(number + 1 for number in numbers)])
        tos = [self.person(number, phone, validity) for number in numbers]
        addressed: list[Addressed] = []
        for text, to in zip(said, tos, strict=False):
            if addressed and addressed[-1][0].text == text:
                addressed[-1][1].append(to)
            else:
                addressed.append((message(text), [to]))
        logged, rows = (attempted(lambda each: each.reserve(addressed), journal) for journal in self.journals)
        assert parts(rows) == parts(logged)
        if isinstance(logged, Reservation) and logged.addressed:
            self.reserved.append((logged, rows))

    def person(self, number: int, phone: str | None = None, validity: datetime | None = None) -> OutboundRecipient:
        """Return a recipient; mostly with an id."""
        return OutboundRecipient(
            Phone(phone or f"7961{number:07}"), ClientIdSms(str(number)), validity, None, number % 3 or None
        )

    @precondition(lambda self: self.reserved)
    @rule(
        which=st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
        outcomes=ANSWERS,
        ids=st.just(["own"] * 12) | st.lists(ID_SMS, min_size=12, max_size=12),
        part=st.sampled_from([slice(None)] * 5 + [slice(1, None), slice(None, None, -1)]),
        odd=st.sampled_from([None] * 6 + ["duplicate", "reused", "twice", "stranger", "unreadable"]),
        words=st.sampled_from(["", "", "accepted"]),
    )
    def settle(
        self, which: int, outcomes: list[Outcome], ids: list[str], part: slice, odd: str | None, words: str
    ) -> None:
        """Settle all or some of a batch, for the first time or again."""
        logged, rows = self.reserved[-1 - which % len(self.reserved)]
        tos = [to for _, some in logged.addressed for to in some]
        results = [
            answer(to, outcome, **({} if id_sms == "own" or outcome is not Outcome.ACCEPTED else {"id_sms": id_sms}))
            for to, outcome, id_sms in zip(tos, outcomes, ids, strict=False)
        ][part]
        all_accepted = False
        if odd == "duplicate":
            results[:1] = [answer(tos[0], Outcome.NOT_SENT, reason=Reason.DUPLICATE)]
        elif odd == "reused":
            results.append(answer(self.person(self.new - 2), Outcome.NOT_SENT, reason=Reason.ID_REUSED))
        elif odd == "twice":
            results += results[:1]
        elif odd == "stranger":
            results.append(answer(self.person(self.new - 1 - which), outcomes[5]))
        elif odd == "unreadable":
            results.append(answer(self.person(self.new), Outcome.NOT_SENT, client_id_sms="7x"))
        elif {Outcome.ACCEPTED} == set(outcomes[: len(tos)]) and {"own"} == set(ids[: len(tos)]):
            results = [msgspec.structs.replace(result, error=words) for result in results]
            all_accepted = True
        one, other = self.journals
        assert attempted(lambda each: each.settle(results, rows, all_accepted=all_accepted), other) == attempted(
            lambda each: each.settle(results, logged, all_accepted=all_accepted), one
        )

    @rule(people=PEOPLE)
    def lookup(self, people: list[int]) -> None:
        """Look up some recipients, reserved or not."""
        results = [answer(self.person(self.new + far), Outcome.NOT_SENT) for far in people]
        self.both(lambda journal: journal.lookup(results))

    @rule()
    def look(self) -> None:
        """Compare everything that is known."""
        self.both(lambda journal: (list(journal.results()), list(journal.unsettled()), journal.counts()))

    @rule()
    def read_on(self) -> None:
        """Read some results, and more of them later."""
        if self.reading is None:
            self.reading = (self.journals[0].results(), self.journals[1].results())
        logged, rows = (next(reading, None) for reading in self.reading)
        assert rows == logged
        if rows is None:
            self.reading = None

    @rule(
        campaign=st.sampled_from(["spring", "spring", "summer"]),
        resend=st.sampled_from([frozenset(), frozenset({Reason.STOP_LIST})]),
        killed=st.booleans(),
    )
    def reopen(self, campaign: str, resend: frozenset[Reason], killed: bool) -> None:
        """Begin another run after this one ended, or after its process was killed."""
        if killed:
            self.files += 1
            copies = (self.folder / f"logged {self.files}", self.folder / f"rows {self.files}")
            for path, copied in zip(self.paths, copies, strict=True):
                copy_open(path, copied)
            self.paths = copies
        for journal in self.journals:
            journal.close()
        self.reserved.clear()
        self.open(campaign, resend)

    @rule(left=st.integers(0, 40))
    def break_off(self, left: int) -> None:
        """Fail in the middle of a digest, and go on."""
        log = self.journals[0]._log
        file, log._file = log._file, Breaking(log._file, left)
        try:
            log.digest()
        except Broken:
            pass
        finally:
            log._file = file

    def teardown(self) -> None:
        self.look()
        for journal in self.journals:
            journal.close()
        logged, rows = (list(export(path)) for path in self.paths)
        assert rows == logged
        self.directory.cleanup()


def attempted(act: Callable[[CampaignFile], object], journal: CampaignFile) -> object:
    """Return the result of an act, or its error."""
    try:
        return act(journal)
    except IdCollision as exc:
        return (str(exc), list(exc.results))
    except JournalError as exc:
        return type(exc)


def parts(reserved: object) -> object:
    """Return what a caller sees of a reservation."""
    if not isinstance(reserved, Reservation):
        return reserved
    return (reserved.addressed, reserved.settled, reserved.refused, reserved.possibly_sent)


@pytest.mark.parametrize("_part", range(6))
def test_a_log_and_rows_look_the_same(_part: int):
    """After any sequence of operations, kills and failures, a journal with a log reads as one with rows."""
    run_state_machine_as_test(Twins, settings=settings(max_examples=10, stateful_step_count=30))


# ---------------------------------------------------------------------------- numbers


@given(
    batches=st.lists(
        # The latter are in one place with each other in tables of 17 and 5.
        st.lists(st.integers(0, 60) | st.integers(0, 40).map(lambda n: 85 * n) | st.just(2**63 - 1), max_size=9),
        max_size=20,
    )
)
@settings(max_examples=100)
def test_numbers_are_remembered_wherever_they_are(batches: list[list[int]]):
    """In the set and in tables that grow, as a set would, until they are forgotten."""
    numbers = Numbers(few=10, places=16)
    for _ in range(2):
        seen: set[int] = set()
        for some in batches:
            assert numbers.meet(some) is not seen.isdisjoint(some)
            new = len(set(some) - seen) == len(some)
            assert numbers.add(some) is new
            seen.update(some)
            assert numbers._count == len(seen)  # or tables would grow by who is met again
        numbers.clear()


def test_numbers_are_still_known_if_there_is_no_memory_for_more():
    """Tables that cannot grow keep their numbers: no known number passes for a new one."""
    numbers = Numbers(few=10, places=1 << 44)
    assert numbers.add(range(10))
    with pytest.raises(MemoryError):
        numbers.add(range(10, 20))
    assert all(numbers.meet([number]) for number in range(10))


def _by_chance(number: int) -> int:
    return random.Random(number).getrandbits(63)


def _by_five_servers(number: int) -> int:
    """A time in milliseconds, a server and a counter, as snowflake ids are made."""
    return (1_700_000_000_000 + number // 7) << 22 | number % 5 << 12 | number % 7


@pytest.mark.parametrize(
    "nth",
    [lambda n: n, lambda n: n << 16, lambda n: n << 22, lambda n: n * (2**37 + 1), _by_chance, _by_five_servers],
    ids=["counted", "2**16 apart", "2**22 apart", "2**37 + 1 apart", "by chance", "snowflakes"],
)
def test_many_numbers_are_told_apart_in_little_memory(nth: Callable[[int], int]):
    """Ids that count up, are random, or share their last digits are each remembered, in a few bytes."""
    numbers = Numbers(few=1_000, places=1 << 14)
    everyone = [nth(number) for number in range(200_000)]
    for first in range(0, len(everyone), 500):
        some = everyone[first : first + 500]
        assert not numbers.meet(some)
        assert numbers.add(some)
        assert not numbers.add(some[-1:])
    assert all(numbers.meet([number]) for number in everyone[::97])
    places = sum(map(len, numbers._tables))
    assert 8 * places <= 29 * len(everyone)
    assert len(numbers._others) <= len(everyone) / 5


def test_small_numbers_in_any_order_are_never_taken_for_others():
    """Numbers with zeros, or with each other's last digits, are not known before they were added."""
    chance = random.Random(7)
    everyone = chance.sample(range(1, 2_000_000), 200_000)
    numbers = Numbers(few=1_000, places=1 << 14)

    assert all(numbers.add(everyone[first : first + 100]) for first in range(0, 200_000, 100))


def test_numbers_that_want_one_place_are_told_apart():
    """Numbers that share their place in every table are kept in a set."""
    numbers = Numbers(few=10, places=1 << 15)
    assert numbers.add(range(1, 12))
    step = math.prod(map(len, numbers._tables))
    everyone = range(step, 20_000 * step, step)
    assert all(numbers.add(everyone[first : first + 100]) for first in range(0, len(everyone), 100))
    assert 19_900 < len(numbers._others)
    assert all(numbers.meet([number]) and not numbers.meet([number + 1]) for number in everyone)


@pytest.mark.parametrize("text", ["", "07", "-7", "7.0", "7e1", "x", "٣", "²", " 7", "7,8", "9" * 19, str(2**63)])
def test_what_is_not_the_one_way_to_write_a_number_is_none(text: str):
    """Texts with two spellings of one number, or beyond SQLite's numbers, are left to the rows."""
    assert None is as_numbers(["7", text])
    assert None is as_numbers([text])
    assert [7, 0, 2**63 - 1] == as_numbers(["7", "0", str(2**63 - 1)])


# ---------------------------------------------------------------------------- stored files


def logged_history(path: Path, words: str = "") -> None:
    """Write what a stored file holds: an older half as rows, and entries of every kind."""
    one, two, three, four, five = wire_phones(5)
    two = msgspec.structs.replace(two, validity_period=TOMORROW, time_send=LATER)
    with opened(path) as journal:
        journal.settle([answer(one)], journal.reserve(batch(1)))
        journal.counts()
        reserved = journal.reserve([(SAID, [two, three]), (message("Its own text"), [four])])
        tos = (two, three, four)
        journal.settle(
            [answer(to, outcome, error="Нет\n") for to, outcome in zip(tos, Outcome, strict=False)], reserved
        )
        journal.settle(answers(numbered(9), error=words), journal.reserve(numbered(9)), all_accepted=True)
        journal.reserve([(SAID, [five])])
        assert (1, 5) == counted(journal)


def test_every_version_with_a_log_has_a_stored_one():
    """A new version of the format comes with a log that it wrote."""
    expected = [f"version-{number}.db" for number in range(2, len(MIGRATIONS) + 1)]

    assert expected == sorted(file.name for file in STORED.iterdir())


@pytest.mark.parametrize("stored", sorted(STORED.iterdir()), ids=lambda file: file.stem)
def test_stored_logs_become_todays_rows(stored: Path, path: Path):
    """Today's code reads the log of every released version as the rows that it would write."""
    shutil.copy(stored, path)
    rows = path.with_name("rows")
    logged_history(rows, "accepted" if stored.stem in {"version-2", "version-3"} else "")

    assert list(export(rows)) == list(export(path))
    assert 35 == len(list(export(path)))


if __name__ == "__main__":
    logged_history(STORED / f"version-{len(MIGRATIONS)}.db")
