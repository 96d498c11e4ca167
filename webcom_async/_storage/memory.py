"""The in-memory journal of a campaign without a durable one."""

from collections.abc import Mapping, Sequence

import msgspec

from webcom_async._domain.messages import Addressed
from webcom_async._domain.outcome_rules import (
    Repeats,
    claims_among,
    collision,
    doubted,
    possibly_sent_among,
    repeated_ids,
    unclaimed,
)
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult, given_ids, not_accepted
from webcom_async._domain.types import ClientIdSms
from webcom_async._storage.contracts import Reservation

__all__ = ["Answers", "MemoryCampaignJournal"]


_REMEMBERED = 4_096  # answers at least, and at most twice as many


class MemoryCampaignJournal:
    """
    Remembers the minimum while a campaign runs: unknown recipients, and the latest answers.

    An unknown recipient stays unknown: a phone may be in a source twice, and if its first request is possibly sent and
    its second held back, it may still have been sent to. This set grows with the number of unknown recipients only. The
    latest answers show an `id_sms` that is returned twice; all ids that were answered with one are remembered.
    """

    def __init__(self, campaign: str = "") -> None:
        self._campaign = campaign
        self._unknown: set[ClientIdSms] = set()
        self._latest = Answers()
        self._older = Answers()
        self._claimants: dict[str, set[str]] = {}  # of each repeated `id_sms`
        self._claims_before: dict[str, str] = {}  # the same by id
        self._owners: dict[str, str] = {}  # who was accepted under it before it was repeated

    async def reserve(
        self,
        addressed: list[Addressed],
        *,
        new_ids: Mapping[ClientIdSms, ClientIdSms] = {},  # noqa: ARG002 - they need a journal
    ) -> Reservation:
        unknown = self._unknown
        if not unknown:
            return Reservation(addressed, [], [])
        again = {to.client_id_sms for _, phones in addressed for to in phones if to.client_id_sms in unknown}
        return Reservation(addressed, [], [], again)

    async def settle(
        self,
        results: list[SendResult],
        reserved: Reservation,  # noqa: ARG002 - everyone may leave
        *,
        all_accepted: bool = False,
    ) -> list[SendResult]:
        """Raise `IdCollision` if two ids got one `id_sms`, and the first answer is still remembered."""
        known = results if all_accepted else await self.lookup(results)
        twice = self._look_back(known, all_accepted=all_accepted)
        repeats: Repeats = self._repeats(known, twice) if twice or self._claimants else {}
        swallowed = {now for now, before in twice if now.phone != before.phone and now.id_sms not in repeats}
        claims = self._claims(known, repeats)
        if swallowed or claims:
            known = [_swallowed(each) if each in swallowed else each for each in known]
            known = [unclaimed(doubted(each)) if each.client_id_sms in claims else each for each in known]
        if self._unknown:
            self._unknown.difference_update(each.client_id_sms for each in known)
        others = [] if all_accepted and known is results else not_accepted(known)
        self._unknown.update(each.client_id_sms for each in others if each.outcome is Outcome.UNKNOWN)
        if claims:
            raise collision(repeats, claims, results=known, campaign=self._campaign)
        return known

    async def lookup(self, results: list[SendResult]) -> list[SendResult]:
        """Unknown recipients stay unknown."""
        return possibly_sent_among(results, self._unknown)

    async def aclose(self) -> None:
        """Do nothing."""

    def _look_back(self, results: list[SendResult], *, all_accepted: bool) -> list[tuple[SendResult, SendResult]]:
        ids = given_ids(results)
        answered = results if len(ids) == len(results) else [each for each in results if each.id_sms is not None]
        whose = self._latest.among(ids) | self._older.among(ids)
        # An SMS belongs to the first result with its id: a later one was sent nothing.
        self._latest.add([*whose, *ids], [*whose.values(), *answered])
        if len(self._latest) > _REMEMBERED:
            self._older, self._latest = self._latest, Answers()
        if all_accepted and not whose:
            return []
        # A split batch has several answers, so an `id_sms` may come twice in *results* too.
        pairs = [(now, whose.setdefault(id_sms, now)) for id_sms, now in zip(ids, answered, strict=True)]
        return [(now, before) for now, before in pairs if now is not before]

    def _repeats(self, results: list[SendResult], twice: list[tuple[SendResult, SendResult]]) -> Repeats:
        """Return each `id_sms` of *results* that several ids were answered with, and remember those."""
        answered = {each.client_id_sms: each.id_sms for each in results if each.id_sms is not None}
        for client_id, id_sms in answered.items():
            if self._claims_before.get(client_id, id_sms) != id_sms:
                self._claimants[self._claims_before.pop(client_id)].discard(client_id)
        remembered = self._claimants.keys() & answered.values()
        earlier = [(id_sms, client_id) for id_sms in remembered for client_id in self._claimants[id_sms]]
        first = [(each.id_sms or "", str(each.client_id_sms)) for _, each in twice]
        repeats = repeated_ids(results, earlier + [pair for pair in first if pair[0] not in self._claimants])
        mine = set(results)
        for _, before in twice:
            id_sms = before.id_sms or ""
            if id_sms in repeats.keys() - remembered and before.outcome is Outcome.ACCEPTED and before not in mine:
                self._owners[id_sms] = before.client_id_sms
        for id_sms, ids in repeats.items():
            self._claimants.setdefault(id_sms, set()).update(ids)
            self._claims_before.update(dict.fromkeys(ids, id_sms))
        return repeats

    def _claims(self, results: list[SendResult], repeats: Repeats) -> dict[str, str]:
        claims = claims_among(results, repeats) if repeats else {}
        return {client_id: id_sms for client_id, id_sms in claims.items() if self._owners.get(id_sms) != client_id}


class Answers:
    """
    Answers by their `id_sms`: what a dict with `setdefault` would hold.

    A batch rarely has an `id_sms` in common with them; a set finds that in a third of a dict's time. Workload A pays
    for it.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._by_id: dict[str, SendResult] = {}
        self._to_enter: list[tuple[Sequence[str], Sequence[SendResult]]] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], answered: Sequence[SendResult]) -> None:
        self._ids.update(ids)
        if ids:
            self._to_enter.append((ids, answered))

    def among(self, ids: Sequence[str]) -> dict[str, SendResult]:
        known = self._ids.intersection(ids)
        if known:
            self._enter()
        return {id_sms: self._by_id[id_sms] for id_sms in known}

    def _enter(self) -> None:
        for ids, answered in self._to_enter:
            for id_sms, each in zip(ids, answered, strict=True):
                self._by_id.setdefault(id_sms, each)
        self._to_enter.clear()


def _swallowed(result: SendResult) -> SendResult:
    """Return *result* as not sent: the gateway has sent another phone's SMS under its id."""
    words = f"client_id_sms {result.client_id_sms} was another phone's: the gateway sends one SMS per id"
    return msgspec.structs.replace(result, outcome=Outcome.NOT_SENT, id_sms=None, reason=Reason.ID_REUSED, error=words)
