"""`webcom-async demo`: a generated campaign against an emulator in another process, judged by its ledger."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from webcom_async._cli.commands.emulate import Child, Settings, child
from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import AsJson, Positive
from webcom_async._cli.run.campaign_run import Ended, SendPlan, early_end, run_campaign
from webcom_async._cli.ui.console import report_json, show_json, show_report
from webcom_async._domain.messages import Message
from webcom_async._domain.results import Report
from webcom_async.client import WebcomClient

__all__ = ["demo_command"]

_FIRST_PHONE = 79_000_000_000
_STOPPED_EVERY = 200  # one phone in so many is on the stop list
_LATENCY = 0.03  # seconds, as of a gateway in the same country
_LOST = 0.03
_BUSY = 0.02
_SEED = 7


class Demo(NamedTuple):
    """
    What to show.

    Attributes:
        recipients: How many.
        in_flight: Requests in flight at once, at most.
        batch_size: Recipients in a request, at most.
        as_json: For machines instead of people.
    """

    recipients: int
    in_flight: int
    batch_size: int
    as_json: bool


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
        in_flight: Requests in flight at once, at most.
        batch_size: Recipients in a request, at most.
        as_json: Print one line of JSON instead of tables.
    """
    return _run(Demo(recipients, in_flight, batch_size, as_json))


def _run(demo: Demo) -> ExitCode:
    with tempfile.TemporaryDirectory() as folder:
        stop_list = Path(folder) / "stop-list.txt"
        stop_list.write_text("\n".join(_stopped(demo.recipients)), encoding="utf-8")
        with child(Settings(_LATENCY, _LOST, _BUSY, _SEED, stop_list=stop_list)) as emulator:
            ended = run_campaign(_plan(demo, emulator), visible=not demo.as_json)
            ledger = emulator.ledger()
    _show(demo, ended, ledger)
    early = early_end(ended, "the demo begins anew when it is run again")
    if early is not None:
        return early
    certain = ended.report.complete and not ended.report.unknown
    return ExitCode.ALL_ACCEPTED if certain and _agrees(ended.report, ledger) else ExitCode.NOT_ALL_ACCEPTED


def _plan(demo: Demo, emulator: Child) -> SendPlan:
    return SendPlan(
        client=lambda: WebcomClient(
            token=emulator.token,
            base_url=emulator.base_url,
            in_flight=demo.in_flight,
            batch_size=demo.batch_size,
        ),
        recipients=_phones(demo.recipients),
        total=demo.recipients,
        message=Message(sender="ACME", text="Autumn sale: everything at half price until Sunday"),
        sender=None,
        campaign="demo",
    )


def _phones(count: int) -> Iterator[str]:
    return (str(_FIRST_PHONE + number) for number in range(count))


def _stopped(count: int) -> Iterator[str]:
    return (str(_FIRST_PHONE + number) for number in range(_STOPPED_EVERY - 1, count, _STOPPED_EVERY))


def _agrees(report: Report, ledger: dict[str, int]) -> bool:
    """Unknown recipients may be in the ledger or not, also if the report was cut short."""
    possible = report.accepted <= ledger["sent"] <= report.accepted + report.unknown
    return possible and not ledger["billed_twice"]


def _show(demo: Demo, ended: Ended, ledger: dict[str, int]) -> None:
    if demo.as_json:
        show_json({"report": report_json(ended.report), "ledger": ledger, "agrees": _agrees(ended.report, ledger)})
        return
    show_report(
        ended.report,
        "What the client says",
        {
            "the gateway's ledger": f"{ledger['sent']:,} sent, {ledger['billed_twice']:,} phones twice",
            "asked again": f"{ledger['repeats']:,} recipients, after lost answers; answered with their first id_sms",
            "client and ledger": "agree" if _agrees(ended.report, ledger) else "DISAGREE",
        },
    )
