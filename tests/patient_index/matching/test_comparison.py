import math
from collections.abc import Callable
from datetime import date

import pytest

from patient_index.matching import MatchRecord, Weights, compare
from patient_index.model import Address, IdentifierKind

Person = Callable[..., MatchRecord]


def test_the_evidence_adds_up_to_the_score(person: Person, weights: Weights) -> None:
    others = (
        person(),
        person(name="=章^雯涛", phones=("13812345678",)),
        person(address="方塔路99号", birth_date=date(1985, 12, 3)),
        person(name="=李梅之子"),
    )
    for other in others:
        comparison = compare(person(), other, weights)
        total = sum(one.weight for one in comparison.fields)
        assert math.isclose(total, comparison.score, abs_tol=1e-9)


def test_the_evidence_shows_both_values(person: Person, weights: Weights) -> None:
    comparison = compare(person(), person(birth_date=date(1985, 12, 3)), weights)
    shown = {one.field: (one.level, one.mine, one.theirs) for one in comparison.fields}
    assert shown["birth_date"] == ("day_month_swapped", "1985-03-12", "1985-12-03")
    assert shown["mother"] == ("unknown", "", "")


def test_comparison_does_not_depend_on_the_order(person: Person, weights: Weights) -> None:
    people = [
        person(),
        person(name="Zhang^Wentao"),
        person(name="=张^文?", phones=()),
        person(birth_date=date(1958, 3, 12), address="文荣路12弄"),
        person(numbers=((IdentifierKind.RESIDENT_ID, "310117198503120017"),)),
    ]
    for one in people:
        for other in people:
            forth, back = compare(one, other, weights), compare(other, one, weights)
            assert math.isclose(forth.score, back.score)
            assert [e.level for e in forth.fields] == [e.level for e in back.fields]


def test_the_same_person_at_two_sites_is_linked(person: Person, weights: Weights) -> None:
    other = person(name="=張^文濤", address="文荣路12弄3号501室")
    assert compare(person(), other, weights).score >= weights.thresholds.link


@pytest.mark.parametrize("given", ["雯涛", "文滔"])
def test_a_homophone_with_the_same_telephone_is_linked(
    person: Person, weights: Weights, given: str
) -> None:
    comparison = compare(person(), person(name=f"=张^{given}"), weights)
    assert comparison.score > weights.thresholds.review


def test_a_common_name_and_a_birth_date_are_not_enough(person: Person, weights: Weights) -> None:
    one = person(name="=王^伟", phones=(), address=Address())
    other = person(name="=王^伟", phones=(), address=Address())
    assert compare(one, other, weights).score < weights.thresholds.link


def test_a_rare_name_says_more_than_a_common_one(person: Person, weights: Weights) -> None:
    def alone(name: str) -> MatchRecord:
        return person(name=name, phones=(), address=Address())

    common = compare(alone("=王^伟"), alone("=王^伟"), weights)
    rare = compare(alone("=郗^彧"), alone("=郗^彧"), weights)
    by_field = {one.field: one.weight for one in common.fields}
    assert common.alternative == rare.alternative == "stranger"
    for one in rare.fields:
        if one.field in {"family_name", "given_name"}:
            assert one.weight > by_field[one.field]


def test_twins_are_not_linked(person: Person, weights: Weights) -> None:
    twin = person(name="=张^文波")
    comparison = compare(person(), twin, weights)
    assert comparison.score < weights.thresholds.link
    assert comparison.alternative == "twin"


def test_a_twin_whose_character_was_lost_goes_to_a_person(person: Person, weights: Weights) -> None:
    comparison = compare(person(), person(name="=张^文?"), weights)
    assert comparison.score < weights.thresholds.link or comparison.bars


def test_a_twin_known_in_pinyin_alone_goes_to_a_person(person: Person, weights: Weights) -> None:
    one = person(name="=张^浩宇", birth_date=date(2012, 5, 1))
    other = person(name="Zhang^Haoyu", birth_date=date(2012, 5, 1))
    assert compare(one, other, weights).score < weights.thresholds.link


def test_father_and_son_of_one_household_are_not_linked(person: Person, weights: Weights) -> None:
    son = person(name="=张^浩宇", birth_date=date(2012, 5, 1))
    assert compare(person(), son, weights).score < weights.thresholds.review


def test_husband_and_wife_with_one_telephone_are_not_linked(
    person: Person, weights: Weights
) -> None:
    wife = person(name="=李^雪梅", birth_date=date(1986, 9, 2), sex="F")
    assert compare(person(), wife, weights).score < weights.thresholds.review


def test_an_unnamed_newborn_is_never_linked_unattended(person: Person, weights: Weights) -> None:
    child = person(name="=李梅之子", birth_date=date(2026, 9, 1))
    assert compare(child, child, weights).bars


def test_numbers_that_differ_bar_a_link(person: Person, weights: Weights) -> None:
    kind = IdentifierKind.RESIDENT_ID
    verified = [
        one
        for number in range(1000)
        if (one := person(numbers=((kind, f"310117198503120{number:03d}"),))).resident_numbers
    ]
    assert "several-numbers" in compare(verified[0], verified[1], weights).bars


def test_a_moved_person_with_the_same_telephone_is_linked(person: Person, weights: Weights) -> None:
    moved = person(address="方塔路99号201室")
    assert compare(person(), moved, weights).score >= weights.thresholds.link


def test_fields_that_repeat_each_other_are_limited(person: Person, weights: Weights) -> None:
    evidence = compare(person(), person(), weights).fields
    members = {"province", "city", "street", "house", "second_line", "postal_code", "address"}
    [limit] = weights.limits
    assert sum(one.weight for one in evidence if one.field in members) <= limit.highest + 1e-9
