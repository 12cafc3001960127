"""The ledger by site: what arrived how far, what is late and why, down to one instance."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, abort, render_template, request

from access_control.model import Action, Purpose, Resource
from edge_gateway.contacts import Contacts
from viewer_api.ledger.instances import instance_ledger, instance_lines
from viewer_api.ledger.lateness import is_silent
from viewer_api.ledger.studies import LedgerView, study_lines
from viewer_api.pages.language import site_name
from viewer_api.pages.ledger_words import LATE_WORDS, REASON_WORDS
from viewer_api.pages.vocabulary import SET_ASIDE_WORDS
from viewer_api.security import require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from access_control.model import Site
    from edge_gateway.model import EdgeContact

blueprint = Blueprint("ledger", __name__)

DAYS = (1, 7, 30)
_MOST_ROWS = 200


@blueprint.get("/ledger/<site_id>")
@signed_in
def page(site_id: str) -> str:
    """Show the ledger of one site: today's studies and everything that is late."""
    site, contact = _ledger_of(site_id)
    days = request.args.get("days", type=int)
    view = _view(contact, days if days in DAYS else DAYS[0])
    with services().database.read() as session:
        lines = study_lines(session, site_id, view)
    return render_template(
        "ledger.html",
        site=site,
        name=site_name(site),
        contact=contact,
        silent=contact is not None and is_silent(contact, view.now),
        reason=REASON_WORDS.get(contact.figures.reason, "") if contact else "",
        lines=lines,
        late_words=LATE_WORDS,
        days=days if days in DAYS else DAYS[0],
        all_days=DAYS,
    )


@blueprint.get("/ledger/<site_id>/studies/<uid:study>")
@signed_in
def study_page(site_id: str, study: str) -> str:
    """Show the instances of one study, what the hub still awaits first."""
    site, _ = _ledger_of(site_id)
    with services().database.read() as session:
        lines = instance_lines(session, site_id, study)
    if not lines:
        abort(404)
    return render_template(
        "ledger_study.html", site=site, name=site_name(site), study=study, lines=lines
    )


@blueprint.get("/ledger/<site_id>/instances/<uid:instance>")
@signed_in
def instance_page(site_id: str, instance: str) -> str:
    """Show everything the ledger knows of one instance."""
    site, _ = _ledger_of(site_id)
    with services().database.read() as session:
        found = instance_ledger(session, site_id, instance)
    if found is None:
        abort(404)
    return render_template(
        "ledger_instance.html",
        site=site,
        name=site_name(site),
        found=found,
        set_aside_words=SET_ASIDE_WORDS,
        deliveries=services().deliveries(instance),
    )


def _ledger_of(site_id: str) -> tuple[Site, EdgeContact | None]:
    """Return the site whose ledger is asked for, when the reader is responsible for it."""
    covered = Resource("operations", site_id[:64], frozenset({site_id}), site_id)
    require(Action.VIEW_OPERATIONS, covered, Purpose.OPERATIONS)
    site = next((one for one in services().sites.all() if one.site_id == site_id), None)
    if site is None:
        abort(404)
    return site, Contacts(services().database, services().clock).all().get(site_id)


def _view(contact: EdgeContact | None, days: int) -> LedgerView:
    now = services().clock.now()
    return LedgerView(now - timedelta(days=days), now, _MOST_ROWS, contact)
