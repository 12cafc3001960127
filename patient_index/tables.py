"""What the patient index remembers; every table is only ever added to.

Who an identifier's holder is follows from the highest `position` in `link_log`, at read time: a
link, its undoing and a question about last week all read the same rows.
"""

from datetime import date, datetime

from sqlalchemy import Date, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.append_only import keep_append_only
from hub_kernel.database import Base, UtcDateTime

# Keys are searched by ranges of prefixes, which only hold in the order of code points.
_KEY = String(255).with_variant(String(255, collation="C"), "postgresql")
_NUMBER = String(64).with_variant(String(64, collation="C"), "postgresql")


class GlobalPerson(Base):
    """A global ID that has been issued; `id` is the order of issue."""

    __tablename__ = "global_person"

    id: Mapped[int] = mapped_column(primary_key=True)
    global_id: Mapped[str] = mapped_column(String(64), unique=True)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)


class KnownIdentifier(Base):
    """An identifier as its site issued it; the OID alone says who issued it."""

    __tablename__ = "patient_identifier"
    __table_args__ = (UniqueConstraint("value", "issuer_oid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(_NUMBER)
    issuer_oid: Mapped[str] = mapped_column(String(64))
    issuer_namespace: Mapped[str] = mapped_column(String(64))
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ObservedDemographics(Base):
    """What a site said about the holder of one identifier, once per different statement.

    `fingerprint` is the SHA-256 of the whole statement, other numbers included.
    """

    __tablename__ = "observed_demographics"
    __table_args__ = (UniqueConstraint("identifier_id", "fingerprint"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"))
    fingerprint: Mapped[str] = mapped_column(String(64))
    name_alphabetic: Mapped[str] = mapped_column(String(255))
    name_ideographic: Mapped[str] = mapped_column(String(255))
    name_phonetic: Mapped[str] = mapped_column(String(255))
    name_confident: Mapped[bool]
    name_rule: Mapped[str] = mapped_column(String(64))
    key_hanzi: Mapped[str] = mapped_column(_KEY, index=True)
    key_pinyin: Mapped[str] = mapped_column(_KEY, index=True)
    key_initials: Mapped[str] = mapped_column(_KEY, index=True)
    key_alphabetic: Mapped[str] = mapped_column(_KEY, index=True)
    birth_date: Mapped[date | None] = mapped_column(Date, index=True)
    sex: Mapped[str] = mapped_column(String(16))
    observed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IdentityNumberRow(Base):
    """A number that came with a patient, in its normal spelling; locked while links are decided."""

    __tablename__ = "identity_number"
    __table_args__ = (UniqueConstraint("value", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(_NUMBER)
    kind: Mapped[str] = mapped_column(String(16))


class IdentityEvidence(Base):
    """A site said that the holder of this identifier has this number."""

    __tablename__ = "identity_evidence"
    __table_args__ = (UniqueConstraint("identifier_id", "number_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"))
    number_id: Mapped[int] = mapped_column(ForeignKey("identity_number.id"), index=True)
    observed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LinkLog(Base):
    """From `logged_at` on the identifier resolves to `global_id`, until a higher `position` speaks.

    Two writers that saw the same state would write the same position; the second one fails.
    """

    __tablename__ = "link_log"
    __table_args__ = (
        UniqueConstraint("identifier_id", "position"),
        Index(None, "global_id", "identifier_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"))
    position: Mapped[int]
    global_id: Mapped[str] = mapped_column(ForeignKey("global_person.global_id"))
    action: Mapped[str] = mapped_column(String(16))
    rule: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(400))
    decided_by: Mapped[str] = mapped_column(String(128))
    logged_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LinkReview(Base):
    """A question for a person: do these two identifiers have one holder?

    It is open while the two resolve to different global IDs and nobody has decided.
    """

    __tablename__ = "link_review"
    __table_args__ = (UniqueConstraint("identifier_id", "candidate_id", "rule"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"), index=True)
    rule: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(400))
    raised_at: Mapped[datetime] = mapped_column(UtcDateTime)


APPEND_ONLY: tuple[str, ...] = (
    "global_person",
    "patient_identifier",
    "observed_demographics",
    "identity_number",
    "identity_evidence",
    "link_log",
    "link_review",
)
"""The tables of this module; the database refuses to change or to delete their rows."""

keep_append_only(APPEND_ONLY)
