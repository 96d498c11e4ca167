"""
Recipients from a CSV file, and results into one.

The file is read twice: once to find out, before anything is sent, whether it can be read to its end; once to send.
"""

import csv
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec

from webcom_async._phones import normalise_phone
from webcom_async._untrusted import csv_cell
from webcom_async.errors import InputError
from webcom_async.models import Message, Recipient, SendResult

__all__ = ["RecipientsFile", "ResultsFile", "results_file"]

_DELIMITERS = ",;\t"
_ENCODING = "utf-8-sig"  # with or without a byte order mark
_RESULT_COLUMNS = ("phone", "client_id_sms", "outcome", "id_sms", "reason", "error", "attempts")


class _Layout(NamedTuple):
    """Where things stand in a file. A column that is not there is None."""

    delimiter: str
    columns: int
    header: bool
    phone: int
    client_id_sms: int | None = None
    key: int | None = None
    text: int | None = None


class RecipientsFile:
    """
    A CSV file of recipients: comma, semicolon or tab; UTF-8.

    A column `phone` is needed; `client_id_sms`, `key` and `text` are used if they are there. A file without a header
    is taken for a list of phones if its first cell is one.

    Args:
        path: The file.
        phone_column: The name of the phones' column.

    Attributes:
        count: Recipients in it.
        has_text: Whether it has a column of texts.

    Raises:
        InputError: It cannot be read, is not UTF-8, or has no phones.
    """

    def __init__(self, path: Path, phone_column: str = "phone") -> None:
        self._path = path
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a regular file; it is read twice, so a pipe will not do")
        try:
            self._layout = self._find_layout(phone_column)
            self.has_text = self._layout.text is not None
            self.count = sum(1 for _ in self.recipients())
        except OSError as exc:
            raise InputError(f"{path}: {exc.strerror}") from None
        except UnicodeDecodeError as exc:
            raise InputError(f"{path}: not UTF-8 at byte {exc.start}; save it as UTF-8") from None
        except csv.Error as exc:
            raise InputError(f"{path}: not CSV: {exc}") from None
        if not self.count:
            raise InputError(f"{path}: no recipients in it")

    def recipients(self, like: Message | None = None) -> Iterator[Recipient]:
        """Yield the recipients, in order; a text of their own is said as *like* says its own. No blank lines."""
        layout = self._layout
        with self._path.open(encoding=_ENCODING, newline="") as file:
            rows = csv.reader(file, delimiter=layout.delimiter, strict=True)
            if layout.header:
                next(rows)
            for row in rows:
                if len(row) > layout.columns and any(cell.strip() for cell in row[layout.columns :]):
                    raise InputError(
                        f"{self._path}, line {rows.line_num}: {len(row)} cells under {layout.columns} columns; "
                        f"put a text that holds {layout.delimiter!r} in double quotes"
                    )
                if any(cell.strip() for cell in row):
                    text = _cell(row, layout.text)
                    yield Recipient(
                        _cell(row, layout.phone) or "",
                        _cell(row, layout.client_id_sms),
                        _cell(row, layout.key) or "",
                        text if like is None else None,
                        None if like is None or text is None else msgspec.structs.replace(like, text=text),
                    )

    def _find_layout(self, phone_column: str) -> _Layout:
        with self._path.open(encoding=_ENCODING, newline="") as file:
            first = file.readline()
        delimiter = max(_DELIMITERS, key=first.count)
        names = [name.strip().casefold() for name in next(csv.reader([first or "\n"], delimiter=delimiter))]
        if phone_column.casefold() in names:
            places = {name: names.index(name) for name in ("client_id_sms", "key", "text") if name in names}
            return _Layout(delimiter, len(names), header=True, phone=names.index(phone_column.casefold()), **places)
        if len(names) == 1 and _is_phone(names[0]):
            return _Layout(delimiter, columns=1, header=False, phone=0)
        if any(_is_phone(name) for name in names):
            raise InputError(f"{self._path}: no header; name its columns in a first line, such as: phone,text")
        if not any(names):
            raise InputError(f"{self._path}: its first line is empty")
        raise InputError(
            f"{self._path}: no column {phone_column!r}; its first line has: {', '.join(names)}. "
            "Name the phones' column with --phone-column"
        )


class ResultsFile:
    """Results as a CSV file, written as they come."""

    def __init__(self, path: Path, opened: ExitStack, *, replace: bool) -> None:
        self._path = path
        self._opened = opened
        self._file: TextIO | None = None
        if not (replace and _holds_results(path)):
            self._open()

    def _open(self) -> TextIO:
        self._file = self._opened.enter_context(self._path.open("x", encoding="utf-8", newline=""))
        csv.writer(self._file).writerow(_RESULT_COLUMNS)
        return self._file

    def write(self, results: list[SendResult]) -> None:
        """Append *results*; they are in the file when this returns. The first ones put an earlier run's file aside."""
        file = self._file
        if file is None:
            _put_aside(self._path)
            file = self._open()
        csv.writer(file).writerows(
            (
                csv_cell(result.phone),
                csv_cell(result.client_id_sms),
                result.outcome.value,
                csv_cell(result.id_sms or ""),
                result.reason.value,
                csv_cell(result.error),
                result.attempts,
            )
            for result in results
        )
        file.flush()


@contextmanager
def results_file(path: Path | None, *, replace: bool) -> Generator[ResultsFile | None, None, None]:
    """
    Open a new file for results, or none if *path* is None.

    Args:
        path: Where.
        replace: Whether a file of results is put aside for this one, as `NAME.1`, `NAME.2`, …, once results come: with
            a journal everybody's result comes again.

    Raises:
        InputError: It exists already and is not to be replaced, or cannot be made.
    """
    if path is None:
        yield None
        return
    with ExitStack() as opened:
        try:
            file = ResultsFile(path, opened, replace=replace)
        except FileExistsError:
            raise InputError(f"{path}: exists already, and is not overwritten; name a new file") from None
        except OSError as exc:
            raise InputError(f"{path}: {exc.strerror}") from None
        yield file


def _put_aside(path: Path) -> None:
    """Give the file another name, one that is free."""
    names = (path.with_name(f"{path.name}.{number}") for number in count(1))
    path.rename(next(name for name in names if not name.exists()))


def _holds_results(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), None) == list(_RESULT_COLUMNS)
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def _cell(row: list[str], place: int | None) -> str | None:
    """Return a cell without the blanks around it; None for one that is empty or not there."""
    return row[place].strip() or None if place is not None and place < len(row) else None


def _is_phone(text: str) -> bool:
    try:
        normalise_phone(text)
    except InputError:
        return False
    return True
