"""The review desk: what waits, what was said, and what happens when it is taken back."""

import random
from itertools import combinations

import pytest
from sqlalchemy import select

from patient_index import desk, reviewing
from patient_index.desk import Queue, State
from patient_index.errors import UnknownReviewError
from patient_index.link_rules import SEVERAL_PERSONS, SIMILAR_RECORD
from patient_index.model import Decided, Explanation, Review
from patient_index.service import PatientIndex
from patient_index.tables import KnownIdentifier
from patient_index.transactions import Work
from tests.patient_index.conftest import (
    EAST,
    NORTH,
    NUMBER,
    ON_BOTH,
    WEST,
    identifier,
    patient,
)

pytestmark = ON_BOTH

BY_CLERK = Decided(by="clerk", reason="called the site")
HERE, THERE = identifier(EAST), identifier(WEST)


@pytest.fixture
def question(index: PatientIndex) -> Review:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,), name="李^娜"))
    [asked] = index.open_reviews()
    return asked


def _queue(index: PatientIndex, queue: Queue, *, limit: int = 100, offset: int = 0) -> list[int]:
    with index.database.read() as session:
        found = desk.reviews(session, queue, limit=limit, offset=offset)
    return [one.review_id for one in found]


def _waiting(index: PatientIndex) -> list[int]:
    found = _queue(index, Queue(State.WAITING))
    with index.database.read() as session:
        assert desk.count(session, Queue(State.WAITING)) == len(found)
    return found


def _decided(index: PatientIndex) -> list[int]:
    return _queue(index, Queue(State.DECIDED))


def test_a_question_is_linked_and_taken_back(index: PatientIndex, question: Review) -> None:
    asked = question.review_id
    decision = index.write(lambda work: desk.link(work, asked, BY_CLERK))
    assert decision is not None
    assert index.resolve(HERE) == index.resolve(THERE)
    assert (_waiting(index), _decided(index)) == ([], [asked])
    for _ in range(2):
        index.write(lambda work: desk.take_back(work, asked, BY_CLERK))
    assert index.resolve(HERE) != index.resolve(THERE)
    assert (_waiting(index), _decided(index)) == ([asked], [])


def test_keeping_apart_can_be_taken_back_and_decided_again(
    index: PatientIndex, question: Review
) -> None:
    asked = question.review_id
    index.keep_apart(asked, BY_CLERK)
    assert (_waiting(index), _decided(index)) == ([], [asked])
    index.observe(patient(WEST, numbers=(NUMBER,), name="王^小东^^甲"))
    assert index.resolve(HERE) != index.resolve(THERE)
    index.write(lambda work: desk.take_back(work, asked, BY_CLERK))
    assert _waiting(index)[0] == asked
    index.keep_apart(asked, BY_CLERK)
    assert _decided(index) == [asked]


def test_a_site_that_was_asked_leaves_the_question_open(
    index: PatientIndex, question: Review
) -> None:
    index.write(lambda work: desk.ask_site(work, question.review_id, BY_CLERK))
    assert _waiting(index) == []
    for state in (State.ASKED, State.OPEN):
        assert _queue(index, Queue(state)) == [question.review_id]


def test_a_question_about_people_who_are_one_meanwhile_does_not_wait(
    index: PatientIndex, question: Review
) -> None:
    index.link(THERE, index.resolve(HERE) or "", BY_CLERK)
    assert _waiting(index) == []
    assert index.write(lambda work: desk.link(work, question.review_id, BY_CLERK)) is None


def test_a_question_nobody_asked_cannot_be_decided(index: PatientIndex) -> None:
    for verb in (desk.link, desk.keep_apart, desk.ask_site, desk.take_back):
        with pytest.raises(UnknownReviewError):
            index.write(lambda work, verb=verb: verb(work, 1, BY_CLERK))  # type: ignore[misc]
    with index.database.read() as session, pytest.raises(UnknownReviewError):
        desk.review(session, 1)


def test_a_question_says_what_it_rests_on(index: PatientIndex, question: Review) -> None:
    with index.database.read() as session:
        read = desk.review(session, question.review_id)
    assert read == question
    assert [(note.field, note.level) for note in read.explanation.fields] == [
        ("identifier", "name-contradicts")
    ]


def _asked_of_many(index: PatientIndex, count: int) -> list[int]:
    """Ask `count` questions in random order; return their reviews, the gravest first."""
    for number in range(40):
        index.observe(patient(EAST if number < 30 else WEST, str(number)))
    chance = random.Random(7)  # noqa: S311 (no secret)
    pairs = chance.sample(list(combinations(range(40), 2)), count)

    def ask(work: Work) -> list[tuple[bool, float, int]]:
        rows = list(work.session.scalars(select(KnownIdentifier).order_by(KnownIdentifier.id)))
        asked = []
        for one, other in pairs:
            alike = chance.random() < 0.8
            score = (
                chance.choice([None, 12.5, -20.0]) if not alike else round(chance.uniform(0, 30), 1)
            )
            question = reviewing.Question(
                rows[one].id,
                {rows[other].id: f"person {other}"},
                SIMILAR_RECORD if alike else SEVERAL_PERSONS,
                Explanation(score),
            )
            review_id = reviewing.ask(work.session, question, work.now)
            assert review_id is not None
            asked.append((alike, -score if alike else score or 0.0, review_id))
        return asked

    return [review_id for _, _, review_id in sorted(index.write(ask))]


def test_a_long_queue_is_in_the_order_of_risk_from_end_to_end(index: PatientIndex) -> None:
    expected = _asked_of_many(index, 700)
    assert expected != sorted(expected), "the order asked is not the order of risk"
    waiting = Queue(State.WAITING)
    pages = [_queue(index, waiting, limit=64, offset=start) for start in range(0, 704, 64)]
    assert [one for page in pages for one in page] == expected
    with index.database.read() as session:
        behind = {one: desk.following(session, one, waiting) for one in expected[::50]}
        assert desk.following(session, expected[-1], waiting) == expected[0]
    assert behind == {expected[at]: expected[at + 1] for at in range(0, 700, 50)}


def test_what_is_behind_a_decided_question_is_what_was_behind_it(index: PatientIndex) -> None:
    expected = _asked_of_many(index, 20)
    index.keep_apart(expected[7], BY_CLERK)
    with index.database.read() as session:
        assert desk.following(session, expected[7], Queue(State.WAITING)) == expected[8]
        assert desk.following(session, expected[6], Queue(State.WAITING)) == expected[8]
        assert desk.count(session, Queue(State.WAITING)) == 19
        assert desk.count(session, Queue(State.WAITING), but=expected[0]) == 18
        assert desk.following(session, 999_999, Queue(State.WAITING)) == expected[0]


def test_what_was_decided_last_comes_first(index: PatientIndex) -> None:
    for one in (asked := _asked_of_many(index, 9))[2:5]:
        index.keep_apart(one, BY_CLERK)
    assert _decided(index) == asked[2:5][::-1]


def test_a_queue_is_narrowed_to_people_known_to_an_issuer(index: PatientIndex) -> None:
    """One of the two is enough: whoever works there may compare both."""
    everybody = _asked_of_many(index, 300)
    issuers = {identifier(issuer).issuer for issuer in (WEST, NORTH)}
    here = _queue(index, Queue(State.WAITING, frozenset(issuers)), limit=1000)
    with index.database.read() as session:
        known = {
            one.review_id
            for one in desk.reviews(session, Queue(), limit=1000)
            if {one.identifier.issuer, one.candidate.issuer} & issuers
        }
        assert desk.count(session, Queue(State.WAITING, frozenset(issuers))) == len(known)
    assert 0 < len(here) < 300
    assert here == [one for one in everybody if one in known]
    assert _queue(index, Queue(State.WAITING, frozenset({NORTH}))) == []
    assert _queue(index, Queue(State.WAITING, frozenset())) == []
