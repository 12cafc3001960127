"""A shared link on a citizen's phone: passcode first, then the public version of one study.

Guessed, expired, revoked and locked links read alike. The secret of the link is in its address
alone: once opened, a short-lived cookie carries the right and the address no longer does.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from access_control.model import Action, Purpose, Resource, SubjectKind
from eir_versions.errors import RenditionLostError
from viewer_api.pages.acting import act_as
from viewer_api.pages.people import site_book
from viewer_api.pages.reports import public_reports
from viewer_api.pages.vocabulary import body_part_word, modality_word
from viewer_api.pages.words import gettext
from viewer_api.security import (
    LINK_COOKIE,
    current_subject,
    named_cookie,
    open_to_everyone,
    permitted,
    record_access,
    require,
    set_named_cookie,
    study_resource,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from werkzeug.wrappers import Response as AnyResponse

    from access_control.shared_links import LinkGrant, LinkVisit
    from eir_versions.model import VersionPicture
    from image_archive.model import StudyRecord
    from viewer_api.pages.reports import PublicReport

blueprint = Blueprint("shared", __name__)

_LONGEST_TOKEN = 128
_REFUSED_STATUS = 404


@dataclass(frozen=True)
class PublicExam:
    """What a citizen reads: an allow-list, nothing else of the study reaches the page."""

    what: str
    when: date | None
    where: str
    ready: bool
    pictures: Sequence[VersionPicture]
    visits: Sequence[LinkVisit]
    reports: Sequence[PublicReport]


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
    act_as(grant.as_subject())
    if _refused_since(grant):
        record_access("open_link", "refused", Resource("study"), detail="consent-refused")
        body = render_template("shared_door.html", refused=True)
        return _quiet(make_response(body, _REFUSED_STATUS))
    record_access("open_link", "success", Resource("study", grant.study_instance_uid))
    answer = redirect(url_for("shared.exam"), code=303)
    life_s = int((grant.ends_at - services().clock.now()).total_seconds())
    set_named_cookie(answer, LINK_COOKIE, grant.grant_token, max_age_s=max(life_s, 1))
    return _quiet(answer)


@blueprint.get("/share/exam")
@open_to_everyone
def exam() -> AnyResponse:
    """Show the public version that this browser has opened."""
    study, grant = _opened()
    version = services().eir.version(study.study_instance_uid, "public")
    shown = PublicExam(
        what=_in_words(study),
        when=study.study_date,
        where=site_book().name(study.site_id),
        ready=version is not None,
        pictures=version.key_pictures if version else (),
        visits=services().links.visits(grant.link_id),
        reports=public_reports(study),
    )
    return _quiet(make_response(render_template("shared_exam.html", exam=shown)))


@blueprint.get("/share/exam/pictures/<picture_id>")
@open_to_everyone
def picture(picture_id: str) -> AnyResponse:
    """Answer one picture of the public version that this browser has opened."""
    study, _ = _opened()
    version = services().eir.version(study.study_instance_uid, "public")
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
    study = services().index.study(grant.study_instance_uid) if grant else None
    if grant is None or study is None:
        abort(_over())
    # From here on the link asks, not whoever may be signed in at the same browser.
    act_as(grant.as_subject())
    if _refused_since(grant):
        refused = Resource("study", grant.study_instance_uid)
        record_access(str(Action.VIEW_PUBLIC), "refused", refused, detail="consent-refused")
        abort(_over())
    require(Action.VIEW_PUBLIC, study_resource(study), Purpose.PATIENT)
    return study, grant


def _refused_since(grant: LinkGrant) -> bool:
    """Say whether the person refuses what the link shows: then it is as dead as a false one."""
    study = services().index.study(grant.study_instance_uid)
    return study is not None and not permitted(
        Action.VIEW_PUBLIC, study_resource(study), Purpose.PATIENT
    )


def _over() -> AnyResponse:
    return _quiet(make_response(render_template("shared_over.html"), _REFUSED_STATUS))


def _study_for_doctor(token: str) -> str:
    if current_subject().kind is not SubjectKind.USER:
        return ""
    study_uid = services().links.study_behind(token[:_LONGEST_TOKEN])
    study = services().index.study(study_uid) if study_uid else None
    if study is None or not permitted(Action.VIEW_CLINICAL, study_resource(study)):
        return ""
    return study.study_instance_uid


def _in_words(study: StudyRecord) -> str:
    kinds = list(dict.fromkeys(modality_word(code) for code in study.modalities))
    parts = list(dict.fromkeys(body_part_word(code) for code in study.body_parts))
    words = " + ".join(kinds) or gettext("Examination")
    return f"{words} · {', '.join(parts)}" if parts else words


def _quiet(answer: AnyResponse) -> AnyResponse:
    """Keep the answer out of caches and its address out of every Referer."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer
