"""ImagingStudy: the archive's studies are found and read in FHIR by who may see their patients."""

import pytest

from access_control.consent import EVERYONE, ConsentKind
from access_control.model import Role
from tests.xds_registry import studies
from tests.xds_registry.hub import Hub
from tests.xds_registry.mhd.endpoint import LOCAL_SYSTEM, Fhir, found, issues

STUDY = "1.2.3.4"
DCM = "http://dicom.nema.org/resources/ontology/DCM"


@pytest.fixture
def person(hub: Hub) -> str:
    """Somebody with a CT of the chest of two series, and an MR of a later day."""
    for series, number in ((1, 1), (1, 2), (2, 1)):
        hub.archive.store_file(studies.instance(STUDY, series, number), studies.ORIGIN)
    other = {"Modality": "MR", "BodyPartExamined": "HEAD", "AccessionNumber": "A-2"}
    later = studies.instance("1.2.3.5", 1, 1, StudyDate="20250607", **other)
    hub.archive.store_file(later, studies.ORIGIN)
    return hub.know()


MEANING = [
    ("_id", STUDY, [STUDY]),
    ("identifier", f"urn:dicom:uid|urn:oid:{STUDY}", [STUDY]),
    ("identifier", f"urn:oid:{STUDY}", [STUDY]),
    ("identifier", "A-2", ["1.2.3.5"]),
    ("accession-number", f"{LOCAL_SYSTEM}|A-1", [STUDY]),
    ("basedon:identifier", "A-1", [STUDY]),
    ("accession-number", "A-", []),
    ("modality", f"{DCM}|CT", [STUDY]),
    ("modality", "CT,MR", ["1.2.3.5", STUDY]),
    ("bodysite", "http://snomed.info/sct|43799004", [STUDY]),
    ("bodysite", "1", []),
    ("started", "2024", [STUDY]),
    ("started", "ge2025-01-01", ["1.2.3.5"]),
    ("started", "2024-01-02T03:04:05+08:00", [STUDY]),
    ("status", "available", ["1.2.3.5", STUDY]),
]


def test_each_parameter_finds_what_it_means(fhir: Fhir, person: str) -> None:
    for name, value, wanted in MEANING:
        answer = fhir.get("ImagingStudy", **{"patient": person, name: value})
        assert [one["id"] for one in found(answer)] == wanted, (name, value)


def test_what_names_a_study_needs_no_patient(fhir: Fhir, person: str) -> None:
    for name, value in (
        ("identifier", f"urn:oid:{STUDY}"),
        ("accession-number", "A-1"),
        ("series", f"urn:oid:{STUDY}.2"),
        ("instance", f"{STUDY}.1.2"),
        ("_id", STUDY),
    ):
        assert [one["id"] for one in found(fhir.get("ImagingStudy", **{name: value}))] == [STUDY]
    for value in ("*", "A-?", "\\\\", "urn:oid:1.*"):
        assert found(fhir.get("ImagingStudy", identifier=value)) == []
    answer = fhir.get("ImagingStudy", modality="CT")
    assert answer.status_code == 400
    assert issues(answer)[0]["expression"] == ["http.patient"]


def test_a_read_lists_every_instance_and_a_search_only_counts(fhir: Fhir, person: str) -> None:
    study = fhir.get(f"ImagingStudy/{STUDY}").json()
    assert [len(one["instance"]) for one in study["series"]] == [2, 1]
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (2, 3)
    assert study["subject"]["reference"] == f"Patient/{person}"
    assert study["contained"][0]["address"] == "http://127.0.0.1:8080/dicom-web"
    assert study["description"] == "胸部平扫"
    (listed,) = found(fhir.get("ImagingStudy", identifier=f"urn:oid:{STUDY}"))
    assert all("instance" not in one for one in listed["series"])
    assert [one["numberOfInstances"] for one in listed["series"]] == [2, 1]
    assert listed["numberOfInstances"] == 3
    assert any(one.get("code") == "SUBSETTED" for one in listed["meta"]["tag"])


def test_xml_says_what_json_says(fhir: Fhir, person: str) -> None:
    answer = fhir.get(f"ImagingStudy/{STUDY}", _format="xml")
    assert answer.headers["Content-Type"].startswith("application/fhir+xml")
    assert answer.content.count(b"<instance>") == 3


def test_pages_go_on_where_the_last_one_ended(fhir: Fhir, person: str) -> None:
    first = fhir.get("ImagingStudy", patient=person, _count=1)
    (link,) = [one["url"] for one in first.json()["link"] if one["relation"] == "next"]
    second = fhir.get(link)
    assert [one["id"] for one in found(first) + found(second)] == ["1.2.3.5", STUDY]
    assert first.json()["total"] == second.json()["total"] == 2


def test_who_may_not_see_the_patient_sees_no_study(hub: Hub, fhir: Fhir, person: str) -> None:
    other = fhir.as_(Role.CLINICIAN, frozenset({"t2"}))
    assert found(other.get("ImagingStudy", patient=person)) == []
    assert found(other.get("ImagingStudy", identifier=f"urn:oid:{STUDY}")) == []
    assert other.get(f"ImagingStudy/{STUDY}").status_code == 404
    assert fhir.as_(Role.CLINICIAN, frozenset({"t1"})).get(f"ImagingStudy/{STUDY}").ok
    hub.consents.record(person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk")
    assert fhir.get(f"ImagingStudy/{STUDY}").status_code == 404
    assert found(fhir.get("ImagingStudy", patient=person)) == []


def test_access_is_audited(fhir: Fhir, person: str) -> None:
    fhir.get(f"ImagingStudy/{STUDY}")
    record = fhir.audited()[0]
    assert (record.action, record.resource_id) == ("query_registry", person)
