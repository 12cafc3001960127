"""C-GET: what comes back, in which syntax, and what fails alone (PS3.4 C.4.3)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelGet as PatientRootGet,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as StudyRootGet,
)
from sqlalchemy import text

from tests.dicom_router.conftest import TOWNSHIP, Hub, running_node
from tests.dicom_router.instances import STUDY, ct, encoded
from tests.dicom_router.retrieving import MR, TAKES_CT, Responses, counts, damage, keys, store
from tests.dicom_router.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
)
from tests.support.waiting import eventually


@dataclass
class Got:
    """What came back by C-GET."""

    responses: Responses = field(default_factory=list)
    kept: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def last(self) -> tuple[int, int | None, int, int, int]:
        return counts(self.responses[-1][0])


def get(
    hub: Hub,
    identifier: Dataset,
    storage: dict[str, list[str]] | None = None,
    model: str = StudyRootGet,
    status: int = 0,
) -> Got:
    entity, got = AE("WS1"), Got()
    entity.add_requested_context(model, [IMPLICIT])
    roles = []
    for sop_class, syntaxes in (storage or TAKES_CT).items():
        for syntax in syntaxes:
            entity.add_requested_context(sop_class, syntax)
        roles.append(build_role(sop_class, scp_role=True))

    def stored(event: evt.Event) -> int:
        data = event.request.DataSet.getvalue()
        syntax = str(event.context.transfer_syntax)
        got.kept.append((str(event.request.AffectedSOPInstanceUID), syntax, data))
        return status

    association = entity.associate(
        "127.0.0.1",
        hub.port,
        ae_title="EIRHUB",
        ext_neg=roles,
        evt_handlers=[(evt.EVT_C_STORE, stored)],
    )
    assert association.is_established
    got.responses = list(association.send_c_get(identifier, model))
    association.release()
    return got


def test_a_study_is_got_on_the_association_it_was_asked_on(hub: Hub) -> None:
    store(hub, ct(1), ct(2))
    got = get(hub, keys(StudyInstanceUID=STUDY))
    assert got.last == (0, None, 2, 0, 0)
    assert [counts(status)[:2] for status, _ in got.responses] == [(0xFF00, 1), (0, None)]
    assert [hashlib.sha256(data).digest() for _, _, data in got.kept] == [
        hashlib.sha256(encoded(ct(number))).digest() for number in (1, 2)
    ]
    record = hub.await_audit(lambda one: one.action == "retrieve")
    assert (record.outcome, record.resource_id) == ("success", STUDY)


def test_a_patient_is_got_by_patient_root(hub: Hub) -> None:
    store(hub, ct(1), ct(1, study=f"{STUDY}9"))
    got = get(hub, keys("PATIENT", PatientID="12345"), model=PatientRootGet)
    assert got.last == (0, None, 2, 0, 0)


def test_what_the_asker_does_not_take_is_listed_as_failed(hub: Hub) -> None:
    store(hub, ct(1))
    got = get(hub, keys(StudyInstanceUID=STUDY), {MR: [EXPLICIT]})
    assert got.last == (0xA702, None, 0, 1, 0)
    failed = got.responses[-1][1]
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == f"{STUDY}.1.1"


def test_without_a_role_nothing_is_sent_back(hub: Hub) -> None:
    store(hub, ct(1))
    with hub.association({StudyRootGet: [IMPLICIT], CT: [EXPLICIT]}, "WS1") as association:
        responses = list(association.send_c_get(keys(StudyInstanceUID=STUDY), StudyRootGet))
    assert counts(responses[-1][0]) == (0xA702, None, 0, 1, 0)


def test_a_failure_of_the_asker_is_counted(hub: Hub) -> None:
    store(hub, ct(1), ct(2))
    got = get(hub, keys(StudyInstanceUID=STUDY), status=0xA700)
    assert got.last == (0xA702, None, 0, 2, 0)


def test_instances_are_recoded_to_what_the_asker_takes(hub: Hub) -> None:
    store(hub, ct(1))
    got = get(hub, keys(StudyInstanceUID=STUDY), {CT: [IMPLICIT]})
    assert got.last == (0, None, 1, 0, 0)
    assert got.kept[0][1] == IMPLICIT
    assert got.kept[0][2].endswith(bytes([1, 0]) * 64)


def test_an_instance_that_cannot_be_recoded_fails_alone_and_says_why(hub: Hub) -> None:
    broken = ct(
        1, PixelData=b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0rubb\xfe\xff\xdd\xe0\0\0\0\0"
    )
    broken.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    broken["PixelData"].VR = "OB"
    broken["PixelData"].is_undefined_length = True
    store(hub, broken)
    store(hub, ct(2))
    got = get(hub, keys(StudyInstanceUID=STUDY))
    assert got.last == (0xB000, None, 1, 1, 0)
    assert got.responses[-1][0].ErrorComment.startswith("cannot be transcoded: ")
    assert ExplicitVRLittleEndian == got.kept[0][1]


def test_a_damaged_instance_is_not_got(hub: Hub) -> None:
    store(hub, ct(1), ct(2))
    damage(hub, f"{STUDY}.1.2")
    assert get(hub, keys(StudyInstanceUID=STUDY)).last == (0xB000, None, 1, 1, 0)


def test_a_site_that_may_not_send_a_class_may_be_sent_it_but_not_send_it(tmp_path: Path) -> None:
    with running_node(tmp_path) as hub:
        store(hub, ct(1))
        hub.parts.directory.add(
            type(TOWNSHIP)(**{**vars(TOWNSHIP), "allowed_sop_classes": (MR,)}), replace=True
        )
        eventually(lambda: get(hub, keys(StudyInstanceUID=STUDY)).last == (0, None, 1, 0, 0))


@contextmanager
def without_an_index(hub: Hub) -> Iterator[None]:
    """The table of instances is away for a while, as after a restore that went wrong."""

    def rename(old: str, new: str) -> None:
        with hub.parts.database.unit_of_work() as work:
            work.session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    rename("instance", "elsewhere")
    try:
        yield
    finally:
        rename("elsewhere", "instance")


def test_while_the_index_is_away_the_asker_is_told_to_come_again(hub: Hub) -> None:
    """0xA701 to C-GET, 0xA700 to C-FIND: out of resources, which says nothing of the patient."""
    store(hub, ct(1))
    assert hub.parts.archive.settled()
    wanted = keys(StudyInstanceUID=STUDY)
    models = {StudyRootGet: [IMPLICIT], StudyRootFind: [IMPLICIT]}
    with hub.association(models, "WS1") as association, without_an_index(hub):
        got = list(association.send_c_get(wanted, StudyRootGet))
        found = list(association.send_c_find(keys("IMAGE", StudyInstanceUID=STUDY), StudyRootFind))
    assert [answer.Status for answer, _ in got] == [0xA701]
    assert [answer.Status for answer, _ in found] == [0xA700]
    assert get(hub, wanted).last == (0x0000, None, 1, 0, 0)
