"""The review desk: questions in the order of risk, both sides of each, decide and take back.

Every function works inside a session or unit of work that it is given.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from patient_index import queries, reviewing
from patient_index.errors import UnknownReviewError
from patient_index.explanations import decoded
from patient_index.link_log import MERGE, Change, LinkWriter, Step
from patient_index.merging import Merger
from patient_index.model import Decided, Explanation, Review
from patient_index.reviewing import ASK_SITE, CLOSING, KEEP_APART, LINKED, TAKEN_BACK, Answer
from patient_index.tables import KnownIdentifier, LinkReview
from patient_index.tables_feed import ReviewAnswer, ReviewEvidence
from patient_index.transactions import Work


@dataclass(frozen=True)
class Queue:
    """Which questions: at most `limit`, after `offset`; by age, or those most likely one person.

    `answered` asks for those that a person has closed instead of those that wait.
    """

    limit: int = 100
    offset: int = 0
    by_risk: bool = False
    answered: bool = False


def open_reviews(session: Session, queue: Queue) -> list[Review]:
    """Return the questions of a queue; one query."""
    asked = _reviews()
    asked = asked.where(_closed()) if queue.answered else _still_two(asked.where(~_closed()))
    if queue.by_risk:
        # Numbers and cards come without a score: a shared number is the graver question.
        asked = asked.order_by(ReviewEvidence.score.is_not(None), ReviewEvidence.score.desc())
    asked = asked.order_by(LinkReview.id).limit(queue.limit).offset(queue.offset)
    return [_review(*row) for row in session.execute(asked)]


def count_open(session: Session) -> int:
    """Return how many questions wait; one query."""
    waiting = _still_two(_reviews().where(~_closed())).subquery()
    return session.scalar(select(func.count()).select_from(waiting)) or 0


def review(session: Session, review_id: int) -> Review:
    """Return one question, whether it waits or not; one query.

    Raises:
        UnknownReviewError: there is no such review.
    """
    found = session.execute(_reviews().where(LinkReview.id == review_id)).first()
    if found is None:
        raise UnknownReviewError("no such review")
    return _review(*found)


def link(work: Work, review_id: int, decided: Decided) -> int | None:
    """Answer a review: one person. Returns the decision, None when they were one already.

    Raises:
        UnknownReviewError: there is no such review.
    """
    asked = work.session.get(LinkReview, review_id)
    if asked is None:
        raise UnknownReviewError("no such review")
    evidence = work.session.get(ReviewEvidence, review_id)
    explanation = decoded(evidence.explanation if evidence else "")
    decision_id = _joined(work, asked, decided, explanation)
    reviewing.answer(work.session, Answer(review_id, LINKED, decided, decision_id), work.now)
    return decision_id


def keep_apart(work: Work, review_id: int, decided: Decided) -> None:
    """Answer a review: two people, whom no rule will link; answering again changes nothing.

    Raises:
        UnknownReviewError: there is no such review.
    """
    _answer_once(work, Answer(review_id, KEEP_APART, decided))


def ask_site(work: Work, review_id: int, decided: Decided) -> None:
    """Note that the site was asked; the question stays open.

    Raises:
        UnknownReviewError: there is no such review.
    """
    _answer_once(work, Answer(review_id, ASK_SITE, decided))


def take_back(work: Work, review_id: int, decided: Decided) -> None:
    """Take back the answer to a review, with the links that came of it; the question waits again.

    Raises:
        UnknownReviewError: there is no such review.
    """
    last = reviewing.answer_of(work.session, review_id)
    if last is not None and last.verdict == LINKED and last.decision_id is not None:
        Merger(work).take_back(last.decision_id, decided)
    if last is None or last.verdict != TAKEN_BACK:
        reviewing.answer(work.session, Answer(review_id, TAKEN_BACK, decided), work.now)


def _answer_once(work: Work, given: Answer) -> None:
    last = reviewing.answer_of(work.session, given.review_id)
    if last is None or last.verdict != given.verdict:
        reviewing.answer(work.session, given, work.now)


def _joined(
    work: Work, asked: LinkReview, decided: Decided, explanation: Explanation
) -> int | None:
    links = LinkWriter(work)
    ids = [asked.identifier_id, asked.candidate_id]
    links.lock({line.global_id for line in links.current(ids).values()})
    mine, theirs = (links.current(ids)[one].global_id for one in ids)
    if mine == theirs:
        return None
    survivor = links.older(mine, theirs)
    subsumed = theirs if survivor == mine else mine
    groups = queries.identifiers_by_person(work.session, [subsumed])
    change = Change(
        action=MERGE,
        survivor=survivor,
        subsumed=subsumed,
        decided=decided,
        explanation=explanation,
        survivor_identifier_id=ids[0] if survivor == mine else ids[1],
    )
    return links.move([Step(row, survivor) for row in groups[subsumed]], change)


_Asked = Select[LinkReview, KnownIdentifier, KnownIdentifier, str | None]


def _reviews() -> _Asked:
    one, other = aliased(KnownIdentifier), aliased(KnownIdentifier)
    return (
        select(LinkReview, one, other, ReviewEvidence.explanation)
        .join(one, one.id == LinkReview.identifier_id)
        .join(other, other.id == LinkReview.candidate_id)
        .outerjoin(ReviewEvidence, ReviewEvidence.review_id == LinkReview.id)
    )


def _still_two(asked: _Asked) -> _Asked:
    its, theirs = queries.current_links(), queries.current_links()
    return (
        asked.join(its, its.c.identifier_id == LinkReview.identifier_id)
        .join(theirs, theirs.c.identifier_id == LinkReview.candidate_id)
        .where(its.c.global_id != theirs.c.global_id)
    )


def _closed() -> ColumnElement[bool]:
    return exists().where(
        ReviewAnswer.review_id == LinkReview.id,
        ReviewAnswer.verdict.in_(CLOSING),
        reviewing.holds(ReviewAnswer),
    )


def _review(
    row: LinkReview, first: KnownIdentifier, second: KnownIdentifier, explanation: str | None
) -> Review:
    return Review(
        row.id,
        queries.identifier(first),
        queries.identifier(second),
        row.rule,
        row.reason,
        decoded(explanation),
        row.raised_at,
    )
