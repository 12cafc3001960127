"""The SOAP endpoints as WSGI: authenticate, read within bounds, decide, answer, audit.

Transactions that only read are answered from a snapshot, so that a large retrieval never holds the
write lock; those that write change everything or nothing (`transacting`). Not a byte leaves before
the audit records are committed. Every refusal is audited too, and no answer holds a traceback or
says more than the sender already knew.

`ReplyTo` and `FaultTo` are not followed, so the asynchronous exchange of WS-Addressing is not
offered (ITI TF-2 Appendix V.3.6): an address from a message would let anybody make the hub connect
to wherever they like. The answer always goes back on the connection it was asked on.
"""

import logging
import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources
from wsgiref.util import application_uri
from xml.sax.saxutils import escape

from lxml import etree

from access_control.audit import AuditTrail
from access_control.model import ANONYMOUS, Subject
from hub_kernel.database import Database
from image_archive.backend import ArchiveBackend
from xds_registry.received_parts import ReceivedPart, Reception
from xds_registry.soap import FaultCode, SoapFaultError, SoapRequest
from xds_registry.transacting import (
    Answer,
    Asked,
    AuditFact,
    Call,
    DurableDocuments,
    EndpointName,
    RefusedDesk,
    Transaction,
    Transactor,
    TransactorParts,
)
from xds_registry.wsgi_answers import (
    Environ,
    HttpRefusalError,
    StartResponse,
    fault_answer,
    plain_answer,
    respond,
    soap_answer,
    unauthorized,
)
from xds_registry.wsgi_bodies import BodyLimits, BodyReader, ReceivedRequest

__all__ = [
    "Answer",
    "AuditFact",
    "Authenticate",
    "Call",
    "Documents",
    "Door",
    "EndpointName",
    "Environ",
    "ReceivedPart",
    "SoapEndpoint",
    "StartResponse",
    "Transaction",
]

Authenticate = Callable[[Environ], Subject | None]
Vouch = Callable[
    [etree._Element | None, Environ, Subject | None],  # noqa: SLF001 (its only name)
    Subject | None,
]
"""Finds the sender behind the SOAP Header, None where what it shows does not hold.

The last is whom `Authenticate` found behind the same request without it.
"""

log = logging.getLogger(__name__)

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_UNAUTHORIZED = SoapFaultError(
    FaultCode.SENDER, "a valid machine token is needed", "需要有效的机器令牌"
)
_NOT_VOUCHED = SoapFaultError(
    FaultCode.SENDER, "a valid user assertion is needed", "需要有效的用户断言"
)
_FAILED = SoapFaultError(
    FaultCode.RECEIVER, "the hub could not carry this out", "平台未能完成该请求"
)


@dataclass(frozen=True)
class Documents:
    """Where an endpoint that takes documents puts them; `most_bytes` bounds those of a request."""

    backend: ArchiveBackend
    durable: DurableDocuments
    most_bytes: int


@dataclass(frozen=True)
class Door:
    """What every endpoint needs beside its transactions.

    `public_url` is the address readers use, or empty: then the WSDL repeats the one it was asked
    at. `max_body_bytes` bounds the SOAP message of a request. Without `documents` no transaction
    gets attachments. `desk` keeps what was refused of correctable transactions. `vouch` names the
    sender by the SOAP Header instead of `authenticate`; `understood` are namespaces of headers that
    it reads.
    """

    database: Database
    audit: AuditTrail
    authenticate: Authenticate
    public_url: str = ""
    max_body_bytes: int = 8 * 1024 * 1024
    documents: Documents | None = None
    desk: RefusedDesk | None = None
    vouch: Vouch | None = None
    understood: frozenset[str] = frozenset()


class SoapEndpoint:
    """A WSGI application that answers the transactions of one route table."""

    def __init__(self, name: EndpointName, transactions: Iterable[Transaction], door: Door) -> None:
        self._name = name
        self._transactions = tuple(transactions)
        self._door = door
        documents = door.documents
        self._bodies = BodyReader(
            BodyLimits(door.max_body_bytes, documents.most_bytes if documents else 0),
            door.understood,
        )
        durable = documents.durable if documents else None
        self._transactor = Transactor(
            name, TransactorParts(door.database, door.audit, durable, door.desk)
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request; never raises."""
        try:
            if environ.get("REQUEST_METHOD") == "GET" and _asks_for_wsdl(environ):
                return self._wsdl(environ, start_response)
            return self._serve(environ, start_response)
        except Exception:  # noqa: BLE001 (outermost edge: a traceback must not reach the sender)
            log.exception("a SOAP request failed", extra={"endpoint": self._name.path})
            return fault_answer(start_response, _FAILED, "")

    def carry_out(self, action: str, asked: Asked) -> Answer:
        """Carry out a request that does not come by HTTP: one that was refused and corrected.

        Raises:
            SoapFaultError: no transaction has this action and payload, or not in this form.
        """
        return self._transactor.carry_out(self._routed(str(asked.body.tag), action), asked)

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        subject, message_id = ANONYMOUS, ""
        try:
            _require_post(environ)
            authenticated = self._door.authenticate(environ)
            if authenticated is None and self._door.vouch is None:
                return self._unauthorized(environ, start_response, _UNAUTHORIZED)
            subject = authenticated or ANONYMOUS
            with self._reception() as reception:
                request = self._bodies.read(environ, reception)
                message_id = request.soap.message_id
                vouched = self._vouched(request.soap, environ, authenticated)
                if vouched is None:
                    return self._unauthorized(environ, start_response, _NOT_VOUCHED)
                subject = vouched
                answer, action = self._answer(request, subject, environ, reception)
            return soap_answer(start_response, answer, action, message_id)
        except HttpRefusalError as refusal:
            self._audit_failure(subject, environ, str(refusal))
            return plain_answer(start_response, refusal)
        except SoapFaultError as fault:
            self._audit_failure(subject, environ, fault.en)
            return fault_answer(start_response, fault, message_id)

    def _answer(
        self,
        request: ReceivedRequest,
        subject: Subject,
        environ: Environ,
        reception: Reception | None,
    ) -> tuple[Answer, str]:
        transaction = self._routed(str(request.soap.body.tag), request.soap.action)
        address = environ.get("REMOTE_ADDR", "")
        asked = Asked(
            request.soap.body,
            subject,
            address,
            request.attachments,
            endpoint=self._address(environ),
            path=str(environ.get("PATH_INFO", "")),
        )
        if reception is not None and reception.failure is not None:
            answer = self._transactor.refuse_for_want_of_room(transaction, asked, reception.failure)
        else:
            answer = self._transactor.carry_out(transaction, asked)
        return answer, transaction.answer_action

    def _reception(self) -> "Reception | nullcontext[None]":
        documents = self._door.documents
        if documents is None:
            return nullcontext()
        return Reception(documents.backend, documents.most_bytes)

    def _vouched(
        self, soap: SoapRequest, environ: Environ, known: Subject | None
    ) -> Subject | None:
        return self._door.vouch(soap.header, environ, known) if self._door.vouch else known

    def _routed(self, request_tag: str, action: str) -> Transaction:
        """Several transactions share a payload; without an action the first of them is meant."""
        for transaction in self._transactions:
            if transaction.request_tag == request_tag and action in {"", transaction.action}:
                return transaction
        raise SoapFaultError(
            FaultCode.SENDER,
            "this endpoint does not answer that action",
            "该地址不支持所请求的操作",
            "ActionNotSupported",
        )

    def _unauthorized(
        self, environ: Environ, start_response: StartResponse, fault: SoapFaultError
    ) -> Iterable[bytes]:
        self._audit(ANONYMOUS, environ, AuditFact("refused", "", "no valid credentials"))
        return unauthorized(start_response, fault)

    def _audit_failure(self, subject: Subject, environ: Environ, why: str) -> None:
        self._audit(subject, environ, AuditFact("failure", "", why))

    def _audit(self, subject: Subject, environ: Environ, fact: AuditFact) -> None:
        asked = Asked(etree.Element("none"), subject, environ.get("REMOTE_ADDR", ""))
        with self._door.database.unit_of_work() as work:
            self._transactor.audit(work.session, None, asked, (fact,))

    def _wsdl(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        address = self._address(environ)
        text = resources.files("xds_registry").joinpath("wsdl", self._name.wsdl).read_text("utf-8")
        body = text.replace("@ADDRESS@", escape(address, {'"': "&quot;"})).encode()
        return respond(start_response, "200 OK", "text/xml; charset=UTF-8", [body])

    def _address(self, environ: Environ) -> str:
        if self._door.public_url:
            return self._door.public_url.rstrip("/") + self._name.path
        environ = {"wsgi.url_scheme": "http", "HTTP_HOST": "localhost", **environ}
        if not _HOST.fullmatch(environ["HTTP_HOST"]):
            environ["HTTP_HOST"] = "localhost"
        return application_uri(environ).rstrip("/")


def _require_post(environ: Environ) -> None:
    if environ.get("REQUEST_METHOD") != "POST":
        raise HttpRefusalError("405 Method Not Allowed", "POST, or GET with ?wsdl")


def _asks_for_wsdl(environ: Environ) -> bool:
    return str(environ.get("QUERY_STRING", "")).lower() in {"wsdl", "wsdl="}
