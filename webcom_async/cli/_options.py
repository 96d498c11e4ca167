"""Options that several commands share, and with `_app` the only doors to cyclopts."""

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

__all__ = [
    "NO_FILE_OPTIONS",
    "NO_PRICE",
    "AsJson",
    "FileOptions",
    "Lang",
    "Positive",
    "PriceOptions",
    "Seconds",
    "Share",
    "Switch",
]

Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]
Seconds = Annotated[float, Parameter(validator=Number(gte=0))]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]
Switch = Annotated[bool, Parameter(negative=())]
Lang = Literal["en", "ru"]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions:
    """
    How a file of recipients is read.

    Attributes:
        phone_column: The column of phones; `phone`, `телефон` and the like are found without.
        text_column: The column of texts of their own; `text` and `текст` are found without.
        key_column: The column that tells several messages to one phone apart; `key` is found without.
        encoding: Of a CSV file, such as cp1251; found, if left out.
        delimiter: Of a CSV file; found, if left out.
        region: The country of phones without a country code, such as RU or KZ (extra `phones`).
        stop_list: A file of phones that must not get anything. Can be repeated.
        skip_incomplete: Leave out rows whose text cannot be made, instead of refusing the file.
    """

    phone_column: str | None = None
    text_column: str | None = None
    key_column: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    region: str | None = None
    stop_list: Annotated[tuple[Path, ...], Parameter(negative=())] = ()
    skip_incomplete: Switch = False


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PriceOptions:
    """
    What a part costs.

    Attributes:
        price: The price of one part, such as 2.40.
        max_cost: Refuse a campaign that would cost more. Needs a price.
    """

    price: Annotated[Decimal | None, Parameter(validator=Number(gte=0))] = None
    max_cost: Annotated[Decimal | None, Parameter(validator=Number(gte=0))] = None


NO_FILE_OPTIONS = FileOptions()
NO_PRICE = PriceOptions()
