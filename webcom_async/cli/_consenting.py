"""Before a file is sent: what is said to everyone, what it would be, and whether it is wanted."""

import msgspec

from webcom_async.audience import Audience, Audit
from webcom_async.cli._costs import Cost
from webcom_async.cli._display import ask, say_aside, show_json
from webcom_async.cli._options import ConsentOptions
from webcom_async.cli._preview import preview_json
from webcom_async.cli._preview_table import show_preview
from webcom_async.cli._words import tr
from webcom_async.delivery import Balance
from webcom_async.errors import InputError
from webcom_async.models import Channel, Message

__all__ = ["confirm_sending", "message_of", "show_dry_run"]


def message_of(audience: Audience, like: Message, text: str | None) -> Message | None:
    """Return what the call says for everyone; a journal compares it, so it is the template and not its fillings."""
    if text is None and like.type_send_1 is Channel.SMS:
        return None  # the sender is all there is to say
    said = audience.common_text or text or "a recipient's own"
    return msgspec.structs.replace(like, text=said)


def show_dry_run(audience: Audience, audit: Audit, cost: Cost, balance: Balance | None, *, as_json: bool) -> None:
    """Show what sending would be, and that it was not done."""
    if as_json:
        show_json(preview_json(audience, audit, cost, balance))
    else:
        show_preview(audience, audit, cost, balance)
        say_aside(tr("dry run: nothing was sent"))


def confirm_sending(audit: Audit, cost: Cost, consent: ConsentOptions) -> None:
    """
    Ask before many are sent to.

    Raises:
        InputError: The answer is no, or nobody is there to ask.
    """
    if consent.yes or audit.sendable <= consent.confirm_above:
        return
    money = "" if cost.money is None else f", {cost}"
    parts = tr("{count} parts", count=f"{audit.parts:,}")
    answer = ask(
        tr("Send to {count} recipients ({parts}{cost})?", count=f"{audit.sendable:,}", parts=parts, cost=money)
    )
    if answer is None:
        raise InputError(
            f"{audit.sendable:,} recipients, and nobody to ask: give --yes, or --confirm-above; nothing was sent"
        )
    if not answer:
        raise InputError(tr("nothing was sent"))
