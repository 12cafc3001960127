"""The SOAP endpoints as WSGI: authenticate, read within bounds, decide, answer, audit.

Both transactions served here only read. They read in a snapshot, so that a large retrieval never
holds the write lock, and not a byte leaves before the audit records are committed. Every refusal is
audited too, and no answer holds a traceback or says more than the sender already knew.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any
from wsgiref.util import application_uri
from xml.sax.saxutils import escape

from lxml import etree
from sqlalchemy.orm import Session

from access_control.audit import AuditEvent, AuditTrail
from access_control.audit_message import Outcome
from access_control.model import ANONYMOUS, Subject
from hub_kernel.database import Database
from xds_registry import mtom
from xds_registry.soap import (
    HTTP_STATUS_OF_FAULT,
    FaultCode,
    SoapFaultError,
    SoapRequest,
    build_envelope,
    build_fault,
    parse_envelope,
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Authenticate = Callable[[Environ], Subject | None]

log = logging.getLogger(__name__)

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_SOAP_MEDIA_TYPES = frozenset({mtom.SOAP_MEDIA_TYPE, "text/xml"})
_UNAUTHORIZED = SoapFaultError(
    FaultCode.SENDER, "a valid machine token is needed", "需要有效的机器令牌"
)
_FAILED = SoapFaultError(
    FaultCode.RECEIVER, "the hub could not carry this out", "平台未能完成该请求"
)


@dataclass(frozen=True)
class Call:
    """One authenticated request, and the snapshot it is answered from."""

    body: etree._Element
    session: Session
    subject: Subject


@dataclass(frozen=True)
class AuditFact:
    """What one audit record says beside who and where from; `resource_id` may be empty."""

    outcome: Outcome
    resource_id: str
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """What a transaction answers; `attachments` None is plain SOAP, else MTOM, even when empty."""

    payload: etree._Element
    facts: tuple[AuditFact, ...]
    attachments: tuple[mtom.Attachment, ...] | None = None


@dataclass(frozen=True)
class Transaction:
    """One row of an endpoint's route table: the payload's tag, the actions, and who answers."""

    request_tag: str
    action: str
    answer_action: str
    run: Callable[[Call], Answer]


@dataclass(frozen=True)
class Door:
    """What every endpoint needs beside its transactions.

    `public_url` is the address readers use, or empty: then the WSDL repeats the one it was asked
    at. `max_body_bytes` bounds a request.
    """

    database: Database
    audit: AuditTrail
    authenticate: Authenticate
    public_url: str = ""
    max_body_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True)
class EndpointName:
    """How an endpoint is called: its path, its WSDL, and its words in audit records."""

    path: str
    wsdl: str
    audit_action: str
    resource_kind: str


class _HttpRefusalError(Exception):
    """Refused before SOAP: answered with an HTTP status and one line of text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class SoapEndpoint:
    """A WSGI application that answers the transactions of one route table."""

    def __init__(self, name: EndpointName, transactions: Iterable[Transaction], door: Door) -> None:
        self._name = name
        self._routes: Mapping[str, Transaction] = {one.request_tag: one for one in transactions}
        self._door = door

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request; never raises."""
        try:
            if environ.get("REQUEST_METHOD") == "GET" and _asks_for_wsdl(environ):
                return self._wsdl(environ, start_response)
            return self._serve(environ, start_response)
        except Exception:  # noqa: BLE001 (outermost edge: a traceback must not reach the sender)
            log.exception("a SOAP request failed", extra={"endpoint": self._name.path})
            return _fault(start_response, _FAILED, "")

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        subject, message_id = ANONYMOUS, ""
        try:
            _require_post(environ)
            authenticated = self._door.authenticate(environ)
            if authenticated is None:
                return self._unauthorized(environ, start_response)
            subject = authenticated
            request = self._request(environ)
            message_id = request.message_id
            return self._answer(request, subject, environ, start_response)
        except _HttpRefusalError as refusal:
            self._audit_failure(subject, environ, str(refusal))
            headers = [("Allow", "GET, POST")] if refusal.status.startswith("405") else []
            return _plain(start_response, refusal.status, str(refusal), headers)
        except SoapFaultError as fault:
            self._audit_failure(subject, environ, fault.en)
            return _fault(start_response, fault, message_id)

    def _request(self, environ: Environ) -> SoapRequest:
        """Read the body and return the request in it.

        Raises:
            _HttpRefusalError: too long, no length, or another media type.
            SoapFaultError: the message is not acceptable SOAP.
        """
        content_type = environ.get("CONTENT_TYPE") or ""
        media_type, _ = mtom.media_type_of(content_type)
        if media_type in _SOAP_MEDIA_TYPES:
            return parse_envelope(self._body(environ))
        if media_type != "multipart/related":
            raise _HttpRefusalError(
                "415 Unsupported Media Type", "application/soap+xml or multipart/related"
            )
        try:
            package = mtom.read_package(self._body(environ), content_type)
            request = parse_envelope(package.root)
            mtom.refuse_foreign_includes(request.body, package.attachments)
        except mtom.BadMultipartError as error:
            raise SoapFaultError(FaultCode.SENDER, str(error), "MTOM 报文无法接受") from error
        return request

    def _body(self, environ: Environ) -> bytes:
        limit = self._door.max_body_bytes
        text = environ.get("CONTENT_LENGTH") or ""
        if not text and not environ.get("wsgi.input_terminated"):
            raise _HttpRefusalError("411 Length Required", "Content-Length is needed")
        if text and not _LENGTH.fullmatch(text):
            raise _HttpRefusalError("400 Bad Request", "Content-Length is not a number")
        wanted = int(text) if text else limit + 1
        if text and wanted > limit:
            raise _HttpRefusalError("413 Content Too Large", f"at most {limit} bytes")
        data: bytes = environ["wsgi.input"].read(wanted)
        if len(data) > limit:
            raise _HttpRefusalError("413 Content Too Large", f"at most {limit} bytes")
        if text and len(data) < wanted:
            raise _HttpRefusalError("400 Bad Request", "the body is shorter than its length")
        return data

    def _answer(
        self,
        request: SoapRequest,
        subject: Subject,
        environ: Environ,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        transaction = self._routed(request)
        with self._door.database.read() as session:
            answer = transaction.run(Call(request.body, session, subject))
        with self._door.database.unit_of_work() as work:
            for fact in answer.facts:
                self._door.audit.record(work.session, self._event(fact, subject, environ))
        envelope = build_envelope(answer.payload, transaction.answer_action, request.message_id)
        if answer.attachments is None:
            content_type = (
                f'{mtom.SOAP_MEDIA_TYPE}; charset=UTF-8; action="{transaction.answer_action}"'
            )
            return _respond(start_response, "200 OK", content_type, [envelope])
        package = mtom.build_package(envelope, answer.attachments, transaction.answer_action)
        headers = _headers(package.content_type, package.length)
        start_response("200 OK", headers)
        return package.chunks

    def _routed(self, request: SoapRequest) -> Transaction:
        transaction = self._routes.get(str(request.body.tag))
        if transaction is None or request.action not in {"", transaction.action}:
            raise SoapFaultError(
                FaultCode.SENDER,
                "this endpoint does not answer that action",
                "该地址不支持所请求的操作",
                "ActionNotSupported",
            )
        return transaction

    def _unauthorized(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        fact = AuditFact("refused", "", "no valid credentials")
        self._door.audit.record_now(self._event(fact, ANONYMOUS, environ))
        headers = [("WWW-Authenticate", 'Bearer realm="eirhub"')]
        body = build_fault(_UNAUTHORIZED, "")
        content_type = f"{mtom.SOAP_MEDIA_TYPE}; charset=UTF-8"
        return _respond(start_response, "401 Unauthorized", content_type, [body], headers)

    def _audit_failure(self, subject: Subject, environ: Environ, why: str) -> None:
        self._door.audit.record_now(self._event(AuditFact("failure", "", why), subject, environ))

    def _event(self, fact: AuditFact, subject: Subject, environ: Environ) -> AuditEvent:
        return AuditEvent(
            action=self._name.audit_action,
            outcome=fact.outcome,
            subject=subject,
            resource_kind=self._name.resource_kind,
            resource_id=fact.resource_id,
            address=environ.get("REMOTE_ADDR", ""),
            detail=fact.detail,
        )

    def _wsdl(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        address = self._address(environ)
        text = resources.files("xds_registry").joinpath("wsdl", self._name.wsdl).read_text("utf-8")
        body = text.replace("@ADDRESS@", escape(address, {'"': "&quot;"})).encode()
        return _respond(start_response, "200 OK", "text/xml; charset=UTF-8", [body])

    def _address(self, environ: Environ) -> str:
        if self._door.public_url:
            return self._door.public_url.rstrip("/") + self._name.path
        if not _HOST.fullmatch(environ.get("HTTP_HOST", "localhost")):
            environ = {**environ, "HTTP_HOST": "localhost"}
        return application_uri(environ).rstrip("/")


def _require_post(environ: Environ) -> None:
    if environ.get("REQUEST_METHOD") != "POST":
        raise _HttpRefusalError("405 Method Not Allowed", "POST, or GET with ?wsdl")


def _asks_for_wsdl(environ: Environ) -> bool:
    return str(environ.get("QUERY_STRING", "")).lower() in {"wsdl", "wsdl="}


def _headers(content_type: str, length: int) -> list[tuple[str, str]]:
    return [
        ("Content-Type", content_type),
        ("Content-Length", str(length)),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]


def _respond(
    start_response: StartResponse,
    status: str,
    content_type: str,
    body: list[bytes],
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    start_response(status, [*_headers(content_type, sum(map(len, body))), *headers])
    return body


def _plain(
    start_response: StartResponse, status: str, text: str, headers: Iterable[tuple[str, str]]
) -> list[bytes]:
    content_type = "text/plain; charset=UTF-8"
    return _respond(start_response, status, content_type, [f"{text}\n".encode()], headers)


def _fault(start_response: StartResponse, fault: SoapFaultError, message_id: str) -> list[bytes]:
    body = build_fault(fault, message_id)
    content_type = f"{mtom.SOAP_MEDIA_TYPE}; charset=UTF-8"
    return _respond(start_response, HTTP_STATUS_OF_FAULT[fault.code], content_type, [body])
