"""ITI-86 over real HTTP: documents leave for good, or are named with the reason why not."""

from datetime import timedelta

import pytest
from lxml import etree

from access_control.audit import AuditQuery
from access_control.legal_holds import HoldRequest, LegalHolds
from access_control.model import Role
from hub_kernel.tasks import deliver_all_due
from patient_index.same_person import SamePerson
from tests.xds_registry import provided, studies, wire
from tests.xds_registry.hub import OTHER_TOWNSHIP, Hub, Web
from tests.xds_registry.provided import Sent, described
from tests.xds_registry.samples import REPOSITORY_UID

STUDY = "1.2.3.4"


@pytest.fixture
def cx(hub: Hub) -> str:
    return hub.global_cx(hub.know())


@pytest.fixture
def registrar(hub: Hub) -> str:
    return hub.token("registrar", None, Role.REGISTRAR)


@pytest.fixture
def documents(hub: Hub, web: Web, cx: str) -> list[str]:
    """Two registered documents with the same bytes, by uniqueId."""
    source = hub.token("source", None, Role.DOCUMENT_SOURCE)
    sent = [Sent(described(cx, name), b"same") for name in ("one", "two")]
    data = provided.provide(*sent)
    answer = web.post(web.repository, data, source, provided.CONTENT_TYPE)
    assert wire.status(wire.payload(answer)) == "Success"
    return [one.entry.unique_id for one in sent]


def remove(
    web: Web, token: str, *unique_ids: str, repository: str = REPOSITORY_UID
) -> etree._Element:
    wanted = [(repository, one) for one in unique_ids]
    return wire.payload(web.post(web.repository, provided.remove(*wanted), token))


def available(hub: Hub, web: Web, *unique_ids: str) -> str:
    wanted = [(REPOSITORY_UID, one) for one in unique_ids]
    reader = hub.token(f"reader-{unique_ids}", None)
    answer, _ = wire.unpack(web.post(web.repository, wire.retrieve(*wanted), reader))
    return wire.status(answer)


def keys(hub: Hub) -> list[str]:
    return list(hub.backend.keys("documents"))


def test_a_removed_document_is_gone_and_its_bytes_follow(
    hub: Hub, web: Web, registrar: str, documents: list[str]
) -> None:
    assert wire.status(remove(web, registrar, *documents)) == "Success"
    assert available(hub, web, *documents) == "Failure"
    assert hub.registry.intake.sweep() == 1
    assert keys(hub) == []


def test_bytes_another_document_shares_stay(
    hub: Hub, web: Web, registrar: str, documents: list[str]
) -> None:
    assert wire.status(remove(web, registrar, documents[0])) == "Success"
    assert hub.registry.intake.sweep() == 0
    assert available(hub, web, documents[1]) == "Success"


def test_some_removed_and_some_not_is_a_partial_success(
    web: Web, registrar: str, documents: list[str]
) -> None:
    answer = remove(web, registrar, documents[0], "1.2.9")
    assert (wire.status(answer), wire.errors(answer)) == (
        "PartialSuccess",
        ["XDSDocumentUniqueIdError"],
    )


def test_another_repositorys_documents_are_not_ours_to_remove(
    hub: Hub, web: Web, registrar: str, documents: list[str]
) -> None:
    answer = remove(web, registrar, *documents, repository="1.2.1.1.1")
    assert (wire.status(answer), set(wire.errors(answer))) == (
        "Failure",
        {"XDSUnknownRepositoryId"},
    )
    assert available(hub, web, *documents) == "Success"


@pytest.mark.parametrize("role", [Role.RADIOLOGIST, Role.DOCUMENT_SOURCE, Role.ENGINEER])
def test_only_an_administrator_of_documents_removes_them(
    hub: Hub, web: Web, documents: list[str], role: Role
) -> None:
    token = hub.token("other", None, role)
    answer = remove(web, token, documents[0])
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]
    assert available(hub, web, documents[0]) == "Success"


def test_an_administrator_of_another_site_removes_nothing(
    hub: Hub, web: Web, documents: list[str]
) -> None:
    hub.know("M-1", OTHER_TOWNSHIP)
    token = hub.token("elsewhere", frozenset({"t9"}), Role.REGISTRAR)
    assert wire.errors(remove(web, token, documents[0])) == ["XDSDocumentUniqueIdError"]
    assert available(hub, web, documents[0]) == "Success"


def test_the_archives_own_manifest_stays_and_the_error_says_why(
    hub: Hub, web: Web, registrar: str
) -> None:
    hub.know()
    hub.archive.store_file(studies.instance(STUDY, 1, 1), studies.ORIGIN)
    hub.clock.advance(seconds=61)
    hub.archive.complete_quiet_studies()
    deliver_all_due(hub.database, hub.outbox)
    manifest = hub.registry.manifest_of(STUDY)
    assert manifest is not None
    answer = remove(web, registrar, manifest.unique_id)
    (error,) = answer.iter("{*}RegistryError")
    assert error.get("errorCode") == "XDSRepositoryError"
    assert "kept in step" in error.get("codeContext")
    assert "影像归档" in error.get("codeContext")
    assert available(hub, web, manifest.unique_id) == "Success"


def test_every_removal_and_refusal_is_audited(
    hub: Hub, web: Web, registrar: str, documents: list[str]
) -> None:
    remove(web, registrar, documents[0], "1.2.9")
    records = [
        (one.outcome, one.resource_id)
        for one in hub.audit.search(AuditQuery()).records
        if one.action == "administer_documents"
    ]
    assert sorted(records) == [("refused", "1.2.9"), ("success", documents[0])]


def test_a_document_sent_again_after_its_removal_outlives_the_sweep(
    hub: Hub, web: Web, registrar: str, cx: str, documents: list[str]
) -> None:
    remove(web, registrar, *documents)
    source = hub.token("again", None, Role.DOCUMENT_SOURCE)
    data = provided.provide(Sent(described(cx, "three"), b"same"))
    answer = web.post(web.repository, data, source, provided.CONTENT_TYPE)
    assert wire.status(wire.payload(answer)) == "Success"
    hub.clock.advance(seconds=timedelta(days=1).total_seconds())
    assert hub.registry.intake.sweep() == 0
    assert len(keys(hub)) == 1


def test_a_document_of_a_person_under_a_legal_hold_stays_until_it_is_lifted(
    hub: Hub, web: Web, registrar: str, cx: str, documents: list[str]
) -> None:
    holds = LegalHolds(hub.database, hub.clock, SamePerson(hub.database))
    hold = holds.place(HoldRequest(cx.partition("^")[0], "wang", "court"), lambda *_: None)
    assert wire.status(remove(web, registrar, *documents)) == "Failure"
    hub.registry.intake.sweep()
    assert len(keys(hub)) == 1
    holds.lift(hold.hold_id, "wang", "over", lambda *_: None)
    assert wire.status(remove(web, registrar, *documents)) == "Success"
