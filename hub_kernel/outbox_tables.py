"""The tables of the outbox: published events, and to whom each is still owed."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, false, or_
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

PENDING = "pending"
PARKED = "parked"
# Farther ahead than any lease or delay: written by a clock that has been set back since.
FAR_AHEAD = timedelta(days=1)


class OutboxEvent(Base):
    """One published event."""

    __tablename__ = "outbox_event"

    event_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class OutboxDelivery(Base):
    """One event still owed to one subscriber; the row goes when the subscriber is done."""

    __tablename__ = "outbox_delivery"
    __table_args__ = (
        Index("ix_outbox_delivery_due", "state", "due_at", "delivery_id"),
        # In the order in which they are claimed: however many wait, few are read.
        Index("ix_outbox_delivery_order", "state", "urgent", "delivery_id"),
    )

    delivery_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("outbox_event.event_id"), index=True)
    subscriber: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(10), default=PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str] = mapped_column(String(200), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    urgent: Mapped[bool] = mapped_column(default=False, server_default=false())
    # When a message about it was last given to a broker; None once it has been claimed.
    handed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def is_due(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a delivery may be claimed `now`."""
    return or_(OutboxDelivery.due_at <= now, OutboxDelivery.due_at > now + FAR_AHEAD)
