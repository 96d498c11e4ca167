"""Exit codes, documented in the README."""

import enum
from signal import Signals

from webcom_async._cli.ui.translations import tr
from webcom_async._domain.results import Report

__all__ = ["ExitCode", "of_report", "of_signal", "signal_word"]

_SIGNALLED = 128  # POSIX shells, for a command that a signal ended


class ExitCode(enum.IntEnum):
    """What a command's end says to a script."""

    ALL_ACCEPTED = 0  #: all recipients were accepted; for other commands: done
    NOT_ALL_ACCEPTED = 1  #: the campaign ran, and a recipient was rejected, unknown or not sent
    BAD_INPUT = 2  #: options, file or credentials; nothing was sent
    ENDED_EARLY = 3  #: the gateway or the network ended the campaign
    INTERRUPTED = 130  #: Ctrl-C: 128 and the signal's number, as shells have it
    TERMINATED = 143  #: SIGTERM


def of_report(report: Report) -> ExitCode:
    everyone = report.complete and report.accepted == report.recipients
    return ExitCode.ALL_ACCEPTED if everyone else ExitCode.NOT_ALL_ACCEPTED


def signal_word(code: ExitCode) -> str:
    return tr("terminated") if code is ExitCode.TERMINATED else tr("interrupted")


def of_signal(number: Signals) -> ExitCode:
    return ExitCode(_SIGNALLED + number)
