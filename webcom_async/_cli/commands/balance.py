"""`webcom-async balance`: what is left on the account."""

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import FROM_ENVIRONMENT, AccountOptions, AsJson, Lang
from webcom_async._cli.run.client_factory import ask_balance
from webcom_async._cli.ui.console import show_json
from webcom_async._cli.ui.tracking_table import show_rows
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._domain.delivery import Direction

__all__ = ["balance_command"]


def balance_command(
    *, account: AccountOptions = FROM_ENVIRONMENT, lang: Lang | None = None, as_json: AsJson = False
) -> int:
    """
    Ask the gateway what is left on the account.

    Set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD, or name a file of credentials.

    Args:
        account: Which gateway, and how it is asked.
        lang: The language of the tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table; money is text.
    """
    choose_language(lang)
    balance = ask_balance(account)
    if as_json:
        directions = [
            {"type_sms": each.type_sms, "area": each.area, "num_sms": each.num_sms, "unlimited": each.unlimited}
            for each in balance.directions
        ]
        show_json({"money": str(balance.money), "currency": balance.currency, "directions": directions})
    else:
        rows = [(each.type_sms, each.area, _count(each)) for each in balance.directions]
        names = (tr("kind"), tr("direction"), tr("messages"))
        show_rows(f"{balance.money:f} {balance.currency}", names, rows)
    return ExitCode.ALL_ACCEPTED


def _count(direction: Direction) -> str:
    if direction.num_sms is not None:
        return f"{direction.num_sms:,}"
    return tr("unlimited") if direction.unlimited else direction.said
