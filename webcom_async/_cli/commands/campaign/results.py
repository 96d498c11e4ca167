"""`webcom-async campaign results`: the results of all recipients in a campaign of many workers, into a file."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
from msgspec.structs import replace

from webcom_async._cli.options import NO_FILE_OPTIONS, AsJson, FileOptions, Lang
from webcom_async._cli.run.audience_loading import stop_list
from webcom_async._cli.run.result_export import Filing, expected, people_of
from webcom_async._cli.run.result_join import CampaignIds
from webcom_async._cli.run.same_ids import NOTHING_WRITTEN, IdComparison
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.ui.translations import choose_language
from webcom_async._domain.results import SendResult
from webcom_async._storage.campaign_rules import header_of
from webcom_async.audience import Audience, StopList
from webcom_async.files import Row
from webcom_async.scaleout import CampaignStore

__all__ = ["results_command"]

_PAGE = 500
Page = list[tuple[SendResult, Row | None]]


def results_command(
    campaign: str,
    results: Path,
    /,
    *,
    store: str | None = None,
    file: Path | None = None,
    text: str | None = None,
    options: FileOptions = NO_FILE_OPTIONS,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Write what is known of a campaign's recipients into a new file: CSV, .jsonl or .parquet. It may still go on.

    With --file, the campaign's own file of recipients, there is a line for each of its rows, in its order, beside its
    columns: also for rows that were left out, and for rows that no worker has reached. Give the options that `start`
    got.

    Exit codes: 0 all in the file were accepted; 1 a recipient was not; 2 bad input; 3 the store cannot be reached.

    Args:
        campaign: Its name.
        results: The new file.
        store: Where it is kept; see `start`.
        file: The recipients.
        text: The text that `start` got; it tells which rows had none.
        options: How the recipients are read.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    audience = people_of(file, text, options, visible=not as_json)
    filing = anyio.run(_write, StoreLocation.of(store), campaign, results, audience, stop_list(options))
    return filing.conclude(campaign, as_json=as_json)


async def _write(
    place: StoreLocation, campaign: str, path: Path, audience: Audience | None, stopped: StopList
) -> Filing:
    async with place.store() as store:
        pages = _alone(store, campaign) if audience is None else _beside(store, campaign, audience, stopped)
        async with aclosing(pages):
            nothing: Page = []
            first = await anext(pages, nothing)  # no file is made for a campaign that is not there
            with Filing(path, audience) as filing:
                filing.write(first)
                async for page in pages:
                    filing.write(page)
        return filing


async def _check_same_ids(store: CampaignStore, campaign: str, comparison: IdComparison) -> None:
    """Raise `InputError` if the file gives other ids than the campaign was planned with."""
    if not comparison.phones:
        return
    results = [result async for result in store.results(campaign) if result.phone in comparison.phones]
    comparison.leave_out({result.client_id_sms for result in results})
    comparison.check(results, NOTHING_WRITTEN)


async def _alone(store: CampaignStore, campaign: str) -> AsyncGenerator[Page, None]:
    page: Page = []
    async for result in store.results(campaign):
        page.append((result, None))
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


async def _beside(
    store: CampaignStore, campaign: str, audience: Audience, stopped: StopList
) -> AsyncGenerator[Page, None]:
    status = await store.status(campaign)
    ids = CampaignIds.of(header_of(status.settings, new_ids=status.new_ids))
    await _check_same_ids(store, campaign, IdComparison(audience, campaign, ids))
    for page in expected(audience, ids, stopped):
        known = await store.lookup(campaign, [result for result, *_ in page])
        if status.new_ids:
            # A recipient that keeps its first id is not known under the new one.
            former = [replace(result, client_id_sms=mine[-1]) for result, _, mine in page]
            pairs = zip(known, await store.lookup(campaign, former), page, former, strict=True)
            known = [now if now is not page_[0] or before is old else before for now, before, page_, old in pairs]
        yield [(result, row) for result, (_, row, _) in zip(known, page, strict=True)]
