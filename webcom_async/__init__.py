"""
Send SMS and Viber campaigns through the Webcom Mobi A2P gateway, from asyncio or trio.

Importing the package loads messages, results and errors. What sends is imported when it is first named: with its HTTP
library it takes five times as long, and a program that only reads results, or a pytest run that only loads the plugin,
never needs it.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from webcom_async._domain.client_ids import IdScheme
from webcom_async._domain.clock import Clock
from webcom_async._domain.credentials import Credentials, Secret
from webcom_async._domain.delivery import Balance, Delivery, DeliveryReport, DeliveryState, Direction, Pace, TrackReport
from webcom_async._domain.errors import (
    AccountLocked,
    AuthenticationError,
    CampaignStopped,
    ConfigurationError,
    ConnectionLost,
    GatewayBusy,
    GatewayError,
    GatewaySilent,
    GatewayUnavailable,
    IdCollision,
    InputError,
    JournalError,
    JournalInUse,
    Knowledge,
    LeaseLost,
    OutOfBalance,
    PairingError,
    QuotaExhausted,
    RedirectRefused,
    ReplyError,
    ReplyTimeout,
    RequestRefused,
    RequestTooLarge,
    Split,
    StoreUnavailable,
    SystematicRefusal,
    TlsError,
    TransportError,
    UsageError,
    WebcomError,
    WebhookRefused,
)
from webcom_async._domain.exchange import Reply, Request, RequestTrace, Transport
from webcom_async._domain.given import StrPath
from webcom_async._domain.messages import Channel, Message, MessageType, Recipient, VcardAddress, VcardPhone
from webcom_async._domain.options import OptionFields, Options
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, Progress, Report, SendResult
from webcom_async._domain.sources import RecipientSource
from webcom_async._domain.types import ClientIdSms, IdBits, Phone

if TYPE_CHECKING:
    from webcom_async._http.client_adapter import AsyncHttpClient
    from webcom_async._running import run
    from webcom_async._sending.campaign import Batches, Campaign, Results
    from webcom_async._tracking.statuses import IdSource, Statuses
    from webcom_async._tracking.tracker import Track, Tracking
    from webcom_async.client import WebcomClient

__version__ = "0.1.0"

# Silent until the application says where events go.
logging.getLogger("webcom_async").addHandler(logging.NullHandler())

_SENDS = {
    "AsyncHttpClient": "_http.client_adapter",
    "Batches": "_sending.campaign",
    "Campaign": "_sending.campaign",
    "IdSource": "_tracking.statuses",
    "Results": "_sending.campaign",
    "Statuses": "_tracking.statuses",
    "Track": "_tracking.tracker",
    "Tracking": "_tracking.tracker",
    "WebcomClient": "client",
    "run": "_running",
}


def __getattr__(name: str) -> object:
    """Import what sends when it is first named (PEP 562)."""
    if name in _SENDS.values():
        return import_module(f"{__name__}.{name}")
    if name not in _SENDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_SENDS[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "AccountLocked",
    "AsyncHttpClient",
    "AuthenticationError",
    "Balance",
    "Batches",
    "Campaign",
    "CampaignStopped",
    "Channel",
    "ClientIdSms",
    "Clock",
    "ConfigurationError",
    "ConnectionLost",
    "Credentials",
    "Delivery",
    "DeliveryReport",
    "DeliveryState",
    "Direction",
    "GatewayBusy",
    "GatewayError",
    "GatewaySilent",
    "GatewayUnavailable",
    "IdBits",
    "IdCollision",
    "IdScheme",
    "IdSource",
    "InputError",
    "JournalError",
    "JournalInUse",
    "Knowledge",
    "LeaseLost",
    "Message",
    "MessageType",
    "OptionFields",
    "Options",
    "OutOfBalance",
    "Outcome",
    "Pace",
    "PairingError",
    "Phone",
    "Progress",
    "QuotaExhausted",
    "Reason",
    "Recipient",
    "RecipientSource",
    "RedirectRefused",
    "Reply",
    "ReplyError",
    "ReplyTimeout",
    "Report",
    "Request",
    "RequestRefused",
    "RequestTooLarge",
    "RequestTrace",
    "Results",
    "Secret",
    "SendResult",
    "Split",
    "Statuses",
    "StoreUnavailable",
    "StrPath",
    "SystematicRefusal",
    "TlsError",
    "Track",
    "TrackReport",
    "Tracking",
    "Transport",
    "TransportError",
    "UsageError",
    "VcardAddress",
    "VcardPhone",
    "WebcomClient",
    "WebcomError",
    "WebhookRefused",
    "__version__",
    "run",
]
