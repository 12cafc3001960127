"""A shared link on a citizen's phone: passcode first, then the public version of one study.

Guessed, expired, revoked and locked links read alike. The secret of the link is in its address
alone: once opened, a short-lived cookie carries the right and the address no longer does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import (
    Blueprint,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)

from access_control.errors import LinkRefusedError
from access_control.model import Action, Resource, SubjectKind
from eir_versions.errors import RenditionLostError
from viewer_api.pages.public_exam import exam_of, let_in
from viewer_api.security import (
    LINK_COOKIE,
    current_subject,
    named_cookie,
    open_to_everyone,
    permitted,
    record_access,
    set_named_cookie,
    study_resource,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from access_control.shared_links import LinkGrant
    from image_archive.model import StudyRecord

blueprint = Blueprint("shared", __name__)

_LONGEST_TOKEN = 128
_REFUSED_STATUS = 404


@blueprint.get("/share/<token>")
@open_to_everyone
def door(token: str) -> AnyResponse:
    """Ask for the passcode; a signed-in doctor who may see the study goes straight to it.

    Nothing is looked up for anybody else: the form says nothing about the link.
    """
    study_uid = _study_for_doctor(token)
    if study_uid:
        return _quiet(redirect(url_for("study.page", study_uid=study_uid), code=303))
    return _quiet(make_response(render_template("shared_door.html", refused=False)))


@blueprint.post("/share/<token>")
@open_to_everyone
def enter(token: str) -> AnyResponse:
    """Open the link; every refusal is this same form with the same words and status.

    A doctor who has not signed in yet does so first and comes back to the link's other door.
    """
    if request.form.get("door") == "doctor":
        back = url_for("shared.door", token=token)
        return _quiet(redirect(url_for("sign_in.page", next=back), code=303))
    address = request.remote_addr or ""
    try:
        grant = services().links.open(
            token[:_LONGEST_TOKEN], request.form.get("passcode", ""), address
        )
    except LinkRefusedError:
        record_access("open_link", "refused", Resource("study"))
        body = render_template("shared_door.html", refused=True)
        return _quiet(make_response(body, _REFUSED_STATUS))
    if let_in(grant, opening=True) is None:
        body = render_template("shared_door.html", refused=True)
        return _quiet(make_response(body, _REFUSED_STATUS))
    answer = redirect(url_for("shared.exam"), code=303)
    life_s = int((grant.ends_at - services().clock.now()).total_seconds())
    set_named_cookie(answer, LINK_COOKIE, grant.grant_token, max_age_s=max(life_s, 1))
    return _quiet(answer)


@blueprint.get("/share/exam")
@open_to_everyone
def exam() -> AnyResponse:
    """Show the public version that this browser has opened."""
    study, grant = _opened()
    visits = services().links.visits(grant.link_id)
    body = render_template("shared_exam.html", exam=exam_of(study), visits=visits)
    return _quiet(make_response(body))


@blueprint.get("/share/exam/pictures/<picture_id>")
@open_to_everyone
def picture(picture_id: str) -> AnyResponse:
    """Answer one picture of the public version that this browser has opened."""
    study, _ = _opened()
    version = services().eir.shown_version(study.study_instance_uid, "public")
    pictures = version.key_pictures if version else ()
    asked = [one for one in pictures if one.picture_id == picture_id]
    if not asked:
        abort(404)
    try:
        body = services().eir.picture_bytes(asked[0])
    except RenditionLostError:
        abort(404)
    return _quiet(Response(body, content_type=asked[0].media_type))


def opened_study() -> StudyRecord:
    """Return the study this browser's link opens; without one the request ends like a dead link."""
    return _opened()[0]


def quiet(body: str) -> AnyResponse:
    """Return a page of a shared link, kept out of caches and its address out of every Referer."""
    return _quiet(make_response(body))


def _opened() -> tuple[StudyRecord, LinkGrant]:
    """The study this browser's grant opens; without one, the answer a dead link gives."""
    token = named_cookie(LINK_COOKIE)
    grant = services().links.grant(token) if token else None
    study = let_in(grant) if grant else None
    if grant is None or study is None:
        abort(_over())
    return study, grant


def _over() -> AnyResponse:
    return _quiet(make_response(render_template("shared_over.html"), _REFUSED_STATUS))


def _study_for_doctor(token: str) -> str:
    if current_subject().kind is not SubjectKind.USER:
        return ""
    link = services().links.behind(token[:_LONGEST_TOKEN])
    study = services().index.study(link.study_instance_uid) if link else None
    if study is None or not permitted(Action.VIEW_CLINICAL, study_resource(study)):
        return ""
    return study.study_instance_uid


def _quiet(answer: AnyResponse) -> AnyResponse:
    """Keep the answer out of caches and its address out of every Referer."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer
