"""What is over a quota is refused, told which one it was; what an emergency needs is taken."""

from dataclasses import replace

from dicom_router.statuses import QUOTA_USED_UP, TOTAL_QUOTA_USED_UP
from image_archive.holdings import Holdings
from tests.dicom_router.conftest import TOWNSHIP, Hub
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import ASSOCIATE_AC, RawPeer, p_data, store_rq
from tests.support.waiting import eventually


def send(hub: Hub, number: int, **urgent: str) -> int:
    uid = f"{ct().SOPInstanceUID}.{number}"
    with RawPeer(hub.port) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC
        peer.send(store_rq(uid))
        peer.send(p_data(3, 0, encoded(ct(SOPInstanceUID=uid, **urgent))))
        peer.send(p_data(3, 2, b""))
        return peer.status()


def test_instances_over_the_daily_quota_of_instances_are_refused_but_for_emergencies(
    hub: Hub,
) -> None:
    hub.parts.directory.add(replace(TOWNSHIP, max_instances_per_day=1), replace=True)
    assert send(hub, 1) == 0
    assert send(hub, 2) == QUOTA_USED_UP.status == 0xA700
    assert send(hub, 3, StudyPriorityID="HIGH") == 0
    assert hub.parts.usage.today(TOWNSHIP.site_id).refused == 1
    assert hub.parts.archive.settled()
    assert hub.parts.index.instance(f"{ct().SOPInstanceUID}.2") is None
    assert hub.parts.index.instance(f"{ct().SOPInstanceUID}.3") is not None


def test_a_quota_in_all_refuses_once_what_is_held_is_counted(hub: Hub) -> None:
    assert send(hub, 1) == 0
    assert hub.parts.archive.settled()
    holdings = Holdings(hub.parts.database)
    holdings.count()
    holdings.count()
    eventually(lambda: hub.parts.usage.held(TOWNSHIP.site_id).instances == 1)
    hub.parts.directory.add(replace(TOWNSHIP, max_instances=1), replace=True)
    assert send(hub, 2) == TOTAL_QUOTA_USED_UP.status == 0xA700
    hub.parts.directory.add(replace(TOWNSHIP, max_instances=2), replace=True)
    assert send(hub, 2) == 0


def test_the_comment_says_which_quota_it_was() -> None:
    for answer, words in ((QUOTA_USED_UP, "today"), (TOTAL_QUOTA_USED_UP, "in all")):
        assert answer.status == 0xA700
        assert words in answer.comment
        assert len(answer.comment) <= 64
