"""The table of bytes on their way into the repository or out of it."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class RepositoryIntakeRow(Base):
    """Bytes that may lie in the archive without any row naming them, since when.

    Written before they are made durable, and when what named them is removed; gone again with the
    transaction that names them.
    """

    __tablename__ = "repository_intake"

    storage_key: Mapped[str] = mapped_column(String(120), primary_key=True)
    begun_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
