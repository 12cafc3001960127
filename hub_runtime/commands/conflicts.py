"""`eirhub archive conflicts`: the conflict desk for scripts."""

from dataclasses import asdict
from typing import Any

import click

from access_control.audit_message import AuditEvent
from access_control.model import Subject, SubjectKind
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.conflict_room import conflict_room
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings
from image_archive.conflict_words import CaseStatus, Decided, Decision, DecisionState, Verdict
from image_archive.conflicts import CaseQuery, ConflictCase, Parked
from image_archive.model import TOLD


@click.group()
def conflicts() -> None:
    """What arrived and could not be taken."""


@conflicts.command("list")
@click.option("--status", type=click.Choice([s.value for s in CaseStatus]), default="open")
@click.option("--site", "site_id", help="Of this site alone.")
@click.option("--limit", default=100, show_default=True)
@click.option("--offset", default=0, show_default=True)
@json_option
@with_settings
def list_conflicts(
    settings: Settings, status: str, site_id: str | None, *, as_json: bool, **page: int
) -> None:
    """List the cases of one status, the latest first."""
    sites = frozenset({site_id}) if site_id else None
    query = CaseQuery(CaseStatus(status), sites, limit=page["limit"], offset=page["offset"])
    with opened_hub(settings) as hub:
        cases = conflict_room(hub).resolver.cases.page(query)
    lines = [
        f"{one.case_key[:16]}  {one.reason:22} {one.site_id:12} {one.calling_ae_title:16} "
        f"{one.instances:5} of {one.study_instance_uid or one.sop_instance_uid}"
        for one in cases
    ]
    answer([_told(one) for one in cases], "\n".join(lines) or "nothing waits", as_json=as_json)


@conflicts.command("show")
@click.argument("case_key")
@json_option
@with_settings
def show_conflict(settings: Settings, case_key: str, *, as_json: bool) -> None:
    """Show one case (its key, or the beginning of it): what is parked, what was decided."""
    with opened_hub(settings) as hub:
        key = _key(hub, case_key)
        parked, decisions = (
            conflict_room(hub).resolver.cases.parked(key),
            conflict_room(hub).resolver.cases.decisions(key),
        )
    shown = {
        "case_key": key,
        "parked": [_told_parked(one) for one in parked],
        "decisions": [asdict(one) for one in decisions],
    }
    lines = [f"case {key}"]
    lines += [
        f"  {one.status:9} {one.record.sop_instance_uid} sha256:{one.record.dataset_sha256[:16]} "
        f"{one.record.dataset_bytes} bytes, sent {one.times}x, told 0x{TOLD[one.record.reason]:04X}"
        for one in parked
    ]
    lines += [f"  {_line(one)}" for one in decisions]
    answer(shown, "\n".join(lines), as_json=as_json)


@conflicts.command("resolve")
@click.argument("case_key")
@click.argument("verdict", type=click.Choice([*(v.value for v in Verdict), "undo"]))
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why; no names, no numbers.")
@click.option("--patient-id", default="", help="The right patient ID, with keep-both.")
@json_option
@with_settings
def resolve_conflict(
    settings: Settings, case_key: str, verdict: str, *, as_json: bool, **said: str
) -> None:
    """Decide a case, or take the last decision about it back; exit 1 if it is not carried out."""
    with opened_hub(settings) as hub:
        decision = _resolved(hub, _key(hub, case_key), verdict, said)
    answer(asdict(decision), _line(decision), as_json=as_json)
    if decision.state is DecisionState.FAILED:
        raise SystemExit(1)


def _resolved(hub: Hub, key: str, verdict: str, said: dict[str, str]) -> Decision:
    desk = conflict_room(hub)
    event = AuditEvent(
        action="resolve_conflict",
        outcome="success",
        subject=Subject(SubjectKind.USER, f"cli:{said['by']}"[:128], said["by"]),
        resource_kind="study",
        resource_id=desk.resolver.cases.parked(key)[0].record.study_instance_uid,
        address="",
        detail=f"conflict {key[:16]}: {verdict}: {said['reason']}",
    )
    if verdict != "undo":
        decided = Decided(f"cli:{said['by']}", said["reason"], said["patient_id"])
        return desk.resolver.decide(
            key, Verdict(verdict), decided, lambda session: _record(hub, session, event)
        )
    last = next((one for one in desk.resolver.cases.decisions(key) if one.can_be_undone), None)
    if last is None:
        raise click.ClickException("nothing was decided about this case that can be taken back")
    desk.resolver.undo(
        last.decision_id, f"cli:{said['by']}", lambda session: _record(hub, session, event)
    )
    return desk.resolver.decision(last.decision_id)


def _record(hub: Hub, session: Any, event: AuditEvent) -> None:
    hub.access.audit.record(session, event)


def _key(hub: Hub, beginning: str) -> str:
    return conflict_room(hub).resolver.cases.key_of(beginning)


def _told(one: ConflictCase) -> dict[str, object]:
    return asdict(one) | {"told": f"0x{TOLD[one.reason]:04X}"}


def _told_parked(one: Parked) -> dict[str, object]:
    record = one.record
    return {
        "row_id": one.row_id,
        "status": one.status,
        "reason": record.reason,
        "sop_instance_uid": record.sop_instance_uid,
        "study_instance_uid": record.study_instance_uid,
        "site_id": record.site_id,
        "calling_ae_title": record.calling_ae_title,
        "dataset_sha256": record.dataset_sha256,
        "dataset_bytes": record.dataset_bytes,
        "received_at": record.received_at,
        "last_received_at": one.last_received_at,
        "times": one.times,
        "told": f"0x{TOLD[record.reason]:04X}",
        "detail": record.detail,
    }


def _line(one: Decision) -> str:
    return f"{one.verdict} by {one.decided_by} at {one.decided_at:%Y-%m-%d %H:%M}: {one.state}"
