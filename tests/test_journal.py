"""
The journal in a file: what it survives, which process may open it, and its content. For its rules, see `test_journals`.

`python -m tests.test_journal` writes the stored file of today's format; see `test_stored_files_open_with_todays_code`.
"""

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.builders import FIRST_PHONE, NOW, TOMORROW, message, wire_phones
from webcom_async import ClientIdSms, JournalError, JournalInUse, Message, Outcome, Phone, Reason, SendResult
from webcom_async.journal import (
    Addressed,
    CampaignFile,
    CampaignHeader,
    OutboundRecipient,
    campaigns,
    export,
    fingerprint,
    purge,
)

STORED = Path(__file__).parent / "journals"
TEXT = "A text that stands out"
SAID = message(TEXT)

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and limits of POSIX systems")


def header(campaign: str = "spring", id_bits: int = 63, said: Message = SAID) -> CampaignHeader:
    """Return a campaign's header."""
    return CampaignHeader(campaign=campaign, id_bits=id_bits, fingerprint=fingerprint(said, None))


def opened(path: Path, campaign: str = "spring") -> CampaignFile:
    """Open a campaign's journal at the tests' time."""
    return CampaignFile(path, header(campaign), now=lambda: NOW)


def batch(count: int, said: Message = SAID) -> list[Addressed]:
    """Return a batch of *count* recipients with the ids 101, 102 and so on."""
    return [(said, wire_phones(count))]


def answer(to: OutboundRecipient, outcome: Outcome = Outcome.ACCEPTED, **changes: object) -> SendResult:
    """Return a result for *to*; accepted ones have an `id_sms` of their own."""
    id_sms = f"9{to.client_id_sms}" if outcome is Outcome.ACCEPTED else None
    reason = {Outcome.ACCEPTED: Reason.NONE, Outcome.REJECTED: Reason.STOP_LIST}.get(outcome, Reason.TIMEOUT)
    result = SendResult(to.client_id_sms, to.phone, outcome, id_sms, reason, outcome.value, 2)
    return msgspec.structs.replace(result, **changes)


def answers(addressed: list[Addressed], outcome: Outcome = Outcome.ACCEPTED, **changes: object) -> list[SendResult]:
    """Return the same outcome for every recipient."""
    return [answer(to, outcome, **changes) for _, tos in addressed for to in tos]


def states(journal: CampaignFile) -> dict[str, Outcome]:
    """Return the outcome of each id."""
    return {result.client_id_sms: result.outcome for result in journal.results()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a journal."""
    return tmp_path / "spring #1?.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[CampaignFile]:
    """Return a new journal."""
    with opened(path) as journal:
        yield journal


def test_calls_may_come_from_changing_threads(journal: CampaignFile):
    """A journal belongs to no single thread."""
    for call in (lambda: journal.reserve(batch(3)), lambda: journal.settle(answers(batch(3)))):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    assert 3 == journal.counts()[Outcome.ACCEPTED]


# ---------------------------------------------------------------------------- headers and files


@pytest.mark.parametrize("path", ["postgresql://me:s3cr3t@host/x", Path("postgresql://me:s3cr3t@host/x"), "file:/x"])
def test_a_url_is_no_path_and_is_not_repeated(path: str | Path):
    """The URL may have a password, so the error does not repeat it, and names the option that takes a URL."""
    with pytest.raises(JournalError, match="this is a URL; a journal on a server is a PostgresStore") as raised:
        campaigns(path)
    assert "s3cr3t" not in str(raised.value)


def test_the_fingerprint_is_of_what_is_said():
    """Message and sender count, and the fingerprint is the same on every machine."""
    cases = [(SAID, None), (message("B"), None), (message(TEXT, "B"), None), (None, "ACME"), (None, None)]

    assert len(cases) == len({fingerprint(said, sender) for said, sender in cases})
    assert "2e7d316be904e5bbb75378f41ab65201" == fingerprint(message("Sale!", "ACME"), None)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    db.close()


def foreign_and_empty(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 17")
    db.close()


def from_the_future(path: Path) -> None:
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def damaged(path: Path) -> None:
    record(path, 20)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))


def damaged_header(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(4080))


def record(path: Path, batches: int) -> None:
    """Fill a journal."""
    with opened(path) as journal:
        for number in range(batches):
            to_send = [(message(f"{TEXT} {number}"), wire_phones(20 * number + 20)[20 * number :])]
            journal.reserve(to_send)
            journal.settle(answers(to_send))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "another program"),
        (foreign_and_empty, "another program"),
        (from_the_future, "upgrade webcom-async"),
        (damaged, "damaged"),
        (damaged_header, "not a journal|damaged"),
        (lambda path: path.write_text("phone;text\n" * 1_000), "not a journal"),
        (lambda path: path.write_text("79612242243"), "not a journal"),
        (Path.mkdir, "directory"),
    ],
    ids=["foreign", "foreign, empty", "newer", "damaged", "damaged header", "text", "one phone", "directory"],
)
def test_what_is_no_sound_journal_is_refused_and_left_alone(path: Path, make: Callable[[Path], object], words: str):
    """The error names the file and the remedy before anything can leave, and the file does not change."""
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for attempt in (opened, campaigns, lambda path: next(export(path)), lambda path: purge(path, "spring")):
        with pytest.raises(JournalError, match=words) as caught:
            attempt(path)
        assert str(path) in str(caught.value)

    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_missing_directory_is_not_made(tmp_path: Path):
    """A typing error in a path is an error, not a new directory."""
    with pytest.raises(JournalError, match="No such file"):
        opened(tmp_path / "missing" / "journal")

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", ["nul\0", "x" * 5_000])
def test_an_impossible_path_is_a_journal_error(tmp_path: Path, bad: str):
    """Any error of the system about a path becomes a JournalError."""
    with pytest.raises(JournalError):
        opened(tmp_path / bad)


def test_an_empty_file_becomes_a_journal(path: Path):
    """An empty file, as `mktemp` or an early kill leaves it, becomes a journal."""
    path.touch()
    with opened(path) as journal:
        assert batch(1) == journal.reserve(batch(1)).addressed


def test_what_is_only_looked_at_is_not_made(path: Path):
    """Listing, export and purge do not make a file."""
    for attempt in (campaigns, lambda path: next(export(path)), lambda path: purge(path, "spring")):
        with pytest.raises(JournalError, match="there is no such file"):
            attempt(path)

    assert not path.exists()


def test_a_closed_journal_says_so(journal: CampaignFile):
    """A call after closing is a JournalError; closing again is not."""
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.reserve(batch(1))


@posix
@pytest.mark.parametrize("before", [None, 0o644])
def test_only_its_owner_may_read_a_journal(path: Path, before: int | None):
    """The file and those beside it have mode 0600, whatever the umask, even if the file had a wider one."""
    if before is not None:
        path.touch()
        path.chmod(before)
    umask = os.umask(0)
    try:
        with opened(path) as journal:
            journal.reserve(batch(1))
            beside = sorted(path.parent.glob(f"{path.name}*"))
            modes = [stat.S_IMODE(file.stat().st_mode) for file in beside]
    finally:
        os.umask(umask)

    assert [path.name, f"{path.name}-wal"] == [file.name for file in beside]
    assert [0o600, 0o600] == modes


@contextmanager
def unprivileged() -> Iterator[Path]:
    """Return a directory, and run as a user without root's rights."""
    with tempfile.TemporaryDirectory() as name:
        user = os.geteuid()
        if user == 0:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)
            Path(name).chmod(0o700)


@posix
@pytest.mark.parametrize("read_only", ["file", "directory"])
def test_a_read_only_journal_is_refused_before_anything_leaves(read_only: str):
    """An unwritable file or directory is an error at opening, not at the first batch."""
    with unprivileged() as directory:
        path = directory / "journal"
        opened(path).close()
        (path if read_only == "file" else directory).chmod(0o400 if read_only == "file" else 0o500)
        with pytest.raises(JournalError, match="read-only"):
            opened(path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the files of this process to *size* bytes, as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
@pytest.mark.parametrize("size", [0, 4096, 20_000])
def test_a_disk_without_room_for_a_header_is_met_at_opening(path: Path, size: int):
    """If the header cannot be written, opening raises and nothing leaves; with room, the same file works."""
    with largest_file(size), pytest.raises(JournalError, match="room"):
        opened(path)

    opened(path).close()


@posix
def test_a_full_disk_stops_the_next_batch(path: Path):
    """A batch that cannot be reserved is an error, earlier rows stay, and with room the journal continues."""
    with opened(path) as journal:
        journal.reserve(batch(20))
        with largest_file(60_000), pytest.raises(JournalError, match="room"):
            for number in range(1, 100):
                journal.reserve([(SAID, wire_phones(100 * number + 100)[100 * number :])])
        reserved = journal.counts()[Outcome.UNKNOWN]
        journal.settle(answers(batch(20)))
        assert reserved == journal.counts()[Outcome.UNKNOWN] + 20
        assert 20 == reserved % 100


def test_a_full_database_is_reported_as_a_full_disk(journal: CampaignFile):
    """SQLite's own error for a full database is reported too, while settling and while reserving."""
    journal.reserve(batch(500))
    journal._file.change("PRAGMA max_page_count = 1")
    with pytest.raises(JournalError, match="disk is full"):
        journal.reserve([(SAID, wire_phones(5_000)[500:])])
    with pytest.raises(JournalError, match="disk is full"):
        journal.settle([answer(to, Outcome.REJECTED, error="x" * 1_000) for to in wire_phones(500)])
    journal._file.change("PRAGMA max_page_count = 100000")

    assert answers(batch(500)) == journal.settle(answers(batch(500)))


# ---------------------------------------------------------------------------- one owner


def test_a_second_journal_of_this_process_is_refused_at_once(journal: CampaignFile, path: Path):
    """Neither the same campaign, nor another one, nor a purge gets the file, and none of them removes the lock."""
    attempts = [opened, lambda path: opened(path, "summer"), lambda path: purge(path, "spring")]
    for attempt in attempts * 2:
        with pytest.raises(JournalInUse, match="in use"):
            attempt(path)
        assert ["spring"] == [stored.header.campaign for stored in campaigns(path)]
    assert "refused" == run_child("open", path)

    journal.close()
    opened(path).close()


def test_another_process_is_refused_at_once(journal: CampaignFile, path: Path):
    """A lock holds between processes, and ends with the process that has it."""
    assert "refused" == run_child("open", path)
    journal.close()
    assert "opened" == run_child("open", path)


def run_child(*arguments: object) -> str:
    """Run this file in another process and return what it prints."""
    command = [sys.executable, "-m", "tests.test_journal", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=STORED.parent.parent)
    return done.stdout.strip()


# ---------------------------------------------------------------------------- deaths


def numbered(number: int, size: int = 30) -> list[Addressed]:
    """Return batch *number* of an endless campaign, with a text of its own and a common one."""
    tos = [
        OutboundRecipient(Phone(str(FIRST_PHONE + index)), ClientIdSms(str(index + 1)))
        for index in range(number * size, (number + 1) * size)
    ]
    return [(SAID, tos[1:]), (message(f"batch {number}"), tos[:1])]


def run_until_killed(path: Path, number: int) -> None:
    """Reserve and settle from batch *number* on, and print each step that is done."""
    with opened(path) as journal:
        while True:
            reserved = journal.reserve(numbered(number))
            print("reserved", number, flush=True)
            journal.settle(answers(numbered(number)), reserved)
            print("settled", number, flush=True)
            number += 1


def test_a_killed_process_loses_nothing_that_it_had_done(path: Path):
    """After `kill -9` at ten random moments, the settled and the reserved recipients are as the process printed."""
    moments = random.Random(20300101)
    done: dict[int, str] = {}
    for _ in range(10):
        command = [sys.executable, "-m", "tests.test_journal", "run", str(path), str(len(done))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=STORED.parent.parent) as child:
            lines = [child.stdout.readline() for _ in range(moments.randrange(1, 40))]
            child.kill()
            lines += child.stdout.readlines()
        for word, number in (line.split() for line in lines if line.endswith("\n")):
            done[int(number)] = word
        with opened(path) as journal:
            known = states(journal)
            for number, word in done.items():
                outcomes = {known[to.client_id_sms] for _, tos in numbered(number) for to in tos}
                allowed = {Outcome.ACCEPTED} if word == "settled" else {Outcome.ACCEPTED, Outcome.UNKNOWN}
                assert len(outcomes) == 1
                assert outcomes <= allowed
            # At most one batch may have been done without being printed.
            assert len(known) <= 30 * (len(done) + 1)

    assert len(done) > 10


def history(path: Path, steps: int) -> Iterator[None]:
    """Reserve and settle, step by step."""
    with opened(path) as journal:
        yield
        for number in range(steps):
            reserved = journal.reserve(numbered(number))
            yield
            outcome = Outcome.REJECTED if number % 3 else Outcome.ACCEPTED
            journal.settle(answers(numbered(number), outcome), reserved)
            yield


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[SendResult]]]:
    """Return the files of a journal with an older and a newer half, as a power loss leaves them, and its history."""
    running = tmp_path_factory.mktemp("running") / "journal"
    found = tmp_path_factory.mktemp("found") / "journal"
    read = tmp_path_factory.mktemp("read") / "journal"
    known: list[list[SendResult]] = []
    for steps in (8, 16):
        for _ in history(running, steps):
            for copied in (found, read):
                copy_open(running, copied)
            with opened(read) as journal:
                known.append(list(journal.results()))
    return found, known


def copy_open(running: Path, to: Path) -> None:
    """Copy the files of a journal as they are."""
    for suffix in ("", "-wal"):
        shutil.copy(f"{running}{suffix}", f"{to}{suffix}")


def cut(file: Path, at: int) -> None:
    os.truncate(file, at)


def zeroed(file: Path, at: int) -> None:
    file.write_bytes(file.read_bytes()[:at].ljust(file.stat().st_size, b"\0"))


def scrambled(file: Path, at: int) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:at] + random.Random(at).randbytes(min(512, len(content) - at)) + content[at + 512 :])


@pytest.mark.parametrize("harm", [cut, zeroed, scrambled])
@pytest.mark.parametrize("seed", range(20))
def test_a_power_loss_leaves_a_prefix_of_the_history(
    crashed: tuple[Path, list[list[SendResult]]], path: Path, harm: Callable[[Path, int], None], seed: int
):
    """Wherever the newest writes break off, the journal holds an earlier moment of the campaign."""
    found, known = crashed
    copy_open(found, path)
    newest = Path(f"{path}-wal")
    harm(newest, random.Random(seed).randrange(newest.stat().st_size))

    with opened(path) as journal:
        assert list(journal.results()) in known
        journal.reserve(numbered(0))
        assert journal.settle(answers(numbered(0)))


@pytest.mark.parametrize("harm", [cut, zeroed, scrambled])
@pytest.mark.parametrize("seed", range(20))
def test_a_broken_disk_is_reported_or_harmless(
    crashed: tuple[Path, list[list[SendResult]]], path: Path, harm: Callable[[Path, int], None], seed: int
):
    """If the main file is damaged, opening fails, or the content is a moment of the history."""
    found, known = crashed
    copy_open(found, path)
    harm(path, random.Random(seed).randrange(path.stat().st_size))

    try:
        with opened(path) as journal:
            results = list(journal.results())
    except JournalError as exc:
        assert str(path) in str(exc)  # noqa: PT017 - either is right
    else:
        assert not results or results in known


def test_a_journal_cut_to_nothing_starts_again(crashed: tuple[Path, list[list[SendResult]]], path: Path):
    """A file that a power loss left empty is a new journal, because nothing had been sent by then."""
    shutil.copy(crashed[0], path)
    cut(path, 0)
    with opened(path) as journal:
        assert [] == list(journal.results())


# ---------------------------------------------------------------------------- between runs


def test_a_purge_leaves_no_trace(path: Path):
    """After a purge no byte of the file has the campaign's phones, texts or name; the other campaign is whole."""
    secret = OutboundRecipient(Phone("79998887766"), ClientIdSms("8111222333444555666"))
    with opened(path, "autumn") as journal:
        journal.reserve(batch(3))
    with opened(path) as journal:
        journal.reserve([(message("Not for long"), [secret]), *batch(2)])
        journal.settle([answer(secret)])
    before = path.read_bytes()

    assert 3 == purge(path, "spring")

    after = path.read_bytes()
    for trace in (b"79998887766", b"Not for long", b"spring", int(secret.client_id_sms).to_bytes(8, "big")):
        assert (True, False) == (trace in before, trace in after)
    assert [path.name] == [file.name for file in path.parent.iterdir()]
    assert ["autumn"] == [stored.header.campaign for stored in campaigns(path)]
    with opened(path, "autumn") as journal:
        assert [(SAID, to) for to in wire_phones(3)] == list(journal.unsettled())


# ---------------------------------------------------------------------------- what is in the file


def test_a_text_is_stored_once(path: Path):
    """A text is stored once, for any number of recipients, batches and campaigns."""
    for campaign in ("spring", "summer"):
        with opened(path, campaign) as journal:
            for number in range(5):
                journal.reserve(numbered(number))

    assert 1 == path.read_bytes().count(TEXT.encode())


def test_no_token_is_in_the_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither the environment's token nor a password is written to a journal."""
    monkeypatch.setenv("WEBCOM_TOKEN", "tOkEn-0123456789")
    with opened(path) as journal:
        journal.reserve(batch(5))
        journal.settle(answers(batch(5)))
        assert b"tOkEn" not in Path(f"{path}-wal").read_bytes()

    assert b"tOkEn" not in path.read_bytes()


def test_reading_results_takes_little_memory(path: Path):
    """Of 60,000 results, at most a page of them is in memory at once."""
    with opened(path) as journal:
        for number in range(10):
            journal.reserve(numbered(number, 6_000))
        before = sys.getallocatedblocks()
        peak = max(sys.getallocatedblocks() - before for _ in journal.results())
        count = journal.counts()[Outcome.UNKNOWN]

    assert 60_000 == count
    assert peak < 20_000


# ---------------------------------------------------------------------------- stored files


def stored_history(path: Path) -> None:
    """Write the content of each stored file."""
    one, two, three, four, five = wire_phones(5)
    two = msgspec.structs.replace(two, validity_period=TOMORROW, number_sms=7)
    with opened(path) as journal:
        journal.reserve([(SAID, [one, two, three]), (message("Its own text"), [four, five])])
        outcomes = zip((one, two, three, four), Outcome, strict=True)
        journal.settle([answer(to, outcome) for to, outcome in outcomes])
    with opened(path, "summer") as journal:
        journal.reserve(batch(1))


def todays_version(path: Path) -> int:
    """Return the version of the format that a new file at *path* has."""
    opened(path).close()
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_every_version_has_a_stored_file(path: Path):
    """A new version of the format needs a file that it wrote."""
    expected = [f"version-{number}.db" for number in range(1, todays_version(path) + 1)]

    assert expected == sorted(file.name for file in STORED.iterdir())


@pytest.mark.parametrize("stored", sorted(STORED.iterdir()), ids=lambda file: file.stem)
def test_stored_files_open_with_todays_code(stored: Path, tmp_path: Path, path: Path):
    """With today's code, a file of every released version has the same content as a new one."""
    shutil.copy(stored, path)
    today = tmp_path / "today"
    stored_history(today)

    assert list(export(today)) == list(export(path))
    assert campaigns(today) == campaigns(path)
    with opened(path) as journal, opened(today) as expected:
        assert list(expected.results()) == list(journal.results())
        assert list(expected.unsettled()) == list(journal.unsettled())
        assert expected.reserve(batch(5)) == journal.reserve(batch(5))


def main(command: str = "store", *arguments: str) -> None:
    """Do a test's work in another process, or store today's format."""
    if command == "run":
        run_until_killed(Path(arguments[0]), int(arguments[1]))
    elif command == "open":
        try:
            opened(Path(arguments[0])).close()
            print("opened")
        except JournalInUse:
            print("refused")
    else:
        with tempfile.TemporaryDirectory() as folder:
            version = todays_version(Path(folder) / "journal")
        stored_history(STORED / f"version-{version}.db")


if __name__ == "__main__":
    main(*sys.argv[1:])
