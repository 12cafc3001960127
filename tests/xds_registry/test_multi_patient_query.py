"""ITI-51: documents and folders of many patients by code, each person decided for (3.51)."""

import pytest
from lxml import etree

from access_control.audit import AuditQuery
from access_control.model import Role
from hub_kernel.identifiers import PatientIdentifier
from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.asking import Ask
from tests.xds_registry.folders import EMERGENCY, REFERRAL, filed, folder, next_version
from tests.xds_registry.hub import OTHER_TOWNSHIP, Hub
from tests.xds_registry.samples import CT, IMAGES, MR, TOWNSHIP, entry, submission, urn

DOCUMENTS = wire.FIND_DOCUMENTS_FOR_MULTIPLE_PATIENTS
FOLDERS = wire.FIND_FOLDERS_FOR_MULTIPLE_PATIENTS
STATUS = ("$XDSDocumentEntryStatus", wire.APPROVED)
EVENTS, CLASS = "$XDSDocumentEntryEventCodeList", "$XDSDocumentEntryClassCode"


@pytest.fixture
def people(hub: Hub) -> tuple[str, str]:
    """Two people of two townships, each with a CT; the first has an MR and a folder too."""
    first = hub.global_cx(hub.know())
    second = hub.global_cx(hub.know("L-2", OTHER_TOWNSHIP))
    other = PatientIdentifier("L-2", OTHER_TOWNSHIP).cx
    hub.put(submission(entry("ct-1", patient_id=first, event_codes=(CT,))))
    hub.put(submission(entry("mr-1", patient_id=first, event_codes=(CT, MR))))
    hub.put(
        submission(entry("ct-2", patient_id=second, linked_identifier=other, event_codes=(CT,)))
    )
    hub.put(filed(folder("box-1", patient_id=first, codes=(REFERRAL, EMERGENCY))))
    hub.put(filed(folder("box-2", patient_id=second, linked_identifier=other)))
    return first, second


@pytest.fixture
def many(ask: Ask) -> Ask:
    def asking(query_id: str, *slots: tuple[str, str], **how: str) -> etree._Element:
        return ask(query_id, *slots, action=wire.ITI51, **how)

    return asking


def coded(name: str, *keys: str) -> tuple[str, str]:
    return (name, "(" + ",".join(f"'{key}'" for key in keys) + ")")


def documents(answer: etree._Element) -> set[str]:
    assert wire.status(answer) == "Success", wire.errors(answer)
    return set(wire.objects(answer, "ExtrinsicObject"))


def test_documents_of_all_patients_are_found_by_code(many: Ask, people: tuple[str, str]) -> None:
    assert documents(many(DOCUMENTS, STATUS, coded(EVENTS, CT.key))) == {
        urn("ct-1"),
        urn("mr-1"),
        urn("ct-2"),
    }
    assert documents(many(DOCUMENTS, STATUS, coded(EVENTS, MR.key))) == {urn("mr-1")}
    both = (coded(EVENTS, CT.key), coded(EVENTS, MR.key))
    assert documents(many(DOCUMENTS, STATUS, *both)) == {urn("mr-1")}
    assert len(documents(many(DOCUMENTS, STATUS, coded(CLASS, IMAGES.key)))) == 3
    narrowed = (coded(CLASS, IMAGES.key), coded(EVENTS, MR.key))
    assert documents(many(DOCUMENTS, STATUS, *narrowed)) == {urn("mr-1")}


def test_a_code_of_another_scheme_or_place_finds_nothing(
    many: Ask, people: tuple[str, str]
) -> None:
    assert documents(many(DOCUMENTS, STATUS, coded(EVENTS, "CT^^1.2.3"))) == set()
    assert documents(many(DOCUMENTS, STATUS, coded(CLASS, CT.key))) == set()


def test_patients_may_be_named(many: Ask, people: tuple[str, str]) -> None:
    code = coded(EVENTS, CT.key)
    one = many(DOCUMENTS, STATUS, code, coded("$XDSDocumentEntryPatientId", people[1]))
    assert documents(one) == {urn("ct-2")}
    both = many(DOCUMENTS, STATUS, code, coded("$XDSDocumentEntryPatientId", *people))
    assert documents(both) == {urn("ct-1"), urn("mr-1"), urn("ct-2")}


def test_times_narrow_what_is_found(many: Ask, people: tuple[str, str]) -> None:
    later = ("$XDSDocumentEntryCreationTimeFrom", "'20261121080001'")
    assert documents(many(DOCUMENTS, STATUS, coded(EVENTS, CT.key), later)) == set()
    within = ("$XDSDocumentEntryCreationTimeTo", "'2027'")
    assert len(documents(many(DOCUMENTS, STATUS, coded(EVENTS, CT.key), within))) == 3


def test_a_former_version_is_not_found(many: Ask, hub: Hub) -> None:
    cx = hub.global_cx(hub.know())
    before, after = next_version(entry("ct", patient_id=cx, event_codes=(CT,)), event_codes=(MR,))
    hub.put(submission(before))
    hub.put(submission(after))
    both = ("$XDSDocumentEntryStatus", wire.DEPRECATED)
    assert documents(many(DOCUMENTS, STATUS, both, coded(EVENTS, CT.key))) == set()
    assert documents(many(DOCUMENTS, STATUS, both, coded(EVENTS, MR.key))) == {after.entry_uuid}


def test_each_person_is_decided_for_and_put_on_record(
    many: Ask, people: tuple[str, str], hub: Hub
) -> None:
    near = hub.token("near", frozenset({"t1"}), Role.CLINICIAN)
    found = many(DOCUMENTS, STATUS, coded(EVENTS, CT.key), by=near)
    assert documents(found) == {urn("ct-1"), urn("mr-1")}
    records = hub.audit.search(AuditQuery(action="query_registry")).records
    facts = {(one.resource_id, one.outcome) for one in records}
    assert facts == {
        (people[0].partition("^")[0], "success"),
        (people[1].partition("^")[0], "refused"),
    }
    assert TOWNSHIP.oid != OTHER_TOWNSHIP.oid


def test_folders_of_all_patients_are_found_by_code(many: Ask, people: tuple[str, str]) -> None:
    status, codes = ("$XDSFolderStatus", wire.APPROVED), "$XDSFolderCodeList"
    found = many(FOLDERS, status, coded(codes, REFERRAL.key))
    assert set(wire.objects(found, "RegistryPackage")) == {urn("box-1"), urn("box-2")}
    both = many(FOLDERS, status, coded(codes, REFERRAL.key), coded(codes, EMERGENCY.key))
    assert wire.objects(both, "RegistryPackage") == [urn("box-1")]
    one = many(FOLDERS, status, coded(codes, REFERRAL.key), coded("$XDSFolderPatientId", people[1]))
    assert wire.objects(one, "RegistryPackage") == [urn("box-2")]


@pytest.mark.parametrize(
    ("query_id", "slots", "code"),
    [
        (DOCUMENTS, (STATUS,), "XDSStoredQueryMissingParam"),
        (
            DOCUMENTS,
            (STATUS, ("$XDSDocumentEntryPatientId", "('x')")),
            "XDSStoredQueryMissingParam",
        ),
        (DOCUMENTS, (coded(EVENTS, CT.key),), "XDSStoredQueryMissingParam"),
        (DOCUMENTS, (STATUS, coded(EVENTS, "CT")), "XDSRegistryError"),
        (FOLDERS, (("$XDSFolderStatus", wire.APPROVED),), "XDSStoredQueryMissingParam"),
        (wire.FIND_DOCUMENTS, (STATUS,), "XDSUnknownStoredQuery"),
    ],
)
def test_a_wrong_query_says_what_is_wrong(
    many: Ask, query_id: str, slots: wire.Slots, code: str
) -> None:
    assert wire.errors(many(query_id, *slots)) == [code]


def test_a_query_over_many_patients_is_no_registry_stored_query(
    ask: Ask, people: tuple[str, str]
) -> None:
    refused = ask(DOCUMENTS, STATUS, coded(EVENTS, CT.key))
    assert wire.errors(refused) == ["XDSUnknownStoredQuery"]


def test_answers_are_valid_by_the_outside_schema(many: Ask, people: tuple[str, str]) -> None:
    schema = etree.XMLSchema(
        etree.parse(str(require_conformance("schema", "nist-v3", "query.xsd")))
    )
    for return_type in ("LeafClass", "ObjectRef"):
        slots = (STATUS, coded(EVENTS, CT.key))
        schema.assertValid(many(DOCUMENTS, *slots, return_type=return_type))
