"""Instances that their makers have taken back: rejection notes (IHE RAD IOCM, RAD TF-2 4.66).

A rejection note is a Key Object Selection whose title says why. It and what it refers to stay in
the archive, bytes and rows, and are marked; the index shows them to nobody (`image_archive.scope`).
A note takes back instances of its own study only: whose patient that is was checked on receipt.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydicom import Dataset
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from hub_kernel.database import Database
from hub_kernel.events import InstancesRejected, KeyObjectArchived, StudyCompleted, new_event
from hub_kernel.outbox import Subscriber
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from image_archive.model import KEY_OBJECT_SELECTION, InstanceRecord
from image_archive.reading import VALUE_ERRORS, read_dataset
from image_archive.scope import batches
from image_archive.tables import INSTANCE, SERIES, STUDY

# Why instances are rejected (PS3.16 CID 7011), in the scheme DCM.
_TITLES = frozenset({"113001", "113037", "113038", "113039"})


def rejected_among(
    backend: ArchiveBackend, instances: Iterable[InstanceRecord]
) -> Mapping[str, str]:
    """Return which of the instances of one study are taken back, notes included, and why.

    The keys are SOP Instance UIDs, the values the codes of the titles. A note that cannot be read
    takes nothing back.
    """
    listed = list(instances)
    gone: dict[str, str] = {}
    for note in listed:
        if note.sop_class_uid == KEY_OBJECT_SELECTION:
            code, uids = _rejected_by(backend, note)
            gone |= dict.fromkeys(uids, code)
    held = {instance.sop_instance_uid for instance in listed}
    return {uid: code for uid, code in gone.items() if uid in held}


def without_rejected(
    backend: ArchiveBackend, instances: Iterable[InstanceRecord]
) -> list[InstanceRecord]:
    """Return the instances of one study that no rejection note among them takes back."""
    listed = list(instances)
    gone = rejected_among(backend, listed)
    return [instance for instance in listed if instance.sop_instance_uid not in gone]


class Rejections:
    """Keeps the marks of the index in step with the notes in the archive."""

    def __init__(self, database: Database, backend: ArchiveBackend, index: ArchiveIndex) -> None:
        self._database = database
        self._backend = backend
        self._index = index

    def subscribers(self) -> list[Subscriber]:
        """Return the reactions: to a note at once, to what came later when its study is quiet."""
        return [
            Subscriber("hide-rejected", KeyObjectArchived, self.mark),
            Subscriber("hide-rejected-late", StudyCompleted, self.mark),
        ]

    def mark(self, arrived: KeyObjectArchived | StudyCompleted) -> None:
        """Mark what the notes of the event's study take back, and nothing else of it."""
        uid = arrived.study_instance_uid
        if not self._concerned(uid):
            return
        instances = self._index.instances_of(uid, with_rejected=True)
        marked = {one.sop_instance_uid: one.rejected for one in instances if one.rejected}
        wanted = rejected_among(self._backend, instances)
        if marked == wanted:
            return
        with self._database.unit_of_work() as work:
            _write(work.session, [one for one in marked if one not in wanted], "")
            for code in set(wanted.values()):
                _write(work.session, [one for one, why in wanted.items() if why == code], code)
            _recount(work.session, uid)
            work.publish(new_event(InstancesRejected, work.clock, study_instance_uid=uid))

    def _concerned(self, study_instance_uid: str) -> bool:
        """Return whether the study holds a key object."""
        key_object = (
            select(INSTANCE.c.id)
            .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
            .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
            .where(
                STUDY.c.study_instance_uid == study_instance_uid,
                INSTANCE.c.sop_class_uid == KEY_OBJECT_SELECTION,
            )
        )
        with self._database.read() as session:
            return session.execute(key_object.limit(1)).first() is not None


def _rejected_by(backend: ArchiveBackend, note: InstanceRecord) -> tuple[str, list[str]]:
    """Return why and what a note takes back, itself included; nothing where it is no note."""
    try:
        with backend.open(note.storage_key) as stream:
            dataset = read_dataset(stream, stop_before_pixels=True)
        (title,) = dataset.ConceptNameCodeSequence
        if title.CodingSchemeDesignator != "DCM" or title.CodeValue not in _TITLES:
            return "", []
        return str(title.CodeValue), [note.sop_instance_uid, *_referenced(dataset)]
    except VALUE_ERRORS:
        return "", []


def _referenced(dataset: Dataset) -> Iterator[str]:
    """Yield the instances of the current requested procedure's evidence (PS3.3 C.17.6.2)."""
    for study in dataset.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield str(item.ReferencedSOPInstanceUID)


def _write(session: Session, uids: Sequence[str], code: str) -> None:
    for some in batches(uids):
        session.execute(
            update(INSTANCE).where(INSTANCE.c.sop_instance_uid.in_(some)).values(rejected=code)
        )


def _recount(session: Session, study_instance_uid: str) -> None:
    """Count what is marked, and list modalities and body parts of what is left."""
    study = session.execute(
        select(STUDY.c.id).where(STUDY.c.study_instance_uid == study_instance_uid).with_for_update()
    ).scalar_one()
    counted = (
        select(func.count())
        .where(INSTANCE.c.series_row_id == SERIES.c.id, INSTANCE.c.rejected != "")
        .scalar_subquery()
    )
    session.execute(
        update(SERIES).where(SERIES.c.study_row_id == study).values(rejected_instances=counted)
    )
    series = session.execute(
        select(SERIES).where(SERIES.c.study_row_id == study).order_by(SERIES.c.id)
    ).all()
    left = [one for one in series if one.instance_count > one.rejected_instances]
    session.execute(
        update(STUDY)
        .where(STUDY.c.id == study)
        .values(
            rejected_series=len(series) - len(left),
            rejected_instances=sum(one.rejected_instances for one in series),
            modalities=_named(one.modality for one in left),
            body_parts=_named(one.body_part_examined for one in left),
        )
    )


def _named(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
