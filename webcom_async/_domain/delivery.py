"""
The delivery of accepted SMS, and the balance of the account.

Frozen msgspec structs and enums, without actions. The names of the states are the vendor's.

Source: apidocs.webcom.mobi, JSON specification: status, webhook, balance.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.records import PlainRecord
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


class DeliveryState(enum.StrEnum):
    """The state of an SMS, in the gateway's own words."""

    SEND = "send"  #: accepted, and nothing is known yet
    DELIVER = "deliver"  #: delivered; final, though a Viber message may be `read` later
    READ = "read"  #: read
    NOT_DELIVER = "not_deliver"  #: not delivered
    EXPIRED = "expired"  #: the subscriber was out of reach at every attempt
    PARTLY_DELIVER = "partly_deliver"  #: sent, without any later status; it does not mean "some of its parts"
    UNKNOWN = "unknown"  #: another word or sentence; see `DeliveryReport.said`; never final

    @property
    def final(self) -> bool:
        """Whether only a more exact state can follow."""
        return self in _FINAL


_FINAL = frozenset(DeliveryState) - {DeliveryState.SEND, DeliveryState.UNKNOWN}


class DeliveryReport(PlainRecord, msgspec.Struct, frozen=True, gc=False):
    """
    The gateway's report on one SMS, as an answer or a webhook.

    Attributes:
        id_sms: The gateway's id of the SMS.
        state: The state of the SMS.
        said: The gateway's own word for the state, or its sentence, as for an id that it does not know; at most 500
            characters. Empty if the answer has nothing on this id. Untrusted text.
        changed_at: The time of the last change of state: aware, UTC. None if the gateway gave no usable time.
        num_parts: The number of parts that are billed; None if it was not reported, as in a webhook.
        price: The price of one part, in the account's currency; None if it was not reported.
        numeric_id: Whether the gateway wrote the id as a number: an acknowledgement repeats its type.
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
        """Whether the SMS has reached a terminal state."""
        return self.state.final

    @property
    def cost(self) -> Decimal | None:
        """The price of all parts; None if parts or price were not reported."""
        return None if self.num_parts is None or self.price is None else self.num_parts * self.price


class Delivery(PlainRecord, msgspec.Struct, frozen=True, gc=False):
    """
    A change in the delivery of one recipient's SMS.

    Attributes:
        client_id_sms: The recipient's id.
        phone: The phone, digits only.
        report: The latest report.
        overdue: Whether the SMS reached its tracking deadline without a final state.
    """

    client_id_sms: ClientIdSms
    phone: Phone
    report: DeliveryReport
    overdue: bool = False


class Direction(PlainRecord, msgspec.Struct, frozen=True):
    """
    The messages that are left for one operator or country. Counts of several directions cannot be added up.

    Attributes:
        type_sms: The kind of message, such as `sms`.
        area: The operator or country. Untrusted text.
        num_sms: The number of messages; None if they are unlimited, or the gateway's word is not a number.
        unlimited: Whether the gateway's word is `Unlim` or `Безлимит`.
        said: The gateway's own word for the number.
    """

    type_sms: str
    area: str
    num_sms: int | None
    unlimited: bool
    said: str


class Balance(PlainRecord, msgspec.Struct, frozen=True):
    """
    The balance of the account.

    Attributes:
        money: The sum.
        currency: The currency as the gateway spells it: `RUR` for the rouble. Untrusted text.
        directions: The messages that are left, per direction.
    """

    money: Decimal
    currency: str
    directions: tuple[Direction, ...] = ()


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """
    How often tracking asks for an SMS, and for how long.

    Attributes:
        first: Seconds from acceptance to the first question. Where webhooks bring most of the reports, half an hour
            leaves only lost ones to ask for.
        factor: The factor by which each further wait is longer.
        longest: The longest wait between two questions, in seconds.
        deadline: Seconds from acceptance to the last question, after which tracking of the SMS ends. An SMS lives for
            two days unless its validity period differs.
        look: Seconds between two reads of the file of webhook reports.

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
        """Return the usual `first`: longer where webhooks bring *reports*."""
        return 30.0 if reports is None else 1_800.0

    def __post_init__(self) -> None:
        for name, least in (("first", 0.0), ("factor", 1.0), ("longest", 0.001), ("deadline", 0.0), ("look", 0.001)):
            value: object = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= _LONGEST_WAIT:
                raise ConfigurationError(f"{name} is {value!r}; it must be a number from {least:g} to {_LONGEST_WAIT}")


_LONGEST_WAIT = 10**9  # seconds: 30 years, far inside what a date can hold


class TrackReport(PlainRecord, msgspec.Struct, frozen=True, kw_only=True):
    """
    The delivery of the accepted SMS of a campaign.

    Attributes:
        campaign: The campaign's name.
        states: The number of SMS per state; every state is a key.
        overdue: The number of SMS that reached their tracking deadline without a final state.
        parts: The number of parts of the SMS whose parts are known.
        spent: The cost of the SMS whose parts and price are known.
        priced: The number of those SMS: webhooks bring no prices, questions do.
        requests: The number of questions to the gateway in this run, retries included.
        seconds: The duration of this run.
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
        """The number of accepted SMS."""
        return sum(self.states.values())

    @property
    def final(self) -> int:
        """The number of SMS in a terminal state."""
        return sum(count for state, count in self.states.items() if state.final)

    @property
    def open(self) -> int:
        """The number of SMS that are still tracked."""
        return self.accepted - self.final - self.overdue

    @property
    def delivered(self) -> int:
        """The number of SMS that were delivered, read or not."""
        return self.states[DeliveryState.DELIVER] + self.states[DeliveryState.READ]

    @property
    def delivery_rate(self) -> float:
        """The share of accepted SMS that were delivered, from 0.0 to 1.0; 0.0 if there are none."""
        return self.delivered / self.accepted if self.accepted else 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {state.value}" for state, count in self.states.items() if count)
        return (
            f"{self.accepted:,} accepted: {counts or 'none'}; {self.delivery_rate:.1%} delivered, {self.open:,} open, "
            f"{self.overdue:,} overdue; {self.parts:,} parts and {self.spent} spent on {self.priced:,}; "
            f"{self.requests:,} requests, {self.seconds:.2f} s"
        )
