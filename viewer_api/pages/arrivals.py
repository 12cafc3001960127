"""Has it arrived? A technician's studies of today, each with four lamps that say how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from access_control.model import NO_REFUSALS, Action, Purpose, Resource, Role
from viewer_api.pages.activity import (
    Arrival,
    arrivals_since,
    broken_counts,
    set_aside_since,
)
from viewer_api.pages.language import local_midnight
from viewer_api.pages.people import site_book
from viewer_api.pages.vocabulary import SET_ASIDE_WORDS
from viewer_api.pages.words import gettext
from viewer_api.security import current_subject, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from access_control.model import Refusals
    from hub_kernel.identifiers import PatientIdentifier

blueprint = Blueprint("arrivals", __name__)

_MOST_ROWS = 100
_LATE = timedelta(minutes=10)


class Lamp(StrEnum):
    """What a lamp shows; never by colour alone, its word stands beside it."""

    ON = "on"
    WAIT = "wait"
    BAD = "bad"


@dataclass(frozen=True)
class ArrivalLine:
    """One study with its lamps, and in words what to do when one is red."""

    arrival: Arrival
    site: str
    received: Lamp
    durable: Lamp
    registered: Lamp
    rendered: Lamp
    advice: str
    hidden: bool


@blueprint.get("/arrivals")
@signed_in
def page() -> str:
    """Show what the reader's sites sent today."""
    subject, sites = current_subject(), services().sites.all()
    own = frozenset(
        site.site_id for site in sites if subject.sites is None or site.site_id in subject.sites
    )
    require(Action.VIEW_OPERATIONS, Resource("operations", site_ids=own), Purpose.OPERATIONS)
    midnight, book = local_midnight(), site_book()
    with services().database.read() as session:
        arrivals = arrivals_since(session, own, midnight, limit=_MOST_ROWS)
        broken = broken_counts(session, [one.study_instance_uid for one in arrivals])
        set_aside = set_aside_since(session, own, midnight)
    refusing = services().consents.refusals_among({one.patient for one in arrivals})
    lines = [
        _line(one, book.name(one.site_id), broken.get(one.study_instance_uid, 0), refusing)
        for one in arrivals
    ]
    return render_template(
        "arrivals.html",
        lines=lines,
        set_aside=set_aside,
        set_aside_words=SET_ASIDE_WORDS,
        sites={site_id: book.name(site_id) for site_id in sorted(own)},
        several_sites=len(own) > 1,
        # Who only runs the hub follows studies, not people (least privilege).
        shows_patients=Role.TECHNICIAN in subject.roles,
    )


def _line(
    arrival: Arrival, site: str, broken: int, refusing: Mapping[PatientIdentifier, Refusals]
) -> ArrivalLine:
    refusals = refusing.get(arrival.patient, NO_REFUSALS)
    late = _is_late(arrival, services().clock.now())
    registered = _lamp(_is_registered(arrival), arrival, late=late)
    rendered = _lamp(_is_rendered(arrival), arrival, late=late)
    durable = Lamp.BAD if broken else Lamp.ON
    return ArrivalLine(
        arrival=arrival,
        site=site,
        received=Lamp.ON if arrival.complete else Lamp.WAIT,
        durable=durable,
        registered=registered,
        rendered=rendered,
        advice=_advice(durable, registered, rendered),
        hidden=refusals.everyone or arrival.site_id in refusals.site_ids,
    )


def _lamp(done: bool, arrival: Arrival, *, late: bool) -> Lamp:  # noqa: FBT001  # the lamp's state
    if done and arrival.complete:
        return Lamp.ON
    return Lamp.BAD if late else Lamp.WAIT


def _is_late(arrival: Arrival, now: datetime) -> bool:
    return arrival.completed_at is not None and now - arrival.completed_at > _LATE


def _is_registered(arrival: Arrival) -> bool:
    return services().registry.manifest_of(arrival.study_instance_uid) is not None


def _is_rendered(arrival: Arrival) -> bool:
    version = services().eir.version(arrival.study_instance_uid, "clinical")
    return version is not None and version.generation == arrival.generation


def _advice(durable: Lamp, registered: Lamp, rendered: Lamp) -> str:
    if durable is Lamp.BAD:
        return gettext("A stored picture is damaged. Send this examination again: it mends it.")
    if registered is Lamp.BAD:
        return gettext(
            "Not registered yet. Nothing is lost; tell the regional centre the study number."
        )
    if rendered is Lamp.BAD:
        return gettext("Pictures for the wards are late. Radiologists can read it already.")
    return ""
