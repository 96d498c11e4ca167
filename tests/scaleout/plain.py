"""`python -m tests.scaleout.plain`: the plain client with a journal in a file, in a process that is measured."""

import sys

import anyio

from tests.scaleout.stage import FIRST_PHONE
from webcom_async import WebcomClient

__all__: list[str] = []


async def send(recipients: int, journal: str) -> None:
    """Send the campaign to the gateway that the environment names."""
    phones = (FIRST_PHONE + number for number in range(recipients))
    async with WebcomClient.from_env() as client:
        await client.send_all(phones, text="Sale!", sender="ACME", campaign="plain", journal=journal)


if __name__ == "__main__":
    anyio.run(send, int(sys.argv[1]), sys.argv[2])
