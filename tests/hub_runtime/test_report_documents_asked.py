"""A registered report as others get it: ITI-18, ITI-43 and MHD, and who may not."""

import hashlib
from collections.abc import Iterator

import pytest
from lxml import etree
from werkzeug.test import Client, TestResponse

from access_control.consent import EVERYONE, ConsentKind
from tests.hub_runtime.filed_reports import Clinic, open_clinic
from tests.xds_registry import wire
from xds_registry.model import DocumentEntry
from xds_registry.study_removal import remove_study

APND = "urn:ihe:iti:2007:AssociationType:APND"
RPLC = "urn:ihe:iti:2007:AssociationType:RPLC"
REPORTS = "('REPORTS^^1.3.6.1.4.1.19376.1.2.6.1')"


class Asker:
    """Another system with a token, at the doors of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.client = Client(clinic.hub.wsgi(), TestResponse)
        self.token = clinic.token("region", None)
        self.stranger = clinic.token("elsewhere", frozenset({"west"}))

    def query(self, query_id: str, *slots: tuple[str, str], by: str = "") -> etree._Element:
        answer = self._post("/xds/registry", wire.query(query_id, slots), by)
        return etree.fromstring(answer.data).find(f"{{{wire.SOAP}}}Body")[0]

    def found(self, study: str, by: str = "") -> list[str]:
        patient = self.clinic.manifest(study).patient_id
        slots = (
            ("$XDSDocumentEntryPatientId", f"'{patient}'"),
            ("$XDSDocumentEntryStatus", wire.APPROVED),
            ("$XDSDocumentEntryClassCode", REPORTS),
        )
        return wire.objects(self.query(wire.FIND_DOCUMENTS, *slots, by=by), "ExtrinsicObject")

    def retrieved(self, entry: DocumentEntry, by: str = "") -> tuple[str, bytes]:
        """Return the media type and the bytes of an ITI-43 answer, or its status and nothing."""
        asked = wire.retrieve((entry.repository_unique_id, entry.unique_id))
        answer = self._post("/xds/repository", asked, by)
        answer.content = answer.data  # type: ignore[attr-defined]
        body, parts = wire.unpack(answer)  # type: ignore[arg-type]
        if not parts:
            return wire.status(body), b""
        return str(body.find(".//{*}mimeType").text), next(iter(parts.values()))

    def binary(self, entry: DocumentEntry, by: str = "") -> TestResponse:
        """Ask ITI-68 at the address that ITI-67 names."""
        path = f"/fhir/Binary/{entry.entry_uuid.removeprefix('urn:uuid:')}"
        return self.client.get(path, headers={"Authorization": f"Bearer {by or self.token}"})

    def _post(self, path: str, data: bytes, by: str) -> TestResponse:
        headers = {
            "Content-Type": "application/soap+xml",
            "Authorization": f"Bearer {by or self.token}",
        }
        return self.client.post(path, data=data, headers=headers)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    clinic = open_clinic(tmp_path_factory.mktemp("asked") / "data")
    yield Asker(clinic)
    clinic.hub.close()


def test_a_report_is_found_related_and_retrieved(asker: Asker) -> None:
    clinic = asker.clinic
    study = clinic.study()
    clinic.tell(study, "signed")
    first = clinic.the_one(study)
    clinic.tell(study, "corrected", "C")
    entry = clinic.the_one(study)
    assert asker.found(study) == [entry.entry_uuid]
    related = asker.query(
        wire.GET_RELATED_DOCUMENTS,
        ("$XDSDocumentEntryEntryUUID", f"'{entry.entry_uuid}'"),
        ("$AssociationTypes", f"('{APND}','{RPLC}')"),
    )
    manifest = clinic.manifest(study).entry_uuid
    assert {manifest, first.entry_uuid} <= set(wire.objects(related, "ExtrinsicObject"))
    kinds = {
        (one.get("associationType"), one.get("targetObject"))
        for one in related.iter("{*}Association")
        if one.get("sourceObject") == entry.entry_uuid
    }
    assert kinds == {(APND, manifest), (RPLC, first.entry_uuid)}
    media_type, data = asker.retrieved(entry)
    assert media_type == "text/xml"
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    assert (digest, len(data)) == (entry.sha1, entry.size)
    answer = asker.binary(entry)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "text/xml", data)
    assert asker.binary(first).status_code == 410, "superseded"


def test_who_may_not_have_the_study_may_not_have_its_report(asker: Asker) -> None:
    clinic = asker.clinic
    study = clinic.study()
    clinic.tell(study, "for its site")
    entry = clinic.the_one(study)
    assert asker.found(study) == [entry.entry_uuid]
    assert asker.found(study, asker.stranger) == []
    assert asker.retrieved(entry, asker.stranger) == ("Failure", b"")
    assert asker.binary(entry, asker.stranger).status_code == 404
    clinic.hub.access.consents.record(
        clinic.person(study), ConsentKind.REFUSE, EVERYONE, by="registrar", reason="asked"
    )
    clinic.deliver()
    assert asker.found(study) == []
    assert asker.retrieved(entry) == ("Failure", b"")


def test_a_deleted_study_takes_its_reports_along_and_leaves_others(asker: Asker) -> None:
    clinic = asker.clinic
    study, other = clinic.study(), clinic.study()
    for one in (study, other):
        clinic.tell(one, f"of {one}")
    entry, stays = clinic.the_one(study), clinic.the_one(other)
    with clinic.hub.database.unit_of_work() as work:
        remove_study(work, clinic.hub.registry.intake, study, "cli:li")
    assert clinic.entries(study) == []
    assert clinic.hub.registry.documents.open(entry.unique_id) is None
    assert clinic.the_one(other) == stays
    assert clinic.data(stays)
