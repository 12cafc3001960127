"""Has it arrived? The technician's page on the gateway: today's studies, the line, the disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from access_control.model import Action, Purpose, Resource, Role
from edge_gateway import marks
from edge_gateway.model import StudyDeliveries
from edge_gateway.problems import ALL
from viewer_api.edge_services import edge_services
from viewer_api.language import asker_language
from viewer_api.pages.activity import Arrival, arrivals_of, arrivals_since, broken_counts
from viewer_api.pages.arrivals import Lamp
from viewer_api.pages.language import local_midnight, site_name
from viewer_api.pages.ledger_words import REASON_WORDS
from viewer_api.pages.words import gettext
from viewer_api.security import current_subject, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from datetime import datetime

    from edge_gateway.model import EdgeFigures, StudyProgress

blueprint = Blueprint("edge", __name__)

_MOST_ROWS = 100
_LATE = timedelta(minutes=10)


@dataclass(frozen=True)
class EdgeLine:
    """One study: its lamps, how much of it the hub has, and in words what to do when one is red."""

    arrival: Arrival
    delivered: int
    durable: Lamp
    at_hub: Lamp
    registered: Lamp
    rendered: Lamp
    advice: str


@blueprint.get("/arrived")
@signed_in
def page() -> str:
    """Show what this site sent today, and what of earlier days is not finished."""
    site_id = services().settings.edge.site_id
    covered = Resource("operations", site_id, frozenset({site_id}), site_id)
    require(Action.VIEW_OPERATIONS, covered, Purpose.OPERATIONS)
    own, now = edge_services(), services().clock.now()
    figures = own.figures()
    lines = _lines(site_id, figures, now)
    contact = own.marks.noted_at(marks.CONTACT)
    return render_template(
        "edge.html",
        name=_own_name(site_id),
        lines=lines,
        figures=figures,
        reason=REASON_WORDS.get(figures.reason, ""),
        contact=contact,
        compared=own.marks.noted_at(marks.COMPARED),
        differences=int(own.marks.get(marks.COMPARED) or 0),
        disk_percent=_percent(figures),
        keep_days=services().settings.edge.keep_days,
        # Who only runs the gateway follows studies, not people (least privilege).
        shows_patients=Role.TECHNICIAN in current_subject().roles,
    )


def _lines(site_id: str, figures: EdgeFigures, now: datetime) -> list[EdgeLine]:
    own = edge_services()
    with services().database.read() as session:
        today = arrivals_since(session, frozenset({site_id}), local_midnight(), limit=_MOST_ROWS)
        shown = {one.study_instance_uid for one in today}
        older = [uid for uid in own.unfinished(_MOST_ROWS) if uid not in shown]
        arrivals = [*today, *arrivals_of(session, older)]
        uids = [one.study_instance_uid for one in arrivals]
        broken = broken_counts(session, uids)
    deliveries, at_hub = own.deliveries(uids), own.ledger.at_hub(uids)
    return [
        _line(
            one,
            deliveries.get(one.study_instance_uid, StudyDeliveries()),
            at_hub.get(one.study_instance_uid),
            broken=broken.get(one.study_instance_uid, 0) > 0,
            late=bool(figures.reason) or now - one.last_received_at > _LATE,
        )
        for one in arrivals
    ]


def _line(
    arrival: Arrival,
    sent: StudyDeliveries,
    hub: StudyProgress | None,
    *,
    broken: bool,
    late: bool,
) -> EdgeLine:
    whole = sent.delivered >= arrival.instance_count
    unfinished = Lamp.BAD if sent.parked or late else Lamp.WAIT
    at_hub = Lamp.ON if whole and not sent.parked else unfinished
    return EdgeLine(
        arrival=arrival,
        delivered=sent.delivered,
        durable=Lamp.BAD if broken else Lamp.ON,
        at_hub=at_hub,
        registered=_lamp(whole and hub is not None and hub.registered),
        rendered=_lamp(whole and hub is not None and hub.rendered),
        advice=_advice(sent, at_hub, hub, broken=broken),
    )


def _lamp(done: bool) -> Lamp:  # noqa: FBT001  # the lamp's state
    return Lamp.ON if done else Lamp.WAIT


def _advice(sent: StudyDeliveries, at_hub: Lamp, hub: StudyProgress | None, *, broken: bool) -> str:
    if broken or (hub is not None and hub.damaged):
        return gettext("A stored picture is damaged. Send this examination again: it mends it.")
    problem = ALL.get(sent.problem)
    if sent.parked and problem is not None:
        return problem.advice if asker_language() == "en" else problem.advice_zh
    if sent.parked:
        return gettext("The hub refuses pictures of it. Tell the regional centre the number.")
    if at_hub is Lamp.BAD:
        return gettext("Not at the hub yet. It is safe here and goes on by itself.")
    return ""


def _own_name(site_id: str) -> str:
    site = next((one for one in services().sites.all() if one.site_id == site_id), None)
    return site_name(site) if site else site_id


def _percent(figures: EdgeFigures) -> int:
    """How full the disk of the spool is, 0 to 100."""
    if not figures.total_bytes:
        return 0
    return round(100 * (figures.total_bytes - figures.free_bytes) / figures.total_bytes)
