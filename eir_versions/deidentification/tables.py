"""The tables of de-identification: pictures with text in their pixels, and what was exported."""

from datetime import datetime

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class BurnedInCaseRow(Base):
    """One frame that was looked at for text; `dataset_sha256` ties it to the bytes it was in."""

    __tablename__ = "burned_in_case"
    __table_args__ = (
        Index(
            "uq_burned_in_frame", "sop_instance_uid", "frame_number", "dataset_sha256", unique=True
        ),
        Index("ix_burned_in_state", "state", "found_at"),
    )

    case_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    frame_number: Mapped[int] = mapped_column(Integer)
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    site_id: Mapped[str] = mapped_column(String(64))
    modality: Mapped[str] = mapped_column(String(16))
    cause: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    scanner: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer)
    columns: Mapped[int] = mapped_column(Integer)
    lines: Mapped[str] = mapped_column(Text)
    proposed: Mapped[str] = mapped_column(Text)
    masks: Mapped[str] = mapped_column(Text)
    found_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[str] = mapped_column(String(128))
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(String(400))


class DeidentifiedExportRow(Base):
    """One study that left the hub de-identified: to which project, by whom, with which options."""

    __tablename__ = "deidentified_export"
    __table_args__ = (Index("ix_deidentified_export_project", "project", "exported_at"),)

    export_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project: Mapped[str] = mapped_column(String(32))
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    subject_id: Mapped[str] = mapped_column(String(64))
    options: Mapped[str] = mapped_column(String(255))
    edition: Mapped[str] = mapped_column(String(32))
    instances: Mapped[int] = mapped_column(Integer)
    left_out: Mapped[str] = mapped_column(Text)
    content_sha256: Mapped[str] = mapped_column(String(64))
    exported_by: Mapped[str] = mapped_column(String(128))
    exported_at: Mapped[datetime] = mapped_column(UtcDateTime)
