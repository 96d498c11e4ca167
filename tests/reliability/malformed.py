"""Malformed answers: a corpus and its mutations, judged for batches of one to five."""

import json
import random
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.builders import wire_phones
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from tests.unit.builders import FORMAT
from webcom_async import Options, Outcome, Reply, SendResult, WebcomError
from webcom_async._gateway.policy import judge
from webcom_async.journal import OutboundRecipient

__all__ = ["measure"]

_NOW = datetime(2030, 1, 1, tzinfo=UTC)
_LARGEST = 65_536 + 2_048 * 5  # bytes; the transport lets no more through for five recipients
_SLOWEST_MS = 250.0
_MOST_MIB = 32.0
_MIB = 1 << 20
_STATUSES = (*(200,) * 12, 201, 204, 301, 302, 400, 400, 401, 403, 404, 408, 413, 425, 429, 500, 502, 503, 504, 599)
_WAITS = ("", "0", "1", "61", "-1", "9" * 400, "Wed, 01 Jan 2031 12:00:00 GMT", "Wed, 99 Foo 0", "\u0661", "nan")

_ENTRIES: tuple[object, ...] = (
    {"state": "send", "id_sms": "1000001"},
    {"state": "send", "id_sms": 1000002},
    {"state": "SEND", "id_sms": " 1000003 ", "error": None},
    {"state": "send", "id_sms": "1000004", "client_id_sms": "101"},
    {"state": "send", "id_sms": "1000005", "client_id_sms": 102, "extra": [1, {"a": None}]},
    {"error": "Invalid phone number"},
    {"error": "Закончились SMS."},
    {"error": "This phone number is on the stop list"},
    {"error": "Something nobody has heard of \u202e\x00"},
    {"error": "SMS is already sent", "id_sms": "1000006"},
    {"state": "send"},
    {"id_sms": "0"},
    {"state": "send", "id_sms": 10**30},
    {"state": "send", "id_sms": -1},
    {"state": "send", "id_sms": 1.5},
    {"state": "send", "id_sms": True},
    {"state": ["send"], "id_sms": "7"},
    {},
    None,
    [],
    0,
    "send",
)


def _corpus() -> list[bytes]:
    """Return the seed answers: documented ones in many shapes, and nasty ones."""
    shapes: list[object] = [{"information": [first, second]} for first in _ENTRIES for second in _ENTRIES]
    shapes += [{"information": [entry] * count} for entry in _ENTRIES for count in (0, 1, 3, 4, 5)]
    shapes += [{"error": entry} for entry in ("Invalid login or password", "Account is locked", "", None, 1, [], {})]
    shapes += [{"information": value} for value in (None, {}, "", 0, [[]], {"0": {"state": "send", "id_sms": "1"}})]
    shapes += [None, True, 0, "", [], {}, [{"state": "send", "id_sms": "1"}], {"Information": []}]
    documented = [json.dumps(shape, ensure_ascii=place % 2 == 0).encode() for place, shape in enumerate(shapes)]
    return [
        *documented,
        b"",
        b" ",
        b"\xef\xbb\xbf" + documented[0],
        b"\xff\xfe" + documented[0].decode().encode("utf-16-le"),
        b"callback(" + documented[0] + b");",
        b"<b>Notice</b>: Undefined index" + documented[0],
        documented[0] + documented[0],
        documented[0] + b"\x00" * 100,
        b"<html><body>502 Bad Gateway</body></html>",
        b"[" * _LARGEST,
        b'{"information":' * (_LARGEST // 15),
        b'{"information":[' + b"[" * 5_000 + b"]" * 5_000 + b"]}",
        b'{"information":[{"state":"send","id_sms":' + b"9" * 60_000 + b"}]}",
        b'{"information":[{"state":"send","id_sms":1e' + b"9" * 300 + b"}]}",
        b'{"information":[{"state":"send","id_sms":"' + b"9" * 60_000 + b'"}]}',
        b'{"error":"' + b"\\u0000" * 10_000 + b'"}',
        b'{"error":"' + "Закончились ".encode() * 2_500 + b'"}',
        b'{"error":"\\ud800"}',
        b'{"information":[{"error":"\\udfff","error":"\\ud800"}]}',
        b'{"information":[' + b"null," * 12_000 + b"null]}",
        b'{"information":[' + b"{}," * 20_000 + b"{}]}",
        b'{"information":[],"information":[{"state":"send","id_sms":"1"}],"error":"x"}',
        b'{"' + b"k" * 60_000 + b'":1}',
        b'{"information":[{"state":"send","id_sms":NaN}]}',
        b'{"information":[{"state":"send","id_sms":Infinity}]}',
        b'{"information":[{"state":"s\xffnd","id_sms":"1"}]}',
        bytes(range(256)) * 100,
    ]


def measure(scale: Scale, seed: int) -> list[Row]:
    """Judge mutated answers, and count unsound results."""
    chance = random.Random(seed)
    corpus = _corpus()
    for body in corpus:
        _verdict(Reply(200, {}, body), wire_phones(2))
    before = _peak()
    outside, unsound, slowest = 0, 0, 0.0
    for number in range(scale.answers):
        body = corpus[number] if number < len(corpus) else _mutated(chance, corpus)
        reply = Reply(chance.choice(_STATUSES), {"retry-after": chance.choice(_WAITS)}, body)
        recipients = wire_phones(chance.randint(1, 5))
        start = time.perf_counter()
        verdict = _verdict(reply, recipients)
        slowest = max(slowest, time.perf_counter() - start)
        outside += isinstance(verdict, BaseException)
        unsound += isinstance(verdict, list) and not _sound(verdict, recipients)
    grown = _peak() - before
    return [
        Row(
            "malformed answers: exceptions outside WebcomError, unsound results",
            f"{scale.answers:,} answers",
            "0 each",
            f"{outside} exceptions, {unsound} unsound",
            not outside and not unsound,
        ),
        Row(
            "malformed answers: slowest single one, growth of memory",
            f"{scale.answers:,} answers",
            f"{_SLOWEST_MS:.0f} ms, {_MOST_MIB:.0f} MiB",
            f"{slowest * 1e3:.1f} ms, {grown:.1f} MiB",
            slowest * 1e3 <= _SLOWEST_MS and grown <= _MOST_MIB,
        ),
    ]


def _verdict(reply: Reply, recipients: Sequence[OutboundRecipient]) -> list[SendResult] | BaseException | None:
    """Return the results, an unexpected exception, or None for an expected one."""
    try:
        return judge(reply, recipients, 1, Options(), _NOW, send_format=FORMAT).results
    except WebcomError as exc:
        str(exc)
        return None
    except Exception as exc:  # noqa: BLE001 - the exception is the finding
        return exc


def _sound(results: list[SendResult], recipients: Sequence[OutboundRecipient]) -> bool:
    """Whether there is one result each, in order, and each accepted recipient has an id of its own."""
    ids = [result.id_sms for result in results if result.outcome is Outcome.ACCEPTED]
    return (
        [phone.client_id_sms for phone in recipients] == [result.client_id_sms for result in results]
        and all(ids)
        and len(set(ids)) == len(ids)
    )


def _mutated(chance: random.Random, corpus: list[bytes]) -> bytes:
    body = chance.choice(corpus)
    for _ in range(chance.randint(1, 4)):
        body = chance.choice((_flip, _cut, _double, _splice))(body, chance, corpus)
    return body[:_LARGEST]


def _flip(body: bytes, chance: random.Random, _corpus: list[bytes]) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.randint(1, 3) if body else 0):
        changed[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(changed)


def _cut(body: bytes, chance: random.Random, _corpus: list[bytes]) -> bytes:
    start = chance.randrange(len(body) + 1)
    return body[:start] + body[start + chance.randint(1, 20) :] if chance.random() < 0.5 else body[:start]


def _double(body: bytes, chance: random.Random, _corpus: list[bytes]) -> bytes:
    start = chance.randrange(len(body) + 1)
    end = start + chance.randint(1, 60)
    return body[:end] + body[start:end] * chance.randint(1, 3) + body[end:]


def _splice(body: bytes, chance: random.Random, corpus: list[bytes]) -> bytes:
    other = chance.choice(corpus)
    return body[: chance.randrange(len(body) + 1)] + other[chance.randrange(len(other) + 1) :]


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
