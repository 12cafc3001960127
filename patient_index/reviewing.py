"""Questions for a person: raised once, answered, answers taken back; all of it is added only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, insert, or_, select
from sqlalchemy.orm import Session, aliased

from patient_index.errors import UnknownReviewError
from patient_index.explanations import encoded
from patient_index.link_rules import LinkRule
from patient_index.model import Decided, Explanation
from patient_index.tables import LinkReview
from patient_index.tables_feed import ReviewAnswer, ReviewEvidence

KEEP_APART, LINKED, ASK_SITE, TAKEN_BACK = "keep-apart", "linked", "ask-site", "taken-back"
CLOSING = (KEEP_APART, LINKED)


@dataclass(frozen=True)
class Question:
    """Is the holder of this identifier one of these persons? `holders` maps theirs to whose."""

    identifier_id: int
    holders: Mapping[int, str]
    rule: LinkRule
    explanation: Explanation = Explanation()


@dataclass(frozen=True)
class Answer:
    """What a person said; `decision_id` is the change of links that came of it."""

    review_id: int
    verdict: str
    decided: Decided
    decision_id: int | None = None


def ask(session: Session, question: Question, now: datetime) -> int | None:
    """Add one review per other person, unless it was asked before, in either direction.

    Returns the first of the reviews that stand for this question.
    """
    mine = question.identifier_id
    asked = {
        frozenset((one, other)): review_id
        for review_id, one, other in session.execute(
            select(LinkReview.id, LinkReview.identifier_id, LinkReview.candidate_id).where(
                LinkReview.rule == question.rule.name,
                or_(LinkReview.identifier_id == mine, LinkReview.candidate_id == mine),
            )
        )
    }
    by_person: dict[str, list[int]] = {}
    for identifier_id, global_id in question.holders.items():
        by_person.setdefault(global_id, []).append(identifier_id)
    standing: list[int] = []
    for theirs in by_person.values():
        before = [asked[pair] for one in theirs if (pair := frozenset((mine, one))) in asked]
        standing.append(min(before) if before else _add(session, question, theirs[0], now))
    return min(standing, default=None)


def answer(session: Session, given: Answer, now: datetime) -> None:
    """Add an answer; it holds until another is added.

    Raises:
        UnknownReviewError: there is no such review.
    """
    if session.get(LinkReview, given.review_id) is None:
        raise UnknownReviewError("no such review")
    last = answer_of(session, given.review_id)
    session.execute(
        insert(ReviewAnswer),
        {
            "review_id": given.review_id,
            "position": last.position + 1 if last else 1,
            "verdict": given.verdict,
            "decision_id": given.decision_id,
            "decided_by": given.decided.by[:128],
            "reason": given.decided.reason[:400],
            "decided_at": now,
        },
    )


def answer_of(session: Session, review_id: int) -> ReviewAnswer | None:
    """Return the answer that holds, if any was ever given."""
    return session.scalar(
        select(ReviewAnswer)
        .where(ReviewAnswer.review_id == review_id)
        .order_by(ReviewAnswer.position.desc())
        .limit(1)
    )


def holds(table: type[ReviewAnswer]) -> ColumnElement[bool]:
    """Return the condition that an answer was not followed by another."""
    later = aliased(ReviewAnswer)
    return ~exists().where(later.review_id == table.review_id, later.position > table.position)


def _add(session: Session, question: Question, candidate: int, now: datetime) -> int:
    [review_id] = session.scalars(
        insert(LinkReview).returning(LinkReview.id),
        [
            {
                "identifier_id": question.identifier_id,
                "candidate_id": candidate,
                "rule": question.rule.name,
                "reason": question.rule.reason,
                "raised_at": now,
            }
        ],
    )
    session.execute(
        insert(ReviewEvidence),
        {
            "review_id": review_id,
            "score": question.explanation.score,
            "explanation": encoded(question.explanation),
        },
    )
    return review_id
