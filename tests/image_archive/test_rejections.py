"""Rejection notes: what they hide, from whom it stays hidden, and what they cannot hide."""

from collections.abc import Callable

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.events import Event, KeyObjectArchived, StudyCompleted, new_event
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.contents import Contents
from image_archive.index import ArchiveIndex
from image_archive.model import KEY_OBJECT_SELECTION
from image_archive.query import IndexQuery, Level
from image_archive.rejections import Rejections
from tests.image_archive.datasets import OTHER_TOWNSHIP, Sender, ct_slice

STUDY = "1.2.3"
QUALITY, SAFETY, KEY_IMAGES = "113001", "113037", "113000"


def note(title: str, *uids: str, number: int = 1, **attributes: object) -> Dataset:
    """A Key Object Selection of that title which refers to instances of the first series."""
    items = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPInstanceUID = uid
        items.append(item)
    series, study, code = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = f"{STUDY}.1"
    series.ReferencedSOPSequence = DicomSequence(items)
    study.StudyInstanceUID = STUDY
    study.ReferencedSeriesSequence = DicomSequence([series])
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = title, "DCM", "why"
    values: dict[str, object] = {
        "SOPClassUID": KEY_OBJECT_SELECTION,
        "SOPInstanceUID": f"{STUDY}.9.{number}",
        "SeriesInstanceUID": f"{STUDY}.9",
        "Modality": "KO",
        "BodyPartExamined": None,
        "ConceptNameCodeSequence": DicomSequence([code]),
        "CurrentRequestedProcedureEvidenceSequence": DicomSequence([study]),
        **attributes,
    }
    made = ct_slice(number, **values)
    for keyword in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PixelData"):
        del made[keyword]
    return made


def send_note(sender: Sender, made: Dataset) -> None:
    sender.send(made, sop_class_uid=KEY_OBJECT_SELECTION)


@pytest.fixture
def rejections(database: Database, backend: FilesystemBackend, index: ArchiveIndex) -> Rejections:
    return Rejections(database, backend, index)


@pytest.fixture
def deliver(rejections: Rejections, published: Callable[[], list[Event]]) -> Callable[[], None]:
    """Hand every event of the outbox to the reactions that want it, as the task engine does."""

    def run() -> None:
        for event in published():
            for subscriber in rejections.subscribers():
                if type(event) is subscriber.event_type:
                    subscriber.handle(event)

    return run


def seen(index: ArchiveIndex, level: Level = Level.INSTANCE, **matches: str) -> set[str]:
    answer = index.find(IndexQuery(level, matches))
    found = (match.instance or match.series or match.study for match in answer.matches)
    uids = (
        getattr(one, "sop_instance_uid", None)
        or getattr(one, "series_instance_uid", None)
        or getattr(one, "study_instance_uid", None)
        for one in found
    )
    return {uid for uid in uids if uid}


def test_a_rejected_instance_is_found_no_longer_and_its_bytes_stay(
    sender: Sender, index: ArchiveIndex, deliver: Callable[[], None]
) -> None:
    for number in (1, 2):
        sender.send(ct_slice(number))
    send_note(sender, note(QUALITY, "1.2.3.1.1.2"))
    assert len(seen(index)) == 3
    deliver()
    assert seen(index) == {"1.2.3.1.1.1"}
    assert index.instance("1.2.3.1.1.2") is None
    assert [one.sop_instance_uid for one in index.instances_of(STUDY)] == ["1.2.3.1.1.1"]
    kept = index.instances_of(STUDY, with_rejected=True)
    assert {one.sop_instance_uid: one.rejected for one in kept} == {
        "1.2.3.1.1.1": "",
        "1.2.3.1.1.2": QUALITY,
        "1.2.3.9.1": QUALITY,
    }
    with sender.archive.open_instance("1.2.3.1.1.2") as kept_file:
        assert len(kept_file.read()) > 128


def test_counts_and_modalities_leave_it_out(
    sender: Sender, index: ArchiveIndex, deliver: Callable[[], None]
) -> None:
    sender.send(ct_slice(1))
    sender.send(ct_slice(2, SeriesInstanceUID="1.2.3.2", Modality="SR", BodyPartExamined="HEAD"))
    send_note(sender, note(QUALITY, "1.2.3.1.1.2"))
    deliver()
    study = index.study(STUDY)
    assert study is not None
    assert (study.series_count, study.instance_count) == (1, 1)
    assert index.held_by_studies([STUDY]) == {STUDY: Contents(pictures=1)}
    assert (study.modalities, study.body_parts) == (("CT",), ("CHEST",))
    assert [one.series_instance_uid for one in index.series_of(STUDY)] == ["1.2.3.1"]
    assert seen(index, Level.SERIES) == {"1.2.3.1"}
    for keyword, gone in (("ModalitiesInStudy", "SR"), ("SOPInstanceUID", "1.2.3.1.1.2")):
        assert not seen(index, Level.STUDY, **{keyword: gone})
    (patient,) = index.find(IndexQuery(Level.PATIENT)).matches
    assert patient.attributes()["NumberOfPatientRelatedInstances"] == 1


def test_a_study_that_was_rejected_whole_is_not_there_until_something_new_comes(
    sender: Sender, index: ArchiveIndex, deliver: Callable[[], None]
) -> None:
    sender.send(ct_slice(1))
    send_note(sender, note(SAFETY, "1.2.3.1.1.1"))
    deliver()
    assert index.study(STUDY) is None
    assert index.study(STUDY, with_rejected=True) is not None
    assert not index.studies_of([index.study(STUDY, with_rejected=True).patient])  # type: ignore[union-attr]
    for level in Level:
        assert not index.find(IndexQuery(level)).matches
    sender.send(ct_slice(3))
    assert seen(index) == {"1.2.3.1.1.3"}


def test_what_comes_after_its_note_is_hidden_when_the_study_is_quiet(
    sender: Sender,
    index: ArchiveIndex,
    rejections: Rejections,
    deliver: Callable[[], None],
) -> None:
    send_note(sender, note(QUALITY, "1.2.3.1.1.1"))
    deliver()
    sender.send(ct_slice(1))
    assert seen(index) == {"1.2.3.1.1.1"}
    done = new_event(
        StudyCompleted, SystemClock(), study_instance_uid=STUDY, site_id="qingshan", generation=1
    )
    rejections.mark(done)
    assert seen(index) == set()


def test_the_same_event_twice_changes_nothing(
    sender: Sender, index: ArchiveIndex, deliver: Callable[[], None]
) -> None:
    for number in (1, 2):
        sender.send(ct_slice(number))
    send_note(sender, note(QUALITY, "1.2.3.1.1.2"))
    deliver()
    before = index.study(STUDY)
    deliver()
    assert index.study(STUDY) == before


@pytest.mark.parametrize(
    "harmless",
    [
        note(KEY_IMAGES, "1.2.3.1.1.1"),
        note(QUALITY, "9.9.9"),
        note(QUALITY, "1.2.3.1.1.1", CurrentRequestedProcedureEvidenceSequence=None),
        note(QUALITY, "1.2.3.1.1.1", ConceptNameCodeSequence=None),
    ],
    ids=["key images", "somebody else's", "no evidence", "no title"],
)
def test_other_key_objects_hide_nothing(
    sender: Sender, index: ArchiveIndex, deliver: Callable[[], None], harmless: Dataset
) -> None:
    sender.send(ct_slice(1))
    send_note(sender, harmless)
    deliver()
    assert "1.2.3.1.1.1" in seen(index)


def test_another_site_cannot_reject(
    sender: Sender, index: ArchiveIndex, deliver: Callable[[], None]
) -> None:
    sender.send(ct_slice(1))
    stranger = Sender(sender.archive, OTHER_TOWNSHIP)
    with pytest.raises(Exception, match="patient"):
        send_note(stranger, note(QUALITY, "1.2.3.1.1.1"))
    send_note(
        stranger, note(QUALITY, "1.2.3.1.1.1", StudyInstanceUID="6.6", SOPInstanceUID="6.6.1")
    )
    deliver()
    assert "1.2.3.1.1.1" in seen(index)


def test_only_key_objects_are_announced(
    sender: Sender, published: Callable[[], list[Event]]
) -> None:
    sender.send(ct_slice(1))
    send_note(sender, note(QUALITY, "1.2.3.1.1.1"))
    announced = [event for event in published() if isinstance(event, KeyObjectArchived)]
    assert [event.sop_instance_uid for event in announced] == ["1.2.3.9.1"]
