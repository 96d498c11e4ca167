"""Whose account a command uses, and where the gateway is."""

import os
from collections.abc import Callable
from pathlib import Path

from webcom_async.client import WebcomClient
from webcom_async.credentials import Credentials
from webcom_async.options import OptionFields

__all__ = ["client_maker"]


def client_maker(credentials: Path | None, base_url: str | None, options: OptionFields) -> Callable[[], WebcomClient]:
    """
    Return what makes the client: of a file of credentials, or of the environment.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    if base_url is not None or os.environ.get("WEBCOM_BASE_URL"):
        options["base_url"] = base_url or os.environ["WEBCOM_BASE_URL"]
    if credentials is None:
        return lambda: WebcomClient.from_env(**options)
    known = Credentials.from_file(credentials)
    return lambda: WebcomClient(credentials=known, **options)
