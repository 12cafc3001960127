"""A node that is asked to end lets associations finish, for as long as the setting says."""

import threading
from pathlib import Path

from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import ASSOCIATE_AC, RELEASE_RP, RELEASE_RQ, RawPeer, p_data, pdu
from tests.dicom_router.wire import store_rq as store_command
from tests.support.waiting import eventually

STUDY = "1.2.826.0.1.3680043.10.1603.69.3"


def store(peer: RawPeer, number: int) -> int:
    made = ct(number, STUDY)
    peer.send(store_command(str(made.SOPInstanceUID)))
    peer.send(p_data(3, 2, encoded(made)))
    return peer.status()


def stopping(hub: Hub) -> threading.Thread:
    thread = threading.Thread(target=hub.node.stop)
    thread.start()
    return thread


def is_closed(hub: Hub) -> bool:
    try:
        with RawPeer(hub.port):
            return False
    except OSError:
        return True


def test_an_association_goes_on_while_no_new_one_is_taken(tmp_path: Path) -> None:
    with running_node(tmp_path, drain_s=120.0, idle_timeout_s=60.0) as hub:
        with RawPeer(hub.port, timeout_s=60) as peer:
            assert peer.associate()[0] == ASSOCIATE_AC
            assert store(peer, 1) == 0
            ending = stopping(hub)
            eventually(lambda: is_closed(hub))
            assert [store(peer, number) for number in (2, 3)] == [0, 0]
            peer.send(pdu(RELEASE_RQ, bytes(4)))
            assert peer.pdu()[0] == RELEASE_RP
        ending.join(60)
        assert not ending.is_alive(), "nobody is waited for any more"
        study = hub.parts.index.study(STUDY)
        assert study
        assert study.instance_count == 3, "what was acknowledged is settled"


def test_who_has_not_ended_by_then_is_ended(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, drain_s=0.2, idle_timeout_s=60.0) as hub,
        RawPeer(hub.port, timeout_s=60) as peer,
    ):
        assert peer.associate()[0] == ASSOCIATE_AC
        stopping(hub).join(60)
        assert peer.pdu()[0] != RELEASE_RP, "an A-ABORT, or the end of the connection"


def test_a_connection_without_an_association_is_not_waited_for(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, drain_s=300.0, association_timeout_s=300.0) as hub,
        RawPeer(hub.port, timeout_s=60),
    ):
        ending = stopping(hub)
        ending.join(60)
        assert not ending.is_alive()
