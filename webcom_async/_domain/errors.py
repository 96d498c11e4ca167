"""
Every exception the library raises.

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
    * ReplyError                 the answer is not the documented JSON; transient
        * PairingError           it is, but has not one sound entry per recipient
    * SystematicRefusal          the gateway refuses everyone, in words that nobody knows
    * QuotaExhausted             the gateway failed too often; more retries would only burden it
    * JournalError               the journal cannot be read or written; nothing is sent without it
        * LeaseLost              another worker has taken the shard over
        * CampaignStopped        the campaign was paused, halted or cancelled for all its workers
        * StoreUnavailable       the store of a campaign of many workers cannot be reached; transient
    * WebhookRefused             a webhook's body is no list of reports, or is over a limit; nothing of it was stored

A rejected *recipient* is not an exception: see `SendResult.outcome`. Exceptions are for what ends a call or a
campaign. Three attributes answer what a policy asks: `knowledge` (may it have been sent?), `transient` (is it
worth asking again under the same ids?) and `halts` (is there any point in going on with the campaign?).
"""

import enum
from typing import TYPE_CHECKING, TypeVar

from webcom_async._domain.reasons import Reason
from webcom_async._domain.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webcom_async._domain.results import Report, SendResult

__all__ = [
    "AccountLocked",
    "AuthenticationError",
    "CampaignStopped",
    "ConfigurationError",
    "ConnectionLost",
    "GatewayBusy",
    "GatewayError",
    "GatewayUnavailable",
    "IdCollision",
    "InputError",
    "JournalError",
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
    "Split",
    "StoreUnavailable",
    "SystematicRefusal",
    "TlsError",
    "TransportError",
    "UsageError",
    "WebcomError",
    "WebhookRefused",
    "another",
]


class Knowledge(enum.IntEnum):
    """What is known about a request that has no usable answer. Greater is more doubtful."""

    NOT_REACHED = 0  #: not a byte of it arrived
    REFUSED = 1  #: the gateway refused all of it
    POSSIBLY_SENT = 2  #: it may have been processed, in part or whole


class Split(enum.Enum):
    """When a batch that met a failure is asked for again in halves, under the same ids."""

    NEVER = "never"  #: the halves would meet it too
    AT_ONCE = "at once"  #: one recipient, or the size, may have sunk the others
    AFTER_ONE_RETRY = "after one retry"  #: it may have been an accident of this one answer
    IF_A_HALF_SUCCEEDS = "if a half succeeds"  #: one recipient may be poison, or the gateway may be out


class WebcomError(Exception):
    """
    Base of everything this library raises on purpose.

    Attributes:
        knowledge: What the failure says about the request that met it.
        transient: Whether the same request may succeed later.
        halts: Whether the rest of a campaign would meet it too.
        split: Whether the same batch may succeed in halves.
        reason: The word for it in results and reports.
        report: What a campaign had achieved when this ended it; None outside a campaign.
        sentence: The message, with its template and parameters if it can be said in another language.
    """

    knowledge: Knowledge = Knowledge.NOT_REACHED
    transient: bool = False
    halts: bool = True
    split: Split = Split.NEVER
    reason: Reason = Reason.OTHER
    report: "Report | None" = None

    def __init__(self, message: str | Sentence = "", *, knowledge: Knowledge | None = None) -> None:
        # The docstring is the default message, so the sentence is written once.
        super().__init__(str(message) or " ".join((type(self).__doc__ or "").split()))
        self.sentence: str | Sentence = message or str(self)
        self.knowledge = self.knowledge if knowledge is None else knowledge


E = TypeVar("E", bound=WebcomError)


def another(error: E, /, *words: str, **attributes: object) -> E:
    """
    Return a new exception of the same kind, with other *words* or *attributes* if any are given.

    An exception is not changed once it is made: a second task may hold it, or raise it too. `__init__` is not called,
    because that of a caller's own subclass may take anything.
    """
    new = type(error).__new__(type(error), *(words or error.args))
    said = {"sentence": words[0]} if words else {}
    notes = {"__notes__": [*error.__notes__]} if hasattr(error, "__notes__") else {}
    vars(new).update(vars(error) | said | notes | attributes)
    return new.with_traceback(error.__traceback__)


class InputError(WebcomError, ValueError):
    """Something in the call cannot be sent; nothing was."""

    def __init__(self, message: str | Sentence, reason: Reason = Reason.OTHER) -> None:
        super().__init__(message)
        self.reason = reason


class UsageError(WebcomError, RuntimeError):
    """The client is closed, or belongs to another event loop. Make one client per loop and close it last."""


class ConfigurationError(WebcomError):
    """The client is set up wrongly. Check the credentials, the base URL and the path."""

    knowledge = Knowledge.REFUSED


class RedirectRefused(ConfigurationError):
    """The gateway answered with a redirect, which is not followed: the body holds the credentials."""


class TlsError(ConfigurationError):
    """The gateway's certificate is not trusted. Check the base URL and this machine's certificates."""

    knowledge = Knowledge.NOT_REACHED


class TransportError(WebcomError):
    """No answer came from the gateway."""

    knowledge = Knowledge.POSSIBLY_SENT
    transient = True
    halts = False
    reason = Reason.CONNECTION_LOST


class GatewayUnavailable(TransportError):
    """No connection to the gateway. Check the network and the base URL."""

    knowledge = Knowledge.NOT_REACHED
    halts = True
    reason = Reason.NOT_REACHED


class ConnectionLost(TransportError):
    """
    The connection broke before a whole answer; the request may have been processed.

    Attributes:
        reused_connection: Whether it was a connection of an earlier request, and broke before an answer began: the
            server may have closed it just as the request was written, so that another attempt is worth making at once.
    """

    split = Split.IF_A_HALF_SUCCEEDS

    def __init__(self, message: str = "", *, reused_connection: bool = False) -> None:
        super().__init__(message or "The connection broke before a whole answer; the request may have been processed.")
        self.reused_connection = reused_connection
        if reused_connection:
            self.split = Split.NEVER  # it says nothing about who is in the batch


class ReplyTimeout(TransportError):
    """No whole answer in time; the request may have been processed."""

    reason = Reason.TIMEOUT


class GatewayError(WebcomError):
    """
    The gateway refused the whole request.

    Attributes:
        error: The gateway's own words; empty if it gave none.
    """

    knowledge = Knowledge.REFUSED

    def __init__(self, message: str = "", *, error: str = "", knowledge: Knowledge | None = None) -> None:
        super().__init__(message or (f"the gateway answered: {error}" if error else ""), knowledge=knowledge)
        self.error = error


class AuthenticationError(GatewayError):
    """Wrong token, login or password. Check WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD."""

    reason = Reason.BAD_LOGIN


class AccountLocked(GatewayError):
    """The account is locked or blocked. Ask your manager at Webcom."""

    reason = Reason.ACCOUNT_LOCKED


class OutOfBalance(GatewayError):
    """Out of SMS. Top the account up, then send the rest."""

    reason = Reason.OUT_OF_SMS


class GatewayBusy(GatewayError):
    """
    The gateway is overloaded or failing; it may have processed the request.

    Attributes:
        retry_after: Seconds the gateway asks to wait; None if it names none.
    """

    knowledge = Knowledge.POSSIBLY_SENT
    transient = True
    halts = False
    reason = Reason.BUSY

    def __init__(
        self,
        message: str = "",
        *,
        error: str = "",
        retry_after: float | None = None,
        halts: bool = False,
        split: Split = Split.NEVER,
    ) -> None:
        super().__init__(message, error=error)
        self.retry_after = retry_after
        self.halts = halts
        self.split = split


class IdCollision(GatewayError):
    """Two different ids were answered with one `id_sms`: the gateway cuts or mixes ids, and one of them got nothing."""

    knowledge = Knowledge.POSSIBLY_SENT
    reason = Reason.BAD_REPLY

    def __init__(self, message: str = "", *, results: "Sequence[SendResult]" = ()) -> None:
        super().__init__(message)
        self.results = results  #: what is known of the batch that met it: whoever shares an `id_sms` is unknown


class RequestRefused(GatewayError):
    """
    The gateway refused the request as a whole, in words that name no recipient.

    Where the request had one recipient, that one was refused. Where it had several, some may have been processed.
    """

    halts = False
    split = Split.AT_ONCE

    def __init__(
        self,
        message: str = "",
        *,
        error: str = "",
        reason: Reason = Reason.OTHER,
        knowledge: Knowledge | None = None,
    ) -> None:
        super().__init__(message, error=error, knowledge=knowledge)
        self.reason = reason


class RequestTooLarge(GatewayError):
    """The request is too large for the gateway. Lower batch_size or batch_bytes."""

    halts = False
    split = Split.AT_ONCE
    reason = Reason.TOO_LARGE


class ReplyError(WebcomError):
    """The gateway's answer is not the documented JSON; the request may have been processed."""

    knowledge = Knowledge.POSSIBLY_SENT
    transient = True
    halts = False
    split = Split.IF_A_HALF_SUCCEEDS
    reason = Reason.BAD_REPLY


class PairingError(ReplyError):
    """The gateway's answer cannot be paired with the recipients; the request may have been processed."""

    split = Split.AFTER_ONE_RETRY


class SystematicRefusal(GatewayError):
    """
    The gateway refuses everyone in the same unknown words. Ask your manager at Webcom, then send the rest.

    With a journal, `resend_rejected={Reason.OTHER}` offers those again who were refused before the campaign stopped.
    """


class QuotaExhausted(WebcomError):
    """The gateway failed too often, so the campaign was ended. Run it again when the gateway is well."""

    knowledge = Knowledge.POSSIBLY_SENT
    reason = Reason.BUSY


class JournalError(WebcomError):
    """The journal cannot be read or written. Check its path, its permissions and the room on its disk."""


class LeaseLost(JournalError):
    """Another worker has taken the shard over, because this one was not heard of. Nothing more is sent from here."""


class CampaignStopped(JournalError):
    """The campaign was paused, halted or cancelled for all its workers. Nothing more is sent."""


class StoreUnavailable(JournalError):
    """The store cannot be reached. Nothing is sent without it; try again when it is back."""


class WebhookRefused(WebcomError):
    """
    A webhook's body is not a list of delivery reports, or is over a limit; nothing of it was stored.

    Attributes:
        status: The HTTP status that says so: 400, or 413 for too much.
    """

    halts = False

    def __init__(self, message: str = "", *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
