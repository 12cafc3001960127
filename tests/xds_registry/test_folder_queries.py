"""The folder queries, and folders in queries that answer with more (ITI TF-2 3.18.4.1.2.3.7)."""

import pytest
from lxml import etree

from access_control.model import Role
from hub_kernel.identifiers import PatientIdentifier
from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.asking import Ask
from tests.xds_registry.folders import EMERGENCY, REFERRAL, filed, folder
from tests.xds_registry.hub import OTHER_TOWNSHIP, Hub
from tests.xds_registry.samples import CT, entry, urn
from xds_registry.model import AvailabilityStatus, Code, DocumentType

RESTRICTED = Code("R", "2.16.840.1.113883.5.25", "restricted")


@pytest.fixture
def person(hub: Hub) -> str:
    """The CX of a person with two folders: one with two documents, one empty and deprecated."""
    cx = hub.global_cx(hub.know())
    plain = entry("plain", patient_id=cx)
    restricted = entry(
        "restricted", patient_id=cx, event_codes=(CT,), confidentiality_codes=(RESTRICTED,)
    )
    hub.put(filed(folder("full", patient_id=cx), plain, restricted))
    emptied = folder(
        "empty", patient_id=cx, codes=(EMERGENCY,), status=AvailabilityStatus.DEPRECATED
    )
    hub.put(filed(emptied))
    return cx


def folders_of(cx: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("$XDSFolderPatientId", f"'{cx}'"), ("$XDSFolderStatus", wire.APPROVED), *more)


def folders(answer: etree._Element) -> set[str]:
    return set(wire.objects(answer, "RegistryPackage"))


def test_folders_of_a_patient_are_found_by_status(ask: Ask, person: str) -> None:
    assert folders(ask(wire.FIND_FOLDERS, *folders_of(person))) == {urn("full")}
    both = folders_of(person, ("$XDSFolderStatus", wire.DEPRECATED))
    assert folders(ask(wire.FIND_FOLDERS, *both)) == {urn("full"), urn("empty")}


def test_folder_codes_are_alternatives_in_a_slot_and_all_needed_in_repeated_slots(
    ask: Ask, person: str
) -> None:
    name = "$XDSFolderCodeList"
    either = folders_of(person, (name, f"('{REFERRAL.key}','{EMERGENCY.key}')"))
    assert folders(ask(wire.FIND_FOLDERS, *either)) == {urn("full")}
    both = folders_of(person, (name, f"('{REFERRAL.key}')"), (name, f"('{EMERGENCY.key}')"))
    assert folders(ask(wire.FIND_FOLDERS, *both)) == set()


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        ("20261121080000", "", True),
        ("", "20261121080000", False),
        ("", "20261121080001", True),
        ("20261121080001", "", False),
        ("2026", "2027", True),
    ],
)
def test_the_last_update_is_matched_from_inclusive_to_exclusive(
    ask: Ask, person: str, start: str, end: str, *, found: bool
) -> None:
    bounds = {"From": start, "To": end}
    slots = [(f"$XDSFolderLastUpdateTime{k}", f"'{v}'") for k, v in bounds.items() if v]
    answer = ask(wire.FIND_FOLDERS, *folders_of(person, *slots))
    assert folders(answer) == ({urn("full")} if found else set())


def test_folders_are_got_by_uuid_and_by_unique_id(ask: Ask, person: str) -> None:
    by_uuid = ask(wire.GET_FOLDERS, ("$XDSFolderEntryUUID", f"('{urn('full')}','{urn('empty')}')"))
    assert folders(by_uuid) == {urn("full"), urn("empty")}
    unique_id = folder("full").unique_id
    by_unique_id = ask(wire.GET_FOLDERS, ("$XDSFolderUniqueId", f"('{unique_id}')"))
    assert folders(by_unique_id) == {urn("full")}


def test_a_folder_comes_with_its_documents_and_their_memberships(ask: Ask, person: str) -> None:
    answer = ask(wire.GET_FOLDER_AND_CONTENTS, ("$XDSFolderEntryUUID", f"'{urn('full')}'"))
    assert folders(answer) == {urn("full")}
    assert set(wire.objects(answer, "ExtrinsicObject")) == {urn("plain"), urn("restricted")}
    ends = {(a.get("sourceObject"), a.get("targetObject")) for a in answer.iter("{*}Association")}
    assert ends == {(urn("full"), urn("plain")), (urn("full"), urn("restricted"))}


def test_the_contents_of_a_folder_are_filtered_and_the_memberships_with_them(
    ask: Ask, person: str
) -> None:
    slots = (
        ("$XDSFolderEntryUUID", f"'{urn('full')}'"),
        ("$XDSDocumentEntryConfidentialityCode", f"('{RESTRICTED.key}')"),
    )
    answer = ask(wire.GET_FOLDER_AND_CONTENTS, *slots)
    assert wire.objects(answer, "ExtrinsicObject") == [urn("restricted")]
    assert len(wire.objects(answer, "Association")) == 1
    on_demand = (slots[0], ("$XDSDocumentEntryType", f"('{DocumentType.ON_DEMAND}')"))
    answer = ask(wire.GET_FOLDER_AND_CONTENTS, *on_demand)
    assert (folders(answer), wire.objects(answer, "ExtrinsicObject")) == ({urn("full")}, [])


def test_the_folders_of_a_document_are_got_and_no_submission_set(ask: Ask, person: str) -> None:
    for slot in (
        ("$XDSDocumentEntryEntryUUID", f"'{urn('plain')}'"),
        ("$XDSDocumentEntryUniqueId", f"'{entry('plain').unique_id}'"),
    ):
        answer = ask(wire.GET_FOLDERS_FOR_DOCUMENT, slot)
        assert folders(answer) == {urn("full")}
        assert wire.objects(answer, "Association") == []


def test_a_submission_set_comes_with_its_folder_and_what_it_put_there(
    ask: Ask, person: str
) -> None:
    submitted = ask(wire.GET_SUBMISSION_SETS, ("$uuid", f"('{urn('plain')}')"))
    own = wire.objects(submitted, "RegistryPackage")
    assert len(own) == len(wire.objects(submitted, "Association")) == 1
    slot = ("$XDSSubmissionSetEntryUUID", f"'{own[0]}'")
    answer = ask(wire.GET_SUBMISSION_SET_AND_CONTENTS, slot)
    assert folders(answer) == {own[0], urn("full")}
    assert len(wire.objects(answer, "ExtrinsicObject")) == 2
    assert len(wire.objects(answer, "Association")) == 7
    chosen = ("$XDSDocumentEntryConfidentialityCode", f"('{RESTRICTED.key}')")
    answer = ask(wire.GET_SUBMISSION_SET_AND_CONTENTS, slot, chosen)
    assert wire.objects(answer, "ExtrinsicObject") == [urn("restricted")]
    known = {own[0], urn("full"), urn("restricted"), *wire.objects(answer, "Association")}
    for association in answer.iter("{*}Association"):
        assert {association.get("sourceObject"), association.get("targetObject")} <= known


def test_the_associations_of_a_document_in_a_folder_include_its_membership(
    ask: Ask, person: str
) -> None:
    answer = ask(wire.GET_ASSOCIATIONS, ("$uuid", f"('{urn('plain')}')"))
    assert len(wire.objects(answer, "Association")) == 2
    both = ask(
        wire.GET_DOCUMENTS_AND_ASSOCIATIONS, ("$XDSDocumentEntryEntryUUID", f"('{urn('plain')}')")
    )
    assert set(wire.objects(both, "Association")) == set(wire.objects(answer, "Association"))


def test_everything_about_a_patient_includes_the_folders_asked_for(ask: Ask, person: str) -> None:
    slots = [
        ("$patientId", f"'{person}'"),
        ("$XDSDocumentEntryStatus", wire.APPROVED),
        ("$XDSSubmissionSetStatus", wire.APPROVED),
    ]
    answer = ask(wire.GET_ALL, *slots, ("$XDSFolderStatus", wire.APPROVED))
    assert urn("full") in folders(answer)
    assert urn("empty") not in folders(answer)
    assert len(folders(answer)) == 3
    assert ask(wire.GET_ALL, *slots).get("status").endswith("Failure")


def test_folders_of_two_patients_are_refused_in_full_and_named_by_reference(
    ask: Ask, person: str, hub: Hub
) -> None:
    second = PatientIdentifier("L-2", OTHER_TOWNSHIP).cx
    other = hub.global_cx(hub.know("L-2", OTHER_TOWNSHIP))
    hub.put(filed(folder("other", patient_id=other, linked_identifier=second)))
    slot = ("$XDSFolderEntryUUID", f"('{urn('full')}','{urn('other')}')")
    assert wire.errors(ask(wire.GET_FOLDERS, slot)) == ["XDSResultNotSinglePatient"]
    references = ask(wire.GET_FOLDERS, slot, return_type="ObjectRef")
    assert set(wire.objects(references, "ObjectRef")) == {urn("full"), urn("other")}


def test_who_may_not_see_the_person_sees_neither_folder_nor_membership(
    ask: Ask, person: str, hub: Hub
) -> None:
    far = hub.token("far", frozenset({"t2"}), Role.CLINICIAN)
    for query_id, slots in (
        (wire.FIND_FOLDERS, folders_of(person)),
        (wire.GET_FOLDERS, (("$XDSFolderEntryUUID", f"('{urn('full')}')"),)),
        (wire.GET_FOLDER_AND_CONTENTS, (("$XDSFolderEntryUUID", f"'{urn('full')}'"),)),
        (wire.GET_ASSOCIATIONS, (("$uuid", f"('{urn('full')}')"),)),
        (wire.GET_FOLDERS_FOR_DOCUMENT, (("$XDSDocumentEntryEntryUUID", f"'{urn('plain')}'"),)),
    ):
        answer = ask(query_id, *slots, by=far)
        assert wire.status(answer) == "Success"
        assert len(answer.find(f"{{{wire.RIM}}}RegistryObjectList")) == 0


@pytest.mark.parametrize(
    ("query_id", "slots", "code"),
    [
        (wire.FIND_FOLDERS, (("$XDSFolderPatientId", "'x'"),), "XDSStoredQueryMissingParam"),
        (wire.FIND_FOLDERS, (("$XDSFolderStatus", "('x')"),), "XDSStoredQueryMissingParam"),
        (
            wire.FIND_FOLDERS,
            (
                ("$XDSFolderPatientId", "'x'"),
                ("$XDSFolderStatus", wire.APPROVED),
                ("$XDSFolderCodeList", "('Referrals')"),
            ),
            "XDSRegistryError",
        ),
        (wire.GET_FOLDERS, (), "XDSStoredQueryMissingParam"),
        (
            wire.GET_FOLDERS,
            (("$XDSFolderEntryUUID", "'x'"), ("$XDSFolderUniqueId", "'y'")),
            "XDSStoredQueryParamNumber",
        ),
        (
            wire.GET_FOLDER_AND_CONTENTS,
            (("$XDSFolderEntryUUID", "('x','y')"),),
            "XDSStoredQueryParamNumber",
        ),
        (wire.GET_FOLDERS_FOR_DOCUMENT, (), "XDSStoredQueryMissingParam"),
    ],
)
def test_a_wrong_folder_query_says_what_is_wrong(
    ask: Ask, query_id: str, slots: wire.Slots, code: str
) -> None:
    assert wire.errors(ask(query_id, *slots)) == [code]


def test_answers_with_folders_are_valid_by_the_outside_schema(ask: Ask, person: str) -> None:
    schema = etree.XMLSchema(
        etree.parse(str(require_conformance("schema", "nist-v3", "query.xsd")))
    )
    for return_type in ("LeafClass", "ObjectRef"):
        slot = ("$XDSFolderEntryUUID", f"'{urn('full')}'")
        schema.assertValid(ask(wire.GET_FOLDER_AND_CONTENTS, slot, return_type=return_type))
