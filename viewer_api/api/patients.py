"""`/api/v1/patients`: find a person, and that person's record as a timeline across sites."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from access_control.model import Action, Resource
from viewer_api.api.forms import person_form, study_form
from viewer_api.errors import BadQueryError
from viewer_api.found_people import require_search, shown
from viewer_api.security import (
    current_subject,
    person_resource,
    refuse,
    require,
    shown_persons,
    signed_in,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from hub_kernel.identifiers import AssigningAuthority

blueprint = Blueprint("api_patients", __name__, url_prefix="/api/v1")

_LONGEST_TEXT = 64
_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100


@blueprint.get("/patients")
@signed_in
def search() -> Response:
    """Answer the people whom `q` names: a name, pinyin, initials or any number."""
    require_search()
    text = request.args.get("q", "").strip()
    if not 1 <= len(text) <= _LONGEST_TEXT or "\0" in text:
        raise BadQueryError(f"q must have 1 to {_LONGEST_TEXT} characters")
    found = services().patients.search(text, issuers=_issuers_of_subject(), limit=_limit())
    people = shown_persons(found)
    shown(people)
    return jsonify({"patients": [person_form(person) for person in people]})


@blueprint.get("/patients/<string:global_id>/timeline")
@signed_in
def timeline(global_id: str) -> Response:
    """Answer one person's studies of every site, newest first."""
    person = services().patients.person(global_id)
    if person is None:
        refuse(Action.VIEW_RECORD, Resource(kind="patient", resource_id=global_id[:64]))
    require(Action.VIEW_RECORD, person_resource(person))
    studies = services().index.studies_of(person.identifiers)
    newest_first = sorted(
        studies, key=lambda s: (str(s.study_date or ""), s.study_time, s.received_at), reverse=True
    )
    return jsonify(
        {"patient": person_form(person), "studies": [study_form(study) for study in newest_first]}
    )


def _issuers_of_subject() -> frozenset[AssigningAuthority] | None:
    sites = current_subject().sites
    if sites is None:
        return None
    return frozenset(
        site.assigning_authority for site in services().sites.all() if site.site_id in sites
    )


def _limit() -> int:
    text = request.args.get("limit", str(_DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _MAX_LIMIT:
        raise BadQueryError(f"limit must be a number from 1 to {_MAX_LIMIT}")
    return int(text)
