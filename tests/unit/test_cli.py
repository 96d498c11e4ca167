"""The command line's parts: signals, messages, hints and exports."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

pytest.importorskip("cyclopts", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")

from cyclopts import App, Argument

from tests.builders import message, phones
from tests.test_journal import answers, batch
from webcom_async import (
    Clock,
    IdScheme,
    InputError,
    WebcomClient,
)
from webcom_async._cli.app import app
from webcom_async._cli.commands.webhook import _StoreMessages
from webcom_async._cli.run.campaign_run import SendPlan, run_campaign
from webcom_async._cli.run.result_export import Filing
from webcom_async._cli.run.result_join import Joined
from webcom_async._cli.run.resume_hint import remember_command, same_command, way_on
from webcom_async._cli.run.store_location import without_password
from webcom_async._cli.signals import Terminated, listening, terminable
from webcom_async._cli.ui.translations import choose_language
from webcom_async._cli.ui.worker_messages import WorkerMessages
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience import Audience
from webcom_async.audience.calling_hours import CallingHours, Rounds
from webcom_async.cli import main
from webcom_async.emulator import Gateway, GatewayTransport, serve
from webcom_async.events import (
    BatchSent,
    CampaignHalted,
    CampaignMissing,
    CampaignsAwaited,
    CampaignsNotStarted,
    CampaignsUnseen,
    EngineVersionAwaited,
    Event,
    OverseerFailed,
    OverseerSilent,
    ReportsCommitted,
    ReportsNotCommitted,
    ShardFailed,
    ShardGivenBack,
    ShardLost,
    StoreAwaited,
    StoreAway,
    StoreBack,
)

SHARD = {"campaign": "spring", "shard": 3}


TROUBLES: dict[Event, tuple[str, str]] = {
    StoreAway(store="db:5432/webcom", error="refused"): (
        "db:5432/webcom cannot be reached just now; waiting for it (refused)",
        "db:5432/webcom сейчас недоступен; ждём (refused)",
    ),
    StoreBack(store="db:5432/webcom"): ("db:5432/webcom is reached again", "db:5432/webcom снова доступен"),
    StoreAwaited(error="away"): ("still waiting: away", "ждём дальше: away"),
    ShardGivenBack(**SHARD, error="no route"): (
        "spring, shard 3: given back, because it cannot be sent from here now: no route",
        "spring, порция 3: возвращена, потому что отсюда сейчас не отправить: no route",
    ),
    ShardLost(**SHARD, error="late"): ("spring, shard 3: given up: late", "spring, порция 3: оставлена: late"),
    ShardFailed(**SHARD, error="other account"): (
        "spring: not sent from here: other account",
        "spring: отсюда не отправляется: other account",
    ),
    CampaignHalted(campaign="spring", error="OutOfBalance", why="no SMS left"): (
        "spring: halted: no SMS left",
        "spring: прервана: no SMS left",
    ),
    OverseerFailed(campaign="spring", error="KeyError: 1"): (
        "spring: its shards could not be handed out, which is tried again: KeyError: 1",
        "spring: порции не удалось раздать, попробуем снова: KeyError: 1",
    ),
    OverseerSilent(campaign="spring"): (
        "spring: nothing is heard of the worker that oversees it; another one does from now on",
        "spring: исполнитель, который следил за ней, молчит; теперь следит другой",
    ),
    CampaignsUnseen(error="away"): (
        "it could not be looked at which campaigns run: away",
        "не удалось узнать, какие рассылки идут: away",
    ),
    CampaignsAwaited(): (
        "no campaign is running here; waiting for one",
        "идущих рассылок здесь нет; ждём новую",
    ),
    CampaignMissing(campaign="spring"): (
        (
            "spring: not in the store any more: it was purged, or the server is another, empty one, as after a "
            "failover; "
            "restore the store, or start the campaign again"
        ),
        (
            "spring: в хранилище её больше нет: её удалили, или это другой, пустой сервер, как после переключения на "
            "резервный; восстановите хранилище или начните рассылку заново"
        ),
    ),
    EngineVersionAwaited(campaign="spring", version="2", own_version="1"): (
        (
            "spring: waiting for a worker of engine version 2, because it was started by another release; this "
            "worker has "
            "version 1: run workers of that release to its end"
        ),
        (
            "spring: ждёт исполнителя с движком версии 2, потому что её начал другой выпуск; у этого исполнителя "
            "версия 1: "
            "до её конца запускайте исполнителей того выпуска"
        ),
    ),
    CampaignsNotStarted(error="'a/1'"): ("not started: 'a/1'", "не начаты: 'a/1'"),
}


@pytest.mark.parametrize("event", TROUBLES, ids=lambda event: event.name)
@pytest.mark.parametrize("lang", ["en", "ru"])
def test_a_workers_trouble_is_a_sentence(event: Event, lang: str, capsys: pytest.CaptureFixture[str]):
    """An operator reads one sentence about it, once, in the chosen language."""
    choose_language(lang)
    messages = WorkerMessages()
    choose_language("en")  # as in the engine's tasks, where no language is chosen
    for _ in range(3):
        messages(event)

    assert TROUBLES[event][lang == "ru"] == capsys.readouterr().err.strip()


def test_what_is_no_trouble_is_not_shown(capsys: pytest.CaptureFixture[str]):
    """A worker without trouble prints nothing."""
    WorkerMessages()(BatchSent(campaign="spring", batch=1, attempt=1, recipients=500))

    assert "" == capsys.readouterr().err


def test_a_store_that_is_away_in_other_words_is_shown_once(capsys: pytest.CaptureFixture[str]):
    """One outage is shown once, although its error varies; the store's return and the next outage are shown too."""
    messages = WorkerMessages()
    for event in (
        StoreAway(store="db", error="refused"),
        StoreAway(store="db", error="timed out"),
        StoreBack(store="db"),
        StoreBack(store="db"),
        StoreAway(store="db", error="refused"),
    ):
        messages(event)

    assert 3 == len(capsys.readouterr().err.splitlines())


def test_reports_that_cannot_be_stored_are_shown_until_they_are(capsys: pytest.CaptureFixture[str]):
    """The cause is shown once, and again if it recurs after reports were stored."""
    messages, full = _StoreMessages(), ReportsNotCommitted(reports=2, error="reports.db: the disk is full")
    for event in (full, full, ReportsCommitted(reports=2), full):
        messages(event)

    sentence = "webcom-async: reports.db: the disk is full; until then the answer is 503, and the gateway offers its"
    assert [f"{sentence} reports again"] * 2 == capsys.readouterr().err.splitlines()


# ---------------------------------------------------------------------------- signals


def test_sigterm_raises_before_and_after_a_campaign():
    """Outside a campaign SIGTERM ends a command as Ctrl-C does, and its old handler is restored at the end."""
    gateway = Gateway()
    plan = SendPlan(
        client=lambda: WebcomClient(token=gateway.token, transport=GatewayTransport(gateway)),
        recipients=phones(10),
        total=10,
        message=message(),
        sender=None,
        campaign="spring",
    )
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with terminable():
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
        ended = run_campaign(plan, visible=False)
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)

    assert (10, None) == (ended.report.accepted, ended.stopped)
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_a_loop_without_signals_lets_them_raise():
    """Where an event loop cannot receive signals, as on Windows, a campaign runs, and SIGTERM still raises."""

    class Deaf(asyncio.SelectorEventLoop):
        def add_signal_handler(self, *_: object) -> None:
            raise NotImplementedError

    async def told_to_stop() -> None:
        async with listening(lambda number: pytest.fail(f"{number} was received")):
            await anyio.lowlevel.checkpoint()
            signal.raise_signal(signal.SIGTERM)

    with terminable(), pytest.raises(Terminated):
        anyio.run(told_to_stop, backend_options={"loop_factory": Deaf})


def test_signals_are_left_alone_outside_the_main_thread():
    """A command in another thread installs no signal handler, because no signal arrives there."""

    async def listen() -> None:
        async with listening(lambda _: None):
            await anyio.lowlevel.checkpoint()

    with ThreadPoolExecutor() as threads, terminable():
        handler = signal.getsignal(signal.SIGTERM)
        threads.submit(anyio.run, listen).result()
        threads.submit(terminable().__enter__).result()

        assert handler == signal.getsignal(signal.SIGTERM)


def test_what_fails_while_listening_comes_out_bare():
    """An exception of the block is not wrapped in a group."""

    async def fail() -> None:
        async with listening(lambda _: None):
            raise InputError("wrong")

    with pytest.raises(InputError, match="wrong"):
        anyio.run(fail)


# ---------------------------------------------------------------------------- campaigns and their commands


def write(tmp_path: Path, content: str, name: str = "people.csv") -> str:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return str(path)


class Day:
    """A clock that advances only by sleeping."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @contextmanager
    def clock(self) -> Iterator[Clock]:
        yield Clock(now=lambda: self.now, sleep=self.sleep)


def test_each_is_sent_to_in_the_hours_of_their_own_zone(tmp_path: Path):
    """Outside the hours of its zone a recipient waits for the next morning; each is sent to exactly once."""
    zones = {"7": "Europe/Moscow", "1": "America/New_York", "8": "Asia/Tokyo"}
    file = write(tmp_path, "phone\n79612242243\n12125550100\n81312345678\nbad\n12125550101")
    gateway, day = Gateway(), Day(datetime(2030, 1, 1, 10, 0, tzinfo=UTC))
    sent_at: dict[str, datetime] = {}
    people = Audience(file, "Sale!")
    hours = CallingHours(time(9), time(20), UTC, lambda phone: (zones[phone[0]],))
    rounds = Rounds(people.people, hours, lambda: day.now)

    class Watched(GatewayTransport):
        async def send(self, *given: object, **named: object) -> object:
            answer = await super().send(*given, **named)  # type: ignore[arg-type]
            sent_at.update({sms.phone: day.now for sms in gateway.ledger.sent if sms.phone not in sent_at})
            return answer

    with day.clock() as clock:
        joined = Joined(rounds.people, IdScheme("spring"), None)
        plan = SendPlan(
            client=lambda: WebcomClient(token=gateway.token, transport=Watched(gateway)),  # type: ignore[arg-type]
            recipients=joined,
            total=4,
            message=message(),
            sender=None,
            campaign="spring",
            rounds=rounds,
            clock=clock,
        )
        report = joined.report(run_campaign(plan, visible=False, results=joined).report)

    assert (True, 4, 1) == (report.complete, report.accepted, report.not_sent)
    # 10:00 UTC is 13:00 in Moscow, 19:00 in Tokyo and 5:00 in New York, where 9:00 is 14:00 UTC.
    assert {
        "79612242243": datetime(2030, 1, 1, 10, tzinfo=UTC),
        "81312345678": datetime(2030, 1, 1, 10, tzinfo=UTC),
        "12125550100": datetime(2030, 1, 1, 14, tzinfo=UTC),
        "12125550101": datetime(2030, 1, 1, 14, tzinfo=UTC),
    } == sent_at


@pytest.mark.skipif(os.name != "posix", reason="bash reads the command")
@pytest.mark.parametrize(
    "words",
    [
        ["send", "a.csv", "--text", "Hello  {name},\nsee you \U0001f468\u200d\U0001f469 it's \\ $HOME"],
        ["send", "--text", "--campaign=x", "--", "-big.csv"],
    ],
)
def test_the_command_that_goes_on_is_the_one_that_was_given(words: list[str]):
    """The resume hint, pasted into bash, has all words of the original command, and the campaign's name."""
    remember_command(words)
    line = printable(" ".join(way_on("spring 1", made_up=True).split()))
    command = line.partition("webcom-async ")[2]
    shown = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout
    given = shown.decode().split("\0")[:-1]

    place = given.index("--campaign")
    assert "spring 1" == given[place + 1]
    assert words == given[:place] + given[place + 2 :]
    assert "--" not in given[:place]


# ---------------------------------------------------------------------------- passwords


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cr3t@host:5432/db", "postgresql://me@host:5432/db"),
        (
            "postgresql://host/db?user=me&password=s3cr3t&sslmode=require",
            "postgresql://host/db?user=me&sslmode=require",
        ),
        ("postgresql://me:s3cr3t%40@[::1/db", "…"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("mysql://me:s3cr3t/x@host/db", "mysql://me@host/db"),
        ("postgresql://me:1/s3cr3t@x@host/db", "postgresql://me@host/db"),
        ("postgresql://me:1?s3cr3t@host/db", "…"),
        ("postgresql://me:1#s3cr3t@host/db", "…"),
        ("postgresql://host/db?user=me&password=1@s3cr3t", "…"),
        ("host=h password=s3cr3t", "…"),
        ("password = s3cr3t", "…"),
        ("a folder", "a folder"),
        ("a=folder", "a=folder"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str):
    """No form of a URL shows its password, nor does the resume hint."""
    assert shown == without_password(url)
    remember_command(["campaign", "start", f"--store={url}", "--store", url])
    assert "s3cr3t" not in same_command("spring", made_up=False)


# ---------------------------------------------------------------------------- exports


def test_an_export_that_is_removed_meanwhile_is_not_done(tmp_path: Path):
    """An export whose file is removed while it writes ends with an error."""
    with (
        pytest.raises(InputError, match="was moved or removed while it was written; run the command again"),
        Filing(tmp_path / "results.csv", None) as filing,
    ):
        filing.write([(answers(batch(1))[0], None)])
        [written] = tmp_path.iterdir()
        written.unlink()


# ---------------------------------------------------------------------------- blank values


TEXTS = ("str", "Path")
MAY_BE_BLANK = {("--delimiter", " ")}


def commands(group: App, *before: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command of *group* and of its subgroups."""
    for name in group:
        if name.startswith("-"):
            continue
        if group[name].default_command is None:
            yield from commands(group[name], *before, name)
        else:
            yield (*before, name)


def arguments(command: tuple[str, ...]) -> list[Argument]:
    """Return a command's arguments and options, without switches."""
    called = app
    for name in command:
        called = called[name]
    return [argument for argument in called.assemble_argument_collection() if not argument.is_flag()]


def is_text(argument: Argument) -> bool:
    """Whether the argument's value is taken as text or as a path."""
    return any(kind in str(argument.hint) for kind in TEXTS)


def given(argument: Argument, value: str) -> list[str]:
    """Return the words that give *argument* a value."""
    return [f"{argument.name}={value}"] if argument.name.startswith("--") else [value]


def with_blank(command: tuple[str, ...], argument: Argument, blank: str) -> list[str]:
    """Return a command line whose only fault is a blank *argument*."""
    all_of_them = arguments(command)
    place = [each.name for each in all_of_them].index(argument.name)
    words = list(command)
    for number, each in enumerate(all_of_them):
        before_it = number < place and not each.name.startswith("--")
        if number == place:
            words += given(each, blank)
        elif each.required or before_it:
            words += given(each, "people.csv")
    return words


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """Return a gateway that the command line will send to, from a working directory with a file of phones."""
    gateway = Gateway()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEBCOM_STORE", raising=False)
    monkeypatch.setenv("WEBCOM_WEBHOOK_SECRET", 16 * "s")
    Path("people.csv").write_text("phone\n" + "\n".join(phones(3)))
    with serve(gateway) as url:
        monkeypatch.setenv("WEBCOM_BASE_URL", url)
        monkeypatch.setenv("WEBCOM_TOKEN", gateway.token)
        monkeypatch.setenv("WEBCOM_LANG", "")
        yield gateway


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_every_command_is_checked():
    """The tests below see every command, every group and the options they share."""
    found = {command: {argument.name for argument in arguments(command)} for command in commands(app)}

    assert {("send",), ("campaign", "start"), ("webhook",), ("emulate",), ("completion",)} <= set(found)
    assert {"FILE", "--campaign", "--journal", "--key-column", "--zone", "--credentials"} <= found["send",]
    assert 20 == len(found)


@pytest.mark.socket
@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("command", list(commands(app)), ids=" ".join)
def test_no_command_takes_a_blank_value(
    gateway: Gateway, command: tuple[str, ...], blank: str, capsys: pytest.CaptureFixture[str]
):
    """An empty or blank value gives exit code 2 and names the option; nothing is sent, no file is made."""
    for argument in arguments(command):
        if (argument.name, blank) in MAY_BE_BLANK:
            continue
        assert 2 == main(with_blank(command, argument, blank)), argument.name
        said = capsys.readouterr().err
        assert not is_text(argument) or f"{argument.name} is {'blank' if blank else 'empty'}: give it" in said

    assert (0, ["people.csv"]) == (gateway.requests, files())
