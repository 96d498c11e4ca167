"""What a campaign costs, as far as a price is known, and what there is to pay it with."""

from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from webcom_async._cli.options import AccountOptions, PriceOptions
from webcom_async._cli.run.client_factory import ask_balance, has_credentials
from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.delivery import Balance
from webcom_async._domain.errors import InputError, WebcomError
from webcom_async.journal import highest_price

__all__ = ["Cost", "balance_of", "cost_of"]

_ATTEMPTS = 2  # somebody waits for the preview, which does without


class Cost(NamedTuple):
    """
    Parts, and what they cost.

    Attributes:
        parts: SMS.
        price: Of one part; None if it is not known.
        learned: Whether delivery reports have told it, of earlier campaigns.
    """

    parts: int
    price: Decimal | None
    learned: bool = False

    @property
    def money(self) -> Decimal | None:
        """What it comes to, in the currency of the price; None if the price is not known."""
        return None if self.price is None else self.parts * self.price

    def __str__(self) -> str:
        money = self.money
        if money is None:
            return tr("unknown: give --price")
        if self.learned:
            return tr(
                "{money} at {price} a part, the most that reports have told", money=f"{money:,.2f}", price=self.price
            )
        return f"{money:,.2f}"


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
