"""The tables of the gateway: at the hub what edges report, at an edge what the hub says."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Boolean, Index, Integer, String, Table, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

_RowId = BigInteger().with_variant(Integer, "sqlite")


class EdgeContactRow(Base):
    """At the hub: the last contact of one edge (`edge_gateway.model.EdgeContact`)."""

    __tablename__ = "edge_contact"

    site_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_contact_at: Mapped[datetime] = mapped_column(UtcDateTime)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)


class EdgeInstanceRow(Base):
    """At the hub: one instance that an edge says it has received.

    `arrived_at` is when the hub was first seen to hold the very same bytes; those it does not hold
    are the few that an index of their own finds.
    """

    __tablename__ = "edge_instance"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    site_id: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reported_at: Mapped[datetime] = mapped_column(UtcDateTime)
    arrived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("uq_edge_instance_site", "site_id", "sop_instance_uid", unique=True),
        Index("ix_edge_instance_study", "study_instance_uid", "site_id"),
        Index(
            "ix_edge_instance_awaited",
            "site_id",
            "received_at",
            sqlite_where=text("arrived_at IS NULL"),
            postgresql_where=text("arrived_at IS NULL"),
        ),
    )


class EdgeStudyRow(Base):
    """At an edge: how far one of its studies is at the hub, as the hub last said."""

    __tablename__ = "edge_study"

    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    instances: Mapped[int] = mapped_column(Integer)
    complete: Mapped[bool] = mapped_column(Boolean)
    registered: Mapped[bool] = mapped_column(Boolean)
    rendered: Mapped[bool] = mapped_column(Boolean)
    damaged: Mapped[int] = mapped_column(Integer)
    said_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EdgeMarkRow(Base):
    """At an edge: one thing it must remember over a restart, as how far it has reported."""

    __tablename__ = "edge_mark"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    noted_at: Mapped[datetime] = mapped_column(UtcDateTime)


EDGE_INSTANCE = cast(Table, EdgeInstanceRow.__table__)
EDGE_STUDY = cast(Table, EdgeStudyRow.__table__)
