"""What another community gets from this one: ITI-38, ITI-39 and RAD-75."""

import io

import pytest
from pydicom import dcmread

from tests.xds_registry import imaging_wire, wire
from tests.xds_registry.gateways.conftest import STUDY, Federated
from tests.xds_registry.imaging_wire import ITI38, ITI39, RAD75

IMAGE = (STUDY, f"{STUDY}.1", f"{STUDY}.1.1")


@pytest.mark.parametrize("return_type", ["LeafClass", "ObjectRef"])
def test_a_query_by_patient_needs_no_community_and_every_object_names_ours(
    federated: Federated, return_type: str
) -> None:
    b = federated.b
    query = imaging_wire.find_documents(federated.patient_at_b, return_type, action=ITI38)
    answer = wire.payload(b.post("/xds/gateway", query))
    assert wire.status(answer) == "Success"
    assert imaging_wire.homes(answer) == [b.named.home_id]


@pytest.mark.parametrize(
    ("home", "code"),
    [("", "XDSMissingHomeCommunityId"), ("urn:oid:9.9", "XDSUnknownCommunity")],
)
def test_a_query_by_identifier_must_name_this_community(
    federated: Federated, home: str, code: str
) -> None:
    slots = [("$XDSDocumentEntryUniqueId", f"('{federated.manifest}')")]
    query = wire.query(wire.GET_DOCUMENTS, slots, action=ITI38, home=home)
    answer = wire.payload(federated.b.post("/xds/gateway", query))
    assert (wire.status(answer), wire.errors(answer)) == ("Failure", [code])


def test_a_query_by_identifier_that_names_us_is_answered(federated: Federated) -> None:
    slots = [("$XDSDocumentEntryUniqueId", f"('{federated.manifest}')")]
    home = federated.b.named.home_id
    query = wire.query(wire.GET_DOCUMENTS, slots, action=ITI38, home=home)
    answer = wire.payload(federated.b.post("/xds/gateway", query))
    assert (wire.status(answer), imaging_wire.homes(answer)) == ("Success", [home])


def test_what_is_wrong_with_a_query_says_where_it_went_wrong(federated: Federated) -> None:
    home = federated.b.named.home_id
    query = wire.query(wire.GET_DOCUMENTS, [], action=ITI38, home=home)
    answer = wire.payload(federated.b.post("/xds/gateway", query))
    assert wire.errors(answer) == ["XDSStoredQueryMissingParam"]
    assert [one.get("location") for one in answer.iter("{*}RegistryError")] == [home]


def test_documents_are_given_that_name_this_community_and_the_others_refused(
    federated: Federated,
) -> None:
    home, repository = federated.b.named.home_id, federated.b.named.repository_id
    request = imaging_wire.documents(
        ("", repository, federated.manifest),
        (home, repository, federated.manifest),
        ("urn:oid:9.9", repository, federated.manifest),
        action=ITI39,
    )
    answer, parts = wire.unpack(federated.b.post("/xds/gateway", request))
    assert wire.status(answer) == "PartialSuccess"
    assert wire.errors(answer) == ["XDSMissingHomeCommunityId", "XDSUnknownCommunity"]
    assert imaging_wire.values(answer, "HomeCommunityId") == [home]
    (data,) = parts.values()
    assert dcmread(io.BytesIO(data)).SOPInstanceUID == federated.manifest


@pytest.mark.parametrize(
    ("home", "code"),
    [("", "XDSMissingHomeCommunityId"), ("urn:oid:9.9", "XDSUnknownCommunity")],
)
def test_an_image_must_name_this_community(federated: Federated, home: str, code: str) -> None:
    repository = federated.b.named.repository_id
    request = imaging_wire.images(IMAGE, repository=repository, home=home, action=RAD75)
    answer, parts = wire.unpack(federated.b.post("/xds/gateway", request))
    assert (wire.status(answer), wire.errors(answer), parts) == ("Failure", [code], {})


def test_images_that_name_this_community_are_given(federated: Federated) -> None:
    home, repository = federated.b.named.home_id, federated.b.named.repository_id
    request = imaging_wire.images(
        IMAGE, (*IMAGE[:2], "1.2.9"), repository=repository, home=home, action=RAD75
    )
    answer, parts = wire.unpack(federated.b.post("/xds/gateway", request))
    assert (wire.status(answer), len(parts)) == ("PartialSuccess", 1)
    assert imaging_wire.values(answer, "HomeCommunityId") == [home]
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]


@pytest.mark.parametrize(
    "request_",
    [
        imaging_wire.find_documents("x^^^&1.2&ISO"),
        imaging_wire.documents(("", "1", "2")),
        imaging_wire.images(IMAGE, repository="1"),
    ],
    ids=["ITI-18", "ITI-43", "RAD-69"],
)
def test_the_gateway_answers_no_transaction_of_the_other_endpoints(
    federated: Federated, request_: bytes
) -> None:
    response = federated.b.post("/xds/gateway", request_)
    assert response.status_code == 400
    assert "ActionNotSupported" in response.text


def test_nobody_is_answered_without_a_token(federated: Federated) -> None:
    query = imaging_wire.find_documents(federated.patient_at_b, action=ITI38)
    assert federated.b.post("/xds/gateway", query, "no-token").status_code == 401
