"""Before a file is sent: its message, what it costs, the balance, and the operator's consent."""

from pathlib import Path

import msgspec

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import AccountOptions, ConsentOptions, FileOptions, PriceOptions
from webcom_async._cli.run.audience_loading import check_audience, refuse_unsayable, tell_findings, tell_way_out
from webcom_async._cli.run.client_factory import ask_balance, has_credentials
from webcom_async._cli.ui.console import ask, say_aside, show_json
from webcom_async._cli.ui.preview_table import Cost, preview_json, show_preview
from webcom_async._cli.ui.translations import tr, tr_plural
from webcom_async._domain.delivery import Balance
from webcom_async._domain.errors import InputError, WebcomError
from webcom_async._domain.messages import Channel, Message
from webcom_async._domain.options import Options
from webcom_async.audience import Audience, Audit
from webcom_async.journal import highest_price

__all__ = ["balance_of", "consented", "cost_of", "message_of"]

_MAX_PARTS = Options().max_parts or 0


def message_of(audience: Audience, like: Message, text: str | None) -> Message | None:
    """Return the template and not its fillings: a journal compares it."""
    if text is None and like.type_send_1 is Channel.SMS:
        return None  # the sender is all there is to say
    said = audience.common_text or text or "a recipient's own"
    return msgspec.structs.replace(like, text=said)


def consented(
    audience: Audience,
    options: FileOptions,
    prices: PriceOptions,
    consent: ConsentOptions,
    account: AccountOptions,
    *,
    channel: Channel,
    journal: Path | None = None,
    as_json: bool,
) -> Audit | ExitCode:
    """
    Return what a file holds, checked and confirmed; or how a dry run of it has ended.

    A dry run shows the balance of *account*. Prices of earlier campaigns come from *journal*.
    """
    audit = check_audience(audience, visible=not as_json)
    cost = cost_of(audit.parts, prices, journal)
    if consent.dry_run:
        _show_dry_run(audience, audit, cost, balance_of(account), as_json=as_json)
    refuse_unsayable(audit, options)
    if consent.dry_run:
        return ExitCode.ALL_ACCEPTED if audit.sendable == audit.rows else ExitCode.NOT_ALL_ACCEPTED
    tell_findings(audience, audit)
    _confirm_sending(audit, cost, consent, channel)
    return audit


def _show_dry_run(audience: Audience, audit: Audit, cost: Cost, balance: Balance | None, *, as_json: bool) -> None:
    if as_json:
        show_json(preview_json(audience, audit, cost, balance))
    else:
        show_preview(audience, audit, cost, balance)
        say_aside(tr("dry run: nothing was sent"))
    tell_way_out(audience, audit)


def _confirm_sending(audit: Audit, cost: Cost, consent: ConsentOptions, channel: Channel) -> None:
    """Ask if recipients are many, or a text takes more SMS than a client sends by default."""
    parts_of_one = max(audit.by_parts, default=0) if channel is Channel.SMS else 0
    is_long = parts_of_one > _MAX_PARTS
    if consent.yes or (audit.sendable <= consent.confirm_above and not is_long):
        return
    if is_long:
        say_aside(tr("the costliest text takes {count} SMS, and each is billed", count=parts_of_one))
    money = "" if cost.money is None else f", {cost}"
    parts = tr_plural("{count} part", "{count} parts", audit.parts)
    question = tr_plural(
        "Send to {count} recipient ({parts}{cost})?",
        "Send to {count} recipients ({parts}{cost})?",
        audit.sendable,
        parts=parts,
        cost=money,
    )
    answer = ask(question)
    if answer is None:
        way_on = "--yes, or a shorter text" if is_long else "--yes, or --confirm-above"
        raise InputError(f"{audit.sendable:,} recipients, and nobody to ask: give {way_on}; nothing was sent")
    if not answer:
        raise InputError(tr("nothing was sent"))


_ATTEMPTS = 2  # a person waits for the preview, which does without


def cost_of(parts: int, options: PriceOptions, journal: Path | None) -> Cost:
    """
    Use the price given, or else the highest that delivery reports in *journal* have told.

    Raise `InputError` if the cost is more than allowed, or there is a limit and no price.
    """
    learned = None if journal is None or options.price is not None else highest_price(journal)
    cost = Cost(parts, options.price if learned is None else learned, learned is not None)
    if options.max_cost is not None:
        if cost.money is None:
            raise InputError("--max-cost needs to know what a part costs: give --price too")
        if cost.money > options.max_cost:
            raise InputError(f"it would cost {cost.money:,.2f}, over --max-cost {options.max_cost:,.2f}")
    return cost


def balance_of(account: AccountOptions) -> Balance | None:
    """Return None without an account, or, with a word on stderr, if the gateway does not say."""
    if not has_credentials(account):
        return None
    try:
        return ask_balance(account, attempts=_ATTEMPTS)
    except WebcomError as exc:
        say_aside(tr("the balance is unknown: {error}", error=exc))
        return None
