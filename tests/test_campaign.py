"""A campaign, from `client.stream` to the last result."""

import pytest

from tests.builders import phones
from tests.conftest import Connect
from webcom_async import Outcome
from webcom_async.emulator import Gateway

pytestmark = pytest.mark.anyio


async def test_everyone_gets_exactly_one_result(connect: Connect, webcom_gateway: Gateway):
    """A campaign of many batches gives one result per recipient, and the ledger agrees with each of them."""
    async with (
        connect(webcom_gateway, batch_size=7) as client,
        client.stream(phones(100), text="Sale!", sender="ACME") as results,
    ):
        seen = [result async for result in results]

    assert sorted(phones(100)) == sorted(result.phone for result in seen)
    assert {Outcome.ACCEPTED} == {result.outcome for result in seen}
    assert webcom_gateway.ledger.ids() == {result.client_id_sms: result.id_sms for result in seen}
    assert 15 == webcom_gateway.requests == results.report.requests
