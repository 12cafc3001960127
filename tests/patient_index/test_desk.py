"""The review desk: what waits, what was said, and what happens when it is taken back."""

import pytest

from patient_index import desk
from patient_index.errors import UnknownReviewError
from patient_index.model import Decided, Review
from patient_index.service import PatientIndex
from tests.patient_index.conftest import EAST, NUMBER, WEST, identifier, patient

BY_CLERK = Decided(by="clerk", reason="called the site")
HERE, THERE = identifier(EAST), identifier(WEST)


@pytest.fixture
def question(index: PatientIndex) -> Review:
    index.observe(patient(EAST, numbers=(NUMBER,)))
    index.observe(patient(WEST, numbers=(NUMBER,), name="李^娜"))
    [asked] = index.open_reviews()
    return asked


def _waiting(index: PatientIndex) -> list[int]:
    with index.database.read() as session:
        found = desk.open_reviews(session, desk.Queue(by_risk=True))
        assert desk.count_open(session) == len(found)
    return [one.review_id for one in found]


def _answered(index: PatientIndex) -> list[int]:
    with index.database.read() as session:
        return [one.review_id for one in desk.open_reviews(session, desk.Queue(answered=True))]


def test_a_question_is_linked_and_taken_back(index: PatientIndex, question: Review) -> None:
    asked = question.review_id
    decision = index.write(lambda work: desk.link(work, asked, BY_CLERK))
    assert decision is not None
    assert index.resolve(HERE) == index.resolve(THERE)
    assert (_waiting(index), _answered(index)) == ([], [asked])
    for _ in range(2):
        index.write(lambda work: desk.take_back(work, asked, BY_CLERK))
    assert index.resolve(HERE) != index.resolve(THERE)
    assert (_waiting(index), _answered(index)) == ([asked], [])


def test_keeping_apart_can_be_taken_back_and_decided_again(
    index: PatientIndex, question: Review
) -> None:
    asked = question.review_id
    index.keep_apart(asked, BY_CLERK)
    assert (_waiting(index), _answered(index)) == ([], [asked])
    index.observe(patient(WEST, numbers=(NUMBER,), name="王^小东^^甲"))
    assert index.resolve(HERE) != index.resolve(THERE)
    index.write(lambda work: desk.take_back(work, asked, BY_CLERK))
    assert _waiting(index)[0] == asked
    index.keep_apart(asked, BY_CLERK)
    assert _answered(index) == [asked]


def test_a_site_that_was_asked_leaves_the_question_open(
    index: PatientIndex, question: Review
) -> None:
    index.write(lambda work: desk.ask_site(work, question.review_id, BY_CLERK))
    assert _waiting(index) == [question.review_id]


def test_a_question_about_people_who_are_one_meanwhile_does_not_wait(
    index: PatientIndex, question: Review
) -> None:
    index.link(THERE, index.resolve(HERE) or "", BY_CLERK)
    assert _waiting(index) == []
    assert index.write(lambda work: desk.link(work, question.review_id, BY_CLERK)) is None


def test_a_question_nobody_asked_cannot_be_answered(index: PatientIndex) -> None:
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
