"""The hub's door for edges as plain WSGI: uploads (tus 1.0.0), reports, study states, inventory.

Addresses begin with the site (`/SITE/uploads`). Who asks must prove to be a machine of that very
site; everything else answers 404 like what does not exist, and is audited.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.http import generate_etag, http_date
from werkzeug.routing import Map, MapAdapter, Rule
from werkzeug.wrappers import Request, Response

from access_control.model import ANONYMOUS, Action, Purpose, Resource, Subject, SubjectKind
from access_control.policy import decide
from edge_gateway import problems, protocol
from edge_gateway.contacts import Contacts
from edge_gateway.door_audit import DoorAudit
from edge_gateway.errors import BadRequestError
from edge_gateway.intake import Intake
from edge_gateway.inventory import Inventory
from edge_gateway.model import Standing
from edge_gateway.partials import Chunk, PartialUploads
from edge_gateway.report import (
    MOST_PROVED,
    difference_body,
    progress_body,
    read_figures,
    read_held_instances,
)
from hub_kernel.errors import HubError, InvalidUidError
from hub_kernel.identifiers import require_uid

log = logging.getLogger(__name__)

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]
Authenticate = Callable[[Environ], Subject | None]

_MOST_JSON_BYTES = 4 * 1024 * 1024
_MOST_STUDIES = 100
_RETRY_S = {423: "2", 429: "30", 503: "10", 507: "60"}
ROUTES = Map(
    [
        Rule("/<site>/uploads", endpoint="uploads", methods=["OPTIONS", "POST"]),
        Rule("/<site>/uploads/<name>", endpoint="upload", methods=["HEAD", "PATCH", "DELETE"]),
        Rule("/<site>/report", endpoint="report", methods=["POST"]),
        Rule("/<site>/studies", endpoint="studies", methods=["GET"]),
        Rule("/<site>/inventory", endpoint="inventory", methods=["POST"]),
    ],
    redirect_defaults=False,
    merge_slashes=False,
)


@dataclass(frozen=True)
class EdgeDoorParts:
    """What the door is wired to."""

    authenticate: Authenticate
    audit: DoorAudit
    intake: Intake
    partials: PartialUploads
    inventory: Inventory
    contacts: Contacts
    max_instance_bytes: int


@dataclass(frozen=True)
class _Call:
    """One admitted request; `names` are the parts of its address."""

    request: Request
    subject: Subject
    site_id: str
    names: Mapping[str, str]

    @property
    def address(self) -> str:
        return self.request.remote_addr or ""


class EdgeDoor:
    """Answers edges; mounted by `hub_runtime`. Safe from many threads."""

    def __init__(self, parts: EdgeDoorParts) -> None:
        self._parts = parts
        self._views: Mapping[str, Callable[[_Call], Response]] = {
            "uploads": self._uploads,
            "upload": self._upload,
            "report": self._report,
            "studies": self._studies,
            "inventory": self._inventory,
        }

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer one request; a failure is told without its traceback."""
        request = Request(environ)
        try:
            response = self._answer(request, ROUTES.bind_to_environ(environ))
        except MethodNotAllowed:
            response = _problem(problems.NOT_ALLOWED)
        except HTTPException:
            response = _problem(problems.NOT_FOUND)
        except (HubError, OSError, SQLAlchemyError) as error:
            response = self._failed(error)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response(environ, start_response)

    def _answer(self, request: Request, routes: MapAdapter) -> Response:
        endpoint, names = routes.match()
        site_id = str(names["site"])
        subject = self._parts.authenticate(request.environ)
        if subject is None:
            self._parts.audit.refused(ANONYMOUS, site_id, request.remote_addr or "", "unproven")
            return _problem(problems.NOT_SIGNED_IN)
        if refusal := _refusal(subject, site_id):
            self._parts.audit.refused(subject, site_id, request.remote_addr or "", refusal)
            return _problem(problems.NOT_FOUND)
        return self._views[endpoint](_Call(request, subject, site_id, names))

    def _failed(self, error: Exception) -> Response:
        found = problems.problem_of(error)
        if found is problems.FAILED:
            log.error("an edge's request failed", extra={"error": type(error).__qualname__})
            return _problem(found)
        return _problem(found, detail=str(error) if isinstance(error, BadRequestError) else "")

    def _uploads(self, call: _Call) -> Response:
        """POST: an offer, alone or with all its bytes. OPTIONS: what this end speaks."""
        if call.request.method == "OPTIONS":
            return self._told(Response(status=204))
        headers = call.request.headers
        offer = protocol.read_offer(
            call.site_id,
            headers.get(protocol.LENGTH, ""),
            headers.get(protocol.METADATA, ""),
        )
        self._parts.audit.begun(call.subject, offer, call.address)
        length = call.request.content_length or 0
        if length and length == offer.dataset_bytes and not self._parts.partials.known(offer):
            standing = self._parts.intake.whole(offer, call.request.stream, call.address)
        else:
            standing = self._parts.intake.begin(offer, call.address)
        response = self._standing(Response(status=201), standing)
        response.headers["Location"] = f"{call.request.root_path}/{call.site_id}/uploads/" + (
            standing.upload_id
        )
        return response

    def _upload(self, call: _Call) -> Response:
        """HEAD: how far it is. PATCH: the next chunk. DELETE: forget it."""
        request, name, intake = call.request, call.names["name"], self._parts.intake
        if request.method == "DELETE":
            intake.withdraw(call.site_id, name)
            return self._told(Response(status=204))
        if request.method == "HEAD":
            standing, held = intake.standing(call.site_id, name)
            response = self._standing(Response(status=200), standing)
            response.headers[protocol.EXPIRES] = http_date(self._parts.partials.expires_at(held))
            return response
        if request.mimetype != protocol.CHUNK_MEDIA_TYPE:
            raise BadRequestError(f"Content-Type must be {protocol.CHUNK_MEDIA_TYPE}")
        chunk = Chunk(
            offset=protocol.read_number(request.headers.get(protocol.OFFSET, ""), protocol.OFFSET),
            length=request.content_length or 0,
            body=request.stream,
            checksum=protocol.read_checksum(request.headers.get(protocol.CHECKSUM, "")),
        )
        standing = intake.append(call.site_id, name, chunk, call.address)
        return self._standing(Response(status=204), standing)

    def _report(self, call: _Call) -> Response:
        """Note what an edge says of itself and which instances it has newly received."""
        told = _json(call.request)
        figures, instances = read_figures(told), read_held_instances(told)
        self._parts.inventory.add(call.site_id, instances)
        self._parts.contacts.note(call.site_id, figures)
        return _answered({"noted": len(instances)})

    def _studies(self, call: _Call) -> Response:
        """Answer how far the studies asked for are; 304 when the edge knows it already."""
        asked = _uids(call.request)
        if len(asked) > _MOST_STUDIES:
            raise BadRequestError(f"uid: at most {_MOST_STUDIES} at once")
        found = self._parts.inventory.progress(call.site_id, asked)
        response = _answered({"studies": [progress_body(one) for one in found]})
        response.set_etag(generate_etag(response.get_data()))
        response.headers["Cache-Control"] = "private, no-cache"
        return response.make_conditional(call.request)

    def _inventory(self, call: _Call) -> Response:
        """Note a page of the edge's ledger and answer in what the hub differs from it.

        With `prove` every instance is read again before: `proved` are those it holds whole.
        """
        told = _json(call.request)
        instances, prove = read_held_instances(told), told.get("prove") is True
        if prove:
            if len(instances) > MOST_PROVED:
                raise BadRequestError(f"prove: at most {MOST_PROVED} instances at once")
            self._parts.intake.read_again(instances)
        self._parts.inventory.add(call.site_id, instances)
        found = self._parts.inventory.compare(call.site_id, instances)
        body: dict[str, object] = {"differences": [difference_body(one) for one in found]}
        if prove:
            differing = {one.sop_instance_uid for one in found}
            uids = dict.fromkeys(one.sop_instance_uid for one in instances)
            body["proved"] = [uid for uid in uids if uid not in differing]
        return _answered(body)

    def _standing(self, response: Response, standing: Standing) -> Response:
        response.headers[protocol.OFFSET] = str(standing.offset)
        response.headers[protocol.LENGTH] = str(standing.length)
        if standing.receipt:
            response.headers[protocol.RECEIPT] = protocol.write_receipt(standing.receipt)
        return self._told(response)

    def _told(self, response: Response) -> Response:
        response.headers[protocol.RESUMABLE] = protocol.VERSION
        if response.status_code == 204 and protocol.OFFSET not in response.headers:
            response.headers["Tus-Version"] = protocol.VERSION
            response.headers["Tus-Extension"] = protocol.EXTENSIONS
            response.headers["Tus-Max-Size"] = str(self._parts.max_instance_bytes)
            response.headers["Tus-Checksum-Algorithm"] = ",".join(protocol.ALGORITHMS)
        return response


def _refusal(subject: Subject, site_id: str) -> str:
    """Return why `subject` may not speak for the site, empty when it may."""
    if subject.sites is None and subject.kind is not SubjectKind.SITE:
        return "not bound to a site"
    origin = Resource("study", origin_site_id=site_id)
    decision = decide(subject, Action.STORE, origin, Purpose.TREATMENT)
    return "" if decision.allowed else decision.rule


def _uids(request: Request) -> list[str]:
    try:
        return [require_uid(one, "uid") for one in request.args.getlist("uid")]
    except InvalidUidError as error:
        raise BadRequestError(str(error)) from error


def _json(request: Request) -> dict[str, Any]:
    if (request.content_length or 0) > _MOST_JSON_BYTES:
        raise BadRequestError("the body is too large; send smaller pages")
    try:
        told = json.loads(request.stream.read(_MOST_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise BadRequestError("the body is no JSON") from error
    if not isinstance(told, dict):
        raise BadRequestError("the body is no JSON object")
    return told


def _answered(body: object) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), content_type="application/json")


def _problem(problem: problems.Problem, *, detail: str = "") -> Response:
    response = Response(
        json.dumps(problem.body(detail), ensure_ascii=False),
        status=problem.status,
        content_type=problems.MEDIA_TYPE,
    )
    response.headers[protocol.RESUMABLE] = protocol.VERSION
    if problem.status in _RETRY_S:
        response.headers["Retry-After"] = _RETRY_S[problem.status]
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="EIR Hub"'
    return response
