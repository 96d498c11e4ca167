"""`webcom-async retry`: send again to the recipients that are unknown."""

from pathlib import Path

from webcom_async._cli.options import (
    AN_HOUR,
    FROM_ENVIRONMENT,
    AccountOptions,
    AsJson,
    Lang,
    MoreThanZero,
    Seconds,
    Switch,
)
from webcom_async._cli.run.campaign_run import Reconciliation, conclude, new_results, run_into
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.run.result_join import CampaignIds, Joined, check_apart
from webcom_async._cli.run.resume_hint import way_on, way_to_results
from webcom_async._cli.ui.translations import choose_language
from webcom_async._cli.ui.worker_messages import GatewayMessages
from webcom_async._domain.client_ids import IdScheme
from webcom_async._domain.errors import InputError
from webcom_async._domain.results import Outcome
from webcom_async.journal import stored_campaign

__all__ = ["retry_command"]


def retry_command(
    journal: Path,
    /,
    *,
    campaign: str,
    unknown: Switch = False,
    wait: Seconds = 0.0,
    acknowledge_repeated_ids: Switch = False,
    results: Path | None = None,
    patience: MoreThanZero = AN_HOUR,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Send again, under the same ids, to the recipients that are unknown in a journal.

    Each has a request of its own: a recipient that has an SMS gets no second one, one without gets it now. Those who
    were rejected are `send --resend-rejected`'s; those who were not sent to are sent to by running `send` again.

    Exit codes: as for `send`.

    Args:
        journal: The file that remembers the campaign.
        campaign: Its name.
        unknown: Says that it is the unknown ones that are meant; needed.
        wait: Seconds to wait for a journal that is in use, by another campaign or by `track`.
        acknowledge_repeated_ids: Go on although the gateway answers two recipients with one `id_sms`. Such a recipient
            stays unknown.
        results: Write what became of each into this new file: CSV, .jsonl or .parquet.
        patience: Seconds without an answer after which a campaign ends, which the same command then resumes. While
            the gateway is silent, one request at a time probes it, and the campaign goes on when it answers.
        account: Which gateway, and how it is asked.
        lang: The language of tables; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of a table.
    """
    choose_language(lang)
    if not unknown:
        raise InputError("name the recipients to send to again: --unknown")
    stored = stored_campaign(journal, campaign)
    make = client_maker(account, settings_of(account, patience), observers=[GatewayMessages()])
    unknown_ones = stored.counts[Outcome.UNKNOWN]
    plan = Reconciliation(make, unknown_ones, campaign, journal, wait, acknowledge_repeated_ids)
    check_apart(results, account.credentials, account.capabilities, journal=journal)
    ids = CampaignIds(IdScheme(campaign))
    ended = run_into(new_results(results), plan, lambda sink: Joined(lambda: (), ids, sink), visible=not as_json)
    rewrite = way_to_results(results, journal, campaign)
    return conclude(ended, as_json=as_json, way_on=way_on(campaign, results), rewrite=rewrite)
