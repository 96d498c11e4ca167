"""A campaign of many workers, all of whose work this process does: with a live table, to its end or to a signal."""

from collections.abc import Awaitable, Callable
from signal import Signals
from typing import TYPE_CHECKING, NamedTuple

from webcom_async._cli.exit_codes import ExitCode, of_signal, signal_word
from webcom_async._cli.run.campaign_watch import looks
from webcom_async._cli.run.resume_hint import command_line
from webcom_async._cli.run.store_location import StoreLocation
from webcom_async._cli.signals import SignalAwareRun
from webcom_async._cli.ui.campaign_table import live_standing, show_status, status_json
from webcom_async._cli.ui.console import say_aside, show_error, show_json
from webcom_async._cli.ui.translations import tr
from webcom_async._domain.errors import InputError, JournalError, StoreUnavailable
from webcom_async._domain.given import identity_of
from webcom_async._domain.results import Outcome
from webcom_async.client import WebcomClient
from webcom_async.scaleout import CampaignState, CampaignStatus, CampaignStore

if TYPE_CHECKING:
    from webcom_async.scaleout.dbos import DbosEngine

__all__ = ["LocalCampaign", "conclude_campaign", "of_standing"]


_ENGINE_MOVED = "{file} was moved, removed or replaced while it was open; put it back where it was, and try again"


class LocalCampaign(NamedTuple):
    """
    A campaign that this process sends by itself.

    Attributes:
        place: Where it is kept.
        plan: Plans it.
        client: Makes the client.
        name: Its name.
        visible: Whether a live table is shown.
    """

    place: StoreLocation
    plan: Callable[[CampaignStore], Awaitable[CampaignStatus]]
    client: Callable[[], WebcomClient]
    name: str
    visible: bool

    def send(self, run: SignalAwareRun[CampaignStatus]) -> CampaignStatus:
        """
        The first Ctrl-C or SIGTERM lets requests in flight get the client's grace, a second one ends it at once.

        Raise `KeyboardInterrupt` if a signal came before the campaign was planned.
        """

        async def work() -> CampaignStatus:
            async with self.place.store(new=True) as store:
                async with self.client() as client:
                    engine = self.place.engine(store, client)
                    engine.check_name(self.name)
                    with self.place.worked_on():
                        await self._check_alone(store)
                        planned = await self.plan(store)
                        run.begin(lambda: planned)
                        if planned.state is CampaignState.RUNNING:
                            await self._send(run, store, engine)
                return await store.status(self.name)

        try:
            return run.run(work)
        except JournalError as exc:
            if not run.begun:
                raise
            raise StoreUnavailable(exc.sentence) from None  # planned, and maybe sent to some: no bad input

    async def _check_alone(self, store: CampaignStore) -> None:
        """Raise `InputError` if there are other campaigns: a worker sends all that run."""
        others = [name for name in await store.campaigns(CampaignState.RUNNING) if name != self.name]
        if others:
            names = ", ".join(map(repr, others))
            raise InputError(
                f"{self.place.shown} holds campaigns that are not finished, and would go on as well: {names}; finish "
                "them with `campaign worker`, pause or cancel them, or give --store another folder; nothing was sent"
            )

    async def _send(self, run: SignalAwareRun[CampaignStatus], store: CampaignStore, engine: "DbosEngine") -> None:
        async with run.listening(), engine:
            with live_standing(visible=self.visible) as live, run.stoppable():
                async with engine.working():
                    journal = self.place.engine_file
                    opened = identity_of(journal)
                    await engine.start(self.name)
                    async for status, speed in looks(store, self.name):
                        live.show(status, speed)
                        if identity_of(journal) != opened:  # the engine would try again for ever
                            raise JournalError(_ENGINE_MOVED.format(file=journal))


def conclude_campaign(
    status: CampaignStatus, stopped: Signals | None, *, as_json: bool, go_on: str, place: StoreLocation
) -> ExitCode:
    if as_json:
        show_json(status_json(status))
    else:
        show_status(status)
    if status.state is CampaignState.HALTED:
        show_error(status.why)
    resume = command_line("campaign", "resume", status.settings.campaign, *place.option)
    if status.state is CampaignState.PAUSED:
        go_on = f"{resume} && {go_on}"
    if stopped is not None and status.state is not CampaignState.FINISHED:
        code = of_signal(stopped)
        show_error(f"{signal_word(code)}; {tr('to send to the rest: {command}', command=go_on)}")
        return code
    if status.state is CampaignState.HALTED:
        say_aside(tr("to send to the rest: {command}", command=go_on))
    elif status.state is CampaignState.PAUSED:
        say_aside(tr("it is paused; to let it go on: {command}", command=go_on))
    elif status.state is CampaignState.FINISHED and status.open:
        say_aside(tr("to ask again for {count}: {command}", count=f"{status.open:,}", command=f"{resume} && {go_on}"))
    return of_standing(status)


def of_standing(status: CampaignStatus) -> ExitCode:
    """A campaign that goes on is no failure."""
    if status.state in (CampaignState.HALTED, CampaignState.CANCELLED):
        return ExitCode.ENDED_EARLY
    if status.state is not CampaignState.FINISHED or status.outcomes[Outcome.ACCEPTED] == status.recipients:
        return ExitCode.ALL_ACCEPTED
    return ExitCode.NOT_ALL_ACCEPTED
