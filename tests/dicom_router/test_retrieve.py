"""C-MOVE: what is sent to whom, how it is counted, and what is answered when it fails."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelMove as PatientRootMove,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as StudyRootGet,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as StudyRootMove,
)

from access_control.consent import EVERYONE, ConsentKind
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import PersonName
from hub_kernel.settings import IdentitySettings
from patient_index.service import PatientIndex
from tests.dicom_router.conftest import TOWNSHIP, Hub, running_node
from tests.dicom_router.instances import STUDY, ct, encoded
from tests.dicom_router.peers import StoringPeer, storing_peer
from tests.dicom_router.retrieving import (
    GET_MESSAGE,
    MOVE_CANCEL,
    MR,
    TAKES_CT,
    Responses,
    counts,
    damage,
    implicit_element,
    keys,
    store,
)
from tests.dicom_router.wire import (
    EXPLICIT,
    IMPLICIT,
    RawPeer,
    RequestParts,
    command_set,
    context_item,
    echo_rq,
    elements_of,
    p_data,
)


@dataclass
class Mover:
    """A hub, a peer it may move to, and what C-MOVE answers."""

    hub: Hub
    peer: StoringPeer

    def move(
        self, identifier: Dataset, to: str = "PEER", model: str = StudyRootMove, by: str = "WS1"
    ) -> Responses:
        with self.hub.association({model: [IMPLICIT]}, by) as association:
            return list(association.send_c_move(identifier, to, model))


@contextmanager
def moving(
    folder: Path,
    contexts: dict[str, list[str]] | None = None,
    answer: Callable[[evt.Event], int | Dataset] = lambda _: 0,
    **settings: object,
) -> Iterator[Mover]:
    with storing_peer(contexts or TAKES_CT, answer) as peer:
        row = {"name": "peer", "ae_title": "PEER", "host": "127.0.0.1", "port": peer.port}
        with running_node(folder, destinations=(row,), **settings) as hub:
            yield Mover(hub, peer)


@pytest.fixture
def mover(tmp_path: Path) -> Iterator[Mover]:
    with moving(tmp_path) as mover:
        yield mover


def test_a_study_is_moved_and_every_step_counted(mover: Mover) -> None:
    store(mover.hub, ct(1), ct(2), ct(3), ct(1, study=f"{STUDY}9"))
    responses = mover.move(keys(StudyInstanceUID=STUDY))
    assert [counts(status) for status, _ in responses] == [
        (0xFF00, 2, 1, 0, 0),
        (0xFF00, 1, 2, 0, 0),
        (0, None, 3, 0, 0),
    ]
    assert [data for _, _, data in mover.peer.kept] == [encoded(ct(n)) for n in (1, 2, 3)]
    request = mover.peer.requests[0]
    assert request.MoveOriginatorApplicationEntityTitle == "WS1"
    assert request.MoveOriginatorMessageID > 0


LEVELS = [
    (PatientRootMove, keys("PATIENT", PatientID="12345"), 4),
    (PatientRootMove, keys("STUDY", PatientID="12345", StudyInstanceUID=STUDY), 3),
    (PatientRootMove, keys("STUDY", PatientID="99999", StudyInstanceUID=STUDY), 0),
    (StudyRootMove, keys("STUDY", StudyInstanceUID=[STUDY, f"{STUDY}9"]), 4),
    (StudyRootMove, keys("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1"), 2),
    (StudyRootMove, keys("SERIES", SeriesInstanceUID=f"{STUDY}.2"), 1),
    (
        StudyRootMove,
        keys(
            "IMAGE",
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=f"{STUDY}.1",
            SOPInstanceUID=[f"{STUDY}.1.1", f"{STUDY}.1.2", "1.2.3.4"],
        ),
        2,
    ),
    (StudyRootMove, keys("STUDY", StudyInstanceUID="1.2.3.4.5"), 0),
]


@pytest.mark.parametrize(("model", "identifier", "count"), LEVELS)
def test_every_level_selects_by_its_unique_keys(
    mover: Mover, model: str, identifier: Dataset, count: int
) -> None:
    other = ct(3, SeriesInstanceUID=f"{STUDY}.2", SOPInstanceUID=f"{STUDY}.2.1")
    store(mover.hub, ct(1), ct(2), other, ct(1, study=f"{STUDY}9"))
    last = mover.move(identifier, model=model)[-1][0]
    assert counts(last) == (0, None, count, 0, 0)
    assert len(mover.peer.kept) == count


@pytest.mark.parametrize(
    ("identifier", "model"),
    [
        (keys("STUDY"), StudyRootMove),
        (keys("STUDY", StudyInstanceUID=""), StudyRootMove),
        (keys("PATIENT", PatientID="*"), PatientRootMove),
        (keys("PATIENT", PatientID="1234?"), PatientRootMove),
        (keys("PATIENT", PatientID="12345"), StudyRootMove),
        (keys("SERIES", StudyInstanceUID=STUDY), StudyRootMove),
        (keys("STUDY", StudyInstanceUID=STUDY, PatientID="*"), PatientRootMove),
        (keys("ROOM", StudyInstanceUID=STUDY), StudyRootMove),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_what_does_not_select_is_refused(mover: Mover, identifier: Dataset, model: str) -> None:
    store(mover.hub, ct())
    ((status, _),) = mover.move(identifier, model=model)
    assert status.Status == 0xA900
    assert status.ErrorComment
    assert mover.peer.kept == []


def test_an_unknown_destination_is_a801(mover: Mover) -> None:
    store(mover.hub, ct())
    ((status, _),) = mover.move(keys(StudyInstanceUID=STUDY), to="NOWHERE")
    assert status.Status == 0xA801
    mover.hub.await_audit(lambda one: one.action == "retrieve" and one.outcome == "failure")


def test_only_what_the_callers_queries_show_is_moved(mover: Mover) -> None:
    store(mover.hub, ct(1))
    store(mover.hub, ct(1, study=f"{STUDY}9", PatientID="777"), calling="CT2")
    both = keys(StudyInstanceUID=[STUDY, f"{STUDY}9"])
    assert counts(mover.move(both)[-1][0]) == (0, None, 1, 0, 0)
    assert counts(mover.move(both, by="PACS")[-1][0]) == (0, None, 2, 0, 0)


def test_one_patient_id_of_two_hospitals_is_nobody_until_its_issuer_is_named(mover: Mover) -> None:
    store(mover.hub, ct(1))
    store(mover.hub, ct(1, study=f"{STUDY}9"), calling="CT2")
    person = keys("PATIENT", PatientID="12345")
    ((status, _),) = mover.move(person, model=PatientRootMove, by="PACS")
    assert (status.Status, "Issuer" in status.ErrorComment) == (0xA900, True)
    person.IssuerOfPatientID = "HEXI"
    assert counts(mover.move(person, model=PatientRootMove, by="PACS")[-1][0])[2] == 1
    assert mover.peer.kept[0][0] == f"{STUDY}9.1.1"


def test_who_refuses_is_not_retrieved(mover: Mover) -> None:
    store(mover.hub, ct())
    patients = PatientIndex(
        mover.hub.parts.database, mover.hub.parts.database.clock, IdentitySettings()
    )
    person = patients.observe(
        ObservedPatient(
            identifier=PatientIdentifier("12345", TOWNSHIP.assigning_authority),
            name=PersonName(alphabetic="Wang^XiaoDong"),
            birth_date=None,
            sex="M",
        )
    )
    mover.hub.parts.consents.record(
        person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk"
    )
    assert counts(mover.move(keys(StudyInstanceUID=STUDY))[-1][0]) == (0, None, 0, 0, 0)


def test_a_retrieval_is_audited_with_its_study_and_without_names(mover: Mover) -> None:
    store(mover.hub, ct())
    mover.move(keys(StudyInstanceUID=STUDY))
    record = mover.hub.await_audit(lambda one: one.action == "retrieve")
    assert (record.outcome, record.subject_id) == ("success", "chengguan")
    assert (record.resource_kind, record.resource_id) == ("study", STUDY)
    assert record.detail == "C-MOVE to 'PEER' STUDY: 1 sent, 0 with a warning, 0 failed"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0xA700, (0xB000, None, 2, 1, 0)),
        (0xA900, (0xB000, None, 2, 1, 0)),
        (0xC000, (0xB000, None, 2, 1, 0)),
        (0xB000, (0xB000, None, 2, 0, 1)),
    ],
)
def test_what_the_destination_says_is_told(
    tmp_path: Path, status: int, expected: tuple[int, ...]
) -> None:
    def second(event: evt.Event) -> int:
        return status if event.request.AffectedSOPInstanceUID.endswith(".2") else 0

    with moving(tmp_path, answer=second) as mover:
        store(mover.hub, ct(1), ct(2), ct(3))
        response, failed = mover.move(keys(StudyInstanceUID=STUDY))[-1]
    assert counts(response) == expected
    if expected[3]:
        assert failed is not None
        assert failed.FailedSOPInstanceUIDList == f"{STUDY}.1.2"
        assert response.ErrorComment


def test_a_destination_that_takes_nothing_of_it_fails_every_instance(tmp_path: Path) -> None:
    with moving(tmp_path, {MR: [EXPLICIT]}) as mover:
        store(mover.hub, ct(1), ct(2))
        response, failed = mover.move(keys(StudyInstanceUID=STUDY))[-1]
    assert counts(response) == (0xA702, None, 0, 2, 0)
    assert failed is not None
    assert list(failed.FailedSOPInstanceUIDList) == [f"{STUDY}.1.1", f"{STUDY}.1.2"]


def test_a_destination_that_is_away_fails_every_instance_and_says_so(tmp_path: Path) -> None:
    with moving(tmp_path) as mover:
        store(mover.hub, ct(1), ct(2))
        (tmp_path / "other").mkdir()
        row = {"name": "gone", "ae_title": "GONE", "host": "127.0.0.1", "port": 1}
        with running_node(tmp_path / "other", destinations=(row,)) as hub:
            store(hub, ct(1), ct(2))
            response, _ = Mover(hub, mover.peer).move(keys(StudyInstanceUID=STUDY), "GONE")[-1]
    assert counts(response) == (0xA702, None, 0, 2, 0)
    assert "no connection" in response.ErrorComment


def test_a_destination_that_dies_on_one_instance_gets_the_others(tmp_path: Path) -> None:
    def dies(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID.endswith(".2"):
            event.assoc.abort()
        return 0

    with moving(tmp_path, answer=dies) as mover:
        store(mover.hub, ct(1), ct(2), ct(3))
        response, failed = mover.move(keys(StudyInstanceUID=STUDY))[-1]
    assert counts(response) == (0xB000, None, 2, 1, 0)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == f"{STUDY}.1.2"


def test_a_damaged_instance_fails_alone(mover: Mover) -> None:
    store(mover.hub, ct(1), ct(2))
    damage(mover.hub, f"{STUDY}.1.1")
    response, failed = mover.move(keys(StudyInstanceUID=STUDY))[-1]
    assert counts(response) == (0xB000, None, 1, 1, 0)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == f"{STUDY}.1.1"
    assert len(mover.peer.kept) == 1


def test_a_cancel_is_obeyed_between_two_instances(tmp_path: Path) -> None:
    moved = RequestParts(calling=b"WS1")
    moved.contexts = [context_item(1, StudyRootMove, [IMPLICIT])]
    cancel = command_set(
        command_field=MOVE_CANCEL, message_id_being_responded_to=7, command_data_set_type=0x0101
    )
    cancelled = threading.Event()

    def answer(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID.endswith(".3"):
            cancelled.wait(60)
        return 0

    with moving(tmp_path, answer=answer) as mover:
        store(mover.hub, *(ct(number) for number in range(1, 60)))
        with RawPeer(mover.hub.port) as peer:
            peer.associate(moved)
            command = command_set(
                affected_sop_class_uid=StudyRootMove,
                command_field=0x0021,
                message_id=7,
                move_destination="PEER",
                priority=0,
                command_data_set_type=1,
            )
            identifier = implicit_element(0x0008, 0x0052, b"STUDY ") + implicit_element(
                0x0020, 0x000D, STUDY.encode() + b"\0" * (len(STUDY) % 2)
            )
            peer.send(p_data(1, 3, command) + p_data(1, 2, identifier))
            assert peer.status() == 0xFF00
            peer.send(p_data(1, 3, cancel))
            cancelled.set()
            last = {0x0900: b"\0\xff"}
            while last[0x0900] == b"\0\xff":
                last = peer.answer()
            assert int.from_bytes(last[0x0900], "little") == 0xFE00
            remaining, completed = (int.from_bytes(last[n], "little") for n in (0x1020, 0x1021))
            assert remaining > 0
            assert remaining + completed == 59
        assert len(mover.peer.kept) == completed


def test_whoever_asked_and_went_away_ends_the_sending(tmp_path: Path) -> None:
    gone = threading.Event()

    def answer(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID.endswith(".2"):
            gone.wait(60)
        return 0

    with moving(tmp_path, answer=answer) as mover:
        store(mover.hub, *(ct(number) for number in range(1, 6)))
        with mover.hub.association({StudyRootMove: [IMPLICIT]}, "WS1") as association:
            responses = association.send_c_move(keys(StudyInstanceUID=STUDY), "PEER", StudyRootMove)
            next(responses)
            association.abort()
            gone.set()
        mover.hub.await_audit(lambda one: one.action == "retrieve" and one.outcome == "failure")
    assert len(mover.peer.kept) < 5


@pytest.mark.parametrize(
    "identifier",
    [
        b"\xff" * 40,
        b"",
        implicit_element(0x0008, 0x0052, b"STUDY ") + implicit_element(0x0020, 0x000D, b"*\0"),
        implicit_element(0x0008, 0x0052, b"STUDY ") + b"\x20\0\x0d\0\xff\xff\0\0",
    ],
    ids=["garbage", "empty", "wildcard", "cut"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_hostile_identifier_gets_a_status(attacked: Hub, identifier: bytes) -> None:
    parts = RequestParts()
    parts.contexts += [
        context_item(5, StudyRootMove, [IMPLICIT]),
        context_item(7, StudyRootGet, [IMPLICIT]),
    ]
    with RawPeer(attacked.port) as peer:
        assert peer.associate(parts)[0] == 2
        for context_id, field_ in ((5, 0x0021), (7, GET_MESSAGE)):
            command = command_set(
                command_field=field_, message_id=3, priority=0, command_data_set_type=1
            )
            peer.send(p_data(context_id, 3, command) + p_data(context_id, 2, identifier))
            status = elements_of(peer.pdu()[1][6:])[0x0900]
            assert int.from_bytes(status, "little") in (0xA900, 0xA801, 0xC000)
        peer.send(echo_rq())
        assert peer.status() == 0
