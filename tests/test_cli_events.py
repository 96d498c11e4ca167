"""Events that the command line shows: a worker's troubles, and reports that cannot be stored, each sentence once."""

import pytest

from webcom_async._cli.commands.webhook import _StoreMessages
from webcom_async._cli.ui.translations import choose_language
from webcom_async._cli.ui.worker_messages import WorkerMessages
from webcom_async.events import (
    BatchSent,
    CampaignHalted,
    CampaignsNotStarted,
    CampaignsUnseen,
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
