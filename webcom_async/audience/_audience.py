"""The people in a table, checked, then yielded."""

from array import array
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from webcom_async._domain.client_ids import IdScheme
from webcom_async._domain.errors import InputError
from webcom_async._domain.messages import Recipient
from webcom_async._domain.phones import is_home_form, normalise_phone, shown
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import Outcome, SendResult
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience._audit import Audit, Verdict
from webcom_async.audience._columns import ColumnNames, Unused, find_places, unused_of
from webcom_async.audience._ids import GivenIds
from webcom_async.audience._shapes import HOME_FORM, AlikeRows, Shapes, shape_of, why_unlike
from webcom_async.audience._stop_list import StopList
from webcom_async.audience.templates import Template
from webcom_async.files import Row, Table, open_table

__all__ = ["Audience", "Person"]

_TOLD_EVERY = 10_000  # rows
_CHOSEN_ID = 1 << 63  # tells a caller's own ids from phones
_NO_ID = ClientIdSms("")


class Person(NamedTuple):
    """
    A row, and what is to become of it.

    Attributes:
        row: The row.
        recipient: To whom; None if nothing is sent.
        skipped: What becomes of it instead; None if it is sent to.
    """

    row: Row
    recipient: Recipient | None
    skipped: SendResult | None


class Audience:
    """
    The people in a table, and their texts.

    Args:
        table: The table, or its path.
        text: What everyone is told who has no text of their own: plain, or with columns in braces. None if everyone
            has one.
        columns: Which columns mean what.
        normalise: How a phone is read; the library's own strict way if left out.
            `webcom_async.audience.phonebook.PhoneBook` knows other countries'.
        stopped: Phones that must not get anything.
        use_ids: Use the ids of a file of results too. They are of an earlier campaign: the gateway sends nothing more
            under those of accepted recipients.
        include_unlike: Send to phones that are unlike the others, too; see `Audit.unlike`.

    Attributes:
        table: The table.
        unused: Columns of a file of results that are not used: that of its ids, unless they are asked for, and that of
            its texts, if there is a text for everyone. `columns` asks for either.
        include_unlike: Whether phones that are unlike the others are sent to.
        verdicts: A byte for each row, after `check`: its `Verdict`.
        common_text: The text of everyone who has none of their own; None if that is not one and the same.

    Raises:
        InputError: There is no column of phones, a column that is named is not there, or nobody has a text.
    """

    def __init__(
        self,
        table: Table | str | Path,
        text: str | None = None,
        *,
        columns: ColumnNames | None = None,
        normalise: Callable[[str], Phone] = normalise_phone,
        stopped: StopList | None = None,
        use_ids: bool = False,
        include_unlike: bool = False,
    ) -> None:
        self.table: Table = open_table(table) if isinstance(table, str | Path) else table
        self.verdicts: bytearray = bytearray()
        self.include_unlike: bool = include_unlike
        self._normalise = normalise
        self._has_home_forms = normalise is normalise_phone
        self._stopped = stopped or StopList()
        names = columns or ColumnNames()
        places = find_places(self.table, names)
        self.unused: dict[Unused, str] = unused_of(
            self.table, names, places, has_text=text is not None, use_ids=use_ids
        )
        self._places = places.without(self.unused)
        self._given_ids = GivenIds(self.table, self._places.client_id_sms)
        self._template = None if text is None else Template(text).bind(self.table.columns)
        constant = self._template is not None and self._template.is_constant
        self.common_text: str | None = self._template.render(()) if self._template and constant else None
        self._ids = IdScheme("an audience's keys")
        if self._template is None and self._places.text is None:
            raise InputError(f"no text: give one for everyone, or a column 'text' in {self.table.path}")

    @property
    def ids_column(self) -> str | None:
        """The column whose ids are used; None if ids are derived."""
        place = self._places.client_id_sms
        return None if place is None else self.table.columns[place]

    def check(self, progress: Callable[[int], object] = lambda _: None) -> Audit:
        """
        Read the table to its end, and return what is in it.

        Memory: a compact map of the phones while this runs, 34 MB for a million of them, and five bytes a row after it.

        Args:
            progress: Told the number of rows now and then.

        Raises:
            InputError: The table cannot be read to its end.
        """
        inspection = _Inspection(self)
        judged = bytearray()
        checks = array("I")
        for row in self.table.rows():
            judged.append(inspection.judge(row))
            checks.append(_check_of(row))
            if not len(judged) % _TOLD_EVERY:
                progress(len(judged))
        self.verdicts = inspection.shapes.conclude(judged)
        self._checks = checks
        inspection.audit.rows = len(self.verdicts)
        inspection.audit.sendable = self.verdicts.count(Verdict.SEND)
        return inspection.audit

    def people(self) -> Iterator[Person]:
        """
        Yield everyone, in the table's order, as `check` has judged them; it is called first, if it was not.

        Raises:
            InputError: The table is not what it was when it was checked.
        """
        if not self.verdicts:
            self.check()
        number = 0
        judged = chain(zip(self.verdicts, self._checks, strict=True), repeat((None, None)))
        for row, (verdict, check) in zip(self.table.rows(), judged, strict=False):
            number += 1
            if check != _check_of(row):
                raise self._changed()
            try:
                skipped = self._skipped(row, verdict) if verdict else None
                yield Person(row, None if verdict else self.recipient(row), skipped)
            except InputError:
                raise self._changed() from None
        if number != len(self.verdicts):
            raise self._changed()

    def recipients(self) -> Iterator[Recipient]:
        """Yield whoever can be sent to, in the table's order; see `people`."""
        return (person.recipient for person in self.people() if person.recipient is not None)

    def recipient(self, row: Row) -> Recipient:
        """
        Return a row's recipient.

        Raises:
            InputError: Its phone or id cannot be used, or its text cannot be made.
        """
        text = None if self.common_text is not None and not _cell(row, self._places.text) else self.text_of(row)
        return Recipient(self.phone_of(row), self._given_ids.of(row), _cell(row, self._places.key), text)

    def phone_of(self, row: Row) -> Phone:
        """
        Return a row's phone.

        Raises:
            InputError: It has none that can be used.
        """
        return self._normalise(self.raw_phone(row))

    def text_of(self, row: Row) -> str:
        """
        Return a row's text: its own, or the common one with its cells in it.

        Raises:
            InputError: It has none, or a cell that it needs is empty.
        """
        own = _cell(row, self._places.text)
        if own:
            return own
        if self._template is None:
            raise InputError("its text is empty, and there is none for everyone", Reason.NO_TEXT)
        return self._template.render(row.cells)

    def identity(self, row: Row, phone: Phone) -> int:
        """
        Return a number that two rows share if one is the other's duplicate.

        Raises:
            InputError: Its id cannot be used.
        """
        given = self._given_ids.of(row)
        if given is not None:
            return int(given) | _CHOSEN_ID
        key = _cell(row, self._places.key)
        return int(self._ids.derive(phone, key)) if key else int(phone)

    def is_stopped(self, phone: Phone) -> bool:
        """Whether *phone* is on the stop list."""
        return phone in self._stopped

    def raw_phone(self, row: Row) -> str:
        """Return a row's phone as it is written."""
        return row.cells[self._places.phone].strip()

    def shape_of(self, row: Row, phone: Phone) -> int:
        """Return the shape of a row's phone; of home forms only if no region or other reader knows better."""
        if self._has_home_forms and is_home_form(self.raw_phone(row), phone):
            return HOME_FORM
        return shape_of(phone)

    def _skipped(self, row: Row, verdict: int | None) -> SendResult:
        """Return the result of a row that is not sent to."""
        phone = Phone(printable(self.raw_phone(row)))
        try:
            phone = self.phone_of(row)
            self.identity(row, phone)
            self.text_of(row)
        except InputError as exc:
            return _not_sent(phone, exc.reason, str(exc))
        if self.is_stopped(phone):
            return _not_sent(phone, Reason.STOP_LIST, "it is on the stop list")
        if verdict == Verdict.UNLIKE:
            return _not_sent(phone, Reason.UNLIKE_PHONE, why_unlike(phone, self.shape_of(row, phone)))
        return _not_sent(phone, Reason.DUPLICATE, "it stands in the file already")

    def _changed(self) -> InputError:
        return InputError(f"{self.table.path}: it was changed since it was checked; run the same command again")


class _Inspection:
    """One reading of a table: what was seen, and what there is to say."""

    def __init__(self, audience: Audience) -> None:
        self.audit = Audit()
        self.shapes = Shapes(self.audit, include_unlike=audience.include_unlike)
        self._audience = audience

    def judge(self, row: Row) -> int:
        """Note what there is to say about *row*, and return its byte for `Shapes.conclude`."""
        audience, note = self._audience, self.audit.note
        try:
            phone = audience.phone_of(row)
            identity = audience.identity(row, phone)
        except InputError as exc:
            note("bad", row.line, printable(str(exc)))
            return Verdict.BAD
        if audience.is_stopped(phone):
            note("stopped", row.line, f"{phone} is on the stop list")
            return Verdict.STOPPED
        try:
            text = audience.text_of(row)
        except InputError as exc:
            if identity in self.shapes:
                return self.shapes.repeat(row.line, phone, identity)
            note("unsayable", row.line, printable(str(exc)))
            return Verdict.UNSAYABLE  # not seen: a later row of the same phone may have a text
        shape = audience.shape_of(row, phone)
        if shape == HOME_FORM and not audience.include_unlike and identity not in self.shapes:
            note("unlike", row.line, why_unlike(phone, shape))
            return Verdict.UNLIKE  # not seen: a later row of the same phone may have a plus
        byte, rows = self.shapes.see(row.line, phone, identity, shape)
        return byte if rows is None or self._note(row, phone, text, rows) else Verdict.UNSAYABLE

    def _note(self, row: Row, phone: Phone, text: str, rows: AlikeRows) -> bool:
        """Note what there is to say about a row that may be sent to; return whether its text can be sent."""
        try:
            rows.scale.weigh(row.line, phone, text)
        except InputError as exc:
            self.audit.note("unsayable", row.line, printable(str(exc)))
            return False
        rows.see(row.line, phone)
        raw = self._audience.raw_phone(row)
        if raw != phone and _is_guess(raw, phone):
            rows.audit.note("guessed", row.line, f"{printable(shown(raw))} was taken for {phone}")
        return True


def _check_of(row: Row) -> int:
    """Return a number that tells a row from another one in its place."""
    return crc32("\x1f".join(row.cells).encode(errors="surrogatepass"), row.line)


def _not_sent(phone: Phone, reason: Reason, error: str) -> SendResult:
    return SendResult(_NO_ID, phone, Outcome.NOT_SENT, None, reason, error)


def _cell(row: Row, place: int | None) -> str:
    """Return a cell without the blanks around it; empty if it is not there."""
    return "" if place is None else row.cells[place].strip()


def _is_guess(raw: str, phone: Phone) -> bool:
    """Whether a rule, and not just the writing, was applied."""
    return "".join(filter(str.isdigit, raw)) != phone
