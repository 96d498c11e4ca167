"""Options that several commands share; with `app` the only door to cyclopts."""

import dataclasses
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import UNSET, ArgumentCollection, Group, Parameter, Token
from cyclopts.validators import Number

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.given import refuse_blank
from webcom_async._domain.reasons import Reason
from webcom_async._domain.zones import DEFAULT_ZONE

__all__ = [
    "ANY_TIME",
    "AN_HOUR",
    "ARGUMENTS",
    "ASKS_ABOVE_1000",
    "FROM_ENVIRONMENT",
    "HALT_ON_REPEATS",
    "NO_FILE_OPTIONS",
    "NO_PRICE",
    "PARAMETERS",
    "AccountOptions",
    "AsJson",
    "ConsentOptions",
    "FileOptions",
    "Hidden",
    "Lang",
    "MoreThanZero",
    "Port",
    "Positive",
    "PriceOptions",
    "Reasons",
    "RepeatOptions",
    "Repeated",
    "Seconds",
    "Share",
    "Switch",
    "TimeOptions",
]

_MAY_BE_BLANK = frozenset({"--delimiter"})  # a tab, or a space


def _refuse_blank(given: ArgumentCollection) -> None:
    """
    Look at the words, because an empty one as a `Path` is the working directory.

    An `InputError` is a `ValueError`, which cyclopts puts into its own words; a `ConfigurationError` is not.
    """
    for argument in given:
        advice = "give it a value" if argument.required else "give it a value, or leave it out"
        for token in argument.tokens:
            is_switch = token.implicit_value is not UNSET
            if not is_switch and (not token.value or argument.name not in _MAY_BE_BLANK):
                words = f"{advice}; a shell variable may be unset"
                refuse_blank(argument.name, token.value, ConfigurationError, advice=words)


#: The groups that every command has by default, which check what is given to them.
ARGUMENTS = Group("Arguments", validator=_refuse_blank)
PARAMETERS = Group("Parameters", validator=_refuse_blank)


def _money(_kind: object, tokens: Sequence[Token]) -> Decimal:
    """Return a sum as people write it: 2.40 or 2,40."""
    [token] = tokens
    try:
        return Decimal(token.value.replace(",", "."))
    except InvalidOperation:
        raise ValueError(f'"{token.value}" is no sum of money: write it as in 2.40') from None


Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]
Seconds = Annotated[float, Parameter(validator=Number(gte=0))]
MoreThanZero = Annotated[float, Parameter(validator=Number(gt=0))]
Reasons = Annotated[tuple[Reason, ...], Parameter(negative=())]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]
Hidden = Annotated[bool, Parameter(show=False, negative=())]
Switch = Annotated[bool, Parameter(negative=())]
Port = Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))]
Repeated = Annotated[tuple[str, ...], Parameter(negative=())]
Lang = Literal["en", "ru"]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class RepeatOptions:
    """
    What is done if the gateway answers two recipients with one `id_sms`, which else halts the campaign.

    Attributes:
        new_ids: If the gateway has answered two recipients with one `id_sms`: `not-sent` gives other ids to recipients
            that were never sent to, for good. Recipients that were possibly sent to keep theirs; ids that a file gives
            stay.
        acknowledge_repeated_ids: Go on although the gateway answers two recipients with one `id_sms`. Such a recipient
            stays unknown.
    """

    new_ids: Literal["not-sent"] | None = None
    acknowledge_repeated_ids: Switch = False


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions:
    """
    How a file of recipients is read.

    Attributes:
        phone_column: The column of phones; `phone`, `телефон` and the like are found without.
        text_column: The column of texts of their own; `text` and `текст` are found without.
        key_column: The column that tells several messages to one phone apart; `key` is found without.
        encoding: Of a CSV file, such as cp1251; found, if left out, and asked for if in doubt.
        delimiter: Of a CSV file; found, if left out.
        region: The country of phones without a country code, such as RU or KZ (extra `phones`).
        stop_list: A file of phones that must not get anything. Can be repeated.
        stop_list_encoding: Of the stop lists that are CSV files, such as cp1251; found, if left out.
        skip_incomplete: Leave out rows whose text cannot be made, instead of refusing the file.
        include_unlike: Send to phones that are unlike nearly all others of the file, too, and to those of ten digits
            that begin with 9 and have neither a plus nor a --region.
        use_ids: Use the ids of a file of results, under which an earlier campaign was sent. A file of your own needs
            no option for its ids.
    """

    phone_column: str | None = None
    text_column: str | None = None
    key_column: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    region: str | None = None
    stop_list: Annotated[tuple[Path, ...], Parameter(negative=())] = ()
    stop_list_encoding: str | None = None
    skip_incomplete: Switch = False
    include_unlike: Switch = False
    use_ids: Switch = False


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PriceOptions:
    """
    What a part costs.

    Attributes:
        price: The price of one part, such as 2.40.
        max_cost: Refuse a campaign that would cost more. Needs a price.
    """

    price: Annotated[Decimal | None, Parameter(converter=_money, validator=Number(gte=0, lt=10**9))] = None
    max_cost: Annotated[Decimal | None, Parameter(converter=_money, validator=Number(gte=0, lt=10**15))] = None


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AccountOptions:
    """
    Which gateway, and how it is asked.

    Attributes:
        credentials: A TOML file with `token`, or `login` and `password`, instead of the environment.
        base_url: The gateway, such as an emulator's; WEBCOM_BASE_URL does the same.
        in_flight: Requests in flight at once, at most.
        batch_size: Recipients in a request, at most.
        rate: Recipients per second, at most.
        timeout: Seconds for one request.
        capabilities: What `doctor` has found out about the gateway.
    """

    credentials: Path | None = None
    base_url: str | None = None
    in_flight: Positive = 4
    batch_size: Positive = 500
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None
    timeout: Annotated[float, Parameter(validator=Number(gt=0))] = 30.0
    capabilities: Path | None = None


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeOptions:
    """
    When messages go, and until when.

    Attributes:
        validity_period: No attempt is made after it: a span such as 4h or 2d, or a moment such as "2030-01-31 18:00".
        between: Send in these hours only, such as 09:00-20:00, by the recipients' own clocks where their phones tell
            (extra `phones`; Kazakhstan's always), and else by --zone; wait for them, and go on.
        zone: The time zone of --between and --validity-period.
    """

    validity_period: str | None = None
    between: str | None = None
    zone: str = DEFAULT_ZONE


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConsentOptions:
    """
    What has to be said before anything is sent.

    Attributes:
        yes: Do not ask.
        confirm_above: Ask before sending to more recipients than these; before a text of more than ten SMS it asks
            for any number.
        dry_run: Show the preview, and send nothing.
    """

    yes: Switch = False
    confirm_above: Annotated[int, Parameter(validator=Number(gte=0))] = 1_000
    dry_run: Switch = False


AN_HOUR = 3_600.0
NO_FILE_OPTIONS = FileOptions()
NO_PRICE = PriceOptions()
FROM_ENVIRONMENT = AccountOptions()
ANY_TIME = TimeOptions()
HALT_ON_REPEATS = RepeatOptions()
ASKS_ABOVE_1000 = ConsentOptions()
