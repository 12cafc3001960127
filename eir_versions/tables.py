"""The tables of the version ledger. Rows are added and superseded, never changed or removed."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class EirVersionRow(Base):
    """One version. A study has at most one per recipe whose `superseded_at` is empty."""

    __tablename__ = "eir_version"
    __table_args__ = (
        Index(
            "uq_eir_version_current",
            "study_instance_uid",
            "recipe",
            unique=True,
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
        Index("ix_eir_version_history", "study_instance_uid", "recipe", "generation"),
    )

    version_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(32))
    recipe_version: Mapped[int] = mapped_column(Integer)
    recipe_digest: Mapped[str] = mapped_column(String(64))
    renderer_version: Mapped[str] = mapped_column(String(200))
    generation: Mapped[int] = mapped_column(Integer)
    inputs_sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(40))
    source_count: Mapped[int] = mapped_column(Integer)
    skipped_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    selection: Mapped[str] = mapped_column(String(80), server_default="")
    cause: Mapped[str] = mapped_column(String(40), server_default="")
    cause_event_id: Mapped[str] = mapped_column(String(36), server_default="")
    global_id: Mapped[str] = mapped_column(String(64), server_default="")
    reports: Mapped[list[list[str]] | None] = mapped_column(JSON(none_as_null=True))
    document_key: Mapped[str] = mapped_column(String(200), server_default="")


class EirVersionPictureRow(Base):
    """One picture of a version, in reading order."""

    __tablename__ = "eir_version_picture"
    __table_args__ = (Index("ix_eir_version_picture_series", "version_id", "series_instance_uid"),)

    picture_id: Mapped[str] = mapped_column(String(48), primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("eir_version.version_id"), index=True)
    ordinal: Mapped[int] = mapped_column(Integer)
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    frame_number: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    media_type: Mapped[str] = mapped_column(String(32))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    inputs_sha256: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(200), index=True)
    quality: Mapped[int | None] = mapped_column(Integer)
    compression_ratio: Mapped[float | None]
    psnr_db: Mapped[float | None]
    ssim: Mapped[float | None]
    job: Mapped[str] = mapped_column(Text, server_default="")


class EirVersionSourceRow(Base):
    """One instance a version is made of, or the reason why it could not be shown."""

    __tablename__ = "eir_version_source"

    version_id: Mapped[str] = mapped_column(ForeignKey("eir_version.version_id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(40))
