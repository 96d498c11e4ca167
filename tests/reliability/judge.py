"""The judge compares the gateway's ledger with a client's claims."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from typing import Self

from webcom_async import Outcome, SendResult
from webcom_async.emulator import Ledger, Sms

__all__ = ["NONE", "Counts", "judged", "unreached"]

_CLAIMS_NOTHING_WAS_SENT = frozenset({Outcome.REJECTED, Outcome.NOT_SENT})


@dataclass(frozen=True)
class Counts:
    """
    The number of each broken promise.

    Attributes:
        lost: Recipients that were taken and have no result, or in the end no SMS.
        twice: Recipients that were billed more than once.
        invented: Claims of `ACCEPTED` that the ledger does not have.
        wrong_id: Claims of `ACCEPTED` under another `id_sms` than the ledger's.
        falsely_unsent: Claims that nothing was sent, where something was.
    """

    lost: int = 0
    twice: int = 0
    invented: int = 0
    wrong_id: int = 0
    falsely_unsent: int = 0

    def __add__(self, other: Self) -> "Counts":
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def __bool__(self) -> bool:
        return any(astuple(self))

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, field.name)} {field.name.replace('_', ' ')}" for field in fields(self))


NONE: Counts = Counts()


def judged(
    asked: Iterable[str], results: Iterable[SendResult], ledger: Ledger, *, before: Iterable[Sms] = ()
) -> Counts:
    """
    Return the false claims of one run.

    Args:
        asked: The phones that the client has taken from the source, each once.
        results: The client's claims about them, read or left unread.
        ledger: The SMS that were sent.
        before: SMS of earlier runs, if the client cannot know those runs: "not sent" makes no claim about them.
    """
    results = list(results)
    sent = {sms.phone: sms.id_sms for sms in ledger.sent}
    earlier = {sms.phone for sms in before}
    accepted = [result for result in results if result.outcome is Outcome.ACCEPTED]
    return Counts(
        lost=len(set(asked) - {result.phone for result in results}),
        twice=len(ledger.billed_twice()) + _claimed_twice(results),
        invented=sum(result.phone not in sent for result in accepted),
        wrong_id=sum(sent.get(result.phone, result.id_sms) != result.id_sms for result in accepted),
        falsely_unsent=sum(
            result.outcome in _CLAIMS_NOTHING_WAS_SENT
            and result.phone in sent
            and (result.outcome is Outcome.REJECTED or result.phone not in earlier)
            for result in results
        ),
    )


def unreached(asked: Iterable[str], ledger: Ledger) -> Counts:
    """Return how many of *asked* have no SMS after a campaign that ran to its end."""
    return Counts(lost=len(set(asked) - {sms.phone for sms in ledger.sent}))


def _claimed_twice(results: list[SendResult]) -> int:
    return sum(count > 1 for count in Counter(result.phone for result in results).values())
