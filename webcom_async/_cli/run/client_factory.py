"""From options to the client that sends."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import anyio

from webcom_async._cli.options import AccountOptions
from webcom_async._cli.ui.console import show_error
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.credentials import Credentials, is_shared
from webcom_async._domain.delivery import Balance
from webcom_async._domain.errors import ConfigurationError
from webcom_async._domain.given import variable
from webcom_async._domain.options import OptionFields, Options
from webcom_async.client import WebcomClient
from webcom_async.doctor import Capabilities
from webcom_async.events import Observer

__all__ = ["ask_balance", "client_maker", "credentials_in", "has_credentials", "settings_of"]


def settings_of(account: AccountOptions, patience: float | None = None) -> OptionFields:
    """Return the client's settings; *patience* is that of a command that sends a campaign."""
    settings: OptionFields = {
        "patience": patience,
        "in_flight": account.in_flight,
        "batch_size": account.batch_size,
        "rate": account.rate,
        "timeout": account.timeout,
        "max_parts": None,  # it shows the parts, asks, and has --max-cost
    }
    base_url = variable(os.environ, "WEBCOM_BASE_URL") if account.base_url is None else account.base_url
    if base_url is not None:
        settings["base_url"] = base_url
    if account.capabilities is not None:
        _suit(settings, Capabilities.from_file(account.capabilities))
    return settings


def client_maker(
    account: AccountOptions, settings: OptionFields, *, dry_run: bool = False, observers: Sequence[Observer] = ()
) -> Callable[[], WebcomClient]:
    """Credentials are read now, unless nothing will be sent."""
    if account.credentials is None or dry_run:
        return lambda: WebcomClient.from_env(observers=observers, **settings)
    known = credentials_in(account.credentials)
    return lambda: WebcomClient(credentials=known, observers=observers, **settings)


def credentials_in(file: Path) -> Credentials:
    """Say once if other users can read the file."""
    known = Credentials.from_file(file)
    _tell_sharing(file)
    return known


@lru_cache
def _tell_sharing(file: Path) -> None:
    if is_shared(file.stat().st_mode):
        words = tr("credentials file {path} can be read by other users of this machine: chmod 600 {path}", path=file)
        show_error(words)


def has_credentials(account: AccountOptions) -> bool:
    """Whether a file or the environment names an account."""
    return account.credentials is not None or any(map(os.environ.get, ("WEBCOM_TOKEN", "WEBCOM_LOGIN")))


def ask_balance(account: AccountOptions, *, attempts: int = Options().attempts) -> Balance:
    make = client_maker(account, settings_of(account) | OptionFields(attempts=attempts))

    async def ask() -> Balance:
        async with make() as client:
            return await client.balance()

    return anyio.run(ask)


def _suit(settings: OptionFields, found: Capabilities) -> None:
    here = settings.get("base_url", Options().base_url)
    if found.base_url != here:
        raise ConfigurationError(f"the capabilities are those of {found.base_url}, and messages would go to {here}")
    batch_size = settings.get("batch_size", found.largest_batch)
    settings.update(found.options())
    settings["batch_size"] = min(batch_size, settings.get("batch_size", batch_size))
