"""The findings of a check: counts, lines, and the number of SMS that the texts take."""

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import msgspec

from webcom_async._domain.messages import Message
from webcom_async._domain.sentences import Sentence
from webcom_async._domain.types import Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async.segments import count_parts, encoding_of

__all__ = ["KEPT_FINDINGS", "Audit", "Finding", "Sample", "Scale", "Verdict"]

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


class Sample(NamedTuple):
    """A text as a recipient would receive it."""

    line: int
    phone: Phone
    text: str


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
