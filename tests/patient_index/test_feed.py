"""The one door for statements: who becomes one person, what is refused, what is done once."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.person_names import parse_person_name
from patient_index.errors import InvalidStatementError, UnknownDomainError
from patient_index.feed import PatientFeed
from patient_index.lookup import PatientLookup
from patient_index.model import (
    Address,
    Decided,
    Demographics,
    IdentifierKind,
    PatientStatement,
    TypedIdentifier,
)
from patient_index.service import PatientIndex
from patient_index.tables import LinkLog, ObservedDemographics
from patient_index.tables_feed import FeedMessage
from tests.patient_index.conftest import (
    CARDS,
    EAST,
    NORTH,
    NUMBER,
    ON_BOTH,
    RESIDENTS,
    WEST,
    card,
    identifier,
    patient,
    resident_number,
    statement,
)
from tests.support.clock import FixedClock

pytestmark = ON_BOTH

STRANGER = AssigningAuthority("STRANGER", "1.2.3.999")
BY_CLERK = Decided(by="clerk", reason="seen at the desk")


def test_a_statement_registers_a_person_with_everything_said(
    feed: PatientFeed, lookup: PatientLookup
) -> None:
    said = statement(
        EAST,
        "1",
        other_names=(parse_person_name("王^小冬"),),
        address=Address("沪松公路 1 号", "松江区", "上海市", "201615"),
        phones=("021-57641234", "13800138000"),
        mother_name=parse_person_name("李^梅"),
        multiple_birth=True,
        birth_order=2,
        deceased=False,
        language="zh",
        marital_status="M",
    )
    outcome = feed.register(said)
    assert (outcome.created, outcome.linked_by, outcome.review_id) == (True, None, None)
    person = lookup.person(outcome.global_id)
    assert person is not None
    assert person.demographics == said.demographics
    assert person.identifiers == (identifier(EAST, "1"),)


def test_the_same_statement_again_changes_nothing(feed: PatientFeed, database: Database) -> None:
    first = feed.register(statement(EAST))
    again = feed.update(statement(EAST))
    assert (again.global_id, again.created) == (first.global_id, False)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ObservedDemographics)) == 1


def test_a_message_seen_before_gives_the_same_outcome_and_does_nothing(
    feed: PatientFeed, index: PatientIndex
) -> None:
    first = feed.register(statement(EAST), "HIS|EAST|1")
    feed.update(statement(EAST, name="王^小冬"), "HIS|EAST|2")
    assert feed.register(statement(EAST), "HIS|EAST|1") == first
    person = index.person(first.global_id)
    assert person is not None
    assert person.name.display == "王小冬"


def test_long_message_keys_are_told_apart(feed: PatientFeed) -> None:
    first = feed.register(statement(EAST, "1"), "x" * 500 + "1")
    second = feed.register(statement(EAST, "2"), "x" * 500 + "2")
    assert first.global_id != second.global_id


def test_messages_are_forgotten_when_nobody_repeats_them(
    feed: PatientFeed, clock: FixedClock, database: Database
) -> None:
    feed.register(statement(EAST, "1"), "old")
    clock.advance(days=30)
    feed.register(statement(EAST, "2"), "new")
    clock.advance(days=1)
    assert feed.forget_messages(clock.now() - timedelta(days=7)) == 1
    with database.read() as session:
        assert session.scalars(select(FeedMessage.message_key)).all() == ["register:new"]


def test_an_update_of_somebody_unknown_registers(feed: PatientFeed) -> None:
    assert feed.update(statement(EAST)).created


def test_returning_to_an_earlier_statement_is_news(feed: PatientFeed, index: PatientIndex) -> None:
    for name in ("王^小东", "王^小冬", "王^小东"):
        global_id = feed.update(statement(EAST, name=name)).global_id
    person = index.person(global_id)
    assert person is not None
    assert person.name.display == "王小东"


def test_a_device_that_repeats_itself_is_no_news(index: PatientIndex, database: Database) -> None:
    for name in ("王^小东", "王^小冬") * 3:
        index.observe(patient(EAST, name=name))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ObservedDemographics)) == 2


def test_an_identifier_its_issuer_gave_links_though_the_names_differ(
    feed: PatientFeed, lookup: PatientLookup, index: PatientIndex
) -> None:
    first = feed.register(statement(EAST, "1", name="SMITH^JOHN"))
    second = feed.register(
        statement(WEST, "2", card(EAST, "1", IdentifierKind.LOCAL), name="SMYTHE^JON", sex="")
    )
    assert second.global_id == first.global_id
    assert second.linked_by == "explicit-identifier"
    [_, link] = index.history(identifier(WEST, "2"))
    assert link.explanation.fields[0].level == "explicit-identifier"
    assert set(lookup.cross_references(identifier(WEST, "2"))) >= {
        identifier(EAST, "1"),
        identifier(WEST, "2"),
    }


def test_a_claim_links_when_its_issuer_speaks(feed: PatientFeed) -> None:
    claiming = feed.register(statement(WEST, "2", card(EAST, "1", IdentifierKind.LOCAL)))
    issuing = feed.register(statement(EAST, "1"))
    assert (issuing.global_id, issuing.linked_by) == (claiming.global_id, "explicit-identifier")


def test_a_claimed_identifier_of_somebody_else_asks(feed: PatientFeed, index: PatientIndex) -> None:
    """A mother gives her own card at the desk for her son, and the clerk types it in."""
    feed.register(statement(EAST, "1", name="李^梅", birth_date=date(1960, 5, 5), sex="F"))
    outcome = feed.register(statement(WEST, "2", card(EAST, "1", IdentifierKind.LOCAL)))
    assert outcome.linked_by is None
    assert [one.rule for one in index.open_reviews()] == ["explicit-contradicted"]
    assert outcome.review_id == index.open_reviews()[0].review_id


def test_several_cards_are_one_person(feed: PatientFeed, lookup: PatientLookup) -> None:
    """多卡合一: each hospital was shown another card, one was shown both."""
    first = feed.register(statement(EAST, "1", card(CARDS, "K-1")))
    second = feed.register(statement(WEST, "2", card(CARDS, "K-1"), card(CARDS, "K-2")))
    third = feed.register(statement(NORTH, "3", card(CARDS, "K-2")))
    assert first.global_id == second.global_id == third.global_id
    assert third.linked_by == "shared-card"
    for value in ("K-1", "K-2"):
        assert lookup.resolve(identifier(CARDS, value)) == first.global_id


@pytest.mark.parametrize(
    ("difference", "rule"),
    [
        ({"name": "李^娜"}, "card-name-contradicts"),
        ({"sex": "F"}, "card-sex-contradicts"),
        ({"birth_date": date(1958, 3, 12)}, "card-birth-date-contradicts"),
        ({"birth_date": None}, "card-nothing-confirms"),
    ],
)
def test_a_borrowed_card_asks(
    feed: PatientFeed, index: PatientIndex, difference: dict[str, Any], rule: str
) -> None:
    first = feed.register(statement(EAST, "1", card(CARDS, "K-1")))
    second = feed.register(statement(WEST, "2", card(CARDS, "K-1"), **difference))
    assert first.global_id != second.global_id
    assert [one.rule for one in index.open_reviews()] == [rule]


def test_a_broken_number_never_links(feed: PatientFeed, index: PatientIndex) -> None:
    broken = card(RESIDENTS, NUMBER[:-1] + "0", IdentifierKind.RESIDENT_ID)
    passport = card(CARDS, "!!", IdentifierKind.PASSPORT)
    for issuer in (EAST, WEST):
        feed.register(statement(issuer, "1", broken, passport))
    assert index.resolve(identifier(EAST, "1")) != index.resolve(identifier(WEST, "1"))


def test_a_verified_resident_number_links(feed: PatientFeed) -> None:
    resident = card(RESIDENTS, NUMBER, IdentifierKind.RESIDENT_ID)
    first = feed.register(statement(EAST, "1", resident))
    second = feed.register(statement(WEST, "2", card(CARDS, NUMBER.lower())))
    assert (second.global_id, second.linked_by) == (first.global_id, "verified-number")


def test_resident_numbers_that_differ_are_two_persons_with_one_card(
    feed: PatientFeed, index: PatientIndex
) -> None:
    for issuer, serial in ((EAST, "001"), (WEST, "003")):
        resident = card(RESIDENTS, resident_number(serial=serial), IdentifierKind.RESIDENT_ID)
        feed.register(statement(issuer, "1", resident, card(CARDS, "K-1")))
    assert [one.rule for one in index.open_reviews()] == ["card-several-numbers"]


def test_further_numbers_of_the_same_issuer_are_the_same_patient(
    feed: PatientFeed, lookup: PatientLookup
) -> None:
    old = feed.register(statement(EAST, "old"))
    outcome = feed.register(
        statement(EAST, "new", card(EAST, "old", IdentifierKind.LOCAL), name="王^小冬")
    )
    assert (outcome.global_id, outcome.linked_by) == (old.global_id, "explicit-identifier")
    feed.register(statement(EAST, "x", card(EAST, "y", IdentifierKind.LOCAL)))
    assert lookup.resolve(identifier(EAST, "x")) == lookup.resolve(identifier(EAST, "y"))


def test_a_mother_is_another_person(
    feed: PatientFeed, lookup: PatientLookup, index: PatientIndex
) -> None:
    mother = feed.register(
        statement(EAST, "M", name="Jones^Jennifer", birth_date=date(1984, 1, 25), sex="F")
    )
    by_field = feed.register(
        statement(
            EAST, "N1", name="", birth_date=date(2026, 11, 1),
            mothers_identifiers=(identifier(EAST, "M"),),
        )
    )  # fmt: skip
    by_kind = feed.register(
        statement(
            EAST, "N2", card(EAST, "M", IdentifierKind.MOTHER), name="",
            birth_date=date(2026, 11, 1),
        )
    )  # fmt: skip
    assert len({mother.global_id, by_field.global_id, by_kind.global_id}) == 3
    for child in (by_field, by_kind):
        person = lookup.person(child.global_id)
        assert person is not None
        assert person.mothers == (mother.global_id,)
        assert person.demographics.mother_name == parse_person_name("Jones^Jennifer")
        assert identifier(EAST, "M") not in lookup.cross_references(person.identifiers[0])
    assert index.open_reviews() == []


@pytest.mark.parametrize(
    ("value", "kind", "name", "provisional"),
    [
        ("1", IdentifierKind.LOCAL, "王^小东", True),
        ("1", IdentifierKind.TEMPORARY, "王^小东", False),
        ("1", IdentifierKind.LOCAL, "无名氏", False),
        ("1", IdentifierKind.LOCAL, "王小东之子", False),
        ("1", IdentifierKind.LOCAL, "Unknown^Male", False),
    ],
)
def test_a_provisional_person_is_resolved_later(
    feed: PatientFeed,
    lookup: PatientLookup,
    value: str,
    kind: IdentifierKind,
    name: str,
    provisional: bool,  # noqa: FBT001 (a parameter of the case)
) -> None:
    unknown = PatientStatement(
        (TypedIdentifier(identifier(EAST, value), kind),),
        Demographics(name=parse_person_name(name), sex="M"),
        "HIS|EAST",
        provisional=provisional,
    )
    first = feed.register(unknown)
    person = lookup.person(first.global_id)
    assert person is not None
    assert person.provisional
    real = feed.register(statement(WEST, "9", card(CARDS, "K-9")))
    resolved = feed.update(statement(EAST, value, card(CARDS, "K-9")))
    # Whoever was known first gives the global ID: the emergency's pictures stay where they are.
    assert resolved.global_id == first.global_id != real.global_id
    found = lookup.person(resolved.global_id)
    assert found is not None
    assert not found.provisional
    assert found.name.display == "王小东"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (PatientStatement(()), "identifiers"),
        (statement(EAST, " "), "identifiers[0].value"),
        (statement(EAST, "x" * 65), "identifiers[0].value"),
        (statement(EAST, "a\0b"), "identifiers[0].value"),
        (statement(EAST, "1", card(CARDS, "\n")), "identifiers[1].value"),
        (statement(EAST, "1", *[card(CARDS, str(n)) for n in range(64)]), "identifiers"),
        (statement(EAST, birth_date=date(2099, 1, 1)), "demographics.birth_date"),
        (statement(EAST, birth_date=date(1066, 1, 1)), "demographics.birth_date"),
        (statement(EAST, name="a\0b"), "demographics.name"),
        (statement(EAST, phones=("1" * 1001,)), "demographics.phones[0]"),
        (statement(EAST, phones=("1",) * 33), "demographics.phones"),
        (statement(EAST, address=Address(city="x" * 1001)), "demographics.address.city"),
        (
            statement(EAST, mothers_identifiers=(identifier(EAST, ""),)),
            "demographics.mothers_identifiers[0].value",
        ),
        (
            PatientStatement((TypedIdentifier(identifier(EAST), IdentifierKind.MOTHER),)),
            "identifiers[0]",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_by_its_field(
    feed: PatientFeed, database: Database, said: PatientStatement, field: str
) -> None:
    with pytest.raises(InvalidStatementError) as refused:
        feed.register(said)
    assert refused.value.field == field
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(LinkLog)) == 0


@pytest.mark.parametrize(
    "said",
    [
        statement(STRANGER),
        statement(EAST, "1", card(STRANGER, "2")),
        statement(EAST, mothers_identifiers=(identifier(STRANGER, "2"),)),
    ],
)
def test_an_unknown_issuer_is_refused(feed: PatientFeed, said: PatientStatement) -> None:
    with pytest.raises(UnknownDomainError):
        feed.register(said)


@pytest.mark.parametrize("known", [1, 20])
def test_a_statement_costs_a_bounded_number_of_queries(
    feed: PatientFeed, statements: Callable[[], Any], known: int
) -> None:
    for number in range(known):
        feed.register(statement(EAST, f"e-{number}", card(CARDS, "K"), phones=("12345678",)))
    with statements() as seen:
        feed.register(statement(WEST, "new", name="李^娜", phones=("87654321",)), "message")
    fresh = [one for one in seen if not one.startswith("BEGIN")]
    with statements() as seen:
        outcome = feed.register(statement(NORTH, "new", card(CARDS, "K")))
    linked = [one for one in seen if not one.startswith("BEGIN")]
    assert outcome.linked_by == "shared-card"
    assert len(fresh) <= 16, fresh
    assert len(linked) <= 32, linked
