"""The tables of forwarding: the ledger, and what is known of each destination."""

from datetime import datetime
from typing import cast

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

# SQLite counts rows up by itself only in a column that is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")


class ForwardingItemRow(Base):
    """One instance owed to one destination (`dicom_router.forwarding.model.Item`)."""

    __tablename__ = "forwarding_item"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    destination: Mapped[str] = mapped_column(String(64))
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    site_id: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)
    rule: Mapped[str] = mapped_column(String(64))
    wanted_syntax: Mapped[str] = mapped_column(String(32))
    priority: Mapped[int] = mapped_column(Integer)
    schedule: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_status: Mapped[str] = mapped_column(String(64))
    last_comment: Mapped[str] = mapped_column(String(200))
    sent_syntax_uid: Mapped[str] = mapped_column(String(64))
    lease_owner: Mapped[str] = mapped_column(String(200))
    leased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    transaction_uid: Mapped[str] = mapped_column(String(64))
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_forwarding_item_promise", "sop_instance_uid", "destination", unique=True),
        Index("ix_forwarding_item_turn", "destination", "state", "priority", "id"),
    )


class ForwardingDestinationRow(Base):
    """How a destination has behaved: its breaker, its last error, what it has been sent."""

    __tablename__ = "forwarding_destination"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    held: Mapped[bool] = mapped_column(Boolean, default=False)
    held_by: Mapped[str] = mapped_column(String(200), default="")
    last_error: Mapped[str] = mapped_column(String(200), default="")
    last_error_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_success_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_count: Mapped[int] = mapped_column(BigInteger, default=0)
    sent_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes_per_s: Mapped[int] = mapped_column(BigInteger, default=0)


ITEM = cast(Table, ForwardingItemRow.__table__)
DESTINATION = cast(Table, ForwardingDestinationRow.__table__)
