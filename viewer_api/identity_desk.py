"""What pages and API of the registrar share: cases of the review desk, and deciding them.

Every look at two people is on record for both; every decision is on record in its own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from access_control.model import Action, Purpose, Resource
from hub_kernel.errors import InvalidValueError
from hub_kernel.pairs import is_any_of
from patient_index import desk, queries, reviewing
from patient_index.model import Decided
from patient_index.tables import KnownIdentifier
from patient_index.tables_feed import ReviewAnswer
from viewer_api.security import (
    current_subject,
    known_sites,
    permitted,
    record_access,
    refuse,
    require,
)
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from hub_kernel.identifiers import PatientIdentifier
    from patient_index.model import Person, Review
    from patient_index.transactions import Work

T = TypeVar("T")

DECIDE = "decide_identity"
VERDICTS: Mapping[str, Callable[[Work, int, Decided], object]] = {
    "link": desk.link,
    "keep-apart": desk.keep_apart,
    "ask-site": desk.ask_site,
}
"""What can be answered, and what carries it out."""

WAITING, ASKED, DECIDED = "waiting", "asked", "decided"
_LONGEST_REASON = 400


@dataclass(frozen=True)
class Answer:
    """What a person said to a question; `decision_id` is the change of links that came of it."""

    verdict: str
    by: str
    reason: str
    at: datetime
    decision_id: int | None


@dataclass(frozen=True)
class Case:
    """One question with both people as they stand now, and the answer that holds, if any."""

    review: Review
    mine: Person | None
    theirs: Person | None
    answer: Answer | None

    @property
    def people(self) -> tuple[Person, ...]:
        """The people concerned: two, or one once they are linked."""
        found = {one.global_id: one for one in (self.mine, self.theirs) if one is not None}
        return tuple(found.values())

    @property
    def verdict(self) -> str:
        """The answer in one word; empty while nobody has answered or after it was taken back."""
        if self.answer is None or self.answer.verdict == reviewing.TAKEN_BACK:
            return ""
        return self.answer.verdict

    @property
    def state(self) -> str:
        """Which queue the case belongs to."""
        if self.verdict in reviewing.CLOSING or len(self.people) < 2:
            return DECIDED
        return ASKED if self.verdict == reviewing.ASK_SITE else WAITING


def case_of(review_id: int) -> Case:
    """Return one case that the subject may see; looking at it is on record for both people.

    Raises:
        UnknownReviewError: there is no such review.
    """
    with services().database.read() as session:
        case = cases_of(session, [desk.review(session, review_id)])[0]
    if not may_see_case(case):
        refuse(Action.REVIEW_IDENTITY, Resource("patient"), detail=f"review {review_id}")
    for person in case.people:
        record_access(
            str(Action.REVIEW_IDENTITY),
            "success",
            Resource("patient", person.global_id),
            detail=f"review {review_id}",
        )
    return case


def require_desk() -> None:
    """Return when the subject works at the desk at all; else the request ends with 404."""
    require(Action.REVIEW_IDENTITY, Resource("patient"), Purpose.QUALITY)


def require_person(global_id: str, action: Action = Action.REVIEW_IDENTITY) -> Person:
    """Return the person when the subject may do `action` about them; it is on record."""
    purpose = _PURPOSES[action]
    person = services().patients.person(global_id)
    if person is None:
        refuse(action, Resource("patient", global_id[:64]), detail="unknown")
    require(action, _resource((person,)), purpose)
    return person


def may_see(person: Person, action: Action = Action.REVIEW_IDENTITY) -> bool:
    """Say whether the subject may do `action` about the person; nothing is recorded."""
    return permitted(action, _resource((person,)), _PURPOSES[action])


def answer(case: Case, verdict: str, reason: str) -> None:
    """Answer a case, with its record in the same transaction.

    Raises:
        InvalidValueError: the verdict is unknown, or the case is closed already.
    """
    carry_out = VERDICTS.get(verdict)
    if carry_out is None:
        raise InvalidValueError(f"verdict must be one of {', '.join(VERDICTS)}")
    if case.state == DECIDED:
        raise InvalidValueError("this case is decided; take the decision back first")
    review_id = case.review.review_id
    decided = decided_now(reason, f"compared at the review desk: {verdict}")

    def change(work: Work) -> None:
        carry_out(work, review_id, decided)
        on_record(case.people, f"review {review_id}: {verdict}", work.session)

    services().patients.write(change)


def take_back(case: Case, reason: str) -> None:
    """Take back the answer to a case, with the links that came of it; the case waits again."""
    review_id = case.review.review_id
    decided = decided_now(reason, "taken back at the review desk")

    def change(work: Work) -> None:
        desk.take_back(work, review_id, decided)
        on_record(case.people, f"review {review_id}: taken back", work.session)

    services().patients.write(change)


def changed(
    people: Collection[Person], detail: str | Callable[[T], str], change: Callable[[Work], T]
) -> T:
    """Carry out `change` of links, on record for `people` in the same transaction.

    `detail` says what was done; it may need the result for that.
    """

    def recorded(work: Work) -> T:
        result = change(work)
        words = detail if isinstance(detail, str) else detail(result)
        on_record(people, words, work.session)
        return result

    return services().patients.write(recorded)


def decided_now(reason: str, default: str = "") -> Decided:
    """Return the current subject as the one who decides, for the reason given.

    Raises:
        InvalidValueError: no reason is given and none goes without saying, or it is too long.
    """
    given = reason.strip() or default
    if not given or len(given) > _LONGEST_REASON or not given.isprintable():
        raise InvalidValueError(f"reason: 1 to {_LONGEST_REASON} printable characters")
    return Decided(by=current_subject().subject_id, reason=given)


def on_record(people: Collection[Person], detail: str, session: Session) -> None:
    """Write down in this transaction, for each person, that the subject changed who they are."""
    for person in people:
        record_access(
            DECIDE, "success", Resource("patient", person.global_id), detail=detail, session=session
        )


def deciders() -> dict[str, str]:
    """Return who decides by what they are called, for the log to name."""
    return {account.user_id: account.display_name for account in services().accounts.all()}


_PURPOSES: Mapping[Action, Purpose] = {
    Action.REVIEW_IDENTITY: Purpose.QUALITY,
    Action.MANAGE_CONSENT: Purpose.PATIENT,
    Action.HOLD_RECORD: Purpose.OPERATIONS,
}


def _resource(people: Sequence[Person]) -> Resource:
    """Two people are one matter: whoever works for one's site may compare both."""
    sites = known_sites(identifier for person in people for identifier in person.identifiers)
    return Resource("patient", people[0].global_id if people else "", sites)


def may_see_case(case: Case) -> bool:
    """Say whether the subject may see the case; nothing is recorded."""
    return permitted(Action.REVIEW_IDENTITY, _resource(case.people), Purpose.QUALITY)


def cases_of(session: Session, reviews: Sequence[Review]) -> list[Case]:
    """Return the cases of these reviews; five queries however many."""
    asked = {one for review in reviews for one in (review.identifier, review.candidate)}
    holders = _holders(session, asked)
    people = {
        person.global_id: person
        for person in queries.persons(session, sorted(set(holders.values())))
    }
    answers = _answers(session, [review.review_id for review in reviews])
    return [
        Case(
            review,
            people.get(holders.get(review.identifier, "")),
            people.get(holders.get(review.candidate, "")),
            answers.get(review.review_id),
        )
        for review in reviews
    ]


def _holders(
    session: Session, identifiers: Collection[PatientIdentifier]
) -> dict[PatientIdentifier, str]:
    links = queries.current_links()
    rows = session.execute(
        select(KnownIdentifier, links.c.global_id)
        .join(links, links.c.identifier_id == KnownIdentifier.id)
        .where(
            is_any_of(
                KnownIdentifier.value,
                KnownIdentifier.issuer_oid,
                [(one.value, one.issuer.oid) for one in identifiers],
            )
        )
    )
    return {queries.identifier(row): global_id for row, global_id in rows}


def _answers(session: Session, review_ids: Collection[int]) -> dict[int, Answer]:
    rows = session.scalars(
        select(ReviewAnswer).where(
            ReviewAnswer.review_id.in_(review_ids), reviewing.holds(ReviewAnswer)
        )
    )
    return {
        row.review_id: Answer(
            row.verdict, row.decided_by, row.reason, row.decided_at, row.decision_id
        )
        for row in rows
    }
