"""`webcom-async campaign status`: how campaigns of many workers stand, over all workers."""

import sys
from contextlib import suppress

import anyio

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import AsJson, Lang, Switch
from webcom_async._cli.run.campaign_watch import looks
from webcom_async._cli.run.local_campaign import of_standing
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.signals import listening
from webcom_async._cli.ui.campaign_table import live_standing, show_campaigns, show_status, status_json
from webcom_async._cli.ui.console import say_aside, show_json
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._domain.errors import InputError, WebcomError
from webcom_async.scaleout import CampaignState, CampaignStatus

__all__ = ["campaign_status_command"]


_PATIENCE = 600.0  # seconds: a person watches, and can end it


def campaign_status_command(
    campaign: str | None = None,
    /,
    *,
    store: str | None = None,
    once: Switch = False,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Show how a campaign stands: its counts, its speed, and who works on it until when. Without a name: all campaigns.

    On a terminal it is shown live until the campaign ends, or Ctrl-C: that ends the show, not the campaign.

    Exit codes: 0 it goes on, or all were accepted; 1 it is finished, and a recipient was not; 2 bad input; 3 it was
    halted or cancelled, or the store cannot be reached. Of several campaigns: the greatest.

    Args:
        campaign: Its name.
        store: Where it is kept; see `start`.
        once: Show it once, also on a terminal; without a speed, which takes a while to be known.
        lang: The language of the tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON for each campaign, once, instead of tables.
    """
    choose_language(lang)
    place = StoreLocation.of(store)
    if campaign is None:
        return _all(anyio.run(_standings, place), as_json=as_json)
    if as_json or once or not sys.stderr.isatty():
        standing, speed = anyio.run(_look, place, campaign), None
    else:
        standing, speed = anyio.run(_watch, place, campaign)
    awaited = anyio.run(_awaited_version, place, standing) if standing.state is CampaignState.RUNNING else None
    if as_json:
        show_json(status_json(standing, awaited))
    else:
        show_status(standing, speed)
        if awaited is not None:
            say_aside(
                tr(
                    "{campaign}: waiting for a worker of engine version {version}, because it was started by another "
                    "release: run workers of that release to its end",
                    campaign=campaign,
                    version=awaited,
                )
            )
    return of_standing(standing)


def _all(standings: list[CampaignStatus], *, as_json: bool) -> int:
    if not standings and not as_json:
        raise InputError("no campaigns there yet: start one")
    if as_json:
        for standing in standings:
            show_json(status_json(standing))
    else:
        show_campaigns(standings)
    return max(map(of_standing, standings), default=ExitCode.ALL_ACCEPTED)


async def _standings(place: StoreLocation) -> list[CampaignStatus]:
    async with place.store() as store:
        return [await store.status(campaign) for campaign in await store.campaigns()]


async def _look(place: StoreLocation, campaign: str) -> CampaignStatus:
    async with place.store() as store:
        return await store.status(campaign)


async def _awaited_version(place: StoreLocation, standing: CampaignStatus) -> str | None:
    """Return None also if the engine's tables cannot be read, or the engine is not installed."""
    with suppress(WebcomError):
        async with place.store() as store:
            return await place.engine(store).awaited_version(standing.settings.campaign)
    return None


async def _watch(place: StoreLocation, campaign: str) -> tuple[CampaignStatus, float | None]:
    """Return when the campaign ends, or a signal comes."""
    seen: tuple[CampaignStatus, float | None] | None = None
    scope = anyio.CancelScope()
    await _look(place, campaign)  # a missing campaign is an error at once; a later outage is waited out
    async with place.store(patience=_PATIENCE) as store, listening(lambda _: scope.cancel()):
        with live_standing(visible=True) as live, scope:
            async for standing, speed in looks(store, campaign):
                seen = standing, speed
                live.show(standing, speed)
        return seen or (await store.status(campaign), None)
