"""
Every exception that the library raises.

* WebcomError
    * InputError                 the call or a recipient is wrong; nothing was sent (also a ValueError)
    * UsageError                 the client is closed, or belongs to another event loop (also a RuntimeError)
    * ConfigurationError         credentials, URL or options; or the gateway says the URL is wrong
        * RedirectRefused        the gateway redirects: the body holds the password, so it is not followed
        * TlsError               the certificate is not trusted, or the name is wrong
    * TransportError             no answer; transient
        * GatewayUnavailable     nothing was sent: no connection
        * ConnectionLost         it may have been sent: the connection broke
        * ReplyTimeout           it may have been sent: no whole answer in time
    * GatewayError               the gateway answered, and refused the whole request
        * AuthenticationError    wrong credentials
        * AccountLocked          locked or blocked
        * OutOfBalance           out of SMS, yours or the provider's
        * GatewayBusy            overloaded or failing; transient
        * IdCollision            it answered two ids with one `id_sms`: one of the two got nothing
        * RequestRefused         anything else
        * RequestTooLarge        too many bytes for the gateway
        * SystematicRefusal      it refuses every recipient in the same unknown words
    * ReplyError                 the answer is not the documented JSON; transient
        * PairingError           it is, but has not one sound entry per recipient
    * QuotaExhausted             the gateway failed too often; more retries would only burden it
        * GatewaySilent          it gave no answer for longer than the patience of the campaign
    * JournalError               the journal cannot be read or written; nothing is sent without it
        * JournalInUse           another campaign or process has it open for writing
        * LeaseLost              another worker has taken the shard over
        * CampaignStopped        the campaign was paused, halted or cancelled for all its workers
        * StoreUnavailable       the store of a campaign of many workers cannot be reached; transient
    * WebhookRefused             a webhook's body is not a list of reports, or exceeds a limit; nothing was stored

A rejected *recipient* is not an exception: see `SendResult.outcome`. An exception ends a call or a campaign. Three
attributes say what a caller can do: `knowledge` (may it have been sent?), `transient` (may the same request, under the
same ids, succeed later?) and `halts` (would the rest of the campaign fail too?).
"""

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
from webcom_async._domain.sentences import Sentence

__all__ = [
    "AccountLocked",
    "AuthenticationError",
    "CampaignStopped",
    "ConfigurationError",
    "ConnectionLost",
    "GatewayBusy",
    "GatewayError",
    "GatewaySilent",
    "GatewayUnavailable",
    "IdCollision",
    "InputError",
    "JournalError",
    "JournalInUse",
    "Knowledge",
    "LeaseLost",
    "OutOfBalance",
    "PairingError",
    "QuotaExhausted",
    "RedirectRefused",
    "ReplyError",
    "ReplyTimeout",
    "RequestRefused",
    "RequestTooLarge",
    "Sentence",
    "Split",
    "StoreUnavailable",
    "SystematicRefusal",
    "TlsError",
    "TransportError",
    "UsageError",
    "WebcomError",
    "WebhookRefused",
]
