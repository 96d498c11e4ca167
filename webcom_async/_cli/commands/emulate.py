"""`webcom-async emulate`: the emulated gateway on a socket, and the same as a child process for the demo."""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from webcom_async._cli.options import Hidden, Port, Positive, Seconds, Share
from webcom_async._cli.ui.console import say, say_aside
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.errors import InputError, TransportError
from webcom_async._domain.given import open_file
from webcom_async._domain.phones import normalise_phone
from webcom_async.emulator import Account, Behaviour, Fault, Gateway, Language, Scenario, Step, UrlPost
from webcom_async.emulator._server import Stop, listen, run_server, url_of

__all__ = ["Child", "Settings", "child", "emulate_command"]

_LOOK_SECONDS = 0.2
_URL = "export WEBCOM_BASE_URL="
_TOKEN = "export WEBCOM_TOKEN="  # noqa: S105 - a prefix


class Settings(NamedTuple):
    """
    How an emulator behaves.

    Attributes:
        latency: Seconds that every answer takes.
        lost: Share of requests that are processed and then not answered.
        busy: Share of requests that are answered 503.
        seed: Decides which.
        language: Of its sentences.
        balance: Messages the account may send; None for no limit.
        stop_list: A file of phones that must not get anything, one a line.
        webhook: Where delivery reports are posted to, over http; None for nowhere.
        delivery: Seconds until an SMS is delivered.
        requests_per_second: More messages' requests than these are answered 429; None for no limit.
        requests_at_once: More messages' requests at once than these are answered 503; None for no limit.
    """

    latency: float = 0.0
    lost: float = 0.0
    busy: float = 0.0
    seed: int = 0
    language: Language = Language.ENGLISH
    balance: int | None = None
    stop_list: Path | None = None
    webhook: str | None = None
    delivery: float = 5.0
    requests_per_second: int | None = None
    requests_at_once: int | None = None

    def gateway(self) -> Gateway:
        account = Account(balance=self.balance, stop_list=self._stopped())
        behaviour = Behaviour(
            language=self.language,
            requests_per_second=self.requests_per_second,
            requests_at_once=self.requests_at_once,
        )
        gateway = Gateway(account, behaviour=behaviour, latency=self.latency, seed=self.seed)
        gateway.faults.sometimes(self.lost, Fault(processed=True, close=True))
        gateway.faults.sometimes(self.busy, Fault(status=503))
        gateway.scenarios.default = Scenario((Step(self.delivery, "deliver"),))
        gateway.webhooks.enabled = self.webhook is not None
        return gateway

    def _stopped(self) -> set[str]:
        if self.stop_list is None:
            return set()
        try:
            with open_file(self.stop_list, encoding="utf-8") as file:
                lines = file.read().split("\n")
        except OSError as exc:
            raise InputError(f"{self.stop_list}: {exc.strerror}") from None
        except UnicodeDecodeError as exc:
            raise InputError(f"{self.stop_list}: not UTF-8 at byte {exc.start}") from None
        return {normalise_phone(line) for line in lines if line.strip()}

    def arguments(self) -> list[str]:
        pairs: Sequence[tuple[str, object]] = (
            ("--latency", self.latency),
            ("--lost", self.lost),
            ("--busy", self.busy),
            ("--seed", self.seed),
            ("--language", self.language.name.lower()),
            ("--balance", self.balance),
            ("--stop-list", self.stop_list),
            ("--webhook", self.webhook),
            ("--delivery", self.delivery),
            ("--requests-per-second", self.requests_per_second),
            ("--requests-at-once", self.requests_at_once),
        )
        return [str(word) for pair in pairs if pair[1] is not None for word in pair]


def emulate_command(
    *,
    host: str = "127.0.0.1",
    port: Port = 8765,
    latency: Seconds = 0.0,
    lost: Share = 0.0,
    busy: Share = 0.0,
    seed: int = 0,
    language: Language = Language.ENGLISH,
    balance: int | None = None,
    stop_list: Path | None = None,
    webhook: str | None = None,
    delivery: Seconds = 5.0,
    requests_per_second: Positive | None = None,
    requests_at_once: Positive | None = None,
    until_eof: Hidden = False,
) -> None:
    """
    Run an emulated gateway until Ctrl-C, and print what a shell needs to send to it.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        latency: Seconds that every answer takes; above a client's time-out, the gateway is silent.
        lost: Share of requests that are processed and then not answered, such as 0.05.
        busy: Share of requests that are answered 503.
        seed: Decides which.
        language: The language of its sentences.
        balance: Messages the account may send.
        stop_list: A file of phones that must not get anything, one a line.
        webhook: Where delivery reports are posted to, over http.
        delivery: Seconds until an SMS is delivered.
        requests_per_second: More requests than these are answered 429.
        requests_at_once: More requests at once than these are answered 503.
        until_eof: Stop at the end of standard input.
    """
    _emulate(
        Settings(
            latency,
            lost,
            busy,
            seed,
            language,
            balance,
            stop_list,
            webhook,
            delivery,
            requests_per_second,
            requests_at_once,
        ),
        host,
        port,
        until_eof=until_eof,
    )


def _emulate(settings: Settings, host: str, port: int, *, until_eof: bool) -> None:
    gateway = settings.gateway()
    try:
        listener = listen(host, port)
    except OSError as exc:
        raise InputError(f"cannot listen on {host}:{port}: {exc.strerror}") from None
    with listener:
        try:
            _answer(gateway, listener, settings.webhook, until_eof=until_eof)
        finally:  # uvicorn raises the signal again that has ended it
            _tell_ledger(gateway, quiet=until_eof)


def _answer(gateway: Gateway, listener: socket.socket, webhook: str | None, *, until_eof: bool) -> None:
    say(f"{_URL}{url_of(listener)}")
    say(f"{_TOKEN}{gateway.token}")
    stop = Stop()
    if webhook is not None:
        threading.Thread(target=_report, args=(gateway, UrlPost(webhook)), daemon=True).start()
    if until_eof:
        threading.Thread(target=_at_eof, args=(sys.stdin, stop), daemon=True).start()
    run_server(gateway, listener, stop)


def _tell_ledger(gateway: Gateway, *, quiet: bool) -> None:
    if not quiet:
        sent, again = f"{len(gateway.ledger):,}", f"{gateway.ledger.repeats:,}"
        say_aside(
            tr(
                "{sent} SMS were sent; sent again, and answered with the first id_sms: {again}",
                sent=sent,
                again=again,
            )
        )


def _report(gateway: Gateway, post: UrlPost) -> None:
    """Offer delivery reports as they come due."""
    while True:
        for call in gateway.webhooks.calls():
            gateway.webhooks.answered(call, post.post(call.body))
        time.sleep(_LOOK_SECONDS)


def _at_eof(stream: IO[str], stop: Stop) -> None:
    stream.read()
    stop()


class Child:
    """An emulator in another process: where it is, and what its ledger says."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self.token = token

    def ledger(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.base_url}/emulator/ledger", timeout=60) as answer:  # noqa: S310 - loopback
            return msgspec.json.decode(answer.read(), type=dict[str, int])


@contextmanager
def child(settings: Settings) -> Generator[Child, None, None]:
    """
    Run an emulator on a free port until the block ends.

    It ends with this process too, in any case: it waits for the end of its standard input.
    """
    command = [sys.executable, "-m", "webcom_async", "emulate", "--port", "0", "--until-eof", *settings.arguments()]
    # A session of its own: Ctrl-C is for the campaign, which still needs answers to end well.
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise TransportError("the emulator has no pipes")
        try:
            base_url = process.stdout.readline().strip().removeprefix(_URL)
            token = process.stdout.readline().strip().removeprefix(_TOKEN)
            if not token:
                raise TransportError("the emulator did not start; its own words are above")
            yield Child(base_url, token)
        finally:
            process.stdin.close()
            process.wait(timeout=30)
