"""What this community gets from others for whoever asks here: ITI-18, ITI-43 and RAD-69."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from access_control.audit import AuditQuery
from access_control.consent import EVERYONE, ConsentKind
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import report
from tests.xds_registry import imaging_wire, studies, wire
from tests.xds_registry.districts import District, Named, running_district
from tests.xds_registry.gateways.conftest import (
    OWN_STUDY,
    SILENT_HOME,
    STUDY,
    Federated,
    silent,
)

IMAGE = (STUDY, f"{STUDY}.1", f"{STUDY}.1.1")
OWN_IMAGE = (OWN_STUDY, f"{OWN_STUDY}.1", f"{OWN_STUDY}.1.1")


def find(federated: Federated, token: str | None = None, **options: str):  # type: ignore[no-untyped-def]
    query = imaging_wire.find_documents(federated.patient_at_a, **options)
    return wire.payload(federated.a.post("/xds/registry", query, token))


def get_images(federated: Federated, *images: imaging_wire.Image, token: str | None = None):  # type: ignore[no-untyped-def]
    named = federated.b.named
    request = imaging_wire.images(*images, repository=named.repository_id, home=named.home_id)
    return wire.unpack(federated.a.post("/xds/imaging", request, token))


def get_manifest(federated: Federated, token: str | None = None):  # type: ignore[no-untyped-def]
    named = federated.b.named
    request = imaging_wire.documents((named.home_id, named.repository_id, federated.manifest))
    return wire.unpack(federated.a.post("/xds/repository", request, token))


def test_a_query_by_patient_finds_documents_of_both_communities(federated: Federated) -> None:
    answer = find(federated)
    assert wire.status(answer) == "Success"
    assert imaging_wire.homes(answer) == [federated.a.named.home_id, federated.b.named.home_id]
    patients = {
        one.get("value")
        for one in answer.iter("{*}ExternalIdentifier")
        if one.get("identificationScheme") == "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
    }
    assert patients == {federated.patient_at_a}


def test_references_are_found_too(federated: Federated) -> None:
    answer = find(federated, return_type="ObjectRef")
    assert len(wire.objects(answer, "ObjectRef")) == 2
    assert federated.b.named.home_id in imaging_wire.homes(answer)


def test_a_query_that_names_a_community_goes_there_alone(federated: Federated) -> None:
    home = federated.b.named.home_id
    assert imaging_wire.homes(find(federated, home=home)) == [home]
    slots = [("$XDSDocumentEntryUniqueId", f"('{federated.manifest}')")]
    query = wire.query(wire.GET_DOCUMENTS, slots, home=home)
    answer = wire.payload(federated.a.post("/xds/registry", query))
    assert imaging_wire.homes(answer) == [home]
    identifiers = {one.get("value") for one in answer.iter("{*}ExternalIdentifier")}
    assert federated.patient_at_a in identifiers
    assert federated.patient_at_b not in identifiers


def test_a_community_nobody_has_named_in_the_settings_is_unknown(federated: Federated) -> None:
    answer = find(federated, home="urn:oid:9.9")
    assert (wire.status(answer), wire.errors(answer)) == ("Failure", ["XDSUnknownCommunity"])


def test_a_document_of_the_other_community_is_retrieved(federated: Federated) -> None:
    find(federated)
    answer, parts = get_manifest(federated)
    assert wire.status(answer) == "Success"
    assert imaging_wire.values(answer, "HomeCommunityId") == [federated.b.named.home_id]
    (data,) = parts.values()
    assert dcmread(io.BytesIO(data)).SOPInstanceUID == federated.manifest


def test_documents_of_both_communities_come_in_one_answer(federated: Federated) -> None:
    own = federated.a.registry.manifest_of(OWN_STUDY)
    assert own is not None
    a, b = federated.a.named, federated.b.named
    request = imaging_wire.documents(
        (b.home_id, b.repository_id, federated.manifest),
        ("", a.repository_id, own.unique_id),
        (b.home_id, b.repository_id, "1.2.9"),
        ("urn:oid:9.9", a.repository_id, own.unique_id),
    )
    answer, parts = wire.unpack(federated.a.post("/xds/repository", request))
    assert wire.status(answer) == "PartialSuccess"
    assert sorted(wire.errors(answer)) == ["XDSDocumentUniqueIdError", "XDSUnknownCommunity"]
    got = {str(dcmread(io.BytesIO(data)).SOPInstanceUID) for data in parts.values()}
    assert got == {own.unique_id, federated.manifest}
    hrefs = [one.get("href") for one in answer.iter(f"{{{wire.XOP}}}Include")]
    assert hrefs == [f"cid:{name}" for name in parts]


def test_images_of_both_communities_come_in_one_answer(federated: Federated) -> None:
    answer, parts = get_images(federated, IMAGE, (*IMAGE[:2], f"{STUDY}.1.2"))
    assert (wire.status(answer), len(parts)) == ("Success", 2)
    received = [dcmread(io.BytesIO(data)) for data in parts.values()]
    assert [one.SOPInstanceUID for one in received] == [IMAGE[2], f"{STUDY}.1.2"]
    assert {one.PatientID for one in received} == {"B-1"}


def test_what_the_other_community_refuses_is_passed_on_with_its_name(federated: Federated) -> None:
    answer, parts = get_images(federated, IMAGE, (*IMAGE[:2], "1.2.9"))
    assert (wire.status(answer), len(parts)) == ("PartialSuccess", 1)
    (error,) = answer.iter("{*}RegistryError")
    assert error.get("errorCode") == "XDSDocumentUniqueIdError"
    assert error.get("location") == federated.b.named.home_id


def test_who_may_not_see_the_person_here_gets_nothing_from_there(federated: Federated) -> None:
    stranger = federated.a.token_of("stranger", frozenset({"elsewhere"}))
    assert imaging_wire.homes(find(federated, stranger)) == []
    find(federated)
    for answer, parts in (
        get_manifest(federated, stranger),
        get_images(federated, IMAGE, token=stranger),
    ):
        assert (wire.errors(answer), parts) == (["XDSDocumentUniqueIdError"], {})


def test_a_site_where_the_person_is_known_gets_what_a_query_has_found(
    federated: Federated,
) -> None:
    own = federated.a.token_of("own", frozenset({"h"}))
    assert len(imaging_wire.homes(find(federated, own))) == 2
    assert wire.status(get_manifest(federated, own)[0]) == "Success"
    assert wire.status(get_images(federated, IMAGE, token=own)[0]) == "Success"
    never_found = ("1.2.77", "1.2.77.1", "1.2.77.1.1")
    answer, _ = get_images(federated, never_found, token=own)
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]


def test_every_access_elsewhere_is_on_record_here(federated: Federated) -> None:
    token = federated.a.token_of("audited", None)
    find(federated, token)
    get_manifest(federated, token)
    get_images(federated, IMAGE, token=token)
    records = federated.a.hub.access.audit.search(AuditQuery(limit=200)).records
    home = federated.b.named.home_id
    said = {
        (r.outcome, r.resource_id) for r in records if r.display == "audited" and home in r.detail
    }
    assert said == {
        ("success", federated.person_at_a),
        ("success", federated.manifest),
        ("success", STUDY),
    }


def test_who_refuses_here_is_not_asked_about_elsewhere(
    tmp_path: Path, federated: Federated
) -> None:
    b = federated.b
    with running_district(tmp_path / "a", Named(3), (b.as_community(),)) as a:
        at_b = b.hub.patients.resolve(_local(b, "B-1"))
        assert at_b is not None
        person = a.know("A-1", b.global_identifier(at_b))
        cx = a.global_identifier(person).cx
        query = imaging_wire.find_documents(cx)
        assert imaging_wire.homes(wire.payload(a.post("/xds/registry", query))) == [b.named.home_id]
        a.hub.access.consents.record(
            person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk"
        )
        assert imaging_wire.homes(wire.payload(a.post("/xds/registry", query))) == []
        named = b.named
        request = imaging_wire.documents((named.home_id, named.repository_id, federated.manifest))
        answer, _ = wire.unpack(a.post("/xds/repository", request))
        assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]
        images = imaging_wire.images(IMAGE, repository=named.repository_id, home=named.home_id)
        answer, _ = wire.unpack(a.post("/xds/imaging", images))
        assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]


@pytest.fixture(scope="module")
def half_deaf(
    tmp_path_factory: pytest.TempPathFactory, federated: Federated
) -> Iterator[tuple[District, str]]:
    """A district that knows B and a community that never answers; and a patient of both."""
    b = federated.b
    others = (b.as_community(), silent(b.named.global_oid))
    with running_district(tmp_path_factory.mktemp("half"), Named(4), others) as a:
        at_b = b.hub.patients.resolve(_local(b, "B-1"))
        assert at_b is not None
        person = a.know("A-1", b.global_identifier(at_b))
        yield a, a.global_identifier(person).cx


def test_a_community_that_is_down_makes_a_partial_success(
    half_deaf: tuple[District, str], federated: Federated
) -> None:
    a, cx = half_deaf
    answer = wire.payload(a.post("/xds/registry", imaging_wire.find_documents(cx)))
    assert wire.status(answer) == "PartialSuccess"
    assert imaging_wire.homes(answer) == [federated.b.named.home_id]
    (error,) = answer.iter("{*}RegistryError")
    assert error.get("errorCode") == "XDSUnavailableCommunity"
    assert error.get("location") == SILENT_HOME
    assert "nobody listens" in error.get("codeContext")


def test_a_retrieval_from_a_community_that_is_down_fails_for_that_part(
    half_deaf: tuple[District, str], federated: Federated
) -> None:
    a, cx = half_deaf
    a.post("/xds/registry", imaging_wire.find_documents(cx))
    b = federated.b.named
    request = imaging_wire.documents(
        (b.home_id, b.repository_id, federated.manifest), (SILENT_HOME, "1.2", "1.2.3")
    )
    answer, parts = wire.unpack(a.post("/xds/repository", request))
    assert (wire.status(answer), len(parts)) == ("PartialSuccess", 1)
    assert wire.errors(answer) == ["XDSUnavailableCommunity"]
    only = imaging_wire.images(IMAGE, repository="1.2", home=SILENT_HOME)
    answer, parts = wire.unpack(a.post("/xds/imaging", only))
    assert (wire.status(answer), wire.errors(answer)) == ("Failure", ["XDSUnavailableCommunity"])


def test_nobody_is_asked_about_a_person_they_do_not_know(
    half_deaf: tuple[District, str],
) -> None:
    a, _ = half_deaf
    person = a.know("A-9")
    a.store(studies.instance("1.2.44", PatientID="A-9"))
    a.settle()
    query = imaging_wire.find_documents(a.global_identifier(person).cx)
    answer = wire.payload(a.post("/xds/registry", query))
    # Both communities are left out: one would have made this a partial success.
    assert (wire.status(answer), imaging_wire.homes(answer)) == ("Success", [a.named.home_id])


def _local(district: District, value: str):  # type: ignore[no-untyped-def]
    from hub_kernel.identifiers import PatientIdentifier

    return PatientIdentifier(value, district.named.authority)


def test_a_report_of_the_other_community_is_found_and_retrieved(federated: Federated) -> None:
    signed = report(1, "signed there")
    signed.PatientID, signed.PatientName = "B-1", "Wang^XiaoDong=王^小东"
    signed.StudyInstanceUID, signed.SeriesInstanceUID = STUDY, f"{STUDY}.9"
    signed.SOPInstanceUID = f"{STUDY}.9.1"
    federated.b.store(part10(signed))
    federated.b.settle()
    slots = [
        ("$XDSDocumentEntryPatientId", f"'{federated.patient_at_a}'"),
        ("$XDSDocumentEntryStatus", wire.APPROVED),
        ("$XDSDocumentEntryClassCode", "('REPORTS^^1.3.6.1.4.1.19376.1.2.6.1')"),
    ]
    answer = wire.payload(federated.a.post("/xds/registry", wire.query(wire.FIND_DOCUMENTS, slots)))
    (found,) = answer.iter("{*}ExtrinsicObject")
    assert (found.get("home"), found.get("mimeType")) == (
        federated.b.named.home_id,
        "application/dicom",
    )
    (unique_id,) = [
        one.get("value")
        for one in found.iter("{*}ExternalIdentifier")
        if one.get("identificationScheme") == "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
    ]
    named = federated.b.named
    request = imaging_wire.documents((named.home_id, named.repository_id, unique_id))
    _, parts = wire.unpack(federated.a.post("/xds/repository", request))
    (data,) = parts.values()
    assert dcmread(io.BytesIO(data)).SOPInstanceUID == f"{STUDY}.9.1"
