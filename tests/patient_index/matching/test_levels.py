from collections.abc import Callable
from datetime import date

import pytest

from patient_index.matching import MatchRecord, field_levels
from patient_index.matching.name_levels import FAMILY_LEVELS, GIVEN_LEVELS, name_levels
from patient_index.model import Address, IdentifierKind

Person = Callable[..., MatchRecord]


@pytest.mark.parametrize(
    ("name", "family", "given"),
    [
        ("=张^文涛", "same", "same"),
        ("=張^文濤", "variant", "variant"),
        ("=章^文涛", "same_sound", "same"),
        ("=张^雯涛", "same", "same_sound"),
        ("Zhang^Wentao", "same_pinyin", "same_pinyin"),
        ("ZHANG^WT", "same_pinyin", "initials"),
        ("=臧^文涛", "similar_sound", "same"),
        ("=文涛^张", "swapped", "swapped"),
        ("Wentao^Zhang", "swapped", "swapped"),
        ("=张^涛", "same", "part"),
        ("=张^文波", "same", "shares_character"),
        ("=张^文?", "same", "lost_character"),
        ("=张^?", "same", "lost_character"),
        ("=张^?刚", "same", "different"),
        ("=张^", "same", "lost_character"),
        ("=张^建国", "same", "different"),
        ("=王^文涛", "different", "same"),
        ("=张芳之子", "", "named_since"),
    ],
)
def test_names_agree_on_a_level(person: Person, name: str, family: str, given: str) -> None:
    found = name_levels(person(), person(name=name))
    assert (found[0][0], found[1][0]) == (family, given)


@pytest.mark.parametrize(
    ("one", "other", "family", "given"),
    [
        ("Smith^John", "Smyth^Jon", "close", "close"),
        ("Smith^John", "John^Smith", "swapped", "swapped"),
        ("Smith^John", "Smith^J", "same", "initials"),
        ("Wang^Li", "Li^Wang", "swapped", "swapped"),
        ("Chen^Hong", "Hong^Chanwei", "different", "different"),
        ("Smith^John", "Jones^Mary", "different", "different"),
    ],
)
def test_names_in_letters_agree_on_a_level(
    person: Person, one: str, other: str, family: str, given: str
) -> None:
    found = name_levels(person(name=one), person(name=other))
    assert (found[0][0], found[1][0]) == (family, given)


@pytest.mark.parametrize(
    ("one", "other", "given"),
    [
        ("=李梅之子", "=李梅之子", "unnamed"),
        ("=李梅之子1", "=李梅之子2", "other_child"),
        ("=李梅之子", "=李梅之女", "other_child"),
        ("=李梅之大子", "=李梅之子1", "same_unnamed"),
    ],
)
def test_newborns_of_one_birth_are_told_apart(
    person: Person, one: str, other: str, given: str
) -> None:
    assert name_levels(person(name=one), person(name=other))[1][0] == given


def test_every_name_level_has_its_place() -> None:
    assert len(set(FAMILY_LEVELS)) == len(FAMILY_LEVELS)
    assert len(set(GIVEN_LEVELS)) == len(GIVEN_LEVELS)


@pytest.mark.parametrize(
    ("born", "level"),
    [
        (date(1985, 3, 12), "same"),
        (date(1985, 12, 3), "day_month_swapped"),
        (date(1985, 3, 22), "one_digit"),
        (date(1958, 3, 12), "neighbours_swapped"),
        (date(1985, 3, 21), "neighbours_swapped"),
        (date(1985, 1, 1), "only_year"),
        (date(1967, 3, 12), "same_month_and_day"),
        (date(1985, 3, 28), "same_year_and_month"),
        (date(1985, 11, 28), "same_year"),
        (date(1942, 10, 8), "different"),
        (None, ""),
    ],
)
def test_birth_dates_agree_on_a_level(person: Person, born: date | None, level: str) -> None:
    assert field_levels.birth_date(person(), person(birth_date=born))[0] == level


def test_a_year_alone_agrees_with_a_day_in_it(person: Person) -> None:
    year = person(birth_date=None, birth_date_text="1985")
    assert field_levels.birth_date(person(), year)[0] == "same_year"


@pytest.mark.parametrize(
    ("phones", "level"),
    [
        (("13812345679",), "same"),
        (("021-5778000", "13812345679"), "same"),
        (("13812345697",), "one_slip"),
        (("13900000021",), "different"),
        ((), ""),
    ],
)
def test_telephones_agree_on_a_level(person: Person, phones: tuple[str, ...], level: str) -> None:
    assert field_levels.phone(person(), person(phones=phones))[0] == level


@pytest.mark.parametrize(
    ("address", "street", "house"),
    [
        ("文荣路12弄3号501室", "same", "same"),
        ("文荣路12弄3号", "same", "part"),
        ("文荣路12弄3号502室", "same", "one_slip"),
        ("方塔路99号", "different", "different"),
        ("", "", ""),
    ],
)
def test_addresses_agree_on_a_level(person: Person, address: str, street: str, house: str) -> None:
    other = person(address=address)
    assert field_levels.street(person(), other)[0] == street
    assert field_levels.house(person(), other)[0] == house


def test_a_line_that_moved_is_recognised(person: Person) -> None:
    one = person(address=Address("1 smith street, the grange"))
    other = person(address=Address("1 the grange, smith street"))
    assert field_levels.street(one, other)[0] == "moved_line"


@pytest.mark.parametrize(
    ("number", "level"),
    [
        ("310117198503120016", "one_slip"),
        ("310117850312001", "one_slip"),
        ("310117195503120013", "different_unverified"),
    ],
)
def test_a_number_with_a_slip_is_nearly_the_same(person: Person, number: str, level: str) -> None:
    kind = IdentifierKind.RESIDENT_ID
    [right] = [
        value
        for digit in "0123456789X"
        if person(numbers=((kind, value := f"31011719850312001{digit}"),)).resident_numbers
    ]
    mine, theirs = person(numbers=((kind, right),)), person(numbers=((kind, number),))
    if right == number:
        theirs = person(numbers=((kind, "310117198503120017"),))
    assert field_levels.resident_number(mine, theirs)[0] == level


def test_two_numbers_of_one_site_are_noticed(person: Person) -> None:
    one = person(numbers=((IdentifierKind.LOCAL, "1"),))
    other = person(numbers=((IdentifierKind.LOCAL, "2"),))
    assert field_levels.local_number(one, other)[0] == "same_site"
