"""`webcom-async export`: a campaign's results beside the rows of its file, or as the journal has them."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

from webcom_async._client_ids import ClientIdSms, IdBits, IdScheme
from webcom_async._phones import Phone
from webcom_async._reasons import Reason
from webcom_async.audience import Audience, Person, StopList
from webcom_async.cli._audiences import audience_of, check_audience, stop_list
from webcom_async.cli._display import counts_json, show_counts, show_json
from webcom_async.cli._exit_codes import ExitCode
from webcom_async.cli._joining import id_of
from webcom_async.cli._options import NO_FILE_OPTIONS, AsJson, FileOptions, Lang
from webcom_async.cli._words import choose_language, tr
from webcom_async.files import CsvTable, ResultsFile, Row
from webcom_async.journal import StoredResults, stopped_phones
from webcom_async.models import Outcome, Recipient, SendResult

__all__ = ["export_command"]

_PAGE = 500
_NEVER_LEFT = "it is not in the journal: no run has come to this row"
_ANY_TEXT = "a text that everyone has"

T = TypeVar("T")
Joint = tuple[SendResult, Row | None]


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
    Write what a journal knows of a campaign into a new file: CSV, .jsonl or .parquet.

    With --file, the campaign's own file of recipients, there is a line for each of its rows, in its order, beside its
    columns: also for rows that were left out, and for rows that no run has come to. Give the options that `send` got.

    Exit codes: 0 everyone was accepted; 1 somebody was not; 2 a file or the journal cannot be used.

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
    audience = None if file is None else _audience(file, text, options, visible=not as_json)
    stopped = stop_list(options, StopList(stopped_phones(journal, but=campaign)))
    with StoredResults(journal, campaign) as stored:
        found = ((result, None) for result in stored) if audience is None else _beside(audience, stored, stopped)
        outcomes, reasons = _write(results, audience, found)
    if as_json:
        show_json(counts_json(campaign, outcomes, reasons))
    else:
        show_counts(outcomes, reasons, tr("Report"), {tr("campaign"): campaign})
    return ExitCode.ALL_ACCEPTED if outcomes[Outcome.ACCEPTED] == sum(outcomes.values()) else ExitCode.NOT_ALL_ACCEPTED


def _audience(file: Path, text: str | None, options: FileOptions, *, visible: bool) -> Audience:
    """Return everyone in the file; who is on a stop list may have got an SMS before they were."""
    audience = audience_of(file, text or _ANY_TEXT, dataclasses.replace(options, stop_list=()))
    check_audience(audience, visible=visible)
    return audience


def _write(
    path: Path, audience: Audience | None, found: Iterable[Joint]
) -> tuple[dict[Outcome, int], dict[Reason, int]]:
    """Write all of it, and return the counts per outcome, and per reason of those who were not accepted."""
    table = None if audience is None else audience.table
    delimiter = table.delimiter if isinstance(table, CsvTable) else ","
    outcomes, reasons = Counter[Outcome](), Counter[Reason]()
    with closing(ResultsFile(path, () if table is None else table.columns, delimiter=delimiter)) as sink:
        for page in _pages(found):
            sink.write(page)
            outcomes.update(result.outcome for result, _ in page)
            reasons.update(result.reason for result, _ in page if result.outcome is not Outcome.ACCEPTED)
    return {outcome: outcomes[outcome] for outcome in Outcome}, dict(reasons.most_common())


def _beside(audience: Audience, stored: StoredResults, stopped: StopList) -> Iterator[Joint]:
    """Yield each row's result: what the journal has, or why it has nothing."""
    ids = IdScheme(stored.header.campaign, cast("IdBits", stored.header.id_bits))
    for page in _pages(audience.people()):
        named = [(person, _id(person, ids)) for person in page]
        known = stored.of([client_id for _, client_id in named if client_id])
        for person, client_id in named:
            yield known.get(client_id) or _never_left(person, client_id, stopped), person.row


def _id(person: Person, ids: IdScheme) -> ClientIdSms:
    return ClientIdSms("") if person.recipient is None else id_of(person.recipient, ids)


def _never_left(person: Person, client_id: ClientIdSms, stopped: StopList) -> SendResult:
    if person.skipped is not None:
        return person.skipped
    phone = Phone(str(cast("Recipient", person.recipient).phone))
    if phone in stopped:
        return SendResult(client_id, phone, Outcome.NOT_SENT, None, Reason.STOP_LIST, "it is on the stop list")
    return SendResult(client_id, phone, Outcome.NOT_SENT, None, Reason.HALTED, _NEVER_LEFT)


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while page := list(islice(source, _PAGE)):
        yield page
