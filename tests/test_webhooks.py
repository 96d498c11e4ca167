"""The webhook receiver: it acknowledges committed reports, and refuses other bodies within bounds."""

import json
import logging
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.builders import NOW, still_clock
from webcom_async import ConfigurationError, DeliveryReport, DeliveryState, JournalError, UsageError
from webcom_async.events import Event, PostRefused, ReportsCommitted, ReportsNotCommitted
from webcom_async.webhooks import Limits, ReportFile, WebhookApp, WebhookRefused, acknowledge, parse

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-23-letters."
PUSH = b'[{"id_sms":3234,"time":"2030-01-01 15:00:00","state":"deliver"},{"id_sms":"3235","time":"","state":"send"}]'
ECHO = b'[{"id_sms":3234},{"id_sms":"3235"}]'


class Memory:
    """A store that remembers, or does not."""

    def __init__(self, *, broken: bool = False, keeps: int = 1_000_000) -> None:
        self.reports: list[DeliveryReport] = []
        self.broken = broken
        self.keeps = keeps

    async def commit(self, reports: Sequence[DeliveryReport]) -> Sequence[DeliveryReport]:
        await checkpoint()
        if self.broken:
            raise OSError("the disk is full")
        self.reports += reports[: self.keeps]
        return reports[: self.keeps]


class Answer:
    """The answer of an application."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        start = events[0] if events else {}
        self.status = start.get("status")
        self.headers = {name.decode(): value.decode() for name, value in start.get("headers", ())}
        self.body = b"".join(event.get("body", b"") for event in events[1:])


async def call(
    app: Any,
    body: bytes | list[bytes] = PUSH,
    *,
    path: str = f"/webcom/{SECRET}",
    receive: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    **changes: Any,
) -> Answer:
    """Post *body*, in one piece or in several, and return the answer."""
    pieces = [body] if isinstance(body, bytes) else body
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    events[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []

    async def pop() -> dict[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "client": ("192.0.2.7", 1)} | changes
    await app(scope, receive or pop, send)
    return Answer(sent)


# ---------------------------------------------------------------------------- the pure half


def test_parse_and_acknowledge_are_each_others_counterpart():
    """`acknowledge` repeats the id of every parsed report in its original type; the zone is the caller's."""
    reports = parse(PUSH, time_zone="UTC")

    assert datetime(2030, 1, 1, 15, tzinfo=UTC) == reports[0].changed_at
    assert ECHO == acknowledge(reports)
    assert b'[{"id_sms":"3235"}]' == acknowledge(reports[1:])
    with pytest.raises(WebhookRefused):
        parse(PUSH, max_reports=1)


@pytest.mark.parametrize(
    ("peer", "forwarded", "admitted"),
    [
        ("192.0.2.7", [], True),
        ("198.51.100.1", [], False),
        ("198.51.100.1", ["192.0.2.7"], False),
        ("10.0.0.1", ["192.0.2.7"], True),
        ("10.0.0.1", ["192.0.2.7:4711"], True),
        ("10.0.0.1", ["192.0.2.7", "10.0.0.2"], True),
        ("10.0.0.1", ["192.0.2.7, 198.51.100.1"], False),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7"], True),
        ("10.0.0.1", ["nonsense"], False),
        ("10.0.0.1", [], False),
        ("::ffff:192.0.2.7", [], True),
        ("2001:db8::1", [], True),
        ("10.0.0.1", ["[2001:db8::1]:443"], True),
        (None, ["192.0.2.7"], False),
        ("not an address", [], False),
    ],
)
async def test_forwarded_addresses_are_believed_from_named_proxies_only(
    peer: str | None, forwarded: list[str], admitted: bool
):
    """The caller's address is the last one that does not belong to our own proxies."""
    app = WebhookApp(Memory(), secret=SECRET, allowed=["192.0.2.0/24", "2001:db8::/32"], proxies=["10.0.0.0/8"])
    headers = [(b"X-Forwarded-For", hop.encode()) for hop in forwarded]
    answer = await call(app, client=None if peer is None else (peer, 1), headers=headers)

    assert (200 if admitted else 403) == answer.status


@pytest.mark.parametrize(
    "wrong", [{"allowed": ["nowhere"]}, {"proxies": "10.0.0.1"}, {"secret": "short"}, {"secret": "/" * 20}]
)
def test_a_wrong_set_up_is_an_error_at_once(wrong: dict[str, Any]):
    """A bad network, a bad list, and a secret that can be guessed or does not fit a path are errors at once."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        WebhookApp(Memory(), **({"secret": SECRET} | wrong))
    with pytest.raises(ConfigurationError, match="seconds"):
        Limits(seconds=0)


# ---------------------------------------------------------------------------- the application


async def test_reports_are_committed_and_then_acknowledged():
    """The store has every report, and the answer repeats every id."""
    store = Memory()
    answer = await call(WebhookApp(store, secret=SECRET))

    assert (200, ECHO) == (answer.status, answer.body)
    assert ["3234", "3235"] == [report.id_sms for report in store.reports]


async def test_only_what_was_committed_is_acknowledged():
    """A report that the store does not keep is not acknowledged."""
    partial, broken = Memory(keeps=1), Memory(broken=True)

    assert b'[{"id_sms":3234}]' == (await call(WebhookApp(partial, secret=SECRET))).body
    answer = await call(WebhookApp(broken, secret=SECRET))
    assert (503, b"") == (answer.status, answer.body)


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (404, {"path": "/webcom/another-secret-of-23-letters."}),
        (404, {"path": "/"}),
        (404, {"path": f"/{SECRET}/more"}),
        (404, {"path": f"/x{SECRET}"}),
        (404, {"path": "/\udcff\u0436"}),
        (405, {"method": "GET"}),
        (415, {"headers": [(b"content-encoding", b"gzip")]}),
        (413, {"headers": [(b"content-length", b"262145")]}),
        (413, {"headers": [(b"content-length", b"9" * 5_000)]}),
        (413, {"headers": [(b"content-length", b"-1")]}),
        (413, {"body": [b" " * 100_000] * 3}),
        (413, {"body": b"[" + b'{"id_sms":1},' * 2_001 + b"{}]"}),
        (400, {"body": b"[" * 100_000}),
        (400, {"body": b'[{"id_sms":1,"x":' + b"[" * 400 + b"]" * 400 + b"}]"}),
        (400, {"body": PUSH[:-2]}),
        (400, {"body": b""}),
        (400, {"body": b"<html>"}),
    ],
)
async def test_what_is_not_a_webhook_is_refused_and_nothing_stored(status: int, changes: dict[str, Any]):
    """Each kind of bad request has its status and an empty body, and nothing is stored."""
    store = Memory()
    answer = await call(WebhookApp(store, secret=SECRET), **changes)

    assert (status, b"", []) == (answer.status, answer.body, store.reports)
    assert "close" == answer.headers["connection"]


async def test_a_wrong_path_is_refused_before_a_byte_is_read():
    """A request with a wrong secret is refused before its body is read."""

    async def receive() -> dict[str, Any]:
        raise AssertionError("it was read")

    assert 404 == (await call(WebhookApp(Memory(), secret=SECRET), path="/x", receive=receive)).status


async def test_a_slow_body_is_given_up():
    """A body that is too slow is refused after its time."""
    store = Memory()
    app = WebhookApp(store, secret=SECRET, limits=Limits(seconds=0.02))

    async def trickle() -> dict[str, Any]:
        await checkpoint()
        return {"type": "http.request", "body": b"", "more_body": True}

    assert 408 == (await call(app, receive=trickle)).status
    assert [] == store.reports


@pytest.mark.parametrize("gone", [{"type": "http.disconnect"}, ConnectionResetError()], ids=["event", "error"])
@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_caller_that_leaves_is_answered_for_the_middleware(before: int, gone: dict[str, Any] | OSError):
    """Whenever a caller hangs up, nothing is stored, and the answer that a middleware waits for is given."""
    store = Memory()
    pieces = [{"type": "http.request", "body": PUSH[:20], "more_body": True}] * before

    async def leave() -> dict[str, Any]:
        if pieces:
            return pieces.pop()
        if isinstance(gone, OSError):
            raise gone
        return gone

    assert 400 == (await call(WebhookApp(store, secret=SECRET), receive=leave)).status
    assert [] == store.reports


async def test_an_answer_that_cannot_be_sent_is_no_error():
    """If the caller hangs up after its reports are stored, the server's error is not passed on."""
    store = Memory()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": PUSH}

    async def send(_: dict[str, Any]) -> None:
        raise ConnectionResetError

    app = WebhookApp(store, secret=SECRET)
    await app({"type": "http", "method": "POST", "path": f"/{SECRET}", "headers": []}, receive, send)

    assert 2 == len(store.reports)


@pytest.mark.socket
@pytest.mark.parametrize("frame", ["starlette", "fastapi"])
def test_behind_a_middleware_a_caller_that_hangs_up_leaves_no_traceback(frame: str, caplog: pytest.LogCaptureFixture):
    """Behind a `BaseHTTPMiddleware`, a caller that hangs up at any step of its body makes the server log no error."""
    base = pytest.importorskip("starlette.middleware.base")
    from tests.asgi_servers import served  # noqa: PLC0415 - needs the extra

    async def passed_on(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        return await call_next(request)

    answered = threading.Semaphore(0)
    webhook = WebhookApp(Memory(), secret=SECRET)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        try:
            await webhook(scope, receive, send)
        finally:
            answered.release()

    outer = {"starlette": mounted_in_starlette, "fastapi": mounted_in_fastapi}[frame](counted)
    outer.add_middleware(base.BaseHTTPMiddleware, dispatch=passed_on)
    outer.add_middleware(base.BaseHTTPMiddleware, dispatch=passed_on)
    head = f"POST /webcom/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PUSH)}\r\n\r\n".encode()
    with served(outer) as url:
        place = urlsplit(url)
        for body in (b"", PUSH[:1], PUSH[:20], PUSH[:-1], PUSH):
            with socket.create_connection((place.hostname, place.port)) as caller:
                caller.sendall(head + body)
            assert answered.acquire(timeout=30)

    assert [] == [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("odd", "state", "said", "dated"),
    [
        *(
            (f'"state":"deliver","time":{time}', DeliveryState.DELIVER, "deliver", False)
            for time in ("7", "1735689600.5", "-1", "null", "true", '"1735689600"', '"1712010112345"', '"17120101.12"')
        ),
        ('"state":"deliver"', DeliveryState.DELIVER, "deliver", False),
        ('"time":"2030-01-01 15:00:00"', DeliveryState.UNKNOWN, "", True),
        ('"state":7,"time":"2030-01-01 15:00:00"', DeliveryState.UNKNOWN, "7", True),
        *(
            (f'"state":{written},"time":7', DeliveryState.UNKNOWN, said, False)
            for written, said in (("1.5e3", "1.5e3"), ('"7"', "7"), ("true", "true"), ("null", ""), ('""', ""))
        ),
        ('"error":7,"num_parts":true,"price":false', DeliveryState.UNKNOWN, "7", False),
    ],
)
@pytest.mark.parametrize("alone", [False, True], ids=["array", "object"])
def test_an_odd_time_or_state_costs_no_report(odd: str, state: DeliveryState, said: str, dated: bool, alone: bool):
    """A time or state of another type is kept as far as it is known: the report counts, and so do those beside it."""
    entry = f'{{"id_sms":3234,{odd}}}'
    body = entry if alone else f'[{{"id_sms":1,"state":"read"}},{entry},{{"id_sms":"2","state":"send"}}]'
    reports = parse(body.encode())
    [report] = reports if alone else reports[1:-1]

    assert (["3234"] if alone else ["1", "3234", "2"]) == [each.id_sms for each in reports]
    assert (state, said, dated) == (report.state, report.said, report.changed_at is not None)
    assert b'[{"id_sms":3234}]' == acknowledge([report])


async def test_calls_at_once_are_bounded():
    """A call above the bound is refused for now, and the others are answered."""
    app = WebhookApp(Memory(), secret=SECRET, limits=Limits(in_flight=2))
    gate = anyio.Event()
    answers: list[Answer] = []

    async def late() -> dict[str, Any]:
        await gate.wait()
        return {"type": "http.request", "body": PUSH, "more_body": False}

    async def one() -> None:
        answers.append(await call(app, receive=late))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert 503 == (await call(app)).status
        gate.set()

    assert [200, 200] == [answer.status for answer in answers]
    assert 200 == (await call(app)).status


async def test_nothing_of_a_call_is_logged(caplog: pytest.LogCaptureFixture):
    """Neither the secret nor a body reaches the log."""
    caplog.set_level("DEBUG", "webcom_async")
    for changes in ({"body": b'[{"id_sms":"private"'}, {"path": "/private-private-private"}, {}):
        await call(WebhookApp(Memory(), secret=SECRET), **changes)
    # Without the time, the thread and the process, whose digits may equal those of the id.
    fields = [(name, value) for record in caplog.records for name, value in vars(record).items()]
    told = "".join(f"{name}={value} " for name, value in fields if isinstance(value, str | dict | list | tuple))

    assert "webhook_refused" in told
    assert not {word for word in ("private", SECRET, "3234") if word in told}


async def test_posts_are_seen_by_observers():
    """Reports that are stored, reports that cannot be, and a post that is refused are an event each."""
    seen: list[Event] = []
    app = WebhookApp(Memory(), secret=SECRET, observers=[seen.append])
    await call(app)
    await call(WebhookApp(Memory(broken=True), secret=SECRET, observers=[seen.append]))
    await call(app, path="/webcom/another")

    assert [
        ReportsCommitted(reports=2),
        ReportsNotCommitted(reports=2, error="OSError"),
        PostRefused(status=503, why="store"),
        PostRefused(status=404, why="path"),
    ] == seen


@pytest.mark.parametrize("seed", range(10))
async def test_mutated_bodies_break_nothing(seed: int):
    """Twenty thousand damaged bodies in all are answered with 200, 400 or 413, and nothing else."""
    app = WebhookApp(Memory(), secret=SECRET)
    chance = random.Random(seed)
    assert {200, 400, 413} >= {(await call(app, mutated(chance))).status for _ in range(2_000)}


def mutated(chance: random.Random) -> bytes:
    """Return a damaged webhook body."""
    body = bytearray(PUSH)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(body))
        match chance.randrange(4):
            case 0:
                body[place] = chance.randrange(256)
            case 1:
                del body[place : place + chance.randrange(9)]
            case 2:
                body[place:place] = body[: chance.randrange(40)]
            case _:
                body[place:place] = chance.choice([b'"', b"[", b"{", b"\\u0000", b"9" * 30, b"1e9", b"null", b"\xff"])
        body = body or bytearray(b" ")
    return bytes(body)


# ---------------------------------------------------------------------------- the file of reports


def said(id_sms: str, state: DeliveryState, minute: int = 0) -> DeliveryReport:
    """Return a report of *id_sms*."""
    return DeliveryReport(id_sms, state, state.value, NOW + timedelta(minutes=minute))


async def test_a_file_of_reports_keeps_the_furthest_state(tmp_path: Path):
    """Repeats and disorder change nothing, and a second run finds the states of the first."""
    path = tmp_path / "reports.db"
    first = [said("1", DeliveryState.DELIVER, 1), said("2", DeliveryState.EXPIRED, 1)]
    async with ReportFile(path, clock=still_clock()) as reports:
        assert first == await reports.commit(first)
        await reports.commit([said("1", DeliveryState.SEND), said("2", DeliveryState.DELIVER, 2)])
        await reports.commit(first)
    async with ReportFile(path, clock=still_clock()) as reports:
        assert first[0] == await reports.find(1)
        assert first[1] == await reports.find("2")
        assert None is await reports.find("3")
        assert (2, first) == await reports.after(0)
        await reports.commit([said("1", DeliveryState.READ, 3)])
        assert (3, [said("1", DeliveryState.READ, 3)]) == await reports.after(2)
        assert 3 == await reports.latest()
        assert 2 == await reports.purge(NOW + timedelta(days=1))
        await reports.commit(first)
        assert 5 == await reports.latest()
    assert 0o600 == path.stat().st_mode & 0o777


async def test_commits_at_once_share_a_transaction_and_an_outcome(tmp_path: Path):
    """Concurrent commits are on the disk when they return, and a cancelled one fails no other."""
    async with ReportFile(tmp_path / "reports.db") as reports:
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(reports.commit, [said(str(number + 1), DeliveryState.DELIVER)])
            with anyio.CancelScope() as scope:
                scope.cancel()
                await reports.commit([said("500", DeliveryState.DELIVER)])
        assert 200 <= len((await reports.after(0))[1]) <= 201


async def test_two_processes_may_have_the_file_open(tmp_path: Path):
    """A receiving and a tracking process both read and write one file."""
    path = tmp_path / "reports.db"
    async with ReportFile(path) as here, ReportFile(path) as there:
        await here.commit([said("1", DeliveryState.DELIVER)])
        await there.commit([said("2", DeliveryState.DELIVER)])
        assert {"1", "2"} == set(await here.known(["1", "2"])) == set(await there.known(["1", "2"]))


async def test_a_file_that_cannot_be_used_is_said_and_nothing_is_acknowledged(tmp_path: Path):
    """A foreign database, a damaged file, a missing directory or a closed file is an error without acknowledgement."""
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    (tmp_path / "noise.db").write_bytes(secrets.token_bytes(9_000))
    for path in (foreign, tmp_path / "noise.db", tmp_path / "missing" / "reports.db"):
        reports = ReportFile(path)
        assert 503 == (await call(WebhookApp(reports, secret=SECRET))).status
        with pytest.raises(JournalError, match="file of reports"):
            await reports.commit(parse(PUSH))
    async with ReportFile(tmp_path / "reports.db") as reports:
        pass
    with pytest.raises(UsageError):
        await reports.find("1")


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_killed_between_commit_and_answer_the_repeat_is_acknowledged_and_nothing_doubles(tmp_path: Path):
    """Reports that were committed before a `kill -9` are stored once when the gateway offers them again."""
    path = tmp_path / "reports.db"
    done = subprocess.run([sys.executable, "-c", DIES, str(path)], check=False, capture_output=True)
    assert -9 == done.returncode, done.stderr

    async def again() -> tuple[bytes, tuple[int, list[DeliveryReport]]]:
        async with ReportFile(path) as reports:
            answer = await call(WebhookApp(reports, secret=SECRET))
            return answer.body, await reports.after(0)

    body, (latest, known) = anyio.run(again)
    assert (ECHO, 2) == (body, latest)
    assert ["3234", "3235"] == [report.id_sms for report in known]


DIES = f"""
import os, signal, sys, anyio
from webcom_async.webhooks import ReportFile, WebhookApp
from tests.test_webhooks import call

class Dies(ReportFile):
    async def commit(self, reports):
        await super().commit(reports)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(call, WebhookApp(Dies(sys.argv[1]), secret={SECRET!r}))
"""


# ---------------------------------------------------------------------------- among others


def mounted_in_starlette(app: WebhookApp) -> Any:
    """Return a Starlette application with ours in it."""
    routing = pytest.importorskip("starlette.routing")
    applications = pytest.importorskip("starlette.applications")
    return applications.Starlette(routes=[routing.Mount("/webcom", app)])


def mounted_in_fastapi(app: WebhookApp) -> Any:
    """Return a FastAPI application with ours in it."""
    outer = pytest.importorskip("fastapi").FastAPI()
    outer.mount("/webcom", app)
    return outer


def mounted_in_litestar(app: WebhookApp) -> Any:
    """Return a Litestar application with ours in it."""
    litestar = pytest.importorskip("litestar")
    mounted = litestar.asgi("/webcom", is_mount=True, copy_scope=True)(ours(app))
    return litestar.Litestar([mounted], logging_config=None)  # not the whole process's, for the tests that follow


def ours(app: WebhookApp) -> Any:
    """Return *app* as a function, which Litestar wants."""

    async def webhook(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    webhook.__annotations__ = {name: _litestar_type(name) for name in ("scope", "receive", "send")} | {"return": None}
    return webhook


def _litestar_type(name: str) -> Any:
    return getattr(pytest.importorskip("litestar.types"), name.capitalize())


@pytest.mark.socket
@pytest.mark.parametrize("mounted", [lambda app: app, mounted_in_starlette, mounted_in_fastapi, mounted_in_litestar])
def test_a_real_server_and_real_frameworks_carry_it(mounted: Callable[[WebhookApp], Any], tmp_path: Path):
    """Under uvicorn, alone or in Starlette, FastAPI or Litestar, the application stores and acknowledges reports."""
    import httpx2  # noqa: PLC0415 - for this test alone

    from tests.asgi_servers import served  # noqa: PLC0415 - needs the extra

    path = tmp_path / "reports.db"
    reports = ReportFile(path)
    with served(mounted(WebhookApp(reports, secret=SECRET))) as url, httpx2.Client(trust_env=False) as client:
        answer = client.post(f"{url}/webcom/{SECRET}", content=PUSH)
        wrong = client.post(f"{url}/webcom/{SECRET}x", content=PUSH)
        large = client.post(f"{url}/webcom/{SECRET}", content=b" " * 300_000)
    anyio.run(reports.aclose)

    assert (200, ECHO) == (answer.status_code, answer.content)
    assert [404, 413] == [wrong.status_code, large.status_code]

    async def known() -> int:
        async with ReportFile(path) as again:
            return len((await again.after(0))[1])

    assert 2 == anyio.run(known)
    assert json.loads(ECHO)
