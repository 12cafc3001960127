"""`/api/v1/ledger`: the ledger by site, of one site, and of one instance, without patient data."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, jsonify, request

from access_control.model import Action, Purpose, Resource
from edge_gateway.contacts import Contacts
from edge_gateway.report import figures_body
from viewer_api.api.forms import moment
from viewer_api.api.parameters import whole_number
from viewer_api.errors import BadQueryError
from viewer_api.ledger.instances import instance_ledger
from viewer_api.ledger.sites import site_ledgers
from viewer_api.ledger.studies import LedgerView, study_lines
from viewer_api.security import current_subject, require, signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from edge_gateway.model import EdgeContact

blueprint = Blueprint("api_ledger", __name__, url_prefix="/api/v1")

_LONGEST_DAYS = 366
_MOST_STUDIES = 500


@blueprint.get("/ledger")
@signed_in
def sites() -> Response:
    """Answer every ledger the asker is responsible for, in figures."""
    subject = current_subject()
    covered = [
        site.site_id
        for site in services().sites.all()
        if subject.sites is None or site.site_id in subject.sites
    ]
    resource = Resource("operations", site_ids=frozenset(covered))
    require(Action.VIEW_OPERATIONS, resource, Purpose.OPERATIONS)
    contacts = Contacts(services().database, services().clock).all()
    with services().database.read() as session:
        found = site_ledgers(session, covered, contacts, _view(None))
    return jsonify(
        {
            "sites": [
                {
                    "site_id": ledger.site_id,
                    "gateway": _contact(ledger.contact),
                    "awaited": ledger.awaited,
                    "awaited_bytes": ledger.awaited_bytes,
                    "lag_s": int(ledger.lag.total_seconds()),
                    "late": ledger.late,
                    "silent": ledger.silent,
                }
                for ledger in found.values()
            ]
        }
    )


@blueprint.get("/ledger/<site_id>")
@signed_in
def studies(site_id: str) -> Response:
    """Answer the studies of one site: instances by stage, and why a study is late."""
    _require(site_id)
    contact = Contacts(services().database, services().clock).all().get(site_id)
    with services().database.read() as session:
        lines = study_lines(session, site_id, _view(contact))
    return jsonify(
        {
            "site_id": site_id,
            "gateway": _contact(contact),
            "studies": [_plain(asdict(line)) for line in lines],
        }
    )


@blueprint.get("/ledger/<site_id>/instances/<uid:instance>")
@signed_in
def one_instance(site_id: str, instance: str) -> Response:
    """Answer everything the ledger knows of one instance."""
    _require(site_id)
    with services().database.read() as session:
        found = instance_ledger(session, site_id, instance)
    if found is None:
        abort(404)
    deliveries = [_plain(asdict(one)) for one in services().deliveries(instance)]
    return jsonify({**_plain(asdict(found)), "forwarded": deliveries})


def _require(site_id: str) -> None:
    covered = Resource("operations", site_id[:64], frozenset({site_id}), site_id)
    require(Action.VIEW_OPERATIONS, covered, Purpose.OPERATIONS)
    if all(site.site_id != site_id for site in services().sites.all()):
        abort(404)


def _view(contact: EdgeContact | None) -> LedgerView:
    days = whole_number("days", default=1, least=1, most=_LONGEST_DAYS)
    late = request.args.get("late", "false")
    if late not in {"true", "false"}:
        raise BadQueryError("late: true or false")
    now = services().clock.now()
    since = now - timedelta(days=days)
    return LedgerView(since, now, _MOST_STUDIES, contact, late_only=late == "true")


def _contact(contact: EdgeContact | None) -> dict[str, Any] | None:
    if contact is None:
        return None
    return {
        "last_contact_at": moment(contact.last_contact_at),
        **figures_body(contact.figures),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return moment(value) if isinstance(value, datetime) else value
