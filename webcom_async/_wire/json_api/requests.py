"""Build the requests of the JSON interface: credentials enter the body here."""

import msgspec

from webcom_async._domain.credentials import Credentials
from webcom_async._domain.exchange import Request
from webcom_async._domain.options import Options
from webcom_async._wire.base import CONTENT_TYPE, encoder

__all__ = ["HEADERS", "page_url", "send_request"]

HEADERS = {"content-type": CONTENT_TYPE}


def send_request(encoded: bytes, credentials: Credentials, options: Options) -> Request:
    """Return the request that sends *encoded*, the array `message`."""
    # No local variable holds the body: a traceback with local variables would show the credentials.
    return Request(
        "POST", options.url, HEADERS, encoder.encode(credentials.reveal() | {"message": msgspec.Raw(encoded)})
    )


def page_url(options: Options, page: str) -> str:
    return f"{options.url.rstrip('/')}/{page}"
