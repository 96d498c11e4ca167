"""
An emulated gateway, for tests and trials: the vendor has no test mode.

It checks credentials, refuses in the manual's own words, remembers `client_id_sms` and keeps a ledger of what was
really sent. One core, three faces:

* `GatewayTransport`, for a client in the same process: `WebcomClient(token=…, transport=GatewayTransport(gateway))`;
* `GatewayApp`, an ASGI application, and `serve`, which puts it on a socket (extra `[emulator]`); on the command line
  `webcom-async emulate`;
* the pytest fixture `webcom_gateway`, which installs with the package.

It answers questions about statuses and the balance too, and offers webhooks: SMS are delivered in the time that
`Gateway(now=…)` tells, each as `gateway.scenarios` says; `push` posts what `gateway.webhooks` has due.
"""

from contextlib import AbstractContextManager

from webcom_async._domain.refusals import Language
from webcom_async.emulator._asgi import GatewayApp
from webcom_async.emulator._faults import Fault, Faults, Gate
from webcom_async.emulator._gateway import Account, Behaviour, Gateway, GatewayAnswer, Received
from webcom_async.emulator._inquiries import Inquiries, Several, Unlimited
from webcom_async.emulator._ledger import Ledger, Sms
from webcom_async.emulator._pushing import App, AppPost, Post, UrlPost, push
from webcom_async.emulator._scenarios import DeliveryScenarios, Scenario, Step
from webcom_async.emulator._transport import GatewayTransport
from webcom_async.emulator._webhooks import Call, Webhooks
from webcom_async.emulator._wire import ReceivedMessage, ReceivedRecipient

__all__ = [
    "Account",
    "App",
    "AppPost",
    "Behaviour",
    "Call",
    "DeliveryScenarios",
    "Fault",
    "Faults",
    "Gate",
    "Gateway",
    "GatewayAnswer",
    "GatewayApp",
    "GatewayTransport",
    "Inquiries",
    "Language",
    "Ledger",
    "Post",
    "Received",
    "ReceivedMessage",
    "ReceivedRecipient",
    "Scenario",
    "Several",
    "Sms",
    "Step",
    "Unlimited",
    "UrlPost",
    "Webhooks",
    "push",
    "serve",
]


def serve(gateway: Gateway, host: str = "127.0.0.1", port: int = 0) -> AbstractContextManager[str]:
    """
    Put *gateway* on a socket, in a thread of its own; the value of the context manager is its base URL.

    Args:
        gateway: What answers.
        host: The address to listen on.
        port: The port; 0 takes a free one.

    Raises:
        ImportError: The `[emulator]` extra is not installed.
        OSError: The port is taken, or the host is not this machine's.
    """
    try:
        from webcom_async.emulator import _server  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise ImportError('an emulator on a socket needs: pip install "webcom-async[emulator]"') from exc
    return _server.serve(gateway, host, port)
