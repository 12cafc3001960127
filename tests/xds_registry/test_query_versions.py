"""Which versions a query answers with, and what it may say of communities (3.18.4.1.2.3.5.1.1)."""

from dataclasses import replace

import pytest

from tests.xds_registry import wire
from tests.xds_registry.asking import Ask
from tests.xds_registry.folders import filed, folder, member, next_version
from tests.xds_registry.hub import Hub
from tests.xds_registry.samples import HOME, entry, relation, submission, urn
from xds_registry import store
from xds_registry.model import AssociationType, AvailabilityStatus

LEVEL_2 = ("$MetadataLevel", "2")
BOTH_STATUSES = (
    f"('{AvailabilityStatus.APPROVED}','{AvailabilityStatus.DEPRECATED}')",
    f"('{AvailabilityStatus.DEPRECATED}')",
)


@pytest.fixture
def person(hub: Hub) -> str:
    """A person with a document and a folder of two versions each."""
    cx = hub.global_cx(hub.know())
    before, after = next_version(entry("document", patient_id=cx), title="after")
    old_box, new_box = next_version(folder("box", patient_id=cx), title="after")
    with hub.database.unit_of_work() as work:
        for one in (submission(before), submission(after), filed(old_box), filed(new_box)):
            store.insert(work.session, one)
    return cx


def after(name: str) -> str:
    return urn(f"{urn(name)}-after")


@pytest.mark.parametrize("level", [(), (("$MetadataLevel", "1"),), (("$MetadataLevel", "'1'"),)])
def test_level_1_answers_the_latest_version_alone(ask: Ask, person: str, level: wire.Slots) -> None:
    slots = (
        ("$XDSDocumentEntryPatientId", f"'{person}'"),
        ("$XDSDocumentEntryStatus", BOTH_STATUSES[0]),
    )
    found = ask(wire.FIND_DOCUMENTS, *slots, *level)
    assert wire.objects(found, "ExtrinsicObject") == [after("document")]
    by_unique_id = ("$XDSDocumentEntryUniqueId", f"('{entry('document').unique_id}')")
    got = ask(wire.GET_DOCUMENTS, by_unique_id, *level)
    assert wire.objects(got, "ExtrinsicObject") == [after("document")]
    by_uuid = ("$XDSDocumentEntryEntryUUID", f"('{urn('document')}')")
    assert wire.objects(ask(wire.GET_DOCUMENTS, by_uuid, *level), "ExtrinsicObject") == []


def test_level_1_never_answers_a_former_version_as_deprecated(ask: Ask, person: str) -> None:
    slots = (
        ("$XDSDocumentEntryPatientId", f"'{person}'"),
        ("$XDSDocumentEntryStatus", BOTH_STATUSES[1]),
    )
    assert wire.objects(ask(wire.FIND_DOCUMENTS, *slots), "ExtrinsicObject") == []
    assert wire.objects(ask(wire.FIND_DOCUMENTS, *slots, LEVEL_2), "ExtrinsicObject") == [
        urn("document")
    ]


def test_level_2_answers_every_version(ask: Ask, person: str) -> None:
    by_unique_id = ("$XDSDocumentEntryUniqueId", f"('{entry('document').unique_id}')")
    got = ask(wire.GET_DOCUMENTS, by_unique_id, LEVEL_2)
    assert wire.objects(got, "ExtrinsicObject") == [urn("document"), after("document")]
    by_logical_id = ("$XDSDocumentEntryLogicalID", f"('{urn('document')}')")
    got = ask(wire.GET_DOCUMENTS, by_logical_id, LEVEL_2)
    assert wire.objects(got, "ExtrinsicObject") == [urn("document"), after("document")]
    latest = ask(wire.GET_DOCUMENTS, by_logical_id)
    assert wire.objects(latest, "ExtrinsicObject") == [after("document")]


def test_versions_of_folders_follow_the_same_rule(ask: Ask, person: str) -> None:
    by_logical_id = ("$XDSFolderLogicalID", f"('{urn('box')}')")
    assert wire.objects(ask(wire.GET_FOLDERS, by_logical_id), "RegistryPackage") == [after("box")]
    both = ask(wire.GET_FOLDERS, by_logical_id, LEVEL_2)
    assert set(wire.objects(both, "RegistryPackage")) == {urn("box"), after("box")}
    slots = (("$XDSFolderPatientId", f"'{person}'"), ("$XDSFolderStatus", BOTH_STATUSES[0]))
    assert wire.objects(ask(wire.FIND_FOLDERS, *slots), "RegistryPackage") == [after("box")]


def test_at_level_1_no_association_leads_to_a_former_version(ask: Ask, person: str) -> None:
    for former in (urn("document"), urn("box")):
        uuid = ("$uuid", f"('{former}')")
        assert wire.objects(ask(wire.GET_ASSOCIATIONS, uuid), "Association") == []
        assert len(wire.objects(ask(wire.GET_ASSOCIATIONS, uuid, LEVEL_2), "Association")) == 1


def test_a_replaced_document_is_no_former_version(ask: Ask, hub: Hub) -> None:
    cx = hub.global_cx(hub.know())
    old, new = entry("old", patient_id=cx), entry("new", patient_id=cx)
    hub.put(submission(old))
    hub.put(submission(new, relations=(relation(AssociationType.REPLACES, new, old),)))
    by_uuid = ("$XDSDocumentEntryEntryUUID", f"('{urn('old')}')")
    assert wire.objects(ask(wire.GET_DOCUMENTS, by_uuid), "ExtrinsicObject") == [urn("old")]


def test_deprecated_associations_are_for_level_2_and_only_when_asked_for(
    ask: Ask, hub: Hub
) -> None:
    cx = hub.global_cx(hub.know())
    document = entry("document", patient_id=cx)
    filing = filed(folder("box", patient_id=cx), document)
    hub.put(filing)
    gone = member(
        urn("box"),
        urn("document"),
        entry_uuid=urn("gone"),
        status=AvailabilityStatus.DEPRECATED,
    )
    hub.put(replace(submission(name="later"), associations=(gone,)))
    status = ("$XDSAssociationStatus", BOTH_STATUSES[1])
    uuid = ("$uuid", f"('{urn('document')}')")
    assert len(wire.objects(ask(wire.GET_ASSOCIATIONS, uuid), "Association")) == 2
    assert len(wire.objects(ask(wire.GET_ASSOCIATIONS, uuid, LEVEL_2), "Association")) == 2
    assert len(wire.objects(ask(wire.GET_ASSOCIATIONS, uuid, status), "Association")) == 2
    asked = ask(wire.GET_ASSOCIATIONS, uuid, status, LEVEL_2)
    assert wire.objects(asked, "Association") == [urn("gone")]


@pytest.mark.parametrize(
    ("slot", "code"),
    [
        (("$MetadataLevel", "3"), "XDSRegistryError"),
        (("$MetadataLevel", "('1','2')"), "XDSStoredQueryParamNumber"),
    ],
)
def test_a_wrong_level_is_refused(ask: Ask, person: str, slot: tuple[str, str], code: str) -> None:
    by_uuid = ("$XDSDocumentEntryEntryUUID", f"('{urn('document')}')")
    assert wire.errors(ask(wire.GET_DOCUMENTS, by_uuid, slot)) == [code]


def test_two_kinds_of_identifier_are_refused(ask: Ask, person: str) -> None:
    slots = (("$XDSDocumentEntryEntryUUID", "'x'"), ("$XDSDocumentEntryLogicalID", "'y'"))
    assert wire.errors(ask(wire.GET_DOCUMENTS, *slots)) == ["XDSStoredQueryParamNumber"]


def test_versions_are_told_by_number_and_logical_id(ask: Ask, person: str) -> None:
    by_unique_id = ("$XDSDocumentEntryUniqueId", f"('{entry('document').unique_id}')")
    got = ask(wire.GET_DOCUMENTS, by_unique_id, LEVEL_2)
    told = [
        (one.get("id"), one.get("lid"), one.find("{*}VersionInfo").get("versionName"))
        for one in got.iter("{*}ExtrinsicObject")
    ]
    assert told == [
        (urn("document"), urn("document"), "1"),
        (after("document"), urn("document"), "2"),
    ]


def test_a_query_that_names_our_community_is_answered(ask: Ask, person: str) -> None:
    by_uuid = ("$XDSDocumentEntryEntryUUID", f"('{after('document')}')")
    ours = ask(wire.GET_DOCUMENTS, by_uuid, home=HOME)
    assert wire.objects(ours, "ExtrinsicObject") == [after("document")]


def test_an_unknown_parameter_is_not_looked_at(ask: Ask, person: str) -> None:
    slots = (
        ("$XDSDocumentEntryEntryUUID", f"('{after('document')}')"),
        ("$XDSDocumentEntryFavouriteColour", "'blue'"),
    )
    got = ask(wire.GET_DOCUMENTS, *slots)
    assert wire.objects(got, "ExtrinsicObject") == [after("document")]
