"""The tables of deletion: what stays of a deleted study, and the bytes that are still to go."""

from datetime import date, datetime
from typing import cast

from sqlalchemy import JSON, BigInteger, Date, ForeignKey, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

# SQLite counts rows up by itself only in a column that is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")
_KEY = String(200).with_variant(String(200, collation="C"), "postgresql")


class DeletedStudyRow(Base):
    """One study that was deleted for good: what it was, who deleted it, when and why.

    No name stays. `finished_at` is empty while bytes of it are still to go.
    """

    __tablename__ = "deleted_study"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    site_id: Mapped[str] = mapped_column(String(64))
    issuer_oid: Mapped[str] = mapped_column(String(64))
    patient_id: Mapped[str] = mapped_column(String(80))
    study_date: Mapped[date | None] = mapped_column(Date)
    modalities: Mapped[list[str]] = mapped_column(JSON)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    instances: Mapped[int] = mapped_column(Integer)
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)
    deleted_by: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(String(400))
    deleted_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class DeletedInstanceRow(Base):
    """One instance of a deleted study: the hash of what was destroyed."""

    __tablename__ = "deleted_instance"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    deleted_study_id: Mapped[int] = mapped_column(ForeignKey("deleted_study.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)


class DeletedObjectRow(Base):
    """One object of a deleted study whose bytes are still to go; the row goes with them."""

    __tablename__ = "deleted_object"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    deleted_study_id: Mapped[int] = mapped_column(ForeignKey("deleted_study.id"), index=True)
    storage_key: Mapped[str] = mapped_column(_KEY, index=True)


DELETED_STUDY = cast(Table, DeletedStudyRow.__table__)
DELETED_INSTANCE = cast(Table, DeletedInstanceRow.__table__)
DELETED_OBJECT = cast(Table, DeletedObjectRow.__table__)
