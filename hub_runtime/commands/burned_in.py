"""`eirhub eir burned-in`: the desk for text in pictures, for scripts."""

from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from access_control.audit_message import AuditEvent
from access_control.model import Subject, SubjectKind
from eir_versions.deidentification.boxes import parse_boxes
from eir_versions.deidentification.burned_in import Case, CaseState, Verdict
from eir_versions.deidentification.desk import Decision
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings


@click.group("burned-in")
def burned_in() -> None:
    """Pictures with text in their pixels, held back from the public."""


@burned_in.command("list")
@click.option("--state", type=click.Choice([s.value for s in CaseState]), default="held")
@click.option("--site", "site_id", help="Of this site alone.")
@click.option("--limit", default=100, show_default=True)
@click.option("--offset", default=0, show_default=True)
@json_option
@with_settings
def list_cases(
    settings: Settings, state: str, site_id: str | None, *, as_json: bool, **page: int
) -> None:
    """List the pictures of one state, the latest first; what was read in them is on the page."""
    sites = frozenset({site_id}) if site_id else None
    with opened_hub(settings) as hub:
        cases = hub.eir.burned_in.cases(CaseState(state), sites, **page)
    lines = [
        f"{one.case_id}  {one.cause:7} {one.modality:4} {one.site_id:12} "
        f"{len(one.lines):3} lines  {one.sop_instance_uid} frame {one.frame_number}"
        for one in cases
    ]
    told = [asdict(one) | {"lines": len(one.lines)} for one in cases]
    answer(told, "\n".join(lines) or "nothing waits", as_json=as_json)


def _deciding(verdict: Verdict, words: str) -> click.Command:
    @click.argument("case_id")
    @click.option("--by", required=True, help="Who decides.")
    @click.option("--reason", required=True, help="Why; no names, no numbers.")
    @click.option("--box", "boxes", multiple=True, help="LEFT,TOP,WIDTH,HEIGHT, with mask.")
    @json_option
    @with_settings
    def decide(
        settings: Settings, case_id: str, boxes: tuple[str, ...], *, as_json: bool, **said: str
    ) -> None:
        decision = Decision(
            verdict, f"cli:{said['by']}", said["reason"], parse_boxes(" ".join(boxes))
        )
        with opened_hub(settings) as hub:
            case = _decided(hub, case_id, decision)
        answer({"case_id": case.case_id, "state": case.state}, f"{case.state}", as_json=as_json)

    return click.command(verdict.value, help=words)(decide)


burned_in.add_command(_deciding(Verdict.CLEAR, "It names nobody: show it as it is."))
burned_in.add_command(
    _deciding(Verdict.MASK, "Blacken what was found, or the rectangles of --box, and show it.")
)
burned_in.add_command(_deciding(Verdict.KEEP, "Keep it back for good."))


def _decided(hub: Hub, case_id: str, decision: Decision) -> Case:
    case = hub.eir.burned_in.case(case_id)
    event = AuditEvent(
        action="clear_pictures",
        outcome="success",
        subject=Subject(SubjectKind.USER, decision.by[:128], decision.by),
        resource_kind="study",
        resource_id=case.study_instance_uid,
        address="",
        detail=f"burned-in {case.case_id[:8]} {decision.verdict}: {decision.reason.strip()}",
    )

    def on_record(session: Session) -> None:
        hub.access.audit.record(session, event)

    return hub.eir.burned_in.decide(case, decision, on_record)
