"""What a result may claim after an earlier attempt, or beside another answer: pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

import msgspec

from webcom_async._domain.errors import IdCollision
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.sentences import Sentence

__all__ = [
    "Repeats",
    "claims_among",
    "collision",
    "doubted",
    "possibly_sent",
    "possibly_sent_among",
    "repeated_ids",
    "unclaimed",
]

Repeats = Mapping[str, AbstractSet[str]]
"""Each repeated `id_sms`, and the ids that were answered with it."""

_NAMED = 3  # ids, and campaigns, in a message
_WAYS_ON = Sentence(
    "The gateway cuts or mixes ids, or answers were mixed up on the way, and of such recipients one alone has its SMS. "
    "Ask Webcom how wide ids may be. There are two ways on, which go together: acknowledge_repeated_ids=True "
    "(--acknowledge-repeated-ids) sends to the rest and leaves such recipients unknown; new_ids='not-sent' "
    "(--new-ids not-sent) gives other ids to recipients that were never sent to; those possibly sent keep theirs. "
    "Another campaign name would send to all again, and bill again each recipient that was accepted"
)


def possibly_sent(result: SendResult) -> SendResult:
    """
    Return *result*, corrected for an earlier attempt that may have been processed.

    A refusal for want of SMS proves nothing: that attempt may have used the last SMS.
    """
    if result.outcome is Outcome.NOT_SENT:
        return msgspec.structs.replace(result, outcome=Outcome.UNKNOWN)
    return result


def possibly_sent_among(results: list[SendResult], ids: AbstractSet[str]) -> list[SendResult]:
    if not ids:
        return results
    return [possibly_sent(result) if result.client_id_sms in ids else result for result in results]


def repeated_ids(results: Iterable[SendResult], owners: Iterable[tuple[str, str]] = ()) -> dict[str, set[str]]:
    """
    Return each `id_sms` that several ids got, in *results* or before, with those ids.

    Args:
        results: The results of a batch.
        owners: An `id_sms` of these results and an earlier id that was answered with it, pair by pair.
    """
    ids: dict[str, set[str]] = {}
    answered: dict[str, str] = {}
    for result in results:
        if result.id_sms is not None:
            ids.setdefault(result.id_sms, set()).add(result.client_id_sms)
            answered[result.client_id_sms] = result.id_sms
    for id_sms, client_id in owners:
        # A later answer to the same id takes the place of the earlier one.
        if answered.get(client_id, id_sms) == id_sms:
            ids[id_sms].add(client_id)
    return {id_sms: those for id_sms, those in ids.items() if len(those) > 1}


def claims_among(results: Iterable[SendResult], repeats: Repeats) -> dict[str, str]:
    """Return the repeated `id_sms` of each id in *results* that was answered with one."""
    return {result.client_id_sms: result.id_sms for result in results if result.id_sms and result.id_sms in repeats}


def doubted(result: SendResult) -> SendResult:
    """Return *result* as unknown, because another id was answered with the same `id_sms`, which it keeps."""
    words = f"answered with id_sms {result.id_sms}, as another client_id_sms was"
    return msgspec.structs.replace(result, outcome=Outcome.UNKNOWN, reason=Reason.REPEATED_ID_SMS, error=words)


def unclaimed(result: SendResult) -> SendResult:
    """Return *result* without a repeated `id_sms`: a delivery report on that may be another recipient's."""
    repeated = result.reason is Reason.REPEATED_ID_SMS and result.id_sms is not None
    return msgspec.structs.replace(result, id_sms=None) if repeated else result


def collision(
    repeats: Repeats,
    claims: Mapping[str, str],
    *,
    results: Sequence[SendResult] = (),
    campaign: str = "",
    campaigns: AbstractSet[str] = frozenset(),
    known: bool = False,
) -> IdCollision:
    """
    Return the alarm for *repeats*.

    Args:
        repeats: Each repeated `id_sms`, and the ids that it answered.
        claims: The repeated `id_sms` of each recipient of the batch that has one.
        results: The results of the batch.
        campaign: The campaign's name; empty if there is none.
        campaigns: The campaigns of all these recipients.
        known: Whether they are recorded from before.
    """
    count = len(claims)
    others = sorted(campaigns - {campaign})
    id_sms, ids = next(iter(repeats.items()))
    words = Sentence(
        "{recipients}{of_campaign} got an id_sms that another recipient{of_others} has: client_id_sms {ids} were "
        "answered with one id_sms, {id_sms}. {ways_on}",
        recipients=Sentence("1 recipient") if count == 1 else Sentence("{count} recipients", count=f"{count:,}"),
        of_campaign=Sentence(" of campaign {name}", name=repr(campaign)) if campaign else "",
        of_others=Sentence(", of campaign {names},", names=_listed(map(repr, others))) if others else "",
        ids=_joined(sorted(ids)),
        id_sms=id_sms,
        ways_on=_WAYS_ON,
    )
    both = sorted({campaign, *campaigns} - {""})
    return IdCollision(words, results=results, claims=claims, campaigns=both, known=known)


def _listed(words: Iterable[str]) -> str | Sentence:
    words = iter(words)
    return _with_more(", ".join(islice(words, _NAMED)), sum(1 for _ in words))


def _joined(words: Sequence[str]) -> str | Sentence:
    first, *others = words[:_NAMED]
    said: str | Sentence = first
    for word in others:
        said = Sentence("{words} and {last}", words=said, last=word)
    return _with_more(said, len(words) - _NAMED)


def _with_more(words: str | Sentence, count: int) -> str | Sentence:
    return Sentence("{words} and {count} more", words=words, count=f"{count:,}") if count > 0 else words
