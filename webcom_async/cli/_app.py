"""
Commands and their options, and the only door to cyclopts.

Credentials come from the environment or a file, never from an argument: those can be read by every user of a machine.
"""

import os
import shlex
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from webcom_async import __version__
from webcom_async._reasons import Reason
from webcom_async.cli._demo import Demo, run_demo
from webcom_async.cli._display import report_json, show_error, show_json, show_report
from webcom_async.cli._emulate import Settings, emulate
from webcom_async.cli._exit_codes import ExitCode, of_report, of_signal
from webcom_async.cli._options import AsJson, Positive, Seconds, Share
from webcom_async.cli._preview import preview_command
from webcom_async.cli._recipients_file import RecipientsFile, results_file
from webcom_async.cli._sending import Ended, Plan, early_end, run_campaign
from webcom_async.cli._signals import signal_of, terminable
from webcom_async.client import WebcomClient
from webcom_async.credentials import Credentials
from webcom_async.emulator import Language
from webcom_async.errors import ConfigurationError, InputError, JournalError, WebcomError
from webcom_async.models import Channel, Message
from webcom_async.options import OptionFields

__all__ = ["run"]

app = App(
    name="webcom-async",
    version=__version__,
    help="Send SMS and Viber campaigns through the Webcom Mobi gateway.",
    suppress_keyboard_interrupt=False,  # it would end without a word
)

app.command(preview_command, name="preview")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name and return its exit code."""
    try:
        with terminable():
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as exc:
        show_error(f"{exc} (see --help)")
        return ExitCode.BAD_INPUT
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


@app.command(name="send")
def send_command(
    file: Path,
    /,
    *,
    sender: str,
    text: str | None = None,
    campaign: str | None = None,
    channel: Channel = Channel.SMS,
    phone_column: str = "phone",
    journal: Path | None = None,
    resend_rejected: Annotated[tuple[Reason, ...], Parameter(negative=())] = (),
    results: Path | None = None,
    credentials: Path | None = None,
    base_url: str | None = None,
    in_flight: Positive = 4,
    batch_size: Positive = 500,
    as_json: AsJson = False,
) -> int:
    """
    Send to everyone in a CSV file.

    The file is UTF-8 with a column `phone`, or a plain list of phones. Columns `client_id_sms`, `key` and `text` are
    used if they are there. Set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD, or name a file of credentials.

    Exit codes: 0 everyone was accepted; 1 somebody was not; 2 bad input, nothing was sent; 3 the gateway or the
    network ended the campaign; 130 Ctrl-C; 143 SIGTERM.

    Ctrl-C and SIGTERM let requests under way finish, for five seconds at most; a second one ends at once.

    Args:
        file: The recipients.
        sender: Who it is from: at most 11 characters, or 15 digits.
        text: The text for everyone whose row has none.
        campaign: A name. Running the same campaign again sends nobody a second SMS. Without one, a random name is
            made and printed.
        channel: Where it goes.
        phone_column: The name of the phones' column.
        journal: A file that remembers the campaign: running the same command again sends to the rest only.
        resend_rejected: Ask again for those whom the journal has as rejected for this reason, such as `other`, because
            it no longer holds. Can be repeated.
        results: Write what became of each recipient into this new CSV file. With a journal, everybody's result
            comes again, and an earlier run's file is put aside as `NAME.1`.
        credentials: A TOML file with `token`, or `login` and `password`, instead of the environment.
        base_url: The gateway, such as an emulator's; WEBCOM_BASE_URL does the same.
        in_flight: Requests under way at once.
        batch_size: Recipients in a request, at most.
        as_json: Print one line of JSON instead of a table.
    """
    recipients = RecipientsFile(file, phone_column)
    if text is None and not recipients.has_text:
        raise InputError(f"no text: give --text, or a column 'text' in {file}")
    if journal is not None and campaign is None:
        raise InputError("--journal remembers a campaign by its name: give --campaign too")
    if resend_rejected and journal is None:
        raise InputError("--resend-rejected is about what a journal remembers: give --journal too")
    options: OptionFields = {"in_flight": in_flight, "batch_size": batch_size}
    if base_url is not None or os.environ.get("WEBCOM_BASE_URL"):
        options["base_url"] = base_url or os.environ["WEBCOM_BASE_URL"]
    plan = Plan(
        client=_client(credentials, options),
        recipients=recipients.recipients(Message(type_send_1=channel, sender=sender, text="checks the sender")),
        total=recipients.count,
        message=None if text is None else Message(type_send_1=channel, sender=sender, text=text),
        sender=sender,
        campaign=campaign or f"cli-{uuid.uuid4()}",
        journal=journal,
        resend_rejected=resend_rejected,
    )
    with results_file(results, replace=journal is not None) as sink:
        ended = run_campaign(plan, visible=not as_json, results=sink)
    return _conclude(ended, as_json=as_json, way_on=_way_on(plan, results))


@app.command(name="emulate")
def emulate_command(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 8765,
    latency: Seconds = 0.0,
    lost: Share = 0.0,
    busy: Share = 0.0,
    seed: int = 0,
    language: Language = Language.ENGLISH,
    balance: int | None = None,
    stop_list: Path | None = None,
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
        until_eof: Stop at the end of standard input.
    """
    emulate(Settings(latency, lost, busy, seed, language, balance, stop_list), host, port, until_eof=until_eof)


def _client(credentials: Path | None, options: OptionFields) -> Callable[[], WebcomClient]:
    if credentials is None:
        return lambda: WebcomClient.from_env(**options)
    known = Credentials.from_file(credentials)
    return lambda: WebcomClient(credentials=known, **options)


def _way_on(plan: Plan, results: Path | None) -> str:
    """Return what to do after a campaign was stopped."""
    further = "" if results is None or plan.journal is not None else ", and another file for --results"
    return f"to send to the rest, run the same command with --campaign {shlex.quote(plan.campaign)}{further}"


def _conclude(ended: Ended, *, as_json: bool, way_on: str) -> int:
    if as_json:
        show_json(report_json(ended.report))
    else:
        show_report(ended.report, "Report")
    early = early_end(ended, way_on)
    return of_report(ended.report) if early is None else early
