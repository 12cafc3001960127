"""The FHIR endpoint as WSGI: authenticate, read within bounds, decide, answer, audit.

Not a byte leaves before the audit records are committed. Every refusal is audited too, and no
answer holds a traceback or says more than the sender may know.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from patient_index.fhir.access import AuditFact, Caller, Environ
from patient_index.fhir.capability import capability_statement
from patient_index.fhir.exchange import Answer, Context, Request, not_found
from patient_index.fhir.formats import JSON, Format
from patient_index.fhir.iti78_query_patients import retrieve, search
from patient_index.fhir.iti83_cross_reference_identifiers import cross_reference
from patient_index.fhir.iti104_feed_patients import feed
from patient_index.fhir.iti119_match_patients import match
from patient_index.fhir.outcome import FhirRefusedError, Issue, operation_outcome
from patient_index.fhir.requests import (
    Limits,
    base_of,
    form_of,
    format_of,
    path_of,
    preferences_of,
    query_of,
    resource_of,
)

StartResponse = Callable[..., Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """One row of the route table. `body` says what a request carries: a resource, a form."""

    method: str
    path: re.Pattern[str]
    run: Callable[[Request, Context], Answer]
    body: str = ""
    searches: bool = True


_PIX = re.compile(r"Patient/\$ihe-pix")
_MATCH = re.compile(r"Patient/\$match")
_SEARCH = re.compile(r"Patient/_search")
_ALL = re.compile(r"Patient")
_ONE = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})")
_METADATA = "metadata"

ROUTES: tuple[Route, ...] = (
    Route("GET", _PIX, cross_reference),
    Route("POST", _PIX, cross_reference, body="resource"),
    Route("POST", _MATCH, match, body="resource"),
    Route("GET", _ALL, search),
    Route("POST", _SEARCH, search, body="form"),
    Route("PUT", _ALL, feed, body="resource", searches=False),
    Route("GET", _ONE, retrieve),
)

_UNAUTHORIZED = Issue(
    "login",
    "no-credentials",
    "a valid machine token is needed",
    "需要有效的机器令牌",
    where="http.Authorization",
    allowed="Bearer <token>",
)
_FORBIDDEN = Issue(
    "forbidden",
    "no-right",
    "the token has no right to do this",
    "该令牌无此权限",
    where="http.Authorization",
)
_FAILED = Issue(
    "exception",
    "failed",
    "the hub could not carry this out",
    "平台未能完成该请求",
    severity="fatal",
)
_BEARER = ("WWW-Authenticate", 'Bearer realm="eirhub"')


@dataclass(frozen=True)
class Endpoint:
    """How the endpoint presents itself.

    `public_url` is the address clients use, without the mount point, or empty: then links repeat
    the address they were asked at. `version` is the software's.
    """

    public_url: str = ""
    version: str = ""
    limits: Limits = field(default_factory=Limits)


class FhirApplication:
    """A WSGI application, to be mounted at `/fhir`."""

    def __init__(self, context: Context, endpoint: Endpoint) -> None:
        self._context = context
        self._endpoint = endpoint
        self._since = context.clock.now()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request; never raises."""
        try:
            answer, written_as = self._answer(environ)
            body = b"" if answer.resource is None else written_as.write(answer.resource)
        except Exception:  # noqa: BLE001 (outermost edge: a traceback must not reach the sender)
            log.exception("a FHIR request failed")
            answer, written_as = Answer(None, (), 500), JSON
            body = JSON.write(operation_outcome([_FAILED]))
        status = HTTPStatus(answer.status)
        headers = [*_headers(body, written_as), *answer.headers]
        start_response(f"{status.value} {status.phrase}", headers)
        return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def _answer(self, environ: Environ) -> tuple[Answer, Format]:
        """Return what is answered and in which format; its audit records are written."""
        written_as, caller = JSON, None
        access = self._context.access
        try:
            pairs = query_of(environ)
            written_as = format_of(environ, pairs)
            if path_of(environ) == _METADATA:
                return self._metadata(environ), written_as
            caller = access.authenticate(environ)
            if caller is None:
                answer = _unauthorized()
            else:
                route, identity = self._allowed_route(environ, caller)
                if route.body == "form":
                    pairs += form_of(environ)
                    written_as = format_of(environ, pairs)
                request = self._request(
                    environ, route, Request(caller, pairs=pairs, identity=identity)
                )
                answer = route.run(request, self._context)
        except FhirRefusedError as refusal:
            answer = _refusal(refusal)
        access.record(answer.facts, caller, str(environ.get("REMOTE_ADDR", "")))
        return answer, written_as

    def _allowed_route(self, environ: Environ, caller: Caller) -> tuple[Route, str]:
        """Return who answers, if the caller may ask such things at all, and the id in the path."""
        route, identity = _route(environ)
        if route.searches and not self._context.access.may_search(caller):
            raise FhirRefusedError(403, _FORBIDDEN)
        return route, identity

    def _request(self, environ: Environ, route: Route, known: Request) -> Request:
        """Return the request with what is only read of those who may ask."""
        takes_resource = route.body == "resource"
        return replace(
            known,
            base=base_of(environ, self._endpoint.public_url),
            body=resource_of(environ, self._endpoint.limits) if takes_resource else None,
            prefer=preferences_of(environ),
        )

    def _metadata(self, environ: Environ) -> Answer:
        if _method(environ) != "GET":
            raise _not_allowed(["GET"])
        base = base_of(environ, self._endpoint.public_url)
        return Answer(capability_statement(base, self._endpoint.version, self._since))


def _route(environ: Environ) -> tuple[Route, str]:
    """Return the row that answers, and the id in its path.

    Raises:
        FhirRefusedError: 404 or 405.
    """
    path, method = path_of(environ), _method(environ)
    matching = [(route, found) for route in ROUTES if (found := route.path.fullmatch(path))]
    for route, found in matching:
        if route.method == method:
            return route, found.group(1) if found.groups() else ""
    if not matching:
        raise FhirRefusedError(404, not_found("http.path"))
    raise _not_allowed([route.method for route, _ in matching])


def _method(environ: Environ) -> str:
    method = str(environ.get("REQUEST_METHOD", ""))
    return "GET" if method == "HEAD" else method


def _not_allowed(methods: Iterable[str]) -> FhirRefusedError:
    allowed = ", ".join(sorted(set(methods)))
    issue = Issue(
        "not-supported",
        "method",
        "this interaction is not offered",
        "不支持该操作",
        where="http.method",
        allowed=allowed,
    )
    return FhirRefusedError(405, issue, headers=(("Allow", allowed),))


def _unauthorized() -> Answer:
    return _refusal(FhirRefusedError(401, _UNAUTHORIZED, headers=(_BEARER,)))


def _refusal(refusal: FhirRefusedError) -> Answer:
    """Refused for who they are is a refusal; everything else failed for what was sent."""
    outcome = _OUTCOMES.get(refusal.status, "failure")
    fact = AuditFact(_REFUSED_ACTION, outcome, detail=f"{refusal.status} {refusal}")
    return Answer(operation_outcome(refusal.issues), [fact], refusal.status, refusal.headers)


_REFUSED_ACTION = "fhir_request"
_OUTCOMES: Mapping[int, Any] = {401: "refused", 403: "refused"}


def _headers(body: bytes, written_as: Format) -> list[tuple[str, str]]:
    headers = [
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Vary", "Accept, Authorization"),
    ]
    if body:
        headers.append(("Content-Type", f"{written_as.media_type}; fhirVersion=4.0; charset=UTF-8"))
    return headers
