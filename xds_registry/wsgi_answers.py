"""What goes back over HTTP from a SOAP endpoint: statuses, headers, faults, MTOM packages."""

from collections.abc import Callable, Iterable
from typing import Any

from xds_registry import mtom
from xds_registry.soap import (
    HTTP_STATUS_OF_FAULT,
    SoapFaultError,
    build_envelope,
    build_fault,
)
from xds_registry.transacting import Answer

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
_SOAP = f"{mtom.SOAP_MEDIA_TYPE}; charset=UTF-8"


class HttpRefusalError(Exception):
    """Refused before SOAP: answered with an HTTP status and one line of text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def soap_answer(
    start_response: StartResponse, answer: Answer, action: str, relates_to: str
) -> Iterable[bytes]:
    """Send the answer of a transaction, as plain SOAP or as an MTOM package that is streamed."""
    envelope = build_envelope(answer.payload, action, relates_to, answer.objects)
    if answer.attachments is None:
        return respond(start_response, "200 OK", f'{_SOAP}; action="{action}"', [envelope])
    package = mtom.build_package(envelope, answer.attachments, action)
    start_response("200 OK", _headers(package.content_type, package.length))
    return package.chunks


def fault_answer(
    start_response: StartResponse, fault: SoapFaultError, relates_to: str
) -> Iterable[bytes]:
    """Send a fault with the HTTP status its code asks for."""
    body = build_fault(fault, relates_to)
    return respond(start_response, HTTP_STATUS_OF_FAULT[fault.code], _SOAP, [body])


def unauthorized(start_response: StartResponse, fault: SoapFaultError) -> Iterable[bytes]:
    """Send the fault of a sender nobody knows."""
    headers = [("WWW-Authenticate", 'Bearer realm="eirhub"')]
    return respond(start_response, "401 Unauthorized", _SOAP, [build_fault(fault, "")], headers)


def plain_answer(start_response: StartResponse, refusal: HttpRefusalError) -> Iterable[bytes]:
    """Send a refusal that is no SOAP."""
    headers = [("Allow", "GET, POST")] if refusal.status.startswith("405") else []
    body = f"{refusal}\n".encode()
    return respond(start_response, refusal.status, "text/plain; charset=UTF-8", [body], headers)


def respond(
    start_response: StartResponse,
    status: str,
    content_type: str,
    body: list[bytes],
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Start a response of known length and return its body."""
    start_response(status, [*_headers(content_type, sum(map(len, body))), *headers])
    return body


def _headers(content_type: str, length: int) -> list[tuple[str, str]]:
    return [
        ("Content-Type", content_type),
        ("Content-Length", str(length)),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
