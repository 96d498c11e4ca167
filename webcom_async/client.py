"""
The client: one account, one connection pool, one limit on requests in flight.

This module checks a call and assembles its parts. `_sending` runs the campaign.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Never, Self, Unpack, cast
from urllib.parse import urlsplit

import anyio
from msgspec import UNSET, UnsetType

from webcom_async._batching.addressing import CallDefaults, address, call_defaults
from webcom_async._batching.batcher import RecipientBatcher, SingleRecipientBatcher
from webcom_async._domain.client_ids import IdScheme, mint_campaign, random_ids
from webcom_async._domain.clock import Clock
from webcom_async._domain.credentials import Credentials
from webcom_async._domain.delivery import Balance, Pace
from webcom_async._domain.errors import ConfigurationError, InputError, UsageError
from webcom_async._domain.exchange import Transport
from webcom_async._domain.given import StrPath, campaign_name, new_name_error, refuse_blank, refuse_unknown, variable
from webcom_async._domain.messages import Message, Recipient
from webcom_async._domain.options import OptionFields, Options
from webcom_async._domain.phones import quoted
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Report, SendResult
from webcom_async._domain.sources import RecipientSource, Source
from webcom_async._domain.types import IdBits
from webcom_async._events.observers import Observer, Observers
from webcom_async._gateway.gateway_session import GatewaySession
from webcom_async._gateway.safeguards import RepeatedIds
from webcom_async._http.client_adapter import AsyncHttpClient, HttpTransport
from webcom_async._http.deadline import running_loop
from webcom_async._sending.campaign import Campaign, CampaignParts
from webcom_async._sending.coalescer import OngoingSends, RequestCoalescer, SingleSender
from webcom_async._storage.contracts import CampaignHeader, CampaignJournal, CampaignNotBegun, Journal, fingerprint
from webcom_async._storage.memory import MemoryCampaignJournal
from webcom_async._tracking.polling import StatusInquiry, ask_balance
from webcom_async._tracking.statuses import IdSource, Statuses
from webcom_async._tracking.tracker import Terms, Track
from webcom_async._wire.json_api.send import JsonFormat

if TYPE_CHECKING:
    from webcom_async._storage.sqlite.report_file import ReportFile

__all__ = ["WebcomClient"]


class WebcomClient:
    """
    Sends messages through the Webcom Mobi gateway.

    Make one client per event loop, keep it, and close it last: with `async with`, or `aclose()`.

    Args:
        token: The account's secret key, or
        login: the account's login, and
        password: its password, or
        credentials: any of these as `Credentials`.
        http_client: Your own `httpx2.AsyncClient` or `httpx.AsyncClient`, which stays open.
        transport: The HTTP library: `"httpx2"`, or `"aiohttp"` (extra `aiohttp`, asyncio only), which takes less CPU;
            or a transport of your own, such as an emulator's.
        clock: Time and chance, for tests.
        observers: Functions that are called with each event; see `webcom_async.events`.
        share_limits_with: Another client of this account, in this event loop: the two share `in_flight`, `rate`, the
            limit that adapts to the gateway, and the ids in flight. Either may be closed first.
        options: The fields of `Options`; `in_flight` and `rate` are those of *share_limits_with*.

    Raises:
        ConfigurationError: Credentials, options or observers cannot be used, or are not those of *share_limits_with*;
            nothing was sent.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        login: str | None = None,
        password: str | None = None,
        credentials: Credentials | None = None,
        http_client: AsyncHttpClient | None = None,
        transport: Transport | Literal["httpx2", "aiohttp"] = "httpx2",
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        share_limits_with: "WebcomClient | None" = None,
        **options: Unpack[OptionFields],
    ) -> None:
        if credentials is None:
            credentials = Credentials(token=token, login=login, password=password)
        elif (token, login, password) != (None, None, None):
            raise ConfigurationError("give credentials=, or token=, or login= and password=, not several of them")
        refuse_unknown("WebcomClient", options, _with_options(WebcomClient.__init__))
        if share_limits_with is not None:
            _take_limits(options, share_limits_with)
        settings = Options(**options)
        if share_limits_with is not None:
            _check_shared(settings, credentials, share_limits_with)
        self._shares_with = share_limits_with
        self._format = JsonFormat(settings.zone)
        self._session: GatewaySession = GatewaySession(
            _choose(settings, http_client, transport),
            credentials,
            settings,
            clock or Clock(),
            send_format=self._format,
            observers=Observers(observers),
            traffic=None if share_limits_with is None else share_limits_with._session.traffic,  # noqa: SLF001 - its own class
        )
        self._sends: OngoingSends = OngoingSends() if share_limits_with is None else share_limits_with._sends  # noqa: SLF001 - its own class
        self._coalescer: RequestCoalescer | None = None

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        http_client: AsyncHttpClient | None = None,
        transport: Transport | Literal["httpx2", "aiohttp"] = "httpx2",
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        share_limits_with: "WebcomClient | None" = None,
        **options: Unpack[OptionFields],
    ) -> Self:
        """
        Return a client with the credentials in `WEBCOM_TOKEN`, or `WEBCOM_LOGIN` and `WEBCOM_PASSWORD`.

        `WEBCOM_BASE_URL` sets `base_url`, unless that is given. An empty value is refused, because messages would go to
        the real gateway. Only this method reads the environment.

        Raises:
            ConfigurationError: The variables are missing, contradict each other, or cannot be used.
        """
        refuse_unknown("from_env", options, _with_options(WebcomClient.from_env))
        environ = os.environ if environ is None else environ
        base_url = None if "base_url" in options else variable(environ, "WEBCOM_BASE_URL")
        if base_url is not None:
            options["base_url"] = base_url
        try:
            credentials = Credentials.from_env(environ)
        except ConfigurationError:
            Options(**options)  # a wrong option is named before missing credentials
            raise
        return cls(
            credentials=credentials,
            http_client=http_client,
            transport=transport,
            clock=clock,
            observers=observers,
            share_limits_with=share_limits_with,
            **options,
        )

    @cached_property
    def _single_sender(self) -> SingleSender:
        """Is made by the first `send`: a campaign needs none."""
        return SingleSender(self._session, self._sends)

    @property
    def options(self) -> Options:
        """The client's settings."""
        return self._session.options

    @property
    def observers(self) -> Observers:
        """The client's observers; helpers such as a `scaleout.Worker` emit to them too."""
        return self._session.observers

    def account(self, campaign: str) -> str:
        """
        Return a digest of the account and the campaign, to compare two clients.

        The gateway remembers `client_id_sms` per account: a campaign that resumes with another account sends every
        possibly sent recipient a second SMS.
        """
        return self._session.account(campaign)

    async def send(
        self,
        phone: str | int,
        text: str | None = None,
        *,
        sender: str | None = None,
        message: Message | None = None,
        campaign: str | None = None,
        client_id_sms: str | int | None = None,
        key: str | None = None,
        validity_period: datetime | None = None,
        time_send: datetime | None = None,
        max_parts: int | UnsetType | None = UNSET,
        **_unknown: Never,
    ) -> SendResult:
        """
        Send one message and return its result.

        A refused or unknown recipient is a result, not an exception. A cancelled call ends at once; a note on the
        exception, and the event `SendEnded` (`webcom_async.events`), name the id under which to send again.

        A second call with the same id, phone, text and sender waits for the request in flight, which continues as long
        as a call waits for it. If phone, text or sender differ, the result is `NOT_SENT` with `Reason.ID_REUSED`.

        Args:
            phone: The recipient's phone, as people write it.
            text: The text.
            sender: The sender's name or number, at most 11 characters, or 15 digits.
            message: A whole message, instead of `text` and `sender`.
            campaign: A campaign name without white space around it. The id is derived from campaign, phone and `key`,
                so that a repeated call sends no second SMS.
            client_id_sms: Your own id, instead of a campaign. Without either, the id is random.
            key: What tells several messages to one phone in one campaign apart: a new key per code, the same key
                whenever this code is sent again. A used key never sends another text.
            validity_period: The time after which delivery is no longer attempted; aware, in the future.
            time_send: The time at which to send; aware, in the future (documented for XML only).
            max_parts: The maximum number of SMS that the text may take, or None for no limit; by default the client's.

        Raises:
            InputError: The message cannot be sent; nothing was sent.
            GatewayUnavailable: There is no connection; nothing was sent.
            AuthenticationError, AccountLocked, OutOfBalance: The gateway serves this account nothing now.
            ConfigurationError: The gateway cannot be used with these settings.
            UsageError: The client is closed, or belongs to another event loop.
        """
        _refuse_in_call(WebcomClient.send, _unknown)
        self._check_usable()
        _check_identity(campaign, client_id_sms, key)
        defaults = self._defaults(text, sender, message, validity_period, time_send, max_parts=max_parts)
        recipient = Recipient(phone, client_id_sms, key or "")
        derive = random_ids(self.options.id_bits) if campaign is None else self._ids(campaign).derive
        said, to = address(recipient, defaults, derive)
        self._format.size_of_recipient(to)  # raises what cannot be written, before anything starts
        past = defaults.past(self._session.clock.now())
        if past is not None:
            raise past
        if self._session.options.linger and self._coalescer is None:
            raise UsageError("linger= needs a client that is opened with async with")
        random = campaign is None and client_id_sms is None
        return await self._single_sender.send(said, to, self._coalescer, random=random)

    def stream(
        self,
        recipients: RecipientSource,
        *,
        text: str | None = None,
        sender: str | None = None,
        message: Message | None = None,
        campaign: str | None = None,
        validity_period: datetime | None = None,
        time_send: datetime | None = None,
        journal: Journal | StrPath | None = None,
        resend_rejected: Collection[Reason] = (),
        new_ids: Literal["not-sent"] | None = None,
        acknowledge_repeated_ids: bool = False,
        max_parts: int | UnsetType | None = UNSET,
        **_unknown: Never,
    ) -> Campaign:
        """
        Return a campaign: open it with `async with`, then iterate over its results.

        A bad recipient becomes a `NOT_SENT` result with its reason, and the others continue.

        Args:
            recipients: Any iterable or async iterable of phones or `Recipient`s, pulled lazily: a list, a generator, a
                file, a column of a data frame. An async generator is closed when the stream is left early. A source of
                something else, such as dicts, ends the campaign with an `InputError`.
            text: The text for recipients without their own.
            sender: The sender's name or number.
            message: A whole message, instead of `text` and `sender`.
            campaign: The campaign's name; by default a random one. The same name, phone and key give the same id, so
                that a second run sends no second SMS. White space around it is refused, unless the journal has such a
                campaign.
            validity_period: The default for `Recipient.validity_period`.
            time_send: The default for `Recipient.time_send` (documented for XML only).
            journal: The file, or other `Journal`, that remembers the campaign by its name. Settled recipients are
                skipped; their stored result is returned. The others are sent to, under the same ids. A missing file is
                created, and the file is locked while the campaign is open.
            resend_rejected: Reasons that no longer hold, such as `Reason.OTHER` after the gateway has refused every
                recipient. Recipients that the journal has as rejected for one of them are sent to again.
            new_ids: A way on after `IdCollision`: `"not-sent"` gives recipients that were never sent to other derived
                ids, for good, of the width `Options.id_bits`. A recipient that was possibly sent keeps its id, and so
                does one whose `client_id_sms` is given. Repeats that the journal knows no longer halt the campaign.
            acknowledge_repeated_ids: The other way on: no repeated `id_sms` halts this run. A recipient whose `id_sms`
                was another's first is unknown, with `Reason.REPEATED_ID_SMS`, and never accepted.
            max_parts: The maximum number of SMS that a text may take, or None for no limit; by default the client's.

        Raises:
            IdCollision: While iterating: two ids were answered with one `id_sms`.
            JournalInUse: On entering: another campaign or process has the journal open; nothing was sent. A
                `SqliteJournal` can wait for it.
            JournalError: On entering: the journal cannot be used for this campaign; nothing was sent.
            InputError: The call cannot be sent; nothing was sent.
            UsageError: The client is closed, or belongs to another event loop.
        """
        _refuse_in_call(WebcomClient.stream, _unknown)
        self._session.check_open()
        if journal is not None and campaign is None:
            raise InputError("journal= remembers a campaign by its name: give campaign= too")
        name = mint_campaign() if campaign is None else campaign_name(campaign)
        odd = new_name_error(name)
        if odd is not None and journal is None:
            raise odd
        _check_resend_rejected(resend_rejected, journal)
        _check_new_ids(new_ids, journal)
        defaults = self._defaults(text, sender, message, validity_period, time_send, max_parts=max_parts)
        past = defaults.past(self._session.clock.now())
        if past is not None and journal is None:
            raise past
        not_begun = odd or past or (None if new_ids is None else _nothing_to_renew(name))
        options = self._session.options
        header = CampaignHeader(
            campaign=name,
            id_bits=options.id_bits,
            fingerprint=fingerprint(defaults.message, defaults.sender),
            new_ids=0 if new_ids is None else options.id_bits,
        )
        source = Source(recipients, checked=True)

        async def plan() -> CampaignParts:
            opened: CampaignJournal = MemoryCampaignJournal(name)
            if journal is not None:
                opened = await self._open_journal(journal, header, resend_rejected, not_begun)
            stored = await _stored(opened, header)
            repeated_ids = _repeated_ids(stored, acknowledged=acknowledge_repeated_ids)
            return CampaignParts(opened, source, self._batcher(defaults, stored), repeated_ids)

        return Campaign(self._session, name, self._check_usable, plan)

    async def _open_journal(
        self,
        journal: Journal | StrPath,
        header: CampaignHeader,
        resend_rejected: Collection[Reason],
        not_begun: InputError | None,
    ) -> CampaignJournal:
        """Raise *not_begun*, if there is one, if the journal has no recipients of the campaign."""
        try:
            return await _journal(journal, self._session.options).open(
                header,
                self._session.clock.now,
                resend_rejected=resend_rejected,
                require_begun=not_begun is not None,
            )
        except CampaignNotBegun as exc:
            raise not_begun or exc from None

    def _batcher(self, defaults: CallDefaults, header: CampaignHeader) -> RecipientBatcher:
        options = self._session.options
        ids = IdScheme(header.campaign, cast("IdBits", header.id_bits))
        new_ids = IdScheme(header.campaign, cast("IdBits", header.new_ids), new=True) if header.new_ids else None
        size, max_bytes = options.largest_batch, options.batch_bytes
        return RecipientBatcher(defaults, ids, self._format, size=size, max_bytes=max_bytes, new_ids=new_ids)

    def reconcile(
        self, journal: Journal | StrPath, *, campaign: str, acknowledge_repeated_ids: bool = False
    ) -> Campaign:
        """
        Return a campaign that sends every possibly sent recipient of a journal again, alone, under the same id.

        The answer can then only mean that recipient. A recipient that has an SMS gets no second one; one without gets
        it now.

        Args:
            journal: The journal.
            campaign: The campaign's name.
            acknowledge_repeated_ids: See `stream`.

        Raises:
            IdCollision: While iterating: two ids were answered with one `id_sms`.
            JournalError: On entering: the journal cannot be used, or has no such campaign; nothing was sent.
            UsageError: The client is closed, or belongs to another event loop.
        """
        self._session.check_open()
        campaign = campaign_name(campaign)

        async def plan() -> CampaignParts:
            opened = _journal(journal, self._session.options)
            header = await opened.header(campaign)
            campaign_journal = await opened.open(header, self._session.clock.now)
            repeated_ids = _repeated_ids(header, acknowledged=acknowledge_repeated_ids)
            unsettled = cast("RecipientSource", campaign_journal.unsettled())
            batcher = SingleRecipientBatcher(self._format)
            return CampaignParts(campaign_journal, Source(unsettled), batcher, repeated_ids)

        return Campaign(self._session, campaign, self._check_usable, plan)

    async def send_all(
        self,
        recipients: RecipientSource,
        *,
        text: str | None = None,
        sender: str | None = None,
        message: Message | None = None,
        campaign: str | None = None,
        validity_period: datetime | None = None,
        time_send: datetime | None = None,
        journal: Journal | StrPath | None = None,
        resend_rejected: Collection[Reason] = (),
        new_ids: Literal["not-sent"] | None = None,
        acknowledge_repeated_ids: bool = False,
        max_parts: int | UnsetType | None = UNSET,
        **_unknown: Never,
    ) -> Report:
        """
        Send to all recipients and return the counts, for callers that do not read single results.

        Takes the arguments of `stream`, and raises what `stream` and its results raise.
        """
        _refuse_in_call(WebcomClient.send_all, _unknown)
        async with self.stream(
            recipients,
            text=text,
            sender=sender,
            message=message,
            campaign=campaign,
            validity_period=validity_period,
            time_send=time_send,
            journal=journal,
            resend_rejected=resend_rejected,
            new_ids=new_ids,
            acknowledge_repeated_ids=acknowledge_repeated_ids,
            max_parts=max_parts,
        ) as results:
            async for _ in results.batches():
                pass
        return results.report

    def statuses(self, ids: IdSource) -> Statuses:
        """
        Return the gateway's reports on *ids*, as an async iterator of `DeliveryReport`s.

        One request asks for several ids if the gateway allows it, else for one. Questions change nothing, and failures
        are retried. Iterate without `async with`, and stop at any time.

        Args:
            ids: Any iterable or async iterable of `id_sms`, pulled lazily.

        Raises:
            InputError: *ids* is not iterable, or, while iterating, an item is not an `id_sms`.
            AuthenticationError, AccountLocked: While iterating: the gateway serves this account nothing now.
            ConfigurationError: While iterating: the gateway cannot be used with these settings.
            TransportError, GatewayBusy, ReplyError: While iterating: there is no usable answer after as many attempts
                as the options allow. Iterating again continues with the rest.
            UsageError: The client is closed, or belongs to another event loop.
        """
        self._session.check_open()
        return Statuses(StatusInquiry(self._session), ids, self._check_usable)

    def track(
        self,
        journal: StrPath,
        *,
        campaign: str,
        reports: "ReportFile | StrPath | None" = None,
        pace: Pace | None = None,
        prices: bool = False,
        wait: float = 0.0,
    ) -> Track:
        """
        Return a tracking that follows every accepted SMS of a campaign to a terminal state; open it with `async with`.

        The journal stores the progress: after a `kill -9` the same call continues. Webhook reports are read from
        *reports*, even those that arrived before the send was answered; for all other SMS the gateway is asked, at
        growing intervals. Memory does not grow with the campaign.

        Args:
            journal: The file of a campaign that is not running now.
            campaign: The campaign's name.
            reports: The file of webhook reports, if there is one, or an open `ReportFile`.
            pace: When to ask the gateway, and for how long; by default first after half a minute, or half an hour with
                *reports*.
            prices: Whether to ask once for the price of an SMS whose final state came by webhook, without a price.
            wait: Seconds to wait, on entering, for a journal that is in use.

        Raises:
            ConfigurationError: *wait* is not a number of seconds.
            JournalInUse: On entering: the journal is still in use after *wait* seconds.
            JournalError: On entering: the journal cannot be used, or has no such campaign.
            UsageError: The client is closed, or belongs to another event loop.
        """
        self._session.check_open()
        campaign = campaign_name(campaign)
        terms = Terms(
            pace or Pace(first=Pace.first_beside(reports)),
            self._session.clock,
            self.options.zone,
            self._check_usable,
            self.observers,
        )
        return Track(journal, campaign, reports, StatusInquiry(self._session), terms, prices=prices, wait=wait)

    async def balance(self) -> Balance:
        """
        Return the balance of the account.

        Raises:
            AuthenticationError, AccountLocked: The gateway serves this account nothing now.
            ConfigurationError: The gateway cannot be used with these settings.
            TransportError, GatewayBusy, ReplyError: There is no usable answer after as many attempts as the options
                allow.
            UsageError: The client is closed, or belongs to another event loop.
        """
        self._check_usable()
        return await ask_balance(self._session)

    async def aclose(self) -> None:
        """
        Close the connections. The client cannot be used again.

        Raises:
            UsageError: The client was used in another event loop, which holds its connections.
        """
        self._session.close()
        loop = self._session.traffic.loop
        if loop in (None, running_loop()):
            await self._session.transport.aclose()
            return
        if getattr(loop, "is_closed", bool)():
            with suppress(RuntimeError):  # asyncio's, of what only that loop could close
                await self._session.transport.aclose()
        raise UsageError(
            "this client was used in another event loop, which holds its connections: close it there, with async with. "
            "It cannot be used any more"
        )

    async def __aenter__(self) -> Self:
        self._check_usable()
        if self._session.options.linger:
            self._coalescer = await RequestCoalescer(self._session).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.close()
        try:
            if self._coalescer is not None:
                await self._coalescer.__aexit__()
        finally:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + self._session.options.grace):
                await self.aclose()

    def _check_usable(self) -> None:
        self._session.check_open()
        here, traffic = running_loop(), self._session.traffic
        if traffic.loop is None:
            traffic.loop = here
        elif traffic.loop != here:
            whose = "this client" if self._shares_with is None else "the client that this one shares limits with"
            raise UsageError(f"{whose} belongs to another event loop: make one client per loop")

    def _ids(self, campaign: str) -> IdScheme:
        return IdScheme(campaign, self._session.options.id_bits)

    def _defaults(
        self,
        text: str | None,
        sender: str | None,
        message: Message | None,
        validity_period: datetime | None,
        time_send: datetime | None,
        *,
        max_parts: int | UnsetType | None,
    ) -> CallDefaults:
        return call_defaults(
            text,
            sender,
            message,
            validity_period,
            time_send,
            send_format=self._format,
            max_parts=self.options.max_parts if max_parts is UNSET else _whole_or_none("max_parts", max_parts),
        )


def _whole_or_none(name: str, given: object) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        return given
    raise InputError(f"{name} is {given!r}; it must be a whole number of at least 1, or None")


def _arguments(method: Callable[..., object]) -> tuple[str, ...]:
    code = method.__code__
    return code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]


def _with_options(method: Callable[..., object]) -> list[str]:
    return [*_arguments(method), *OptionFields.__annotations__]


def _refuse_in_call(method: Callable[..., object], unknown: Mapping[str, object]) -> None:
    if unknown:
        elsewhere = _with_options(WebcomClient.__init__)
        refuse_unknown(method.__name__, unknown, _arguments(method), elsewhere=elsewhere)


def _take_limits(options: OptionFields, other: WebcomClient) -> None:
    """Set `in_flight` and `rate` to those of *other*."""
    if not isinstance(other, WebcomClient):
        raise ConfigurationError(f"share_limits_with is {other!r}; it must be a WebcomClient")
    shared = OptionFields(in_flight=other.options.in_flight, rate=other.options.rate)
    for name, value in shared.items():
        if options.get(name, value) != value:
            raise ConfigurationError(
                f"{name} is {options.get(name)!r}, but the client to share limits with has {value!r}: leave {name} out"
            )
    options.update(shared)


def _check_shared(options: Options, credentials: Credentials, other: WebcomClient) -> None:
    if _origin(options) != _origin(other.options):
        raise ConfigurationError(
            f"base_url is {options.base_url!r}, but the client to share limits with has {other.options.base_url!r}: "
            "limits belong to one account of one gateway"
        )
    if credentials.digest("") != other.account(""):
        raise ConfigurationError(
            "the client to share limits with has other credentials: give both clients the same token, "
            "or the same login and password"
        )


def _origin(options: Options) -> tuple[str, str | None, int]:
    parts = urlsplit(options.base_url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def _check_identity(campaign: str | None, client_id_sms: str | int | None, key: str | None) -> None:
    if client_id_sms is not None and (campaign is not None or key is not None):
        raise InputError("give client_id_sms=, or campaign= and key= from which it is derived, not both")
    if key is not None and campaign is None:
        raise InputError("key= tells messages of one campaign apart: give campaign= too")
    refuse_blank("key", key)
    if key is not None and key != key.strip():
        raise InputError(
            f"key {quoted(key)} begins or ends with white space, which makes it another key: leave that out"
        )
    odd = None if campaign is None else new_name_error(campaign_name(campaign))
    if odd is not None:
        raise odd


def _check_resend_rejected(reasons: Collection[Reason], journal: Journal | StrPath | None) -> None:
    if not isinstance(reasons, Collection) or not all(isinstance(reason, Reason) for reason in reasons):
        raise InputError("resend_rejected= must be a collection of Reasons, as in {Reason.OTHER}")
    if reasons and journal is None:
        raise InputError("resend_rejected= is about what a journal remembers: give journal= too")


def _check_new_ids(new_ids: object, journal: Journal | StrPath | None) -> None:
    if new_ids not in (None, "not-sent"):
        raise InputError(f"new_ids is {new_ids!r}; it must be 'not-sent': others keep their ids")
    if new_ids is not None and journal is None:
        raise InputError("new_ids= is for recipients that a journal knows were never sent to: give journal= too")


def _nothing_to_renew(campaign: str) -> InputError:
    return InputError(
        f"campaign {campaign!r} has no recipients in this journal. Under new ids, recipients that another journal has "
        "would be sent to, and billed, again: give the campaign's own journal, or leave new ids out"
    )


async def _stored(opened: CampaignJournal, header: CampaignHeader) -> CampaignHeader:
    """Return the header that a journal has stored; a caller's own journal may not tell."""
    stored: CampaignHeader | None = getattr(opened, "header", None)
    if stored is None and header.new_ids:
        await opened.aclose()
        raise InputError("this journal cannot give new ids: it has no header; leave new_ids= out")
    return header if stored is None else stored


def _repeated_ids(header: CampaignHeader, *, acknowledged: bool) -> RepeatedIds:
    if acknowledged:
        return RepeatedIds.GO_ON
    return RepeatedIds.HALT_IF_NEW if header.new_ids else RepeatedIds.HALT


def _journal(journal: Journal | StrPath, options: Options) -> Journal:
    if not isinstance(journal, str | os.PathLike):
        return journal
    from webcom_async._storage.sqlite.file_journal import SqliteJournal  # noqa: PLC0415 - sqlite3: not every client has a journal

    return SqliteJournal(journal, zone=options.zone)


def _choose(options: Options, http_client: AsyncHttpClient | None, transport: Transport | str) -> Transport:
    if http_client is not None and transport != "httpx2":
        raise ConfigurationError("give http_client= or transport=, not both")
    if http_client is not None:
        if not (hasattr(http_client, "stream") and hasattr(http_client, "aclose")):
            raise ConfigurationError(f"http_client must be an AsyncClient of httpx2 or httpx, not {http_client!r}")
        return HttpTransport(http_client)
    if transport == "aiohttp":
        return _aiohttp(options)
    if isinstance(transport, str):
        if transport != "httpx2":
            raise ConfigurationError(f"transport is {transport!r}; it is 'httpx2', 'aiohttp', or a Transport")
        from webcom_async._http.httpx2_transport import Httpx2Transport  # noqa: PLC0415 - its core imports trio, if that is installed

        return Httpx2Transport(options)
    return transport


def _aiohttp(options: Options) -> Transport:
    try:
        from webcom_async._http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            "transport='aiohttp' needs aiohttp: python -m pip install 'webcom-async[aiohttp]'"
        ) from None
    from webcom_async._http.httpx2_transport import certificates_for  # noqa: PLC0415 - see `_choose`

    return AiohttpTransport(options, certificates_for(options))
