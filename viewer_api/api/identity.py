"""`/api/v1/identity`: the review desk, a person's links and their changes, how linking goes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from viewer_api import identity_changes, identity_desk
from viewer_api.api.forms import identifier_form, moment, person_form
from viewer_api.api.parameters import json_body, whole_number
from viewer_api.errors import BadQueryError
from viewer_api.identity_desk import DECIDED, WAITING, Case
from viewer_api.identity_queue import page_of
from viewer_api.pages.identity_drift import require_drift
from viewer_api.security import signed_in
from viewer_api.services import services

if TYPE_CHECKING:
    from hub_kernel.identifiers import PatientIdentifier
    from patient_index.model import Decision, Explanation, LinkEntry, Person

blueprint = Blueprint("api_identity", __name__, url_prefix="/api/v1/identity")

_STATES = (WAITING, identity_desk.ASKED, DECIDED)


@blueprint.get("/reviews")
@signed_in
def reviews() -> Response:
    """Answer one queue of the review desk, those that wait in the order of risk."""
    identity_desk.require_desk()
    state = request.args.get("state", WAITING)
    if state not in _STATES:
        raise BadQueryError(f"state must be one of {', '.join(_STATES)}")
    start = whole_number("start", default=0, most=10_000_000)
    limit = whole_number("limit", default=50, least=1, most=100)
    found = page_of(state, limit=limit, start=start)
    return jsonify(
        {
            "reviews": [_case_form(case) for case in found.cases],
            "total": found.total,
            "next": found.next,
        }
    )


@blueprint.get("/reviews/<int:review_id>")
@signed_in
def review(review_id: int) -> Response:
    """Answer one question with both people and the weight of each field."""
    return jsonify(_case_form(identity_desk.case_of(review_id)))


@blueprint.post("/reviews/<int:review_id>/decision")
@signed_in
def decide(review_id: int) -> Response:
    """Answer a question: link, keep-apart or ask-site."""
    case = identity_desk.case_of(review_id)
    wanted = json_body({"verdict": str, "reason": str}, required=("verdict",))
    identity_desk.answer(case, wanted["verdict"], wanted.get("reason", ""))
    return jsonify(_case_form(identity_desk.case_of(review_id)))


@blueprint.delete("/reviews/<int:review_id>/decision")
@signed_in
def take_back_review(review_id: int) -> Response:
    """Take back the answer to a question, with the links that came of it."""
    identity_desk.take_back(identity_desk.case_of(review_id), "")
    return jsonify(_case_form(identity_desk.case_of(review_id)))


@blueprint.get("/people/<string:global_id>/history")
@signed_in
def history(global_id: str) -> Response:
    """Answer a person's numbers, now or `as_of`, and every change that brought them together."""
    person = identity_desk.require_person(global_id)
    as_of = _as_of()
    entries = identity_changes.entries_of(person)
    decisions = identity_changes.decisions_of(person, entries)
    numbers = (
        services().patients.identifiers_of(global_id, as_of=as_of) if as_of else person.identifiers
    )
    return jsonify(
        {
            "global_id": global_id,
            "as_of": moment(as_of),
            "identifiers": [identifier_form(number) for number in numbers],
            "log": [_entry_form(one) for one in entries if as_of is None or one.logged_at <= as_of],
            "decisions": [
                _decision_form(one) for one in decisions if as_of is None or one.decided_at <= as_of
            ],
        }
    )


@blueprint.post("/people/<string:global_id>/merge")
@signed_in
def merge(global_id: str) -> Response:
    """Make everything of another person (`other`) resolve to this one."""
    person = identity_desk.require_person(global_id)
    wanted = json_body({"other": str, "reason": str}, required=("other", "reason"))
    other = identity_desk.require_person(wanted["other"])
    outcome = identity_changes.merge(person, other, wanted["reason"])
    return jsonify({"global_id": outcome.global_id, "decision_id": outcome.decision_id})


@blueprint.post("/people/<string:global_id>/separate")
@signed_in
def separate(global_id: str) -> Response:
    """Make one number of a person a person of its own again (unmerge)."""
    person = identity_desk.require_person(global_id)
    wanted = json_body(_NUMBER | {"reason": str}, required=("value", "oid", "reason"))
    own = identity_changes.separate(person, _number(person, wanted), wanted["reason"])
    return jsonify({"global_id": own})


@blueprint.post("/people/<string:global_id>/move")
@signed_in
def move(global_id: str) -> Response:
    """Make one number of a person resolve to another person (`other`)."""
    person = identity_desk.require_person(global_id)
    wanted = json_body(
        _NUMBER | {"other": str, "reason": str}, required=("value", "oid", "other", "reason")
    )
    other = identity_desk.require_person(wanted["other"])
    identity_changes.move(person, _number(person, wanted), other, wanted["reason"])
    return jsonify({"global_id": other.global_id})


@blueprint.post("/people/<string:global_id>/decisions/<int:decision_id>/take-back")
@signed_in
def take_back(global_id: str, decision_id: int) -> Response:
    """Take back one decision that concerned a person."""
    person = identity_desk.require_person(global_id)
    wanted = json_body({"reason": str}, required=("reason",))
    undoing = identity_changes.take_back(person, decision_id, wanted["reason"])
    return jsonify({"decision_id": undoing, "undoes": decision_id})


@blueprint.get("/drift")
@signed_in
def drift() -> Response:
    """Answer how linking has gone in the last thirty days."""
    found = require_drift()
    return jsonify(
        {
            "days": [
                asdict(day) | {"begins_at": moment(day.begins_at), "review_rate": day.review_rate}
                for day in found.days
            ],
            "linked_scores": {f"{edge:g}": count for edge, count in found.linked_scores.items()},
            "asked_scores": {f"{edge:g}": count for edge, count in found.asked_scores.items()},
            "duplicates": [asdict(one) | {"percent": one.percent} for one in found.duplicates],
        }
    )


_NUMBER: dict[str, type] = {"value": str, "oid": str}


def _number(person: Person, wanted: dict[str, Any]) -> PatientIdentifier:
    for number in person.identifiers:
        if (number.value, number.issuer.oid) == (wanted["value"], wanted["oid"]):
            return number
    raise BadQueryError("value and oid must name a number of this person")


def _as_of() -> datetime | None:
    text = request.args.get("as_of", "")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadQueryError("as_of must be a date and time of ISO 8601") from error
    if found.tzinfo is None:
        raise BadQueryError("as_of must name its time zone")
    return found


def _case_form(case: Case) -> dict[str, Any]:
    review_ = case.review
    answer = case.answer
    return {
        "review_id": review_.review_id,
        "state": case.state,
        "rule": review_.rule,
        "reason": review_.reason,
        "raised_at": moment(review_.raised_at),
        "identifier": identifier_form(review_.identifier),
        "candidate": identifier_form(review_.candidate),
        "people": [person_form(person) for person in case.people],
        "evidence": _explanation_form(review_.explanation),
        "decision": None
        if answer is None or not case.verdict
        else {
            "verdict": case.verdict,
            "by": answer.by,
            "at": moment(answer.at),
            "reason": answer.reason,
            "decision_id": answer.decision_id,
        },
    }


def _explanation_form(explanation: Explanation) -> dict[str, Any]:
    return {
        "score": explanation.score,
        "weights": explanation.weights,
        "fields": [asdict(note) for note in explanation.fields],
    }


def _entry_form(entry: LinkEntry) -> dict[str, Any]:
    return {
        "identifier": identifier_form(entry.identifier),
        "global_id": entry.global_id,
        "action": entry.action,
        "at": moment(entry.logged_at),
        "by": entry.decided.by,
        "rule": entry.decided.rule,
        "reason": entry.decided.reason,
        "decision_id": entry.decision_id,
    }


def _decision_form(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.decision_id,
        "action": decision.action,
        "survivor": decision.survivor,
        "subsumed": decision.subsumed,
        "at": moment(decision.decided_at),
        "by": decision.decided.by,
        "rule": decision.decided.rule,
        "reason": decision.decided.reason,
        "moved": [identifier_form(number) for number in decision.moved],
        "evidence": _explanation_form(decision.explanation),
        "undoes": decision.undoes,
        "undone_by": decision.undone_by,
    }
