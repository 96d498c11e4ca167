"""Check the rows of a table, then yield them as recipients."""

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
from webcom_async._domain.sentences import Sentence
from webcom_async._domain.types import ClientIdSms, Phone
from webcom_async._domain.untrusted_text import printable
from webcom_async.audience._audit import HOME_FORM, AlikeRows, Audit, GivenIds, Shapes, Verdict, shape_of, why_unlike
from webcom_async.audience._columns import ColumnNames, Unused, find_places, need, unused_of
from webcom_async.audience._stop_list import StopList
from webcom_async.audience.templates import Template
from webcom_async.files import Row, Table, open_table

__all__ = ["Audience", "Person"]

_TOLD_EVERY = 10_000  # rows
_CHOSEN_ID = 1 << 63  # tells a caller's own ids from phones
_NO_ID = ClientIdSms("")


class Person(NamedTuple):
    """
    A row, and its recipient or the reason why nothing is sent to it.

    Attributes:
        row: The row of the table.
        recipient: The recipient; None if the row is skipped.
        skipped: The result that says why the row is skipped; None if it is sent.
    """

    row: Row
    recipient: Recipient | None
    skipped: SendResult | None


class Audience:
    """
    The recipients in a table, and their texts.

    Args:
        table: A table, or the path of one.
        text: The text for rows without one of their own: plain, or a template with column names in braces. None if
            every row has a text.
        columns: The columns' names; found by their usual names by default.
        normalise: The function that reads a phone; strict by default. `webcom_async.audience.phonebook.PhoneBook` has
            one that knows the local forms of a country.
        stopped: Phones that nothing is sent to.
        use_ids: Whether to use the ids in a file of results. They belong to an earlier campaign: the gateway sends
            nothing more under the ids of accepted recipients.
        include_unlike: Whether to send to phones that are unlike the others; see `Audit.unlike`.

    Attributes:
        table: The table.
        unused: The columns of a file of results that are ignored: its ids, unless `use_ids` is set, and its texts, if
            *text* is given. Name a column in `columns` to use it.
        include_unlike: Whether to send to phones that are unlike the others.
        verdicts: A `Verdict` for each row, one byte each, after `check`.
        common_text: The text of all rows without one of their own; None if it differs from row to row.

    Raises:
        InputError: The table has no column of phones, lacks a named column, or has no texts while *text* is None.
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
        need(self.table, self._places, self._template.columns if self._template else ())
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
        Return what is in the whole table. Blocks for about 15 s per million rows: in an event loop, await `acheck`.

        Memory: a compact map of the phones while this runs, 34 MB for a million of them, and five bytes a row
        afterwards.

        Args:
            progress: A function that gets the number of rows read, every 10,000 rows.

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

    async def acheck(self, progress: Callable[[int], object] = lambda _: None) -> Audit:
        """
        Do the same as `check`, in a thread, while the event loop runs on.

        A cancellation takes effect when the thread has read its next 10,000 rows.

        Args:
            progress: A function that gets the number of rows read, every 10,000 rows; called in the thread.

        Raises:
            InputError: The table cannot be read to its end.
        """
        from anyio import from_thread, to_thread  # noqa: PLC0415 - most audiences are checked without an event loop

        def check_progress(rows: int) -> None:
            from_thread.check_cancelled()
            progress(rows)

        return await to_thread.run_sync(self.check, check_progress)

    def people(self) -> Iterator[Person]:
        """
        Yield every row in the table's order with its verdict; calls `check`, which blocks, first if needed.

        Raises:
            InputError: The table has changed since it was checked.
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
        """Yield the recipients that can be sent to, in the table's order."""
        return (person.recipient for person in self.people() if person.recipient is not None)

    def recipient(self, row: Row) -> Recipient:
        """
        Return a row's recipient.

        Raises:
            InputError: The row's phone or id cannot be used, or its text cannot be rendered.
        """
        text = None if self.common_text is not None and not _cell(row, self._places.text) else self.text_of(row)
        return Recipient(self.phone_of(row), self._given_ids.of(row), _cell(row, self._places.key), text)

    def phone_of(self, row: Row) -> Phone:
        """
        Return a row's phone.

        Raises:
            InputError: The row has no usable phone.
        """
        return self._normalise(self.raw_phone(row))

    def text_of(self, row: Row) -> str:
        """
        Return a row's text: its own, or the common one with the row's cells filled in.

        Raises:
            InputError: The row has no text, or a cell that its text needs is empty.
        """
        own = _cell(row, self._places.text)
        if own:
            return own
        if self._template is None:
            raise InputError(Sentence("its text is empty, and there is none for everyone"), Reason.NO_TEXT)
        return self._template.render(row.cells)

    def identity(self, row: Row, phone: Phone) -> int:
        """
        Return a number that is equal for two rows if one duplicates the other.

        Raises:
            InputError: The row's id cannot be used.
        """
        given = self._given_ids.of(row)
        if given is not None:
            return int(given) | _CHOSEN_ID
        key = _cell(row, self._places.key)
        return int(self._ids.derive(phone, key)) if key else int(phone)

    def is_stopped(self, phone: Phone) -> bool:
        return phone in self._stopped

    def raw_phone(self, row: Row) -> str:
        return row.cells[self._places.phone].strip()

    def shape_of(self, row: Row, phone: Phone) -> int:
        """Return the shape of a row's phone; `HOME_FORM` only for the strict reader, which has no country."""
        if self._has_home_forms and is_home_form(self.raw_phone(row), phone):
            return HOME_FORM
        return shape_of(phone)

    def _skipped(self, row: Row, verdict: int | None) -> SendResult:
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
            return _not_sent(phone, Reason.UNLIKE_PHONE, str(why_unlike(phone, self.shape_of(row, phone))))
        return _not_sent(phone, Reason.DUPLICATE, "it is in the file already")

    def _changed(self) -> InputError:
        return InputError(f"{self.table.path}: it was changed since it was checked; run the same command again")


class _Inspection:
    """One pass over a table that collects an `Audit`."""

    def __init__(self, audience: Audience) -> None:
        self.audit = Audit()
        self.shapes = Shapes(self.audit, include_unlike=audience.include_unlike)
        self._audience = audience

    def judge(self, row: Row) -> int:
        """Record the findings of *row*, and return its byte for `Shapes.conclude`."""
        audience, note = self._audience, self.audit.note
        try:
            phone = audience.phone_of(row)
            identity = audience.identity(row, phone)
        except InputError as exc:
            note("bad", row.line, exc.sentence)
            return Verdict.BAD
        if audience.is_stopped(phone):
            note("stopped", row.line, Sentence("{phone} is on the stop list", phone=phone))
            return Verdict.STOPPED
        try:
            text = audience.text_of(row)
        except InputError as exc:
            if identity in self.shapes:
                return self.shapes.repeat(row.line, phone, identity)
            note("unsayable", row.line, exc.sentence)
            return Verdict.UNSAYABLE  # not marked as seen: a later row may have a text
        shape = audience.shape_of(row, phone)
        if shape == HOME_FORM and not audience.include_unlike and identity not in self.shapes:
            note("unlike", row.line, why_unlike(phone, shape))
            return Verdict.UNLIKE  # not marked as seen: a later row may have a plus
        byte, rows = self.shapes.see(row.line, phone, identity, shape)
        return byte if rows is None or self._note(row, phone, text, rows) else Verdict.UNSAYABLE

    def _note(self, row: Row, phone: Phone, text: str, rows: AlikeRows) -> bool:
        """Record the findings of a row that may be sent; return whether its text is valid."""
        try:
            rows.scale.weigh(row.line, phone, text)
        except InputError as exc:
            self.audit.note("unsayable", row.line, exc.sentence)
            return False
        rows.see(row.line, phone)
        raw = self._audience.raw_phone(row)
        if raw != phone and _is_guess(raw, phone):
            words = Sentence("{written} was taken for {phone}", written=printable(shown(raw)), phone=phone)
            rows.audit.note("guessed", row.line, words)
        return True


def _check_of(row: Row) -> int:
    """Return a checksum that shows whether another row has taken a row's place."""
    return crc32("\x1f".join(row.cells).encode(errors="surrogatepass"), row.line)


def _not_sent(phone: Phone, reason: Reason, error: str) -> SendResult:
    return SendResult(_NO_ID, phone, Outcome.NOT_SENT, None, reason, error)


def _cell(row: Row, place: int | None) -> str:
    return "" if place is None else row.cells[place].strip()


def _is_guess(raw: str, phone: Phone) -> bool:
    """Return whether a rule changed the digits, not just the separators."""
    return "".join(filter(str.isdigit, raw)) != phone
