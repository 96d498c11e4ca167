"""What a campaign costs, as far as a price is known."""

from decimal import Decimal
from typing import NamedTuple

from webcom_async.cli._options import PriceOptions
from webcom_async.cli._words import tr
from webcom_async.errors import InputError

__all__ = ["Cost", "cost_of"]


class Cost(NamedTuple):
    """
    Parts, and what they cost.

    Attributes:
        parts: SMS.
        price: Of one part; None if it is not known.
    """

    parts: int
    price: Decimal | None

    @property
    def money(self) -> Decimal | None:
        """What it comes to, in the currency of the price; None if the price is not known."""
        return None if self.price is None else self.parts * self.price

    def __str__(self) -> str:
        money = self.money
        return tr("unknown: give --price") if money is None else f"{money:,.2f}"


def cost_of(parts: int, options: PriceOptions) -> Cost:
    """
    Return what *parts* cost.

    A price that delivery reports have told comes in here, for those who give none.

    Raises:
        InputError: It is more than allowed, or there is a limit and no price.
    """
    cost = Cost(parts, options.price)
    if options.max_cost is not None:
        if cost.money is None:
            raise InputError("--max-cost needs to know what a part costs: give --price too")
        if cost.money > options.max_cost:
            raise InputError(f"it would cost {cost.money:,.2f}, over --max-cost {options.max_cost:,.2f}")
    return cost
