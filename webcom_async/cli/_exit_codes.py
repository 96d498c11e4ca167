"""Exit codes, documented in the README."""

import enum

from webcom_async.models import Report

__all__ = ["ExitCode", "of_report"]


class ExitCode(enum.IntEnum):
    """What a command's end says to a script."""

    ALL_ACCEPTED = 0  #: everyone was accepted; for other commands: done
    NOT_ALL_ACCEPTED = 1  #: the campaign ran, and somebody was rejected, unknown or not sent
    BAD_INPUT = 2  #: options, file or credentials; nothing was sent
    ENDED_EARLY = 3  #: the gateway or the network ended the campaign
    INTERRUPTED = 130  #: Ctrl-C


def of_report(report: Report) -> ExitCode:
    """Return the code of a campaign that ran to its end."""
    everyone = report.complete and report.accepted == report.recipients
    return ExitCode.ALL_ACCEPTED if everyone else ExitCode.NOT_ALL_ACCEPTED
