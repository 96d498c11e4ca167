"""Results into a file: as a campaign has them, or beside the rows of the file that it was sent to."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import FileOptions
from webcom_async._cli.run.audience_loading import audience_of, check_audience
from webcom_async._cli.run.result_join import CampaignIds
from webcom_async._cli.ui.console import counts_json, show_counts, show_json
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.errors import InputError
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async.audience import Audience, Person, StopList
from webcom_async.files import CsvTable, ResultsFile, Row

__all__ = ["Expected", "Filing", "expected", "pages", "people_of"]

_PAGE = 500
_NEVER_LEFT = "no run has reached this row"
_ANY_TEXT = "a text that everyone has"

T = TypeVar("T")
Expected = tuple[SendResult, Row, list[ClientIdSms]]
"""What is to be said of a row of the file if nothing is known, the row, and the ids of its recipient."""


class Filing:
    """
    A new file of results, and what they add up to.

    The file gets its name when all of them are in it. If the block fails, nothing is left of it.

    Args:
        path: The file.
        audience: Its rows are written beside the results; None for no rows.

    Raises:
        InputError: The file is there, or cannot be written; or, when it is closed, it was moved or removed meanwhile.
    """

    def __init__(self, path: Path, audience: Audience | None) -> None:
        table = None if audience is None else audience.table
        delimiter = table.delimiter if isinstance(table, CsvTable) else ","
        self._sink = ResultsFile(path, () if table is None else table.columns, delimiter=delimiter, whole=True)
        self._outcomes = Counter[Outcome]()
        self._reasons = Counter[Reason]()

    def write(self, page: list[tuple[SendResult, Row | None]]) -> None:
        self._sink.write(page)
        self._outcomes.update(result.outcome for result, _ in page)
        self._reasons.update(result.reason for result, _ in page if result.outcome is not Outcome.ACCEPTED)

    def conclude(self, campaign: str, *, as_json: bool) -> ExitCode:
        outcomes = {outcome: self._outcomes[outcome] for outcome in Outcome}
        reasons = dict(self._reasons.most_common())
        if as_json:
            show_json(counts_json(campaign, outcomes, reasons))
        else:
            show_counts(outcomes, reasons, tr("Report"), {tr("campaign"): campaign})
        all_accepted = outcomes[Outcome.ACCEPTED] == sum(outcomes.values())
        return ExitCode.ALL_ACCEPTED if all_accepted else ExitCode.NOT_ALL_ACCEPTED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self._sink.discard()
        elif not self._sink.in_place:
            self._sink.discard()
            raise InputError(f"{self._sink.path} was moved or removed while it was written; run the command again")
        else:
            self._sink.close()


def people_of(file: Path | None, text: str | None, options: FileOptions, *, visible: bool) -> Audience | None:
    """Ignore stop lists: a recipient may have got an SMS before the phone was on one."""
    if file is None:
        return None
    audience = audience_of(file, text or _ANY_TEXT, dataclasses.replace(options, stop_list=()))
    check_audience(audience, visible=visible)
    return audience


def expected(audience: Audience, ids: CampaignIds, stopped: StopList) -> Iterator[list[Expected]]:
    """Yield rows with what is to be said of them if nothing is known."""
    for page in pages(audience.people()):
        yield [_unknown(audience, person, ids, stopped) for person in page]


def _unknown(audience: Audience, person: Person, ids: CampaignIds, stopped: StopList) -> Expected:
    skipped = person.skipped
    if skipped is not None and skipped.reason is not Reason.UNLIKE_PHONE:
        return skipped, person.row, [skipped.client_id_sms]
    recipient = person.recipient or audience.recipient(person.row)
    phone = Phone(str(recipient.phone))
    if skipped is not None:  # with its id, because a run that was told to include it has sent to it
        why = (skipped.reason, skipped.error)
    elif phone in stopped:
        why = (Reason.STOP_LIST, "it is on the stop list")
    else:
        why = (Reason.HALTED, _NEVER_LEFT)
    mine = ids.all_of(recipient)
    return SendResult(mine[0], phone, Outcome.NOT_SENT, None, *why), person.row, mine


def pages(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while page := list(islice(source, _PAGE)):
        yield page
