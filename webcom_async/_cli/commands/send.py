"""`webcom-async send`: a file, checked, confirmed, and sent."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from webcom_async._cli.exit_codes import ExitCode
from webcom_async._cli.options import (
    AN_HOUR,
    ANY_TIME,
    ASKS_ABOVE_1000,
    FROM_ENVIRONMENT,
    HALT_ON_REPEATS,
    NO_FILE_OPTIONS,
    NO_PRICE,
    AccountOptions,
    AsJson,
    ConsentOptions,
    FileOptions,
    Lang,
    MoreThanZero,
    PriceOptions,
    Reasons,
    RepeatOptions,
    Seconds,
    Switch,
    TimeOptions,
)
from webcom_async._cli.run.audience_loading import audience_of, check_begun_otherwise, stopped_in
from webcom_async._cli.run.campaign_run import Ended, SendPlan, conclude, new_results, run_into
from webcom_async._cli.run.client_factory import client_maker, settings_of
from webcom_async._cli.run.confirmation import consented, message_of
from webcom_async._cli.run.result_export import pages
from webcom_async._cli.run.result_join import CampaignIds, Joined, check_apart
from webcom_async._cli.run.resume_hint import way_on, way_to_results
from webcom_async._cli.run.same_ids import NOTHING_SENT, check_same_ids
from webcom_async._cli.run.times import hours_of, is_span, moment_of, zone_of
from webcom_async._cli.ui.translations import choose_language
from webcom_async._cli.ui.worker_messages import GatewayMessages
from webcom_async._domain.client_ids import IdScheme
from webcom_async._domain.errors import InputError
from webcom_async._domain.given import new_name_error
from webcom_async._domain.messages import Channel, Message
from webcom_async._domain.reasons import Reason
from webcom_async._domain.results import SendResult
from webcom_async._domain.types import IdBits
from webcom_async._storage.sqlite.archive import stored_header
from webcom_async.audience import Audience, StopList, Verdict
from webcom_async.audience.calling_hours import Rounds
from webcom_async.files import CsvTable
from webcom_async.journal import StoredResults, has_begun

__all__ = ["send_command"]

_UNLIKE = Reason.UNLIKE_PHONE


def send_command(
    file: Path,
    /,
    *,
    sender: str,
    text: str | None = None,
    campaign: str | None = None,
    channel: Channel = Channel.SMS,
    journal: Path | None = None,
    wait: Seconds = 0.0,
    resend_rejected: Reasons = (),
    ignore_remembered_stops: Switch = False,
    results: Path | None = None,
    options: FileOptions = NO_FILE_OPTIONS,
    prices: PriceOptions = NO_PRICE,
    consent: ConsentOptions = ASKS_ABOVE_1000,
    times: TimeOptions = ANY_TIME,
    repeats: RepeatOptions = HALT_ON_REPEATS,
    patience: MoreThanZero = AN_HOUR,
    account: AccountOptions = FROM_ENVIRONMENT,
    lang: Lang | None = None,
    as_json: AsJson = False,
) -> int:
    """
    Send to everyone in a file.

    The file is CSV as spreadsheets write it, JSON Lines, Parquet or Arrow, with a column of phones; or a plain list of
    phones. It is read to its end before anything is sent. Set WEBCOM_TOKEN, or WEBCOM_LOGIN and WEBCOM_PASSWORD, or
    name a file of credentials.

    Exit codes: 0 all were accepted; 1 a recipient was not; 2 bad input, nothing was sent; 3 the gateway or the
    network ended the campaign; 130 Ctrl-C; 143 SIGTERM.

    Ctrl-C and SIGTERM let requests in flight finish, for five seconds at most; a second one ends at once.

    Args:
        file: The recipients.
        sender: Who it is from: at most 11 characters, or 15 digits.
        text: The text for everyone whose row has none; name columns in braces, as in "Hello, {name}!".
        campaign: A name. Running the same campaign again sends no second SMS. Without one, a random name is
            made and printed.
        channel: Where it goes.
        journal: A file that remembers the campaign: running the same command again sends to the rest only. It
            remembers those on the gateway's stop list for other campaigns too.
        wait: Seconds to wait for a journal that is in use, by another campaign or by `track`.
        resend_rejected: Send again to recipients that the journal has as rejected for this reason, such as `other`,
            because it no longer holds. Can be repeated.
        ignore_remembered_stops: Send to those too who were on the gateway's stop list in other campaigns.
        results: Write what became of each row into this new file: CSV, .jsonl or .parquet. With a journal,
            all results come again, and an earlier run's file is put aside as `NAME.1`. If it cannot be written,
            the campaign goes on, and stderr says how many results are missing.
        options: How the file is read.
        prices: What a part costs.
        consent: What has to be said first.
        times: When messages go.
        repeats: What is done if ids repeat.
        patience: Seconds without an answer after which a campaign ends, which the same command then resumes. While
            the gateway is silent, one request at a time probes it, and the campaign goes on when it answers.
        account: Which gateway, and how it is asked.
        lang: The language of tables and questions; the locale's, or WEBCOM_LANG, if left out.
        as_json: Print one line of JSON instead of tables.
    """
    choose_language(lang)
    if journal is not None and campaign is None:
        raise InputError("--journal remembers a campaign by its name: give --campaign too")
    _check_name(campaign, journal)
    check_apart(results, file, *options.stop_list, account.credentials, account.capabilities, journal=journal)
    if resend_rejected and journal is None:
        raise InputError("--resend-rejected is about what a journal remembers: give --journal too")
    if repeats.new_ids is not None and (journal is None or campaign is None or not has_begun(journal, campaign)):
        raise InputError(
            "--new-ids is for a campaign that a journal has begun: give its --journal and --campaign. Under new ids, "
            "recipients that no journal knows would be billed again; nothing was sent"
        )
    if times.between is not None and is_span(times.validity_period):
        raise InputError("--between waits for its hours, so give --validity-period as a moment, not as a span")
    zone = zone_of(times.zone)
    settings = settings_of(account, patience)
    audience = audience_of(file, text, options, _remembered(None if ignore_remembered_stops else journal, campaign))
    if journal is not None and campaign is not None and has_begun(journal, campaign):
        with StoredResults(journal, campaign) as stored:
            check_begun_otherwise(audience, stored)
            check_same_ids(audience, stored, NOTHING_SENT)
    plan = SendPlan(
        client=client_maker(account, settings, dry_run=consent.dry_run, observers=[GatewayMessages()]),
        recipients=(),
        total=0,
        message=message_of(audience, Message(type_send_1=channel, sender=sender, text="checks the sender"), text),
        sender=sender,
        campaign=f"cli-{uuid.uuid4()}" if campaign is None else campaign,
        made_up=campaign is None,
        journal=journal,
        wait=wait,
        resend_rejected=resend_rejected,
        validity_period=moment_of(times.validity_period, zone, _now()),
        new_ids=repeats.new_ids,
        acknowledge_repeated_ids=repeats.acknowledge_repeated_ids,
        rounds=None if times.between is None else Rounds(audience.people, hours_of(times.between, zone), _now),
    )

    audit = consented(audience, options, prices, consent, account, channel=channel, journal=journal, as_json=as_json)
    if isinstance(audit, ExitCode):
        return audit
    ids = _ids_of(plan, settings.get("id_bits", 63))
    ended = _send(audience, plan._replace(total=audit.sendable), ids, results, visible=not as_json)
    made_up = campaign is None
    rewrite = way_to_results(results, journal, plan.campaign, file=file, text=text, options=options, made_up=made_up)
    resume = way_on(plan.campaign, results, journal, made_up=made_up)
    return conclude(ended, as_json=as_json, way_on=resume, rewrite=rewrite)


def _check_name(campaign: str | None, journal: Path | None) -> None:
    """Raise `InputError` if the campaign may neither begin nor go on under its name."""
    odd = None if campaign is None else new_name_error(campaign)
    if campaign is None or odd is None or (journal is not None and has_begun(journal, campaign)):
        return
    raise odd


def _remembered(journal: Path | None, campaign: str | None) -> StopList:
    return stopped_in(journal, campaign or "") if journal is not None else StopList()


def _ids_of(plan: SendPlan, bits: IdBits) -> CampaignIds:
    """Return the ids that recipients may have: a journal knows those that a campaign was begun with."""
    if plan.journal is None or not has_begun(plan.journal, plan.campaign):
        return CampaignIds(IdScheme(plan.campaign, bits))
    header = stored_header(plan.journal, plan.campaign)
    return CampaignIds.of(header if plan.new_ids is None or header.new_ids else replace(header, new_ids=bits))


def _send(audience: Audience, plan: SendPlan, ids: CampaignIds, results: Path | None, *, visible: bool) -> Ended:
    delimiter = audience.table.delimiter if isinstance(audience.table, CsvTable) else ","
    people = audience.people if plan.rounds is None else plan.rounds.people
    known = _sent_before(audience, plan, ids)
    file = new_results(results, audience.table.columns, delimiter=delimiter, replace=plan.journal is not None)
    return run_into(file, plan, lambda sink: Joined(people, ids, sink, known), visible=visible)


def _sent_before(audience: Audience, plan: SendPlan, ids: CampaignIds) -> dict[int, SendResult]:
    """Return, by line, results of rows that an earlier run included and this one does not."""
    if plan.journal is None or Verdict.UNLIKE not in audience.verdicts or not has_begun(plan.journal, plan.campaign):
        return {}
    found: dict[int, SendResult] = {}
    with StoredResults(plan.journal, plan.campaign) as stored:
        unlike = (person.row for person in audience.people() if person.skipped and person.skipped.reason is _UNLIKE)
        for page in pages((row.line, audience.recipient(row)) for row in unlike):
            known = stored.of(each for _, recipient in page for each in ids.all_of(recipient))
            for line, recipient in page:
                results = [known[each] for each in ids.all_of(recipient) if each in known]
                found.update((line, result) for result in results if result.phone == recipient.phone)
    return found


def _now() -> datetime:
    return datetime.now(UTC)
