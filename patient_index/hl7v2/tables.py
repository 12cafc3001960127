"""Messages that were refused, kept as they came, until a person has replayed or dismissed them."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

OPEN, REPLAYED, DISMISSED = "open", "replayed", "dismissed"


class Hl7Refusal(Base):
    """One refused message; its bytes and its words hold patient data and go into no log.

    `digest` is the SHA-256 of the bytes: the same bytes refused again only count up `times`.
    """

    __tablename__ = "hl7_refusal"
    __table_args__ = (Index(None, "status", "size"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    times: Mapped[int]
    address: Mapped[str] = mapped_column(String(64))
    sender: Mapped[str] = mapped_column(String(128))
    message_type: Mapped[str] = mapped_column(String(32))
    control_id: Mapped[str] = mapped_column(String(200))
    raw: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    size: Mapped[int]
    rule: Mapped[str] = mapped_column(String(32))
    code: Mapped[int]
    place: Mapped[str] = mapped_column(String(64))
    english: Mapped[str] = mapped_column(String(1000))
    chinese: Mapped[str] = mapped_column(String(1000))
    status: Mapped[str] = mapped_column(String(16))
    decided_by: Mapped[str] = mapped_column(String(128))
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String(400))
