"""
What a path may lead to, and whether an open file stays where it is.

Every function that takes a path refuses anything but a regular file, and leaves it untouched. A file that is moved,
removed or replaced while it is open is noticed before anything is claimed of it.
"""

import importlib
import json
import os
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import chdir, closing
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from tests.builders import NOW, message, phones, wire_phones
from tests.conftest import Connect
from tests.test_journal import answers, batch, header, opened, states
from tests.test_resume import SALE
from tests.test_tracking import Scene
from tests.test_webhooks import ECHO, PUSH, SECRET, call, said
from webcom_async import ConfigurationError, Credentials, DeliveryState, InputError, JournalError, Outcome, SendResult
from webcom_async.audience import StopList
from webcom_async.doctor import Capabilities
from webcom_async.emulator import Fault, Gateway, Scenario, Step, serve
from webcom_async.files import CsvTable, JsonLinesTable, ResultsFile, open_table
from webcom_async.journal import StoredResults, campaigns, export, highest_price, purge, stopped_phones
from webcom_async.scaleout import CampaignSettings, CampaignState, SqliteStore
from webcom_async.webhooks import ReportFile, WebhookApp

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name != "posix", reason="devices, pipes and files that are moved while they are open"),
]

SPRING = CampaignSettings(campaign="spring", message=message())


# ---------------------------------------------------------------------------- what is no regular file


def device(path: Path) -> None:
    """Make a null device, which needs privileges."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices are made by root")
    path.chmod(0o666)


def link_to_a_device(path: Path) -> None:
    """Make a device elsewhere, and a link to it."""
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    device(elsewhere / "null")
    path.symlink_to(elsewhere / "null")


def listening_socket(path: Path) -> None:
    """Make a socket, by its name alone: a whole path may be too long for one."""
    with closing(socket.socket(socket.AF_UNIX)) as made, chdir(path.parent):
        made.bind(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "a device": device,
    "a device, behind a link": link_to_a_device,
    "a pipe": os.mkfifo,
    "a socket": listening_socket,
    "a directory": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to(path.parent / "nothing"),
}


def seen(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return all that is under *folder*, with the attributes that a change would show in."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {
        name: (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns)
        for name, status in ((name, path.lstat()) for name, path in found.items())
    }


async def commit(path: Path) -> None:
    async with ReportFile(path) as reports:
        await reports.commit([said("1", DeliveryState.DELIVER)])


DOORS: dict[str, Callable[[Path], object]] = {
    "journal": opened,
    "journal, listed": campaigns,
    "journal, exported": lambda path: next(export(path)),
    "journal, purged": lambda path: purge(path, "spring"),
    "journal, results": lambda path: StoredResults(path, "spring"),
    "reports": lambda path: anyio.run(commit, path),
    "results": ResultsFile,
    "results over earlier ones": lambda path: ResultsFile(path, replace=True).write([]),
    "results in JSON": lambda path: ResultsFile(path, replace=True).write([]),
    "credentials": Credentials.from_file,
    "capabilities, read": Capabilities.from_file,
    "capabilities, looked at": Capabilities.check_path,
    "stop list": StopList.from_file,
    "table": open_table,
    "CSV": CsvTable,
    "JSON Lines": JsonLinesTable,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", KINDS)
def test_anything_but_a_regular_file_is_refused_untouched(tmp_path: Path, kind: str, door: str):
    """A refused path keeps its mode, owner, size, time and name, gets no file beside it, and blocks no caller."""
    path = tmp_path / "given"
    KINDS[kind](path)
    before = seen(tmp_path)
    with pytest.raises((JournalError, InputError, ConfigurationError)) as refused:
        DOORS[door](path)

    assert before == seen(tmp_path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("look", [highest_price, stopped_phones], ids=["highest price", "stopped phones"])
def test_reading_a_journal_leaves_a_pipe_alone(tmp_path: Path, look: Callable[[Path], object]):
    """A missing journal has no results, and a pipe is not a journal."""
    path = tmp_path / "journal"
    assert not look(path)
    os.mkfifo(path)
    with pytest.raises(JournalError, match="it is a pipe, not a regular file; give another path"):
        look(path)


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_beside_a_journal_is_looked_at_too(tmp_path: Path, kind: str, ending: str):
    """A file beside the journal is checked too: SQLite would open it, and it gets the journal's permissions."""
    opened(tmp_path / "journal").close()
    KINDS[kind](tmp_path / f"journal{ending}")
    before = seen(tmp_path)
    with pytest.raises(JournalError, match=f"journal{ending} is in its way: it is a"):
        opened(tmp_path / "journal")

    assert before == seen(tmp_path)


async def test_a_link_to_a_regular_file_is_followed(tmp_path: Path):
    """The file behind it is the journal, private, and the link stays a link."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "real").touch(0o644)
    (tmp_path / "journal").symlink_to(folder / "real")
    with opened(tmp_path / "journal") as journal:
        journal.reserve(batch(3))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert {"real": 0o600, "real-wal": 0o600} == modes
    assert (tmp_path / "journal").is_symlink()
    assert 3 == campaigns(folder / "real")[0].counts[Outcome.UNKNOWN]


@pytest.mark.parametrize("name", ["campaigns.db", "1-spring.journal"])
@pytest.mark.parametrize("kind", ["a device", "a pipe", "a socket", "a directory"])
async def test_a_folder_of_campaigns_takes_regular_files_only(tmp_path: Path, kind: str, name: str):
    """A store's plans and journals are checked as other journals are."""
    async with SqliteStore(tmp_path) as store:
        if name != "campaigns.db":
            await store.plan(SPRING, phones(3))
        KINDS[kind](tmp_path / name)
        before = seen(tmp_path).get(name)
        with pytest.raises(JournalError, match=f"{name}: it is a"):
            await (store.plan(SPRING, phones(3)) if name == "campaigns.db" else store.acquire("spring", 1, "one", 60.0))

    assert before == seen(tmp_path).get(name)


def test_a_database_of_dbos_is_a_regular_file(tmp_path: Path):
    """The engine refuses another path before SQLAlchemy opens it."""
    pytest.importorskip("dbos", reason="the engine is an extra")
    dbos = importlib.import_module("webcom_async.scaleout.dbos")
    os.mkfifo(tmp_path / "engine.db")
    with pytest.raises(InputError, match=r"engine\.db: it is a pipe"):
        dbos.DbosEngine(SqliteStore(tmp_path), system_database_url=f"sqlite:///{tmp_path}/engine.db")


def test_an_empty_results_file_is_put_aside_and_a_dangling_name_kept(tmp_path: Path):
    """An empty results file is put aside as an earlier run's; a dangling link with the next name is kept."""
    path = tmp_path / "results.csv"
    path.touch()
    (tmp_path / "results.csv.1").symlink_to("nothing")
    file = ResultsFile(path, replace=True)
    file.write([(answers(batch(1))[0], None)])
    file.close()

    assert (tmp_path / "results.csv.1").is_symlink()
    assert 0 == (tmp_path / "results.csv.2").stat().st_size
    assert path.read_text().startswith("phone,")


def test_a_file_in_the_place_of_earlier_results_is_not_put_aside(tmp_path: Path):
    """The file is checked again when the first results arrive."""
    path = tmp_path / "results.csv"
    path.touch()
    file = ResultsFile(path, replace=True)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="exists already, and is not overwritten"):
        file.write([(answers(batch(1))[0], None)])

    assert ["results.csv"] == [each.name for each in tmp_path.iterdir()]
    path.unlink()
    file.write([(answers(batch(1))[0], None)])
    file.close()
    assert 2 == len(path.read_text().splitlines())


# ---------------------------------------------------------------------------- what is moved while it is open


def move(path: Path) -> None:
    """Move a file, and nothing of what lies beside it."""
    path.rename(f"{path}.moved")


def move_all(path: Path) -> None:
    """Move a file with what lies beside it."""
    for each in list(path.parent.glob(f"{path.name}*")):
        each.rename(each.with_name(each.name.replace(path.name, f"{path.name}.moved")))


def replace(path: Path) -> None:
    """Put a copy in a file's place."""
    shutil.copy(path, f"{path}.copy")
    Path(f"{path}.copy").replace(path)


def move_folder(path: Path) -> None:
    """Move the folder that a file is in."""
    path.parent.rename(f"{path.parent}.moved")


WAYS: dict[str, Callable[[Path], object]] = {
    "moved": move,
    "moved with all": move_all,
    "removed": Path.unlink,
    "replaced": replace,
    "emptied": lambda path: os.truncate(path, 0),
    "its -wal removed": lambda path: Path(f"{path}-wal").unlink(),
    "its -wal replaced": lambda path: replace(Path(f"{path}-wal")),
    "its folder moved": move_folder,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a file may be made, in a folder of its own."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "spring"


class Stage(NamedTuple):
    """A call to a journal, and the calls before it."""

    before: Callable[[Any], object]
    call: Callable[[Any], object]


STAGES = {
    "reserved": Stage(lambda _: None, lambda journal: journal.reserve(batch(3))),
    "reserved in rows": Stage(lambda journal: journal.counts(), lambda journal: journal.reserve(batch(3))),
    "settled": Stage(
        lambda journal: journal.reserve(batch(3)), lambda journal: journal.settle(answers(batch(3)), reserved(batch(3)))
    ),
    "settled in rows": Stage(
        lambda journal: journal.reserve(batch(3)), lambda journal: journal.settle(answers(batch(3)))
    ),
}


def reserved(addressed: list[Any]) -> Any:
    """Return what a journal said of the first batch of its log."""
    from webcom_async.journal import Reservation  # noqa: PLC0415

    return Reservation(addressed, [], [], set(), 1)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("way", WAYS)
def test_a_journal_that_is_gone_claims_nothing(path: Path, way: str, stage: str):
    """A journal that is gone neither lets recipients leave nor says that their results are kept."""
    with opened(path) as journal:
        STAGES[stage].before(journal)
        WAYS[way](path)
        with pytest.raises(JournalError, match="was moved, removed or replaced while it was open"):
            STAGES[stage].call(journal)


@pytest.mark.parametrize("way", ["moved", "moved with all", "its -wal removed"])
def test_what_was_written_before_a_move_is_in_the_moved_file(path: Path, way: str):
    """A file that is moved without its `-wal`, or loses it, is complete when it is closed."""
    with opened(path) as journal:
        journal.settle(answers(batch(3)), journal.reserve(batch(3)))
        WAYS[way](path)
    found = path if path.exists() else Path(f"{path}.moved")

    assert 3 == campaigns(found)[0].counts[Outcome.ACCEPTED]


def test_a_journal_that_is_put_back_goes_on(path: Path):
    """After a journal is put back, a failed write counts right, whether it is in the file or not."""
    with opened(path) as journal:
        first = journal.reserve(batch(3))
        move(path)
        with pytest.raises(JournalError):
            journal.settle(answers(batch(3)), first)
        with pytest.raises(JournalError):
            journal.reserve([(message("Other"), wire_phones(5)[3:])])
        Path(f"{path}.moved").rename(path)
        journal.reserve([(message("Other"), wire_phones(5)[3:])])
        journal.settle(answers(batch(3)), first)
        assert [Outcome.ACCEPTED] * 3 + [Outcome.UNKNOWN] * 2 == list(states(journal).values())


def test_what_is_left_of_a_moved_file_is_not_thrown_away(path: Path):
    """A `-wal` without its file stays: SQLite would remove it, with the latest rows of a file that may come back."""
    with opened(path) as journal:
        journal.settle(answers(batch(3)), journal.reserve(batch(3)))
        shutil.copy(path, f"{path}.elsewhere")  # to another disk, as `mv` does it
        path.unlink()
    for found in (lambda: None, path.touch):
        found()
        with pytest.raises(JournalError, match="spring-wal is there with the latest of them"):
            opened(path)
    Path(f"{path}.elsewhere").replace(path)

    assert 3 == campaigns(path)[0].counts[Outcome.ACCEPTED]


def test_a_changed_working_directory_moves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative path keeps leading where it led when the file was opened."""
    monkeypatch.chdir(path.parent)
    with opened(Path(path.name)) as journal:
        monkeypatch.chdir("/")
        journal.reserve(batch(3))


def test_a_link_that_leads_elsewhere_is_noticed(path: Path):
    """A link that changes its target is an error: the next process would open another file."""
    path.symlink_to("one")
    (path.parent / "one").touch()
    with opened(path) as journal:
        journal.reserve(batch(3))
        path.unlink()
        path.symlink_to("two")
        (path.parent / "two").touch()
        with pytest.raises(JournalError, match="was moved, removed or replaced"):
            journal.settle(answers(batch(3)))


class Moving:
    """A gate of the emulator that, when a request arrives there, moves a file away."""

    def __init__(self, path: Path, way: Callable[[Path], object]) -> None:
        self._path = path
        self._way = way

    def set(self) -> None:
        self._way(self._path)

    async def wait(self) -> object:
        return None


def put_back(path: Path) -> None:
    """Undo a move."""
    for moved in list(path.parent.glob(f"{path.name}.moved*")):
        moved.replace(moved.with_name(moved.name.replace(".moved", "")))


AFTERWARDS: dict[str, Callable[[Path], Path]] = {
    "put back": lambda path: put_back(path) or path,
    "used where it is": lambda path: Path(f"{path}.moved"),
}


async def run(connect: Connect, gateway: Gateway, journal: Path) -> list[SendResult]:
    """Run a campaign of forty and return its results."""
    found: list[SendResult] = []
    async with (
        connect(gateway, batch_size=5, in_flight=2) as client,
        client.stream(phones(40), journal=journal, **SALE) as results,
    ):
        try:
            async for result in results:
                found.append(result)
        except JournalError:
            found += results.unread
            raise
        finally:
            assert {
                each.client_id_sms for each in found if each.outcome is Outcome.ACCEPTED
            } <= gateway.ledger.ids().keys()
    return found


@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("way", ["moved", "moved with all"])
@pytest.mark.parametrize("number", [0, 3])
async def test_a_campaign_ends_when_its_journal_is_moved_and_goes_on_later(
    connect: Connect, webcom_gateway: Gateway, path: Path, number: int, way: str, afterwards: str
):
    """Nothing leaves without the journal; put back, or opened in its new place, it sends to the rest, once each."""
    webcom_gateway.faults.script(*[Fault()] * number, Fault(arrived=Moving(path, WAYS[way])))
    with pytest.raises(JournalError, match="was moved, removed or replaced while it was open") as ended:
        await run(connect, webcom_gateway, path)
    assert ended.value.report is not None
    assert not ended.value.report.complete
    requests = webcom_gateway.requests
    assert requests <= number + 2
    results = await run(connect, webcom_gateway, AFTERWARDS[afterwards](path))

    assert {Outcome.ACCEPTED: 40} == {outcome: len(list(results)) for outcome in {each.outcome for each in results}}
    assert sorted(phones(40)) == sorted(sms.phone for sms in webcom_gateway.ledger.sent)
    assert webcom_gateway.ledger.ids() == {each.client_id_sms: each.id_sms for each in results}


async def test_a_campaign_that_lost_its_journal_bills_no_recipient_twice(
    connect: Connect, webcom_gateway: Gateway, path: Path
):
    """With a new, empty journal the same campaign derives the same ids, so the gateway sends no second SMS."""
    webcom_gateway.faults.script(Fault(), Fault(arrived=Moving(path, Path.unlink)))
    with pytest.raises(JournalError):
        await run(connect, webcom_gateway, path)
    with pytest.raises(JournalError, match="remove that file"):
        await run(connect, webcom_gateway, path)
    Path(f"{path}-wal").unlink()
    await run(connect, webcom_gateway, path)

    assert sorted(phones(40)) == sorted(sms.phone for sms in webcom_gateway.ledger.sent)


# ---------------------------------------------------------------------------- reports and tracking


@pytest.mark.parametrize("way", WAYS)
async def test_a_report_is_not_acknowledged_once_its_file_is_gone(
    path: Path, way: str, caplog: pytest.LogCaptureFixture
):
    """A report without its file is left for the gateway to offer again, and the log says why."""
    async with ReportFile(path) as reports:
        app = WebhookApp(reports, secret=SECRET)
        assert (200, ECHO) == ((answer := await call(app)).status, answer.body)
        WAYS[way](path)
        refused = await call(app, PUSH.replace(b"32", b"99"))

    assert (503, b"") == (refused.status, refused.body)
    assert "was moved, removed or replaced while it was open" in caplog.text


async def test_a_file_of_reports_that_is_put_back_goes_on(path: Path):
    """Once the file is back, the application acknowledges again, and every acknowledged report is in it."""
    async with ReportFile(path) as reports:
        app = WebhookApp(reports, secret=SECRET)
        await call(app)
        move(path)
        assert 503 == (await call(app, PUSH.replace(b"32", b"99"))).status
        put_back(path)
        assert 200 == (await call(app, PUSH.replace(b"32", b"99"))).status
        assert 4 == len(await reports.known(["3234", "3235", "9934", "9935"]))


async def test_what_was_acknowledged_before_a_move_is_in_the_moved_file(path: Path):
    """A file of reports that is moved away has every report that was acknowledged."""
    async with ReportFile(path) as reports:
        await call(WebhookApp(reports, secret=SECRET))
        move(path)
    async with ReportFile(f"{path}.moved") as moved:
        assert {"3234", "3235"} == set(await moved.known(["3234", "3235"]))


@pytest.mark.parametrize(
    "look",
    [
        lambda reports: reports.after(0),
        lambda reports: reports.latest(),
        lambda reports: reports.find("1"),
        lambda reports: reports.purge(NOW),
    ],
    ids=["after", "latest", "find", "purge"],
)
async def test_a_reader_of_reports_fails_when_the_file_is_gone(
    path: Path, look: Callable[[ReportFile], Awaitable[Any]]
):
    """A reader of a file that is gone gets an error: it would miss what others write, without a sign."""
    async with ReportFile(path) as reports:
        await look(reports)
        move(path)
        with pytest.raises(JournalError, match="was moved, removed or replaced"):
            await look(reports)


async def test_a_removed_shm_is_noticed_too(path: Path):
    """A removed `-shm` is an error: with a new one, two processes would not see each other's writes."""
    async with ReportFile(path) as reports:
        Path(f"{path}-shm").unlink()
        with pytest.raises(JournalError, match="spring-shm was moved, removed or replaced"):
            await reports.latest()


@pytest.mark.parametrize("which", ["journal", "reports"])
async def test_tracking_ends_when_one_of_its_files_is_moved(connect: Connect, tmp_path: Path, which: str):
    """Tracking counts only what its files have; with them back, every SMS reaches a terminal state."""
    scene = Scene(tmp_path)
    path = scene.journal if which == "journal" else scene.reports
    async with scene.client(connect) as client:
        await scene.send(client, 20)
        async with client.track(scene.journal, campaign="spring", reports=scene.reports) as changes:
            move(path)
            with pytest.raises(JournalError, match="was moved, removed or replaced"):
                await anext(changes)
            assert 0 == changes.report.final
        put_back(path)
        _, report = await scene.track(client, reports=scene.reports)

    assert 20 == report.final


# ---------------------------------------------------------------------------- folders of campaigns


@pytest.mark.parametrize("name", ["campaigns.db", "1-spring.journal"])
async def test_a_store_that_is_moved_lets_nothing_leave(tmp_path: Path, name: str):
    """A store checks its plans and journals before a reservation counts."""
    async with SqliteStore(tmp_path / "store") as store:
        await store.plan(SPRING, phones(3))
        lease = await store.acquire("spring", 1, "one", 60.0)
        assert lease is not None
        journal = await store.journals(lease).open(header("spring", said=message()), now=lambda: NOW)
        move(tmp_path / "store" / name)
        with pytest.raises(JournalError, match="was moved, removed or replaced"):
            await journal.reserve([(message(), wire_phones(3))])
        put_back(tmp_path / "store" / name)
        kept = await journal.reserve([(message(), wire_phones(3))])
        move(tmp_path / "store" / name)
        with pytest.raises(JournalError, match="was moved, removed or replaced"):
            await journal.settle(answers([(message(), wire_phones(3))]), kept)
        put_back(tmp_path / "store" / name)
        await journal.aclose()


async def test_a_store_that_is_moved_does_not_return_a_status(tmp_path: Path):
    """After a move, other processes pause and cancel the campaign in another file, so its status is an error."""
    async with SqliteStore(tmp_path / "store") as store:
        await store.plan(SPRING, phones(3))
        assert CampaignState.RUNNING is (await store.status("spring")).state
        (tmp_path / "store").rename(tmp_path / "moved")
        with pytest.raises(JournalError, match="was moved, removed or replaced"):
            await store.status("spring")


# ---------------------------------------------------------------------------- results


@pytest.mark.parametrize("name", ["results.csv", "results.jsonl", "results.parquet"])
@pytest.mark.parametrize("way", ["moved", "removed", "replaced"])
def test_a_results_file_says_whether_it_is_in_place(tmp_path: Path, name: str, way: str):
    """Rows are still written to the moved file, and a file in its place is left alone."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="Parquet is an extra")
    path = tmp_path / name
    file = ResultsFile(path)
    assert file.in_place
    WAYS[way](path)
    assert not file.in_place
    before = seen(tmp_path).get(name)
    file.close()

    assert before == seen(tmp_path).get(name)


def test_no_results_leave_no_file(tmp_path: Path):
    """An empty results file that was not moved is removed, and counts as in place."""
    file = ResultsFile(tmp_path / "results.csv")
    file.close()

    assert file.in_place
    assert [] == list(tmp_path.iterdir())


# ---------------------------------------------------------------------------- the command line


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return the command line, with an account, in a working directory of its own, and no gateway to reach."""
    for extra in ("cyclopts", "rich", "uvicorn"):
        pytest.importorskip(extra, reason="the command line is an extra")
    from webcom_async.cli import main  # noqa: PLC0415

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("WEBCOM_TOKEN", Gateway().token)
    monkeypatch.setenv("WEBCOM_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WEBCOM_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("WEBCOM_LANG", "en")
    Path("phones.csv").write_text("phone\n" + "\n".join(phones(3)))
    with opened(Path("spring.journal")) as journal:
        journal.settle(answers(batch(3)), journal.reserve(batch(3)))
    return lambda *words: main(list(words))


SENT = ("send", "phones.csv", "--sender", "ACME", "--text", "Sale!", "--campaign", "autumn")
COMMANDS = {
    "send --journal": (*SENT, "--journal", "given"),
    "send --results": (*SENT, "--results", "given"),
    "send --results, with a journal": (*SENT, "--results", "given", "--journal", "autumn.journal"),
    "send --stop-list": (*SENT, "--stop-list", "given"),
    "send --credentials": (*SENT, "--credentials", "given"),
    "send --capabilities": (*SENT, "--capabilities", "given"),
    "send FILE": ("send", "given", *SENT[2:]),
    "preview --journal": ("preview", "phones.csv", "--text", "Sale!", "--journal", "given"),
    "report": ("report", "given"),
    "retry": ("retry", "given", "--campaign", "spring", "--unknown"),
    "retry --results": ("retry", "spring.journal", "--campaign", "spring", "--unknown", "--results", "given"),
    "export": ("export", "given", "--journal", "spring.journal", "--campaign", "spring"),
    "export --journal": ("export", "new.csv", "--journal", "given", "--campaign", "spring"),
    "track": ("track", "given", "--campaign", "spring"),
    "track --reports": ("track", "spring.journal", "--campaign", "spring", "--reports", "given"),
    "track --changes": ("track", "spring.journal", "--campaign", "spring", "--changes", "given"),
    "webhook": ("webhook", "given", "--port", "0"),
    "status --file": ("status", "--file", "given"),
    "doctor --out": ("doctor", "79612242243", "--sender", "ACME", "--yes", "--out", "given"),
    "emulate --stop-list": ("emulate", "--port", "0", "--stop-list", "given"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_refuses_anything_but_a_regular_file(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], kind: str, words: tuple[str, ...]
):
    """Every command exits with 2, names the path in one line, and leaves it as it was."""
    KINDS[kind](Path("given"))
    before = {name: found for name, found in seen(Path()).items() if name.startswith(("given", "elsewhere"))}

    assert 2 == command(*words)
    assert before == {name: found for name, found in seen(Path()).items() if name.startswith(("given", "elsewhere"))}
    told = capsys.readouterr().err.strip()
    assert "given" in told
    assert 1 == len(told.splitlines())


@pytest.mark.parametrize("name", ["campaigns.db", "worker.lock", "engine.db"])
@pytest.mark.parametrize("kind", ["a device", "a pipe", "a socket", "a directory", "a link to nothing"])
def test_a_folder_of_the_command_line_takes_regular_files_only(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], kind: str, name: str
):
    """Nothing is sent from a folder with a pipe or device in place of its files."""
    pytest.importorskip("webcom_async.scaleout.dbos", reason="the engine is an extra")
    Path("store").mkdir()
    KINDS[kind](Path("store") / name)
    before = seen(Path("store"))[name]
    words = ("campaign", "start", "phones.csv", *SENT[2:], "--store", "store", "--yes")

    assert 2 == command(*words)
    assert before == seen(Path("store"))[name]
    assert name in capsys.readouterr().err


@pytest.fixture
def gateway(command: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Return the gateway on a socket that the command line sends to."""
    assert command
    gateway = Gateway()
    with serve(gateway) as url:
        monkeypatch.setenv("WEBCOM_BASE_URL", url)
        yield gateway


@pytest.mark.socket
def test_a_campaign_whose_results_are_moved_goes_on_and_says_so(
    command: Callable[..., int], gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    """The command warns once; all rows are in the moved file, and nothing is in the old place."""
    gateway.faults.script(Fault(), Fault(arrived=Moving(Path("results.csv"), move)))
    assert 0 == command(*SENT, "--results", "results.csv", "--batch-size", "1", "--in-flight", "1")

    assert 3 == len(gateway.ledger.sent)
    assert 1 == capsys.readouterr().err.count("results.csv was moved or removed while it was written")
    assert 4 == len(Path("results.csv.moved").read_text().splitlines())
    assert not Path("results.csv").exists()


@pytest.mark.socket
def test_a_command_whose_journal_is_moved_ends_and_can_be_run_again(
    command: Callable[..., int], gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    """The command exits with 3; when the journal is back, the same command sends to the rest."""
    words = (*SENT, "--journal", "autumn.journal", "--batch-size", "1", "--in-flight", "1")
    gateway.faults.script(Fault(), Fault(arrived=Moving(Path("autumn.journal"), move)))
    assert 3 == command(*words)
    assert "was moved, removed or replaced while it was open" in capsys.readouterr().err
    assert 2 == len(gateway.ledger.sent)
    put_back(Path("autumn.journal"))

    assert 0 == command(*words)
    assert sorted(phones(3)) == sorted(sms.phone for sms in gateway.ledger.sent)


@pytest.mark.socket
@pytest.mark.parametrize("name", ["1-autumn.journal", "campaigns.db", "engine.db", ""])
def test_a_campaign_ends_when_its_store_is_moved_and_goes_on_later(
    command: Callable[..., int], gateway: Gateway, capsys: pytest.CaptureFixture[str], name: str
):
    """The command stops sending and ends; when the store is back, the same command sends to the rest."""
    pytest.importorskip("webcom_async.scaleout.dbos", reason="the engine is an extra")
    words = ("campaign", "start", "phones.csv", *SENT[2:], "--store", "store", "--yes", "--batch-size", "1")
    gateway.faults.script(Fault(arrived=Moving(Path("store", name), move)))
    assert 3 == command(*words, "--shard-size", "1")
    assert "was moved, removed or replaced while it was open" in capsys.readouterr().err
    assert 3 > len(gateway.ledger.sent)
    put_back(Path("store", name))

    assert 0 == command(*words, "--shard-size", "1")
    assert sorted(phones(3)) == sorted(sms.phone for sms in gateway.ledger.sent)


@pytest.mark.socket
def test_tracking_whose_changes_are_moved_says_so(
    command: Callable[..., int], gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    """The command warns, and all changes are in the moved file."""
    gateway.scenarios.default = Scenario((Step(0.0, "deliver"),))
    command(*SENT, "--journal", "autumn.journal")
    gateway.faults.script(Fault(arrived=Moving(Path("changes.csv"), move)))
    assert 0 == command("track", "autumn.journal", "--campaign", "autumn", "--first", "0", "--changes", "changes.csv")

    assert "changes.csv was moved or removed while it was written" in capsys.readouterr().err
    assert 4 == len(Path("changes.csv.moved").read_text().splitlines())


@pytest.mark.socket
def test_a_check_up_prints_its_findings_even_if_it_cannot_keep_them(
    command: Callable[..., int], gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    """The findings come before the error, because their SMS were paid for."""
    Path("out").mkdir()
    gateway.faults.script(Fault(arrived=Moving(Path("out"), move)))
    words = ("doctor", "79612242243", "--sender", "ACME", "--yes", "--json")
    assert 2 == command(*words, "--out", "out/capabilities.json")

    told = capsys.readouterr()
    assert len(gateway.ledger.sent) == json.loads(told.out)["sms"]
    assert "out/capabilities.json" in told.err


async def test_a_link_in_the_place_of_a_moved_file_is_noticed(tmp_path: Path):
    """A link to the moved file is an error: SQLite looks for the `-wal` beside the target."""
    path, moved = tmp_path / "reports.db", tmp_path / "moved.db"
    async with ReportFile(path) as reports:
        app = WebhookApp(reports, secret=SECRET)
        before = await call(app, PUSH)
        path.rename(moved)
        path.symlink_to(moved)
        after = await call(app, PUSH.replace(b"32", b"99"))

    assert (200, 503) == (before.status, after.status)
