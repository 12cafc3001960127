"""`eirhub hold`: legal holds on studies and people, for scripts."""

from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from access_control.audit import AuditEvent
from access_control.legal_holds import HoldRequest, LegalHold
from access_control.model import Subject, SubjectKind
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings

_BY = click.option("--by", required=True, help="Who says so.")
_REASON = click.option("--reason", required=True, help="Why; no names, no numbers.")


@click.group()
def hold() -> None:
    """Legal holds: what nobody may delete until the hold is lifted."""


@hold.command("add")
@click.option("--study", "study_instance_uid", default="", help="Study Instance UID.")
@click.option("--person", "global_id", default="", help="Global ID: all of the person.")
@_BY
@_REASON
@json_option
@with_settings
def add_hold(settings: Settings, *, as_json: bool, **said: str) -> None:
    """Hold one study, or everything of one person, what comes later too."""
    with opened_hub(settings) as hub:
        request = _request(hub, said)
        placed = hub.access.holds.place(
            request, lambda session, one: _record(hub, session, one, f"placed: {said['reason']}")
        )
    answer(asdict(placed), f"hold {placed.hold_id} is in force", as_json=as_json)


@hold.command("remove")
@click.argument("hold_id", type=int)
@_BY
@_REASON
@json_option
@with_settings
def remove_hold(settings: Settings, hold_id: int, *, as_json: bool, **said: str) -> None:
    """Lift the hold of this number; it stays on record."""
    with opened_hub(settings) as hub:
        lifted = hub.access.holds.lift(
            hold_id,
            f"cli:{said['by']}",
            said["reason"],
            lambda session, one: _record(hub, session, one, f"lifted: {said['reason']}"),
        )
    answer(asdict(lifted), f"hold {hold_id} is lifted", as_json=as_json)


@hold.command("list")
@json_option
@with_settings
def list_holds(settings: Settings, *, as_json: bool) -> None:
    """List the holds in force, the latest first."""
    with opened_hub(settings) as hub:
        holds = hub.access.holds.in_force()
    lines = [
        f"{one.hold_id:6}  {one.placed_at:%Y-%m-%d}  {one.global_id}  "
        f"{one.study_instance_uid or 'the whole person'}  by {one.placed_by}: {one.reason}"
        for one in holds
    ]
    answer([asdict(one) for one in holds], "\n".join(lines) or "nothing is held", as_json=as_json)


def _request(hub: Hub, said: dict[str, str]) -> HoldRequest:
    uid, global_id = said["study_instance_uid"], said["global_id"]
    if bool(uid) == bool(global_id):
        raise InvalidValueError("name either --study or --person")
    if uid:
        study = hub.index.study(uid, with_rejected=True)
        found = hub.patients.resolve(study.patient) if study else None
        if found is None:
            raise NotFoundError("no such study in the archive")
        global_id = found
    return HoldRequest(global_id, f"cli:{said['by']}", said["reason"], uid)


def _record(hub: Hub, session: Session, one: LegalHold, words: str) -> None:
    by = one.lifted_by or one.placed_by
    hub.access.audit.record(
        session,
        AuditEvent(
            action="hold_record",
            outcome="success",
            subject=Subject(SubjectKind.USER, by, by.removeprefix("cli:")),
            resource_kind="study" if one.study_instance_uid else "patient",
            resource_id=one.study_instance_uid or one.global_id,
            address="",
            detail=f"hold {one.hold_id} {words}",
        ),
    )
