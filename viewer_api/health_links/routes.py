"""Where apps ask: the manifest for a passcode, and its one file.

SMART Health Links, "Manifest Request" and "Manifest File". No cookie counts here, and apps on any
site may ask: what opens a link is said in the request. A wrong passcode is answered with what is
left; whatever else opens nothing is the same 404.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, jsonify, request, url_for

from access_control.errors import LinkRefusedError
from access_control.model import ANONYMOUS, Resource
from eir_versions.errors import RenditionLostError
from hub_kernel.fhir.json_format import read_json
from hub_kernel.fhir.outcome import FhirRefusedError
from viewer_api.errors import BadQueryError
from viewer_api.health_links.bundle import LinkFacts, public_bundle
from viewer_api.health_links.payload import FHIR_JSON, page_address, sealed
from viewer_api.pages.acting import act_as
from viewer_api.pages.public_exam import exam_of, let_in
from viewer_api.security import believes_no_cookie, open_to_everyone, public_root, record_access
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from access_control.shared_links import LinkGrant
    from eir_versions.model import VersionPicture
    from viewer_api.pages.public_exam import PublicExam

blueprint = Blueprint("health_links", __name__, url_prefix="/shl")

_LONGEST_TOKEN = 128
_LARGEST_REQUEST = 4_096
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Content-Type",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True)
class Asked:
    """A manifest request: who asks, by what passcode, and the longest file it wants inside."""

    recipient: str
    passcode: str = field(repr=False)
    longest_embedded: int | None


@blueprint.after_request
def _let_apps_read(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


@blueprint.post("/<token>")
@open_to_everyone
@believes_no_cookie
def manifest(token: str) -> Response:
    """Answer what the link holds, for its passcode; the visit counts like one by a browser."""
    act_as(ANONYMOUS)
    asked = _asked()
    token = token[:_LONGEST_TOKEN]
    address = request.remote_addr or ""
    try:
        grant = services().links.open(token, asked.passcode, address, recipient=asked.recipient)
    except LinkRefusedError as refusal:
        record_access("open_link", "refused", Resource("study"), detail="health link")
        return _refused(refusal)
    exam = _exam(grant, opening=True)
    entry: dict[str, Any] = {
        "contentType": FHIR_JSON,
        "fhirVersion": "4.0.1",
        "status": "can-change",
    }
    if exam.changed_at is not None:
        entry["lastUpdated"] = exam.changed_at.isoformat(timespec="seconds")
    file = _file(token, grant, exam)
    if asked.longest_embedded is None or len(file) <= asked.longest_embedded:
        entry["embedded"] = file
    else:
        ticket = services().health_links.ticket(token)
        entry["location"] = public_root() + url_for(".file", token=token, ticket=ticket)
    return jsonify({"files": [entry]})


@blueprint.get("/<token>/<ticket>")
@open_to_everyone
@believes_no_cookie
def file(token: str, ticket: str) -> Response:
    """Answer the file of a link that was opened within the last minutes, made anew."""
    act_as(ANONYMOUS)
    token = token[:_LONGEST_TOKEN]
    grant = services().health_links.admitted(token, ticket)
    if grant is None:
        abort(404)
    body = _file(token, grant, _exam(grant))
    return Response(body, content_type="application/jose")


def _refused(refusal: LinkRefusedError) -> Response:
    if refusal.remaining is None:
        abort(404)
    answer = jsonify({"remainingAttempts": refusal.remaining})
    answer.status_code = 401
    return answer


def _exam(grant: LinkGrant, *, opening: bool = False) -> PublicExam:
    study = let_in(grant, opening=opening)
    if study is None:
        abort(404)
    return exam_of(study)


def _file(token: str, grant: LinkGrant, exam: PublicExam) -> str:
    link = services().links.behind(token)
    if link is None:
        abort(404)
    facts = LinkFacts(grant.link_id, page_address(token), link.ends_at)
    bundle = public_bundle(exam, list(_pictures(exam)), facts)
    return sealed(bundle, services().health_links.file_key(token))


def _pictures(exam: PublicExam) -> Iterator[tuple[VersionPicture, bytes]]:
    for picture in exam.pictures:
        try:
            yield picture, services().eir.picture_bytes(picture)
        except RenditionLostError:
            continue  # as on the page, where its place stays empty


def _asked() -> Asked:
    """Return what is asked for; unknown properties are ignored, as the specification has it.

    Raises:
        BadQueryError: the body is no JSON object, or a property is missing or of another type.
    """
    if request.mimetype != "application/json":
        abort(415)
    request.max_content_length = _LARGEST_REQUEST
    try:
        body = read_json(request.get_data())
    except FhirRefusedError:
        raise BadQueryError("the body must be a JSON object") from None
    recipient, passcode = body.get("recipient"), body.get("passcode", "")
    longest = body.get("embeddedLengthMax")
    if not isinstance(recipient, str) or not recipient.strip():
        raise BadQueryError("recipient must say who asks")
    if not isinstance(passcode, str):
        raise BadQueryError("passcode must be text")
    if longest is not None and (type(longest) is not int or longest < 0):
        raise BadQueryError("embeddedLengthMax must be a whole number")
    return Asked(recipient, passcode, longest)
