"""One transaction of the receive path: rows, counts and events of a group of arrivals.

The statements are few: what a study and its series are called in the database never changes and is
remembered; everything else is counted up by the statement itself.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from sqlalchemy import Dialect, bindparam, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.pool import PoolProxiedConnection

from hub_kernel.database import UnitOfWork
from hub_kernel.events import Event, InstanceArchived, KeyObjectArchived, new_event
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.prepared import Prepared
from image_archive.header import InstanceHeader
from image_archive.model import (
    KEY_OBJECT_SELECTION,
    Condition,
    QuarantineReason,
    QuarantineRecord,
    Receipt,
    StudyState,
)
from image_archive.rows import (
    instance_values,
    observed_patient,
    patient_identifier,
    quarantine_values,
    series_values,
    study_values,
)
from image_archive.tables import INSTANCE, QUARANTINE, SERIES, STUDY

_MOST_REMEMBERED_STUDIES = 10_000


class Finding(StrEnum):
    """What the index made of an arrival."""

    STORED = "stored"
    ALREADY_STORED = "already_stored"
    MENDED = "mended"
    CONFLICTING_INSTANCE = "conflicting_instance"
    CONFLICTING_STUDY = "conflicting_study"


@dataclass(frozen=True)
class Arrival:
    """One received dataset whose bytes are durable under `receipt.storage_key`."""

    header: InstanceHeader
    receipt: Receipt

    @property
    def patient(self) -> PatientIdentifier:
        """Whose study it says it is part of."""
        return patient_identifier(self.header, self.receipt.origin.issuer)


@dataclass(frozen=True)
class KnownInstance:
    """What the index has under a SOP Instance UID."""

    sop_instance_uid: str
    dataset_sha256: str
    condition: str
    storage_key: str


@dataclass(frozen=True)
class KnownStudy:
    """What never changes of a study: its row, whose it is, and the rows of its series so far."""

    row_id: int
    issuer_oid: str
    patient_id: str
    series: dict[str, int]

    def belongs_to(self, patient: PatientIdentifier) -> bool:
        """Return whether `patient` is the study's patient; who issued is told by the OID alone."""
        return (self.issuer_oid, self.patient_id) == (patient.issuer.oid, patient.value)


class RememberedStudies:
    """The studies of late, least recently used first; only what is committed enters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._studies: OrderedDict[str, KnownStudy] = OrderedDict()

    def get(self, study_instance_uid: str) -> KnownStudy | None:
        """Return the study, None when it is not remembered."""
        with self._lock:
            known = self._studies.get(study_instance_uid)
            if known:
                self._studies.move_to_end(study_instance_uid)
            return known

    def put(self, studies: dict[str, KnownStudy]) -> None:
        """Remember studies; the least recently used are forgotten."""
        with self._lock:
            for uid, study in studies.items():
                self._studies[uid] = study
                self._studies.move_to_end(uid)
            while len(self._studies) > _MOST_REMEMBERED_STUDIES:
                self._studies.popitem(last=False)


@dataclass
class _Growth:
    """How many instances (and, for a study, series) one group adds to a row."""

    instances: int = 0
    series: int = 0


_GROW_STUDY = (
    update(STUDY)
    .where(STUDY.c.id == bindparam("row_id"))
    .values(
        instance_count=STUDY.c.instance_count + bindparam("instances"),
        series_count=STUDY.c.series_count + bindparam("series"),
        state=StudyState.RECEIVING.value,
        last_received_at=bindparam("now"),
    )
)
_GROW_SERIES = (
    update(SERIES)
    .where(SERIES.c.id == bindparam("row_id"))
    .values(instance_count=SERIES.c.instance_count + bindparam("instances"))
)
_FIND_INSTANCE = select(
    INSTANCE.c.sop_instance_uid,
    INSTANCE.c.dataset_sha256,
    INSTANCE.c.condition,
    INSTANCE.c.storage_key,
).where(INSTANCE.c.sop_instance_uid == bindparam("uid"))


class ReceiptStatements:
    """What runs for every instance, prepared for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        columns = [column.name for column in INSTANCE.columns if not column.primary_key]
        self.insert_instance = Prepared(insert(INSTANCE).inline(), dialect, columns)
        self.grow_study = Prepared(_GROW_STUDY, dialect)
        self.grow_series = Prepared(_GROW_SERIES, dialect)
        self._find_instance = Prepared(_FIND_INSTANCE, dialect)

    def find_instance(self, connection: PoolProxiedConnection, uid: str) -> KnownInstance | None:
        """Return what the index has under this SOP Instance UID."""
        row = self._find_instance.first(connection, {"uid": uid})
        return KnownInstance(*row) if row else None


@dataclass
class GroupWriter:
    """One transaction's worth of arrivals."""

    work: UnitOfWork
    statements: ReceiptStatements
    remembered: RememberedStudies
    studies: dict[str, KnownStudy] = field(default_factory=dict)
    new_rows: list[dict[str, Any]] = field(default_factory=list)
    study_growth: dict[int, _Growth] = field(default_factory=dict)
    series_growth: dict[int, _Growth] = field(default_factory=dict)

    def write(self, arrivals: Sequence[Arrival], *, careful: bool) -> list[Finding]:
        """Write rows and events; `careful` looks up every instance first."""
        findings = []
        for arrival in arrivals:
            earlier = self._earlier(arrival) if careful else None
            findings.append(self._again(arrival, earlier) if earlier else self._new(arrival))
        self._flush(self.work.clock.now())
        self.work.publish_all(
            [
                event
                for arrival, finding in zip(arrivals, findings, strict=True)
                if finding is Finding.STORED
                for event in self._events(arrival)
            ]
        )
        return findings

    @cached_property
    def connection(self) -> Connection:
        """The transaction's connection."""
        return self.work.session.connection()

    def _earlier(self, arrival: Arrival) -> KnownInstance | None:
        uid = arrival.header.sop_instance_uid
        return self.statements.find_instance(self.connection.connection, uid)

    def _again(self, arrival: Arrival, earlier: KnownInstance) -> Finding:
        """Judge an instance whose UID is known by the hash of its dataset."""
        receipt = arrival.receipt
        if earlier.dataset_sha256 != receipt.dataset_sha256:
            self._conflict(arrival, QuarantineReason.CONFLICTING_INSTANCE)
            return Finding.CONFLICTING_INSTANCE
        if earlier.condition == Condition.INTACT:
            return Finding.ALREADY_STORED
        self.connection.execute(
            update(INSTANCE)
            .where(INSTANCE.c.sop_instance_uid == earlier.sop_instance_uid)
            .values(
                condition=Condition.INTACT.value,
                storage_key=receipt.storage_key,
                transfer_syntax_uid=receipt.transfer_syntax_uid,
            )
        )
        return Finding.MENDED

    def _new(self, arrival: Arrival) -> Finding:
        study = self._study(arrival)
        if not study.belongs_to(arrival.patient):
            self._conflict(arrival, QuarantineReason.CONFLICTING_STUDY)
            return Finding.CONFLICTING_STUDY
        series_row_id = study.series[arrival.header.series.series_instance_uid]
        self.new_rows.append(instance_values(series_row_id, arrival.header, arrival.receipt))
        self.study_growth.setdefault(study.row_id, _Growth()).instances += 1
        self.series_growth.setdefault(series_row_id, _Growth()).instances += 1
        return Finding.STORED

    def _study(self, arrival: Arrival) -> KnownStudy:
        """Return the arrival's study with its series, made now if need be."""
        uid = arrival.header.study.study_instance_uid
        series = arrival.header.series
        study = self.studies.get(uid) or self.remembered.get(uid)
        if study is None or series.series_instance_uid not in study.series:
            study = load_study(self.connection, uid) or self._insert_study(arrival)
            if study.belongs_to(arrival.patient) and series.series_instance_uid not in study.series:
                study = self._insert_series(study, arrival)
            self.studies[uid] = study
        return study

    def _insert_study(self, arrival: Arrival) -> KnownStudy:
        values = study_values(arrival.header, arrival.receipt)
        row_id = self.connection.execute(insert(STUDY).returning(STUDY.c.id), values).scalar_one()
        return KnownStudy(row_id, values["issuer_oid"], values["patient_id"], {})

    def _insert_series(self, study: KnownStudy, arrival: Arrival) -> KnownStudy:
        series = arrival.header.series
        values = series_values(study.row_id, series, arrival.receipt.received_at)
        connection = self.connection
        row_id = connection.execute(insert(SERIES).returning(SERIES.c.id), values).scalar_one()
        # Locked on PostgreSQL, where another machine may add a series in the same moment; without
        # its key, which every new series refers to: two that wait for each other would never end.
        found = connection.execute(
            select(STUDY.c.modalities, STUDY.c.body_parts)
            .where(STUDY.c.id == study.row_id)
            .with_for_update(key_share=True)
        ).one()
        connection.execute(
            update(STUDY)
            .where(STUDY.c.id == study.row_id)
            .values(
                modalities=_with(found.modalities, series.modality),
                body_parts=_with(found.body_parts, series.body_part_examined),
            )
        )
        self.study_growth.setdefault(study.row_id, _Growth()).series += 1
        return replace(study, series={**study.series, series.series_instance_uid: row_id})

    def _flush(self, now: datetime) -> None:
        """Write the instances and count them; a late one reopens its study."""
        if not self.new_rows:
            return
        driver, statements = self.connection.connection, self.statements
        statements.insert_instance.execute(driver, self.new_rows)
        statements.grow_study.execute(
            driver,
            [
                {"row_id": row_id, "instances": add.instances, "series": add.series, "now": now}
                for row_id, add in self.study_growth.items()
            ],
        )
        statements.grow_series.execute(
            driver,
            [
                {"row_id": row_id, "instances": add.instances}
                for row_id, add in self.series_growth.items()
            ],
        )

    def _events(self, arrival: Arrival) -> Iterator[Event]:
        """What becomes true with the arrival's row."""
        header, origin, clock = arrival.header, arrival.receipt.origin, self.work.clock
        yield new_event(
            InstanceArchived,
            clock,
            sop_instance_uid=header.sop_instance_uid,
            series_instance_uid=header.series.series_instance_uid,
            study_instance_uid=header.study.study_instance_uid,
            site_id=origin.site_id,
            patient=observed_patient(header, origin.issuer),
        )
        if header.sop_class_uid == KEY_OBJECT_SELECTION:
            yield new_event(
                KeyObjectArchived,
                clock,
                sop_instance_uid=header.sop_instance_uid,
                study_instance_uid=header.study.study_instance_uid,
                site_id=origin.site_id,
            )

    def _conflict(self, arrival: Arrival, reason: QuarantineReason) -> None:
        """Keep a conflict found only inside the transaction: another process was quicker."""
        insert_quarantine(self.connection, conflict_record(arrival, reason))


def conflict_record(arrival: Arrival, reason: QuarantineReason) -> QuarantineRecord:
    """Return the quarantine entry of an arrival that contradicts the index."""
    return QuarantineRecord.of(
        arrival.receipt,
        reason,
        arrival.header.sop_instance_uid,
        study_instance_uid=arrival.header.study.study_instance_uid,
        issuer_oid=arrival.patient.issuer.oid,
        patient_id=arrival.patient.value,
    )


def insert_quarantine(connection: Connection, record: QuarantineRecord) -> None:
    """Add a quarantine row; the same dataset again is counted, and makes no second case."""
    again = connection.execute(
        update(QUARANTINE)
        .where(
            or_(
                QUARANTINE.c.storage_key == record.storage_key,
                (QUARANTINE.c.dataset_sha256 == record.dataset_sha256)
                & (QUARANTINE.c.sop_instance_uid == record.sop_instance_uid),
            )
        )
        .values(times=QUARANTINE.c.times + 1, last_received_at=record.received_at)
    )
    if not again.rowcount:
        connection.execute(insert(QUARANTINE), quarantine_values(record))


def _with(values: list[str], value: str) -> list[str]:
    return values if not value or value in values else [*values, value]


_FIND_STUDY = select(STUDY.c.id, STUDY.c.issuer_oid, STUDY.c.patient_id).where(
    STUDY.c.study_instance_uid == bindparam("uid")
)
_FIND_SERIES = select(SERIES.c.series_instance_uid, SERIES.c.id).where(
    SERIES.c.study_row_id == bindparam("row_id")
)


def load_study(connection: Connection, uid: str) -> KnownStudy | None:
    """Return the study of that UID with its series, as the transaction sees it."""
    row = connection.execute(_FIND_STUDY, {"uid": uid}).first()
    if row is None:
        return None
    series = connection.execute(_FIND_SERIES, {"row_id": row.id})
    return KnownStudy(row.id, row.issuer_oid, row.patient_id, {s[0]: s[1] for s in series})
