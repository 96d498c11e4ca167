"""
What holds for every part that you can bring yourself, as checks for your own test suite.

A transport sends a request once and tells a `RequestTrace` how far it has come. `TRANSPORT_CHECKS` are what that means,
each over a small server of its own on this machine:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", TRANSPORT_CHECKS, ids=str)
    async def test_my_transport(check: TransportCheck):
        await check(MyTransport)
"""

from webcom_async.testing._transport_checks import TRANSPORT_CHECKS, TransportCheck

__all__ = ["TRANSPORT_CHECKS", "TransportCheck"]
