"""One study as the role sees it: diagnostic for radiologists, clinical for ward doctors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, make_response, redirect, render_template, url_for

from access_control.model import Action, Role
from eir_versions import reasons
from viewer_api.dicomweb.located import located_instance
from viewer_api.pages.comparison import Candidate, candidates, prior_of
from viewer_api.pages.documents import PDF_POLICY, SELF_FRAMING_POLICY
from viewer_api.pages.people import site_book
from viewer_api.pages.series_objects import enclosed_pdf
from viewer_api.pages.study_documents import StudyDocuments, study_documents
from viewer_api.pages.viewports import Viewport, page_address, viewport
from viewer_api.pages.words import lazy_gettext
from viewer_api.security import (
    current_subject,
    permitted,
    public_root,
    require_study,
    signed_in,
    study_resource,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from eir_versions.model import Version
    from image_archive.model import StudyRecord
    from patient_index.model import Person

blueprint = Blueprint("study", __name__)

RECIPES = ("diagnostic", "clinical", "public")
REASON_WORDS = {
    reasons.BURNED_IN_TEXT: lazy_gettext("text may be burned into the pictures"),
    reasons.NO_IMAGE_OBJECTS: lazy_gettext("the study holds no pictures"),
    reasons.NO_PIXEL_DATA: lazy_gettext("the study holds no pictures"),
    reasons.THIN_SLICE_HEAD: lazy_gettext("a face could be rebuilt from these slices"),
}


@dataclass(frozen=True)
class StudyView:
    """What both study pages show; `viewports` are the study's and, beside it, that of a prior."""

    study: StudyRecord
    person: Person | None
    site: str
    viewports: tuple[Viewport, ...]
    candidates: tuple[Candidate, ...]
    documents: StudyDocuments
    versions: tuple[tuple[str, Version | None], ...]
    may_diagnose: bool
    may_share: bool

    @property
    def compares(self) -> bool:
        """Whether two studies stand side by side."""
        return len(self.viewports) > 1

    @property
    def alone(self) -> str:
        """The address of this page without the comparison."""
        return page_address({"prior": "", "prior_series": "", "prior_frame": ""})


@dataclass(frozen=True)
class Workstation:
    """How a DICOM workstation reaches this study; `node` is AE title, host and port."""

    node: str
    dicomweb_root: str
    dicomweb_study: str


@blueprint.get("/studies/<uid:study_uid>")
@signed_in
def page(study_uid: str) -> AnyResponse:
    """Lead to the version that the reader's role works with."""
    study = require_study(study_uid, Action.VIEW_CLINICAL)
    reads = Role.RADIOLOGIST in current_subject().roles
    may = permitted(Action.VIEW_DIAGNOSTIC, study_resource(study))
    endpoint = "study.diagnostic" if reads and may else "study.clinical"
    return redirect(url_for(endpoint, study_uid=study_uid), code=303)


@blueprint.get("/studies/<uid:study_uid>/diagnostic")
@signed_in
def diagnostic(study_uid: str) -> Response:
    """Show every frame without loss, and the addresses for a workstation."""
    study = require_study(study_uid, Action.VIEW_DIAGNOSTIC)
    view = _view(study, Action.VIEW_DIAGNOSTIC)
    workstation = _workstation(study_uid)
    return _answer(
        view,
        render_template(
            "study_diagnostic.html", view=view, workstation=workstation, reasons=REASON_WORDS
        ),
    )


@blueprint.get("/studies/<uid:study_uid>/clinical")
@signed_in
def clinical(study_uid: str) -> Response:
    """Show the pictures beside the report, marked as a reference."""
    study = require_study(study_uid, Action.VIEW_CLINICAL)
    view = _view(study, Action.VIEW_CLINICAL)
    return _answer(view, render_template("study_clinical.html", view=view))


@blueprint.get("/studies/<uid:study>/series/<uid:series>/documents/<uid:instance>")
@signed_in
def enclosed(study: str, series: str, instance: str) -> Response:
    """Answer the PDF that an object of the study encloses."""
    data = enclosed_pdf(located_instance(study, series, instance, Action.VIEW_CLINICAL))
    if data is None:
        abort(404)
    answer = Response(data, content_type="application/pdf")
    answer.headers["Content-Security-Policy"] = PDF_POLICY
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer


def _answer(view: StudyView, body: str) -> Response:
    answer = make_response(body)
    if any(one.objects and one.objects.holds_pdf for one in view.viewports):
        answer.headers["Content-Security-Policy"] = SELF_FRAMING_POLICY
    return answer


def _view(study: StudyRecord, action: Action) -> StudyView:
    uid, book, person = study.study_instance_uid, site_book(), _person(study)
    lossless = action is Action.VIEW_DIAGNOSTIC
    prior = prior_of(study, action)
    viewports: tuple[Viewport, ...] = (
        viewport("now", study, book.name(study.site_id), lossless=lossless),
    )
    if prior is not None:
        site = book.name(prior.site_id)
        viewports += (viewport("prior", prior, site, lossless=lossless, like=viewports[0]),)
    resource = study_resource(study)
    return StudyView(
        study=study,
        person=person,
        site=book.name(study.site_id),
        viewports=viewports,
        candidates=candidates(study, person, action, book),
        documents=study_documents(study, person, viewports[0].series, book),
        versions=tuple((recipe, services().eir.version(uid, recipe)) for recipe in RECIPES),
        may_diagnose=permitted(Action.VIEW_DIAGNOSTIC, resource),
        may_share=permitted(Action.SHARE, resource),
    )


def _person(study: StudyRecord) -> Person | None:
    global_id = services().patients.resolve(study.patient)
    return services().patients.person(global_id) if global_id else None


def _workstation(study_uid: str) -> Workstation:
    router, root = services().settings.router, public_root()
    node = f"{router.ae_title}@{urlsplit(root).hostname}"
    return Workstation(
        node=f"{node}:{services().dicom_port()}",
        dicomweb_root=f"{root}/dicom-web",
        dicomweb_study=f"{root}/dicom-web/studies/{study_uid}",
    )
