"""`eirhub identity`: who is who, now or earlier, and corrections of it at the command line.

An identifier is written VALUE@NAMESPACE or VALUE@OID; a global ID stands alone.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from access_control.audit_message import AuditEvent
from access_control.model import Subject, SubjectKind
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import Progress, answer, json_option, with_settings
from patient_index.domains import DomainDirectory
from patient_index.global_ids import is_global_id
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.matching import load_weights
from patient_index.merging import Merger, known_row, merge_of, relink
from patient_index.model import Decided, LinkEntry, MergeOutcome
from patient_index.rekeying import rekey
from patient_index.transactions import Work

T = TypeVar("T")

_by = click.option("--by", required=True, help="Who decides; it stays in the log.")
_reason = click.option("--reason", required=True, help="Why; without names or numbers of patients.")


@click.group()
def identity() -> None:
    """Who is who: read the link log, link, merge and take back."""


@identity.command()
@click.argument("patient")
@click.option("--as-of", "as_of", help="As it was at this time (ISO 8601, UTC unless it says).")
@json_option
@with_settings
def show(settings: Settings, patient: str, *, as_of: str | None, as_json: bool) -> None:
    """Show the global ID and all identifiers of PATIENT, now or at an earlier time."""
    moment = _moment(as_of)
    with opened_hub(settings) as hub:
        lookup = PatientLookup(hub.patients, domains_of(hub))
        person = lookup.person_of(_identifier(hub, patient), as_of=moment)
    if person is None:
        raise NotFoundError("nobody has this identifier, or nobody had it then")
    shown = {
        "global_id": person.global_id,
        "identifiers": [_written(one) for one in person.identifiers],
        "merged": [_written(one) for one in person.merged],
        "provisional": person.provisional,
    }
    words = [person.global_id, *(f"  {_written(one)}" for one in person.identifiers)]
    answer(shown, "\n".join(words), as_json=as_json)


@identity.command()
@click.argument("patient")
@json_option
@with_settings
def history(settings: Settings, patient: str, *, as_json: bool) -> None:
    """Show every line of the link log about PATIENT (an identifier), oldest first."""
    with opened_hub(settings) as hub:
        lines = hub.patients.history(_identifier(hub, patient))
    shown = [_line(one) for one in lines]
    words = [
        "{logged_at}  {action:9} {global_id}  {rule}: {reason} ({by})".format_map(one)
        for one in shown
    ]
    answer(shown, "\n".join(words) or "no such identifier", as_json=as_json)


@identity.command()
@click.argument("patient")
@click.argument("global_id")
@_by
@_reason
@json_option
@with_settings
def link(settings: Settings, patient: str, global_id: str, *, as_json: bool, **said: str) -> None:
    """Make PATIENT (an identifier) resolve to the person GLOBAL_ID from now on."""
    with opened_hub(settings) as hub:
        identifier = _identifier(hub, patient)
        decision_id = _decided(
            hub, said, global_id, lambda work, by: relink(work, identifier, global_id, by)
        )
    shown = {"global_id": global_id, "decision_id": decision_id}
    answer(shown, f"linked to {global_id}", as_json=as_json)


@identity.command()
@click.argument("survivor")
@click.argument("subsumed")
@_by
@_reason
@json_option
@with_settings
def merge(settings: Settings, survivor: str, subsumed: str, *, as_json: bool, **said: str) -> None:
    """Make everything of SUBSUMED resolve to SURVIVOR: two global IDs, or two of one issuer."""
    with opened_hub(settings) as hub:
        kept, moved = _identifier(hub, survivor), _identifier(hub, subsumed)

        def change(work: Work, by: Decided) -> MergeOutcome:
            if kept.issuer == moved.issuer == hub.patients.issuer:
                return Merger(work).merge_persons(kept.value, moved.value, by)
            return Merger(work).merge_identifiers(kept, moved, by)

        outcome = _decided(hub, said, survivor, change)
    words = f"ignored: {outcome.ignored}" if outcome.ignored else f"merged into {outcome.global_id}"
    answer(vars(outcome), words, as_json=as_json)


@identity.command()
@click.argument("survivor")
@click.argument("subsumed")
@_by
@_reason
@json_option
@with_settings
def unmerge(
    settings: Settings, survivor: str, subsumed: str, *, as_json: bool, **said: str
) -> None:
    """Take back the merge of SUBSUMED into SURVIVOR (identifiers of one issuer)."""
    with opened_hub(settings) as hub:
        kept, moved = _identifier(hub, survivor), _identifier(hub, subsumed)

        def change(work: Work, by: Decided) -> int:
            known_row(work.session, kept)
            made = merge_of(work.session, kept, moved)
            if made is None:
                raise NotFoundError("these two are not merged")
            return Merger(work).take_back(made.id, by)

        decision_id = _decided(hub, said, subsumed, change)
    answer({"decision_id": decision_id}, "taken apart again", as_json=as_json)


@identity.command("take-back")
@click.argument("decision_id", type=int)
@_by
@_reason
@json_option
@with_settings
def take_back(settings: Settings, decision_id: int, *, as_json: bool, **said: str) -> None:
    """Take back the decision DECISION_ID, whoever made it (`history --json` names them)."""
    with opened_hub(settings) as hub:
        undone = _decided(hub, said, "", lambda work, by: Merger(work).take_back(decision_id, by))
    answer({"decision_id": undone}, f"decision {decision_id} is taken back", as_json=as_json)


@identity.command("rekey")
@json_option
@with_settings
def rekey_all(settings: Settings, *, as_json: bool) -> None:
    """Make the keys to match by for everybody: once after an upgrade, or when weights change."""
    progress = Progress("keys")
    with opened_hub(settings) as hub:
        count = rekey(hub.database, Matcher(load_weights()), progress)
    progress.close()
    answer({"identifiers": count}, f"{count} identifiers have their keys", as_json=as_json)


def domains_of(hub: Hub) -> DomainDirectory:
    """Return the assigning authorities that the hub knows: settings', its sites' and its own."""
    return hub.identity.domains


def _decided(
    hub: Hub, said: dict[str, str], concerns: str, change: Callable[[Work, Decided], T]
) -> T:
    """Run a change and put it on record, in one transaction."""
    decided = Decided(by=said["by"], reason=said["reason"])
    subject = Subject(SubjectKind.USER, f"cli:{said['by']}"[:128], said["by"])

    def recorded(work: Work) -> T:
        outcome = change(work, decided)
        event = AuditEvent(
            action="decide_identity",
            outcome="success",
            subject=subject,
            resource_kind="patient",
            resource_id=concerns[:64],
            address="",
            detail="eirhub identity",
        )
        hub.access.audit.record(work.session, event)
        return outcome

    return hub.patients.write(recorded)


def _identifier(hub: Hub, text: str) -> PatientIdentifier:
    value, at, issuer = text.strip().rpartition("@")
    if not at and is_global_id(text.strip().upper()):
        return hub.patients.global_identifier(text.strip().upper())
    if not value or not issuer:
        raise InvalidValueError("write a patient as VALUE@NAMESPACE, VALUE@OID or a global ID")
    by_oid = issuer[0].isdigit()
    domain = domains_of(hub).complete("" if by_oid else issuer, issuer if by_oid else "")
    return PatientIdentifier(value, domain.authority)


def _written(identifier: PatientIdentifier) -> str:
    return f"{identifier.value}@{identifier.issuer.namespace}"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError("--as-of must be a time such as 2026-11-21T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _line(entry: LinkEntry) -> dict[str, object]:
    return {
        "logged_at": entry.logged_at.isoformat(),
        "action": entry.action,
        "global_id": entry.global_id,
        "rule": entry.decided.rule,
        "reason": entry.decided.reason,
        "by": entry.decided.by,
        "decision_id": entry.decision_id,
        "score": entry.explanation.score,
        "fields": [vars(note) for note in entry.explanation.fields],
    }
