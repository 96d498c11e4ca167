"""Builders for tests of packages that write requests."""

from datetime import UTC

from webcom_async import Credentials, Options, Request
from webcom_async._wire.json_api.send import JsonFormat

FORMAT = JsonFormat(UTC)


def request_of(messages: bytes = b"[]", url: str = "http://127.0.0.1", **credentials: str) -> Request:
    """Return the request that sends *messages* to `/json` of *url*, with the token `dummy` if no other is given."""
    return FORMAT.request(messages, Credentials(**(credentials or {"token": "dummy"})), Options(base_url=url))
