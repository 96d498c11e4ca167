"""A running journal is read by other processes, and has one owner: readers neither write, nor wait, nor lock."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.builders import NOW, Travel, message, wire_phones
from tests.test_journal import SAID, STORED, TEXT, answers, batch, header, numbered, opened, posix, unprivileged
from tests.test_stores import header_of
from webcom_async import ConfigurationError, JournalError, JournalInUse, Outcome, Recipient
from webcom_async.journal import (
    CampaignFile,
    SqliteJournal,
    StoredResults,
    campaigns,
    export,
    has_begun,
    highest_price,
    purge,
    stopped_phones,
    stored_campaign,
)
from webcom_async.scaleout import CampaignSettings, SqliteStore
from webcom_async.webhooks import ReportFile

OPENERS = 6


def stored_results(path: Path) -> list[tuple[str, Outcome]]:
    """Return the stored ids and outcomes in order."""
    with StoredResults(path, "spring") as stored:
        return [(result.client_id_sms, result.outcome) for result in stored]


READERS: list[Callable[[Path], object]] = [
    campaigns,
    lambda path: stored_campaign(path, "spring").counts,
    lambda path: has_begun(path, "spring"),
    lambda path: list(export(path)),
    highest_price,
    stopped_phones,
    stored_results,
]


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the time of change of each file."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


@contextmanager
def owner(path: Path, batches: int) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that has the journal open, with so many settled batches and a reserved one."""
    command = [sys.executable, "-m", "tests.test_readers", str(path), str(batches)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=STORED.parent.parent
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert "open" == child.stdout.readline().strip()
        try:
            yield child
        finally:
            child.stdin.close()


def own(path: Path, batches: int) -> None:
    """Be that process, and go on with a batch for each line of stdin."""
    with opened(path) as journal:
        for number in range(batches):
            journal.settle(answers(numbered(number)), journal.reserve(numbered(number)))
        reserved = journal.reserve(numbered(batches))
        print("open", flush=True)
        for _ in sys.stdin:
            journal.settle(answers(numbered(batches)), reserved)
            batches += 1
            reserved = journal.reserve(numbered(batches))
            print("settled", flush=True)


def run_script(script: str, path: Path, temporary: Path) -> "subprocess.CompletedProcess[str]":
    """Run *script* on a journal, with a directory for temporary files of its own."""
    command = [sys.executable, "-c", script, str(path)]
    environ = os.environ | {"TMPDIR": str(temporary)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


# ---------------------------------------------------------------------------- readers


def test_a_running_campaign_is_read_by_another_process(tmp_path: Path):
    """A reader sees the settled and the reserved recipients of a running campaign, which then goes on."""
    path = tmp_path / "journal"
    with owner(path, 3) as child:
        first = stored_campaign(path, "spring").counts
        for read in READERS:
            read(path)
        with pytest.raises(JournalInUse, match="in use"):
            opened(path)
        child.stdin.write("\n")
        child.stdin.flush()
        assert "settled" == child.stdout.readline().strip()
        second = stored_campaign(path, "spring").counts

    assert (90, 30) == (first[Outcome.ACCEPTED], first[Outcome.UNKNOWN])
    assert (120, 30) == (second[Outcome.ACCEPTED], second[Outcome.UNKNOWN])
    assert 0 == child.returncode


def test_a_reader_locks_no_sender_out_and_sees_one_moment(tmp_path: Path):
    """A campaign begins, runs and ends while its journal is read; the reader sees the moment at which it began."""
    path = tmp_path / "journal"
    with opened(path) as journal:
        journal.reserve(numbered(0))
    with StoredResults(path, "spring") as stored:
        results = iter(stored)
        first = next(results)
        with opened(path) as journal:
            journal.settle(answers(numbered(0)), journal.reserve(numbered(0)))
            journal.reserve(numbered(1))
            assert 30 == len([first, *results])
        assert {Outcome.UNKNOWN} == {result.outcome for result in stored}
    assert 60 == sum(stored_campaign(path, "spring").counts.values())


@pytest.mark.parametrize("crashed", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize("stored", sorted(STORED.iterdir()), ids=lambda file: file.stem)
def test_readers_write_nothing(stored: Path, tmp_path: Path, crashed: bool):
    """No reader changes a byte, a time or a name, of any version of the file, and also after a `kill -9`."""
    path = tmp_path / "journal"
    shutil.copy(stored, path)
    if crashed:
        running = tmp_path / "running"
        running.mkdir()
        shutil.copy(stored, running / "journal")
        with opened(running / "journal") as journal:
            journal.reserve(numbered(5))
            for ending in ("", "-wal"):
                shutil.copy(running / f"journal{ending}", f"{path}{ending}")
        shutil.rmtree(running)
    before = everything(tmp_path)
    found = [read(path) for read in READERS]

    assert before == everything(tmp_path)
    assert (crashed, 35 if crashed else 5) == ((tmp_path / "journal-wal").exists(), len(found[-1]))


def test_a_file_into_which_the_log_is_being_brought_is_read(tmp_path: Path):
    """While the log is copied into the file, its first page counts pages that are missing; so it does after a kill."""
    path, torn = tmp_path / "journal", tmp_path / "torn"
    with opened(path) as journal:
        for number in range(40):
            journal.reserve(numbered(number))
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{torn}{ending}")
    page = path.read_bytes()[:4096]
    assert len(torn.read_bytes()) < int.from_bytes(page[28:32], "big") * 4096
    torn.write_bytes(page + torn.read_bytes()[4096:])

    assert stored_results(path) == stored_results(torn)
    with opened(torn) as journal:
        assert 40 * 30 == sum(journal.counts().values())


@posix
@pytest.mark.parametrize("mode", [0o700, 0o500])
def test_what_may_only_be_read_is_read(mode: int, monkeypatch: pytest.MonkeyPatch):
    """A read-only file, in a directory that is read-only or not, is read; a writer is refused."""
    with unprivileged() as own:
        folder, room = own / "journals", own / "temporary"
        folder.mkdir()
        room.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(room))  # of this user, as the usual one may not be
        path = folder / "journal"
        with opened(path) as journal:
            journal.reserve(numbered(0))
        path.chmod(0o400)
        folder.chmod(mode)
        before = everything(folder)
        for read in READERS:
            read(path)

        assert before == everything(folder)
        with pytest.raises(JournalError, match="read-only"):
            purge(path, "spring")
        folder.chmod(0o700)


@posix
def test_a_copy_without_room_says_what_to_do(tmp_path: Path):
    """If the directory for temporary files cannot hold the copy, the error says so and names the remedy."""
    path = tmp_path / "journal"
    with opened(path) as journal:
        journal.reserve(numbered(0))
    script = (
        "import resource, sys; from webcom_async.journal import campaigns; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); campaigns(sys.argv[1])"
    )
    command = [
        sys.executable,
        "-c",
        f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {script}",
        str(path),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(tmp_path)}
    )

    assert "has no room; make room there, or set TMPDIR" in done.stderr
    assert ["journal"] == [file.name for file in tmp_path.iterdir()]


def test_a_file_that_is_still_empty_holds_no_campaign(tmp_path: Path):
    """An empty file, as it is for a moment while a first campaign begins, is read as a journal without campaigns."""
    path = tmp_path / "journal"
    path.touch()

    assert ([], False, 0) == (campaigns(path), has_begun(path, "spring"), path.stat().st_size)


@pytest.mark.anyio
async def test_a_campaign_of_many_workers_is_read_while_it_runs(tmp_path: Path):
    """Results and look-ups of a folder come from a copy while another process holds the journal."""
    store, other = SqliteStore(tmp_path / "folder"), SqliteStore(tmp_path / "folder")
    async with store, other:
        await store.plan(
            CampaignSettings(campaign="spring", message=SAID),
            [Recipient(str(to.phone), client_id_sms=to.client_id_sms) for to in wire_phones(4)],
        )
        assert [] == [result async for result in other.results("spring")]
        lease = await store.acquire("spring", 1, "one", 60.0)
        assert lease is not None
        assert [] == [result async for result in other.results("spring")]
        journal = await store.journals(lease).open(header_of(await store.settings("spring")), lambda: NOW)
        await journal.settle(answers(batch(2)), await journal.reserve(batch(2)))

        seen = [result async for result in other.results("spring", Outcome.ACCEPTED)]
        assert answers(batch(2)) == seen
        assert answers(batch(2)) == await other.lookup("spring", answers(batch(2), Outcome.UNKNOWN))
        await journal.aclose()


# ---------------------------------------------------------------------------- one owner


@posix
def test_a_second_sender_is_told_so_by_a_class_of_its_own(tmp_path: Path):
    """A journal in use is a `JournalInUse` for a second sender, under any name of the file."""
    path = tmp_path / "journal"
    opened(path).close()
    (tmp_path / "soft").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for names in ((path, tmp_path / "soft"), (tmp_path / "soft", path), (path, tmp_path / "hard")):
        with opened(names[0]):
            for name in (*names, tmp_path / "hard"):
                with pytest.raises(JournalInUse, match="in use"):
                    opened(name)
    with owner(path, 0):
        for name in (path, tmp_path / "soft", tmp_path / "hard"):
            with pytest.raises(JournalInUse, match="in use"):
                purge(name, "spring")
    opened(path).close()


@posix
def test_a_killed_owner_leaves_no_lock(tmp_path: Path):
    """After a `kill -9` of its owner the journal is read, and then opened, at once."""
    path = tmp_path / "journal"
    with owner(path, 2) as child:
        child.kill()
        child.wait()
        assert 90 == sum(stored_campaign(path, "spring").counts.values())
        with opened(path) as journal:
            assert 60 == journal.counts()[Outcome.ACCEPTED]


def _open_at_once(path: Path, barrier: Any, outcomes: Any, done: Any) -> None:
    barrier.wait()
    try:
        journal = opened(path)
    except JournalError as exc:
        outcomes.put(type(exc).__name__)
        return
    outcomes.put("opened")
    done.wait()
    journal.close()


@posix
@pytest.mark.parametrize("version", [None, "version-1.db", "version-4.db"])
def test_of_processes_that_open_a_journal_at_once_one_has_it(tmp_path: Path, version: str | None):
    """Of processes that open a new or older file at the same moment, one gets it; the others know it is in use."""
    context = multiprocessing.get_context("fork")
    for round_ in range(3):
        path = tmp_path / f"journal {round_}"
        if version is not None:
            shutil.copy(STORED / version, path)
        barrier, outcomes, done = context.Barrier(OPENERS), context.Queue(), context.Event()
        arguments = (path, barrier, outcomes, done)
        processes = [context.Process(target=_open_at_once, args=arguments) for _ in range(OPENERS)]
        for process in processes:
            process.start()
        found = Counter(outcomes.get() for _ in processes)
        done.set()
        for process in processes:
            process.join()

        assert Counter(opened=1, JournalInUse=OPENERS - 1) == found


def test_of_threads_that_open_a_journal_at_once_one_has_it(tmp_path: Path):
    """Of threads that open a new file at the same moment, one gets it, and no lock is lost."""

    def attempt(path: Path) -> CampaignFile | None:
        try:
            return opened(path)
        except JournalInUse:
            return None

    for round_ in range(10):
        path = tmp_path / f"journal {round_}"
        with ThreadPoolExecutor(OPENERS) as threads:
            found = [journal for journal in threads.map(attempt, [path] * OPENERS) if journal is not None]

        assert 1 == len(found)
        with pytest.raises(JournalInUse):
            opened(path)
        found[0].close()


@pytest.mark.anyio
async def test_files_that_several_share_are_made_once_by_all(tmp_path: Path):
    """Stores and files of reports that are new are opened by several at the same moment, and all succeed."""
    reports = [ReportFile(tmp_path / "reports") for _ in range(OPENERS)]
    stores = [SqliteStore(tmp_path / "folder") for _ in range(OPENERS)]

    async def plan(store: SqliteStore) -> None:
        await store.plan(CampaignSettings(campaign="spring", message=message()), ["79612242243"])

    async with anyio.create_task_group() as tasks:
        for file, store in zip(reports, stores, strict=True):
            tasks.start_soon(file.latest)
            tasks.start_soon(plan, store)
    for each in (*reports, *stores):
        await each.aclose()


# ---------------------------------------------------------------------------- waiting


@pytest.mark.anyio
async def test_a_sender_may_wait_for_the_journal(tmp_path: Path):
    """With `wait`, a sender gets the journal when it is free, or is told that it is still in use after that time."""
    path, travel = tmp_path / "journal", Travel()
    journal = SqliteJournal(path, wait=10.0, clock=travel.clock())
    first = opened(path)
    with pytest.raises(JournalInUse):
        await journal.open(header(), lambda: NOW)
    assert 10.0 == travel.seconds
    with pytest.raises(JournalInUse):
        await journal.purge("spring")
    assert 20.0 == travel.seconds

    async def close() -> None:
        first.close()

    travel.meanwhile = close
    await (await journal.open(header(), lambda: NOW)).aclose()

    assert 20.25 == travel.seconds


@pytest.mark.anyio
async def test_waiting_can_be_cancelled(tmp_path: Path):
    """A sender that waits without end for a journal is cancelled at once, and leaves the journal to its owner."""
    path = tmp_path / "journal"
    with opened(path) as first:
        with anyio.move_on_after(0.05) as scope:
            await SqliteJournal(path, wait=float("inf")).open(header(), lambda: NOW)
        first.reserve(batch(1))

    assert scope.cancelled_caught
    opened(path).close()


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [-1, float("nan"), True, "5", None])
async def test_a_wait_is_a_number_of_seconds(wait: Any):
    """Any other wait than a number of seconds is an error at once."""
    with pytest.raises(ConfigurationError, match="wait is"):
        SqliteJournal("journal", wait=wait)


@pytest.mark.parametrize("wait", [(), ("--wait", "0.01")])
def test_the_command_line_reads_a_running_journal_and_waits_to_send(
    tmp_path: Path, wait: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """`report` and `export` read a running journal; `send`, `retry` and `track` end with 2 and say it is in use."""
    pytest.importorskip("cyclopts", reason="the command line is an extra")
    from webcom_async.cli import main  # noqa: PLC0415 - an extra

    monkeypatch.setenv("WEBCOM_TOKEN", "token")
    path, people = str(tmp_path / "journal"), tmp_path / "people.csv"
    people.write_text("phone,client_id_sms\n79612242243,101\n")
    send = (
        "send",
        str(people),
        "--use-ids",
        "--sender",
        "ACME",
        "--text",
        TEXT,
        "--journal",
        path,
        "--campaign",
        "spring",
        "--yes",
    )
    with opened(tmp_path / "journal") as journal:
        journal.reserve(batch(3))
        assert 1 == main(["report", path, "--json"])
        assert '"unknown":3' in capsys.readouterr().out
        export_it = ["export", str(tmp_path / "results.csv"), "--journal", path, "--campaign", "spring", "--json"]
        assert 1 == main(export_it)
        assert 4 == len((tmp_path / "results.csv").read_text().splitlines())
        for command in (
            send,
            ("retry", path, "--campaign", "spring", "--unknown"),
            ("track", path, "--campaign", "spring"),
        ):
            assert 2 == main([*command, "--base-url", "http://127.0.0.1:9", *wait])
            assert "it is in use" in capsys.readouterr().err


@posix
def test_no_copy_outlives_its_reader(tmp_path: Path):
    """The copy has no name while it is read, so that a killed reader leaves no phone behind."""
    path = tmp_path / "journal"
    with opened(path) as journal:
        journal.reserve(numbered(0))
    script = (
        "import os, sys\n"
        "from webcom_async.journal import StoredResults\n"
        "stored = StoredResults(sys.argv[1], 'spring')\n"
        "print(os.listdir(os.environ['TMPDIR']), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = run_script(script, path, folder)

    assert (-9, "[]") == (done.returncode, done.stdout.strip())
    assert [] == list(folder.iterdir())


if __name__ == "__main__":
    own(Path(sys.argv[1]), int(sys.argv[2]))
