"""The table of storage commitment: what was asked, what was found, whether it has been reported."""

from datetime import datetime
from typing import cast

from sqlalchemy import JSON, BigInteger, Index, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

# SQLite counts rows up by itself only in a column that is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")


class CommitmentTransactionRow(Base):
    """One N-ACTION that was accepted.

    `asked` are pairs of SOP class and instance UID; `found` the failure reason of each, 0 for a
    committed one, as far as they have been looked at. Whoever works on it holds the lease.
    """

    __tablename__ = "commitment_transaction"

    id: Mapped[int] = mapped_column(_RowId, primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(String(64))
    site_id: Mapped[str] = mapped_column(String(64))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked: Mapped[list[list[str]]] = mapped_column(JSON(none_as_null=True))
    found: Mapped[list[int]] = mapped_column(JSON(none_as_null=True))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    last_error: Mapped[str] = mapped_column(String(200), default="")
    lease_owner: Mapped[str] = mapped_column(String(200), default="")
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reported_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (Index("ix_commitment_transaction_turn", "reported_at", "due_at"),)


TRANSACTION = cast(Table, CommitmentTransactionRow.__table__)
