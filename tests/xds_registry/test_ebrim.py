"""Registry metadata as ebRIM: what is written is what was registered."""

from lxml import etree

from tests.xds_registry.samples import CT, HOME, entry, submission
from xds_registry import vocabulary as v
from xds_registry.ebrim import leaf_class, object_ref, xml_text
from xds_registry.model import Author, ReferenceId


def slots(element: etree._Element) -> dict[str, list[str]]:
    return {
        slot.get("name", ""): [value.text or "" for value in slot.iter(f"{{{v.RIM}}}Value")]
        for slot in element.iterfind(f"{{{v.RIM}}}Slot")
    }


def test_every_attribute_of_an_entry_has_its_place() -> None:
    document = entry(
        title="标题",
        comments="说明",
        service_start_time="2024",
        service_stop_time="202402",
        source_patient_info=("PID-3|L-1", "PID-5|王^小东"),
        reference_ids=(ReferenceId.study("1.2.3"),),
        event_codes=(CT,),
        authors=(Author("^Li^Si", ("A", "B"), ("Radiologist",), ("Radiology",)),),
        home_community_id=HOME,
        size=12,
    )
    element = leaf_class(document)
    assert element.get("home") == HOME
    assert slots(element) == {
        "creationTime": [document.creation_time],
        "hash": [document.sha1],
        "languageCode": ["zh-CN"],
        "repositoryUniqueId": [document.repository_unique_id],
        "serviceStartTime": ["2024"],
        "serviceStopTime": ["202402"],
        "size": ["12"],
        "sourcePatientId": [document.source_patient_id],
        "sourcePatientInfo": ["PID-3|L-1", "PID-5|王^小东"],
        "urn:ihe:iti:xds:2013:referenceIdList": [document.reference_ids[0].cxi],
    }
    classified = {
        one.get("classificationScheme"): one.get("nodeRepresentation")
        for one in element.iterfind(f"{{{v.RIM}}}Classification")
    }
    assert classified == {
        v.DOCUMENT_AUTHOR: "",
        v.DOCUMENT_CLASS_CODE: "IMAGES",
        v.DOCUMENT_TYPE_CODE: "18748-4",
        v.DOCUMENT_FORMAT_CODE: "1.2.840.10008.5.1.4.1.1.88.59",
        v.DOCUMENT_PRACTICE_SETTING_CODE: "309964003",
        v.DOCUMENT_FACILITY_TYPE_CODE: "35971002",
        v.DOCUMENT_CONFIDENTIALITY_CODE: "N",
        v.DOCUMENT_EVENT_CODE: "CT",
    }
    author = element.find(f"{{{v.RIM}}}Classification")
    assert author is not None
    assert slots(author)["authorInstitution"] == ["A", "B"]
    identifiers = {
        one.get("identificationScheme"): one.get("value")
        for one in element.iterfind(f"{{{v.RIM}}}ExternalIdentifier")
    }
    assert identifiers == {
        v.DOCUMENT_PATIENT_ID: document.patient_id,
        v.DOCUMENT_UNIQUE_ID: document.unique_id,
    }


def test_what_is_absent_is_left_out() -> None:
    element = leaf_class(entry(sha1=""))
    assert "home" not in element.attrib
    assert element.find(f"{{{v.RIM}}}Name") is None
    assert not {"hash", "size", "serviceStartTime"} & set(slots(element))


def test_an_empty_document_still_has_its_size() -> None:
    assert slots(leaf_class(entry(size=0)))["size"] == ["0"]


def test_ids_inside_one_object_are_all_different() -> None:
    element = leaf_class(entry(event_codes=(CT,)))
    ids = [one.get("id") for one in element.iter() if one.get("id")]
    assert len(ids) == len(set(ids)) > 8


def test_a_submission_set_is_marked_as_one() -> None:
    element = leaf_class(submission(entry()).submission_set)
    nodes = [one.get("classificationNode") for one in element.iter(f"{{{v.RIM}}}Classification")]
    assert v.SUBMISSION_SET_NODE in nodes


def test_a_membership_says_it_is_original() -> None:
    (member,) = submission(entry()).associations
    assert slots(leaf_class(member)) == {"SubmissionSetStatus": ["Original"]}


def test_a_reference_is_an_id_alone() -> None:
    assert dict(object_ref(entry()).attrib) == {"id": entry().entry_uuid}


def test_characters_that_xml_cannot_carry_are_dropped() -> None:
    assert xml_text("a\x00\x0b\x1b\ud800\ufffe王😀\t\n") == "a王😀\t\n"
