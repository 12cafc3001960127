"""The tables of consent: what a person agreed to or refused, and whom that covers.

Rows are only ever added; the database itself refuses to change or to delete them.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.append_only import keep_append_only
from hub_kernel.database import Base, UtcDateTime

# Compared byte by byte, as the identifiers of the patient index are.
_NUMBER = String(64).with_variant(String(64, collation="C"), "postgresql")


class ConsentEntryRow(Base):
    """One statement of a person or of who speaks for them; the latest of a scope holds."""

    __tablename__ = "consent_entry"

    entry_id: Mapped[int] = mapped_column(primary_key=True)
    global_id: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    scope: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(String(400))
    recorded_by: Mapped[str] = mapped_column(String(128))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ConsentIdentifierRow(Base):
    """An identifier the person had when the statement was made: it is covered for good.

    Persons are merged and taken apart; what was said about an identifier stays with it.
    """

    __tablename__ = "consent_identifier"
    __table_args__ = (Index(None, "value", "issuer_oid"),)

    entry_id: Mapped[int] = mapped_column(ForeignKey("consent_entry.entry_id"), primary_key=True)
    value: Mapped[str] = mapped_column(_NUMBER, primary_key=True)
    issuer_oid: Mapped[str] = mapped_column(String(64), primary_key=True)


APPEND_ONLY: tuple[str, ...] = ("consent_entry", "consent_identifier")
"""Tables whose rows the database itself refuses to change or to delete."""

keep_append_only(APPEND_ONLY)
