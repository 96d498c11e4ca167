"""
The findings of a check: counts, lines, phones that are unlike the others, ids, and the SMS that the texts take.

Rows are grouped by the shape of their phones. A shape is the phone's length and first digit, encoded in less than a
byte. Which shape is usual is known only at the end of the table.
"""

import enum
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, Self

import msgspec

from webcom_async._domain.client_ids import check_client_id
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Message
from webcom_async._domain.phones import EXACT_FLOAT, ROUNDED, shown, whole_number
from webcom_async._domain.reasons import Reason
from webcom_async._domain.records import private_repr
from webcom_async._domain.sentences import Quote, Sentence
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience._columns import read_exactly
from webcom_async.audience._stop_list import NumberMap
from webcom_async.files import Row, Table
from webcom_async.segments import count_parts, encoding_of

__all__ = [
    "HOME_FORM",
    "KEPT_FINDINGS",
    "AlikeRows",
    "Audit",
    "Finding",
    "GivenIds",
    "Sample",
    "Scale",
    "Shapes",
    "Verdict",
    "shape_of",
    "why_unlike",
]


KEPT_FINDINGS = 1_000  # of a kind
_SAMPLES = 3


class Verdict(enum.IntEnum):
    """What is done with a row."""

    SEND = 0  #: it is sent to
    BAD = 1  #: its phone or id cannot be used
    DUPLICATE = 2  #: an earlier row has the same phone or id
    STOPPED = 3  #: its phone is on the stop list
    UNSAYABLE = 4  #: its text cannot be rendered
    UNLIKE = 5  #: its phone is unlike the others


class _LineAndWords(NamedTuple):
    line: int
    words: str


class Finding(_LineAndWords):
    """
    A row with a remark; a pair of the line and the words.

    Attributes:
        line: The line where the row begins.
        words: The remark; printable, and without the row's text.
        sentence: The remark, with its template and parameters if it can be said in another language.
    """

    sentence: str | Sentence = ""

    def __new__(cls, line: int, words: str | Sentence) -> Self:
        """Return the finding."""
        finding = super().__new__(cls, line, printable(str(words)))
        finding.sentence = words
        return finding

    def __repr__(self) -> str:
        return f"Finding(line={self.line}, words={private_repr('words', self.words)})"


class Sample(NamedTuple):
    """A text as a recipient would receive it."""

    line: int
    phone: Phone
    text: str

    def __repr__(self) -> str:
        phone, text = private_repr("phone", self.phone), private_repr("text", self.text)
        return f"Sample(line={self.line}, phone={phone}, text={text})"


class Audit(msgspec.Struct):
    """
    The findings of `Audience.check`. Each list of findings keeps the first thousand.

    Attributes:
        rows: Number of rows.
        sendable: Number of rows that would be sent.
        bad: Rows without a usable phone or id.
        duplicates: Rows whose phone or id an earlier row has.
        stopped: Rows on a stop list.
        unsayable: Rows whose text cannot be rendered. While there is one, nothing should be sent.
        guessed: Rows whose phone was changed by a rule, such as `8 9xx` to `7 9xx`. They are sent.
        unlike: Rows that are skipped by default because a digit or the country code may be missing: the phone differs
            in length or first digit from nine in ten of the table, or, if it is read without a region, has ten digits
            that begin with 9 and no plus, like a Russian mobile without its 7.
        counts: Number of findings by the name of their list.
        parts: SMS that all texts take together.
        by_parts: Recipients by the parts of their text.
        by_encoding: Recipients by the encoding of their text.
        longest: The text with the most characters.
        costliest: The text with the most parts.
        samples: The first three texts.
    """

    rows: int = 0
    sendable: int = 0
    bad: list[Finding] = []
    duplicates: list[Finding] = []
    stopped: list[Finding] = []
    guessed: list[Finding] = []
    unlike: list[Finding] = []
    unsayable: list[Finding] = []
    counts: dict[str, int] = {}
    parts: int = 0
    by_parts: dict[int, int] = {}
    by_encoding: dict[str, int] = {}
    longest: Sample | None = None
    costliest: Sample | None = None
    samples: list[Sample] = []

    def note(self, kind: str, line: int, words: str | Sentence) -> None:
        """Count a finding, and keep it if its list has room."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept: list[Finding] = getattr(self, kind)
        if len(kept) < KEPT_FINDINGS:
            kept.append(Finding(line, words))

    def extend(self, kind: str, found: Sequence[Finding], count: int) -> None:
        """Add findings of another pass over the same table, and keep the first thousand of all."""
        if count:
            self.counts[kind] = self.count(kind) + count
            kept: list[Finding] = getattr(self, kind)
            kept[:] = sorted([*kept, *found])[:KEPT_FINDINGS]

    def add_sizes(self, other: "Audit") -> None:
        self.parts += other.parts
        self.by_parts = dict(Counter(self.by_parts) + Counter(other.by_parts))
        self.by_encoding = dict(Counter(self.by_encoding) + Counter(other.by_encoding))
        self.longest = _larger(self.longest, other.longest, len)
        self.costliest = _larger(self.costliest, other.costliest, count_parts)
        self.samples = sorted([*self.samples, *other.samples])[:_SAMPLES]

    def count(self, kind: str) -> int:
        """Return the number of findings of a *kind*, such as `bad` or `duplicates`."""
        return self.counts.get(kind, 0)


def _larger(one: Sample | None, other: Sample | None, size: Callable[[str], int]) -> Sample | None:
    """Return the larger text; the earlier of equals."""
    samples = [sample for sample in (one, other) if sample is not None]
    return max(samples, key=lambda sample: (size(sample.text), -sample.line), default=None)


class Scale:
    """Adds the sizes of texts to an audit; equal texts in a row are measured once."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._last = ""
        self._parts = 0
        self._encoding = ""
        self._longest = 0
        self._most = 0

    def weigh(self, line: int, phone: Phone, text: str) -> None:
        """
        Count *text*.

        Raises:
            InputError: The text cannot be sent.
        """
        audit = self._audit
        if text != self._last or not self._parts:
            Message(sender="ACME", text=text)  # raises what is wrong with it
            self._last = text
            self._parts = count_parts(text)
            self._encoding = encoding_of(text).label
        audit.parts += self._parts
        audit.by_parts[self._parts] = audit.by_parts.get(self._parts, 0) + 1
        audit.by_encoding[self._encoding] = audit.by_encoding.get(self._encoding, 0) + 1
        if len(text) > self._longest:
            self._longest = len(text)
            audit.longest = Sample(line, phone, text)
        if self._parts > self._most:
            self._most = self._parts
            audit.costliest = Sample(line, phone, text)
        if len(audit.samples) < _SAMPLES:
            audit.samples.append(Sample(line, phone, text))


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


_EXCEL_DIGITS = 15  # Microsoft, "Excel specifications and limits": number precision; later digits become zeros
_DEVIATIONS = 3  # standard deviations, Poisson: chance alone exceeds them in one table of several hundred


class GivenIds:
    """
    The caller's ids in a table.

    Args:
        table: The table.
        place: The position of their column; None if there is none, or it is ignored.

    Raises:
        InputError: The column's type cannot hold ids.
    """

    def __init__(self, table: Table, place: int | None) -> None:
        read_exactly(table, place)
        self._table = table
        self._place = place

    def of(self, row: Row) -> ClientIdSms | None:
        """
        Return a row's id; None if it has none.

        Raises:
            InputError: The id is not usable, or may be rounded.
        """
        given = "" if self._place is None else row.cells[self._place].strip()
        return self._read(given) if given else None

    def _read(self, given: str) -> ClientIdSms:
        try:
            whole = whole_number(given)
        except InputError as exc:
            raise _bad(given, exc.sentence) from None
        client_id = check_client_id(whole)
        was_decimal = whole != given
        if (was_decimal and int(client_id) >= EXACT_FLOAT) or self._is_rounded(client_id):
            raise _bad(given, ROUNDED)
        return client_id

    def _is_rounded(self, client_id: ClientIdSms) -> bool:
        return _ends_as_excel_writes(client_id) and len(client_id) in self._rounded_lengths

    @cached_property
    def _rounded_lengths(self) -> frozenset[int]:
        """
        Lengths of ids that were rounded: half of them, or more than chance gives, end as Excel writes them.

        The table is read for this when the first id looks rounded.
        """
        rows = self._table.rows()
        cells = (row.cells[self._place].strip() for row in rows if self._place is not None)
        long = Counter((len(cell), _ends_as_excel_writes(cell)) for cell in cells if cell.isdecimal())
        lengths = {length for length, _ in long}
        return frozenset(length for length in lengths if _is_odd(length, long[length, True], long[length, False]))


def _is_odd(length: int, rounded: int, others: int) -> bool:
    """Return whether chance cannot explain *rounded* ids of a *length* beside so many *others*."""
    by_chance = (rounded + others) * 10.0 ** (_EXCEL_DIGITS - length)
    return rounded > 0 and (rounded >= others or rounded > by_chance + _DEVIATIONS * math.sqrt(by_chance))


def _ends_as_excel_writes(client_id: str) -> bool:
    return len(client_id) > _EXCEL_DIGITS and not client_id[_EXCEL_DIGITS:].strip("0")


def _bad(given: str, why: str | Sentence) -> InputError:
    sentence = Sentence("client_id_sms {id} cannot be used: {why}", id=Quote(shown(given)), why=why)
    return InputError(sentence, Reason.BAD_CLIENT_ID)
