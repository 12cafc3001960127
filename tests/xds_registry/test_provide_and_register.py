"""ITI-41 over real HTTP: documents and metadata in together, or neither."""

from dataclasses import replace

import pytest
from lxml import etree
from sqlalchemy import func, select

from access_control.audit import AuditQuery
from access_control.model import Role
from tests.xds_registry import provided, wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.provided import Sent, described
from tests.xds_registry.samples import REPOSITORY_UID, relation, submission
from xds_registry import store
from xds_registry.model import AssociationType, DocumentEntry
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow, SubmissionSetRow
from xds_registry.tables_repository import RepositoryIntakeRow

DATA = b"\r\n--MIMEBoundary\x00\xff" * 5000


@pytest.fixture
def source(hub: Hub) -> str:
    return hub.token("source", None, Role.DOCUMENT_SOURCE)


@pytest.fixture
def reader(hub: Hub) -> str:
    return hub.token("reader", None)


@pytest.fixture
def cx(hub: Hub) -> str:
    return hub.global_cx(hub.know())


def post(web: Web, token: str, data: bytes) -> etree._Element:
    return wire.payload(web.post(web.repository, data, token, provided.CONTENT_TYPE))


def registered(hub: Hub, unique_id: str) -> list[DocumentEntry]:
    with hub.database.read() as session:
        return store.documents_by_unique_id(session, [unique_id])


def counts(hub: Hub) -> tuple[int, ...]:
    tables = (DocumentEntryRow, SubmissionSetRow, RepositoryDocumentRow, RepositoryIntakeRow)
    with hub.database.read() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(table)) or 0 for table in tables
        )


def keys(hub: Hub) -> list[str]:
    return list(hub.backend.keys("documents"))


def retrieved(web: Web, reader: str, *unique_ids: str) -> list[bytes]:
    wanted = [(REPOSITORY_UID, one) for one in unique_ids]
    answer, parts = wire.unpack(web.post(web.repository, wire.retrieve(*wanted), reader))
    assert wire.status(answer) == "Success"
    return list(parts.values())


def test_documents_come_back_as_they_were_sent(
    hub: Hub, web: Web, source: str, reader: str, cx: str
) -> None:
    sent = Sent(described(cx, "one"), DATA), Sent(described(cx, "two"), b"")
    assert wire.status(post(web, source, provided.provide(*sent))) == "Success"
    assert retrieved(web, reader, *(one.entry.unique_id for one in sent)) == [DATA, b""]
    (entry,) = registered(hub, sent[0].entry.unique_id)
    assert (entry.sha1, entry.size) == (provided.sha1(DATA), len(DATA))
    assert entry.repository_unique_id == REPOSITORY_UID
    assert counts(hub) == (2, 1, 2, 0)


def test_base64_inside_the_message_does_as_well(
    hub: Hub, web: Web, source: str, reader: str, cx: str
) -> None:
    sent = Sent(described(cx, "one"), DATA), Sent(described(cx, "two"), b"x")
    response = web.post(web.repository, provided.provide_inline(*sent), source)
    assert wire.status(wire.payload(response)) == "Success"
    assert retrieved(web, reader, *(one.entry.unique_id for one in sent)) == [DATA, b"x"]


def test_base64_in_the_root_of_a_package_does_too(
    web: Web, source: str, reader: str, cx: str
) -> None:
    entry = described(cx)
    data = provided.package(provided.provide_inline(Sent(entry, DATA)), ())
    assert wire.status(post(web, source, data)) == "Success"
    assert retrieved(web, reader, entry.unique_id) == [DATA]


def test_the_mime_type_is_given_back_as_in_the_metadata(
    web: Web, source: str, reader: str, cx: str
) -> None:
    entry = described(cx, mime_type="application/pdf")
    assert wire.status(post(web, source, provided.provide(Sent(entry)))) == "Success"
    wanted = wire.retrieve((REPOSITORY_UID, entry.unique_id))
    answer, _ = wire.unpack(web.post(web.repository, wanted, reader))
    assert answer.findtext(".//{*}mimeType") == "application/pdf"


@pytest.mark.parametrize("hash_of", [str.lower, str.upper])
def test_a_true_hash_and_size_are_accepted(web: Web, source: str, cx: str, hash_of: object) -> None:
    entry = described(cx, sha1=hash_of(provided.sha1(DATA)), size=len(DATA))  # type: ignore[operator]
    assert wire.status(post(web, source, provided.provide(Sent(entry, DATA)))) == "Success"


@pytest.mark.parametrize(
    "false", [{"sha1": "0" * 40}, {"sha1": provided.sha1(DATA), "size": 7}], ids=["hash", "size"]
)
def test_a_false_hash_or_size_is_refused(
    hub: Hub, web: Web, source: str, cx: str, false: dict[str, object]
) -> None:
    entry = described(cx, **{"size": len(DATA), **false})
    answer = post(web, source, provided.provide(Sent(entry, DATA)))
    assert wire.errors(answer) == ["XDSRepositoryMetadataError"]
    assert counts(hub)[:3] == (0, 0, 0)


def test_an_entry_without_a_document_is_refused(web: Web, source: str, cx: str) -> None:
    sent = Sent(described(cx, "one")), Sent(described(cx, "two"), None)
    answer = post(web, source, provided.provide(*sent))
    assert wire.errors(answer) == ["XDSMissingDocument"]
    assert sent[1].entry.entry_uuid in answer.find(".//{*}RegistryError").get("location")


def test_a_document_without_an_entry_is_refused(web: Web, source: str, cx: str) -> None:
    sent = Sent(described(cx, "one")), Sent(described(cx, "two"))
    data = provided.provide(*sent, what=submission(sent[0].entry))
    assert wire.errors(post(web, source, data)) == ["XDSMissingDocumentMetadata"]


def test_a_part_that_nothing_names_is_refused(web: Web, source: str, cx: str) -> None:
    entry = described(cx)
    root = provided.body(submission(entry), {entry.entry_uuid: "cid:a@test"})
    parts = [("a@test", b"1"), ("b@test", b"2")]
    data = provided.package(wire.envelope(root, provided.ITI41), parts)
    assert wire.errors(post(web, source, data)) == ["XDSMissingDocumentMetadata"]


def test_two_documents_with_one_id_or_no_content_are_refused(
    web: Web, source: str, cx: str
) -> None:
    entry = described(cx)
    root = provided.body(submission(entry), {entry.entry_uuid: "cid:a@test"})
    for text in ("YQ==", ""):
        etree.SubElement(root, f"{{{wire.XDSB}}}Document", id=entry.entry_uuid).text = text
    data = provided.package(wire.envelope(root, provided.ITI41), [("a@test", b"1")])
    codes = wire.errors(post(web, source, data))
    assert codes == ["XDSRepositoryError"]


def test_one_unique_id_twice_in_a_message_is_refused(web: Web, source: str, cx: str) -> None:
    one = described(cx, "one")
    two = described(cx, "two", unique_id=one.unique_id)
    answer = post(web, source, provided.provide(Sent(one), Sent(two)))
    assert "XDSRepositoryDuplicateUniqueIdInMessage" in wire.errors(answer)


def test_the_same_document_again_keeps_one_copy(
    hub: Hub, web: Web, source: str, reader: str, cx: str
) -> None:
    first = described(cx, "one")
    again = replace(described(cx, "again"), unique_id=first.unique_id)
    for entry in (first, again):
        assert wire.status(post(web, source, provided.provide(Sent(entry, DATA)))) == "Success"
    assert len(registered(hub, first.unique_id)) == 2
    assert len(keys(hub)) == 1
    assert counts(hub) == (2, 2, 1, 0)
    assert retrieved(web, reader, first.unique_id) == [DATA]


def test_the_same_unique_id_with_other_bytes_is_refused(
    hub: Hub, web: Web, source: str, reader: str, cx: str
) -> None:
    first = described(cx, "one")
    again = replace(described(cx, "again"), unique_id=first.unique_id)
    post(web, source, provided.provide(Sent(first, DATA)))
    answer = post(web, source, provided.provide(Sent(again, DATA[:-1] + b"!")))
    assert wire.errors(answer)[0] == "XDSNonIdenticalHash"
    answer = post(web, source, provided.provide(Sent(again, DATA + b"!")))
    assert {"XDSNonIdenticalHash"} <= set(wire.errors(answer))
    assert retrieved(web, reader, first.unique_id) == [DATA]
    assert counts(hub)[:3] == (1, 1, 1)


def test_all_that_is_wrong_is_said_at_once(web: Web, source: str, cx: str) -> None:
    one = described(cx, "one", sha1="0" * 40, language_code="")
    two = described(cx, "two", creation_time="")
    codes = wire.errors(post(web, source, provided.provide(Sent(one), Sent(two, None))))
    assert {"XDSRepositoryMetadataError", "XDSMissingDocument"} <= set(codes)
    assert codes.count("XDSRegistryMetadataError") >= 2


def test_an_unknown_patient_is_refused(hub: Hub, web: Web, source: str, cx: str) -> None:
    answer = post(web, source, provided.provide(Sent(described("G-9^^^&1.2.3&ISO"))))
    assert "XDSUnknownPatientId" in wire.errors(answer)
    assert counts(hub)[:3] == (0, 0, 0)


def test_who_may_not_submit_learns_nothing(hub: Hub, web: Web, reader: str, cx: str) -> None:
    answer = post(web, reader, provided.provide(Sent(described(cx))))
    assert set(wire.errors(answer)) == {"XDSUnknownPatientId"}
    assert hub.registry.refused.count() == 0


def test_a_replacement_takes_the_former_ones_place(
    hub: Hub, web: Web, source: str, cx: str
) -> None:
    former, newer = described(cx, "former"), described(cx, "newer")
    post(web, source, provided.provide(Sent(former)))
    (kept,) = registered(hub, former.unique_id)
    what = submission(newer)
    what = replace(
        what,
        associations=(*what.associations, relation(AssociationType.REPLACES, newer, kept)),
    )
    answer = post(web, source, provided.provide(Sent(newer), what=what))
    assert wire.status(answer) == "Success"
    assert [one.status.rpartition(":")[2] for one in registered(hub, former.unique_id)] == [
        "Deprecated"
    ]


def test_the_change_and_its_audit_record_are_one(hub: Hub, web: Web, source: str, cx: str) -> None:
    entry = described(cx)
    what = submission(entry)
    post(web, source, provided.provide(Sent(entry), what=what))
    (record,) = hub.audit.search(AuditQuery()).records
    assert (record.action, record.outcome) == ("submit_documents", "success")
    assert (record.resource_kind, record.resource_id) == (
        "submission_set",
        what.submission_set.unique_id,
    )


def test_a_refusal_is_audited_with_its_codes(hub: Hub, web: Web, source: str, cx: str) -> None:
    post(web, source, provided.provide(Sent(described(cx), None)))
    (record,) = hub.audit.search(AuditQuery()).records
    assert (record.action, record.outcome) == ("submit_documents", "failure")
    assert "XDSMissingDocument" in record.detail


def test_an_audit_trail_that_fails_takes_the_submission_back(
    hub: Hub, web: Web, source: str, cx: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> int:
        raise RuntimeError("the trail is broken")

    monkeypatch.setattr(hub.audit, "record_all", fail)
    response = web.post(
        web.repository, provided.provide(Sent(described(cx))), source, provided.CONTENT_TYPE
    )
    assert (response.status_code, "Traceback" in response.text) == (500, False)
    assert counts(hub)[:3] == (0, 0, 0)
