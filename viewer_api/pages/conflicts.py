"""The conflict desk: what arrived and could not be taken, side by side with what is archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for

from eir_versions.errors import UnrenderableInstanceError
from hub_kernel.errors import HubError, InvalidValueError, NotFoundError
from image_archive.conflict_words import CaseStatus, DecisionState, Verdict
from image_archive.conflicts import CaseQuery
from image_archive.model import QuarantineReason
from viewer_api import conflict_desk
from viewer_api.identity_desk import deciders
from viewer_api.pages.conflict_compare import side_by_side
from viewer_api.pages.language import site_name
from viewer_api.pages.words import gettext, lazy_gettext
from viewer_api.security import current_subject, signed_in
from viewer_api.security.headers import SANDBOXED_POLICY
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from werkzeug.wrappers import Response as BaseResponse

    from viewer_api.conflict_desk import OpenCase
    from viewer_api.pages.words import LazyText

blueprint = Blueprint("conflicts", __name__)

_ROWS = 50
_CHUNK_BYTES = 1_048_576
REASONS: Mapping[QuarantineReason, LazyText] = {
    QuarantineReason.CONFLICTING_INSTANCE: lazy_gettext("Same image, other content"),
    QuarantineReason.CONFLICTING_STUDY: lazy_gettext("One examination, two patients"),
    QuarantineReason.CONTRADICTING_PATIENT: lazy_gettext("Number of somebody else"),
    QuarantineReason.UNREADABLE: lazy_gettext("Could not be read"),
    QuarantineReason.UNKNOWN_SENDER: lazy_gettext("Unknown sender, by way of Orthanc"),
}
STATES: Mapping[CaseStatus, LazyText] = {
    CaseStatus.OPEN: lazy_gettext("To decide"),
    CaseStatus.PENDING: lazy_gettext("Being carried out"),
    CaseStatus.CLOSED: lazy_gettext("Decided"),
    CaseStatus.DISCARDED: lazy_gettext("Discarded"),
}
VERDICT_WORDS: Mapping[Verdict, LazyText] = {
    Verdict.KEEP_FIRST: lazy_gettext("Keep what is archived"),
    Verdict.REPLACE: lazy_gettext("Replace it by the later"),
    Verdict.KEEP_BOTH: lazy_gettext("Keep both, under new UIDs"),
    Verdict.ACCEPT: lazy_gettext("Same person: take it as sent"),
    Verdict.RETRY: lazy_gettext("Try to take it now"),
}
KEYS: Mapping[Verdict, str] = {
    Verdict.KEEP_FIRST: "f",
    Verdict.REPLACE: "r",
    Verdict.KEEP_BOTH: "b",
    Verdict.ACCEPT: "a",
    Verdict.RETRY: "t",
}
DECISION_STATES: Mapping[DecisionState, LazyText] = {
    DecisionState.PENDING: lazy_gettext("being carried out"),
    DecisionState.DONE: lazy_gettext("carried out"),
    DecisionState.FAILED: lazy_gettext("could not be carried out in full"),
    DecisionState.UNDONE: lazy_gettext("taken back"),
}


@blueprint.get("/conflicts")
@signed_in
def page() -> str:
    """Show one page of the cases of one state, of one site if wanted."""
    reasons = conflict_desk.require_desk()
    state = _state(request.args.get("state", ""))
    start, site_id = _number(request.args.get("start", "")), request.args.get("site", "")
    sites = [site for site in services().sites.all() if _may_see(site.site_id)]
    known = {site.site_id: site_name(site) for site in sites}
    wanted = frozenset({site_id}) if site_id in known else current_subject().sites
    query = CaseQuery(state, wanted, reasons, _ROWS, start)
    cases, total = conflict_desk.page_of(query)
    return render_template(
        "conflicts.html",
        cases=cases,
        total=total,
        start=start,
        previous=max(0, start - _ROWS) if start else None,
        next=start + _ROWS if total > start + len(cases) else None,
        state=state,
        states=STATES,
        reasons=REASONS,
        sites=known,
        site=site_id if site_id in known else "",
    )


@blueprint.get("/conflicts/<case_key>")
@signed_in
def case(case_key: str) -> str:
    """Show one case: what is archived and what is parked, side by side."""
    return _shown(conflict_desk.case_of(case_key))


@blueprint.post("/conflicts/<case_key>")
@signed_in
def decide(case_key: str) -> BaseResponse | tuple[str, int]:
    """Carry out a decision, or take one back."""
    found = conflict_desk.case_of(case_key)
    form = request.form
    try:
        if "undo" in form:
            conflict_desk.undo(found, _number(form["undo"]))
        else:
            verdict, reason = form.get("verdict", ""), form.get("reason", "")
            conflict_desk.decide(found, verdict, reason, form.get("patient_id", ""))
    except (InvalidValueError, NotFoundError, HubError) as refused:
        return _shown(conflict_desk.case_of(case_key), str(refused)), 422
    return redirect(url_for("conflicts.case", case_key=case_key), code=303)


@blueprint.get("/conflicts/<case_key>/<int:row_id>/picture")
@signed_in
def picture(case_key: str, row_id: int) -> Response:
    """Answer a small picture of a parked dataset, drawn by a child process."""
    found = conflict_desk.parked_of(_whole(case_key), row_id)
    try:
        with services().archive.backend.open(found.record.storage_key) as stream:
            drawn = services().eir.preview(stream)
    except (UnrenderableInstanceError, NotFoundError):
        abort(404)
    return Response(drawn.data, content_type=drawn.media_type)


@blueprint.get("/conflicts/<case_key>/archived-picture")
@signed_in
def archived_picture(case_key: str) -> Response:
    """Answer a small picture of the archived instance a case contradicts."""
    record = _whole(case_key).shown.record
    try:
        drawn = services().eir.thumbnail(instance=record.sop_instance_uid)
    except (UnrenderableInstanceError, NotFoundError):
        abort(404)
    return Response(drawn.data, content_type=drawn.media_type)


@blueprint.get("/conflicts/<case_key>/<int:row_id>/bytes")
@signed_in
def download(case_key: str, row_id: int) -> Response:
    """Answer what could not be read as an inert attachment: nothing opens it by itself."""
    found = conflict_desk.case_of(case_key)
    if found.reason is not QuarantineReason.UNREADABLE:
        abort(404)
    one = conflict_desk.parked_of(found, row_id)
    try:
        stream = services().archive.backend.open(one.record.storage_key)
    except NotFoundError:
        abort(404)
    conflict_desk.on_record(found, f"downloaded {one.record.dataset_sha256[:16]}")
    answer = Response(_chunks(stream), content_type="application/octet-stream")
    name = f"{one.record.dataset_sha256[:16]}.unreadable"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Content-Security-Policy"] = SANDBOXED_POLICY
    return answer


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _shown(found: OpenCase, refused: str = "") -> str:
    one = found.shown
    return render_template(
        "conflict.html",
        case=found,
        one=one,
        pair=side_by_side(one),
        site=next(
            (site_name(s) for s in services().sites.all() if s.site_id == one.record.site_id),
            one.record.site_id,
        ),
        reason=REASONS[found.reason],
        states=STATES,
        verdict_words=_verdict_words(found.reason),
        keys=KEYS,
        decision_states=DECISION_STATES,
        deciders=deciders(),
        needs_patient_id=found.reason is QuarantineReason.CONTRADICTING_PATIENT,
        may_name_patient=Verdict.KEEP_BOTH in found.verdicts,
        refused=refused,
    )


def _verdict_words(reason: QuarantineReason) -> dict[Verdict, str]:
    words = {verdict: str(word) for verdict, word in VERDICT_WORDS.items()}
    if reason in {QuarantineReason.UNREADABLE, QuarantineReason.UNKNOWN_SENDER}:
        words[Verdict.KEEP_FIRST] = gettext("Discard it")
    if reason is QuarantineReason.CONTRADICTING_PATIENT:
        words[Verdict.KEEP_FIRST] = gettext("Do not take it")
        words[Verdict.KEEP_BOTH] = gettext("Take it under another number")
    return words


def _whole(case_key: str) -> OpenCase:
    found = conflict_desk.case_of(case_key)
    if found.reason is QuarantineReason.UNREADABLE:
        abort(404)
    return found


def _may_see(site_id: str) -> bool:
    sites = current_subject().sites
    return sites is None or site_id in sites


def _state(text: str) -> CaseStatus:
    return CaseStatus(text) if text in {state.value for state in CaseStatus} else CaseStatus.OPEN


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
