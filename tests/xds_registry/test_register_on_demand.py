"""ITI-61: on-demand entries are registered, found when asked for, and described without bytes."""

from dataclasses import replace

from access_control.model import Role
from tests.xds_registry import wire
from tests.xds_registry.administered import Desk, named
from tests.xds_registry.asking import Ask
from tests.xds_registry.samples import submission
from xds_registry.model import DocumentType
from xds_registry.transactions import iti42_register_document_set as iti42
from xds_registry.transactions import iti61_register_on_demand_document_entry as iti61


def test_an_on_demand_entry_is_registered_and_found_when_asked_for(desk: Desk, ask: Ask) -> None:
    source = desk.hub.token("source", None, Role.DOCUMENT_SOURCE)
    on_demand = replace(
        named("summary", desk.cx),
        document_type=DocumentType.ON_DEMAND,
        creation_time="",
        sha1="",
        size=0,
    )
    sent = submission(on_demand)
    own = replace(sent.submission_set, submission_time="20261121080000")
    sent = replace(sent, submission_set=own)
    assert "XDSRegistryMetadataError" in desk.send(sent, iti42.ACTION, by=source)
    assert desk.send(sent, iti61.ACTION, by=source) == []
    slots = (
        ("$XDSDocumentEntryPatientId", f"'{desk.cx}'"),
        ("$XDSDocumentEntryStatus", wire.APPROVED),
        ("$XDSDocumentEntryType", f"('{DocumentType.ON_DEMAND}')"),
    )
    found = ask(wire.FIND_DOCUMENTS, *slots)
    assert wire.objects(found, "ExtrinsicObject") == [on_demand.entry_uuid]
    assert wire.objects(ask(wire.FIND_DOCUMENTS, *slots[:2]), "ExtrinsicObject") == []


def test_a_stable_entry_is_not_registered_on_demand(desk: Desk) -> None:
    source = desk.hub.token("source", None, Role.DOCUMENT_SOURCE)
    refused = desk.send(submission(named("ct", desk.cx)), iti61.ACTION, by=source)
    assert "XDSRegistryMetadataError" in refused
    assert desk.documents() == {}
