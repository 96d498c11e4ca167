"""
The commands by their names.

Credentials come from the environment or a file, never from an argument: those can be read by every user of a machine.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from webcom_async import __version__
from webcom_async.cli._balance import balance_command
from webcom_async.cli._campaign_results import results_command
from webcom_async.cli._campaign_start import start_command
from webcom_async.cli._campaign_state import cancel_campaign_command, pause_command, resume_command
from webcom_async.cli._campaign_status import campaign_status_command
from webcom_async.cli._campaign_worker import worker_command
from webcom_async.cli._completion import completion_command
from webcom_async.cli._demo import Demo, run_demo
from webcom_async.cli._display import show_error
from webcom_async.cli._doctor import doctor_command
from webcom_async.cli._emulate import Settings, emulate
from webcom_async.cli._exit_codes import ExitCode, of_signal
from webcom_async.cli._export import export_command
from webcom_async.cli._options import AsJson, Port, Positive, Seconds, Share
from webcom_async.cli._preview import preview_command
from webcom_async.cli._report import report_command
from webcom_async.cli._retry import retry_command
from webcom_async.cli._send import send_command
from webcom_async.cli._signals import signal_of, terminable
from webcom_async.cli._status import status_command
from webcom_async.cli._track import track_command
from webcom_async.cli._way_on import remember_command
from webcom_async.cli._webhook import webhook_command
from webcom_async.emulator import Language
from webcom_async.errors import ConfigurationError, InputError, JournalError, StoreUnavailable, WebcomError

__all__ = ["run"]

app = App(
    name="webcom-async",
    version=__version__,
    help="Send SMS and Viber campaigns through the Webcom Mobi gateway.",
    suppress_keyboard_interrupt=False,  # it would end without a word
)

app.command(preview_command, name="preview")
app.command(send_command, name="send")
app.command(report_command, name="report")
app.command(retry_command, name="retry")
app.command(export_command, name="export")
app.command(status_command, name="status")
app.command(balance_command, name="balance")
app.command(campaign := App(name="campaign", help="Campaigns of many workers, on one host or on many."))
app.command(webhook_command, name="webhook")
app.command(track_command, name="track")
app.command(doctor_command, name="doctor")
app.command(completion_command(lambda shell: app.generate_completion(shell=shell)), name="completion")

campaign.command(start_command, name="start")
campaign.command(worker_command, name="worker")
campaign.command(campaign_status_command, name="status")
campaign.command(pause_command, name="pause")
campaign.command(resume_command, name="resume")
campaign.command(cancel_campaign_command, name="cancel")
campaign.command(results_command, name="results")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name and return its exit code."""
    remember_command(sys.argv[1:] if arguments is None else arguments)
    try:
        with terminable():
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as exc:
        show_error(f"{exc} (see --help)")
        return ExitCode.BAD_INPUT
    except StoreUnavailable as exc:
        show_error(str(exc))
        return ExitCode.ENDED_EARLY
    except (InputError, ConfigurationError, JournalError) as exc:
        # Outside a campaign: nothing was sent.
        show_error(str(exc))
        return ExitCode.BAD_INPUT
    except WebcomError as exc:
        show_error(str(exc))
        return ExitCode.ENDED_EARLY
    except KeyboardInterrupt as exc:
        stopped = of_signal(signal_of(exc))
        show_error(stopped.name.lower())
        return stopped
    return code if isinstance(code, int) else ExitCode.ALL_ACCEPTED


@app.command(name="demo")
def demo_command(
    *,
    recipients: Positive = 100_000,
    in_flight: Positive = 4,
    batch_size: Positive = 500,
    as_json: AsJson = False,
) -> int:
    """
    Send a generated campaign to an emulated gateway in another process, and compare with its ledger.

    The emulator takes 30 ms per answer, loses 3 % of its answers after processing the request, answers 2 % with 503,
    and has one phone in 200 on its stop list. No account is needed, and nothing leaves this machine.

    Args:
        recipients: How many recipients.
        in_flight: Requests under way at once.
        batch_size: Recipients in a request, at most.
        as_json: Print one line of JSON instead of tables.
    """
    return run_demo(Demo(recipients, in_flight, batch_size, as_json))


@app.command(name="emulate")
def emulate_command(
    *,
    host: str = "127.0.0.1",
    port: Port = 8765,
    latency: Seconds = 0.0,
    lost: Share = 0.0,
    busy: Share = 0.0,
    seed: int = 0,
    language: Language = Language.ENGLISH,
    balance: int | None = None,
    stop_list: Path | None = None,
    webhook: str | None = None,
    delivery: Seconds = 5.0,
    requests_per_second: Positive | None = None,
    until_eof: Annotated[bool, Parameter(show=False, negative=())] = False,
) -> None:
    """
    Run an emulated gateway until Ctrl-C, and print what a shell needs to send to it.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        latency: Seconds that every answer takes.
        lost: Share of requests that are processed and then not answered, such as 0.05.
        busy: Share of requests that are answered 503.
        seed: Decides which.
        language: The language of its sentences.
        balance: Messages the account may send.
        stop_list: A file of phones that must not get anything, one a line.
        webhook: Where delivery reports are posted to, over http.
        delivery: Seconds until an SMS is delivered.
        requests_per_second: More requests than these are answered 429.
        until_eof: Stop at the end of standard input.
    """
    emulate(
        Settings(latency, lost, busy, seed, language, balance, stop_list, webhook, delivery, requests_per_second),
        host,
        port,
        until_eof=until_eof,
    )
