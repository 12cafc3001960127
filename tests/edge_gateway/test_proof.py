"""A gateway gives its copy up one day: only for bytes that the hub has read again and found whole.

And what an emergency has of being one, before its bytes are sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset

from edge_gateway import protocol
from edge_gateway.errors import HubNotReadyError
from edge_gateway.model import DifferenceKind, HeldInstance, Offer
from edge_gateway.report import MOST_PROVED
from hub_kernel.errors import NotFoundError
from hub_kernel.settings import EdgeSettings, HubSettings, RouterSettings, Settings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.edge_running import Edge, build_edge
from image_archive.model import Condition, InstanceOrigin
from image_archive.service import ArchiveService
from tests.dicom_router.instances import ct, part10
from tests.edge_gateway.region import Line, Region, offer_of, site
from tests.support.waiting import eventually


def gone(file: Path) -> None:
    file.unlink()


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def harm(region: Region, offer: Offer, how: Callable[[Path], None]) -> None:
    """Harm the hub's bytes of an instance without its noticing."""
    region.hub.archive.settled()
    known = region.hub.index.instance(offer.sop_instance_uid)
    assert known is not None
    how(Path(region.hub.base.backend.originals.path_of(known.storage_key)))
    assert known.condition is Condition.INTACT


def held(offer: Offer) -> HeldInstance:
    uids = (offer.sop_instance_uid, offer.study_instance_uid)
    return HeldInstance(*uids, offer.dataset_sha256, offer.dataset_bytes, datetime.now(UTC))


@pytest.mark.parametrize("how", [gone, flipped])
def test_what_the_hub_has_lost_unnoticed_is_taken_again_and_not_called_stored(
    region: Region, how: Callable[[Path], None]
) -> None:
    offer, opened = offer_of(ct())
    region.client().upload(offer, opened, Line())
    harm(region, offer, how)
    receipt = region.client().upload(offer, opened, Line())
    assert receipt.outcome == "stored"
    with region.hub.archive.open_dataset(offer.sop_instance_uid) as stored:
        assert stored.read() == opened().read()
    assert region.client().upload(offer, opened, Line()).outcome == "already_stored"


def test_control_by_the_index_alone_the_last_copy_would_be_given_up(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, opened = offer_of(ct())
    region.client().upload(offer, opened, Line())
    harm(region, offer, gone)
    monkeypatch.setattr(ArchiveService, "prove", lambda _archive, _uid: True)
    assert region.client().upload(offer, opened, Line()).outcome == "already_stored"
    with pytest.raises(NotFoundError):
        region.hub.archive.open_dataset(offer.sop_instance_uid)


def test_the_hub_proves_what_it_reads_whole_and_names_the_rest(region: Region) -> None:
    offers = []
    for number in range(1, 4):
        offer, opened = offer_of(ct(number))
        region.client().upload(offer, opened, Line())
        offers.append(offer)
    whole, damaged, missing = offers
    harm(region, damaged, flipped)
    harm(region, missing, gone)
    other = replace(whole, dataset_sha256="0" * 64)
    unknown, _ = offer_of(ct(9))

    proof = region.client().prove([held(one) for one in (whole, damaged, missing, unknown)])
    assert proof.proved == {whole.sop_instance_uid}
    found = {one.sop_instance_uid: one.kind for one in proof.differences if one.sop_instance_uid}
    assert found == {
        damaged.sop_instance_uid: DifferenceKind.DAMAGED_AT_HUB,
        missing.sop_instance_uid: DifferenceKind.DAMAGED_AT_HUB,
        unknown.sop_instance_uid: DifferenceKind.MISSING_AT_HUB,
    }
    assert region.client().prove([held(other)]).proved == frozenset()
    assert region.client().compare([held(whole)]) == []


def test_a_hub_reads_no_more_at_once_than_it_says(region: Region) -> None:
    offer, _ = offer_of(ct())
    with pytest.raises(HubNotReadyError, match="bad-request"):
        region.client().prove([held(offer)] * (MOST_PROVED + 1))


def test_a_hub_of_an_older_version_proves_nothing(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, opened = offer_of(ct())
    region.client().upload(offer, opened, Line())
    client = region.client()
    asked = client.compare
    monkeypatch.setattr(client, "_json", lambda *_: {"differences": []})
    assert asked([held(offer)]) == []
    with pytest.raises(HubNotReadyError, match="older"):
        client.prove([held(offer)])


@pytest.fixture
def gateway(region: Region, tmp_path: Path) -> Iterator[Edge]:
    """The edge of the region's first site; it sends when it is told to, and has no room."""
    token = tmp_path / "token"
    token.write_text(region.token("sijing"))
    edge = build_edge(
        Settings(
            hub=HubSettings(data_dir=tmp_path / "edge"),
            router=RouterSettings(port=0),
            edge=EdgeSettings(
                site_id="sijing",
                hub_url=region.url,
                token_file=token,
                keep_days=0,
                spool_free_bytes=1 << 60,
            ),
        )
    )
    edge.open()
    edge.access.sites.add(site("sijing", 0))
    yield edge
    edge.close()


def receive(edge: Edge, instance: Dataset) -> str:
    """Take an instance in, as from a modality of the site."""
    issuer = edge.access.sites.get("sijing").assigning_authority
    origin = InstanceOrigin("sijing", issuer, "CT_SIJING", "EDGE", "")
    edge.archive.store_file(part10(instance), origin)
    deliver_all_due(edge.database, edge.base.outbox)
    return str(instance.SOPInstanceUID)


def hand_over(edge: Edge) -> None:
    edge.forwarding.service.start()
    try:
        eventually(lambda: waiting(edge) == 0)
    finally:
        edge.forwarding.service.stop()


def waiting(edge: Edge) -> int:
    return edge.span().reporter.figures().waiting


def test_a_gateway_keeps_what_its_hub_has_lost_and_hands_it_over_again(
    region: Region, gateway: Edge
) -> None:
    uid = receive(gateway, ct())
    hand_over(gateway)
    harm(region, offer_of(ct())[0], flipped)
    assert gateway.span().spool.make_room() == 0
    assert gateway.archive.prove(uid)
    assert waiting(gateway) == 1
    hand_over(gateway)
    assert gateway.span().spool.make_room() == 1
    assert not gateway.archive.prove(uid)
    assert region.hub.archive.prove(uid)


def test_a_gateway_marks_its_emergencies_and_the_hub_takes_them_over_the_quota(
    region: Region, gateway: Edge
) -> None:
    use_up_quota(region)
    uid = receive(gateway, urgent(2))
    hand_over(gateway)
    assert region.hub.archive.prove(uid)


def use_up_quota(region: Region) -> None:
    sijing = region.hub.access.sites.get("sijing")
    region.hub.access.sites.add(replace(sijing, max_bytes_per_day=1), replace=True)
    first, opened = offer_of(ct(1))
    region.client().upload(first, opened, Line())


def urgent(number: int) -> Dataset:
    return ct(number, RequestedProcedurePriority="STAT")


def test_an_emergency_goes_over_the_quota_when_offer_and_dataset_say_so(region: Region) -> None:
    use_up_quota(region)
    emergency, emergency_bytes = offer_of(urgent(2))
    for offer, data in (
        (emergency, emergency_bytes),  # it does not say so
        (replace(offer_of(ct(3))[0], emergency=True), offer_of(ct(3))[1]),  # it says so and is none
    ):
        with pytest.raises(HubNotReadyError, match="quota-exceeded"):
            region.client().upload(offer, data, Line())
        assert region.hub.index.instance(offer.sop_instance_uid) is None
    marked = replace(emergency, emergency=True)
    assert region.client().upload(marked, emergency_bytes, Line()).outcome == "stored"


def test_the_mark_is_a_word_that_older_ends_do_not_need() -> None:
    offer, _ = offer_of(ct())
    told = protocol.write_metadata(offer)
    length = str(offer.dataset_bytes)
    assert "emergency" not in told
    assert protocol.read_offer("sijing", length, told) == offer
    marked = replace(offer, emergency=True)
    assert protocol.write_metadata(marked) == f"{told},emergency"
    assert protocol.read_offer("sijing", length, f"{told},emergency") == marked
    assert protocol.upload_id(marked) == protocol.upload_id(offer)
