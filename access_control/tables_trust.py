"""The tables of trust between machines: certificates, used assertions, shipped records, keys."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Boolean, String, false
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class MachineCertificateRow(Base):
    """One client certificate bound to a machine or to a site.

    Of a machine: roles, and `sites` where they hold, null for the whole region. Of a site:
    `site_id`, and the AE titles it proves, null for all of that site.
    """

    __tablename__ = "machine_certificate"

    certificate_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    subject_name: Mapped[str] = mapped_column(String(400))
    roles: Mapped[list[str]] = mapped_column(JSON(none_as_null=True))
    sites: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    site_id: Mapped[str | None] = mapped_column(String(64), index=True)
    ae_titles: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    issued_here: Mapped[bool] = mapped_column(Boolean, server_default=false())


class UsedAssertionRow(Base):
    """One SAML assertion that was accepted; its hash is kept for as long as it could be shown."""

    __tablename__ = "used_assertion"

    assertion_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    forgotten_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class AuditCursorRow(Base):
    """How far the audit trail was shipped to one destination, and who is shipping just now."""

    __tablename__ = "audit_cursor"

    destination: Mapped[str] = mapped_column(String(200), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    shipped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    held_by: Mapped[str] = mapped_column(String(64))
    held_until: Mapped[datetime] = mapped_column(UtcDateTime)


class HubKeyRow(Base):
    """One key of the hub, by its fingerprint: every machine must hold the same."""

    __tablename__ = "hub_key"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
