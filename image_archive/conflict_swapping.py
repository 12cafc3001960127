"""Let parked bytes and live bytes of one SOP Instance UID change places, in one transaction.

No byte is moved: the rows exchange what they say of where the bytes are. The study is open again,
so that its next generation, its manifest and its versions follow.
"""

from typing import Any

from sqlalchemy import Row, select, update

from hub_kernel.database import UnitOfWork
from hub_kernel.events import InstanceArchived, new_event
from hub_kernel.identifiers import AssigningAuthority
from image_archive.backend import ArchiveBackend
from image_archive.conflicts import Parked
from image_archive.errors import InvalidDecisionError
from image_archive.index_writing import Arrival, load_study
from image_archive.model import InstanceOrigin, Receipt, StudyState
from image_archive.reading import read_stored_header
from image_archive.rows import instance_values, observed_patient
from image_archive.tables import INSTANCE, QUARANTINE, SERIES, STUDY

_KEPT = ("series_row_id", "sop_instance_uid")
_EXCHANGED = (
    "transfer_syntax_uid",
    "dataset_sha256",
    "dataset_bytes",
    "storage_key",
    "received_at",
)


def swap(work: UnitOfWork, backend: ArchiveBackend, one: Parked) -> None:
    """Make the parked bytes live and park the live ones.

    Raises:
        InvalidDecisionError: they belong to another study, series or patient than the live ones.
        UnreadableInstanceError: the parked bytes cannot be read.
        NotFoundError: they are gone.
    """
    live = _live(work, one)
    arrival = _arrival(backend, one, live)
    _check_same_place(work, arrival, live)
    values = instance_values(live.series_row_id, arrival.header, arrival.receipt)
    work.session.execute(
        update(QUARANTINE)
        .where(QUARANTINE.c.id == one.row_id)
        .values({name: getattr(live, name) for name in _EXCHANGED})
    )
    work.session.execute(
        update(INSTANCE)
        .where(INSTANCE.c.id == live.id)
        .values({name: value for name, value in values.items() if name not in _KEPT})
    )
    work.session.execute(
        update(STUDY)
        .where(STUDY.c.id == live.study_row_id)
        .values(state=StudyState.RECEIVING.value, last_received_at=work.clock.now())
    )
    _publish(work, arrival)


def _arrival(backend: ArchiveBackend, one: Parked, live: Row[Any]) -> Arrival:
    """Read what is parked; raises as `swap`.

    A file that was adopted does not say who sent it: its row and its study do.
    """
    with backend.open(one.record.storage_key) as stream:
        meta, header = read_stored_header(stream)
    record = one.record
    origin = InstanceOrigin(
        site_id=record.site_id,
        issuer=AssigningAuthority(live.issuer_namespace, live.issuer_oid),
        calling_ae_title=record.calling_ae_title,
        called_ae_title="",
        source_address="",
    )
    receipt = Receipt(
        origin=meta.origin or origin,
        transfer_syntax_uid=record.transfer_syntax_uid,
        received_at=record.received_at,
        dataset_sha256=record.dataset_sha256,
        dataset_bytes=record.dataset_bytes,
        storage_key=record.storage_key,
    )
    return Arrival(header, receipt)


def _live(work: UnitOfWork, one: Parked) -> Row[Any]:
    row = work.session.execute(
        select(
            INSTANCE,
            SERIES.c.study_row_id,
            SERIES.c.series_instance_uid,
            STUDY.c.issuer_namespace,
            STUDY.c.issuer_oid,
        )
        .join(SERIES, SERIES.c.id == INSTANCE.c.series_row_id)
        .join(STUDY, STUDY.c.id == SERIES.c.study_row_id)
        .where(INSTANCE.c.sop_instance_uid == one.record.sop_instance_uid)
    ).first()
    if row is None:
        raise InvalidDecisionError("nothing is archived under that SOP Instance UID")
    return row


def _check_same_place(work: UnitOfWork, arrival: Arrival, live: Row[Any]) -> None:
    header = arrival.header
    study = load_study(work.session.connection(), header.study.study_instance_uid)
    if (
        study is None
        or study.row_id != live.study_row_id
        or header.series.series_instance_uid != live.series_instance_uid
        or not study.belongs_to(arrival.patient)
    ):
        raise InvalidDecisionError(
            "the later one is of another patient, study or series: keep both instead"
        )


def _publish(work: UnitOfWork, arrival: Arrival) -> None:
    header, origin = arrival.header, arrival.receipt.origin
    work.publish(
        new_event(
            InstanceArchived,
            work.clock,
            sop_instance_uid=header.sop_instance_uid,
            series_instance_uid=header.series.series_instance_uid,
            study_instance_uid=header.study.study_instance_uid,
            site_id=origin.site_id,
            patient=observed_patient(header, origin.issuer),
        )
    )
