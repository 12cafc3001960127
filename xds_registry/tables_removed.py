"""What was removed from the registry, by whom and when; the database refuses to change it."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.append_only import keep_append_only
from hub_kernel.database import Base, UtcDateTime

APPEND_ONLY = ("removed_object",)


class RemovedObjectRow(Base):
    """One registry object as it was when it was removed (ITI-62); `content` is its JSON form."""

    __tablename__ = "removed_object"

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_uuid: Mapped[str] = mapped_column(String(80), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    content: Mapped[str] = mapped_column(Text)
    removed_by: Mapped[str] = mapped_column(String(255))
    removed_at: Mapped[datetime] = mapped_column(UtcDateTime)


keep_append_only(APPEND_ONLY)
