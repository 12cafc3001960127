"""Newcomers are compared with who is known: what is linked, asked about, or left alone."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import delete, event, select

from hub_kernel.database import Database
from hub_kernel.person_names import decode_person_name
from hub_kernel.settings import IdentitySettings
from patient_index.domains import DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.lookup import PatientLookup
from patient_index.matcher import Matcher
from patient_index.model import Address, Decided, Grade, PatientStatement
from patient_index.rekeying import rekey
from patient_index.service import PatientIndex
from patient_index.tables_feed import MatchKey
from tests.patient_index.conftest import (
    DOMAINS,
    EAST,
    LINKS_FROM_BITS,
    NORTH,
    ON_BOTH,
    RESIDENTS,
    WEST,
    CountingGlobalIds,
    card,
    identifier,
    matcher_for_tests,
    patient,
    resident_number,
    statement,
)
from tests.support.clock import FixedClock

pytestmark = ON_BOTH

HOME = Address("沪松公路 1 弄 3 号 502 室", "松江区", "上海市", "201615")
BY_CLERK = Decided(by="clerk", reason="two people")


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return matcher_for_tests()


@pytest.fixture
def index(database: Database, clock: FixedClock, matcher: Matcher) -> PatientIndex:
    return PatientIndex(
        database, clock, IdentitySettings(), global_ids=CountingGlobalIds(), matcher=matcher
    )


@pytest.fixture
def feed(index: PatientIndex) -> PatientFeed:
    return PatientFeed(index, DomainDirectory(DOMAINS, own=index.issuer))


@pytest.fixture
def lookup(index: PatientIndex) -> PatientLookup:
    return PatientLookup(index, DomainDirectory(DOMAINS, own=index.issuer))


def _rare(issuer: Any, value: str, **said: Any) -> PatientStatement:
    """Somebody with a rare name, whose home and telephone are known."""
    known = {"name": "令狐^楚瑜", "address": HOME, "phones": ("13800138000",)} | said
    return statement(issuer, value, **known)


def test_a_record_that_agrees_throughout_is_linked_and_explains_itself(
    feed: PatientFeed, index: PatientIndex
) -> None:
    first = feed.register(_rare(EAST, "1"))
    second = feed.register(_rare(WEST, "2"))
    assert (second.global_id, second.linked_by) == (first.global_id, "matched-record")
    [_, link] = index.history(identifier(WEST, "2"))
    why = link.explanation
    assert why.weights == "test 1"
    assert why.score is not None
    assert why.score >= LINKS_FROM_BITS
    assert {note.field for note in why.fields} >= {"family_name", "given_name", "birth_date"}
    assert sum(note.weight for note in why.fields) == pytest.approx(why.score, abs=0.2)
    json.dumps([vars(note) for note in why.fields])


def test_namesakes_of_one_birthday_are_not_linked(feed: PatientFeed) -> None:
    first = feed.register(statement(EAST, "1", name="王^伟"))
    second = feed.register(statement(WEST, "2", name="王^伟"))
    assert first.global_id != second.global_id


def test_what_is_alike_but_not_enough_is_asked_about(
    feed: PatientFeed, index: PatientIndex, lookup: PatientLookup
) -> None:
    first = feed.register(_rare(EAST, "1"))
    outcome = feed.register(
        _rare(WEST, "2", address=Address(), phones=(), birth_date=date(1985, 3, 21))
    )
    assert (outcome.created, outcome.linked_by) == (True, None)
    [asked] = index.open_reviews()
    assert (asked.review_id, asked.rule) == (outcome.review_id, "similar-record")
    assert asked.explanation.score is not None
    assert asked.explanation.fields
    found = {one.person.global_id: one.grade for one in lookup.match(_rare(NORTH, "3"))}
    assert found == {first.global_id: Grade.CERTAIN, outcome.global_id: Grade.PROBABLE}


def test_twins_are_two_persons(feed: PatientFeed, index: PatientIndex) -> None:
    first = feed.register(_rare(EAST, "1", name="令狐^楚瑜", multiple_birth=True, birth_order=1))
    second = feed.register(_rare(WEST, "2", name="令狐^楚琪", multiple_birth=True, birth_order=2))
    assert first.global_id != second.global_id
    assert second.linked_by is None


def test_two_equal_candidates_ask_instead_of_guessing(
    feed: PatientFeed, index: PatientIndex
) -> None:
    for value in ("1", "2"):
        number = resident_number(serial=f"00{value}")
        feed.register(
            statement(
                EAST, value, card(RESIDENTS, number), name="令狐^楚瑜", address=HOME,
                phones=("13800138000",), sex="",
            )
        )  # fmt: skip
    outcome = feed.register(_rare(WEST, "9", sex=""))
    assert outcome.linked_by is None
    assert outcome.review_id is not None
    [asked] = [one for one in index.open_reviews() if one.review_id == outcome.review_id]
    assert (asked.explanation.score or 0.0) > LINKS_FROM_BITS
    reason = asked.explanation.fields[0]
    assert (reason.field, reason.level) == ("decision", "margin"), "the score alone would link"


def test_resident_numbers_that_differ_are_never_linked_by_likeness(feed: PatientFeed) -> None:
    for issuer, serial in ((EAST, "001"), (WEST, "003")):
        number = card(RESIDENTS, resident_number(serial=serial))
        outcome = feed.register(
            statement(issuer, "1", number, name="令狐^楚瑜", address=HOME, phones=("13800138000",))
        )
    assert outcome.linked_by is None


def test_the_provisional_and_the_doubtful_are_not_compared(
    feed: PatientFeed, index: PatientIndex
) -> None:
    feed.register(_rare(EAST, "1"))
    provisional = feed.register(
        statement(
            WEST, "2", name="令狐^楚瑜", address=HOME, phones=("13800138000",), provisional=True
        )
    )
    assert (provisional.linked_by, provisional.review_id) == (None, None)
    doubtful = decode_person_name("令狐^楚瑜".encode("gbk"), ["ISO_IR 192"])
    assert not doubtful.confident
    index.observe(patient(NORTH, "3", name=doubtful))
    assert index.open_reviews() == []


def test_a_provisional_person_is_found_by_likeness_once_it_has_a_name(feed: PatientFeed) -> None:
    known = feed.register(_rare(EAST, "1"))
    feed.register(statement(WEST, "2", name="无名氏", provisional=True))
    resolved = feed.update(_rare(WEST, "2"))
    assert (resolved.global_id, resolved.linked_by) == (known.global_id, "matched-record")


def test_what_a_person_took_apart_is_asked_about_not_linked(
    feed: PatientFeed, index: PatientIndex
) -> None:
    feed.register(_rare(EAST, "1"))
    feed.register(_rare(WEST, "2"))
    apart = index.unlink(identifier(WEST, "2"), BY_CLERK)
    again = feed.update(_rare(WEST, "2", marital_status="M"))
    assert (again.global_id, again.linked_by) == (apart, None)
    assert [one.rule for one in index.open_reviews()] == ["separated-before"]


def test_a_match_is_graded_and_stores_nothing(
    feed: PatientFeed, lookup: PatientLookup, index: PatientIndex
) -> None:
    known = feed.register(_rare(EAST, "1"))
    asked = PatientStatement((), _rare(WEST, "2").demographics)
    [found] = lookup.match(asked)
    assert (found.person.global_id, found.grade) == (known.global_id, Grade.CERTAIN)
    assert 0.99 < found.score <= 1
    assert found.evidence.fields
    assert index.resolve(identifier(WEST, "2")) is None
    partial = PatientStatement((), statement(WEST, "2", name="令狐^楚瑜").demographics)
    assert [one.grade for one in lookup.match(partial)] in (
        [Grade.PROBABLE],
        [Grade.POSSIBLE],
    )


@pytest.mark.parametrize("known", [1, 60])
def test_comparing_costs_the_same_however_many_are_alike(
    feed: PatientFeed, statements: Callable[[], Any], known: int
) -> None:
    for number in range(known):
        feed.register(statement(EAST, str(number), name="王^伟", phones=(f"1380013{number:04}",)))
    with statements() as seen:
        feed.register(statement(WEST, "new", name="王^伟", phones=("13900139000",)))
    asked = [one for one in seen if not one.startswith("BEGIN")]
    assert 0 < len(asked) <= 20, asked


def test_keys_made_later_find_people_known_before(
    feed: PatientFeed, index: PatientIndex, database: Database, matcher: Matcher
) -> None:
    known = feed.register(_rare(EAST, "1"))
    feed.register(statement(NORTH, "3", name="无名氏"))
    with database.unit_of_work() as work:
        kept = work.session.execute(delete(MatchKey).returning(MatchKey.key)).all()
    assert feed.register(_rare(WEST, "2")).linked_by is None
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        assert rekey(database, matcher, lambda done, total: seen.append((done, total))) == 3
    assert seen[-1] == (3, 3)
    with database.read() as session:
        keys = set(session.scalars(select(MatchKey.key).where(MatchKey.identifier_id == 1)))
    assert keys == {key for (key,) in kept}
    again = feed.update(_rare(WEST, "2", marital_status="M"))
    assert (again.global_id, again.linked_by) == (known.global_id, "matched-record")
    assert index.resolve(identifier(WEST, "2")) == known.global_id


def test_a_match_takes_one_connection(feed: PatientFeed, lookup: PatientLookup) -> None:
    """Two at a time would let many askers wait for each other until the pool gives up."""
    feed.register(_rare(EAST, "1"))
    pool = lookup._index.database.engine.pool
    most: list[int] = []

    def counted(*_arguments: object) -> None:
        most.append(pool.checkedout())  # type: ignore[attr-defined]

    event.listen(pool, "checkout", counted)
    assert lookup.match(_rare(WEST, "2"))
    assert max(most) == 1
