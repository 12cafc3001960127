"""The registry shows nobody the documents of who refuses, by every query and by retrieval."""

from collections.abc import Callable

import pytest
from lxml import etree

from access_control.audit import AuditQuery
from access_control.consent import EVERYONE, SHARING, ConsentKind, site_scope
from access_control.model import Role
from tests.xds_registry import wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.samples import entry, submission, urn

Found = Callable[..., list[str]]


@pytest.fixture
def person(hub: Hub) -> str:
    cx = hub.global_cx(hub.know())
    hub.put(submission(entry("his", patient_id=cx)))
    return cx


@pytest.fixture
def found(hub: Hub, web: Web) -> Found:
    tokens: dict[object, str] = {}

    def ask(sites: frozenset[str] | None, query_id: str, *slots: tuple[str, str]) -> list[str]:
        if sites not in tokens:
            tokens[sites] = hub.token(f"reader of {sites}", sites, Role.RADIOLOGIST)
        response = web.post(web.registry, wire.query(query_id, slots, "LeafClass"), tokens[sites])
        assert response.status_code == 200, response.text
        answer: etree._Element = wire.payload(response)
        return wire.objects(answer, "ExtrinsicObject")

    return ask


def says(hub: Hub, kind: ConsentKind, scope: str) -> str:
    person = hub.know()
    hub.consents.record(person, kind, scope, by="clerk", reason="at the desk")
    return person


def of(cx: str) -> tuple[tuple[str, str], ...]:
    patient = ("$XDSDocumentEntryPatientId", f"'{cx}'")
    return patient, ("$XDSDocumentEntryStatus", wire.APPROVED)


@pytest.mark.parametrize("sites", [None, frozenset({"t1"})], ids=["region", "site"])
def test_who_refuses_everyone_has_no_documents_for_anybody(
    hub: Hub, person: str, found: Found, sites: frozenset[str] | None
) -> None:
    assert found(sites, wire.FIND_DOCUMENTS, *of(person)) == [urn("his")]
    global_id = says(hub, ConsentKind.REFUSE, EVERYONE)
    assert found(sites, wire.FIND_DOCUMENTS, *of(person)) == []
    assert (
        found(sites, wire.GET_DOCUMENTS, ("$XDSDocumentEntryEntryUUID", f"('{urn('his')}')")) == []
    )
    refused = hub.audit.search(AuditQuery(outcome="refused", resource_ids=frozenset({global_id})))
    assert refused.records
    says(hub, ConsentKind.GRANT, EVERYONE)
    assert found(sites, wire.FIND_DOCUMENTS, *of(person)) == [urn("his")]


def test_who_refuses_a_site_has_documents_for_the_others(
    hub: Hub, person: str, found: Found
) -> None:
    says(hub, ConsentKind.REFUSE, site_scope("t1"))
    assert found(frozenset({"t1"}), wire.FIND_DOCUMENTS, *of(person)) == []
    assert found(None, wire.FIND_DOCUMENTS, *of(person)) == [urn("his")]


def test_refusing_shared_links_changes_nothing_for_the_registry(
    hub: Hub, person: str, found: Found
) -> None:
    says(hub, ConsentKind.REFUSE, SHARING)
    assert found(None, wire.FIND_DOCUMENTS, *of(person)) == [urn("his")]
