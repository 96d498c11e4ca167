"""`webcom-async preview`: what a campaign would be, without sending anything."""

from pathlib import Path
from typing import Any

from webcom_async.audience import Audience, Audit
from webcom_async.cli._audiences import KINDS, audience_of, check_audience, refuse_unsayable, tell_way_out
from webcom_async.cli._costs import Cost, balance_of, cost_of
from webcom_async.cli._display import show_json
from webcom_async.cli._exit_codes import ExitCode
from webcom_async.cli._options import (
    FROM_ENVIRONMENT,
    NO_FILE_OPTIONS,
    NO_PRICE,
    AccountOptions,
    AsJson,
    FileOptions,
    Lang,
    PriceOptions,
)
from webcom_async.cli._preview_table import show_preview
from webcom_async.cli._words import choose_language
from webcom_async.delivery import Balance
from webcom_async.segments import segments, suggestions

__all__ = ["preview_command", "preview_json"]


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

    Exit codes: 0 everyone would be sent to; 1 somebody would be left out; 2 it could not be sent.

    Args:
        file: The recipients.
        text: The text for everyone whose row has none; columns stand in braces, as in "Hello, {name}!".
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


def preview_json(audience: Audience, audit: Audit, cost: Cost, balance: Balance | None) -> dict[str, Any]:
    """Return a preview for machines; money as decimal text."""
    costliest = "" if audit.costliest is None else audit.costliest.text
    return {
        "file": {
            "path": str(audience.table.path),
            "format": audience.table.described,
            "columns": list(audience.table.columns),
        },
        "rows": audit.rows,
        "sendable": audit.sendable,
        "counts": {kind: audit.count(kind) for kind in KINDS},
        "findings": {kind: [{"line": line, "words": words} for line, words in getattr(audit, kind)] for kind in KINDS},
        "parts": audit.parts,
        "recipients_by_parts": {str(parts): count for parts, count in sorted(audit.by_parts.items())},
        "recipients_by_encoding": audit.by_encoding,
        "price": None if cost.price is None else str(cost.price),
        "cost": None if cost.money is None else str(cost.money),
        "price_learned": cost.learned,
        "balance": None if balance is None else {"money": str(balance.money), "currency": balance.currency},
        "longest": None if audit.longest is None else audit.longest._asdict(),
        "costliest": None if audit.costliest is None else audit.costliest._asdict(),
        "samples": [sample._asdict() for sample in audit.samples],
        "forcing": [
            {"character": forcing.character, "name": forcing.name, "plain": forcing.plain}
            for forcing in segments(costliest).forcing
        ],
        "suggestions": [
            {"remedy": offered.remedy.value, "text": offered.text, "parts": offered.parts}
            for offered in suggestions(costliest)
        ],
    }
