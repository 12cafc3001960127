"""C-ECHO and C-STORE with pynetdicom and DCMTK as peers, on both lanes."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from image_archive.query import IndexQuery, Level
from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import STUDY, ct, encoded, part10
from tests.dicom_router.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    P_DATA,
    STUDY_ROOT_FIND,
    VERIFICATION,
    RawPeer,
    RequestParts,
    context_item,
    echo_rq,
    p_data,
    pdu,
    pdv,
    store_rq,
)
from tests.support.tools import require_tool

FAST = {CTImageStorage: [ExplicitVRLittleEndian], VERIFICATION: [ImplicitVRLittleEndian]}
QUERYING = FAST | {STUDY_ROOT_FIND: [ImplicitVRLittleEndian]}
LANES = pytest.mark.parametrize("contexts", [FAST, QUERYING], ids=["fast lane", "query lane"])


def _instances(hub: Hub) -> int:
    found = hub.parts.index.find(IndexQuery(Level.INSTANCE))
    return len(found.matches)


def _raw_parts(*, querying: bool) -> RequestParts:
    parts = RequestParts()
    if querying:
        parts.contexts.append(context_item(5, STUDY_ROOT_FIND, [IMPLICIT]))
    return parts


@LANES
def test_an_echo_is_answered(hub: Hub, contexts: dict[str, list[str]]) -> None:
    with hub.association(contexts) as association:
        for _ in range(3):
            assert association.send_c_echo().Status == 0


@LANES
def test_a_stored_instance_is_findable_and_its_dataset_unchanged(
    hub: Hub, contexts: dict[str, list[str]]
) -> None:
    instance = ct()
    with hub.association(contexts) as association:
        assert association.send_c_store(instance).Status == 0
    record = hub.parts.index.instance(instance.SOPInstanceUID)
    assert record is not None
    assert record.dataset_sha256 == hashlib.sha256(encoded(instance)).hexdigest()
    with hub.parts.archive.open_dataset(instance.SOPInstanceUID) as stored:
        assert stored.read() == encoded(instance)
    study = hub.parts.index.study(STUDY)
    assert study is not None
    assert (study.site_id, study.patient.issuer.namespace) == ("chengguan", "CHENGGUAN")


@LANES
def test_many_instances_follow_each_other_on_one_association(
    hub: Hub, contexts: dict[str, list[str]]
) -> None:
    with hub.association(contexts) as association:
        for number in range(1, 21):
            assert association.send_c_store(ct(number)).Status == 0
    assert _instances(hub) == 20


@LANES
def test_the_same_instance_again_is_success_and_stored_once(
    hub: Hub, contexts: dict[str, list[str]]
) -> None:
    with hub.association(contexts) as association:
        assert [association.send_c_store(ct()).Status for _ in range(3)] == [0, 0, 0]
    assert _instances(hub) == 1
    assert len(list(hub.parts.archive.backend.keys("instances/"))) == 1


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEG2000Lossless,
        "1.2.840.10008.1.2.4.202",
        "1.2.840.10008.1.2.4.112",
    ],
)
def test_the_transfer_syntax_is_kept_as_sent(hub: Hub, syntax: str) -> None:
    instance = ct()
    instance.file_meta.TransferSyntaxUID = syntax
    if "1.2.840.10008.1.2.4" in syntax:
        instance.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        instance["PixelData"].is_undefined_length = True
        instance["PixelData"].VR = "OB"
    with hub.association({CT: [syntax]}) as association:
        assert association.send_c_store(instance).Status == 0
    record = hub.parts.index.instance(instance.SOPInstanceUID)
    assert record is not None
    assert record.transfer_syntax_uid == syntax


@pytest.mark.parametrize("querying", [False, True], ids=["fast lane", "query lane"])
@pytest.mark.parametrize("size", [1, 7, 400, 16000])
def test_fragments_of_any_size_make_the_same_dataset(
    hub: Hub, size: int, *, querying: bool
) -> None:
    data = encoded(ct())
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    with RawPeer(hub.port) as peer:
        assert peer.associate(_raw_parts(querying=querying))[0] == 2
        peer.send(store_rq(ct().SOPInstanceUID))
        peer.send(b"".join(p_data(3, 0, piece) for piece in pieces) + p_data(3, 2, b""))
        assert peer.status() == 0
    with hub.parts.archive.open_dataset(ct().SOPInstanceUID) as stored:
        assert stored.read() == data


def test_command_and_dataset_may_share_one_pdu(hub: Hub) -> None:
    command = store_rq(ct().SOPInstanceUID)[12:]
    data = encoded(ct())
    both = pdu(P_DATA, pdv(3, 1, command[:10]) + pdv(3, 3, command[10:]) + pdv(3, 2, data))
    with RawPeer(hub.port) as peer:
        assert peer.associate()[0] == 2
        peer.send(both + echo_rq(message_id=2))
        assert peer.status() == 0
        assert peer.status() == 0


def test_release_is_answered_and_the_association_audited(hub: Hub) -> None:
    with hub.association(FAST) as association:
        association.send_c_store(ct())
        association.send_c_store(ct())
    record = hub.await_audit(lambda found: found.action == "store")
    assert record.outcome == "success"
    assert (record.subject_id, record.resource_id) == ("chengguan", "CT1")
    assert "1 stored" in record.detail
    assert "1 already stored" in record.detail
    assert "Wang" not in record.line()


def test_an_aborted_association_is_audited_as_a_failure(hub: Hub) -> None:
    with RawPeer(hub.port) as peer:
        peer.associate()
        peer.send(pdu(7, bytes(4)))
        assert peer.pdu()[0] == 0
    assert hub.await_audit(lambda found: "aborted" in found.detail).outcome == "failure"


def test_128_contexts_and_every_pdu_size_are_served(hub: Hub) -> None:
    contexts = [context_item(n, CT, [EXPLICIT]) for n in range(1, 256, 2)]
    for length in (0, 1, 4096, 2**32 - 1):
        with RawPeer(hub.port) as peer:
            assert peer.associate(RequestParts(contexts=contexts, max_length=length))[0] == 2
            peer.send(store_rq(ct().SOPInstanceUID, context_id=255))
            peer.send(p_data(255, 2, encoded(ct())))
            assert peer.status() == 0


def test_a_private_sop_class_is_stored_when_configured(tmp_path: Path) -> None:
    private = "1.2.840.113619.4.27"
    with (
        running_node(tmp_path, private_sop_classes=(private,)) as hub,
        hub.association({private: [EXPLICIT]}) as association,
    ):
        assert association.send_c_store(ct(SOPClassUID=private)).Status == 0


def test_stop_lets_the_message_under_way_be_answered(hub: Hub) -> None:
    from threading import Thread

    with RawPeer(hub.port) as peer, RawPeer(hub.port) as idle:
        assert peer.associate()[0] == idle.associate()[0] == 2
        data = encoded(ct())
        peer.send(store_rq(ct().SOPInstanceUID) + p_data(3, 0, data[:100]))
        stopping = Thread(target=hub.node.stop)
        stopping.start()
        assert idle.pdu()[0] == 7  # between two messages: told at once
        peer.send(p_data(3, 2, data[100:]))
        assert peer.status() == 0
        assert peer.pdu()[0] == 7
        stopping.join()


@pytest.mark.parametrize("querying", [False, True], ids=["fast lane", "query lane"])
def test_a_large_instance_does_not_cost_memory(hub: Hub, *, querying: bool) -> None:
    import psutil

    process = psutil.Process()
    chunk = p_data(3, 0, bytes(16000))
    head = encoded(ct(PixelData=None))
    pixels = 96 * 1024 * 1024 // 16000 * 16000
    with RawPeer(hub.port) as peer:
        assert peer.associate(_raw_parts(querying=querying))[0] == 2
        before = process.memory_info().rss
        peer.send(store_rq(ct().SOPInstanceUID))
        peer.send(p_data(3, 0, head + b"\xe0\x7f\x10\x00OW\0\0" + pixels.to_bytes(4, "little")))
        for _ in range(pixels // 16000):
            peer.send(chunk)
        peer.send(p_data(3, 2, b""))
        assert peer.status() == 0
    assert process.memory_info().rss - before < 48 * 1024 * 1024


def _dcmtk(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def test_dcmtk_echoes_stores_and_finds(hub: Hub, tmp_path: Path) -> None:
    for tool in ("echoscu", "storescu", "dcmsend", "findscu"):
        require_tool(tool)
    files = []
    for number in range(1, 6):
        files.append(str(tmp_path / f"{number}.dcm"))
        Path(files[-1]).write_bytes(part10(ct(number)))
    peer = ("127.0.0.1", str(hub.port))
    assert _dcmtk("echoscu", "-aet", "CT1", *peer).returncode == 0
    assert _dcmtk("storescu", "-aet", "CT1", *peer, *files[:3]).returncode == 0
    assert _dcmtk("dcmsend", "-aet", "CT1", *peer, *files[3:]).returncode == 0
    assert _instances(hub) == 5
    asked = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "NumberOfStudyRelatedInstances"]
    found = _dcmtk("findscu", "-aet", "CT1", *asked, *peer)
    assert "NumberOfStudyRelatedInstances" in found.stderr + found.stdout
    assert "[5 ]" in found.stderr + found.stdout or "[5]" in found.stderr + found.stdout
