"""STOW-RS: instances in, each by the archive's one way in; every part is answered (PS3.18 10.5).

An instance in the answer's Referenced SOP Sequence is promised what 0x0000 promises in C-STORE. Who
stores speaks for one site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.http import parse_options_header

from access_control.model import Action, Resource, Site, SubjectKind
from hub_kernel.errors import NotFoundError
from image_archive.model import InstanceOrigin
from viewer_api.dicomweb.instance_metadata import encoded
from viewer_api.dicomweb.located import dicomweb_root
from viewer_api.dicomweb.media_types import DICOM, DICOM_JSON, choose
from viewer_api.dicomweb.native_model import DICOM_XML, native_xml
from viewer_api.dicomweb.request_parts import RequestPart, request_parts
from viewer_api.dicomweb.retrieve import accepted_by_asker
from viewer_api.dicomweb.store_answers import NotStored, Stored, StoreReport
from viewer_api.dicomweb.taking import NOT_UNDERSTOOD, Taken, Taking
from viewer_api.errors import BadQueryError
from viewer_api.security import (
    current_subject,
    permitted,
    record_access,
    refuse,
    signed_in,
    takes_large_bodies,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator

blueprint = Blueprint("dicomweb_storing", __name__, url_prefix="/dicom-web")

MOST_PARTS = 5_000
_PIECE = 1 << 18
_ANSWERS = (DICOM_JSON, DICOM_XML, "application/json")


@blueprint.post("/studies")
@signed_in
@takes_large_bodies
def store() -> Response:
    """Store instances of any study."""
    return _store("")


@blueprint.post("/studies/<uid:study>")
@signed_in
@takes_large_bodies
def store_in_study(study: str) -> Response:
    """Store instances of one study; those of another are not stored."""
    return _store(study)


def _store(study_uid: str) -> Response:
    taking = _taking(_storing_site(study_uid), study_uid)
    media_type = choose(accepted_by_asker(), _ANSWERS)
    root = dicomweb_root()
    report, studies = StoreReport(), set[str]()
    for number, part in enumerate(_parts(), start=1):
        if number > MOST_PARTS:
            raise RequestEntityTooLarge
        taken = _taken(taking, part)
        if isinstance(taken, Taken):
            studies.add(taken.study_instance_uid)
            report.stored.append(_stored(taken, root))
        else:
            report.failed.append(taken)
    if not report.stored and not report.failed:
        raise BadQueryError("the request holds no part")
    for uid in studies or {study_uid}:
        record_access(
            str(Action.STORE),
            "success" if report.stored else "failure",
            Resource("study", uid),
        )
    only = f"{root}/studies/{next(iter(studies))}" if len(studies) == 1 else ""
    attributes = report.as_json(only)
    body = native_xml(attributes) if media_type == DICOM_XML else encoded(attributes)
    return Response(body, report.status, content_type=f"{media_type}; charset=utf-8")


def _storing_site(study_uid: str) -> Site:
    """Return the one site that the current subject stores for; else the request ends with 404."""
    subject, asked = current_subject(), Resource("study", study_uid)
    if subject.kind is SubjectKind.SITE:
        own = frozenset({subject.subject_id})
    else:
        own = subject.sites or frozenset()
    if len(own) != 1:
        refuse(Action.STORE, asked, detail="not bound to one site")
    (site_id,) = own
    if not permitted(Action.STORE, Resource("study", study_uid, origin_site_id=site_id)):
        refuse(Action.STORE, asked, detail="no-right")
    there = services().index.study(study_uid) if study_uid else None
    if there is not None and there.site_id != site_id:
        # A study belongs to who made it; and whether it exists is not said.
        refuse(Action.STORE, asked, detail="study of another site")
    try:
        return services().sites.get(site_id)
    except NotFoundError:
        refuse(Action.STORE, asked, detail="unknown site")


def _taking(site: Site, study_uid: str) -> Taking:
    origin = InstanceOrigin(
        site_id=site.site_id,
        issuer=site.assigning_authority,
        calling_ae_title=next(iter(site.ae_titles), ""),
        called_ae_title=services().settings.router.ae_title,
        source_address=request.remote_addr or "",
        charset_habit=site.used_charset,
    )
    largest = services().settings.router.max_instance_bytes
    return Taking(services().archive, services().usage, site, origin, study_uid, largest)


def _parts() -> Iterator[RequestPart]:
    """Return the parts of the body; a body that is one instance is its only part (8.6.1).

    A compressed body could become any size, and is refused.
    """
    media_type, options = parse_options_header(request.headers.get("Content-Type", ""))
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType
    media_type = media_type.strip().lower()
    if media_type == DICOM:
        return iter([RequestPart({}, iter(lambda: request.stream.read(_PIECE), b""))])
    part_type = options.get("type", DICOM).strip().lower()
    if media_type != "multipart/related" or part_type != DICOM:
        raise UnsupportedMediaType
    return request_parts(request.stream, options.get("boundary", ""))


def _taken(taking: Taking, part: RequestPart) -> Taken | NotStored:
    part_type = parse_options_header(part.fields.get("content-type", DICOM))[0]
    if part_type.strip().lower() != DICOM:
        return NotStored(NOT_UNDERSTOOD)
    return taking.take(part.pieces)


def _stored(taken: Taken, root: str) -> Stored:
    address = (
        f"{root}/studies/{taken.study_instance_uid}/series/{taken.series_instance_uid}"
        f"/instances/{taken.sop_instance_uid}"
    )
    return Stored(taken.sop_class_uid, taken.sop_instance_uid, address)
