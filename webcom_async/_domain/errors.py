"""Every exception that the library raises; `webcom_async.errors` documents their tree."""

import enum
from typing import TYPE_CHECKING, TypeVar

from webcom_async._domain.reasons import Reason
from webcom_async._domain.records import mask_phones
from webcom_async._domain.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webcom_async._domain.results import Report, SendResult

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
    "Split",
    "StoreUnavailable",
    "SystematicRefusal",
    "TlsError",
    "TransportError",
    "UsageError",
    "WebcomError",
    "WebhookRefused",
]


class Knowledge(enum.IntEnum):
    """What is known of a request without a usable answer, in order of increasing doubt."""

    NOT_REACHED = 0  #: no byte of it arrived
    REFUSED = 1  #: the gateway refused all of it
    POSSIBLY_SENT = 2  #: it may have been processed, in part or whole


class Split(enum.StrEnum):
    """When a batch that failed is sent again in halves, under the same ids."""

    NEVER = "never"  #: the halves would fail too
    AT_ONCE = "at once"  #: one recipient, or the size, may have caused the failure
    AFTER_ONE_RETRY = "after one retry"  #: it may have been an accident of this one answer
    IF_A_HALF_SUCCEEDS = "if a half succeeds"  #: one recipient may be the cause, or the gateway may be down


class WebcomError(Exception):
    """
    The base of every exception that this library raises on purpose.

    Attributes:
        knowledge: What is known of the request that failed.
        transient: Whether the same request may succeed later.
        halts: Whether the rest of a campaign would fail too.
        split: Whether the same batch may succeed in halves.
        reason: The matching reason in results and reports.
        report: The counts of the campaign that this ended; None outside a campaign.
        sentence: The message, with its template and parameters if it can be translated. Its parameters quote the phone
            that is wrong, which `str(error)` masks.
    """

    knowledge: Knowledge = Knowledge.NOT_REACHED
    transient: bool = False
    halts: bool = True
    split: Split = Split.NEVER
    reason: Reason = Reason.OTHER
    report: "Report | None" = None

    def __init__(self, message: str | Sentence = "", *, knowledge: Knowledge | None = None) -> None:
        # The docstring is the default message, so the sentence is written once.
        words = message.masked if isinstance(message, Sentence) else message
        super().__init__(words or " ".join((type(self).__doc__ or "").split()))
        self.sentence: str | Sentence = message or str(self)
        self.knowledge = self.knowledge if knowledge is None else knowledge


E = TypeVar("E", bound=WebcomError)


def another(error: E, /, *words: str, **attributes: object) -> E:
    """
    Return a copy of *error*, with other *words* or *attributes*.

    An exception is never changed after it was made: a second task may hold it, or raise it too. `__init__` is not
    called: that of a caller's own subclass may take other arguments.
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
        reused_connection: Whether an earlier request used the connection, and it broke before an answer began. The
            server may have closed it just as the request was written, so that an immediate retry is worthwhile.
    """

    split: Split = Split.IF_A_HALF_SUCCEEDS

    def __init__(self, message: str = "", *, reused_connection: bool = False) -> None:
        super().__init__(message or "The connection broke before a whole answer; the request may have been processed.")
        self.reused_connection = reused_connection
        if reused_connection:
            self.split = Split.NEVER  # the recipients of the batch did not cause it


class ReplyTimeout(TransportError):
    """No whole answer in time; the request may have been processed."""

    reason = Reason.TIMEOUT


class GatewayError(WebcomError):
    """
    The gateway refused the whole request.

    Attributes:
        error: The gateway's own words; empty if it gave none. The message has them with phones masked.
    """

    knowledge = Knowledge.REFUSED

    def __init__(self, message: str | Sentence = "", *, error: str = "", knowledge: Knowledge | None = None) -> None:
        super().__init__(
            message or (f"the gateway answered: {mask_phones(error)}" if error else ""), knowledge=knowledge
        )
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
        retry_after: The seconds that the gateway asks to wait; None if it names none.
    """

    knowledge = Knowledge.POSSIBLY_SENT
    transient = True
    halts: bool = False
    split: Split = Split.NEVER
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
    """
    Two different ids were answered with one `id_sms`: the gateway cuts or mixes ids, and one of them got nothing.

    Attributes:
        results: The results of the batch; recipients whose `id_sms` is another's are unknown.
        claims: The repeated `id_sms` of each `client_id_sms` in the batch that was answered with one.
        campaigns: The campaigns of the recipients that share an `id_sms`, as far as a journal knows them.
        known: Whether the journal has recorded all of these repeats before.
    """

    knowledge = Knowledge.POSSIBLY_SENT
    reason = Reason.BAD_REPLY

    def __init__(
        self,
        message: str | Sentence = "",
        *,
        results: "Sequence[SendResult]" = (),
        claims: "Mapping[str, str] | None" = None,
        campaigns: "Sequence[str]" = (),
        known: bool = False,
    ) -> None:
        super().__init__(message)
        self.results = results
        self.claims: Mapping[str, str] = claims or {}
        self.campaigns = campaigns
        self.known = known


class RequestRefused(GatewayError):
    """
    The gateway refused the request as a whole, in words that name no recipient.

    If the request had one recipient, that one was refused. If it had several, some may have been processed.
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
    The gateway refuses every recipient in the same unknown words. Ask your manager at Webcom, then send the rest.

    With a journal, `resend_rejected={Reason.OTHER}` sends again to the recipients that were refused before the halt.
    """


class QuotaExhausted(WebcomError):
    """The gateway failed too often, so the campaign was ended. Run it again when the gateway works."""

    knowledge = Knowledge.POSSIBLY_SENT
    reason = Reason.BUSY


class GatewaySilent(QuotaExhausted):
    """The gateway gave no answer for too long, so the campaign was ended. Run it again when the gateway answers."""

    reason = Reason.TIMEOUT


class JournalError(WebcomError):
    """The journal cannot be read or written. Check its path, its permissions and the room on its disk."""


class JournalInUse(JournalError):
    """The journal is in use by another campaign or process. Wait for the end of that; nothing was sent from here."""


class LeaseLost(JournalError):
    """Another worker has taken the shard over, because this one was silent. Nothing more is sent from here."""


class CampaignStopped(JournalError):
    """The campaign was paused, halted or cancelled for all its workers. Nothing more is sent."""


class StoreUnavailable(JournalError):
    """The store cannot be reached. Nothing is sent without it; try again when it is back."""


class WebhookRefused(WebcomError):
    """
    A webhook's body is not a list of delivery reports, or is over a limit; nothing of it was stored.

    Attributes:
        status: The HTTP status of the answer: 400, or 413 for too much.
    """

    halts = False

    def __init__(self, message: str = "", *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
