"""What a result may still claim after an earlier attempt, or beside another answer: pure functions."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from webcom_async._domain.errors import IdCollision
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult

__all__ = ["collision", "doubted", "possibly_sent", "possibly_sent_among"]


def possibly_sent(result: SendResult) -> SendResult:
    """
    Return *result* as it stands after an earlier attempt that may have been processed.

    A gateway that is out of SMS may look at the balance before it looks for a used id, and the last SMS may be the one
    in question.
    """
    if result.outcome is Outcome.NOT_SENT:
        return msgspec.structs.replace(result, outcome=Outcome.UNKNOWN)
    return result


def possibly_sent_among(results: list[SendResult], ids: AbstractSet[str]) -> list[SendResult]:
    """Return *results*, with those of *ids* `possibly_sent`."""
    if not ids:
        return results
    return [possibly_sent(result) if result.client_id_sms in ids else result for result in results]


def doubted(result: SendResult) -> SendResult:
    """Return *result*, whose `id_sms` another id was answered with too, as it stands: nobody knows who got it."""
    words = f"answered with id_sms {result.id_sms}, as another client_id_sms was"
    return SendResult(
        result.client_id_sms, result.phone, Outcome.UNKNOWN, None, Reason.BAD_REPLY, words, result.attempts
    )


def collision(shared: Mapping[str, AbstractSet[str]], results: Sequence[SendResult]) -> IdCollision:
    """Return the alarm that is due when each of the `id_sms` in *shared* was the answer to several ids."""
    id_sms, ids = next(iter(shared.items()))
    return IdCollision(
        f"client_id_sms {' and '.join(sorted(ids))} were answered with one id_sms, {id_sms}: the gateway cuts or "
        "mixes ids, or answers were mixed up on the way, and one of them got nothing. Ask Webcom how wide ids may be; "
        "id_bits=53 under another campaign name may help",
        results=results,
    )
