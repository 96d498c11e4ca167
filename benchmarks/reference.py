"""
REF: the work that no client can do without.

Encode a batch, decode its answer with types, make one result per recipient; no network, no ids, no checks. It is
measured in the process of each contender, right before and after, so that a slow moment of the machine slows both.
"""

import time
from collections.abc import Sequence
from itertools import count
from statistics import median

import msgspec

from benchmarks.case import Case
from webcom_async import Outcome, Recipient, SendResult

__all__ = ["SENDER", "TEXT", "TOKEN", "Answer", "WirePhone", "answer_of", "encode", "ref_ns", "results_of"]

TEXT = "Autumn sale: everything for less, until Sunday"
SENDER = "ACME"
TOKEN = "benchmark"

_BATCHES = 100
_ROUNDS = 5
_ACCEPTED = Outcome.ACCEPTED
_REJECTED = Outcome.REJECTED


class WirePhone(msgspec.Struct, gc=False):
    """One entry of `phones`."""

    phone: str
    client_id_sms: str


class WireMessage(msgspec.Struct):
    """One entry of `message`."""

    type_send_1: str
    sender: str
    text: str
    phones: list[WirePhone]


class WireRequest(msgspec.Struct):
    """A request."""

    token: str
    message: list[WireMessage]


class WireEntry(msgspec.Struct, gc=False):
    """One entry of `information`."""

    id_sms: str
    state: str


class Answer(msgspec.Struct):
    """An answer."""

    information: list[WireEntry]


encode = msgspec.json.Encoder().encode
answer_of = msgspec.json.Decoder(Answer).decode


def request_for(phones: list[WirePhone], texts: Sequence[str] | None) -> WireRequest:
    """Return a request to *phones*: one text for all, or one of *texts* for each."""
    if texts is None:
        return WireRequest(TOKEN, [WireMessage("sms", SENDER, TEXT, phones)])
    pairs = zip(phones, texts, strict=True)
    return WireRequest(TOKEN, [WireMessage("sms", SENDER, text, [phone]) for phone, text in pairs])


def request_of(batch: Sequence[str | Recipient], ids: "count[int]") -> tuple[list[WirePhone], WireRequest]:
    """Return the entries for a batch of phones, or of recipients with a text each, and the request with them."""
    if isinstance(batch[0], str):
        phones = [WirePhone(str(phone), str(next(ids))) for phone in batch]
        return phones, request_for(phones, None)
    people = [person for person in batch if isinstance(person, Recipient)]
    phones = [WirePhone(str(person.phone), str(next(ids))) for person in people]
    return phones, request_for(phones, [person.text or "" for person in people])


def results_of(phones: list[WirePhone], answer: Answer) -> list[SendResult]:
    """Return the results of *phones*, as careful code does: one entry for each, or no phone is settled."""
    return [
        SendResult(phone.client_id_sms, phone.phone, _ACCEPTED if entry.state == "send" else _REJECTED, entry.id_sms)
        for phone, entry in zip(phones, answer.information, strict=True)
    ]


def ref_ns(case: Case, source: Sequence[str | Recipient]) -> float:
    """Return the nanoseconds of CPU that REF takes for a recipient of *source*; the median of a few rounds."""
    batch = source[: case.batch_size]
    said = encode(Answer([WireEntry(str(10**9 + number), "send") for number in range(len(batch))]))
    rounds = [sum(_one_batch(batch, said) for _ in range(_BATCHES)) for _ in range(_ROUNDS)]
    return median(rounds) / _BATCHES / len(batch) * 1e9


def _one_batch(batch: Sequence[str | Recipient], said: bytes) -> float:
    """Return the seconds of CPU for one batch, from its entries to its results."""
    phones, request = request_of([_fresh(one) for one in batch], count(10**18))
    start = time.process_time()
    _work(phones, request, said)
    return time.process_time() - start


def _fresh(one: str | Recipient) -> str | Recipient:
    """Return a copy with a text that was never encoded: Python keeps the bytes of an encoded one."""
    if isinstance(one, str) or one.text is None:
        return one
    return Recipient(one.phone, text=one.text[:1] + one.text[1:])


def _work(phones: list[WirePhone], request: WireRequest, said: bytes) -> list[SendResult]:
    """Do for one batch what cannot be left out."""
    encode(request)
    answer = answer_of(said)
    return [
        SendResult(phone.client_id_sms, phone.phone, _ACCEPTED, entry.id_sms)
        for phone, entry in zip(phones, answer.information, strict=True)
    ]
