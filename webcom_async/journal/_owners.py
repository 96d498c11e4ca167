"""Whom each `id_sms` of a journal was the answer for: no two ids may share one."""

from collections.abc import Iterable, Sequence
from itertools import chain

from webcom_async.journal import _sql
from webcom_async.journal._file import JournalFile
from webcom_async.journal._index import Index
from webcom_async.journal._packs import array, load, packs
from webcom_async.models import SendResult

__all__ = ["Owners", "answers_of"]

_NUMBER = 1  # of the index
_KEPT = 1 << 14  # answers, twice


class Owners:
    """
    Every `id_sms` that has been an answer, and whose.

    The gateway counts upwards, so that a new answer is mostly above all but the latest ones. Only when one is not are
    all of them indexed, which makes every further one dearer.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        [(self._highest,)] = file.fetch(_sql.HIGHEST_ID_SMS)  # of those who are in neither generation
        self._latest: dict[str, str] = {}
        self._older: dict[str, str] = {}
        self._index: Index | None = None

    def pass_over(self, answers: Iterable[str | None]) -> None:
        """Take note of *answers* from before."""
        self._highest = max(self._highest, max(filter(None, answers), default=""))

    def add(self, answers: dict[str, str], place: int | None) -> None:
        """Add *answers* to recipients who stand in the pack *place*, or in rows of their own."""
        self._latest.update(answers)
        if len(self._latest) > _KEPT:
            self.pass_over(self._older)
            self._older, self._latest = self._latest, {}
        if self._index is not None:
            self._index.note(answers) if place is None else self._index.add(answers, place)

    def shared(self, answers: dict[str, str], results: Sequence[SendResult]) -> dict[str, set[str]]:
        """
        Return the `id_sms` of *results* that more than one id was answered with, now or before, and those ids.

        Args:
            answers: Those of the results.
            results: What they are taken from.
        """
        before: list[tuple[str, str]] = []
        for generation in (self._latest, self._older):
            if not answers.keys().isdisjoint(generation.keys()):
                before += ((id_sms, generation[id_sms]) for id_sms in answers.keys() & generation.keys())
        if self._index is not None:
            before += self._indexed(list(answers))
        if not before and len(answers) == len(results):
            return {}
        owners: dict[str, set[str]] = {}
        now = ((each.id_sms, each.client_id_sms) for each in results if each.id_sms is not None)
        for id_sms, owner in chain(before, now):
            owners.setdefault(id_sms, set()).add(owner)
        return {id_sms: ids for id_sms, ids in owners.items() if len(ids) > 1}

    def prepare(self, answers: dict[str, str]) -> None:
        """Make room for *answers*, and index everything if they do not count upwards. Not within a transaction."""
        if self._index is not None:
            self._index.tidy()
            return
        if not answers or min(answers) > self._highest:
            return
        index = Index(self._file, _NUMBER)
        for _, _, id_sms in self._file.pages(_sql.PAGE_OF_KEYS):
            if id_sms is not None:
                index.note([id_sms])
        for pack in packs(self._file):
            if pack.answered is not None:
                index.add([id_sms for id_sms in pack.answered.id_sms if id_sms is not None], pack.first_id)
                index.tidy()
        index.tidy(everything=True)
        self._index = index

    def _indexed(self, answers: list[str]) -> Iterable[tuple[str, str]]:
        """Yield those of *answers* that were answers before, each with whose it was."""
        assert self._index is not None  # noqa: S101 - `prepare` has been called
        seen = self._index.seen(answers)
        if not seen:
            return
        for id_sms, client_id in self._file.fetch(_sql.FIND_OWNERS, array(seen)):
            yield id_sms, str(client_id)
        for place in self._index.places(seen):
            pack = load(self._file, place)
            if pack is not None:
                wanted = set(seen)
                for entry in pack.entries():
                    if entry.id_sms in wanted:
                        yield entry.id_sms, str(entry.client_id_sms)


def answers_of(results: Sequence[SendResult]) -> dict[str, str]:
    """Return each `id_sms` of *results*, and the id that it was the answer for."""
    return {each.id_sms: each.client_id_sms for each in results if each.id_sms is not None}
