"""`eirhub router`: run the DICOM node; ask the rules of forwarding, and mind its queues."""

import getpass
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_router.commitment_ledger import CommitmentLedger, OwedReport
from dicom_router.forwarding.desk import DestinationView
from dicom_router.forwarding.model import Item, State
from dicom_router.routing.deciding import asked_tags, decide
from dicom_router.routing.facts import facts_of
from dicom_router.routing.model import Decision, Facts, RuleOutcome
from dicom_router.routing.rules_file import load_rules
from dicom_router.routing.words import explained
from hub_kernel.errors import InvalidValueError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.commands.serve import run
from hub_runtime.options import Progress, answer, json_option, with_settings


@click.group(invoke_without_command=True)
@with_settings
@click.pass_context
def router(context: click.Context, settings: Settings) -> None:
    """Run the DICOM node only, or look after forwarding by one of the commands below."""
    if context.invoked_subcommand is None:
        run(settings, ("router",))
    elif any(context.params.values()):
        raise click.UsageError(f"write the options behind {context.invoked_subcommand}")


@router.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--site", default="", help="The site it would come from.")
@click.option("--at", help="When it would arrive, as 2026-11-22T03:00 in the region; else now.")
@json_option
@with_settings
def explain(settings: Settings, file: Path, site: str, at: str | None, *, as_json: bool) -> None:
    """Say where the rules would send the instance in FILE, and which rule says so."""
    configured = (*settings.router.destinations, *settings.router.web_destinations)
    names = [one.name for one in configured]
    rules = load_rules(settings.router.rules, names) if settings.router.rules else ()
    try:
        dataset = dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError) as error:
        raise InvalidValueError(f"{file}: not a DICOM file ({error})") from error
    facts = facts_of(dataset, site, _moment(settings, at), asked_tags(rules))
    decision = decide(rules, facts)
    answer(_decision_form(facts, decision), _decision_words(facts, decision), as_json=as_json)


@router.command()
@click.option("--destination", help="Show its rows too.")
@click.option(
    "--state",
    type=click.Choice([str(state) for state in State]),
    default=str(State.PARKED),
    show_default=True,
    help="Which rows.",
)
@click.option("--limit", default=50, show_default=True, help="How many rows.")
@json_option
@with_settings
def queue(
    settings: Settings, destination: str | None, state: str, limit: int, *, as_json: bool
) -> None:
    """Show every destination with what it is owed, and the rows of one."""
    with opened_hub(settings) as hub:
        desk = hub.forwarding.desk
        if destination is None:
            views, items = desk.destinations(), []
        else:
            views = [desk.destination(destination)]
            items = desk.items(destination, state, limit=limit)
    lines = [*map(_view_words, views), *map(_item_words, items)]
    form = {"destinations": [asdict(view) for view in views], "items": [asdict(i) for i in items]}
    answer(form, "\n".join(lines) or "no destination is configured", as_json=as_json)


@router.command()
@click.option("--limit", default=50, show_default=True, help="How many rows.")
@json_option
@with_settings
def commitments(settings: Settings, limit: int, *, as_json: bool) -> None:
    """Show the reports on storage commitment that are owed to those who asked, and why."""
    with opened_hub(settings) as hub:
        owed = CommitmentLedger(hub.database).owed(limit=limit)
    words = "\n".join(map(_owed_words, owed)) or "no report is owed"
    answer({"owed": [asdict(one) for one in owed]}, words, as_json=as_json)


@router.command()
@click.argument("destination")
@click.option("--item", type=int, help="Send this row again alone, wherever it stands.")
@click.option("--parked", is_flag=True, help="Send again what is parked, too.")
@with_settings
def retry(settings: Settings, destination: str, item: int | None, *, parked: bool) -> None:
    """Try DESTINATION and what waits for it now, without regard to pauses."""
    with opened_hub(settings) as hub:
        desk = hub.forwarding.desk
        if item is not None:
            if desk.item(item).destination != destination:
                raise InvalidValueError(f"row {item} is not for {destination}")
            desk.retry(item)
            click.echo(f"row {item} is sent again")
            return
        count = desk.retry_now(destination)
        count += desk.release_parked(destination) if parked else 0
    click.echo(f"{count} instances go to {destination} as soon as it takes them")


@router.command()
@click.argument("item", type=int)
@click.option("--reason", required=True, help="Why; no names, no numbers.")
@with_settings
def park(settings: Settings, item: int, reason: str) -> None:
    """Set row ITEM aside until somebody retries it."""
    with opened_hub(settings) as hub:
        hub.forwarding.desk.park(item, getpass.getuser(), reason)
    click.echo(f"row {item} is parked")


@router.command()
@click.argument("destination")
@with_settings
def hold(settings: Settings, destination: str) -> None:
    """Send nothing to DESTINATION until it is resumed; what comes is queued."""
    with opened_hub(settings) as hub:
        hub.forwarding.desk.hold(destination, getpass.getuser())
    click.echo(f"{destination} is held; eirhub router resume {destination} lets it go on")


@router.command()
@click.argument("destination")
@with_settings
def resume(settings: Settings, destination: str) -> None:
    """Send to DESTINATION again."""
    with opened_hub(settings) as hub:
        hub.forwarding.desk.resume(destination)
    click.echo(f"{destination} is sent to again")


@router.command()
@click.argument("study_instance_uid")
@click.option("--destination", help="Send the whole study there again, whatever the rules say.")
@with_settings
def resend(settings: Settings, study_instance_uid: str, destination: str | None) -> None:
    """Apply the rules of today to a study and send what is missing; or all of it to one place."""
    with opened_hub(settings) as hub:
        if destination is None:
            count = hub.forwarding.enqueuing.owe_study(study_instance_uid)
        else:
            hub.forwarding.desk.destination(destination)
            count = hub.forwarding.enqueuing.send_again(study_instance_uid, destination)
    click.echo(f"{count} instances are queued")


@router.command()
@click.option("--repair", is_flag=True, help="Queue what is missing.")
@json_option
@with_settings
def verify(settings: Settings, *, repair: bool, as_json: bool) -> None:
    """Hold the ledger against archive and rules; exit 1 if something is missing."""
    progress = Progress("verifying")
    with opened_hub(settings) as hub:
        missing = hub.forwarding.enqueuing.missing(progress, repair=repair)
        views = hub.forwarding.desk.destinations()
    progress.close()
    waiting = sum(sum(view.counts.values()) for view in views)
    form = {"missing": missing, "waiting": waiting, "queued": missing if repair else 0}
    words = f"{missing} deliveries are missing in the ledger, {waiting} wait for their destination"
    answer(form, words, as_json=as_json)
    sys.exit(1 if missing and not repair else 0)


def _moment(settings: Settings, at: str | None) -> datetime:
    zone = ZoneInfo(settings.hub.time_zone)
    if at is None:
        return datetime.now(UTC).astimezone(zone)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise InvalidValueError(f"--at {at}: write it as 2026-11-22T03:00") from error
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def _decision_words(facts: Facts, decision: Decision) -> str:
    urgent = ", an emergency" if facts.emergency else ""
    site = facts.site_id or "no site (give one with --site)"
    arrived = facts.archived_at.strftime("%Y-%m-%d %H:%M")
    head = f"{facts.modality or 'no modality'} from {site}, {arrived}{urgent}"
    return f"{head}\n\n{explained(decision)}"


def _decision_form(facts: Facts, decision: Decision) -> dict[str, object]:
    return {
        "facts": asdict(facts),
        "destinations": [
            {
                "destination": one.delivery.destination,
                "rule": one.rule,
                "transfer_syntax": one.delivery.transfer,
                "priority": one.delivery.priority.name.lower(),
                "hours": str(one.delivery.during or ""),
            }
            for one in decision.routed
        ],
        "rules": [_outcome_form(outcome) for outcome in decision.outcomes],
    }


def _outcome_form(outcome: RuleOutcome) -> dict[str, object]:
    return {
        "rule": outcome.rule.name,
        "matched": outcome.matched,
        "not_asked_because_of": outcome.skipped,
        "checks": [asdict(check) for check in outcome.checks],
    }


def _view_words(view: DestinationView) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in view.counts.items() if count)
    said = [f"{view.name:20} {view.breaker:8} {counts or 'nothing waits'}; {view.sent_count} sent"]
    if not view.configured:
        said.append("  not in router.destinations any more: add it again, or park its rows")
    if view.last_error:
        said.append(f"  last error {view.last_error_at:%Y-%m-%d %H:%M} UTC: {view.last_error}")
    return "\n".join(said)


def _owed_words(owed: OwedReport) -> str:
    said = (
        f"{owed.asked_at:%Y-%m-%d %H:%M} UTC {owed.calling_ae_title:16} {owed.site_id}: "
        f"{owed.examined} of {owed.instances} instances examined, {owed.attempts} tries; "
        f"{owed.transaction_uid}"
    )
    if not owed.last_error:
        return said
    return f"{said}\n  next try {owed.due_at:%Y-%m-%d %H:%M} UTC: {owed.last_error}"


def _item_words(item: Item) -> str:
    status = " ".join(filter(None, (item.last_status, item.last_comment)))
    return f"  {item.item_id:8} {item.sop_instance_uid} {item.attempts} tries {status}"
