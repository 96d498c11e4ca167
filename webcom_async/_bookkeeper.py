"""
The books of a campaign with a journal: from the event loop, one hop to a worker thread per batch, one call at a time.

Which campaign is written into which file is decided by the caller; what the rows say is the journal's business.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Self

from anyio.to_thread import run_sync

from webcom_async._books import Reserved
from webcom_async._held import Held
from webcom_async._reasons import Reason
from webcom_async._wire import Addressed, WirePhone
from webcom_async.journal import CampaignHeader, Journal, fingerprint, has_begun, stored_campaign
from webcom_async.models import Message, SendResult

__all__ = ["Bookkeeper", "header_of", "stored_header"]

StrPath = str | os.PathLike[str]

_PAGE = 500  # recipients per hop


class Bookkeeper:
    """The books of a campaign with a journal."""

    def __init__(self, held: Held[Journal]) -> None:
        self._held = held

    @classmethod
    async def open(
        cls,
        path: StrPath,
        header: CampaignHeader,
        now: Callable[[], datetime],
        *,
        resend_rejected: Iterable[Reason] = (),
        against_first_run: Exception | None = None,
    ) -> Self:
        """
        Open the journal of a campaign; its header is on the disk when this returns.

        Args:
            path: The file.
            header: Which campaign.
            now: The time.
            resend_rejected: See `Journal`.
            against_first_run: Raised unless the campaign has recipients already.

        Raises:
            JournalError: It cannot be used for this campaign.
        """

        def open_journal() -> Journal:
            if against_first_run is not None and not has_begun(path, header.campaign):
                raise against_first_run
            return Journal(path, header, now=now, resend_rejected=resend_rejected)

        return cls(await Held[Journal].open(open_journal))

    async def reserve(self, addressed: list[Addressed]) -> Reserved:
        """See `Journal.reserve`."""
        return await self._held.call(lambda journal: journal.reserve(addressed))

    async def settle(self, results: list[SendResult], reserved: Reserved) -> list[SendResult]:
        """See `Journal.settle`. What became of them is written down even if the caller is being cancelled."""
        return await self._held.call(lambda journal: journal.settle(results, reserved), shielded=True)

    async def recall(self, results: Sequence[SendResult]) -> list[SendResult]:
        """See `Journal.recall`. It is looked up even if the caller is being cancelled."""
        return await self._held.call(lambda journal: journal.recall(results), shielded=True)

    async def unsettled(self) -> AsyncGenerator[tuple[Message, WirePhone], None]:
        """See `Journal.unsettled`; those who are settled on the way do not come again."""
        rows = await self._held.call(lambda journal: journal.unsettled())
        while page := await self._held.call(lambda _: list(islice(rows, _PAGE))):
            for row in page:
                yield row

    async def aclose(self) -> None:
        """Close the file, and let others open it."""
        await self._held.aclose()


def header_of(campaign: str, id_bits: int, message: Message | None, sender: str | None) -> CampaignHeader:
    """Return what may not change between two runs of a campaign whose call says *message* and *sender*."""
    return CampaignHeader(campaign=campaign, id_bits=id_bits, fingerprint=fingerprint(message, sender))


async def stored_header(path: StrPath, campaign: str) -> CampaignHeader:
    """
    Return the header of a campaign that a file holds.

    Raises:
        JournalError: The file cannot be used, or holds no such campaign.
    """
    return (await run_sync(stored_campaign, path, campaign)).header
