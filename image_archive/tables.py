"""The tables of the archive: study, series, instance, quarantine, compaction, reconciliation."""

from datetime import date, datetime
from typing import cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

# SQLite counts rows up by itself only in a column that is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")


def _key_text(length: int) -> String:
    """Text that is compared and ranged over byte by byte, on PostgreSQL as on SQLite."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class StudyRow(Base):
    """One study (`image_archive.model.StudyRecord`), with the keys its patient's name is found by.

    `series_count`, `instance_count`, `modalities` and `body_parts` repeat what the levels below
    say, so that a list of studies costs one query. Both counts hold what was rejected too, which
    `rejected_series` and `rejected_instances` count; `modalities` and `body_parts` leave it out.
    """

    __tablename__ = "study"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(_key_text(64), unique=True)
    site_id: Mapped[str] = mapped_column(String(64))
    issuer_namespace: Mapped[str] = mapped_column(String(128))
    issuer_oid: Mapped[str] = mapped_column(String(64))
    patient_id: Mapped[str] = mapped_column(_key_text(80))
    name_alphabetic: Mapped[str] = mapped_column(String(200))
    name_ideographic: Mapped[str] = mapped_column(String(200))
    name_phonetic: Mapped[str] = mapped_column(String(200))
    name_confident: Mapped[bool] = mapped_column(Boolean)
    name_rule: Mapped[str] = mapped_column(String(80))
    key_as_sent: Mapped[str] = mapped_column(_key_text(400), index=True)
    key_hanzi: Mapped[str] = mapped_column(_key_text(400), index=True)
    key_pinyin: Mapped[str] = mapped_column(_key_text(800), index=True)
    key_initials: Mapped[str] = mapped_column(_key_text(400), index=True)
    key_alphabetic: Mapped[str] = mapped_column(_key_text(400), index=True)
    patient_birth_date: Mapped[date | None] = mapped_column(Date)
    patient_sex: Mapped[str] = mapped_column(String(16))
    other_patient_ids: Mapped[list[str]] = mapped_column(JSON)
    accession_number: Mapped[str] = mapped_column(_key_text(64), index=True)
    study_id: Mapped[str] = mapped_column(String(64))
    study_date: Mapped[date | None] = mapped_column(Date, index=True)
    study_time: Mapped[str] = mapped_column(String(28))
    study_time_key: Mapped[str] = mapped_column(_key_text(13))
    study_description: Mapped[str] = mapped_column(String(256))
    timezone_offset: Mapped[str] = mapped_column(String(5), server_default="")
    referring_alphabetic: Mapped[str] = mapped_column(String(200))
    referring_ideographic: Mapped[str] = mapped_column(String(200))
    referring_phonetic: Mapped[str] = mapped_column(String(200))
    modalities: Mapped[list[str]] = mapped_column(JSON)
    body_parts: Mapped[list[str]] = mapped_column(JSON)
    series_count: Mapped[int] = mapped_column(Integer)
    instance_count: Mapped[int] = mapped_column(Integer)
    rejected_series: Mapped[int] = mapped_column(Integer, server_default="0")
    rejected_instances: Mapped[int] = mapped_column(Integer, server_default="0")
    state: Mapped[str] = mapped_column(String(16))
    generation: Mapped[int] = mapped_column(Integer)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    emergency: Mapped[bool] = mapped_column(Boolean, server_default=false())

    __table_args__ = (
        Index(None, "patient_id", "issuer_oid"),
        Index(None, "state", "last_received_at"),
    )


class SeriesRow(Base):
    """One series (`image_archive.model.SeriesRecord`)."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    study_row_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    series_instance_uid: Mapped[str] = mapped_column(_key_text(64), index=True)
    modality: Mapped[str] = mapped_column(_key_text(16))
    series_number: Mapped[int | None] = mapped_column(Integer)
    series_description: Mapped[str] = mapped_column(String(256))
    body_part_examined: Mapped[str] = mapped_column(String(64))
    series_date: Mapped[date | None] = mapped_column(Date)
    series_time: Mapped[str] = mapped_column(String(28))
    institution_name: Mapped[str] = mapped_column(String(256))
    station_name: Mapped[str] = mapped_column(String(64))
    performed_start_date: Mapped[date | None] = mapped_column(Date)
    performed_start_time: Mapped[str] = mapped_column(String(28), server_default="")
    scheduled_step_id: Mapped[str] = mapped_column(String(64), server_default="")
    requested_procedure_id: Mapped[str] = mapped_column(String(64), server_default="")
    instance_count: Mapped[int] = mapped_column(Integer)
    rejected_instances: Mapped[int] = mapped_column(Integer, server_default="0")
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (Index(None, "study_row_id", "series_instance_uid", unique=True),)


class InstanceRow(Base):
    """One instance (`image_archive.model.InstanceRecord`); its UID is unique in the archive."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    series_row_id: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(_key_text(64), unique=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    instance_number: Mapped[int | None] = mapped_column(Integer)
    rows: Mapped[int] = mapped_column(Integer)
    columns: Mapped[int] = mapped_column(Integer)
    number_of_frames: Mapped[int] = mapped_column(Integer)
    bits_allocated: Mapped[int] = mapped_column(Integer, server_default="0")
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str] = mapped_column(_key_text(200), unique=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    condition: Mapped[str] = mapped_column(String(16))
    rejected: Mapped[str] = mapped_column(String(16), server_default="")


class QuarantineRow(Base):
    """Bytes kept apart (`image_archive.model.QuarantineRecord`)."""

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    reason: Mapped[str] = mapped_column(String(32))
    sop_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    site_id: Mapped[str] = mapped_column(String(64))
    calling_ae_title: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    dataset_sha256: Mapped[str] = mapped_column(String(64), index=True)
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str] = mapped_column(_key_text(200), unique=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    detail: Mapped[str] = mapped_column(String(256))
    case_key: Mapped[str] = mapped_column(String(64), server_default="")
    issuer_oid: Mapped[str] = mapped_column(String(64), server_default="")
    patient_id: Mapped[str] = mapped_column(String(80), server_default="")
    status: Mapped[str] = mapped_column(String(16), server_default="open")
    times: Mapped[int] = mapped_column(Integer, server_default="1")
    last_received_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decision_id: Mapped[int | None] = mapped_column(Integer)

    __table_args__ = (Index(None, "status", "case_key"),)


class ConflictDecisionRow(Base):
    """What a person decided about one case of the conflict desk, and whether it was taken back.

    `state` is pending until all that the decision means is carried out.
    """

    __tablename__ = "conflict_decision"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    case_key: Mapped[str] = mapped_column(String(64), index=True)
    verdict: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    patient_id: Mapped[str] = mapped_column(String(64))
    decided_by: Mapped[str] = mapped_column(String(128))
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(String(400))
    undone_by: Mapped[str] = mapped_column(String(128), server_default="")
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CompactionRow(Base):
    """What compaction made of one instance: a master, or nothing for a reason.

    The bytes say which of the two is read; this row says that the instance has had its turn.
    """

    __tablename__ = "compaction"

    instance_row_id: Mapped[int] = mapped_column(
        _RowId,
        ForeignKey("instance.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(40))
    original_bytes: Mapped[int] = mapped_column(BigInteger)
    kept_bytes: Mapped[int] = mapped_column(BigInteger)
    done_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReconciliationRow(Base):
    """One start-up comparison of bytes and rows that went through to its end."""

    __tablename__ = "reconciliation"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    abandoned: Mapped[int] = mapped_column(Integer)
    rebuilt: Mapped[int] = mapped_column(Integer)
    superfluous: Mapped[int] = mapped_column(Integer)
    missing: Mapped[int] = mapped_column(Integer)
    unrecognised: Mapped[int] = mapped_column(Integer)


class OrthancPositionRow(Base):
    """The change of Orthanc's feed that was followed last (`image_archive.adoption`); one row."""

    __tablename__ = "orthanc_position"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(40))
    resource_id: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[str] = mapped_column(String(40))


# The same tables for statements that need no objects, as the receive path and the queries.
STUDY = cast(Table, StudyRow.__table__)
SERIES = cast(Table, SeriesRow.__table__)
INSTANCE = cast(Table, InstanceRow.__table__)
QUARANTINE = cast(Table, QuarantineRow.__table__)
CONFLICT_DECISION = cast(Table, ConflictDecisionRow.__table__)
COMPACTION = cast(Table, CompactionRow.__table__)
ORTHANC_POSITION = cast(Table, OrthancPositionRow.__table__)
RECONCILIATION = cast(Table, ReconciliationRow.__table__)
