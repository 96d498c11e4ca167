"""What a table holds: counts, findings with their lines, and what the texts take in parts."""

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from webcom_async._domain.messages import Message
from webcom_async._domain.types import Phone
from webcom_async.segments import count_parts, encoding_of

__all__ = ["KEPT_FINDINGS", "Audit", "Finding", "Sample", "Scale", "Verdict"]

KEPT_FINDINGS = 1_000  # of a kind
_SAMPLES = 3


class Verdict(enum.IntEnum):
    """What becomes of a row."""

    SEND = 0  #: it is sent to
    BAD = 1  #: its phone or id cannot be used
    DUPLICATE = 2  #: it names someone who came before
    STOPPED = 3  #: its phone is on the stop list
    UNSAYABLE = 4  #: its text cannot be made
    UNLIKE = 5  #: its phone is unlike the others


class Finding(NamedTuple):
    """
    A row with something to say about it.

    Attributes:
        session: Where it begins.
        words: What is the matter; printable, and without a text.
    """

    line: int
    words: str


class Sample(NamedTuple):
    """A text as a recipient would get it."""

    line: int
    phone: Phone
    text: str


class Audit(msgspec.Struct):
    """
    What a table holds.

    Attributes:
        rows: All rows.
        sendable: Rows that would be sent to.
        bad: Rows without a usable phone or id; the first thousand of them.
        duplicates: Rows that name someone who came before; likewise.
        stopped: Rows on a stop list; likewise.
        unsayable: Rows whose text cannot be made; likewise. While there is one, nothing should be sent.
        guessed: Rows whose phone was changed by a rule, `8 9xx` to `7 9xx`; likewise. They are sent to.
        unlike: Rows whose phone has another length or first digit than nine in ten of the table have, as one with a
            digit too few has; or, if it is read without a region, ten digits that begin with 9 and no plus, as a
            Russian mobile without its 7 has; likewise. They are left out, unless they are included.
        counts: How many of each of these there are, by their names.
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

    def note(self, kind: str, line: int, words: str) -> None:
        """Count a finding, and keep it if there is room."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept: list[Finding] = getattr(self, kind)
        if len(kept) < KEPT_FINDINGS:
            kept.append(Finding(line, words))

    def extend(self, kind: str, found: Sequence[Finding], count: int) -> None:
        """Count findings of another reading of the same table, and keep the first of all."""
        if count:
            self.counts[kind] = self.count(kind) + count
            kept: list[Finding] = getattr(self, kind)
            kept[:] = sorted([*kept, *found])[:KEPT_FINDINGS]

    def add_sizes(self, other: "Audit") -> None:
        """Add what the texts of other rows of the same table take."""
        self.parts += other.parts
        self.by_parts = dict(Counter(self.by_parts) + Counter(other.by_parts))
        self.by_encoding = dict(Counter(self.by_encoding) + Counter(other.by_encoding))
        self.longest = _larger(self.longest, other.longest, len)
        self.costliest = _larger(self.costliest, other.costliest, count_parts)
        self.samples = sorted([*self.samples, *other.samples])[:_SAMPLES]

    def count(self, kind: str) -> int:
        """Return how many findings of a *kind* there are, such as `bad` or `duplicates`."""
        return self.counts.get(kind, 0)


def _larger(one: Sample | None, other: Sample | None, size: Callable[[str], int]) -> Sample | None:
    """Return the sample with the larger text, the earlier of two that are alike."""
    samples = [sample for sample in (one, other) if sample is not None]
    return max(samples, key=lambda sample: (size(sample.text), -sample.line), default=None)


class Scale:
    """Weighs texts into an audit; equal texts that follow each other are counted once."""

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
            InputError: It cannot be sent.
        """
        audit = self._audit
        if text != self._last or not self._parts:
            Message(sender="ACME", text=text)  # says what is wrong with it
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
