"""The pytest fixture `webcom_gateway`; pytest finds it once the package is installed."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from webcom_async.emulator import Gateway

__all__ = ["webcom_gateway"]


@pytest.fixture
def webcom_gateway() -> "Gateway":
    """
    Return an emulated gateway with one account and no messages.

    Give a client `token=webcom_gateway.token` and `transport=GatewayTransport(webcom_gateway)`.
    """
    from webcom_async.emulator import Gateway  # noqa: PLC0415 - every run of pytest loads this file

    return Gateway()
