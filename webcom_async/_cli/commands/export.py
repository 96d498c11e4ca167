"""`webcom-async export`: a campaign's results beside the rows of its file, or as the journal has them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from webcom_async._cli.options import NO_FILE_OPTIONS, AsJson, FileOptions, Lang
from webcom_async._cli.run.audience_loading import stop_list, stopped_in
from webcom_async._cli.run.result_export import Filing, expected, pages, people_of
from webcom_async._cli.run.result_join import CampaignIds
from webcom_async._cli.run.same_ids import NOTHING_WRITTEN, check_same_ids
from webcom_async._cli.ui.translations import choose_language
from webcom_async._domain.results import SendResult
from webcom_async.audience import Audience, StopList
from webcom_async.files import Row
from webcom_async.journal import StoredResults

__all__ = ["export_command"]


def export_command(
    results: Path,
    /,
    *,
    journal: Path,
    campaign: str,
    file: Path | None = None,
    text: str | None = None,
    options: FileOptions = NO_FILE_OPTIONS,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Write the results of a campaign from a journal into a new file: CSV, .jsonl or .parquet. The file gets its name
    when it is complete.

    With --file, the campaign's own file of recipients, there is a line for each of its rows, in its order, beside its
    columns: also for rows that were left out, and for rows that no run has reached. Give the options that `send` got.

    Exit codes: 0 all were accepted; 1 a recipient was not; 2 a file or the journal cannot be used.

    Args:
        results: The new file.
        journal: The file that remembers the campaign.
        campaign: Its name.
        file: The recipients.
        text: The text that `send` got; it tells which rows had none.
        options: How the recipients are read.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    audience = people_of(file, text, options, visible=not as_json)
    stopped = stop_list(options, stopped_in(journal, campaign))
    with StoredResults(journal, campaign) as stored:
        if audience is not None:
            check_same_ids(audience, stored, NOTHING_WRITTEN)
        with Filing(results, audience) as filing:
            for page in _alone(stored) if audience is None else _beside(audience, stored, stopped):
                filing.write(page)
    return filing.conclude(campaign, as_json=as_json)


def _alone(stored: StoredResults) -> Iterator[list[tuple[SendResult, Row | None]]]:
    return ([(result, None) for result in page] for page in pages(stored))


def _of_row(expected: SendResult, known: Iterable[SendResult]) -> SendResult:
    """Two rows may have one id: another phone's result does not count."""
    return next((each for each in known if each.phone == expected.phone), expected)


def _beside(
    audience: Audience, stored: StoredResults, stopped: StopList
) -> Iterator[list[tuple[SendResult, Row | None]]]:
    """Yield each row's result: what the journal has, or why it has nothing."""
    for page in expected(audience, CampaignIds.of(stored.header), stopped):
        known = stored.of([each for *_, ids in page for each in ids if each])
        yield [(_of_row(result, [known[each] for each in ids if each in known]), row) for result, row, ids in page]
