"""ITI-43 over real HTTP: documents as they were stored, or the reason why not."""

from pathlib import Path

import pytest
import requests
from lxml import etree

from access_control.audit import AuditQuery
from access_control.model import Role
from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.samples import HOME, REPOSITORY_UID, entry, submission
from xds_registry.model import DocumentEntry

BYTES = b"\r\n--boundary\x00DICM" * 1000


@pytest.fixture
def documents(hub: Hub) -> list[DocumentEntry]:
    """Two documents of one person known at t1."""
    cx = hub.global_cx(hub.know())
    kept = [hub.keep(entry(name, patient_id=cx), BYTES + name.encode()) for name in ("one", "two")]
    hub.put(submission(*kept))
    return kept


@pytest.fixture
def token(hub: Hub) -> str:
    return hub.token("region", None)


def ask(web: Web, token: str, *wanted: tuple[str, str], home: str = "") -> requests.Response:
    return web.post(web.repository, wire.retrieve(*wanted, home=home), token)


def test_many_documents_come_in_one_mtom_answer(
    web: Web, token: str, documents: list[DocumentEntry]
) -> None:
    response = ask(web, token, *((REPOSITORY_UID, one.unique_id) for one in documents))
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("multipart/related")
    assert int(response.headers["Content-Length"]) == len(response.content)
    answer, parts = wire.unpack(response)
    assert wire.status(answer) == "Success"
    assert list(parts.values()) == [BYTES + b"one", BYTES + b"two"]
    hrefs = [one.get("href") for one in answer.iter(f"{{{wire.XOP}}}Include")]
    assert hrefs == [f"cid:{name}" for name in parts]
    assert [one.text for one in answer.iter("{*}mimeType")] == ["application/dicom"] * 2


def test_a_request_may_be_mtom_itself(web: Web, token: str, documents: list[DocumentEntry]) -> None:
    content_type = 'multipart/related; boundary="b"; type="application/xop+xml"'
    root = wire.retrieve((REPOSITORY_UID, documents[0].unique_id))
    head = b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <r@x>\r\n\r\n"
    data = head + root + b"\r\n--b--\r\n"
    answer, _ = wire.unpack(web.post(web.repository, data, token, content_type))
    assert wire.status(answer) == "Success"


def test_some_found_and_some_not_is_a_partial_success(
    web: Web, token: str, documents: list[DocumentEntry]
) -> None:
    known = (REPOSITORY_UID, documents[0].unique_id)
    answer, parts = wire.unpack(ask(web, token, (REPOSITORY_UID, "1.2.9"), known, ("9.9", "1")))
    assert wire.status(answer) == "PartialSuccess"
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError", "XDSUnknownRepositoryId"]
    assert list(parts.values()) == [BYTES + b"one"]


@pytest.mark.parametrize(
    ("repository", "document", "home", "code"),
    [
        (REPOSITORY_UID, "1.2.9", "", "XDSDocumentUniqueIdError"),
        (REPOSITORY_UID, "", "", "XDSDocumentUniqueIdError"),
        (REPOSITORY_UID, "' OR 1=1 --", "", "XDSDocumentUniqueIdError"),
        (REPOSITORY_UID, "../../etc/passwd", "", "XDSDocumentUniqueIdError"),
        ("9.9", "1.2.9", "", "XDSUnknownRepositoryId"),
        (REPOSITORY_UID, "1.2.9", "urn:oid:9.9", "XDSUnknownCommunity"),
    ],
)
def test_a_refusal_says_why(
    web: Web, token: str, repository: str, document: str, home: str, code: str
) -> None:
    answer, parts = wire.unpack(ask(web, token, (repository, document), home=home))
    assert (wire.status(answer), wire.errors(answer), parts) == ("Failure", [code], {})


def test_our_own_community_is_accepted_and_repeated(
    web: Web, token: str, documents: list[DocumentEntry]
) -> None:
    wanted = (REPOSITORY_UID, documents[0].unique_id)
    answer, _ = wire.unpack(ask(web, token, wanted, home=HOME))
    assert wire.status(answer) == "Success"
    assert [one.text for one in answer.iter(f"{{{wire.XDSB}}}HomeCommunityId")] == [HOME]


def test_the_same_document_asked_twice_comes_once(
    web: Web, token: str, documents: list[DocumentEntry]
) -> None:
    wanted = (REPOSITORY_UID, documents[0].unique_id)
    _, parts = wire.unpack(ask(web, token, wanted, wanted))
    assert len(parts) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_document_is_never_given_out(
    web: Web, token: str, hub: Hub, tmp_path: Path, documents: list[DocumentEntry], damage: str
) -> None:
    paths = [
        path
        for path in (tmp_path / "archive").rglob("*")
        if path.is_file() and path.read_bytes() == BYTES + b"one"
    ]
    assert len(paths) == 1
    changed = {"flip": b"X" + BYTES[1:] + b"one", "truncate": BYTES[:-1]}
    if damage == "delete":
        paths[0].unlink()
    else:
        paths[0].chmod(0o600)
        paths[0].write_bytes(changed[damage])
    wanted = [(REPOSITORY_UID, one.unique_id) for one in documents]
    answer, parts = wire.unpack(ask(web, token, *wanted))
    assert (wire.status(answer), wire.errors(answer)) == ("PartialSuccess", ["XDSRepositoryError"])
    assert list(parts.values()) == [BYTES + b"two"]


def test_who_may_not_see_the_patient_cannot_tell_that_the_document_exists(
    web: Web, hub: Hub, documents: list[DocumentEntry]
) -> None:
    far = hub.token("far", frozenset({"t2"}), Role.CLINICIAN)
    held_back, _ = wire.unpack(ask(web, far, (REPOSITORY_UID, documents[0].unique_id)))
    absent, _ = wire.unpack(ask(web, far, (REPOSITORY_UID, "2.25.1")))
    texts = [
        etree.tostring(answer).replace(name.encode(), b"#")
        for answer, name in ((held_back, documents[0].unique_id), (absent, "2.25.1"))
    ]
    assert texts[0] == texts[1]
    records = hub.audit.search(AuditQuery(action="retrieve_document")).records
    assert [one.outcome for one in records] == ["refused", "refused"]
    assert records[1].resource_id == documents[0].unique_id


def test_every_document_given_out_is_audited(
    web: Web, hub: Hub, token: str, documents: list[DocumentEntry]
) -> None:
    ask(web, token, *((REPOSITORY_UID, one.unique_id) for one in documents))
    records = hub.audit.search(AuditQuery(action="retrieve_document")).records
    assert {(one.outcome, one.resource_id) for one in records} == {
        ("success", one.unique_id) for one in documents
    }


def test_bytes_without_a_registry_entry_are_nobodys(web: Web, hub: Hub, token: str) -> None:
    orphan = hub.keep(entry("orphan"), BYTES)
    answer, parts = wire.unpack(ask(web, token, (REPOSITORY_UID, orphan.unique_id)))
    assert (wire.errors(answer), parts) == (["XDSDocumentUniqueIdError"], {})


def test_asking_for_nothing_or_for_too_much_is_a_fault(web: Web, token: str) -> None:
    assert ask(web, token).status_code == 400
    many = [(REPOSITORY_UID, f"1.2.{n}") for n in range(1001)]
    assert ask(web, token, *many).status_code == 400


def test_answers_are_valid_by_the_outside_schema(
    web: Web, token: str, documents: list[DocumentEntry]
) -> None:
    path = require_conformance("schema", "nist-v3", "XDS.b_DocumentRepository.xsd")
    schema = etree.XMLSchema(etree.parse(str(path)))
    wanted = [(REPOSITORY_UID, one.unique_id) for one in documents]
    for asked in (wanted, [*wanted, ("9.9", "1")], [("9.9", "1")]):
        answer, _ = wire.unpack(ask(web, token, *asked))
        for include in list(answer.iter(f"{{{wire.XOP}}}Include")):
            parent = include.getparent()
            parent.remove(include)
            parent.text = "AAAA"  # what XOP stands for
        schema.assertValid(answer)
