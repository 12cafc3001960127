"""One study as the role sees it: diagnostic for radiologists, clinical for ward doctors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for

from access_control.model import Action, Role
from eir_versions import reasons
from viewer_api.pages.people import site_book
from viewer_api.pages.vocabulary import windows_for
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
    from collections.abc import Sequence

    from werkzeug.wrappers import Response

    from eir_versions.model import Version
    from image_archive.model import InstanceRecord, SeriesRecord, StudyRecord
    from patient_index.model import Person

blueprint = Blueprint("study", __name__)

RECIPES = ("diagnostic", "clinical", "public")
REASON_WORDS = {
    reasons.BURNED_IN_TEXT: lazy_gettext("text may be burned into the pictures"),
    reasons.NO_IMAGE_OBJECTS: lazy_gettext("the study holds no pictures"),
    reasons.NO_PIXEL_DATA: lazy_gettext("the study holds no pictures"),
    reasons.THIN_SLICE_HEAD: lazy_gettext("a face could be rebuilt from these slices"),
}
# How a frame is asked for (PS3.18 8.3.5): the reading is never based on a lossy picture; the
# reference stays far below the strictest ceiling of compression.
_LOSSLESS = "accept=image/png"
_REFERENCE = "quality=95"


@dataclass(frozen=True)
class Stack:
    """The frames of one series in order, with the addresses the viewer fetches them at.

    A frame's address is `prefix + sop_instance_uid + middle + frame number + suffix`, so that a
    thousand slices cost the page little more than their UIDs.
    """

    prefix: str
    middle: str
    suffix: str
    instances: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        """How many frames the stack has."""
        return sum(frames for _, frames in self.instances)

    def address(self, position: int) -> str:
        """Return the address of the frame at `position`, from 0."""
        for uid, frames in self.instances:
            if position < frames:
                return f"{self.prefix}{uid}{self.middle}{position + 1}{self.suffix}"
            position -= frames
        return ""

    def as_data(self) -> dict[str, Any]:
        """Return what the viewer's script reads."""
        return {
            "prefix": self.prefix,
            "middle": self.middle,
            "suffix": self.suffix,
            "instances": self.instances,
        }


@dataclass(frozen=True)
class StudyView:
    """What both study pages show."""

    study: StudyRecord
    person: Person | None
    site: str
    series: tuple[SeriesRecord, ...]
    chosen: SeriesRecord | None
    stack: Stack | None
    position: int
    windows: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, Version | None], ...]
    may_diagnose: bool
    may_share: bool


@dataclass(frozen=True)
class Workstation:
    """How a DICOM workstation reaches this study; `node` is AE title, host and port."""

    node: str
    dicomweb_root: str
    dicomweb_study: str


@blueprint.get("/studies/<uid:study_uid>")
@signed_in
def page(study_uid: str) -> Response:
    """Lead to the version that the reader's role works with."""
    study = require_study(study_uid, Action.VIEW_CLINICAL)
    reads = Role.RADIOLOGIST in current_subject().roles
    may = permitted(Action.VIEW_DIAGNOSTIC, study_resource(study))
    endpoint = "study.diagnostic" if reads and may else "study.clinical"
    return redirect(url_for(endpoint, study_uid=study_uid), code=303)


@blueprint.get("/studies/<uid:study_uid>/diagnostic")
@signed_in
def diagnostic(study_uid: str) -> str:
    """Show every frame without loss, and the addresses for a workstation."""
    study = require_study(study_uid, Action.VIEW_DIAGNOSTIC)
    return render_template(
        "study_diagnostic.html",
        view=_view(study, _LOSSLESS),
        workstation=_workstation(study_uid),
        reasons=REASON_WORDS,
    )


@blueprint.get("/studies/<uid:study_uid>/clinical")
@signed_in
def clinical(study_uid: str) -> str:
    """Show the pictures beside the report, marked as a reference."""
    study = require_study(study_uid, Action.VIEW_CLINICAL)
    return render_template("study_clinical.html", view=_view(study, _REFERENCE))


def _view(study: StudyRecord, rendering: str) -> StudyView:
    uid = study.study_instance_uid
    series = tuple(services().index.series_of(uid))
    chosen = _chosen(series)
    stack = _stack(uid, chosen.series_instance_uid, rendering) if chosen else None
    resource = study_resource(study)
    return StudyView(
        study=study,
        person=_person(study),
        site=site_book().name(study.site_id),
        series=series,
        chosen=chosen,
        stack=stack if stack and stack.count else None,
        position=_position(stack),
        windows=windows_for(chosen.modality) if chosen else (),
        versions=tuple((recipe, services().eir.version(uid, recipe)) for recipe in RECIPES),
        may_diagnose=permitted(Action.VIEW_DIAGNOSTIC, resource),
        may_share=permitted(Action.SHARE, resource),
    )


def _chosen(series: Sequence[SeriesRecord]) -> SeriesRecord | None:
    """The series the address names, else the first that holds pictures."""
    asked = request.args.get("series", "")
    for one in series:
        if one.series_instance_uid == asked:
            return one
    return series[0] if series else None


def _stack(study_uid: str, series_uid: str, rendering: str) -> Stack:
    instances = services().index.instances_of(study_uid, series_uid)
    return Stack(
        prefix=f"/dicom-web/studies/{study_uid}/series/{series_uid}/instances/",
        middle="/frames/",
        suffix=f"/rendered?{rendering}",
        instances=_frames(instances),
    )


def _frames(instances: Sequence[InstanceRecord]) -> tuple[tuple[str, int], ...]:
    pictures = [one for one in instances if one.rows > 0 and one.columns > 0]
    pictures.sort(key=lambda one: (one.instance_number or 0, one.sop_instance_uid))
    return tuple((one.sop_instance_uid, one.number_of_frames) for one in pictures)


def _position(stack: Stack | None) -> int:
    """The frame the address names (from 1), else the middle one, where the organ usually is."""
    if stack is None or not stack.count:
        return 0
    asked = request.args.get("frame", "")
    if asked.isdecimal() and len(asked) < 7:
        return min(max(int(asked), 1), stack.count) - 1
    return (stack.count - 1) // 2


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
