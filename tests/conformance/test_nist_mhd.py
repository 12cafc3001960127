"""The published kit's MHD tests (pdb_*): submit, read the reference, get the document both ways.

The kit lies in ../shared/conformance/nist. Its bundles are of FHIR STU3: as they lie there an R4
endpoint must refuse them; what they say, told in R4 (`nist_mhd`), must do what their plans expect.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import requests
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from hub_kernel.clock import SystemClock
from hub_kernel.fhir.server import Endpoint, FhirApplication
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from tests.conformance.nist_mhd import bundle_of, documents_of, translated
from tests.support.tools import require_conformance
from tests.xds_registry.mhd.endpoint import checked
from tests.xds_registry.trial import PATIENT_DOMAIN, OpenDoor, served, trial
from xds_registry.mhd.lists import DESIGNATION_TYPE

TESTS = (
    "pdb_single_doc_rec",
    "pdb_single_doc_rec_pdf",
    "pdb_single_doc_recresp",
    "pdb_single_doc_recresp_pdf",
    "pdb_two_doc_rec",
    "pdb_two_doc_recresp",
)
# What the kit's own codes.xml does not have, or what two documents of a test share; a recipient in
# front of an XDS registry has to refuse it, and to say where (ITI TF-2 3.42.4.1.3).
_MADE_UP = frozenset(
    {"category", "type", "securityLabel", "content[0].format", "context.facilityType",
     "context.practiceSetting", f"extension('{DESIGNATION_TYPE}')"}
)  # fmt: skip
REFUSED = {
    "pdb_single_doc_rec": _MADE_UP,
    "pdb_single_doc_rec_pdf": _MADE_UP,
    "pdb_single_doc_recresp": frozenset({"content[0].format"}),
    "pdb_two_doc_rec": _MADE_UP | {"masterIdentifier", "content[0].attachment.hash"},
}
JSON, XML = "application/fhir+json", "application/fhir+xml"


def test_the_kits_bundles_do_what_their_plans_expect(tmp_path: Path) -> None:
    kit = require_conformance("nist")
    outcomes: Counter[str] = Counter()
    with trial(tmp_path, kit / "environment" / "codes.xml") as here:
        here.know("12345")
        issuer = AssigningAuthority(PATIENT_DOMAIN, PATIENT_DOMAIN)
        person = here.patients.resolve(PatientIdentifier("12345", issuer))
        service = here.registry.documents_over_fhir
        application = FhirApplication(OpenDoor(), [service], Endpoint(), SystemClock())
        with served(DispatcherMiddleware(NotFound(), {"/fhir": application})) as address:
            for name in TESTS:
                outcomes.update(_steps(kit / "tests" / name, f"{address}/fhir", f"{person}"))
    assert dict(outcomes) == {
        "submit as published: refused, STU3": 6,
        "submit: refused, codes or identifiers of no region": 4,
        "submit: passed": 2,
        "read_document_reference: passed": 3,
        "read_document_binary: passed": 3,
        "read_document_contents: passed": 3,
    }


def _steps(folder: Path, base: str, person: str) -> Iterator[str]:
    """Yield what became of each step of one test."""
    raw = bundle_of(folder).read_bytes()
    answer = checked(requests.post(base, raw, headers={"Content-Type": XML}, timeout=20))
    assert answer.status_code == 400, answer.text
    yield "submit as published: refused, STU3"
    body = json.dumps(translated(folder, f"{base}/Patient/{person}")).encode()
    answer = checked(requests.post(base, body, headers={"Content-Type": JSON}, timeout=20))
    if folder.name in REFUSED:
        assert answer.status_code == 422, answer.text
        said = {one["expression"][0].partition(".resource.")[2] for one in answer.json()["issue"]}
        assert said == REFUSED[folder.name]
        yield "submit: refused, codes or identifiers of no region"
        return
    assert answer.status_code == 200, answer.text
    yield "submit: passed"
    yield from _read(answer, folder, base)


def _read(answer: requests.Response, folder: Path, base: str) -> Iterator[str]:
    locations = [one["response"]["location"] for one in answer.json()["entry"]]
    references = [one for one in locations if one.startswith("DocumentReference/")]
    for where, document in zip(references, documents_of(folder), strict=True):
        reference = checked(requests.get(f"{base}/{where}", timeout=20)).json()
        yield "read_document_reference: passed"
        attachment = reference["content"][0]["attachment"]
        wrapped = _accepting(attachment["url"], JSON).json()
        assert base64.b64decode(wrapped["data"]) == document
        yield "read_document_binary: passed"
        assert _accepting(attachment["url"], attachment["contentType"]).content == document
        yield "read_document_contents: passed"


def _accepting(url: str, media_type: str) -> requests.Response:
    answer = checked(requests.get(url, headers={"Accept": media_type}, timeout=20))
    assert answer.status_code == 200, answer.text
    return answer
