"""How a campaign's command ends: its report, and the exit code."""

from webcom_async.cli._display import report_json, show_json, show_report
from webcom_async.cli._exit_codes import of_report
from webcom_async.cli._sending import Ended, early_end
from webcom_async.cli._words import tr

__all__ = ["conclude"]


def conclude(ended: Ended, *, as_json: bool, way_on: str) -> int:
    """Show the report, say what ended the campaign early, and return the exit code."""
    if as_json:
        show_json(report_json(ended.report))
    else:
        show_report(ended.report, tr("Report"))
    early = early_end(ended, way_on)
    return of_report(ended.report) if early is None else early
