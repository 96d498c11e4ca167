"""`webcom-async webhook`: the receiver of delivery reports, alone on a socket. It needs uvicorn."""

import os
import socket
from pathlib import Path

import anyio

from webcom_async._cli.options import MoreThanZero, Port, Positive, Repeated
from webcom_async._cli.ui.console import say, show_error
from webcom_async._domain.errors import ConfigurationError, InputError
from webcom_async._domain.zones import DEFAULT_ZONE
from webcom_async._storage.sqlite.report_file import ReportFile
from webcom_async.emulator._server import listen, url_of
from webcom_async.events import Event, ReportsCommitted, ReportsNotCommitted
from webcom_async.webhooks import Limits, WebhookApp
from webcom_async.webhooks._server import serve

__all__ = ["webhook_command"]

_SECRET = "WEBCOM_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
_LIMITS = Limits()


def webhook_command(
    reports: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: Port = 8766,
    allow: Repeated = (),
    proxy: Repeated = (),
    max_bytes: Positive = _LIMITS.max_bytes,
    max_reports: Positive = _LIMITS.max_reports,
    head_seconds: MoreThanZero = 10.0,
    body_seconds: MoreThanZero = _LIMITS.seconds,
    max_connections: Positive = 512,
    time_zone: str = DEFAULT_ZONE,
) -> None:
    """
    Receive delivery reports until Ctrl-C, and keep them in a file that `track` reads.

    Set WEBCOM_WEBHOOK_SECRET to 16 or more letters and digits: the gateway posts to `/SECRET`. Put a server that
    speaks https before it, and give the manager at Webcom the https URL.

    Args:
        reports: The file. It is made if it is not there.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        allow: An address or network that may call, such as `192.0.2.0/24`. Can be repeated; all, if left out.
        proxy: An address or network of your own proxies, whose `X-Forwarded-For` is believed. Can be repeated.
        max_bytes: Bytes of a body.
        max_reports: Reports in a body.
        head_seconds: Seconds for the head of a request to arrive.
        body_seconds: Seconds for a body to arrive.
        max_connections: Connections at once; fewer if the system allows fewer open files. Above it, one that waits
            longest for the head of a request is closed.
        time_zone: The gateway's zone.
    """
    secret = os.environ.get(_SECRET)
    if secret is None or not secret.strip():
        raise ConfigurationError(
            f"set {_SECRET}, the end of the webhook's path, to 16 or more letters and digits, such as those of "
            'python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    limits = Limits(max_bytes=max_bytes, max_reports=max_reports, seconds=body_seconds)
    store = ReportFile(reports)
    app = WebhookApp(
        store,
        secret=secret,
        limits=limits,
        allowed=allow,
        proxies=proxy,
        time_zone=time_zone,
        observers=[_StoreMessages()],
    )
    try:
        listener = listen(host, port)
    except OSError as exc:
        raise InputError(f"cannot listen on {host}:{port}: {exc.strerror}") from None
    with listener:
        anyio.run(_serve, store, app, listener, head_seconds, max_connections)


class _StoreMessages:
    """An observer that shows on stderr why reports could not be stored, once as long as that stays the same."""

    def __init__(self) -> None:
        self._latest = ""

    def __call__(self, event: Event) -> None:
        match event:
            case ReportsCommitted():
                self._latest = ""
            case ReportsNotCommitted(error=error) if error != self._latest:
                self._latest = error
                show_error(f"{error}; until then the answer is 503, and the gateway offers its reports again")
            case _:
                pass


async def _serve(
    store: ReportFile, app: WebhookApp, listener: socket.socket, head_seconds: float, max_connections: int
) -> None:
    async with store:
        say(f"listening on {url_of(listener)}/${_SECRET}")
        await serve(app, listener, head_seconds=head_seconds, max_connections=max_connections)
