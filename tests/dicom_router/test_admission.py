"""Who is let in: calling AE title and address make a site, or the association is rejected."""

import logging
from pathlib import Path

import pytest

from image_archive.query import IndexQuery, Level
from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import ASSOCIATE_RJ, RawPeer, RequestParts, p_data, store_rq
from tests.support.waiting import eventually

NOT_RECOGNISED = b"\0\x01\x01\x03"  # permanent, service user, calling AE title not recognised


@pytest.mark.parametrize(
    "title",
    [
        b"STRANGER",
        b"ct1",
        b"$(id)",
        b"CT1\r\nOK",
        b"CT1\0X",
        b"\\",
        b"",
        b"' OR 1=1 --",
        b"\xd6\xd0",
    ],
)
def test_an_unknown_calling_ae_title_is_rejected(attacked: Hub, title: bytes) -> None:
    with RawPeer(attacked.port) as peer:
        assert peer.associate(RequestParts(calling=title)) == (ASSOCIATE_RJ, NOT_RECOGNISED)
        assert peer.pdu()[0] == 0
    record = attacked.await_audit(lambda found: found.outcome == "refused")
    assert record.action == "associate"
    assert record.address == "127.0.0.1"


def test_the_right_title_from_the_wrong_address_is_rejected_and_audited(attacked: Hub) -> None:
    with RawPeer(attacked.port) as peer:
        assert peer.associate(RequestParts(calling=b"FAR")) == (ASSOCIATE_RJ, NOT_RECOGNISED)
    record = attacked.await_audit(lambda found: found.outcome == "refused")
    assert (record.subject_id, record.address) == ("FAR", "127.0.0.1")
    assert "address" in record.detail


def test_a_hostile_title_cannot_forge_a_log_line(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), RawPeer(hub.port) as peer:
        peer.associate(RequestParts(calling=b"A\r\nadmitted"))
        peer.pdu()
        hub.await_audit(lambda found: found.outcome == "refused")
    titles = [getattr(record, "calling", "") for record in caplog.records]
    assert any("admitted" in title for title in titles)
    assert all(title.isprintable() for title in titles)


def test_a_flood_of_refusals_does_not_fill_the_audit_trail(hub: Hub) -> None:
    for _ in range(30):
        with RawPeer(hub.port) as peer:
            assert peer.associate(RequestParts(calling=b"STRANGER"))[0] == ASSOCIATE_RJ
    hub.await_audit(lambda found: found.outcome == "refused")
    assert len(hub.audit()) < 5


def test_an_unknown_title_is_filed_under_the_trial_site_when_allowed(tmp_path: Path) -> None:
    with running_node(tmp_path, accept_unknown_ae=True) as hub:
        with RawPeer(hub.port) as peer:
            assert peer.associate(RequestParts(calling=b"STRANGER"))[0] == 2
            peer.send(store_rq(ct().SOPInstanceUID) + p_data(3, 2, encoded(ct())))
            assert peer.status() == 0
        found = hub.parts.index.find(IndexQuery(Level.STUDY)).matches[0].study
        assert found is not None
        assert (found.site_id, found.patient.issuer.namespace) == ("trial", "TRIAL")
        with RawPeer(hub.port) as peer:  # a site's own title is no stranger's
            assert peer.associate(RequestParts(calling=b"FAR"))[0] == ASSOCIATE_RJ


def test_a_site_added_while_running_is_admitted(hub: Hub) -> None:
    from dataclasses import replace

    from hub_kernel.identifiers import AssigningAuthority
    from tests.dicom_router.conftest import TOWNSHIP

    with RawPeer(hub.port) as peer:
        assert peer.associate(RequestParts(calling=b"NEWCT"))[0] == ASSOCIATE_RJ
    authority = AssigningAuthority("NEW", "1.2.3.9")
    hub.parts.directory.add(
        replace(TOWNSHIP, site_id="new", ae_titles=("NEWCT",), assigning_authority=authority)
    )
    with RawPeer(hub.port) as peer:
        assert peer.associate(RequestParts(calling=b"NEWCT"))[0] == 2


def test_limits_count_associations_and_slots_are_given_back(tmp_path: Path) -> None:
    with running_node(tmp_path, max_associations=2) as hub:
        with RawPeer(hub.port) as one, RawPeer(hub.port) as two, RawPeer(hub.port) as three:
            assert one.associate()[0] == two.associate()[0] == 2
            assert three.associate() == (ASSOCIATE_RJ, b"\0\x02\x03\x02")  # transient, local limit
        eventually(lambda: _is_let_in(hub))


def test_limits_count_by_address_too(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, max_connections_per_address=1) as hub,
        RawPeer(hub.port) as one,
    ):
        assert one.associate()[0] == 2
        assert not _is_let_in(hub)


def _is_let_in(hub: Hub) -> bool:
    with RawPeer(hub.port) as peer:
        return peer.associate()[0] == 2
