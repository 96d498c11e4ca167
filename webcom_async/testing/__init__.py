"""
Checks for your own test suite: what the library requires of a transport that you provide.

A transport sends a request once, and records its progress on a `RequestTrace`. `TRANSPORT_CHECKS` holds one check per
requirement, each with a small server of its own on this machine:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", TRANSPORT_CHECKS, ids=str)
    async def test_my_transport(check: TransportCheck):
        await check(MyTransport)
"""

from webcom_async.testing._transport_checks import TRANSPORT_CHECKS, TransportCheck

__all__ = ["TRANSPORT_CHECKS", "TransportCheck"]
