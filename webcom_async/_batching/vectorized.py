"""
Check and address a batch as columns.

Most batches hold only plain phones, or recipients with a phone and at most a text, an id or a key. As columns they take
a tenth of the time that they take one by one, which was half of all the client's work. For any other batch the
functions here return None; `batcher` then takes recipients one by one, and each bad one gets its reason.
`RecipientBatcher` has both ways; workloads A and B pay for this one.
"""

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import astuple

from webcom_async._batching.addressing import CallDefaults
from webcom_async._domain.client_ids import IdScheme, check_client_id
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Addressed, Message, OutboundRecipient, Recipient
from webcom_async._domain.phones import NormalPhones, normal_phones
from webcom_async._domain.types import ClientIdSms
from webcom_async._wire.base import SendFormat

__all__ = ["PreparedBatch", "copies_with_texts", "prepare_batch", "with_texts"]


class PreparedBatch(NamedTuple):
    """A batch's addressed recipients, their ids, and their part of the request's body."""

    addressed: list[Addressed]
    client_ids: list[ClientIdSms]
    messages: bytes


class _Columns(NamedTuple):
    """The fields of the recipients; the phones alone if the source yields phones."""

    phones: Sequence[str]
    client_ids: Sequence[object] = ()
    keys: Sequence[object] = ()
    texts: Sequence[object] = ()


def prepare_batch(
    given: Sequence[object], defaults: CallDefaults, ids: IdScheme, send_format: SendFormat
) -> PreparedBatch | None:
    """Address *given* as a whole; None if it must be taken one by one."""
    columns = _columns(given)
    normal = None if columns is None else normal_phones(columns.phones)
    if columns is None or normal is None:
        return None
    client_ids = _client_ids(columns, normal, ids)
    if client_ids is None or len(set(client_ids)) < len(client_ids):
        return None
    validity_period, time_send = defaults.moments()
    to = list(map(OutboundRecipient, normal.phones, client_ids, repeat(validity_period), repeat(time_send)))
    own_texts = not _all_none(columns.texts)
    template = defaults.template if own_texts else defaults.message
    if template is None:
        return None
    addressed = _with_texts(columns.texts, template, to, defaults) if own_texts else [(template, to)]
    if addressed is None:
        return None
    try:
        content = send_format.encode_alike(addressed, template, validity_period, time_send)
    except ValueError:
        return None  # a lone surrogate
    return PreparedBatch(addressed, client_ids, content)


def _columns(given: Sequence[object]) -> _Columns | None:
    kinds = set(map(type, given))
    if kinds == {str}:
        return _Columns(cast("Sequence[str]", given))
    if kinds != {Recipient}:
        return None
    phones, client_ids, keys, texts, *others = zip(*map(astuple, cast("Sequence[Recipient]", given)), strict=True)
    plain = set(map(type, phones)) == {str} and all(map(_all_none, others))
    return _Columns(phones, client_ids, keys, texts) if plain else None


def _client_ids(columns: _Columns, normal: NormalPhones, ids: IdScheme) -> list[ClientIdSms] | None:
    if _all_none(columns.client_ids) and set(columns.keys) <= {""}:
        return ids.derive_all(normal.numbers)
    if not set(map(type, columns.keys)) <= {str} or any(map(str.isspace, cast("Sequence[str]", columns.keys))):
        return None
    try:
        return [
            ids.derive(phone, cast("str", key)) if given is None else check_client_id(given)
            for phone, given, key in zip(normal.phones, columns.client_ids, columns.keys, strict=True)
        ]
    except InputError:
        return None


def _with_texts(
    texts: Sequence[object], template: Message, recipients: list[OutboundRecipient], defaults: CallDefaults
) -> list[Addressed] | None:
    """Address recipients that have a text each; None if a text is missing, blank or too long."""
    if set(map(type, texts)) != {str} or not all(map(str.strip, cast("Sequence[str]", texts))):
        return None
    addressed: list[Addressed] = []
    before: str | None = None
    spoken = cast("Sequence[str]", texts)
    if _any_too_long(spoken, template, defaults):
        return None
    for text, message, recipient in zip(spoken, copies_with_texts(template, spoken), recipients, strict=True):
        if text == before:
            addressed[-1][1].append(recipient)
        else:
            addressed.append((message, [recipient]))
            before = text
    return addressed


def _any_too_long(texts: Sequence[str], template: Message, defaults: CallDefaults) -> bool:
    if not defaults.is_long(max(texts, key=len)):  # as a rule no text is, which is found without counting
        return False
    long = set(filter(defaults.is_long, texts))
    return any(defaults.excess(msgspec.structs.replace(template, text=text)) for text in long)


def with_texts(template: Message, texts: Sequence[str]) -> list[Message]:
    return [msgspec.structs.replace(template, text=text) for text in texts]


def copies_with_texts(template: Message, texts: Sequence[str]) -> list[Message]:
    """
    Do the same as `with_texts`, for *texts* that are checked. Workload B pays for it: a twentieth of the time.

    The other fields need no second check, so each copy gets its text by force, before other code sees it.
    """
    copy, force = cast("Any", template).__copy__, msgspec.structs.force_setattr
    copies = [copy() for _ in texts]
    deque(map(force, copies, repeat("text"), texts), maxlen=0)
    return copies


def _all_none(column: Sequence[object]) -> bool:
    return not column or (column[0] is None and set(map(type, column)) == {type(None)})
