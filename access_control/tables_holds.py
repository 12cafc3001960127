"""The tables of legal holds: what may not be deleted until the hold is lifted."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

# Compared byte by byte, as the identifiers of the patient index are.
_NUMBER = String(64).with_variant(String(64, collation="C"), "postgresql")


class LegalHoldRow(Base):
    """One hold: on one study, or on all of a person where `study_instance_uid` is empty."""

    __tablename__ = "legal_hold"

    hold_id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    global_id: Mapped[str] = mapped_column(String(64), index=True)
    reason: Mapped[str] = mapped_column(String(400))
    placed_by: Mapped[str] = mapped_column(String(128))
    placed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lifted_by: Mapped[str] = mapped_column(String(128), server_default="")
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lifted_reason: Mapped[str] = mapped_column(String(400), server_default="")


class LegalHoldIdentifierRow(Base):
    """An identifier the person had when the hold was placed: the hold goes where it goes.

    So a hold survives merging, and after unmerging it covers both of those who were one.
    """

    __tablename__ = "legal_hold_identifier"
    __table_args__ = (Index(None, "value", "issuer_oid"),)

    hold_id: Mapped[int] = mapped_column(ForeignKey("legal_hold.hold_id"), primary_key=True)
    value: Mapped[str] = mapped_column(_NUMBER, primary_key=True)
    issuer_oid: Mapped[str] = mapped_column(String(64), primary_key=True)
