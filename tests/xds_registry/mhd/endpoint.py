"""The registry's part of the FHIR endpoint over HTTP, and documents as a source sends them."""

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from fhir.resources.R4B import get_fhir_model_class
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.audit import AuditEvent, AuditQuery, AuditRecord
from access_control.model import ANONYMOUS, Role, Subject
from hub_kernel.fhir.exchange import Refused
from hub_kernel.fhir.server import Endpoint, FhirApplication
from hub_kernel.fhir.validation import require_valid
from hub_kernel.fhir.xml_format import read_xml, write_xml
from tests.xds_registry.hub import Hub, serve
from tests.xds_registry.samples import TOWNSHIP

Json = dict[str, Any]

MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition"
LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
FORMATS = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
LOCAL_SYSTEM = f"urn:oid:{TOWNSHIP.oid}"
TEXT = "检查所见: 未见异常。\n".encode()


@dataclass(frozen=True)
class TestDoor:
    """Who comes in, as the hub wires it: tokens and the audit trail."""

    __test__ = False
    hub: Hub

    def authenticate(self, environ: dict[str, Any]) -> Subject | None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return self.hub.tokens.subject(token) if scheme == "Bearer" else None

    def record_refusal(self, refused: Refused, caller: Subject | None, address: str) -> None:
        subject = caller or ANONYMOUS
        event = AuditEvent(
            "fhir_request", refused.outcome, subject, "document", "", address, refused.why
        )
        self.hub.audit.record_now(event)


@dataclass(frozen=True)
class Fhir:
    """A client of the endpoint: every answer passes the oracles."""

    hub: Hub
    base: str
    token: str

    def as_(self, role: Role, sites: frozenset[str] | None = None) -> "Fhir":
        name = f"{role}-{sorted(sites) if sites is not None else 'region'}-{uuid.uuid4()}"
        return Fhir(self.hub, self.base, self.hub.token(name, sites, role))

    def get(self, path: str, **parameters: Any) -> requests.Response:
        return self.send("GET", path, params=parameters)

    def post(self, path: str, resource: Json, **headers: str) -> requests.Response:
        sent = {"Content-Type": "application/fhir+json", **headers}
        return self.send("POST", path, data=json.dumps(resource).encode(), headers=sent)

    def post_xml(self, path: str, resource: Json) -> requests.Response:
        sent = {"Content-Type": "application/fhir+xml"}
        return self.send("POST", path, data=write_xml(resource), headers=sent)

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        address = path if path.startswith("http") else f"{self.base}/{path}".rstrip("/")
        answer = requests.request(method, address, headers=headers, timeout=20, **more)
        return checked(answer)

    def audited(self) -> list[AuditRecord]:
        return list(self.hub.audit.search(AuditQuery()).records)


@pytest.fixture
def fhir(hub: Hub) -> Iterator[Fhir]:
    """A machine that may send, find and get everything in the region."""
    service = hub.registry.documents_over_fhir
    application = FhirApplication(TestDoor(hub), [service], Endpoint(version="1.2.3"), hub.clock)
    token = hub.tokens.create(
        "everything",
        {Role.RADIOLOGIST, Role.DOCUMENT_SOURCE},
        None,
        hub.clock.now().replace(year=hub.clock.now().year + 1),
    )
    for address in serve(DispatcherMiddleware(NotFound(), {"/fhir": application})):
        yield Fhir(hub, f"{address}/fhir", token)


def checked(answer: requests.Response) -> requests.Response:
    """Let an answer pass our own check, the oracle, and the rules of all answers."""
    assert "Traceback" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    if media_type == "application/fhir+xml":
        resource = read_xml(answer.content)
    elif media_type == "application/fhir+json":
        resource = answer.json()
    else:
        return answer
    oracle(resource)
    return answer


def oracle(resource: Json) -> None:
    """Require that both our table and `fhir.resources` take a resource for FHIR R4."""
    require_valid(resource, resource["resourceType"])
    get_fhir_model_class(resource["resourceType"]).model_validate_json(json.dumps(resource))


def found(answer: requests.Response) -> list[Json]:
    """Return the resources that a search has matched."""
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", [])
    return [one["resource"] for one in entries if one["search"]["mode"] == "match"]


def issues(answer: requests.Response) -> list[Json]:
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome", body
    listed: list[Json] = body["issue"]
    return listed


def concept(system: str, code: str, display: str = "") -> Json:
    said = {"system": system, "code": code}
    return {"coding": [{**said, "display": display} if display else said]}


def oid(name: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def full_url(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def document(name: str = "report", data: bytes = TEXT, **changes: Any) -> Json:
    """A comprehensive DocumentReference; its Binary has the fullUrl of `name` + binary."""
    digest = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
    said: Json = {
        "resourceType": "DocumentReference",
        "contained": [
            {
                "resourceType": "Patient",
                "id": "source",
                "identifier": [{"system": LOCAL_SYSTEM, "value": "L-1"}],
                "name": [{"family": "王", "given": ["小东"]}],
                "gender": "male",
                "birthDate": "1960-05-06",
            },
            {
                "resourceType": "Practitioner",
                "id": "author",
                "identifier": [{"system": "urn:oid:1.2.3.9", "value": "D-7"}],
                "name": [{"family": "李", "given": ["四"]}],
            },
            {"resourceType": "Organization", "id": "clinic", "name": "一镇卫生院"},
            {
                "resourceType": "PractitionerRole",
                "id": "role",
                "practitioner": {"reference": "#author"},
                "organization": {"reference": "#clinic"},
                "specialty": [{"text": "放射科"}],
            },
        ],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{oid(name)}"},
        "status": "current",
        "type": concept(LOINC, "11528-7", "Radiology Report"),
        "category": [concept("urn:oid:1.3.6.1.4.1.19376.1.2.6.1", "REPORTS", "Reports")],
        "subject": {"identifier": {"system": LOCAL_SYSTEM, "value": "L-1"}},
        "author": [{"reference": "#role"}],
        "description": "first reading",
        "securityLabel": [
            concept("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N", "normal")
        ],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "language": "zh-CN",
                    "url": full_url(f"{name} binary"),
                    "size": len(data),
                    "hash": digest,
                    "title": f"报告 {name}",
                    "creation": "2026-11-20T08:30:00+08:00",
                },
                "format": {
                    "system": FORMATS,
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                    "display": "mimeType Sufficient",
                },
            }
        ],
        "context": {
            "event": [concept("http://dicom.nema.org/resources/ontology/DCM", "CT", "CT")],
            "period": {"start": "2026-11-19T10:00:00+08:00"},
            "facilityType": concept(SNOMED, "22232009", "Hospital"),
            "practiceSetting": concept(SNOMED, "309964003", "Radiology"),
            "sourcePatientInfo": {"reference": "#source"},
            "related": [
                {
                    "identifier": {
                        "type": concept("urn:ietf:rfc:3986", "urn:ihe:iti:xds:2013:accession"),
                        "system": LOCAL_SYSTEM,
                        "value": "A-77",
                    }
                }
            ],
        },
    }
    return {**said, **changes}


def binary(data: bytes = TEXT, content_type: str = "text/plain") -> Json:
    encoded = base64.b64encode(data).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": encoded}


def submission_set(name: str, *members: str, **changes: Any) -> Json:
    said: Json = {
        "resourceType": "List",
        "extension": [
            {
                "url": f"{MHD}/ihe-designationType",
                "valueCodeableConcept": concept(LOINC, "18748-4", "Diagnostic imaging study"),
            },
            {
                "url": f"{MHD}/ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3.4"},
            },
        ],
        "identifier": [
            {"use": "usual", "system": "urn:ietf:rfc:3986", "value": f"urn:oid:{oid(name)}"}
        ],
        "status": "current",
        "mode": "working",
        "title": f"提交 {name}",
        "code": concept(LIST_TYPES, "submissionset"),
        "subject": {"identifier": {"system": LOCAL_SYSTEM, "value": "L-1"}},
        "date": "2026-11-20T09:00:00+08:00",
        "entry": [{"item": {"reference": one}} for one in members],
    }
    return {**said, **changes}


def folder(name: str, *members: str, **changes: Any) -> Json:
    said = submission_set(name, *members)
    del said["date"]
    said["extension"] = [
        {
            "url": f"{MHD}/ihe-designationType",
            "valueCodeableConcept": concept("urn:oid:1.3.6.1.4.1.19376.1.2.6.1", "IMAGES"),
        }
    ]
    return {**said, "code": concept(LIST_TYPES, "folder"), "title": "随访", **changes}


def entry(resource: Json, name: str, method: str = "POST", url: str = "") -> Json:
    request = {"method": method, "url": url or resource["resourceType"]}
    return {"fullUrl": full_url(name), "resource": resource, "request": request}


def provide(*entries: Json, profile: str = "Comprehensive") -> Json:
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{MHD}/IHE.MHD.{profile}.ProvideBundle"]},
        "type": "transaction",
        "entry": list(entries),
    }


def one_document(name: str = "report", data: bytes = TEXT, **changes: Any) -> Json:
    """A transaction of one document, as most sources send it."""
    return provide(
        entry(submission_set(f"set of {name}", full_url(name)), f"set of {name}"),
        entry(document(name, data, **changes), name),
        entry(binary(data), f"{name} binary"),
    )


def location(answer: requests.Response, number: int) -> str:
    """Return where the resource of that entry was put."""
    assert answer.status_code == 200, answer.text
    put: str = answer.json()["entry"][number]["response"]["location"]
    return put
