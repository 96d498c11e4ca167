"""`webcom-async status`: where single SMS are."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import anyio

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import FROM_ENVIRONMENT, AccountOptions, AsJson, Lang
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.ui.console import show_json
from webcom_async._cli.ui.tracking_table import report_fields, show_rows
from webcom_async._cli.ui.translations import choose_language, gettext_noop, tr
from webcom_async._domain.delivery import DeliveryReport
from webcom_async._domain.errors import InputError
from webcom_async._domain.given import open_file

__all__ = ["status_command"]

_COLUMNS = (
    "id_sms",
    gettext_noop("state"),
    gettext_noop("changed (UTC)"),
    gettext_noop("parts"),
    gettext_noop("price"),
    gettext_noop("said"),
)


def status_command(
    *ids: str,
    file: Path | None = None,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Ask the gateway where SMS are.

    Set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD, or name a file of credentials.

    Exit codes: 0 the gateway answered; 2 bad input; 3 it could not be asked.

    Args:
        ids: The `id_sms` of each, as the results of a campaign have them.
        file: A file of further ones, one a line.
        account: Which gateway, and how it is asked.
        lang: The language of the tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print a line of JSON for each, as they come, instead of a table.
    """
    choose_language(lang)
    wanted = [*chain(ids, () if file is None else _lines(file))]
    if not wanted:
        raise InputError("no ids: give some, or a --file of them")
    make = client_maker(account, settings_of(account))

    async def ask() -> list[DeliveryReport]:
        reports: list[DeliveryReport] = []
        async with make() as client:
            async for report in client.statuses(wanted):
                if as_json:
                    show_json(report_fields(report))
                else:
                    reports.append(report)
        return reports

    reports = anyio.run(ask)
    if not as_json:
        show_rows(tr("Status"), [tr(name) for name in _COLUMNS], map(_row, reports))
    return ExitCode.ALL_ACCEPTED


def _lines(file: Path) -> Sequence[str]:
    try:
        with open_file(file, encoding="utf-8-sig") as opened:
            return [line.strip() for line in opened.read().splitlines() if line.strip()]
    except OSError as exc:
        raise InputError(f"{file}: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        raise InputError(f"{file}: not UTF-8 at byte {exc.start}") from None


def _row(report: DeliveryReport) -> Sequence[str]:
    moment = "" if report.changed_at is None else f"{report.changed_at:%Y-%m-%d %H:%M:%S}"
    parts = "" if report.num_parts is None else str(report.num_parts)
    price = "" if report.price is None else f"{report.price.normalize():f}"
    return (report.id_sms, report.state.value, moment, parts, price, report.said)
