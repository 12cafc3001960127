from collections.abc import Callable
from datetime import date

import pytest

from patient_index.matching import MatchRecord, blocking_keys
from patient_index.matching.blocking import skeleton
from patient_index.model import Address, IdentifierKind

Person = Callable[..., MatchRecord]
NOWHERE = {"phones": (), "address": Address()}


@pytest.mark.parametrize(
    "said",
    [
        {"name": "=章^雯涛"},
        {"name": "Zhang^Wentao"},
        {"name": "=文涛^张"},
        {"name": "=张^建国"},
        {"name": "=王^文涛"},
        {"name": "=张^文?"},
        {"birth_date": date(1985, 12, 3)},
        {"birth_date": date(1958, 3, 12)},
        {"birth_date": date(1985, 4, 20)},
    ],
)
def test_one_wrong_field_does_not_keep_two_records_apart(
    person: Person, said: dict[str, object]
) -> None:
    assert set(blocking_keys(person(**NOWHERE))) & set(blocking_keys(person(**NOWHERE, **said)))


@pytest.mark.parametrize("field", ["phones", "address"])
def test_a_telephone_or_a_home_alone_brings_records_together(person: Person, field: str) -> None:
    other = {"phones": (), "address": Address()}
    del other[field]
    stranger = person(name="=李^雪梅", birth_date=date(1950, 1, 5), **other)
    assert set(blocking_keys(person())) & set(blocking_keys(stranger))


def test_a_number_with_a_slip_in_its_first_half_is_found(person: Person) -> None:
    kind = IdentifierKind.RESIDENT_ID
    one = person(numbers=((kind, "310117198503120017"),), **NOWHERE)
    other = person(
        name="=李^雪梅",
        birth_date=None,
        numbers=((kind, "310711198503120017"),),
        **NOWHERE,
    )
    assert set(blocking_keys(one)) & set(blocking_keys(other))


def test_strangers_share_no_key(person: Person) -> None:
    stranger = person(
        name="=李^雪梅", birth_date=date(1950, 1, 5), address="方塔路99号", phones=("13900000021",)
    )
    assert not set(blocking_keys(person())) & set(blocking_keys(stranger))


def test_every_key_says_its_rule_and_none_is_long(person: Person) -> None:
    for key in blocking_keys(
        person(name="Smith^John", address=Address("1 a, b", "Ryde", "", "2112"))
    ):
        rule, colon, value = key.partition(":")
        assert rule.isalpha()
        assert colon
        assert value
        assert len(key) < 120


def test_skeleton_is_soundex_without_padding() -> None:
    assert skeleton("smith") == skeleton("smyth")
    assert skeleton("") == ""
