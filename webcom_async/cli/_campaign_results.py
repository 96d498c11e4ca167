"""`webcom-async campaign results`: what became of everybody in a campaign of many workers, into a file."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import anyio

from webcom_async._reasons import Reason
from webcom_async.cli._display import counts_json, show_counts, show_json
from webcom_async.cli._exit_codes import ExitCode
from webcom_async.cli._options import AsJson, Lang
from webcom_async.cli._stores import Place
from webcom_async.cli._words import choose_language, tr
from webcom_async.files import ResultsFile
from webcom_async.models import Outcome, SendResult

__all__ = ["results_command"]

_PAGE = 500


def results_command(
    campaign: str,
    results: Path,
    /,
    *,
    store: str | None = None,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Write what is known of a campaign's recipients into a new file: CSV, .jsonl or .parquet. It may still go on.

    Exit codes: 0 everyone in the file was accepted; 1 somebody was not; 2 bad input; 3 the store cannot be reached.

    Args:
        campaign: Its name.
        results: The new file.
        store: Where it is kept; see `start`.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    outcomes, reasons = Counter[Outcome](), Counter[Reason]()
    anyio.run(_write, Place.of(store), campaign, results, outcomes, reasons)
    counts = {outcome: outcomes[outcome] for outcome in Outcome}
    if as_json:
        show_json(counts_json(campaign, counts, dict(reasons.most_common())))
    else:
        show_counts(counts, dict(reasons.most_common()), tr("Report"), {tr("campaign"): campaign})
    return ExitCode.ALL_ACCEPTED if counts[Outcome.ACCEPTED] == outcomes.total() else ExitCode.NOT_ALL_ACCEPTED


async def _write(place: Place, campaign: str, path: Path, outcomes: Counter[Outcome], reasons: Counter[Reason]) -> None:
    """Write all results a page at a time, and count them."""
    async with place.store() as store:
        await store.settings(campaign)  # no file is made for a campaign that is not there
        with closing(ResultsFile(path)) as file:
            page: list[SendResult] = []
            async for result in store.results(campaign):
                page.append(result)
                outcomes[result.outcome] += 1
                if result.outcome is not Outcome.ACCEPTED:
                    reasons[result.reason] += 1
                if len(page) == _PAGE:
                    file.write((each, None) for each in page)
                    page.clear()
            if page:
                file.write((each, None) for each in page)
