"""`webcom-async campaign pause`, `resume` and `cancel`: from any host."""

import anyio

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import HALT_ON_REPEATS, AsJson, Lang, RepeatOptions, Switch
from webcom_async._cli.run.resume_hint import command_line
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.ui.campaign_table import show_status, status_json
from webcom_async._cli.ui.console import ask, say_aside, show_json
from webcom_async._cli.ui.translations import choose_language, tr, tr_plural
from webcom_async._domain.errors import InputError
from webcom_async.scaleout import CampaignState, CampaignStatus, CampaignStore

__all__ = ["allow_repeats", "cancel_campaign_command", "pause_command", "resume_command"]


def pause_command(
    campaign: str, /, *, store: str | None = None, lang: Lang | None = None, as_json: AsJson = False
) -> int:
    """
    Pause a campaign. When this ends, only requests in flight may still arrive.

    Exit codes: 0 done; 2 bad input; 3 the store cannot be reached.

    Args:
        campaign: Its name.
        store: Where it is kept; see `start`.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    return _changed(StoreLocation.of(store), campaign, CampaignState.PAUSED, as_json=as_json)


def resume_command(
    campaign: str,
    /,
    *,
    store: str | None = None,
    same_account: Switch = False,
    repeats: RepeatOptions = HALT_ON_REPEATS,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Resume a campaign that was paused or halted by a failure; or send again to the open recipients of a finished one.

    Exit codes: 0 done; 2 bad input; 3 the store cannot be reached.

    Args:
        campaign: Its name.
        store: Where it is kept; see `start`.
        same_account: The account is the one that it was begun with, although its token is a new one. The gateway
            remembers per account who was sent to.
        repeats: What is done if ids repeat.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    place = StoreLocation.of(store)
    if same_account:
        anyio.run(_forget_account, place, campaign)
    anyio.run(_allow_repeats, place, campaign, repeats)
    code = _changed(place, campaign, CampaignState.RUNNING, as_json=as_json)
    say_aside(tr("it goes on where workers run: {command}", command=command_line("campaign", "worker", *place.option)))
    return code


def cancel_campaign_command(
    campaign: str,
    /,
    *,
    store: str | None = None,
    yes: Switch = False,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Cancel a campaign for good: who was not sent to will not be.

    Exit codes: 0 done; 2 bad input, nothing was changed; 3 the store cannot be reached.

    Args:
        campaign: Its name.
        store: Where it is kept; see `start`.
        yes: Do not ask.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    place = StoreLocation.of(store)
    if not yes:
        _confirm(anyio.run(_status, place, campaign))
    return _changed(place, campaign, CampaignState.CANCELLED, as_json=as_json)


def _confirm(status: CampaignStatus) -> None:
    """Raise `InputError` if the answer is no, or there is no terminal."""
    left = status.recipients - sum(status.outcomes.values())
    question = tr_plural(
        "Cancel {campaign} for good? {count} recipient has not been sent to.",
        "Cancel {campaign} for good? {count} recipients have not been sent to.",
        left,
        campaign=status.settings.campaign,
    )
    answer = ask(question)
    if answer is None:
        raise InputError("cancelling is for good, and nobody is here to ask: give --yes; nothing was changed")
    if not answer:
        raise InputError(tr("nothing was changed"))


async def _forget_account(place: StoreLocation, campaign: str) -> None:
    async with place.store() as store:
        await store.claim(campaign, None)


async def _allow_repeats(place: StoreLocation, campaign: str, repeats: RepeatOptions) -> None:
    async with place.store() as store:
        await allow_repeats(store, campaign, repeats)


async def allow_repeats(store: CampaignStore, campaign: str, repeats: RepeatOptions) -> None:
    if repeats.new_ids is not None:
        await store.give_new_ids(campaign)
    if repeats.acknowledge_repeated_ids:
        await store.acknowledge_repeated_ids(campaign)


def _changed(place: StoreLocation, campaign: str, state: CampaignState, *, as_json: bool) -> int:
    status = anyio.run(_change, place, campaign, state)
    if as_json:
        show_json(status_json(status))
    else:
        show_status(status)
    return ExitCode.ALL_ACCEPTED


async def _change(place: StoreLocation, campaign: str, state: CampaignState) -> CampaignStatus:
    async with place.store() as store:
        # Why it was halted stays of use, where it does not go on.
        why = (await store.status(campaign)).why if state is CampaignState.CANCELLED else ""
        return await store.change_state(campaign, state, why)


async def _status(place: StoreLocation, campaign: str) -> CampaignStatus:
    async with place.store() as store:
        return await store.status(campaign)
