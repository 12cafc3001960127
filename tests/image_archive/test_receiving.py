"""Receiving: what is kept, what is answered, and what is refused with which error."""

import hashlib
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from hub_kernel.database import Database
from hub_kernel.errors import HubError, NotFoundError
from hub_kernel.events import Event, InstanceArchived
from hub_kernel.metrics import Metrics
from image_archive.backend import ArchiveBackend
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.errors import (
    ArchiveBusyError,
    ConflictingInstanceError,
    ConflictingStudyError,
    UnreadableInstanceError,
)
from image_archive.index import ArchiveIndex
from image_archive.model import Condition, QuarantineReason, StoreOutcome, is_provisional
from image_archive.service import ArchiveService
from tests.image_archive.datasets import (
    CT_IMAGE_STORAGE,
    IMPLICIT_LITTLE,
    OTHER_TOWNSHIP,
    TOWNSHIP,
    Sender,
    ct_slice,
    encoded,
    stored_files,
)
from tests.support.clock import FixedClock


def test_a_stored_instance_is_found_and_read_back_bit_for_bit(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, clock: FixedClock
) -> None:
    data = encoded(ct_slice())
    assert sender.send_bytes(data) is StoreOutcome.STORED
    found = index.instance("1.2.3.1.1.1")
    assert found
    assert found.dataset_sha256 == hashlib.sha256(data).hexdigest()
    assert found.dataset_bytes == len(data)
    assert (found.rows, found.columns, found.number_of_frames) == (4, 4, 1)
    assert found.received_at == clock.now()
    with archive.open_dataset("1.2.3.1.1.1") as stream:
        assert stream.read() == data


def test_the_kept_file_is_a_dicom_file_that_pydicom_reads(
    sender: Sender, archive: ArchiveService
) -> None:
    sender.send(ct_slice())
    with archive.open_instance("1.2.3.1.1.1") as stream:
        dataset = pydicom.dcmread(BytesIO(stream.read()))
    assert dataset.preamble == b"\0" * 128
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.file_meta.SendingApplicationEntityTitle == "QINGSHAN_CT"
    assert dataset.file_meta.ReceivingApplicationEntityTitle == "EIRHUB"
    assert dataset.PatientName.ideographic == "王^小东"
    assert b"127.0.0.1" not in dataset.file_meta.PrivateInformation


def test_study_series_and_patient_are_indexed(sender: Sender, index: ArchiveIndex) -> None:
    sender.send(ct_slice(1))
    sender.send(ct_slice(2))
    sender.send(ct_slice(3, SeriesInstanceUID="1.2.3.2", Modality="SR", BodyPartExamined=None))
    study = index.study("1.2.3")
    assert study
    assert study.patient.cx == "12345^^^&1.2.156.1.1&ISO"
    assert study.patient_name.dicom == "Wang^XiaoDong=王^小东"
    assert str(study.patient_birth_date) == "1970-01-02"
    assert (study.series_count, study.instance_count) == (2, 3)
    assert study.modalities == ("CT", "SR")
    assert study.body_parts == ("CHEST",)
    assert study.study_description == "胸部"
    first, second = index.series_of("1.2.3")
    assert (first.modality, first.instance_count) == ("CT", 2)
    assert (second.modality, second.instance_count) == ("SR", 1)
    assert [i.instance_number for i in index.instances_of("1.2.3", "1.2.3.1")] == [1, 2]
    assert len(index.instances_of("1.2.3")) == 3


def test_each_stored_instance_is_published_once_with_its_patient(
    sender: Sender, published: Callable[[], list[Event]]
) -> None:
    other = Dataset()
    other.PatientID = "CARD-7"
    dataset = ct_slice(OtherPatientIDs=["11", "22"], OtherPatientIDsSequence=Sequence([other]))
    sender.send(dataset)
    sender.send(dataset)
    (event,) = published()
    assert isinstance(event, InstanceArchived)
    assert event.sop_instance_uid == "1.2.3.1.1.1"
    assert event.site_id == "qingshan"
    assert event.patient.identifier.value == "12345"
    assert event.patient.identifier.issuer.oid == "1.2.156.1.1"
    assert event.patient.other_ids == ("11", "22", "CARD-7")
    assert event.patient.name.ideographic == "王^小东"


def test_the_same_dataset_again_is_success_and_stored_once(
    sender: Sender, index: ArchiveIndex, tmp_path: Path, clock: FixedClock
) -> None:
    sender.send(ct_slice())
    clock.advance(days=3)
    assert sender.send(ct_slice()) is StoreOutcome.ALREADY_STORED
    assert len(stored_files(tmp_path)) == 1
    study = index.study("1.2.3")
    assert study
    assert study.instance_count == 1
    assert study.last_received_at < clock.now()


def test_other_bytes_under_a_known_uid_are_kept_and_the_first_stays_live(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, backend: ArchiveBackend
) -> None:
    first, second = encoded(ct_slice()), encoded(ct_slice(PatientSex="F"))
    sender.send_bytes(first)
    for _ in range(2):
        with pytest.raises(ConflictingInstanceError):
            sender.send_bytes(second)
    with archive.open_dataset("1.2.3.1.1.1") as stream:
        assert stream.read() == first
    (conflict,) = index.conflicts()
    assert conflict.reason is QuarantineReason.CONFLICTING_INSTANCE
    with backend.open(conflict.storage_key) as stream:
        assert stream.read().endswith(second)
    study = index.study("1.2.3")
    assert study
    assert study.instance_count == 1


@pytest.mark.parametrize(
    ("dataset", "origin"),
    [
        (ct_slice(2, PatientID="99999"), TOWNSHIP),
        (ct_slice(2, PatientID=None), TOWNSHIP),
        (ct_slice(2), OTHER_TOWNSHIP),
    ],
    ids=["another patient", "no patient ID", "the same number of another site"],
)
def test_a_study_of_another_patient_is_not_mixed(
    sender: Sender,
    index: ArchiveIndex,
    backend: ArchiveBackend,
    dataset: Dataset,
    origin: object,
    published: Callable[[], list[Event]],
) -> None:
    sender.send(ct_slice(1))
    with pytest.raises(ConflictingStudyError):
        Sender(sender.archive, origin).send(dataset)  # type: ignore[arg-type]
    (conflict,) = index.conflicts()
    assert conflict.reason is QuarantineReason.CONFLICTING_STUDY
    assert backend.size(conflict.storage_key) > 0
    assert len(index.instances_of("1.2.3")) == 1
    assert index.instance("1.2.3.1.1.2") is None
    assert len(published()) == 1


def test_two_sites_with_the_same_patient_number_stay_two_people(
    sender: Sender, index: ArchiveIndex
) -> None:
    sender.send(ct_slice(1))
    other = ct_slice(
        SOPInstanceUID="9.1.1", StudyInstanceUID="9", SeriesInstanceUID="9.1", PatientName="Li^Si"
    )
    Sender(sender.archive, OTHER_TOWNSHIP).send(other)
    here, there = index.study("1.2.3"), index.study("9")
    assert here
    assert there
    assert here.patient != there.patient
    assert [study.study_instance_uid for study in index.studies_of([here.patient])] == ["1.2.3"]


@pytest.mark.parametrize("patient_id", [None, "", "  "])
def test_patients_without_an_id_are_never_the_same_person(
    sender: Sender, index: ArchiveIndex, patient_id: str | None
) -> None:
    sender.send(ct_slice(1, PatientID=patient_id))
    sender.send(ct_slice(2, PatientID=patient_id))
    other = {"SOPInstanceUID": "9.1.1", "StudyInstanceUID": "9", "SeriesInstanceUID": "9.1"}
    sender.send(ct_slice(PatientID=patient_id, **other))
    here, there = index.study("1.2.3"), index.study("9")
    assert here
    assert there
    assert here.instance_count == 2
    assert here.patient != there.patient
    assert is_provisional(here.patient)
    assert here.patient_id_as_sent == ""


def test_an_aborted_instance_leaves_nothing(archive: ArchiveService, tmp_path: Path) -> None:
    from image_archive.model import IncomingHeader

    header = IncomingHeader(CT_IMAGE_STORAGE, "1.2.3.1.1.1", IMPLICIT_LITTLE, TOWNSHIP)
    with archive.incoming(header) as incoming:
        incoming.write(b"half of it")
        assert incoming.dataset_bytes == 10
    assert stored_files(tmp_path) == []


def test_two_senders_of_one_new_uid_at_once_give_one_instance(
    sender: Sender, index: ArchiveIndex, tmp_path: Path
) -> None:
    outcomes: list[object] = []
    start = threading.Barrier(8)

    def send(data: bytes) -> None:
        start.wait()
        try:
            outcomes.append(sender.send_bytes(data))
        except HubError as error:
            outcomes.append(type(error))

    same, other = encoded(ct_slice()), encoded(ct_slice(PatientSex="F"))
    threads = [threading.Thread(target=send, args=(data,)) for data in [same] * 4 + [other] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(StoreOutcome.STORED) == 1
    assert outcomes.count(StoreOutcome.ALREADY_STORED) == 3
    assert outcomes.count(ConflictingInstanceError) == 4
    assert len(index.conflicts()) == 1
    assert len(stored_files(tmp_path)) == 2


def test_two_archives_on_one_database_agree_on_one_instance(
    sender: Sender, database: Database, backend: ArchiveBackend, clock: FixedClock
) -> None:
    """As two processes do that share the port: what one knows, the other meets in the database."""
    second = Sender(ArchiveService(database, backend, clock))
    sender.send(ct_slice(1))
    second.send(ct_slice(2))
    sender.send(ct_slice(3, SeriesInstanceUID="1.2.3.2"))
    second.send(ct_slice(4, SeriesInstanceUID="1.2.3.2"))
    study = ArchiveIndex(database).study("1.2.3")
    assert study
    assert (study.series_count, study.instance_count) == (2, 4)
    assert second.send(ct_slice(1)) is StoreOutcome.ALREADY_STORED


def test_many_associations_share_transactions_and_lose_nothing(
    sender: Sender, index: ArchiveIndex, published: Callable[[], list[Event]]
) -> None:
    def send(association: int) -> None:
        for number in range(10):
            sender.send(ct_slice(association * 100 + number + 1))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = index.study("1.2.3")
    assert study
    assert study.instance_count == 80
    assert index.series_of("1.2.3")[0].instance_count == 80
    assert len(published()) == 80


def test_an_instance_whose_bytes_are_missing_is_mended_by_sending_it_again(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, backend: ArchiveBackend
) -> None:
    sender.send(ct_slice())
    before = index.instance("1.2.3.1.1.1")
    assert before
    backend.delete(before.storage_key)
    assert not archive.verify(lambda done, total: None).ok
    with pytest.raises(NotFoundError):
        archive.open_instance("1.2.3.1.1.1")
    assert sender.send(ct_slice()) is StoreOutcome.STORED
    after = index.instance("1.2.3.1.1.1")
    assert after
    assert after.condition is Condition.INTACT
    assert archive.verify(lambda done, total: None).ok


def test_what_is_gone_and_nobody_has_noticed_is_taken_again(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, backend: ArchiveBackend
) -> None:
    sender.send(ct_slice())
    before = index.instance("1.2.3.1.1.1")
    assert before
    backend.delete(before.storage_key)
    assert sender.send(ct_slice()) is StoreOutcome.STORED
    assert sender.send(ct_slice()) is StoreOutcome.ALREADY_STORED
    assert archive.verify(lambda done, total: None).ok


def test_what_is_damaged_and_nobody_has_noticed_is_replaced_by_what_comes(
    sender: Sender, archive: ArchiveService, index: ArchiveIndex, backend: FilesystemBackend
) -> None:
    sender.send(ct_slice())
    before = index.instance("1.2.3.1.1.1")
    assert before
    file = Path(backend.path_of(before.storage_key))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert before.condition is Condition.INTACT  # Control: the index alone would say success.
    assert sender.send(ct_slice()) is StoreOutcome.STORED
    assert sender.send(ct_slice()) is StoreOutcome.ALREADY_STORED
    assert archive.verify(lambda done, total: None).ok


def test_while_the_stored_bytes_cannot_be_read_nobody_is_told_that_they_are_there(
    sender: Sender, backend: FilesystemBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.send(ct_slice())

    def away(*_given: object, **_named: object) -> None:
        raise ArchiveBusyError("archive: not now")

    with monkeypatch.context() as while_away, pytest.raises(ArchiveBusyError):
        while_away.setattr(backend, "open", away)
        sender.send(ct_slice())
    assert sender.send(ct_slice()) is StoreOutcome.ALREADY_STORED


def test_files_are_stored_by_what_their_dataset_says(
    archive: ArchiveService, index: ArchiveIndex
) -> None:
    path = Path(pydicom.data.get_testdata_file("rtplan.dcm") or "")
    assert archive.store_file(path, TOWNSHIP) is StoreOutcome.STORED
    assert archive.store_file(path.read_bytes(), TOWNSHIP) is StoreOutcome.ALREADY_STORED


@pytest.mark.parametrize("data", [b"", b"MZ" * 100, b"\0" * 128 + b"DICM"])
def test_what_is_no_file_is_not_stored(archive: ArchiveService, data: bytes) -> None:
    with pytest.raises(UnreadableInstanceError):
        archive.store_file(data, TOWNSHIP)


def test_every_answer_is_counted(
    database: Database, backend: ArchiveBackend, clock: FixedClock
) -> None:
    metrics = Metrics()
    sender = Sender(ArchiveService(database, backend, clock, metrics))
    sender.send(ct_slice())
    sender.send(ct_slice())
    with pytest.raises(UnreadableInstanceError):
        sender.send_bytes(b"rubbish!" * 9)
    text = metrics.exposition().decode()
    for outcome in ("stored", "already_stored", "unreadable"):
        line = f'eirhub_instances_received_total{{outcome="{outcome}",site="qingshan"}} 1.0'
        assert line in text
    assert "eirhub_store_seconds_count 3.0" in text


def test_errors_carry_no_patient_data(sender: Sender) -> None:
    sender.send(ct_slice())
    for bad in (ct_slice(PatientSex="F"), ct_slice(2, PatientID="777"), ct_slice(3, Rows=60000)):
        with pytest.raises(HubError) as refused:
            sender.send(bad)
        assert not [word for word in ("Wang", "王", "12345", "777") if word in str(refused.value)]
