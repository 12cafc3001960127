"""The table of what has a copy in the far tier."""

from datetime import datetime
from typing import cast

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class TierCopyRow(Base):
    """One instance with a copy in the far tier: beside the near one (copied) or alone (moved)."""

    __tablename__ = "tier_copy"

    instance_row_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey("instance.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    state: Mapped[str] = mapped_column(String(8))
    far_bytes: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (Index(None, "state", "changed_at"),)


TIER_COPY = cast(Table, TierCopyRow.__table__)
