"""`webcom-async doctor`: ask the gateway what its manual leaves open, with a phone of one's own."""

from pathlib import Path

import anyio
import msgspec

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import FROM_ENVIRONMENT, AccountOptions, AsJson, Lang, Switch
from webcom_async._cli.run.client_factory import credentials_in, settings_of
from webcom_async._cli.ui.console import ask, show_facts, show_json
from webcom_async._cli.ui.translations import choose_language, tr
from webcom_async._domain.credentials import Credentials
from webcom_async._domain.errors import InputError
from webcom_async._domain.options import Options
from webcom_async._domain.phones import normalise_phone
from webcom_async._http.httpx2_transport import Httpx2Transport
from webcom_async.doctor import MOST_SMS, Capabilities, examine

__all__ = ["doctor_command"]


def doctor_command(
    phone: str,
    /,
    *,
    sender: str,
    out: Path = Path("webcom-capabilities.json"),
    yes: Switch = False,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Ask the gateway what its manual leaves open, and write a file that `send --capabilities` reads.

    It sends up to four SMS to your own phone, which the account pays for: whether a repeated id is answered with the
    first `id_sms`, how wide ids are, how answers are ordered, whether a refusal uses an id up, where `/json` redirects,
    and how large a request may be.

    Exit codes: 0 the gateway keeps the manual's word; 1 it does not, and the file says how; 2 or 3 nothing is known.

    Args:
        phone: A phone whose owner has agreed: your own.
        sender: A sender of your account.
        out: The file; an earlier one is replaced.
        yes: Do not ask.
        account: Which gateway, and how it is asked.
        lang: The language of the table; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    to = normalise_phone(phone)
    Capabilities.check_path(out)
    if not yes:
        answer = ask(tr("Send up to {count} SMS to {phone}, at the account's cost?", count=MOST_SMS, phone=to))
        if answer is None:
            raise InputError("nobody to ask for consent: give --yes; nothing was sent")
        if not answer:
            raise InputError(tr("nothing was sent"))
    found = anyio.run(_examine, account, to, sender)
    facts = msgspec.to_builtins(found)
    if as_json:
        show_json(facts)
    else:
        show_facts(tr("Check-up"), {name.replace("_", " "): f"{value}" for name, value in facts.items()})
    found.save(out)  # last: what was paid for is shown even if it cannot be saved
    return ExitCode.ALL_ACCEPTED if found.as_documented else ExitCode.NOT_ALL_ACCEPTED


async def _examine(account: AccountOptions, phone: str, sender: str) -> Capabilities:
    settings = settings_of(account)
    options = Options(**settings)
    file = account.credentials
    known = Credentials.from_env() if file is None else credentials_in(file)
    transport = Httpx2Transport(options)
    try:
        return await examine(transport, known, options, phone, sender=sender)
    finally:
        await transport.aclose()
