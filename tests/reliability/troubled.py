"""An emulated gateway in trouble: a kind of fault strikes before, after or in the middle of its work, by chance."""

import enum
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from webcom_async.emulator import Fault, Faults, Gateway, GatewayAnswer, Received

__all__ = ["KINDS", "TIMEOUT", "Kind", "TroubledGateway", "When"]

TIMEOUT = 0.02  # seconds; of the client
_TOO_LONG = 60.0
_PAGE = b"<html><h1>Something went wrong</h1></html>"
_INVENTED = 9_000_001

Entries = list[Any]


class When(enum.Enum):
    """The part of its work that the gateway has done when the fault strikes."""

    BEFORE = "before"
    AFTER = "after"
    HALF = "half"


class Kind(NamedTuple):
    """
    A kind of fault.

    Attributes:
        fault: The fault of the connection and the status.
        spoil: Changes the entries of the answer, given how many there should be and a source of chance. It never
            makes a lie that no client could detect, such as an id for the one recipient of the request.
    """

    fault: Fault
    spoil: Callable[[Entries, int, random.Random], Entries] | None = None


def _long(entries: Entries, count: int, _chance: random.Random) -> Entries:
    """Add entries until there are too many."""
    return entries + [{"state": "send", "id_sms": "9000009"}] * (count + 1 - len(entries))


def _wrong(entries: Entries, _count: int, chance: random.Random) -> Entries:
    """Make one entry unusable."""
    unusable = chance.choice(
        [
            None,
            {},
            [],
            7,
            "send",
            {"state": "send"},
            {"id_sms": "9000009"},
            {"state": "send", "id_sms": 0},
            {"state": "queued", "id_sms": "9000009"},
            {"state": "send", "id_sms": None},
            {"error": ""},
        ]
    )
    place = chance.randrange(len(entries) or 1)
    return [*entries[:place], unusable, *entries[place + 1 :]]


KINDS: dict[str, Kind] = {
    "closed": Kind(Fault(close=True)),
    **{f"status {status}": Kind(Fault(status=status, body=_PAGE)) for status in (500, 502, 503, 429)},
    "HTML": Kind(Fault(body=_PAGE)),
    "empty": Kind(Fault(body=b"")),
    "truncated JSON": Kind(Fault(body=b'{"information":[{"state":"send","id_sms":"90')),
    "short answer": Kind(Fault(), lambda entries, _count, _chance: entries[:-1]),
    "long answer": Kind(Fault(), _long),
    "wrong entries": Kind(Fault(), _wrong),
    "cut answer": Kind(Fault(cut=9)),
    "time-out": Kind(Fault(delay=_TOO_LONG)),
}


class Trouble(Faults):
    """
    Faults of one kind at one moment.

    Attributes:
        share: How many of the requests they strike.
        striking: Whether the latest request is struck.
        chance: Decides which.
    """

    def __init__(self, kind: Kind, when: When, share: float, seed: int) -> None:
        super().__init__(seed)
        self.kind = kind
        self.when = when
        self.share = share
        self.striking = False
        self.chance = random.Random(seed)

    def draw(self) -> Fault:
        """Return the fault of one more request."""
        self.striking = self.chance.random() < self.share
        if not self.striking:
            return Fault()
        worked = self.when is not When.BEFORE
        change: dict[str, Any] = {"processed": worked}
        if not worked and not self.kind.fault.answers and self.kind.spoil is None:
            change["body"] = b'{"information":[]}'  # the fault cuts it off, or it comes too late
        return msgspec.structs.replace(self.kind.fault, **change)


class TroubledGateway(Gateway):
    """
    A gateway that is struck by one kind of fault.

    Args:
        kind: The kind.
        when: The part of its work that it has done by then.
        share: How many of the requests are struck.
        seed: Decides which.
    """

    faults: Trouble

    def __init__(
        self, kind: Kind = KINDS["closed"], when: When = When.AFTER, share: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(seed=seed)
        self.faults = Trouble(kind, when, share, seed)
        self.offered: set[str] = set()

    def arrive(self, request: Received) -> None:
        """Record the phones of *request*."""
        super().arrive(request)
        self.offered.update(phones_in(request))

    def process(self, request: Received) -> GatewayAnswer:
        """Process *request*, or the part of it that the trouble allows."""
        trouble = self.faults
        if not trouble.striking:
            return super().process(request)
        count = sum(1 for _ in phones_in(request))
        if trouble.when is When.BEFORE:
            answer = GatewayAnswer(
                200, {}, _body([{"state": "send", "id_sms": _INVENTED + place} for place in range(count)])
            )
        else:
            answer = super().process(_first_half(request) if trouble.when is When.HALF else request)
        if trouble.kind.spoil is None:
            return answer
        entries = json.loads(answer.body).get("information", [])
        return GatewayAnswer(answer.status, answer.headers, _body(trouble.kind.spoil(entries, count, trouble.chance)))

    def calm(self) -> None:
        """End all faults."""
        self.faults.share = 0.0


def phones_in(request: Received) -> Iterator[str]:
    """Yield the phones of *request*."""
    return (str(recipient.phone) for recipient in request.recipients)


def _body(entries: Entries) -> bytes:
    return json.dumps({"information": entries}).encode()


def _first_half(request: Received) -> Received:
    asked = json.loads(request.body)
    room = len(request.recipients) // 2
    for message in asked["message"]:
        message["phones"] = message["phones"][:room]
        room -= len(message["phones"])
    return msgspec.structs.replace(request, body=json.dumps(asked).encode())
