"""The table of break-glass: who opened whose record in an emergency, why, and what came of it."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class BrokenGlassRow(Base):
    """One emergency of one reader about one person; never deleted.

    `closed_at` is None while nobody has ended it and its hour has not been seen to be over.
    """

    __tablename__ = "broken_glass"

    glass_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(String(128), index=True)
    display: Mapped[str] = mapped_column(String(128))
    global_id: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(400))
    address: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_by: Mapped[str] = mapped_column(String(128), server_default="")
    verdict: Mapped[str] = mapped_column(String(16), server_default="", index=True)
    note: Mapped[str] = mapped_column(String(400), server_default="")
    reviewed_by: Mapped[str] = mapped_column(String(128), server_default="")
    reviewed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
