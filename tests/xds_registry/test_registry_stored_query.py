"""ITI-18 over real HTTP: what is asked is found, what may not be seen does not exist."""

import pytest
from lxml import etree
from sqlalchemy import event

from access_control.audit import AuditQuery
from access_control.model import Role
from hub_kernel.identifiers import PatientIdentifier
from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.asking import Ask
from tests.xds_registry.hub import OTHER_TOWNSHIP, Hub
from tests.xds_registry.samples import CT, HOME, LOCAL, entry, relation, submission, urn
from xds_registry.model import AssociationType, DocumentType, ReferenceId


@pytest.fixture
def person(hub: Hub) -> str:
    """The CX of a person known at t1 who has two manifests, one replaced, and a rendition."""
    cx = hub.global_cx(hub.know())
    old, new = entry("old", patient_id=cx), entry("new", patient_id=cx, event_codes=(CT,))
    rendition = entry("rendition", patient_id=cx)
    hub.put(submission(old))
    hub.put(submission(new, relations=(relation(AssociationType.REPLACES, new, old),)))
    hub.put(
        submission(rendition, relations=(relation(AssociationType.TRANSFORMS, rendition, new),))
    )
    on_demand = entry("on-demand", patient_id=cx, document_type=DocumentType.ON_DEMAND)
    hub.put(submission(on_demand))
    return cx


def of(cx: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    patient = ("$XDSDocumentEntryPatientId", f"'{cx}'")
    return (patient, ("$XDSDocumentEntryStatus", wire.APPROVED), *more)


def test_current_stable_documents_are_found(ask: Ask, person: str) -> None:
    answer = ask(wire.FIND_DOCUMENTS, *of(person))
    assert wire.status(answer) == "Success"
    assert set(wire.objects(answer, "ExtrinsicObject")) == {urn("new"), urn("rendition")}


def test_object_refs_carry_ids_and_nothing_else(ask: Ask, person: str) -> None:
    answer = ask(wire.FIND_DOCUMENTS, *of(person), return_type="ObjectRef")
    assert set(wire.objects(answer, "ObjectRef")) == {urn("new"), urn("rendition")}
    assert wire.objects(answer, "ExtrinsicObject") == []


def test_both_statuses_may_be_asked_for_and_unknown_ones_are_ignored(ask: Ask, person: str) -> None:
    slots = (
        ("$XDSDocumentEntryPatientId", f"'{person}'"),
        ("$XDSDocumentEntryStatus", wire.APPROVED),
        ("$XDSDocumentEntryStatus", wire.DEPRECATED),
        ("$XDSDocumentEntryStatus", "('urn:oasis:names:tc:ebxml-regrep:StatusType:Submitted')"),
    )
    assert urn("old") in wire.objects(ask(wire.FIND_DOCUMENTS, *slots), "ExtrinsicObject")


def test_on_demand_documents_come_when_asked_for(ask: Ask, person: str) -> None:
    slot = ("$XDSDocumentEntryType", f"('{DocumentType.ON_DEMAND}')")
    answer = ask(wire.FIND_DOCUMENTS, *of(person, slot))
    assert wire.objects(answer, "ExtrinsicObject") == [urn("on-demand")]


@pytest.mark.parametrize(
    ("return_type", "tag"), [("LeafClass", "ExtrinsicObject"), ("ObjectRef", "ObjectRef")]
)
def test_codes_narrow_the_answer(ask: Ask, person: str, return_type: str, tag: str) -> None:
    slot = ("$XDSDocumentEntryEventCodeList", f"('{CT.key}')")
    answer = ask(wire.FIND_DOCUMENTS, *of(person, slot), return_type=return_type)
    assert wire.objects(answer, tag) == [urn("new")]


def test_an_unknown_patient_is_an_empty_success(ask: Ask, person: str, hub: Hub) -> None:
    unknown = hub.patients.global_identifier("nobody").cx
    other_domain = f"{person.partition('^')[0]}^^^&1.2.3&ISO"
    for cx in (unknown, other_domain, "nonsense", "x' OR '1'='1", LOCAL.cx):
        answer = ask(wire.FIND_DOCUMENTS, *of(cx.replace("'", "''")))
        assert (wire.status(answer), len(answer.find(f"{{{wire.RIM}}}RegistryObjectList"))) == (
            "Success",
            0,
        )


@pytest.mark.parametrize(
    "value", ["' OR 1=1 --", "'; DROP TABLE document_entry; --", "%", "_", '"', "\\", "1' UNION"]
)
def test_injection_is_a_literal(ask: Ask, person: str, value: str) -> None:
    quoted = "('" + value.replace("'", "''") + "')"
    for name in ("$XDSDocumentEntryEntryUUID", "$XDSDocumentEntryUniqueId"):
        answer = ask(wire.GET_DOCUMENTS, (name, quoted))
        assert (wire.status(answer), wire.objects(answer, "ExtrinsicObject")) == ("Success", [])
    assert len(wire.objects(ask(wire.FIND_DOCUMENTS, *of(person)), "ExtrinsicObject")) == 2


@pytest.mark.parametrize(
    ("query_id", "slots", "code"),
    [
        ("urn:uuid:00000000-0000-0000-0000-000000000000", (), "XDSUnknownStoredQuery"),
        ("", (), "XDSUnknownStoredQuery"),
        (wire.FIND_DOCUMENTS, (), "XDSStoredQueryMissingParam"),
        (
            wire.FIND_DOCUMENTS,
            (("$XDSDocumentEntryPatientId", "'x'"),),
            "XDSStoredQueryMissingParam",
        ),
        (
            wire.FIND_DOCUMENTS,
            (
                ("$XDSDocumentEntryPatientId", "('x','y')"),
                ("$XDSDocumentEntryStatus", wire.APPROVED),
            ),
            "XDSStoredQueryParamNumber",
        ),
        (
            wire.GET_DOCUMENTS,
            (("$XDSDocumentEntryEntryUUID", "'x'"), ("$XDSDocumentEntryUniqueId", "'y'")),
            "XDSStoredQueryParamNumber",
        ),
        (wire.GET_DOCUMENTS, (), "XDSStoredQueryMissingParam"),
        (wire.GET_DOCUMENTS, (("$XDSDocumentEntryUniqueId", "('x"),), "XDSRegistryError"),
        (wire.GET_ALL, (("$patientId", "'x'"),), "XDSStoredQueryMissingParam"),
        (
            wire.GET_RELATED_DOCUMENTS,
            (("$XDSDocumentEntryUniqueId", "'x'"),),
            "XDSStoredQueryMissingParam",
        ),
        (wire.GET_ASSOCIATIONS, (), "XDSStoredQueryMissingParam"),
    ],
)
def test_a_wrong_query_says_what_is_wrong_in_both_languages(
    ask: Ask, query_id: str, slots: wire.Slots, code: str
) -> None:
    answer = ask(query_id, *slots)
    assert (wire.status(answer), wire.errors(answer)) == ("Failure", [code])
    context = answer.find(".//{*}RegistryError").get("codeContext")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in context)
    assert any("a" <= letter <= "z" for letter in context)


def test_an_unknown_return_type_is_refused(ask: Ask, person: str) -> None:
    answer = ask(wire.FIND_DOCUMENTS, *of(person), return_type="LeafClassWithRepositoryItem")
    assert wire.errors(answer) == ["XDSRegistryError"]


def test_documents_are_found_by_reference_id(ask: Ask, hub: Hub) -> None:
    cx = hub.global_cx(hub.know())
    accession = ReferenceId.accession("A-1", "1.2.3")
    hub.put(submission(entry("with", patient_id=cx, reference_ids=(accession,))))
    hub.put(submission(entry("without", patient_id=cx)))
    slot = ("$XDSDocumentEntryReferenceIdList", f"('{accession.cxi}')")
    answer = ask(wire.FIND_DOCUMENTS_BY_REFERENCE_ID, *of(cx, slot))
    assert wire.objects(answer, "ExtrinsicObject") == [urn("with")]
    missing = ask(wire.FIND_DOCUMENTS_BY_REFERENCE_ID, *of(cx))
    assert wire.errors(missing) == ["XDSStoredQueryMissingParam"]


def test_documents_and_their_associations_are_got(ask: Ask, person: str) -> None:
    slot = ("$XDSDocumentEntryEntryUUID", f"('{urn('new')}')")
    answer = ask(wire.GET_DOCUMENTS_AND_ASSOCIATIONS, slot)
    assert wire.objects(answer, "ExtrinsicObject") == [urn("new")]
    assert len(wire.objects(answer, "Association")) == 3
    only = ask(wire.GET_ASSOCIATIONS, ("$uuid", f"('{urn('new')}')"))
    assert set(wire.objects(only, "Association")) == set(wire.objects(answer, "Association"))
    assert wire.objects(only, "ExtrinsicObject") == []


def test_the_submission_set_of_a_document_is_got(ask: Ask, person: str) -> None:
    answer = ask(wire.GET_SUBMISSION_SETS, ("$uuid", f"('{urn('new')}')"))
    assert len(wire.objects(answer, "RegistryPackage")) == 1
    assert len(wire.objects(answer, "Association")) == 1
    uuid = wire.objects(answer, "RegistryPackage")[0]
    contents = ask(
        wire.GET_SUBMISSION_SET_AND_CONTENTS, ("$XDSSubmissionSetEntryUUID", f"'{uuid}'")
    )
    assert wire.objects(contents, "ExtrinsicObject") == [urn("new")]
    assert wire.objects(contents, "RegistryPackage") == [uuid]
    assert len(wire.objects(contents, "Association")) == 1


def test_related_documents_are_got_by_kind_of_relation(ask: Ask, person: str) -> None:
    slot = ("$XDSDocumentEntryEntryUUID", f"'{urn('new')}'")
    replaced = ask(
        wire.GET_RELATED_DOCUMENTS, slot, ("$AssociationTypes", f"('{AssociationType.REPLACES}')")
    )
    assert set(wire.objects(replaced, "ExtrinsicObject")) == {urn("new"), urn("old")}
    assert len(wire.objects(replaced, "Association")) == 1
    appended = ask(
        wire.GET_RELATED_DOCUMENTS, slot, ("$AssociationTypes", f"('{AssociationType.APPENDS}')")
    )
    assert wire.objects(appended, "ExtrinsicObject") == []


def test_submission_sets_are_found_by_source_and_time(ask: Ask, person: str) -> None:
    slots = (
        ("$XDSSubmissionSetPatientId", f"'{person}'"),
        ("$XDSSubmissionSetStatus", wire.APPROVED),
    )
    assert len(wire.objects(ask(wire.FIND_SUBMISSION_SETS, *slots), "RegistryPackage")) == 4
    later = (*slots, ("$XDSSubmissionSetSubmissionTimeFrom", "'20270101'"))
    assert wire.objects(ask(wire.FIND_SUBMISSION_SETS, *later), "RegistryPackage") == []
    elsewhere = (*slots, ("$XDSSubmissionSetSourceId", "('1.2.3')"))
    assert wire.objects(ask(wire.FIND_SUBMISSION_SETS, *elsewhere), "RegistryPackage") == []


def test_everything_about_a_patient_is_got(ask: Ask, person: str) -> None:
    slots = [
        (f"$XDS{kind}Status", status)
        for kind in ("DocumentEntry", "SubmissionSet", "Folder")
        for status in (wire.APPROVED, wire.DEPRECATED)
    ]
    answer = ask(wire.GET_ALL, ("$patientId", f"'{person}'"), *slots)
    assert len(wire.objects(answer, "ExtrinsicObject")) == 3
    assert len(wire.objects(answer, "RegistryPackage")) == 4
    assert len(wire.objects(answer, "Association")) == 6


def test_leaf_classes_of_two_patients_are_refused_and_references_are_not(
    ask: Ask, person: str, hub: Hub
) -> None:
    other = PatientIdentifier("L-2", OTHER_TOWNSHIP).cx
    cx = hub.global_cx(hub.know("L-2", OTHER_TOWNSHIP))
    hub.put(submission(entry("other", patient_id=cx, linked_identifier=other)))
    slot = ("$XDSDocumentEntryEntryUUID", f"('{urn('new')}','{urn('other')}')")
    assert wire.errors(ask(wire.GET_DOCUMENTS, slot)) == ["XDSResultNotSinglePatient"]
    references = ask(wire.GET_DOCUMENTS, slot, return_type="ObjectRef")
    assert len(wire.objects(references, "ObjectRef")) == 2


def test_who_has_no_relation_to_the_patient_sees_nothing_and_is_audited(
    ask: Ask, person: str, hub: Hub
) -> None:
    near = hub.token("near", frozenset({"t1"}), Role.CLINICIAN)
    far = hub.token("far", frozenset({"t2"}), Role.CLINICIAN)
    slots = of(person)
    seen = ask(wire.FIND_DOCUMENTS, *slots, by=near)
    assert len(wire.objects(seen, "ExtrinsicObject")) == 2
    uuids = ("$XDSDocumentEntryEntryUUID", f"('{urn('new')}')")
    for query_id, asked in (
        (wire.FIND_DOCUMENTS, slots),
        (wire.GET_DOCUMENTS, (uuids,)),
        (wire.GET_ASSOCIATIONS, (("$uuid", f"('{urn('new')}')"),)),
        (wire.GET_SUBMISSION_SETS, (("$uuid", f"('{urn('new')}')"),)),
    ):
        answer = ask(query_id, *asked, by=far)
        assert wire.status(answer) == "Success"
        assert len(answer.find(f"{{{wire.RIM}}}RegistryObjectList")) == 0
    records = hub.audit.search(AuditQuery(action="query_registry")).records
    assert [one.outcome for one in records] == ["refused"] * 4 + ["success"]
    assert {one.resource_id for one in records} == {person.partition("^")[0]}
    assert hub.audit.verify().ok


def test_a_role_without_the_right_sees_nothing(ask: Ask, person: str, hub: Hub) -> None:
    token = hub.token("manager", None, Role.MANAGER)
    answer = ask(wire.FIND_DOCUMENTS, *of(person), by=token)
    assert wire.objects(answer, "ExtrinsicObject") == []


def test_a_link_moves_documents_and_taking_it_back_returns_them(
    ask: Ask, person: str, hub: Hub
) -> None:
    second = PatientIdentifier("L-2", OTHER_TOWNSHIP)
    survivor = hub.know("L-2", OTHER_TOWNSHIP)
    hub.put(
        submission(entry("other", patient_id=hub.global_cx(survivor), linked_identifier=second.cx))
    )
    moved = hub.global_cx(survivor)
    before = set(wire.objects(ask(wire.FIND_DOCUMENTS, *of(moved)), "ExtrinsicObject"))
    from patient_index.model import Decided

    hub.patients.link(LOCAL, survivor, Decided("clerk", "same person"))
    answer = ask(wire.FIND_DOCUMENTS, *of(moved))
    assert set(wire.objects(answer, "ExtrinsicObject")) == before | {urn("new"), urn("rendition")}
    ids = {
        one.get("value")
        for one in answer.iter(f"{{{wire.RIM}}}ExternalIdentifier")
        if one.get("identificationScheme") == "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
    }
    assert ids == {moved}
    assert wire.objects(ask(wire.FIND_DOCUMENTS, *of(person)), "ExtrinsicObject") == []
    hub.patients.unlink(LOCAL, Decided("clerk", "two persons"))
    back = ask(wire.FIND_DOCUMENTS, *of(person))
    assert set(wire.objects(back, "ExtrinsicObject")) == {urn("new"), urn("rendition")}


def test_the_number_of_statements_does_not_grow_with_the_answer(
    ask: Ask, person: str, hub: Hub
) -> None:
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    ask(wire.FIND_DOCUMENTS, *of(person))  # the token's first use is written down
    event.listen(hub.database.engine, "before_cursor_execute", count)
    ask(wire.FIND_DOCUMENTS, *of(person))
    few = len(statements)
    hub.put(submission(*(entry(f"many-{n}", patient_id=person) for n in range(50))))
    statements.clear()
    answer = ask(wire.FIND_DOCUMENTS, *of(person))
    assert len(wire.objects(answer, "ExtrinsicObject")) == 52
    assert len(statements) == few
    assert few <= 22


def test_answers_are_valid_by_the_outside_schema(ask: Ask, person: str, hub: Hub) -> None:
    schema = etree.XMLSchema(
        etree.parse(str(require_conformance("schema", "nist-v3", "query.xsd")))
    )
    cx = person
    full = entry(
        "full",
        patient_id=cx,
        title="CT 2024-01-02 <胸部> & \x01",
        comments="c",
        service_start_time="202401",
        service_stop_time="2024",
        event_codes=(CT,),
        home_community_id=HOME,
        source_patient_info=("PID-3|L-1",),
        reference_ids=(ReferenceId.study("1.2.3"),),
    )
    hub.put(submission(full))
    everything = [
        (f"$XDS{kind}Status", status)
        for kind in ("DocumentEntry", "SubmissionSet", "Folder")
        for status in (wire.APPROVED, wire.DEPRECATED)
    ]
    for answer in (
        ask(wire.GET_ALL, ("$patientId", f"'{cx}'"), *everything),
        ask(wire.GET_ALL, ("$patientId", f"'{cx}'"), *everything, return_type="ObjectRef"),
        ask(wire.FIND_DOCUMENTS),
        ask(wire.FIND_DOCUMENTS, *of("nobody")),
    ):
        schema.assertValid(answer)
