"""The `messages` table of a SQLite journal."""

from collections.abc import Sequence
from typing import Any, Protocol

from webcom_async._storage.contracts import digest
from webcom_async._storage.rows import array
from webcom_async._storage.sqlite import journal_sql as _sql

__all__ = ["Statements", "number_messages"]


class Statements(Protocol):
    """Runs the statements of `journal_sql`."""

    def fetch(self, statement: str, *parameters: object) -> list[Any]: ...

    def change(self, statement: str, *parameters: object) -> int:
        """Return how many rows changed."""
        ...


def number_messages(file: Statements, contents: Sequence[bytes]) -> list[int]:
    """Store messages that are new to the file."""
    digests = [digest(content) for content in contents]
    # A dict, because a batch may have a message twice.
    file.change(_sql.ADD_MESSAGES, array(dict(zip(digests, map(bytes.decode, contents), strict=True)).items()))
    numbers: dict[str, int] = dict(file.fetch(_sql.FIND_MESSAGES, array(digests)))
    return [numbers[digest] for digest in digests]
