"""MADO: a study's FHIR manifest stands beside its KOS, says the same, and moves with it."""

import io
import json
from typing import Any

from pydicom import dcmread

from hub_kernel.events import StudyCompleted, new_event
from tests.xds_registry import studies
from tests.xds_registry.hub import Hub
from tests.xds_registry.mhd.endpoint import Fhir, found, oracle
from tests.xds_registry.samples import LOCAL, REPOSITORY_UID
from xds_registry import store
from xds_registry.mado.registration import FORMAT_CODE
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry

STUDY = "1.2.3.4"
KOS_FORMAT = "http://dicom.nema.org/resources/ontology/DCMUID|1.2.840.10008.5.1.4.1.1.88.59"
FHIR_FORMAT = "urn:ihe:rad:MADO:fhir-manifest:2026"


def complete(hub: Hub, *numbers: int, generation: int = 1, **changes: object) -> None:
    """Send instances of the study and let this generation of it be complete."""
    for number in numbers:
        hub.archive.store_file(studies.instance(STUDY, 1, number, **changes), studies.ORIGIN)
    hub.clock.advance(seconds=61)
    hub.archive.complete_quiet_studies()
    event = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="t1", generation=generation
    )
    for subscriber in hub.registry.subscribers():
        if subscriber.event_type is StudyCompleted:
            subscriber.handle(event)


def entries(hub: Hub, status: AvailabilityStatus | None = None) -> dict[str, DocumentEntry]:
    with hub.database.read() as session:
        listed = store.documents_of(session, [LOCAL.cx], [status] if status else None)
    return {one.format_code.code: one for one in listed}


def manifest(hub: Hub, fhir: Fhir) -> dict[str, Any]:
    """Return the current FHIR manifest as a consumer gets it."""
    person = hub.know()
    asked = {"patient": person, "status": "current", "format": FHIR_FORMAT}
    (reference,) = found(fhir.get("DocumentReference", **asked))
    answer = fhir.get(reference["content"][0]["attachment"]["url"])
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    bundle: dict[str, Any] = answer.json()
    return bundle


def resources(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["resource"]["resourceType"]: one["resource"] for one in bundle["entry"]}


def test_a_study_is_registered_in_both_forms(hub: Hub) -> None:
    hub.know()
    complete(hub, 1, 2)
    listed = entries(hub)
    fhir_form, kos = listed[FHIR_FORMAT], listed[KOS_FORMAT.partition("|")[2]]
    assert (fhir_form.mime_type, fhir_form.format_code) == ("application/fhir+json", FORMAT_CODE)
    assert fhir_form.reference_ids == kos.reference_ids
    assert fhir_form.event_codes == kos.event_codes
    assert fhir_form.unique_id != kos.unique_id
    with hub.database.read() as session:
        (relation,) = store.related(session, [kos.entry_uuid])
    assert relation.association_type is AssociationType.TRANSFORMS
    assert (relation.source, relation.target) == (fhir_form.entry_uuid, kos.entry_uuid)


def test_the_manifest_is_a_document_that_the_oracle_takes(hub: Hub, fhir: Fhir) -> None:
    hub.know()
    complete(hub, 1, 2)
    bundle = manifest(hub, fhir)
    oracle(bundle)
    for one in bundle["entry"]:
        oracle(one["resource"])
    assert bundle["type"] == "document"
    assert bundle["entry"][0]["resource"]["resourceType"] == "Composition"
    kinds = {"Composition", "ImagingStudy", "Patient", "Endpoint", "Device", "Organization"}
    assert set(resources(bundle)) == kinds
    urls = {one["fullUrl"] for one in bundle["entry"]}
    assert set(_references(bundle)) <= urls


def test_both_forms_list_the_same_instances_and_places(hub: Hub, fhir: Fhir) -> None:
    hub.know()
    complete(hub, 1, 2, 3)
    listed = resources(manifest(hub, fhir))
    study = listed["ImagingStudy"]
    kos_entry = hub.registry.manifest_of(STUDY)
    assert kos_entry is not None
    kos_id = kos_entry.entry_uuid.removeprefix("urn:uuid:")
    kos = dcmread(io.BytesIO(fhir.get(f"Binary/{kos_id}").content))
    (evidence,) = kos.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    told = [(one["uid"], one["sopClass"]["code"]) for one in study["series"][0]["instance"]]
    assert told == [
        (one.ReferencedSOPInstanceUID, f"urn:oid:{one.ReferencedSOPClassUID}")
        for one in series.ReferencedSOPSequence
    ]
    assert study["identifier"][0]["value"] == f"urn:oid:{kos.StudyInstanceUID}"
    assert study["started"] == "2024-01-02T03:04:05+08:00"
    endpoint = listed["Endpoint"]
    assert series.RetrieveURL.startswith(endpoint["address"])
    assert endpoint["extension"][0]["valueString"] == series.RetrieveLocationUID == REPOSITORY_UID
    relates = listed["Composition"]["relatesTo"][0]["targetIdentifier"]["value"]
    assert relates == f"urn:oid:{kos.SOPInstanceUID}"
    assert listed["Patient"]["name"][0]["family"] == "王"


def test_a_late_instance_replaces_both_forms(hub: Hub, fhir: Fhir) -> None:
    hub.know()
    complete(hub, 1)
    before = entries(hub)
    complete(hub, 2, generation=2)
    after = entries(hub, AvailabilityStatus.APPROVED)
    assert {one.entry_uuid for one in before.values()}.isdisjoint(
        one.entry_uuid for one in after.values()
    )
    assert len(after) == 2
    assert resources(manifest(hub, fhir))["ImagingStudy"]["numberOfInstances"] == 2
    with hub.database.read() as session:
        kinds = [
            one.association_type
            for one in store.related(session, [after[FHIR_FORMAT].entry_uuid])
            if one.source == after[FHIR_FORMAT].entry_uuid
        ]
    assert sorted(kinds) == sorted([AssociationType.TRANSFORMS, AssociationType.REPLACES])


def test_the_same_completion_again_changes_nothing(hub: Hub, fhir: Fhir) -> None:
    hub.know()
    complete(hub, 1)
    before = manifest(hub, fhir)
    complete(hub)
    assert manifest(hub, fhir) == before
    assert len(entries(hub)) == 2


def test_what_devices_send_is_text_and_nothing_else(hub: Hub, fhir: Fhir) -> None:
    hub.know()
    complete(hub, 1, StudyDescription='<script>alert("1")</script> & 胸部')
    bundle = manifest(hub, fhir)
    oracle(bundle)
    div = resources(bundle)["Composition"]["text"]["div"]
    assert "<script>" not in div and "&lt;script&gt;" in div


def test_each_form_leads_to_the_other(hub: Hub, fhir: Fhir) -> None:
    person = hub.know()
    complete(hub, 1)
    asked = {"study-instance-uid": f"urn:oid:{STUDY}"}
    listed = {
        one["content"][0]["format"]["code"]: one
        for one in found(fhir.get("DocumentReference", **asked))
    }
    kos, form = listed[KOS_FORMAT.partition("|")[2]], listed[FHIR_FORMAT]
    for one, other in ((kos, form), (form, kos)):
        reference = {"reference": f"DocumentReference/{other['id']}"}
        assert one["relatesTo"] == [{"code": "transforms", "target": reference}]
        assert one["masterIdentifier"] in one["identifier"]
        urls = {two["url"].rpartition(".")[2] for two in one["extension"]}
        assert urls == {"modality", "bodySite"}
    for name, value in (
        ("accession-number", "A-1"),
        ("modality", "CT"),
        ("anatomical-region", "http://snomed.info/sct|43799004"),
        ("bodysite", "43799004"),
        ("related:identifier", f"urn:oid:{STUDY}"),
        ("format", KOS_FORMAT),
    ):
        assert found(fhir.get("DocumentReference", patient=person, **{name: value})), name


def test_building_twice_gives_the_same_bytes(hub: Hub, fhir: Fhir) -> None:
    hub.know()
    complete(hub, 1)
    entry = entries(hub)[FHIR_FORMAT]
    with hub.database.read() as session:
        (kept,) = hub.registry._repository.find(session, [entry.unique_id])
    data = b"".join(hub.registry._repository.chunks(kept))
    assert json.loads(data) == manifest(hub, fhir)
    assert len(data) == entry.size


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for one in value for found in _references(one)]
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return [*own, *(found for one in value.values() for found in _references(one))]
    return []
