"""`webcom-async campaign worker`: sends its share of every campaign in a store, until it is stopped."""

from asyncio import CancelledError
from collections.abc import Callable
from signal import Signals

import anyio

from webcom_async._cli.exit_codes import ExitCode, of_signal
from webcom_async._cli.options import FROM_ENVIRONMENT, AccountOptions, Lang, MoreThanZero, Positive
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.signals import Deadline, cut_short, listening
from webcom_async._cli.ui.console import say_aside
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._cli.ui.worker_messages import WorkerMessages
from webcom_async.client import WebcomClient

__all__ = ["worker_command"]

_PATIENCE = 60.0  # seconds: a server is restarted
_STOPPING = 10.0  # seconds for all of it, of which requests under way get five
_CUT_SHORT = 0.5  # seconds, which is ample where nothing hangs


def worker_command(
    *,
    store: str | None = None,
    name: str | None = None,
    lease: MoreThanZero = 60.0,
    shards_at_once: Positive = 2,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
) -> int:
    """
    Send the campaigns of a store, together with the other workers, until Ctrl-C or SIGTERM.

    Any number may run, on any hosts. One that is killed is replaced by the others after its lease; one that is stopped
    gives its shards back at once, after five seconds at most for requests under way; a second signal ends it at once.
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
        shards_at_once: Shards of one campaign at once; the second is there when the first comes to its end.
        account: Which gateway, and how it is asked.
        lang: The language of what is said; the locale's, or WEBCOM_LANG, if left out.
    """
    choose_language(lang)
    messages = WorkerMessages()
    make = client_maker(account, settings_of(account), observers=[messages])
    worker = _WorkerCommand(StoreLocation.of(store), make, name, lease, shards_at_once, messages=messages)
    try:
        anyio.run(worker.run)
    except (CancelledError, KeyboardInterrupt):
        if worker.stopped is None:
            raise
    finally:
        worker.deadline.wait()
    return ExitCode.ALL_ACCEPTED if worker.stopped is None else of_signal(worker.stopped)


class _WorkerCommand:
    """
    A worker, and what a signal does to it.

    Attributes:
        stopped: The first signal that came.
        deadline: When it ends, though it has not stopped.
    """

    def __init__(
        self,
        place: StoreLocation,
        client: Callable[[], WebcomClient],
        name: str | None,
        lease: float,
        shards_at_once: int,
        *,
        messages: WorkerMessages,
    ) -> None:
        self.stopped: Signals | None = None
        self.deadline = Deadline()
        self._place = place
        self._client = client
        self._name = name
        self._lease = lease
        self._shards_at_once = shards_at_once
        self._messages = messages
        self._scope: anyio.CancelScope | None = None

    async def run(self) -> None:
        """
        Work until a signal comes.

        Raises:
            StoreUnavailable: The store cannot be reached to begin with.
        """
        place = self._place.store(patience=_PATIENCE, observers=[self._messages])
        async with listening(self._stop), place as store, self._client() as client:
            engine = self._place.engine(
                store, client, name=self._name, lease_seconds=self._lease, shards_at_once=self._shards_at_once
            )
            with self._place.worked_on(), anyio.CancelScope() as self._scope:
                if self.stopped is not None:
                    self._scope.cancel()
                async with engine, engine.working():
                    say_aside(tr("worker {name} is ready: {place}", name=engine.name, place=self._place.shown))
                    await anyio.sleep_forever()

    def _stop(self, number: Signals) -> None:
        if self.stopped is None:
            self.stopped = number
            self.deadline.set(_STOPPING, of_signal(number))
            if self._scope is not None:
                self._scope.cancel()
        else:
            self.deadline.set(_CUT_SHORT, of_signal(self.stopped))
            cut_short()
