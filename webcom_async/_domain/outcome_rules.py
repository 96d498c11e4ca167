"""What a result may claim after an earlier attempt, or beside another answer: pure functions."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from webcom_async._domain.errors import IdCollision
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult

__all__ = ["collision", "doubted", "possibly_sent", "possibly_sent_among"]


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


def doubted(result: SendResult) -> SendResult:
    """Return *result* as unknown, because another id was answered with the same `id_sms`."""
    words = f"answered with id_sms {result.id_sms}, as another client_id_sms was"
    return SendResult(
        result.client_id_sms, result.phone, Outcome.UNKNOWN, None, Reason.BAD_REPLY, words, result.attempts
    )


def collision(shared: Mapping[str, AbstractSet[str]], results: Sequence[SendResult]) -> IdCollision:
    """Return the alarm for *shared*: each repeated `id_sms`, and the ids that it answered."""
    id_sms, ids = next(iter(shared.items()))
    return IdCollision(
        f"client_id_sms {' and '.join(sorted(ids))} were answered with one id_sms, {id_sms}: the gateway cuts or "
        "mixes ids, or answers were mixed up on the way, and one of them got nothing. Ask Webcom how wide ids may be; "
        "id_bits=53 under another campaign name may help",
        results=results,
    )
