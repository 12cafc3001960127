"""The SOAP doors: who may knock, how large, and what comes back for rubbish."""

import json
import time

import pytest
import requests

from access_control.audit import AuditQuery
from tests.support.effort import little_effort
from tests.xds_registry import wire
from tests.xds_registry.hub import Hub, Web

ENTITY = b'<!DOCTYPE s:Envelope [<!ENTITY a "%s">]>' % (b"x" * 1000)
MULTIPART = 'multipart/related; boundary="b"; type="application/xop+xml"'


@pytest.fixture
def token(hub: Hub) -> str:
    return hub.token("region", None)


def outcomes(hub: Hub) -> list[str]:
    return [one.outcome for one in hub.audit.search(AuditQuery()).records]


@pytest.mark.parametrize("path", ["registry", "repository"])
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic Og==", "Bearer ", "bearer"])
def test_without_a_valid_token_nothing_is_read(
    hub: Hub, web: Web, path: str, header: str | None
) -> None:
    headers = {"Content-Type": "application/soap+xml"}
    if header:
        headers["Authorization"] = header
    response = requests.post(f"{web.base}/xds/{path}", b"<x", headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert outcomes(hub) == ["refused"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/soap+xml", 400),
        (b"not xml", "application/soap+xml", 400),
        (ENTITY + wire.query(wire.FIND_DOCUMENTS, ()), "application/soap+xml", 400),
        (b"<a>" * 100_000, "application/soap+xml", 400),
        (b"{}", "application/json", 415),
        (b"<x/>", "", 415),
        (b"x" * 1_000_001, "application/soap+xml", 413),
        (wire.retrieve(("1", "2")), "application/soap+xml", 400),
        (b"--b\r\n\r\n", MULTIPART, 400),
        (b"--b\r\n\r\n<x/>\r\n--b--", MULTIPART, 400),
        (
            wire.query(wire.FIND_DOCUMENTS, ()).replace(wire.SOAP.encode(), b"urn:other"),
            "application/soap+xml",
            400,
        ),
        (
            wire.query(wire.FIND_DOCUMENTS, ()).replace(wire.ITI18.encode(), b"urn:other"),
            "application/soap+xml",
            400,
        ),
    ],
    ids=[
        "empty",
        "text",
        "entity",
        "depth",
        "json",
        "no-type",
        "too-large",
        "other-transaction",
        "open-multipart",
        "part-is-no-soap",
        "other-envelope",
        "other-action",
    ],
)
def test_rubbish_is_refused_audited_and_quick(
    hub: Hub, web: Web, token: str, body: bytes, content_type: str, status: int
) -> None:
    with little_effort(1, time.process_time):
        response = web.post(web.registry, body, token, content_type)
    assert response.status_code == status
    assert "Traceback" not in response.text
    assert outcomes(hub) == ["failure"]


def test_soap_11_is_told_to_use_12(web: Web, token: str) -> None:
    body = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>'
    response = web.post(web.registry, body, token, "text/xml")
    assert response.status_code == 500
    assert "VersionMismatch" in response.text


def test_reply_to_is_never_followed(hub: Hub, web: Web, token: str) -> None:
    """An address that would be connected to refuses; the answer still comes on this connection."""
    body = wire.query(wire.GET_DOCUMENTS, (("$XDSDocumentEntryUniqueId", "('1')"),))
    header = (
        f'<r:ReplyTo xmlns:r="{wire.WSA}"><r:Address>http://127.0.0.1:9/</r:Address></r:ReplyTo>'
    )
    data = body.replace(b"</ns0:Header>", header.encode() + b"</ns0:Header>")
    assert data != body
    answer = wire.payload(web.post(web.registry, data, token))
    assert wire.status(answer) == "Success"


def test_an_include_that_leaves_the_package_is_a_fault(web: Web, token: str) -> None:
    include = f'<x:Include xmlns:x="{wire.XOP}" href="file:///etc/passwd"/>'.encode()
    root = wire.retrieve(("1", "2")).replace(b"</ns0:Body>", b"</ns0:Body>")
    root = root.replace(b">2<", b">" + include + b"<")
    data = b"--b\r\nContent-ID: <r@x>\r\n\r\n" + root + b"\r\n--b--"
    response = web.post(web.repository, data, token, MULTIPART)
    assert (response.status_code, "root:" in response.text) == (400, False)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_other_methods_are_refused(web: Web, method: str) -> None:
    response = requests.request(method, web.registry, timeout=10)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("path", ["registry", "repository"])
def test_the_wsdl_names_the_address_it_was_asked_at(web: Web, path: str) -> None:
    response = requests.get(f"{web.base}/xds/{path}?wsdl", timeout=10)
    assert response.status_code == 200
    assert f'location="{web.base}/xds/{path}"' in response.text


def test_a_false_host_does_not_get_into_the_wsdl(web: Web) -> None:
    headers = {"Host": 'evil.example"><x>'}
    response = requests.get(f"{web.registry}?wsdl", headers=headers, timeout=10)
    assert "evil.example" not in response.text


def test_an_answer_is_not_kept_by_caches(web: Web, token: str) -> None:
    response = web.post(web.registry, wire.query("", ()), token)
    assert response.headers["Cache-Control"] == "no-store"


def test_audit_records_hold_no_names(hub: Hub, web: Web, token: str) -> None:
    slots = (
        ("$XDSDocumentEntryPatientId", "'Wang^XiaoDong^^^&1.2.3&ISO'"),
        ("$XDSDocumentEntryStatus", wire.APPROVED),
    )
    web.post(web.registry, wire.query(wire.FIND_DOCUMENTS, slots), token)
    web.post(web.registry, b"<Wang^XiaoDong", token)
    text = json.dumps([vars(one) for one in hub.audit.search(AuditQuery()).records], default=str)
    assert "Wang" not in text
