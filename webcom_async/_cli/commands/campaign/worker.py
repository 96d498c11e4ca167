"""`webcom-async campaign worker`: sends its share of every campaign in a store, until it is stopped."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio

from webcom_async._cli.exit_codes import ExitCode, of_signal
from webcom_async._cli.options import AN_HOUR, FROM_ENVIRONMENT, AccountOptions, Lang, MoreThanZero, Positive
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.signals import SignalAwareRun
from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._cli.ui.worker_messages import WorkerMessages
from webcom_async.client import WebcomClient
from webcom_async.scaleout import CampaignStore

if TYPE_CHECKING:
    from webcom_async.scaleout.dbos import DbosEngine

__all__ = ["worker_command"]

_PATIENCE = 60.0  # seconds: a server is restarted
_STOPPING = 10.0  # seconds for all of it, of which requests in flight get five


def worker_command(
    *,
    store: str | None = None,
    name: str | None = None,
    lease: MoreThanZero = 60.0,
    shards_at_once: Positive = 2,
    patience: MoreThanZero = AN_HOUR,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
) -> int:
    """
    Send the campaigns of a store, together with the other workers, until Ctrl-C or SIGTERM.

    Any number may run, on any hosts. One that is killed is replaced by the others after its lease; one that is stopped
    gives its shards back at once, after five seconds at most for requests in flight; a second signal ends it at once.
    A database that is away is waited for. Who stops a worker meanwhile waits ten seconds at most, and its leases end by
    themselves.
    Set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD, or name a file of credentials.

    Exit codes: 2 bad input; 3 the store was not reached in the first minute; 130 Ctrl-C; 143 SIGTERM.

    Args:
        store: `postgresql://user@host/database`, or a folder, which one worker at a time sends from; WEBCOM_STORE does
            the same, and keeps a password off the command line.
        name: This worker's own, the same after each start, such as a host's: it takes its work up again at once after a
            crash. Without one, a new one is made.
        lease: Seconds after which a worker that is not heard of is taken for dead.
        shards_at_once: Shards of one campaign at once; the second is there when the first ends.
        patience: Seconds without an answer after which this worker gives a shard back, for others, or for later. While
            the gateway is silent, one request at a time probes it, and the campaign goes on when it answers.
        account: Which gateway, and how it is asked.
        lang: The language of what is said; the locale's, or WEBCOM_LANG, if left out.
    """
    choose_language(lang)
    messages = WorkerMessages()
    make, place = client_maker(account, settings_of(account, patience), observers=[messages]), StoreLocation.of(store)
    engine_of = partial(place.engine, name=name, lease_seconds=lease, shards_at_once=shards_at_once)
    run = SignalAwareRun[None](_STOPPING)
    run.run(lambda: _work(run, place, make, engine_of, messages))
    return ExitCode.ALL_ACCEPTED if run.stopped is None else of_signal(run.stopped)


async def _work(
    run: SignalAwareRun[None],
    place: StoreLocation,
    make: Callable[[], WebcomClient],
    engine_of: Callable[[CampaignStore, WebcomClient], "DbosEngine"],
    messages: WorkerMessages,
) -> None:
    """Raise `StoreUnavailable` if the store cannot be reached to begin with."""
    async with run.listening(), place.store(patience=_PATIENCE, observers=[messages]) as store, make() as client:
        engine = engine_of(store, client)
        with place.worked_on(), run.stoppable():
            async with engine, engine.working():
                run.begin(lambda: None)
                say_aside(tr("worker {name} is ready: {place}", name=engine.name, place=place.shown))
                await anyio.sleep_forever()
