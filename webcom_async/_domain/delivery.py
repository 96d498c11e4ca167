"""
The words of delivery: what became of an SMS after it was accepted, and what is left on the account.

Frozen msgspec structs and enums, nothing that acts. The states' names are the vendor's own.

Source: apidocs.webcom.mobi, JSON specification: status, webhook, balance.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.types import ClientIdSms, Phone

__all__ = [
    "Balance",
    "Delivery",
    "DeliveryReport",
    "DeliveryState",
    "Direction",
    "Pace",
    "TrackReport",
]


class DeliveryState(enum.Enum):
    """Where an SMS is, in the gateway's own words."""

    SEND = "send"  #: accepted, and nothing is known yet
    DELIVER = "deliver"  #: delivered; final, but for a Viber message that is `read` later
    READ = "read"  #: read
    NOT_DELIVER = "not_deliver"  #: not delivered
    EXPIRED = "expired"  #: the subscriber was out of reach at every attempt
    PARTLY_DELIVER = "partly_deliver"  #: sent, and no status ever came; it does not mean "some of its parts"
    UNKNOWN = "unknown"  #: another word or sentence, which `DeliveryReport.said` has; never final

    @property
    def final(self) -> bool:
        """Whether nothing but a better word of the same kind can follow: a `read`, or a status that came after all."""
        return self in _FINAL


_FINAL = frozenset(DeliveryState) - {DeliveryState.SEND, DeliveryState.UNKNOWN}


class DeliveryReport(msgspec.Struct, frozen=True, gc=False):
    """
    What the gateway says of one SMS, asked or unasked.

    Attributes:
        id_sms: The gateway's id, as the send answered it.
        state: Where the SMS is.
        said: The gateway's own word for it, or its sentence, as for an id that it does not know; at most 500
            characters. Empty if it said nothing of this id. Untrusted text.
        changed_at: When the state was reached: aware, UTC. None if the gateway gave no time, or none that is one.
        num_parts: Parts that are billed; None if it was not said, as in a webhook.
        price: The price of one part, in the account's currency; None likewise.
        numeric_id: Whether the gateway wrote the id as a number: an acknowledgement repeats it so.
    """

    id_sms: str
    state: DeliveryState
    said: str = ""
    changed_at: datetime | None = None
    num_parts: int | None = None
    price: Decimal | None = None
    numeric_id: bool = False

    @property
    def final(self) -> bool:
        """Whether the SMS has come to its end."""
        return self.state.final

    @property
    def cost(self) -> Decimal | None:
        """The price of all its parts; None if parts or price were not said."""
        return None if self.num_parts is None or self.price is None else self.num_parts * self.price


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """
    A change in the delivery of one recipient's SMS.

    Attributes:
        client_id_sms: Whose it is.
        phone: Digits only.
        report: What is known now.
        overdue: Whether the time to follow it is over without a final state.
    """

    client_id_sms: ClientIdSms
    phone: Phone
    report: DeliveryReport
    overdue: bool = False


class Direction(msgspec.Struct, frozen=True):
    """
    What may still be sent to one operator or country. Counts of several directions cannot be added up.

    Attributes:
        type_sms: The kind of message, such as `sms`.
        area: The operator or country. Untrusted text.
        num_sms: Messages; None if they are unlimited, or if the gateway said something else than a number.
        unlimited: Whether the gateway said `Unlim` or `Безлимит`.
        said: The gateway's own word for the number.
    """

    type_sms: str
    area: str
    num_sms: int | None
    unlimited: bool
    said: str


class Balance(msgspec.Struct, frozen=True):
    """
    What is left on the account.

    Attributes:
        money: The sum.
        currency: As the gateway spells it: `RUR` for the rouble. Untrusted text.
        directions: What it is enough for, per direction.
    """

    money: Decimal
    currency: str
    directions: tuple[Direction, ...] = ()


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """
    How an SMS is followed.

    Attributes:
        first: Seconds from its acceptance until the gateway is asked for the first time. Where webhooks bring most of
            the reports, half an hour leaves the asking to those that are lost.
        factor: How many times longer each further wait is.
        longest: Seconds between two questions, at most.
        deadline: Seconds from its acceptance until it is not followed any more; it is asked for once more then. An
            SMS lives for two days unless its validity period says otherwise.
        look: Seconds between two looks into the file of webhook reports.

    Raises:
        ConfigurationError: A number is out of range; the message names it.
    """

    first: float = 30.0
    factor: float = 2.0
    longest: float = 3_600.0
    deadline: float = 259_200.0  # three days: apidocs.webcom.mobi, HTTP GET, gives an SMS two
    look: float = 1.0

    @staticmethod
    def first_beside(reports: object) -> float:
        """Return the usual `first` where webhooks bring *reports*, or where they do not (None)."""
        return 30.0 if reports is None else 1_800.0

    def __post_init__(self) -> None:
        for name, least in (("first", 0.0), ("factor", 1.0), ("longest", 0.001), ("deadline", 0.0), ("look", 0.001)):
            value: object = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= _LONGEST_WAIT:
                raise ConfigurationError(f"{name} is {value!r}; it must be a number from {least:g} to {_LONGEST_WAIT}")


_LONGEST_WAIT = 10**9  # seconds: 30 years, far inside what a date can hold


class TrackReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where the accepted SMS of a campaign are.

    Attributes:
        campaign: The campaign's name.
        states: SMS per state; all states are there.
        overdue: SMS without a final state whose time to be followed is over.
        parts: Parts of those SMS whose parts are known.
        spent: Money for those SMS whose parts and price are known.
        priced: How many these are: webhooks bring no prices, questions do.
        requests: Questions to the gateway in this run, repeated ones included.
        seconds: Time in this run.
    """

    campaign: str
    states: Mapping[DeliveryState, int]
    overdue: int = 0
    parts: int = 0
    spent: Decimal = Decimal(0)
    priced: int = 0
    requests: int = 0
    seconds: float = 0.0

    @property
    def accepted(self) -> int:
        """SMS in all."""
        return sum(self.states.values())

    @property
    def final(self) -> int:
        """SMS that have come to their end."""
        return sum(count for state, count in self.states.items() if state.final)

    @property
    def open(self) -> int:
        """SMS that are followed."""
        return self.accepted - self.final - self.overdue

    @property
    def delivered(self) -> int:
        """SMS that arrived, read or not."""
        return self.states[DeliveryState.DELIVER] + self.states[DeliveryState.READ]

    @property
    def delivery_rate(self) -> float:
        """The share of all accepted SMS that arrived, from 0.0 to 1.0; 0.0 if there are none."""
        return self.delivered / self.accepted if self.accepted else 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {state.value}" for state, count in self.states.items() if count)
        return (
            f"{self.accepted:,} accepted: {counts or 'none'}; {self.delivery_rate:.1%} delivered, {self.open:,} open, "
            f"{self.overdue:,} overdue; {self.parts:,} parts and {self.spent} spent on {self.priced:,}; "
            f"{self.requests:,} requests, {self.seconds:.2f} s"
        )
