"""A FHIR endpoint as WSGI: authenticate, read within bounds, let a service answer, audit.

Not a byte leaves before the audit records are committed. Every refusal is audited too, and no
answer holds a traceback or says more than the sender may know.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, NoReturn

from hub_kernel.clock import Clock
from hub_kernel.fhir.capability import Instance, capability_statement
from hub_kernel.fhir.exchange import (
    Answer,
    Door,
    Refused,
    Request,
    Route,
    Service,
    Stream,
    not_found,
)
from hub_kernel.fhir.formats import JSON, Format
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, operation_outcome
from hub_kernel.fhir.requests import (
    Environ,
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

_METADATA = "metadata"
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


@dataclass(frozen=True)
class _Found:
    """The row that answers, whose it is, and the id in the path."""

    service: Service
    route: Route
    identity: str


class FhirApplication:
    """A WSGI application over several services, to be mounted at one base address."""

    def __init__(
        self, door: Door, services: Sequence[Service], endpoint: Endpoint, clock: Clock
    ) -> None:
        self._door = door
        self._services = tuple(services)
        self._endpoint = endpoint
        self._since = clock.now()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request; never raises."""
        try:
            answer, written_as = self._answer(environ)
            body = _body(answer, written_as)
        except Exception:  # noqa: BLE001 (outermost edge: a traceback must not reach the sender)
            log.exception("a FHIR request failed")
            answer, written_as = Answer(None, (), 500), JSON
            body = _body(Answer(operation_outcome([_FAILED])), JSON)
        status = HTTPStatus(answer.status)
        start_response(f"{status.value} {status.phrase}", [*_headers(body), *answer.headers])
        return [b""] if environ.get("REQUEST_METHOD") == "HEAD" else body.chunks

    def _answer(self, environ: Environ) -> tuple[Answer, Format]:
        """Return what is answered and in which format; its audit records are written."""
        address = str(environ.get("REMOTE_ADDR", ""))
        written_as, caller = JSON, None
        try:
            pairs = query_of(environ)
            found = self._found(environ)
            if found is None or not found.route.own_format:
                written_as = format_of(environ, pairs)
            if path_of(environ) == _METADATA:
                return self._metadata(environ), written_as
            caller = self._admitted(environ)
            found = found or self._no_route(environ)
            request = self._request(environ, found, Request(caller, pairs=pairs))
            if found.route.body == "form":
                written_as = format_of(environ, request.pairs)
            answer = found.route.run(request)
            found.service.record(answer.facts, caller, address)
        except FhirRefusedError as refusal:
            answer = self._refused(refusal, caller, address)
        return answer, written_as

    def _admitted(self, environ: Environ) -> Any:
        caller = self._door.authenticate(environ)
        if caller is None:
            raise FhirRefusedError(401, _UNAUTHORIZED, headers=(_BEARER,))
        return caller

    def _request(self, environ: Environ, found: _Found, known: Request) -> Request:
        """Return the request with what is only read of those who may ask."""
        route = found.route
        if not route.allows(known.caller):
            raise FhirRefusedError(403, _FORBIDDEN)
        form = form_of(environ) if route.body == "form" else ()
        limits = route.limits or self._endpoint.limits
        return replace(
            known,
            identity=found.identity,
            pairs=known.pairs + form,
            base=base_of(environ, self._endpoint.public_url),
            body=resource_of(environ, limits) if route.body == "resource" else None,
            prefer=preferences_of(environ),
            address=str(environ.get("REMOTE_ADDR", "")),
            accept=str(environ.get("HTTP_ACCEPT", "")),
            range=str(environ.get("HTTP_RANGE", "")),
        )

    def _metadata(self, environ: Environ) -> Answer:
        if _method(environ) != "GET":
            raise _not_allowed(["GET"])
        base = base_of(environ, self._endpoint.public_url)
        instance = Instance(base, self._endpoint.version, self._since)
        return Answer(capability_statement(instance, [one.offer for one in self._services]))

    def _found(self, environ: Environ) -> _Found | None:
        path, method = path_of(environ), _method(environ)
        for service in self._services:
            for route in service.routes:
                matched = route.path.fullmatch(path) if route.method == method else None
                if matched:
                    return _Found(service, route, matched.group(1) if matched.groups() else "")
        return None

    def _no_route(self, environ: Environ) -> NoReturn:
        path = path_of(environ)
        routes = (route for service in self._services for route in service.routes)
        methods = [one.method for one in routes if one.offered and one.path.fullmatch(path)]
        raise _not_allowed(methods) if methods else FhirRefusedError(404, not_found("http.path"))

    def _refused(self, refusal: FhirRefusedError, caller: Any | None, address: str) -> Answer:
        """Refused for who they are is a refusal; everything else failed for what was sent."""
        why = f"{refusal.status} {refusal}"
        refused = Refused("refused" if refusal.status in {401, 403} else "failure", why)
        self._door.record_refusal(refused, caller, address)
        return Answer(operation_outcome(refusal.issues), (), refusal.status, refusal.headers)


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


def _body(answer: Answer, written_as: Format) -> Stream:
    if answer.stream is not None:
        return answer.stream
    if answer.resource is None:
        return Stream("", 0, [b""])
    data = written_as.write(answer.resource)
    media_type = f"{written_as.media_type}; fhirVersion=4.0; charset=UTF-8"
    return Stream(media_type, len(data), [data])


def _headers(body: Stream) -> list[tuple[str, str]]:
    headers = [
        ("Content-Length", str(body.length)),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Vary", "Accept, Authorization"),
    ]
    if body.media_type:
        headers.append(("Content-Type", body.media_type))
    return headers
