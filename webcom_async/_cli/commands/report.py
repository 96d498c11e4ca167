"""`webcom-async report`: the campaigns in a journal, counted."""

from pathlib import Path
from typing import Any

import anyio

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import AsJson, Lang
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.ui.console import counts_json, show_counts, show_json
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._domain.errors import InputError
from webcom_async._domain.results import Outcome
from webcom_async.journal import StoredCampaign, campaigns, stored_campaign

__all__ = ["report_command"]


def report_command(
    journal: Path | None = None,
    /,
    *,
    store: str | None = None,
    campaign: str | None = None,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Show the counts of the campaigns in a journal. The gateway is not asked.

    A journal has the recipients that a run has reached; `export --file` has the others of a file too. While a campaign
    runs, recipients of requests in flight are unknown (cancelled), because no answer is stored.

    Exit codes: 0 all of these were accepted; 1 a recipient was not; 2 the journal cannot be read.

    Args:
        journal: The file.
        store: Instead of a file, the database that journals are kept in: `postgresql://user@host/database`.
        campaign: This one only.
        lang: The language of the tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON for each campaign instead of a table.
    """
    choose_language(lang)
    found = _found(journal, store, campaign)
    if not found:
        raise InputError(f"{journal or 'the database'}: it holds no campaign yet")
    for stored in found:
        if as_json:
            show_json(_json(stored))
        else:
            _show(stored)
    accepted = all(sum(stored.counts.values()) == stored.counts[Outcome.ACCEPTED] for stored in found)
    return ExitCode.ALL_ACCEPTED if accepted else ExitCode.NOT_ALL_ACCEPTED


def _found(journal: Path | None, store: str | None, campaign: str | None) -> list[StoredCampaign]:
    if (journal is None) == (store is None):
        raise InputError("give the journal's file, or --store")
    if journal is None:
        return anyio.run(_kept, StoreLocation.of(store), campaign)
    return campaigns(journal) if campaign is None else [stored_campaign(journal, campaign)]


async def _kept(place: StoreLocation, campaign: str | None) -> list[StoredCampaign]:
    async with place.archive() as archive:
        found = await archive.stored_campaigns()
    named = [stored for stored in found if campaign in (None, stored.header.campaign)]
    if found and not named:
        names = ", ".join(repr(stored.header.campaign) for stored in found)
        raise InputError(f"the database holds no campaign {campaign!r}; it holds {names}")
    return named


def _show(stored: StoredCampaign) -> None:
    facts = {
        tr("campaign"): stored.header.campaign,
        tr("first run"): f"{stored.created:%Y-%m-%d %H:%M} UTC",
        tr("last run"): f"{stored.opened:%Y-%m-%d %H:%M} UTC",
        tr("recipients"): tr("those that a run has reached"),
    }
    show_counts(stored.counts, stored.reasons, tr("Report"), facts)


def _json(stored: StoredCampaign) -> dict[str, Any]:
    times = {"created": stored.created, "opened": stored.opened}
    return counts_json(stored.header.campaign, stored.counts, stored.reasons) | times
