"""
Turn a source into a plan: batches of recipients as JSON, grouped into shards, lazily.

Recipients are stored as given; whether one can be sent to is decided when its batch is sent.
"""

from collections import deque
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Recipient
from webcom_async._domain.phones import plain_int
from webcom_async._domain.sources import RecipientSource, Source, strange_item
from webcom_async._storage.campaign_rules import largest_batch
from webcom_async._storage.campaign_store import CampaignSettings

__all__ = ["PlannedBatch", "Planning", "recipients_of"]

_PAGE = 20  # batches
_DIGEST_BYTES = 16


def _plain(value: object) -> str | int:
    """Return *value* as a plain str or int if it is another kind of either, such as numpy's."""
    plain = plain_int(value)
    if isinstance(plain, str):
        return str.__str__(plain)
    if isinstance(plain, int):
        return plain
    raise TypeError


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode = msgspec.json.Decoder(list[Recipient]).decode


class PlannedBatch(NamedTuple):
    """A planned batch: its numbers, its number of recipients, and the recipients as JSON."""

    shard: int
    number: int
    recipients: int
    content: bytes


class Planning:
    """
    Reads a source into batches.

    Args:
        settings: The campaign's settings, checked.
        recipients: The source.

    Attributes:
        recipients: The number of recipients so far.

    Raises:
        InputError: The source is a single phone, or not iterable.
    """

    def __init__(self, settings: CampaignSettings, recipients: RecipientSource) -> None:
        self.recipients = 0
        self._size = largest_batch(settings)
        self._batches_per_shard = settings.shard_size // self._size
        self._source = Source(recipients)
        self._waiting: deque[object] = deque()
        self._batches = 0
        self._digest = blake2b(digest_size=_DIGEST_BYTES)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    async def page(self) -> list[PlannedBatch]:
        """Return an empty list at the end. An error has an item's position, not its content."""
        page: list[PlannedBatch] = []
        while len(page) < _PAGE and not self._source.exhausted:
            await self._source.fill(self._waiting, self._size)
            if self._waiting:
                page.append(self._cut())
        return page

    def check_somebody(self) -> None:
        """An empty source would waste the campaign's name."""
        if not self.recipients:
            raise InputError("the source has no recipients: there is nothing to plan, and nothing was written")

    async def aclose(self) -> None:
        await self._source.aclose()

    def _cut(self) -> PlannedBatch:
        people = [_recipient(item, self.recipients + place) for place, item in enumerate(self._waiting, 1)]
        content = _kept(people, self.recipients)
        self._waiting.clear()
        shard = self._batches // self._batches_per_shard + 1
        self._batches += 1
        self.recipients += len(people)
        self._digest.update(content)
        return PlannedBatch(shard, self._batches, len(people), content)


def recipients_of(content: bytes | str) -> list[Recipient]:
    return _decode(content)


def _recipient(item: object, place: int) -> Recipient:
    if isinstance(item, Recipient):
        return item
    plain = plain_int(item)
    if isinstance(plain, str | int):
        return Recipient(plain)
    raise strange_item(item, place)


def _kept(people: list[Recipient], before: int) -> bytes:
    """Return *people* as JSON that decodes to the same recipients."""
    try:
        content = _encode(people)
        _decode(content)
    except Exception:
        # An odd item's own methods may raise anything: find it one by one.
        for place, person in enumerate(people, before + 1):
            _check_kept(person, place)
        raise
    return content


def _check_kept(person: Recipient, place: int) -> None:
    try:
        _decode(_encode([person]))
    except Exception as exc:  # noqa: BLE001 - an odd item's own methods may raise anything
        # Without the text of the error, which may quote a phone.
        raise InputError(
            f"item {place:,} of the source cannot be kept ({type(exc).__name__}): a field of the Recipient has a value "
            "that is not of its type"
        ) from None
