"""What is asked about patients: cross references, finding and matching, within what may be seen."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from hub_kernel.person_names import parse_person_name
from patient_index import finding
from patient_index.errors import (
    QuestionTooWideError,
    UnknownDomainError,
    UnknownIdentifierError,
)
from patient_index.feed import PatientFeed
from patient_index.lookup import PatientLookup
from patient_index.model import (
    Address,
    Demographics,
    Grade,
    IdentifierKind,
    Page,
    PatientStatement,
    PersonCriteria,
)
from patient_index.service import PatientIndex
from tests.patient_index.conftest import (
    BORN,
    CARDS,
    EAST,
    NORTH,
    NUMBER,
    RESIDENTS,
    WEST,
    card,
    identifier,
    patient,
    statement,
)
from tests.patient_index.test_feed import STRANGER

HOME = Address("沪松公路 1 号", "松江区", "上海市", "201615")


@pytest.fixture
def wang(feed: PatientFeed) -> str:
    """Wang, known at two hospitals and by a card; Li, known at a third."""
    feed.register(
        statement(
            EAST, "e", card(CARDS, "K"), address=HOME, phones=("+86 138-0013-8000",),
            mother_name=parse_person_name("李^梅"),
        )
    )  # fmt: skip
    global_id = feed.register(statement(WEST, "w", card(CARDS, "K"))).global_id
    feed.register(statement(NORTH, "n", name="Li^Na=李^娜", birth_date=date(1990, 1, 1), sex="F"))
    return global_id


def test_cross_references_name_the_person_everywhere(lookup: PatientLookup, wang: str) -> None:
    own = lookup.cross_references(identifier(EAST, "e"))[0]
    assert own.value == wang
    assert lookup.cross_references(identifier(EAST, "e")) == (
        own,
        identifier(WEST, "w"),
        identifier(CARDS, "K"),
        identifier(EAST, "e"),
    )
    assert lookup.cross_references(identifier(EAST, "e"), {WEST.oid}) == (identifier(WEST, "w"),)
    assert lookup.cross_references(identifier(EAST, "e"), {NORTH.oid}) == ()
    assert lookup.cross_references(own)[1:] == (
        identifier(EAST, "e"),
        identifier(WEST, "w"),
        identifier(CARDS, "K"),
    )
    assert identifier(WEST, "w") in lookup.cross_references(identifier(CARDS, "K"))


def test_unknown_issuers_targets_and_identifiers_are_told_apart(
    lookup: PatientLookup, wang: str
) -> None:
    assert wang
    with pytest.raises(UnknownDomainError):
        lookup.cross_references(identifier(STRANGER, "e"))
    with pytest.raises(UnknownDomainError):
        lookup.cross_references(identifier(EAST, "e"), {STRANGER.oid})
    for unknown in (identifier(EAST, "nobody"), identifier(CARDS, "\0")):
        with pytest.raises(UnknownIdentifierError):
            lookup.cross_references(unknown)


def test_a_card_of_two_persons_leads_to_neither(feed: PatientFeed, lookup: PatientLookup) -> None:
    feed.register(statement(EAST, "1", card(CARDS, "K")))
    feed.register(statement(WEST, "2", card(CARDS, "K"), name="李^娜"))
    assert lookup.resolve(identifier(CARDS, "K")) is None


def test_a_number_of_the_police_leads_to_whoever_stated_it(
    index: PatientIndex, lookup: PatientLookup
) -> None:
    global_id = index.observe(patient(EAST, numbers=(NUMBER,)))
    assert lookup.resolve(identifier(RESIDENTS, NUMBER.lower())) == global_id


@pytest.mark.parametrize(
    "criteria",
    [
        PersonCriteria(identifiers=(identifier(EAST, "e"),)),
        PersonCriteria(identifiers=(identifier(NORTH, "?"), identifier(CARDS, "K"))),
        PersonCriteria(numbers=("K",)),
        PersonCriteria(name="王小东"),
        PersonCriteria(name="wxd"),
        PersonCriteria(family="wang"),
        PersonCriteria(family="王", given="小东"),
        PersonCriteria(given="XIAODONG"),
        PersonCriteria(birth_date=BORN, sex="m"),
        PersonCriteria(born_from=date(1985, 1, 1), born_until=date(1985, 12, 31)),
        PersonCriteria(address=Address(city="松江")),
        PersonCriteria(address=HOME),
        PersonCriteria(phone="13800138000"),
        PersonCriteria(mother_name="li mei", birth_date=BORN),
    ],
)
def test_a_person_is_found_by(lookup: PatientLookup, wang: str, criteria: PersonCriteria) -> None:
    assert [one.global_id for one in lookup.find(criteria).persons] == [wang]


@pytest.mark.parametrize(
    "criteria",
    [
        PersonCriteria(name="王小东", sex="F"),
        PersonCriteria(name="%"),
        PersonCriteria(given="_"),
        PersonCriteria(name="' OR 1=1 --"),
        PersonCriteria(identifiers=(identifier(NORTH, "e"),)),
        PersonCriteria(identifiers=(identifier(EAST, "e"),), birth_date=date(1990, 1, 1)),
        PersonCriteria(phone="139"),
        PersonCriteria(address=Address(city="浦东")),
        PersonCriteria(global_ids=("P0",)),
        PersonCriteria(name="\0", sex="\0", numbers=("\0",), global_ids=("\0",)),
        PersonCriteria(identifiers=(identifier(EAST, "\0"),)),
    ],
)
def test_nobody_is_found_by(lookup: PatientLookup, wang: str, criteria: PersonCriteria) -> None:
    assert wang
    assert lookup.find(criteria).persons == ()


EMPTY_VALUES = ("%", "_", "*", "%_*", "'", "。", "·", " ")


@pytest.mark.parametrize("text", EMPTY_VALUES)
@pytest.mark.parametrize(
    "criteria",
    [
        lambda text: PersonCriteria(name=text),
        lambda text: PersonCriteria(family=text),
        lambda text: PersonCriteria(given=text),
        lambda text: PersonCriteria(address=Address(street=text)),
        lambda text: PersonCriteria(address=Address(text=text)),
        lambda text: PersonCriteria(address=Address(city=text)),
        lambda text: PersonCriteria(address=Address(province=text)),
        lambda text: PersonCriteria(address=Address(postal_code=text)),
        lambda text: PersonCriteria(mother_name=text),
        lambda text: PersonCriteria(phone=text),
        lambda text: PersonCriteria(numbers=(text,)),
        lambda text: PersonCriteria(sex=text),
    ],
)
def test_a_value_without_a_letter_is_nobodys(
    lookup: PatientLookup, wang: str, criteria: Callable[[str], PersonCriteria], text: str
) -> None:
    assert wang
    assert lookup.find(criteria(text)).persons == ()


def test_a_question_without_a_criterion_is_nobodys(lookup: PatientLookup, wang: str) -> None:
    assert wang
    assert lookup.find(PersonCriteria()).persons == ()
    assert lookup.find(PersonCriteria(), issuers={EAST}).persons == ()


NAMES = {
    "apart": "Wang^XiaoDong=王^小东",
    "whole": "王小东",
    "letters": "Wang^Xiaodong",
    "joined": "WANGXIAODONG",
    "turned": "Xiaodong Wang",
    "king": "李^王平",
    "compound": "司马光",
    "zhuge": "诸葛^亮",
    "shan": "单^单",
    "western": "Smith^Ann^Mary Jane",
    "uighur": "阿卜杜拉·买买提",
    "newborn": "王梅之子",
}


@pytest.fixture
def named(feed: PatientFeed) -> Callable[[Page], set[str]]:
    """People by how their site wrote their name; gives who is on a page by those words."""
    by_id = {
        feed.register(statement(EAST, word, name=name, birth_date=None)).global_id: word
        for word, name in NAMES.items()
    }
    return lambda page: {by_id[person.global_id] for person in page.persons}


WANGS = {"apart", "whole", "letters", "joined", "newborn"}


@pytest.mark.parametrize(
    ("part", "text", "found"),
    [
        ("given", "王", {"king", "turned"}),
        ("given", "wang", {"king", "turned"}),
        ("given", "小东", {"apart", "whole", "letters", "joined", "turned"}),
        ("given", "xiao", {"apart", "whole", "letters", "joined", "turned"}),
        ("given", "东", set()),
        ("given", "dong", set()),
        ("given", "ang", set()),
        ("given", "马光", set()),
        ("given", "光", {"compound"}),
        ("given", "guang", {"compound"}),
        ("given", "单", {"shan"}),
        ("given", "dan", {"shan"}),
        ("given", "shan", set()),
        ("given", "ann", {"western"}),
        ("given", "mary", {"western"}),
        ("given", "jane", {"western"}),
        ("given", "smith", set()),
        ("given", "阿卜", {"uighur"}),
        ("family", "王", WANGS),
        ("family", "wang", WANGS),
        ("family", "王小东", {"apart", "whole", "letters", "joined"}),
        ("family", "司马", {"compound"}),
        ("family", "sima", {"compound"}),
        ("family", "诸葛", {"zhuge"}),
        ("family", "shan", {"shan"}),
        ("family", "dan", set()),
        ("family", "小东", {"turned"}),
        ("family", "xiaodong", {"turned"}),
        ("family", "smith", {"western"}),
        ("family", "ann", set()),
    ],
)
def test_a_part_of_a_name_is_found_in_that_part(
    lookup: PatientLookup, named: Callable[[Page], set[str]], part: str, text: str, found: set[str]
) -> None:
    assert named(lookup.find(PersonCriteria(**{part: text}))) == found


def test_letters_that_overrun_the_family_name_are_nobodys(
    lookup: PatientLookup, named: Callable[[Page], set[str]]
) -> None:
    assert named(lookup.find(PersonCriteria(family="wangx"))) == {"whole", "joined"}


def test_every_part_that_is_asked_for_has_to_hold(
    lookup: PatientLookup, named: Callable[[Page], set[str]]
) -> None:
    assert named(lookup.find(PersonCriteria(family="李", given="王平"))) == {"king"}
    assert named(lookup.find(PersonCriteria(family="王", given="王平"))) == set()
    assert named(lookup.find(PersonCriteria(name="王", family="李"))) == set()


def test_pages_of_a_part_of_a_name_hold_everybody_once(
    feed: PatientFeed, lookup: PatientLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_ROWS_AT_ONCE", 3)
    meant = set()
    for number in range(12):
        name = "王^小东" if number % 3 == 0 else "李^东小东"
        global_id = feed.register(statement(EAST, str(number), name=name)).global_id
        feed.update(statement(EAST, str(number), name=name, sex="F"))
        meant |= {global_id} if number % 3 == 0 else set()
    seen: list[str] = []
    cursor = None
    while True:
        page = lookup.find(PersonCriteria(given="小东"), limit=3, cursor=cursor)
        seen += [one.global_id for one in page.persons]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(meant)


def test_a_part_that_too_many_names_may_hold_is_refused(
    feed: PatientFeed, lookup: PatientLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_ROWS_AT_ONCE", 1)
    monkeypatch.setattr(finding, "_MOST_READINGS", 4)
    for number in range(6):
        feed.register(statement(EAST, str(number), name="王^小东"))
    with pytest.raises(QuestionTooWideError):
        lookup.find(PersonCriteria(given="ang"))
    assert len(lookup.find(PersonCriteria(given="xiao"), limit=2).persons) == 2


def test_a_card_is_found_where_people_type(index: PatientIndex, wang: str) -> None:
    assert [one.global_id for one in index.search("K", issuers=None, limit=5)] == [wang]


def test_found_persons_come_whole(lookup: PatientLookup, wang: str) -> None:
    [person] = lookup.find(PersonCriteria(global_ids=(wang,))).persons
    assert person == lookup.person(wang)
    assert person.demographics.address == HOME
    assert person.cards == (card(CARDS, "K"),)


def test_an_asker_finds_only_whom_the_own_sites_know(lookup: PatientLookup, wang: str) -> None:
    everybody = PersonCriteria(born_from=date(1900, 1, 1))
    assert len(lookup.find(everybody).persons) == 2
    for issuer in (EAST, WEST):
        [person] = lookup.find(everybody, issuers={issuer}).persons
        assert person.global_id == wang
    assert lookup.find(everybody, issuers=()).persons == ()


def test_pages_hold_everybody_once(feed: PatientFeed, lookup: PatientLookup) -> None:
    known = {feed.register(statement(EAST, str(number))).global_id for number in range(7)}
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        page = lookup.find(PersonCriteria(name="王"), limit=3, cursor=cursor)
        seen += [one.global_id for one in page.persons]
        cursor = page.next_cursor
        if cursor is None:
            break
        feed.register(statement(WEST, f"later-{len(seen)}", name="李^娜"))
    assert sorted(known) == seen


def test_a_match_without_weights_knows_identifiers_alone(lookup: PatientLookup, wang: str) -> None:
    [found] = lookup.match(statement(EAST, "e"))
    assert (found.person.global_id, found.grade, found.score) == (wang, Grade.CERTAIN, 1.0)
    assert lookup.match(statement(EAST, "nobody")) == []
    assert lookup.match(PatientStatement((), Demographics())) == []
    both = PatientStatement(
        (
            card(EAST, "e", IdentifierKind.LOCAL),
            card(NORTH, "n", IdentifierKind.LOCAL),
        )
    )
    assert {one.grade for one in lookup.match(both)} == {Grade.PROBABLE}
    assert len(lookup.match(both, limit=1)) == 1


def test_questions_cost_a_bounded_number_of_queries(
    feed: PatientFeed, lookup: PatientLookup, statements: Callable[[], Any]
) -> None:
    for number in range(25):
        feed.register(
            statement(
                EAST, str(number), card(CARDS, f"K-{number}"), name="" if number % 2 else "王^东",
                mothers_identifiers=(identifier(EAST, "0"),) if number % 2 else (),
            )
        )  # fmt: skip
    for most, act in (
        (3, lambda: lookup.cross_references(identifier(EAST, "1"))),
        (5, lambda: lookup.cross_references(identifier(CARDS, "K-1"))),
        (9, lambda: lookup.person_of(identifier(EAST, "1"))),
        (9, lambda: lookup.find(PersonCriteria(sex="M"), limit=25)),
        (10, lambda: lookup.match(statement(EAST, "1"))),
    ):
        with statements() as seen:
            assert act()
        assert len([one for one in seen if not one.startswith("BEGIN")]) <= most, seen
