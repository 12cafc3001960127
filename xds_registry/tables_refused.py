"""Tables of the desk of refused submissions: what came, why it was refused, what became of it."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

OPEN = "open"
REPLAYED = "replayed"
DISMISSED = "dismissed"


class RefusedSubmissionRow(Base):
    """One refused submission; `payload` is its XML, `errors` and `sender` are JSON."""

    __tablename__ = "refused_submission"
    __table_args__ = (Index("ix_refused_submission_status", "status", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    action: Mapped[str] = mapped_column(String(120))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    times: Mapped[int] = mapped_column(default=1)
    address: Mapped[str] = mapped_column(String(64))
    sender_name: Mapped[str] = mapped_column(String(128))
    sender: Mapped[str] = mapped_column(Text)
    codes: Mapped[str] = mapped_column(String(400))
    errors: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text, deferred=True)
    size: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    decided_by: Mapped[str] = mapped_column(String(128), default="")
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    decision: Mapped[str] = mapped_column(String(400), default="")


class RefusedDocumentRow(Base):
    """One document of a refused submission, by the content id its payload names it by."""

    __tablename__ = "refused_document"

    submission_id: Mapped[int] = mapped_column(
        ForeignKey("refused_submission.id"), primary_key=True
    )
    content_id: Mapped[str] = mapped_column(String(512), primary_key=True)
    storage_key: Mapped[str] = mapped_column(String(120), index=True)
    media_type: Mapped[str] = mapped_column(String(120))
    size: Mapped[int] = mapped_column(BigInteger)
    sha1: Mapped[str] = mapped_column(String(40))
    sha256: Mapped[str] = mapped_column(String(64))
