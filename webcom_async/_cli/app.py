"""
The commands by their names.

Credentials come from the environment or a file, never from an argument: those can be read by every user of a machine.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence

from cyclopts import App, CycloptsError

from webcom_async import __version__
from webcom_async._cli.commands.completion import Shell, completion_command
from webcom_async._cli.exit_codes import ExitCode, of_signal, signal_word
from webcom_async._cli.options import ARGUMENTS, PARAMETERS
from webcom_async._cli.run.resume_hint import remember_command
from webcom_async._cli.signals import signal_of, terminable
from webcom_async._cli.ui.console import new_console, show_error
from webcom_async._cli.ui.translations import explain
from webcom_async._domain.errors import (
    AuthenticationError,
    ConfigurationError,
    InputError,
    JournalError,
    StoreUnavailable,
    WebcomError,
)

__all__ = ["run"]

app = App(
    name="webcom-async",
    version=__version__,
    help="Send SMS and Viber campaigns through the Webcom Mobi gateway.",
    group_arguments=ARGUMENTS,
    group_parameters=PARAMETERS,
    suppress_keyboard_interrupt=False,  # it would end without a word
)

campaign = App(name="campaign", help="Campaigns of many workers, on one host or on many.")

# Named and not imported: a command's modules are loaded when it is called, which takes half of the time.
_SINGLE = {
    "preview": "commands.preview:preview_command",
    "send": "commands.send:send_command",
    "report": "commands.report:report_command",
    "retry": "commands.retry:retry_command",
    "export": "commands.export:export_command",
    "status": "commands.status:status_command",
    "balance": "commands.balance:balance_command",
    "webhook": "commands.webhook:webhook_command",
    "track": "commands.track:track_command",
    "doctor": "commands.doctor:doctor_command",
    "demo": "commands.demo:demo_command",
    "emulate": "commands.emulate:emulate_command",
}
_OF_CAMPAIGNS = {
    "start": "commands.campaign.start:start_command",
    "worker": "commands.campaign.worker:worker_command",
    "status": "commands.campaign.status:campaign_status_command",
    "pause": "commands.campaign.control:pause_command",
    "resume": "commands.campaign.control:resume_command",
    "cancel": "commands.campaign.control:cancel_campaign_command",
    "results": "commands.campaign.results:results_command",
}


def _add(group: App, commands: Mapping[str, str]) -> None:
    for name, place in commands.items():
        group.command(f"{__package__}.{place}", name=name)


def _load(group: App, commands: Iterable[str]) -> None:
    """Import commands: a list of them shows each one's own help."""
    for name in commands:
        group[name]


def _load_listed(words: Sequence[str]) -> None:
    """Import the commands that a list shows: *words* name none."""
    of_campaigns = words[:1] == ["campaign"]
    options = words[1:] if of_campaigns else words
    if "--version" not in options and all(word.startswith("-") for word in options):
        _load(*((campaign, _OF_CAMPAIGNS) if of_campaigns else (app, _SINGLE)))


def _completion(shell: Shell) -> str:
    _load(app, _SINGLE)
    _load(campaign, _OF_CAMPAIGNS)
    return app.generate_completion(shell=shell)


_add(app, _SINGLE)
_add(campaign, _OF_CAMPAIGNS)
app.command(campaign)
app.command(completion_command(_completion), name="completion")


def run(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    remember_command(words)
    _load_listed(words)
    try:
        with terminable():
            code = app(
                words,
                console=new_console(),
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
    except CycloptsError as exc:
        show_error(f"{exc} (see --help)")
        return ExitCode.BAD_INPUT
    except StoreUnavailable as exc:
        show_error(explain(exc))
        return ExitCode.ENDED_EARLY
    except (InputError, ConfigurationError, JournalError, AuthenticationError) as exc:
        # Outside a campaign: nothing was sent.
        show_error(explain(exc))
        return ExitCode.BAD_INPUT
    except WebcomError as exc:
        show_error(explain(exc))
        return ExitCode.ENDED_EARLY
    except KeyboardInterrupt as exc:
        stopped = of_signal(signal_of(exc))
        show_error(signal_word(stopped))
        return stopped
    return code if isinstance(code, int) else ExitCode.ALL_ACCEPTED
