"""
Group rows by the shape of their phones, and leave out phones that are unlike the others.

A shape is the phone's length and first digit, encoded in less than a byte. Which shape is usual is known only at the
end of the table.
"""

from collections import defaultdict

from webcom_async._domain.sentences import Sentence
from webcom_async._domain.types import Phone
from webcom_async.audience._audit import KEPT_FINDINGS, Audit, Finding, Scale, Verdict
from webcom_async.audience._number_set import NumberMap

__all__ = ["HOME_FORM", "AlikeRows", "Shapes", "shape_of", "why_unlike"]

_LENGTHS = range(8, 16)  # of phones; a caller's own reader may give others, which count as the nearest
_LEAST = 10 * _LENGTHS[0]
_ALIKE = 0.9

HOME_FORM = 10 * len(_LENGTHS)
"""The shape of ten digits that begin with 9 and have no plus."""

# Until the usual shape is known, a row's byte is its shape plus one of these.
_FIRST = 16
_AGAIN = 128


def shape_of(phone: Phone) -> int:
    length = len(phone)
    if length not in _LENGTHS:
        length = min(max(length, _LENGTHS[0]), _LENGTHS[-1])
    return 10 * length + int(phone[0]) - _LEAST


def why_unlike(phone: Phone, shape: int) -> Sentence:
    """Return what looks wrong with *phone*."""
    if shape == HOME_FORM:
        return Sentence(
            "{phone} has ten digits, begins with 9 and has no plus: is it a Russian mobile without its 7?", phone=phone
        )
    return Sentence("{phone} is unlike the others: is a digit or the country code missing?", phone=phone)


class AlikeRows:
    """Rows of one shape, which share one verdict, and the findings to report if they are sent."""

    def __init__(self) -> None:
        self.audit = Audit()
        self.scale = Scale(self.audit)
        self.count = 0
        self.phones: list[tuple[int, Phone]] = []

    def see(self, line: int, phone: Phone) -> None:
        self.count += 1
        if len(self.phones) < KEPT_FINDINGS:
            self.phones.append((line, phone))


class Shapes:
    """
    Finds duplicates, and rows whose phones are unlike the others.

    A row of an unlike shape is left out, so a later row with the same id and the usual shape is sent although it
    repeats that id. Such rows are kept apart until the usual shape is known.

    Memory: a compact map of the phones, and an audit for each shape.

    Args:
        audit: The audit that gets the findings.
        include_unlike: Whether to send to all shapes.
    """

    def __init__(self, audit: Audit, *, include_unlike: bool) -> None:
        self._audit = audit
        self._include_unlike = include_unlike
        self._seen = NumberMap()
        self._seen_again: defaultdict[int, NumberMap] = defaultdict(NumberMap)
        self._first: defaultdict[int, AlikeRows] = defaultdict(AlikeRows)
        self._again: defaultdict[int, AlikeRows] = defaultdict(AlikeRows)

    def __contains__(self, identity: int) -> bool:
        return identity in self._seen

    def see(self, line: int, phone: Phone, identity: int, shape: int) -> tuple[int, AlikeRows | None]:
        """Return a row's byte for `conclude`, and the group it joins; None for the group of a certain duplicate."""
        first = self._seen.setdefault(identity, line << 8 | shape)
        if first >> 8 == line:
            return _FIRST + shape, self._first[shape]
        if first & 0xFF == shape or self._seen_again[shape].setdefault(identity, line) != line:
            return self.repeat(line, phone, identity), None
        rows = self._again[shape]
        rows.audit.note("duplicates", line, _stands_already(phone, first))
        return _AGAIN + shape, rows

    def repeat(self, line: int, phone: Phone, identity: int) -> Verdict:
        self._audit.note("duplicates", line, _stands_already(phone, self._seen.setdefault(identity, 0)))
        return Verdict.DUPLICATE

    def conclude(self, judged: bytearray) -> bytearray:
        """Turn the bytes of all rows into verdicts, and add their findings to the audit."""
        verdicts = bytearray(range(256))
        usual = self._usual()
        for shape, rows in self._first.items():
            is_unlike = shape == HOME_FORM or usual not in (None, shape)
            if is_unlike:
                found = [Finding(line, why_unlike(phone, shape)) for line, phone in rows.phones]
                self._audit.extend("unlike", found, rows.count)
            verdicts[_FIRST + shape] = self._settle(rows, Verdict.UNLIKE, is_sent=self._include_unlike or not is_unlike)
        for shape, rows in self._again.items():
            is_sent = shape == usual and not self._include_unlike
            if not is_sent:
                self._audit.extend("duplicates", rows.audit.duplicates, rows.audit.count("duplicates"))
            verdicts[_AGAIN + shape] = self._settle(rows, Verdict.DUPLICATE, is_sent=is_sent)
        return judged.translate(verdicts)

    def _settle(self, rows: AlikeRows, otherwise: Verdict, *, is_sent: bool) -> Verdict:
        if not is_sent:
            return otherwise
        self._audit.extend("guessed", rows.audit.guessed, rows.audit.count("guessed"))
        self._audit.add_sizes(rows.audit)
        return Verdict.SEND

    def _usual(self) -> int | None:
        """Return the shape of at least nine in ten rows, if there is one; home forms are not counted."""
        counts = {shape: rows.count for shape, rows in self._first.items() if shape != HOME_FORM}
        usual = max(counts, key=counts.__getitem__, default=None)
        return usual if usual is not None and counts[usual] >= _ALIKE * sum(counts.values()) else None


def _stands_already(phone: Phone, first: int) -> Sentence:
    return Sentence("{phone} is in line {line} already", phone=phone, line=first >> 8)
