"""What feeds add to the index: whole statements, claims, relations, decisions, keys to match by.

Apart from `match_key` and `feed_message` every table is only ever added to. Match keys are derived
and can be rebuilt; feed messages may be forgotten once no sender repeats them any more.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.append_only import keep_append_only
from hub_kernel.database import Base, UtcDateTime

# Searched by ranges of prefixes, which only hold in the order of code points.
_KEY = String(128).with_variant(String(128, collation="C"), "postgresql")
_NUMBER = String(64).with_variant(String(64, collation="C"), "postgresql")


class StatementDetail(Base):
    """The rest of a statement: everything beside name, birth date and sex, as JSON.

    The key columns are folded copies that searches narrow by; `key_mother` is sound, then
    characters.
    """

    __tablename__ = "statement_detail"

    observed_id: Mapped[int] = mapped_column(
        ForeignKey("observed_demographics.id"), primary_key=True, autoincrement=False
    )
    source: Mapped[str] = mapped_column(String(128))
    provisional: Mapped[bool]
    details: Mapped[str] = mapped_column(Text)
    key_street: Mapped[str] = mapped_column(_KEY)
    key_city: Mapped[str] = mapped_column(_KEY)
    key_province: Mapped[str] = mapped_column(_KEY)
    key_postal_code: Mapped[str] = mapped_column(_KEY)
    key_mother: Mapped[str] = mapped_column(_KEY)


class StatedPhone(Base):
    """The holder of this identifier was stated to answer this number; digits only."""

    __tablename__ = "stated_phone"
    __table_args__ = {"sqlite_with_rowid": False}

    digits: Mapped[str] = mapped_column(String(32), primary_key=True)
    identifier_id: Mapped[int] = mapped_column(
        ForeignKey("patient_identifier.id"), primary_key=True
    )


class ClaimedIdentifier(Base):
    """A source that is not its issuer said that the holder of `identifier_id` has this one too.

    Until the issuer speaks it leads to the person, but it is nobody's: only the issuer's own
    statement makes it a row of `patient_identifier`.
    """

    __tablename__ = "claimed_identifier"
    __table_args__ = (
        UniqueConstraint("value", "issuer_oid", "identifier_id"),
        Index("ix_claimed_identifier_holder", "identifier_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"))
    value: Mapped[str] = mapped_column(_NUMBER)
    issuer_oid: Mapped[str] = mapped_column(String(64))
    issuer_namespace: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PersonRelation(Base):
    """The holder of `identifier_id` names another person by one of that person's identifiers."""

    __tablename__ = "person_relation"
    __table_args__ = (
        UniqueConstraint("identifier_id", "relation", "value", "issuer_oid"),
        Index("ix_person_relation_related", "value", "issuer_oid"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(ForeignKey("patient_identifier.id"))
    relation: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(_NUMBER)
    issuer_oid: Mapped[str] = mapped_column(String(64))
    issuer_namespace: Mapped[str] = mapped_column(String(64))
    stated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class MatchKey(Base):
    """A blocking key under which an identifier's holder is compared with newcomers.

    `key` is 64 bits of a digest of "rule:value": two keys that meet by chance cost a comparison and
    change nothing. Without a foreign key: a dozen of these rows are written for every newcomer.
    """

    __tablename__ = "match_key"
    __table_args__ = {"sqlite_with_rowid": False}

    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identifier_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class LinkDecision(Base):
    """One change of links as a whole, or a merge that was ignored (then without steps).

    `undoes` is the decision that this one takes back; each can be taken back once.
    """

    __tablename__ = "link_decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(String(16))
    survivor: Mapped[str] = mapped_column(String(64), index=True)
    subsumed: Mapped[str] = mapped_column(String(64), index=True)
    survivor_identifier_id: Mapped[int | None] = mapped_column(
        ForeignKey("patient_identifier.id"), index=True
    )
    subsumed_identifier_id: Mapped[int | None] = mapped_column(
        ForeignKey("patient_identifier.id"), index=True
    )
    rule: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(400))
    decided_by: Mapped[str] = mapped_column(String(128))
    explanation: Mapped[str] = mapped_column(Text)
    undoes: Mapped[int | None] = mapped_column(ForeignKey("link_decision.id"), unique=True)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LinkStep(Base):
    """One line of the link log as part of a decision, and where the identifier came from."""

    __tablename__ = "link_step"

    link_id: Mapped[int] = mapped_column(
        ForeignKey("link_log.id"), primary_key=True, autoincrement=False
    )
    decision_id: Mapped[int] = mapped_column(ForeignKey("link_decision.id"), index=True)
    previous_global_id: Mapped[str] = mapped_column(String(64))


class ReviewEvidence(Base):
    """What a question rests on, field by field, as it was when the question was raised."""

    __tablename__ = "link_review_evidence"

    review_id: Mapped[int] = mapped_column(
        ForeignKey("link_review.id"), primary_key=True, autoincrement=False
    )
    score: Mapped[float | None] = mapped_column(index=True)
    explanation: Mapped[str] = mapped_column(Text)


class ReviewAnswer(Base):
    """One answer to a review; the highest `position` holds, and may be that it was taken back."""

    __tablename__ = "link_review_answer"
    __table_args__ = (UniqueConstraint("review_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    review_id: Mapped[int] = mapped_column(ForeignKey("link_review.id"))
    position: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(16))
    decision_id: Mapped[int | None] = mapped_column(ForeignKey("link_decision.id"), index=True)
    decided_by: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(String(400))
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FeedMessage(Base):
    """A message that was carried out, and what was answered: repeating it does nothing twice."""

    __tablename__ = "feed_message"

    message_key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    outcome: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


APPEND_ONLY: tuple[str, ...] = (
    "statement_detail",
    "stated_phone",
    "claimed_identifier",
    "person_relation",
    "link_decision",
    "link_step",
    "link_review_evidence",
    "link_review_answer",
)
"""The tables of this module whose rows the database refuses to change or to delete."""

keep_append_only(APPEND_ONLY)
