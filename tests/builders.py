"""Builders for tests: a few words instead of fixtures full of dicts."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from webcom_async import ClientIdSms, Clock, Message, Phone, Recipient, Request
from webcom_async.emulator import Account, Gateway
from webcom_async.journal import Addressed, OutboundRecipient

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2030, 1, 1, 15, 0, tzinfo=UTC)
TOMORROW = datetime(2030, 1, 2, 7, 0, tzinfo=UTC)
FIRST_PHONE = 79612242243  # the vendor's example phones
FIRST_ID_SMS = 1_000_001  # of a `numbered_gateway`


def phones(count: int) -> Iterator[str]:
    """Yield *count* different phones."""
    return (str(FIRST_PHONE + number) for number in range(count))


def wire_phones(count: int) -> list[OutboundRecipient]:
    """Return *count* recipients on their way out, with the ids 101, 102 and so on."""
    return [
        OutboundRecipient(Phone(phone), ClientIdSms(str(101 + number))) for number, phone in enumerate(phones(count))
    ]


def recipients(count: int) -> list[Recipient]:
    """Return *count* recipients with the ids 101, 102 and so on."""
    return [Recipient(phone, 101 + number) for number, phone in enumerate(phones(count))]


def numbered_gateway(*accounts: Account, **options: Any) -> Gateway:
    """Return an emulated gateway whose SMS are numbered from `FIRST_ID_SMS`."""
    return Gateway(*accounts, first_id_sms=FIRST_ID_SMS, **options)


def message(text: str = "message text 1", sender: str = "sender 1") -> Message:
    """Return the vendor's example message."""
    return Message(sender=sender, text=text)


def send_request(addressed: list[Addressed], url: str = "http://127.0.0.1", **credentials: str) -> Request:
    """Return the request that sends *addressed* to `/json` of *url*, with the token `dummy` if no other is given."""
    messages = [msgspec.to_builtins(said) | {"phones": recipients} for said, recipients in addressed]
    body = msgspec.json.encode((credentials or {"token": "dummy"}) | {"message": messages})
    return Request("POST", f"{url}/json", {"content-type": "text/json; charset=utf-8"}, body)


def accepted(*ids: object) -> bytes:
    """Return an answer that accepts, with *ids* as `id_sms`."""
    return msgspec.json.encode({"information": [{"state": "send", "id_sms": id_sms} for id_sms in ids]})


async def _at_once(_seconds: float) -> None:
    return None


def still_clock(**changes: object) -> Clock:
    """Return a clock that stands still, sleeps for no time and draws the largest number below one."""
    settings: dict[str, object] = {
        "now": lambda: NOW,
        "monotonic": lambda: 0.0,
        "sleep": _at_once,
        "random": lambda: 0.999,
    }
    return Clock(**(settings | changes))  # type: ignore[arg-type]


class Travel:
    """
    A clock that moves only while a task sleeps by it.

    Attributes:
        seconds: The seconds that have passed.
        meanwhile: A function whose result every sleep awaits, such as an event in the outside world.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.meanwhile: Callable[[], Awaitable[object]] = checkpoint

    def now(self) -> datetime:
        """Return the current time."""
        return NOW + timedelta(seconds=self.seconds)

    def clock(self, **changes: object) -> Clock:
        """Return the clock that a client takes."""
        return still_clock(now=self.now, monotonic=lambda: self.seconds, sleep=self.sleep, **changes)

    async def sleep(self, seconds: float) -> None:
        """Advance the clock, and let other tasks run."""
        self.seconds += seconds
        await self.meanwhile()


class Moments:
    """
    A clock that a test moves.

    Attributes:
        now: Its seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the clock far enough."""
        event = anyio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()

    async def move(self, seconds: float) -> None:
        """Let *seconds* pass."""
        until = self.now + seconds
        while due := sorted((each for each in self._sleepers if each[0] <= until), key=lambda each: each[0]):
            self._sleepers.remove(due[0])
            self.now = max(self.now, due[0][0])
            due[0][1].set()
            await anyio.wait_all_tasks_blocked()
        self.now = until

    def clock(self) -> Clock:
        """Return it as a `Clock`."""
        return still_clock(monotonic=lambda: self.now, sleep=self.sleep)


class _Noticed(logging.Handler):
    """Sets an event when something is logged."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.INFO)
        self.event = anyio.Event()
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == self._name:
            self.event.set()


@contextmanager
def logged(name: str) -> Iterator[anyio.Event]:
    """Return an event that is set when an event of this name is logged."""
    logger, handler = logging.getLogger("webcom_async"), _Noticed(name)
    logger.addHandler(handler)
    try:
        yield handler.event
    finally:
        logger.removeHandler(handler)
