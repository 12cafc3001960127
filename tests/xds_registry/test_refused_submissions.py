"""The desk of refused submissions: kept with their documents, corrected, sent again, or let go."""

import pytest
from lxml import etree

from access_control.audit import AuditQuery
from access_control.model import Role
from hub_kernel.errors import InvalidValueError
from tests.xds_registry import provided, wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.provided import Sent, described
from tests.xds_registry.samples import REPOSITORY_UID, submission
from xds_registry.refused_submissions import (
    DeskLimits,
    RefusedSubmissions,
    SettledRefusalError,
    UnknownRefusalError,
)
from xds_registry.tables_refused import DISMISSED, OPEN, REPLAYED

DATA = b"a report" * 1000
UNKNOWN = "G-9^^^&1.2.3&ISO"


@pytest.fixture
def cx(hub: Hub) -> str:
    return hub.global_cx(hub.know())


@pytest.fixture
def source(hub: Hub) -> str:
    return hub.token("source", None, Role.DOCUMENT_SOURCE)


@pytest.fixture
def desk(hub: Hub) -> RefusedSubmissions:
    return hub.registry.refused


def send(web: Web, token: str, *sent: Sent) -> etree._Element:
    data = provided.provide(*sent)
    return wire.payload(web.post(web.repository, data, token, provided.CONTENT_TYPE))


@pytest.fixture
def refused(web: Web, desk: RefusedSubmissions, source: str, cx: str) -> int:
    """One submission for a patient nobody knows, with one document."""
    assert wire.status(send(web, source, Sent(described(UNKNOWN), DATA))) == "Failure"
    (one,) = desk.page()
    return one.refusal_id


def keys(hub: Hub) -> list[str]:
    return list(hub.backend.keys("documents"))


def later(hub: Hub, days: int) -> None:
    hub.clock.advance(seconds=days * 86_400)


def test_what_was_refused_is_kept_with_its_reasons_and_documents(
    desk: RefusedSubmissions, refused: int
) -> None:
    kept = desk.get(refused)
    assert (kept.transaction, kept.sender, kept.times) == (
        "ProvideAndRegisterDocumentSet-b",
        "source",
        1,
    )
    assert kept.address == "127.0.0.1"
    assert "XDSUnknownPatientId" in kept.codes
    reason = kept.reasons[0]
    assert reason.came == UNKNOWN
    assert "patient" in reason.en
    assert "患者" in reason.zh
    (document,) = kept.documents
    assert (document.size, document.sha1) == (len(DATA), provided.sha1(DATA))
    assert UNKNOWN.replace("&", "&amp;") in kept.xml


def test_corrected_it_is_registered_as_if_its_sender_had_sent_it_so(
    hub: Hub, web: Web, desk: RefusedSubmissions, refused: int, cx: str
) -> None:
    xml = desk.get(refused).xml.replace(UNKNOWN.replace("&", "&amp;"), cx.replace("&", "&amp;"))
    assert desk.replay(refused, xml, "li.registrar").accepted
    wanted = wire.retrieve((REPOSITORY_UID, described(cx).unique_id))
    response = web.post(web.repository, wanted, hub.token("reader", None))
    assert list(wire.unpack(response)[1].values()) == [DATA]
    settled = desk.get(refused)
    assert (settled.status, settled.decided_by, settled.documents) == (
        REPLAYED,
        "li.registrar",
        (),
    )
    records = hub.audit.search(AuditQuery()).records
    record = next(one for one in records if one.action == "submit_documents")
    assert (record.outcome, record.display) == ("success", "source")
    assert "replayed by li.registrar" in record.detail
    later(hub, 1)
    assert hub.registry.intake.sweep() == 0
    assert len(keys(hub)) == 1


def test_refused_again_it_says_why_and_stays(
    hub: Hub, desk: RefusedSubmissions, refused: int
) -> None:
    outcome = desk.replay(refused, desk.get(refused).xml, "li")
    assert not outcome.accepted
    assert outcome.reasons[0].code == "XDSUnknownPatientId"
    assert (desk.get(refused).status, desk.count()) == (OPEN, 1)


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "no xml",
        "<other/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "<a>" * 200,
    ],
)
def test_xml_that_cannot_be_read_is_refused_in_words(
    desk: RefusedSubmissions, refused: int, xml: str
) -> None:
    outcome = desk.replay(refused, xml, "li")
    assert not outcome.accepted
    assert outcome.reasons[0].en
    assert outcome.reasons[0].zh
    assert desk.get(refused).status == OPEN


def test_corrected_xml_reaches_no_other_bytes(desk: RefusedSubmissions, refused: int) -> None:
    xml = desk.get(refused).xml
    for href in ("file:///etc/passwd", "cid:elsewhere@test", "http://127.0.0.1:9/"):
        outcome = desk.replay(refused, xml.replace("cid:part0@test", href), "li")
        assert not outcome.accepted


def test_what_was_decided_is_not_decided_twice(
    desk: RefusedSubmissions, refused: int, cx: str
) -> None:
    xml = desk.get(refused).xml.replace(UNKNOWN.replace("&", "&amp;"), cx.replace("&", "&amp;"))
    desk.replay(refused, xml, "li")
    with pytest.raises(SettledRefusalError):
        desk.replay(refused, xml, "wang")
    with pytest.raises(SettledRefusalError):
        desk.dismiss(refused, "wang", "no")


def test_set_aside_it_lets_its_documents_go(
    hub: Hub, desk: RefusedSubmissions, refused: int
) -> None:
    with pytest.raises(InvalidValueError):
        desk.dismiss(refused, "li", " ")
    desk.dismiss(refused, "li", "sent by mistake")
    assert desk.get(refused).status == DISMISSED
    assert hub.registry.intake.sweep() == 1
    assert keys(hub) == []


def test_the_same_again_only_counts_up(
    hub: Hub, web: Web, desk: RefusedSubmissions, source: str, refused: int
) -> None:
    send(web, source, Sent(described(UNKNOWN), DATA))
    assert (desk.count(), desk.get(refused).times) == (1, 2)
    later(hub, 1)
    hub.registry.intake.sweep()
    assert len(keys(hub)) == 1


def test_nothing_waits_for_ever(hub: Hub, desk: RefusedSubmissions, refused: int) -> None:
    assert desk.purge() == 0
    later(hub, 31)
    assert desk.purge() == 1
    with pytest.raises(UnknownRefusalError):
        desk.get(refused)
    assert hub.registry.intake.sweep() == 1
    assert keys(hub) == []


@pytest.mark.parametrize("limits", [DeskLimits(submissions=1), DeskLimits(total_bytes=100)])
def test_a_flood_is_answered_and_not_kept(
    hub: Hub, web: Web, source: str, cx: str, limits: DeskLimits
) -> None:
    desk = hub.registry.refused
    desk._limits = limits
    for number in range(3):
        answer = send(web, source, Sent(described(UNKNOWN, f"document-{number}"), DATA))
        assert "XDSUnknownPatientId" in wire.errors(answer)
    assert desk.count() == min(limits.submissions if limits.total_bytes > 100 else 0, 1)
    later(hub, 1)
    hub.registry.intake.sweep()
    assert len(keys(hub)) == desk.count()


def test_metadata_alone_is_kept_and_replayed_too(
    hub: Hub, web: Web, desk: RefusedSubmissions, source: str, cx: str
) -> None:
    entry = described(
        UNKNOWN, sha1="0" * 40, size=1, repository_unique_id="1.2.3", mime_type="text/plain"
    )
    action = "urn:ihe:iti:2007:RegisterDocumentSet-b"
    data = wire.envelope(provided.objects(submission(entry)), action)
    assert wire.status(wire.payload(web.post(web.registry, data, source))) == "Failure"
    (kept,) = desk.page()
    assert (kept.transaction, desk.get(kept.refusal_id).documents) == ("RegisterDocumentSet-b", ())
    xml = desk.get(kept.refusal_id).xml
    xml = xml.replace(UNKNOWN.replace("&", "&amp;"), cx.replace("&", "&amp;"))
    outcome = desk.replay(kept.refusal_id, xml, "li")
    assert outcome.accepted, outcome.reasons
