"""`webcom-async campaign start`: a file, checked, confirmed, and planned for many workers, or sent by this process."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec

from webcom_async._cli.commands.campaign.control import allow_repeats
from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import (
    AN_HOUR,
    ANY_TIME,
    ASKS_ABOVE_1000,
    FROM_ENVIRONMENT,
    HALT_ON_REPEATS,
    NO_FILE_OPTIONS,
    NO_PRICE,
    AccountOptions,
    AsJson,
    ConsentOptions,
    FileOptions,
    Lang,
    MoreThanZero,
    Positive,
    PriceOptions,
    RepeatOptions,
    TimeOptions,
)
from webcom_async._cli.run.audience_loading import audience_of
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.run.confirmation import consented, message_of
from webcom_async._cli.run.local_campaign import LocalCampaign, conclude_campaign
from webcom_async._cli.run.resume_hint import command_line, same_command
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.run.times import is_span, moment_of, zone_of
from webcom_async._cli.signals import SignalAwareRun
from webcom_async._cli.ui.campaign_table import show_status, status_json
from webcom_async._cli.ui.console import say_aside, show_json
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._cli.ui.worker_messages import GatewayMessages
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Channel, Message, Recipient
from webcom_async._storage.campaign_rules import nothing_to_renew
from webcom_async.audience import Audience
from webcom_async.scaleout import CampaignSettings, CampaignState, CampaignStatus, CampaignStore

__all__ = ["start_command"]

_SHARD = CampaignSettings(campaign="").shard_size


class _PlanRequest(NamedTuple):
    """
    What is to be planned.

    Attributes:
        settings: With what.
        audience: The recipients.
        spanned: Whether the end of its validity was given as a span from now.
        repeats: What is done if ids repeat.
    """

    settings: CampaignSettings
    audience: Audience
    spanned: bool
    repeats: RepeatOptions

    async def plan(self, store: CampaignStore) -> CampaignStatus:
        """A halted campaign goes on, a paused one stays so."""
        settings = self.settings
        if self.spanned and settings.campaign in await store.campaigns():
            # From when it was planned, not from now: the same command goes on with the same campaign.
            planned = await store.settings(settings.campaign)
            settings = msgspec.structs.replace(settings, validity_period=planned.validity_period)
        if self.repeats.new_ids is not None and settings.campaign not in await store.campaigns():
            raise nothing_to_renew(settings.campaign)
        await store.plan(settings, self._people())
        await allow_repeats(store, settings.campaign, self.repeats)
        standing = await store.status(settings.campaign)
        if standing.state is CampaignState.HALTED:
            return await store.change_state(settings.campaign, CampaignState.RUNNING)
        if standing.state is CampaignState.CANCELLED:
            raise InputError(
                f"campaign {settings.campaign!r} was cancelled; nothing was sent. Another --campaign would send to, "
                "and bill, again those of its recipients that were accepted in this one"
            )
        return standing

    def _people(self) -> Iterator[Recipient]:
        return (person.recipient for person in self.audience.people() if person.recipient is not None)


def start_command(
    file: Path,
    /,
    *,
    sender: str,
    text: str | None = None,
    campaign: str | None = None,
    channel: Channel = Channel.SMS,
    store: str | None = None,
    shard_size: Positive = _SHARD,
    options: FileOptions = NO_FILE_OPTIONS,
    prices: PriceOptions = NO_PRICE,
    consent: ConsentOptions = ASKS_ABOVE_1000,
    times: TimeOptions = ANY_TIME,
    repeats: RepeatOptions = HALT_ON_REPEATS,
    patience: MoreThanZero = AN_HOUR,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Plan a campaign that many workers send, or send it here and now.

    With a PostgreSQL database, the campaign is planned there, and this command ends: every `campaign worker` of that
    database sends its share. With a folder, this process sends it all, and can be stopped and run again. The file is
    read as `send` reads it. Running the same command again changes nothing about who is sent to, and lets a campaign
    go on that a failure had halted.

    Exit codes: 0 planned, or all were accepted; 1 a recipient was not; 2 bad input, nothing was sent; 3 the gateway or
    the store ended it; 130 Ctrl-C; 143 SIGTERM.

    Args:
        file: The recipients.
        sender: Who it is from: at most 11 characters, or 15 digits.
        text: The text for everyone whose row has none; name columns in braces, as in "Hello, {name}!".
        campaign: A name. Without one, a random name is made and printed.
        channel: Where it goes.
        store: `postgresql://user@host/database`, or a folder; WEBCOM_STORE does the same, and keeps a password off the
            command line. Without either, the folder `webcom-campaigns`.
        shard_size: Recipients that a worker takes at a time.
        options: How the file is read.
        prices: What a part costs.
        consent: What has to be said first.
        times: Until when messages go.
        repeats: What is done if ids repeat.
        patience: Seconds without an answer after which a campaign in a folder is halted, which the same command then
            resumes. While the gateway is silent, one request at a time probes it, and the campaign goes on when it
            answers.
        account: Which gateway, and how it is asked; `rate` holds over all workers.
        lang: The language of tables and questions; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of tables.
    """
    choose_language(lang)
    if times.between is not None:
        raise InputError("--between is an option of `send`: pause and resume a campaign of many workers instead")
    place = StoreLocation.of(store)
    settings = settings_of(account, patience)
    messages = [GatewayMessages()]
    dry_run = consent.dry_run or place.is_server
    make = client_maker(account, {**settings, "rate": None}, dry_run=dry_run, observers=messages)
    audience = audience_of(file, text, options)
    message = message_of(audience, Message(type_send_1=channel, sender=sender, text="checks the sender"), text)
    order = _PlanRequest(
        CampaignSettings(
            campaign=f"cli-{uuid.uuid4()}" if campaign is None else campaign,
            message=message,
            sender=sender if message is None else None,
            validity_period=moment_of(times.validity_period, zone_of(times.zone), datetime.now(UTC)),
            id_bits=settings.get("id_bits", 63),
            rate=account.rate,
            batch_size=settings.get("batch_size", account.batch_size),
            shard_size=shard_size,
        ),
        audience,
        is_span(times.validity_period),
        repeats,
    )

    audit = consented(audience, options, prices, consent, account, channel=channel, as_json=as_json)
    if isinstance(audit, ExitCode):
        return audit
    if place.is_server:
        return _tell(place, anyio.run(_enqueue, place, order), as_json=as_json)
    run = SignalAwareRun[CampaignStatus]()
    status = LocalCampaign(place, order.plan, make, order.settings.campaign, visible=not as_json).send(run)
    go_on = same_command(order.settings.campaign, made_up=campaign is None)
    return conclude_campaign(status, run.stopped, as_json=as_json, go_on=go_on, place=place)


async def _enqueue(place: StoreLocation, order: _PlanRequest) -> CampaignStatus:
    async with place.store(new=True) as store, place.engine(store) as engine:
        engine.check_name(order.settings.campaign)
        standing = await order.plan(store)
        if standing.state is CampaignState.RUNNING:
            await engine.start(order.settings.campaign)
        return standing


def _tell(place: StoreLocation, standing: CampaignStatus, *, as_json: bool) -> int:
    if as_json:
        show_json(status_json(standing))
    else:
        show_status(standing)
    name = standing.settings.campaign
    if standing.state is CampaignState.PAUSED:
        resume = command_line("campaign", "resume", name, *place.option)
        say_aside(tr("it is paused; to let it go on: {command}", command=resume))
    worker = command_line("campaign", "worker", *place.option)
    say_aside(tr("to send it, on every host that is to: {command}", command=worker))
    status = command_line("campaign", "status", name, *place.option)
    say_aside(tr("to look at it: {command}", command=status))
    return ExitCode.ALL_ACCEPTED
