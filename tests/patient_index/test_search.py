"""Search: by Hanzi, pinyin, initials and any number, within what a reader may see."""

from collections.abc import Callable
from typing import Any

import pytest

from hub_kernel.identifiers import PatientIdentifier
from patient_index.model import Decided
from patient_index.service import PatientIndex
from tests.patient_index.conftest import EAST, NORTH, NUMBER, WEST, patient


def _found(index: PatientIndex, text: str, *issuers: Any, limit: int = 20) -> list[str]:
    scope = frozenset(issuers) if issuers else None
    return [person.global_id for person in index.search(text, issuers=scope, limit=limit)]


@pytest.fixture
def wang(index: PatientIndex) -> str:
    index.observe(patient(EAST, "E-1", numbers=(NUMBER, "医保8899")))
    global_id = index.observe(patient(WEST, "W-1", name="王^小东", numbers=(NUMBER,)))
    index.observe(patient(NORTH, "N-1", name="Li^Na=李^娜", sex="F"))
    return global_id


@pytest.mark.parametrize(
    "text",
    [
        "王小东",
        "王^小东",
        "王 小东",
        "王小",
        "王",
        "wangxiaodong",
        "Wang Xiaodong",
        "wang^xiao",
        "WANG*",
        "wxd",
        "WXD",
        "E-1",
        "W-1",
        "e-1",
        NUMBER,
        f" {NUMBER[:6]} {NUMBER[6:]} ",
        "医保8899",
    ],
)
def test_a_person_is_found_by(index: PatientIndex, wang: str, text: str) -> None:
    assert _found(index, text) == [wang]


def test_a_person_known_by_letters_is_found_by_hanzi(index: PatientIndex) -> None:
    global_id = index.observe(patient(EAST, name="Wang^XiaoDong"))
    assert _found(index, "王小东") == [global_id]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "*",
        "?",
        "%",
        "_",
        "'",
        "' OR 1=1 --",
        "张",
        "zhang",
        "E-",
        "1101",
        "\0",
        "x" * 9000,
    ],
)
def test_nobody_is_found_by(index: PatientIndex, wang: str, text: str) -> None:
    assert wang
    assert _found(index, text) == []


def test_both_global_ids_of_a_link_find_the_person(index: PatientIndex, wang: str) -> None:
    subsumed = index.history(PatientIdentifier("W-1", WEST))[0].global_id
    assert subsumed != wang
    assert _found(index, wang) == _found(index, subsumed.lower()) == [wang]


def test_a_reader_sees_only_people_known_at_the_own_sites(index: PatientIndex, wang: str) -> None:
    assert _found(index, "王小东", EAST) == [wang]
    assert _found(index, "W-1", EAST) == [wang]  # known here under another number
    assert _found(index, "王小东", NORTH) == []
    assert _found(index, NUMBER, NORTH) == []
    assert index.search("王小东", issuers=frozenset(), limit=5) == []


def test_the_scope_follows_the_links(index: PatientIndex, wang: str) -> None:
    index.unlink(PatientIdentifier("W-1", WEST), Decided(by="clerk", reason="two people"))
    assert _found(index, "E-1", WEST) == []
    assert _found(index, "E-1", EAST) == [wang]


def test_exact_matches_come_first_and_the_limit_holds(index: PatientIndex) -> None:
    for number in range(8):
        index.observe(patient(EAST, f"long-{number}", name=f"王^小东{'甲乙丙丁戊己庚辛'[number]}"))
    exact = index.observe(patient(EAST, "exact", name="王^小东"))
    assert _found(index, "王小东", limit=3)[0] == exact
    assert len(_found(index, "王小东", limit=3)) == 3
    assert len(_found(index, "wangxiaodong", limit=50)) == 9
    assert _found(index, "王", limit=0) == []
    assert _found(index, "王", limit=-1) == []


def test_a_person_with_many_statements_is_found_once(index: PatientIndex) -> None:
    names = [f"王^小东^^{title}" for title in ("甲", "乙", "丙")]
    found = {index.observe(patient(EAST, name=name)) for name in names}
    assert _found(index, "王小东") == list(found)


def test_the_number_of_queries_is_bounded(
    index: PatientIndex, statements: Callable[[], Any]
) -> None:
    for number in range(30):
        index.observe(patient(EAST, str(number), numbers=(f"other-{number}",)))
    _bounded(statements, 3, lambda: index.search("王", issuers=frozenset({EAST}), limit=30))
    _bounded(statements, 1, lambda: index.resolve(PatientIdentifier("1", EAST)))
    _bounded(statements, 1, lambda: index.observe(patient(EAST, "1", numbers=("other-1",))))
    global_id = index.resolve(PatientIdentifier("1", EAST)) or ""
    _bounded(statements, 2, lambda: index.person(global_id))
    _bounded(statements, 1, lambda: index.identifiers_of(global_id))
    everybody = [person.global_id for person in index.search("王", issuers=None, limit=30)]
    _bounded(statements, 2, lambda: index.persons(everybody))


@pytest.mark.parametrize("known", [1, 20])
def test_linking_costs_the_same_however_many_are_linked(
    index: PatientIndex, statements: Callable[[], Any], known: int
) -> None:
    for number in range(known):
        index.observe(patient(EAST, str(number), numbers=(NUMBER,)))
    _bounded(statements, 24, lambda: index.observe(patient(WEST, numbers=(NUMBER,))))


def _bounded(statements: Callable[[], Any], most: int, act: Callable[[], object]) -> None:
    with statements() as seen:
        act()
    asked = [statement for statement in seen if not statement.startswith("BEGIN")]
    assert 0 < len(asked) <= most, asked
