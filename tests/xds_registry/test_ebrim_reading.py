"""Reading ebRIM: what was written comes back, what is misshapen is named, nothing is lost."""

from dataclasses import replace

import pytest
from lxml import etree

from tests.support.effort import little_effort
from tests.xds_registry import wire
from tests.xds_registry.samples import entry, relation, submission
from tests.xds_registry.submitted import RIM, folder, request, with_folder
from xds_registry.ebrim_reading import (
    Reading,
    read_objects,
    read_submission,
    read_submit_objects_request,
)
from xds_registry.errors import ErrorCode, XdsRefusalsError
from xds_registry.model import (
    AssociationType,
    Author,
    Code,
    LocalText,
    ReferenceId,
    Submission,
)

PATIENT = "G-1^^^&1.2.3&ISO"


def rich() -> Submission:
    """Return a submission that uses every attribute there is."""
    document = entry(
        "one",
        patient_id=PATIENT,
        linked_identifier=PATIENT,
        event_codes=(Code("CT", "1.2", "CT"), Code("MR", "1.2", "磁共振")),
        authors=(Author("^王^小东", ("医院",), ("医师", "组长"), ("影像",), ("^^Internet^a@b",)),),
        source_patient_info=("PID-3|x", "PID-5|王^小东"),
        service_start_time="2026",
        service_stop_time="20261231",
        title="胸部",
        comments="平扫",
        reference_ids=(ReferenceId.study("1.2.3"),),
        legal_authenticator="^李^四",
        uri="report.pdf",
        document_availability="urn:ihe:iti:2010:DocumentAvailability:Online",
        limited_metadata=True,
        logical_id="urn:uuid:0e0d0000-0000-0000-0000-000000000001",
        version=7,
        extra_slots=(("urn:x:a", ("1", "2")), ("urn:x:b", ("3",))),
        home_community_id="urn:oid:1.2.3",
    )
    addendum = entry("two", patient_id=PATIENT, linked_identifier=PATIENT)
    added = replace(
        relation(AssociationType.APPENDS, addendum, document),
        documentation=Code("APND", "1.2", "is appendage"),
        previous_version="3",
        original_status="a",
        new_status="b",
        propagates=False,
        extra_slots=(("urn:x:c", ("4",)),),
    )
    sent = submission(document, addendum, relations=(added,))
    holder = folder(
        PATIENT,
        last_update_time="20260101",
        comments="转诊",
        limited_metadata=True,
        logical_id="urn:uuid:0e0d0000-0000-0000-0000-000000000002",
        version=2,
        extra_slots=(("urn:x:d", ("5",)),),
        local_titles=(LocalText("zh", "转诊 Referral"), LocalText("en", "Referral")),
    )
    changed = replace(
        sent.submission_set,
        authors=(Author("^A^B"), Author("", ("医院",))),
        title="提交",
        comments="说明",
        intended_recipients=("医院|^王^小东|^^Internet^a@b",),
        limited_metadata=True,
        extra_slots=(("urn:x:e", ("6",)),),
        patient_id=PATIENT,
        linked_identifier=PATIENT,
    )
    return with_folder(replace(sent, submission_set=changed), holder)


def plain(sent: Submission) -> Submission:
    """Return `sent` as the wire can say it: an entry not yet updated is its own logical object."""
    entries = tuple(
        replace(one, logical_id=one.logical_id or one.entry_uuid) for one in sent.entries
    )
    return replace(sent, entries=entries)


def read(body: etree._Element) -> Reading:
    return read_submit_objects_request(body)


def test_everything_that_is_written_is_read_back() -> None:
    sent = plain(rich())
    found = read(request(sent))
    assert found.faults == ()
    assert found.submission == sent


def test_a_submission_that_is_read_alone_is_refused_for_all_its_faults() -> None:
    body = request(rich())
    for one in body.xpath("//rim:ExtrinsicObject", namespaces={"rim": wire.RIM}):
        one.set("objectType", "urn:x")
    found = body.find(f"{RIM}RegistryObjectList")
    with pytest.raises(XdsRefusalsError) as refused:
        read_submission(found)
    assert len(refused.value.refusals) == 2
    assert refused.value.code == ErrorCode.REGISTRY_METADATA
    assert read_submission(request(rich()).find(f"{RIM}RegistryObjectList"))


@pytest.mark.parametrize("lists", [0, 2])
def test_a_request_holds_one_list(lists: int) -> None:
    body = request(rich())
    found = body.find(f"{RIM}RegistryObjectList")
    if lists:
        body.append(etree.fromstring(etree.tostring(found)))
    else:
        body.remove(found)
    with pytest.raises(XdsRefusalsError):
        read(body)


def test_an_empty_list_is_read_as_a_missing_submission_set() -> None:
    found = read_objects(etree.Element(f"{RIM}RegistryObjectList"))
    assert [fault.place for fault in found.faults] == ["//rim:RegistryPackage"]


@pytest.mark.parametrize("name", ["Service", "{urn:x}Thing", "ExternalLink"])
def test_what_has_no_meaning_in_a_submission_is_named(name: str) -> None:
    body = request(rich())
    tag = name if name.startswith("{") else f"{RIM}{name}"
    etree.SubElement(body.find(f"{RIM}RegistryObjectList"), tag)
    (fault,) = read(body).faults
    assert name in fault.place


def test_references_and_comments_are_passed_over() -> None:
    body = request(rich())
    found = body.find(f"{RIM}RegistryObjectList")
    found.insert(0, etree.Comment("x"))
    etree.SubElement(found, f"{RIM}ObjectRef", id="urn:uuid:x")
    assert read(body).faults == ()


def test_a_uri_in_numbered_pieces_is_put_together() -> None:
    body = request(rich())
    (values,) = body.xpath("//rim:Slot[@name='URI']/rim:ValueList", namespaces={"rim": wire.RIM})
    values[0].text = "2|/report.pdf"
    etree.SubElement(values, f"{RIM}Value").text = "1|http://a"
    found = read(body)
    assert found.faults == ()
    assert found.submission.entries[0].uri == "http://a/report.pdf"


@pytest.mark.parametrize("id_", ["it's", "a\"b'c", "x" * 5000, "../..", "]|//*["])
def test_a_hostile_id_makes_no_false_place(id_: str) -> None:
    body = request(rich())
    (one, _) = body.xpath("//rim:ExtrinsicObject", namespaces={"rim": wire.RIM})
    one.set("id", id_)
    one.set("objectType", "urn:x")
    for fault in read(body).faults:
        assert len(fault.place) < 600
        etree.XPath(fault.place, namespaces={"rim": wire.RIM})


def test_very_many_objects_are_read_in_bounded_time() -> None:
    body = etree.Element("x")
    found = etree.SubElement(body, f"{RIM}RegistryObjectList")
    for number in range(20_000):
        etree.SubElement(found, f"{RIM}Classification", classifiedObject=f"o{number}")
    with little_effort(5):
        assert len(read(body).faults) > 10_000
