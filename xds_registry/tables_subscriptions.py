"""Tables of the notification broker: who wants to be told what, and what is owed to whom."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

PENDING = "pending"
PARKED = "parked"


class SubscriptionRow(Base):
    """One subscription; `filters` is JSON, a list of (name, texts), `patient_id` a CX or empty.

    `reference` is the address that the subscriber was given to unsubscribe at.
    """

    __tablename__ = "subscription"
    __table_args__ = (Index("ix_subscription_patient", "patient_id", "terminates_at"),)

    subscription_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(String(128), index=True)
    consumer: Mapped[str] = mapped_column(String(500))
    reference: Mapped[str] = mapped_column(String(1000))
    topic: Mapped[str] = mapped_column(String(40))
    query_id: Mapped[str] = mapped_column(String(80))
    patient_id: Mapped[str] = mapped_column(String(256))
    filters: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    terminates_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class NotificationRow(Base):
    """One submission that a subscriber is still to be told of; gone when the consumer has it.

    `items` is JSON: the entryUUIDs of what matched.
    """

    __tablename__ = "subscription_notification"
    __table_args__ = (
        UniqueConstraint("subscription_id", "submission_set_uuid"),
        Index("ix_subscription_notification_consumer", "state", "consumer", "notification_id"),
    )

    notification_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscription.subscription_id"))
    submission_set_uuid: Mapped[str] = mapped_column(String(80))
    consumer: Mapped[str] = mapped_column(String(500))
    items: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10), default=PENDING)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(String(200), default="")


class ConsumerRow(Base):
    """One consumer that did not answer of late, and when it is tried again."""

    __tablename__ = "subscription_consumer"

    address: Mapped[str] = mapped_column(String(500), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
