"""The tables of access control. No secret is stored in the clear: tokens by hash, passcodes argon2.

Passwords and passcodes are argon2 hashes; session, machine, link and grant tokens are 256 random
bits, for which a plain SHA-256 is enough.
"""

from datetime import date, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.append_only import keep_append_only
from hub_kernel.database import Base, UtcDateTime


class SiteRow(Base):
    """One site (`access_control.model.Site`)."""

    __tablename__ = "site"

    site_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    institution: Mapped[str] = mapped_column(String(200))
    level: Mapped[str] = mapped_column(String(64))
    networks: Mapped[list[str]] = mapped_column(JSON(none_as_null=True))
    authority_namespace: Mapped[str] = mapped_column(String(64))
    authority_oid: Mapped[str] = mapped_column(String(64))
    claimed_charset: Mapped[str] = mapped_column(String(128))
    used_charset: Mapped[str] = mapped_column(String(128))
    query_scope: Mapped[str] = mapped_column(String(16))
    allowed_sop_classes: Mapped[list[str]] = mapped_column(
        JSON(none_as_null=True), server_default="[]"
    )
    max_bytes_per_day: Mapped[int] = mapped_column(BigInteger, server_default="0")
    max_instances_per_day: Mapped[int] = mapped_column(BigInteger, server_default="0")
    max_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    max_instances: Mapped[int] = mapped_column(BigInteger, server_default="0")
    max_associations: Mapped[int] = mapped_column(Integer, server_default="0")
    priority: Mapped[str] = mapped_column(String(16), server_default="normal")
    tls_only: Mapped[bool] = mapped_column(Boolean, server_default=false())
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SiteUsageRow(Base):
    """What one site has sent on one day of the region's calendar (`access_control.usage`)."""

    __tablename__ = "site_usage"

    site_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    received_bytes: Mapped[int] = mapped_column(BigInteger)
    instances: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)


class SiteAeTitleRow(Base):
    """One AE title of a site; the key itself keeps two sites from sharing one."""

    __tablename__ = "site_ae_title"

    ae_title: Mapped[str] = mapped_column(String(16), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.site_id"), index=True)
    position: Mapped[int] = mapped_column(Integer)


class AuditRecordRow(Base):
    """One audit record: `message` is the record, the other columns repeat it for searching."""

    __tablename__ = "audit_record"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[str] = mapped_column(String(16))
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(String(128))
    resource_kind: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(String(256))
    message: Mapped[str] = mapped_column(Text)
    mac: Mapped[str] = mapped_column(String(64))

    __table_args__ = (
        Index(None, "subject_kind", "subject_id", "sequence"),
        Index(None, "resource_id", "sequence"),
    )


class AuditHeadRow(Base):
    """The one row that says how long the chain is and how it ends; locked by every append."""

    __tablename__ = "audit_head"

    head_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)
    mac: Mapped[str] = mapped_column(String(64))
    head_mac: Mapped[str] = mapped_column(String(64))


class UserAccountRow(Base):
    """One person who may sign in; `sites` is null for the whole region."""

    __tablename__ = "user_account"

    user_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    display_name: Mapped[str] = mapped_column(String(128))
    password_hash: Mapped[str] = mapped_column(String(256))
    roles: Mapped[list[str]] = mapped_column(JSON(none_as_null=True))
    sites: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    language: Mapped[str] = mapped_column(String(8))
    enabled: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignInFailureRow(Base):
    """Failed sign-ins of one name, whether or not it has an account; the name itself is hashed."""

    __tablename__ = "sign_in_failure"

    name_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class UserSessionRow(Base):
    """One signed-in browser."""

    __tablename__ = "user_session"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user_account.user_id"), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class MachineTokenRow(Base):
    """One token of a machine; `sites` is null for the whole region."""

    __tablename__ = "machine_token"

    token_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    roles: Mapped[list[str]] = mapped_column(JSON(none_as_null=True))
    sites: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SharedLinkRow(Base):
    """One link to the public version of one study."""

    __tablename__ = "shared_link"

    link_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    passcode_hash: Mapped[str] = mapped_column(String(256))
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    global_id: Mapped[str] = mapped_column(String(128), index=True)
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    max_views: Mapped[int | None] = mapped_column(Integer)
    views: Mapped[int] = mapped_column(Integer)


class SharedLinkAttemptRow(Base):
    """Wrong passcodes of one link, in a row and in all; the row of the empty id: of no link.

    It stands apart from the link so that a token that opens nothing costs the same write.
    """

    __tablename__ = "shared_link_attempt"

    link_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    failures: Mapped[int] = mapped_column(BigInteger)
    failures_in_all: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SharedLinkVisitRow(Base):
    """One successful opening of a link, for the citizen's own access log."""

    __tablename__ = "shared_link_visit"

    visit_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("shared_link.link_id"), index=True)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    address: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(64), server_default="")


class SharedLinkGrantRow(Base):
    """What a browser holds after the passcode: a short-lived right that dies with its link."""

    __tablename__ = "shared_link_grant"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("shared_link.link_id"), index=True)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


APPEND_ONLY: tuple[str, ...] = ("audit_record",)
"""Tables whose rows the database itself refuses to change or to delete."""

keep_append_only(APPEND_ONLY)
