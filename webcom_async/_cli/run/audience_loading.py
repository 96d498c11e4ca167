"""From options to an audience that has been checked: what `preview`, `send` and `export` begin with."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from webcom_async._cli.options import FileOptions
from webcom_async._cli.ui.console import checking, say_aside
from webcom_async._cli.ui.preview_table import KINDS, findings_line
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.errors import InputError
from webcom_async._domain.phones import normalise_phone
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience import Audience, Audit, ColumnNames, StopList, Unused
from webcom_async.files import open_table
from webcom_async.journal import StoredResults, stopped_phones

__all__ = [
    "audience_of",
    "check_audience",
    "check_begun_otherwise",
    "refuse_unsayable",
    "stop_list",
    "stopped_in",
    "tell_findings",
    "tell_way_out",
]

_LOOKED_UP = 2_000  # rows: those of a file come in its order


def audience_of(file: Path, text: str | None, options: FileOptions, stopped: StopList | None = None) -> Audience:
    """
    Say on stderr what of the file is not used.

    *stopped* phones get nothing, beside the stop lists that *options* name.
    """
    stopped = stop_list(options, stopped)
    names = ColumnNames(phone=options.phone_column, text=options.text_column, key=options.key_column)
    table = open_table(file, encoding=options.encoding, delimiter=options.delimiter)
    audience = Audience(
        table,
        text,
        columns=names,
        normalise=_reader(options.region),
        stopped=stopped,
        use_ids=options.use_ids,
        include_unlike=options.include_unlike,
    )
    for unused, column in audience.unused.items():
        _tell_unused(unused, printable(str(file)), printable(column))
    if audience.ids_column is not None:
        say_aside(
            tr(
                "the ids in column {column} are used: a recipient that has an SMS under its id gets no other one",
                column=printable(audience.ids_column),
            )
        )
    return audience


def _tell_unused(unused: Unused, file: str, column: str) -> None:
    if unused is Unused.IDS:
        words = tr(
            "{file} holds the results of a campaign: the ids in its column {column} are not used; "
            "to send under them again: --use-ids",
            file=file,
            column=column,
        )
    else:
        words = tr(
            "{file} holds the results of a campaign: the texts in its column {column} are not used; "
            "to send them: --text-column {column}",
            file=file,
            column=column,
        )
    say_aside(words)


def check_begun_otherwise(audience: Audience, stored: StoredResults) -> None:
    """Raise `InputError` if the campaign was begun under other ids of its file: other ids are other SMS."""
    column = audience.unused.get(Unused.IDS)
    if column is None:
        return
    place = audience.table.columns.index(column)
    cells = (row.cells[place].strip() for row in islice(audience.table.rows(), _LOOKED_UP))
    if stored.of([ClientIdSms(cell) for cell in cells if cell.isdecimal() and cell.isascii()]):
        raise InputError(
            f"campaign {stored.header.campaign!r} was begun under the ids in column {printable(column)!r}, and others "
            "would be other SMS: give --use-ids to go on with it; nothing was sent. Another --campaign would bill "
            "again each recipient that was accepted"
        )


def stop_list(options: FileOptions, stopped: StopList | None = None) -> StopList:
    """Add the phones of the stop lists that *options* name, read as those of the file are."""
    stopped = stopped or StopList()
    normalise = _reader(options.region)
    for path in options.stop_list:
        stopped.update_from(path, normalise, encoding=options.stop_list_encoding)
    return stopped


def stopped_in(journal: Path, campaign: str) -> StopList:
    """Return phones on the gateway's stop list, from other campaigns."""
    # With a plus: they have their country code, even if they look like phones that have none.
    return StopList(f"+{phone}" for phone in stopped_phones(journal, but=campaign))


def check_audience(audience: Audience, *, visible: bool) -> Audit:
    """Raise `InputError` if the file cannot be read to its end, or has no recipients."""
    with checking(visible=visible) as progress:
        audit = audience.check(progress)
    if not audit.rows:
        raise InputError(f"{audience.table.path}: no recipients in it")
    return audit


def refuse_unsayable(audit: Audit, options: FileOptions) -> None:
    """Raise `InputError` with the first lines whose texts cannot be made."""
    if audit.unsayable and not options.skip_incomplete:
        raise InputError(
            f"{findings_line(audit, 'unsayable')}. Mend the file, or leave such rows out with --skip-incomplete; "
            "nothing was sent"
        )


def tell_findings(audience: Audience, audit: Audit) -> None:
    for kind, words in KINDS.items():
        if audit.count(kind):
            say_aside(f"{tr(words)}: {audit.count(kind):,}: {findings_line(audit, kind)}")
    tell_way_out(audience, audit)


def tell_way_out(audience: Audience, audit: Audit) -> None:
    """Say how rows with phones unlike the others can be sent to."""
    if audit.count("unlike") and not audience.include_unlike:
        say_aside(
            tr(
                "phones unlike the others are left out: {count}; if they are Russian mobiles without the 7: "
                "--region RU; to send to them as they stand: --include-unlike",
                count=f"{audit.count('unlike'):,}",
            )
        )


def _reader(region: str | None) -> Callable[[str], Phone]:
    if region is None:
        return normalise_phone
    try:
        from webcom_async.audience.phonebook import PhoneBook  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError("--region needs: pip install 'webcom-async[phones]'") from None
    return PhoneBook(region).normalise
