"""`webcom-async preview`: what a campaign would be, without sending anything."""

from pathlib import Path

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import (
    FROM_ENVIRONMENT,
    NO_FILE_OPTIONS,
    NO_PRICE,
    AccountOptions,
    AsJson,
    FileOptions,
    Lang,
    PriceOptions,
)
from webcom_async._cli.run.audience_loading import audience_of, check_audience, refuse_unsayable, tell_way_out
from webcom_async._cli.run.confirmation import balance_of, cost_of
from webcom_async._cli.ui.console import show_json
from webcom_async._cli.ui.preview_table import preview_json, show_preview
from webcom_async._cli.ui.translations import choose_language

__all__ = ["preview_command"]


def preview_command(
    file: Path,
    /,
    *,
    text: str | None = None,
    options: FileOptions = NO_FILE_OPTIONS,
    prices: PriceOptions = NO_PRICE,
    journal: Path | None = None,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Show what sending to a file would be: messages, parts, bad rows, duplicates, samples, cost. Nothing is sent.

    The file is CSV as spreadsheets write it, JSON Lines, Parquet or Arrow; see `send`. The balance is shown if there
    are credentials; they are not needed.

    Exit codes: 0 all rows would be sent to; 1 a row would be left out; 2 it could not be sent.

    Args:
        file: The recipients.
        text: The text for everyone whose row has none; name columns in braces, as in "Hello, {name}!".
        options: How the file is read.
        prices: What a part costs.
        journal: Where delivery reports of earlier campaigns may have told what a part costs.
        account: Which gateway, and how it is asked.
        lang: The language of the tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of tables.
    """
    choose_language(lang)
    audience = audience_of(file, text, options)
    audit = check_audience(audience, visible=not as_json)
    cost = cost_of(audit.parts, prices, journal)
    balance = balance_of(account)
    if as_json:
        show_json(preview_json(audience, audit, cost, balance))
    else:
        show_preview(audience, audit, cost, balance)
    tell_way_out(audience, audit)
    refuse_unsayable(audit, options)
    return ExitCode.ALL_ACCEPTED if audit.sendable == audit.rows else ExitCode.NOT_ALL_ACCEPTED
