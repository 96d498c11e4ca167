"""What a campaign costs, as far as a price is known, and what there is to pay it with."""

from pathlib import Path

from webcom_async._cli.options import AccountOptions, PriceOptions
from webcom_async._cli.run.client_factory import ask_balance, has_credentials
from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.preview_table import Cost
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.delivery import Balance
from webcom_async._domain.errors import InputError, WebcomError
from webcom_async.journal import highest_price

__all__ = ["balance_of", "cost_of"]

_ATTEMPTS = 2  # a person waits for the preview, which does without


def cost_of(parts: int, options: PriceOptions, journal: Path | None) -> Cost:
    """
    Return what *parts* cost, at the price given, or else at the highest that delivery reports in *journal* have told.

    Raises:
        InputError: It is more than allowed, or there is a limit and no price.
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
    """Return what is left on the account; None, and a word on stderr, if the gateway does not say; None without one."""
    if not has_credentials(account):
        return None
    try:
        return ask_balance(account, attempts=_ATTEMPTS)
    except WebcomError as exc:
        say_aside(tr("the balance is unknown: {error}", error=exc))
        return None
