"""The review desk: questions in the order of risk, both sides of each, decide and take back.

Every function works inside a session or unit of work that it is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from hub_kernel.identifiers import AssigningAuthority
from patient_index import queries, reviewing
from patient_index.errors import UnknownReviewError
from patient_index.explanations import decoded
from patient_index.link_log import MERGE, Change, LinkWriter, Step
from patient_index.link_rules import SIMILAR_RECORD
from patient_index.merging import Merger
from patient_index.model import Decided, Explanation, Review
from patient_index.reviewing import ASK_SITE, CLOSING, KEEP_APART, LINKED, TAKEN_BACK, Answer
from patient_index.tables import KnownIdentifier, LinkReview
from patient_index.tables_feed import ReviewAnswer, ReviewEvidence
from patient_index.transactions import Work


class State(StrEnum):
    """Which questions; those that are one person meanwhile are in no queue but `DECIDED`."""

    OPEN = "open"  # waiting or asked, the oldest first
    WAITING = "waiting"  # nobody has answered, the gravest first
    ASKED = "asked"  # handed to a site, the gravest first
    DECIDED = "decided"  # closed by a person, what was decided last first


@dataclass(frozen=True)
class Queue:
    """Questions of one state about people known to one of `issuers`; None is everybody.

    The gravest are numbers in common, those first whose records contradict most: a borrowed card
    mixes two people. Then come records that are alike, the most alike first.
    """

    state: State = State.OPEN
    issuers: frozenset[AssigningAuthority] | None = None


def reviews(session: Session, queue: Queue, *, limit: int, offset: int = 0) -> list[Review]:
    """Return at most `limit` questions of a queue after the first `offset`; two queries."""
    ids = list(session.scalars(_ids(queue).order_by(*_order(queue)).limit(limit).offset(offset)))
    found = {
        row[0].id: _review(*row)
        for row in session.execute(_reviews().where(LinkReview.id.in_(ids)))
    }
    return [found[one] for one in ids]


def count(session: Session, queue: Queue, *, but: int = 0) -> int:
    """Return how many questions a queue has, not counting the review `but`; one query."""
    counted = _ids(queue).where(LinkReview.id != but).subquery()
    return session.scalar(select(func.count()).select_from(counted)) or 0


def following(session: Session, review_id: int, queue: Queue) -> int | None:
    """Return the question of a queue by risk behind `review_id`, at its end the first; two queries.

    None when it has no other.
    """
    here = session.execute(
        select(LinkReview.rule, ReviewEvidence.score)
        .outerjoin(ReviewEvidence, ReviewEvidence.review_id == LinkReview.id)
        .where(LinkReview.id == review_id)
    ).first()
    others = _ids(queue).where(LinkReview.id != review_id).order_by(*_by_risk()).limit(1)
    if here is None:
        return session.scalar(others)
    behind = session.scalar(others.where(_behind(here.rule, here.score or 0.0, review_id)))
    return behind if behind is not None else session.scalar(others)


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


def _reviews() -> Select[LinkReview, KnownIdentifier, KnownIdentifier, str | None]:
    one, other = aliased(KnownIdentifier), aliased(KnownIdentifier)
    return (
        select(LinkReview, one, other, ReviewEvidence.explanation)
        .join(one, one.id == LinkReview.identifier_id)
        .join(other, other.id == LinkReview.candidate_id)
        .outerjoin(ReviewEvidence, ReviewEvidence.review_id == LinkReview.id)
    )


def _ids(queue: Queue) -> Select[int]:
    """The IDs of a queue, in no order."""
    its, theirs = queries.current_links(), queries.current_links()
    asked = (
        select(LinkReview.id)
        .join(its, its.c.identifier_id == LinkReview.identifier_id)
        .join(theirs, theirs.c.identifier_id == LinkReview.candidate_id)
        .outerjoin(ReviewEvidence, ReviewEvidence.review_id == LinkReview.id)
        .outerjoin(
            ReviewAnswer,
            and_(ReviewAnswer.review_id == LinkReview.id, reviewing.holds(ReviewAnswer)),
        )
        .where(_STATES[queue.state])
    )
    if queue.state is not State.DECIDED:
        asked = asked.where(its.c.global_id != theirs.c.global_id)
    if queue.issuers is not None:
        oids = {issuer.oid for issuer in queue.issuers}
        asked = asked.where(or_(queries.known_at(its, oids), queries.known_at(theirs, oids)))
    return asked


_verdict = func.coalesce(ReviewAnswer.verdict, reviewing.TAKEN_BACK)
_STATES: Mapping[State, ColumnElement[bool]] = {
    State.OPEN: _verdict.not_in(CLOSING),
    State.WAITING: _verdict == reviewing.TAKEN_BACK,
    State.ASKED: _verdict == ASK_SITE,
    State.DECIDED: _verdict.in_(CLOSING),
}
_alike = case((LinkReview.rule == SIMILAR_RECORD.name, 1), else_=0)
_score = func.coalesce(ReviewEvidence.score, 0.0)
_gravity = case((LinkReview.rule == SIMILAR_RECORD.name, -_score), else_=_score)


def _by_risk() -> tuple[SQLColumnExpression[Any], ...]:
    return _alike, _gravity, LinkReview.id


def _order(queue: Queue) -> tuple[SQLColumnExpression[Any], ...]:
    if queue.state is State.OPEN:
        return (LinkReview.id,)
    if queue.state is State.DECIDED:
        return (ReviewAnswer.id.desc(),)
    return _by_risk()


def _behind(rule: str, score: float, review_id: int) -> ColumnElement[bool]:
    """Return that the row comes after a question of this rule, score and ID."""
    alike = int(rule == SIMILAR_RECORD.name)
    gravity = -score if alike else score
    return or_(
        _alike > alike,
        and_(_alike == alike, _gravity > gravity),
        and_(_alike == alike, _gravity == gravity, LinkReview.id > review_id),
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
