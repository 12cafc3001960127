from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName, decode_person_name
from patient_index.matching import (
    MatchRecord,
    Weights,
    blocking_keys,
    compare,
    load_weights,
    prepare,
)
from patient_index.model import Address, Demographics, IdentifierKind, TypedIdentifier

Person = Callable[..., MatchRecord]


def test_nothing_known_is_a_record_without_keys() -> None:
    record = prepare(Demographics())
    assert record.names == ()
    assert blocking_keys(record) == ()


def test_a_verified_number_tells_birth_date_and_sex(person: Person) -> None:
    said = (IdentifierKind.RESIDENT_ID, "310117198503120017")
    record = person(birth_date=None, sex="", numbers=(said,))
    assert record.resident_numbers | record.doubtful_numbers == {"310117198503120017"}
    if record.resident_numbers:
        assert (record.birth, record.sex) == ("19850312", "M")


def test_a_number_with_a_wrong_check_digit_is_doubtful(person: Person) -> None:
    record = person(numbers=((IdentifierKind.RESIDENT_ID, "110108198503120019"),))
    assert record.resident_numbers == frozenset()
    assert record.doubtful_numbers == {"110108198503120019"}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("+86 138-1234-5679", {"13812345679"}),
        ("0086 13812345679", {"13812345679"}),
        ("021-57781234", {"02157781234"}),
        ("00000000000", set()),
        ("110", set()),
    ],
)
def test_telephone_numbers_have_one_spelling(person: Person, written: str, kept: set[str]) -> None:
    assert person(phones=(written,)).phones == kept


def test_the_mothers_number_is_not_the_childs(person: Person) -> None:
    record = person(numbers=((IdentifierKind.MOTHER, "12345"),))
    assert record.mothers_numbers
    assert record.cards == frozenset()
    assert record.local_numbers == ()


def test_a_name_read_without_confidence_is_not_certain() -> None:
    name = decode_person_name(b"\xcd\xf5?", ["GB18030"])
    assert not prepare(Demographics(name=name)).certain


def test_hostile_names_are_no_error() -> None:
    for text in ("\u202e张三", "张\u200b三", "<script>", "之子", "之" * 300, "^^^^=^^=^", "·"):
        blocking_keys(prepare(Demographics(name=PersonName(ideographic=text))))


def test_invisible_characters_change_nothing(person: Person) -> None:
    assert person(name="=张^文\u200b涛").names[0].given == person().names[0].given


@given(
    st.builds(
        Demographics,
        name=st.builds(PersonName, st.text(max_size=40), st.text(max_size=40), st.text()),
        birth_date_text=st.text(max_size=12),
        sex=st.text(max_size=2),
        address=st.builds(Address, st.text(), st.text(), st.text(), st.text(), st.text()),
        phones=st.lists(st.text(max_size=30), max_size=3).map(tuple),
    ),
    st.text(max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_can_be_prepared_and_compared(said: Demographics, value: str) -> None:
    weights = load_weights()
    issuer = AssigningAuthority("EAST", "1.2.3")
    kinds = [TypedIdentifier(PatientIdentifier(value, issuer), kind) for kind in IdentifierKind]
    record = prepare(said, kinds)
    blocking_keys(record)
    assert compare(record, record, weights).fields


def test_an_endless_text_costs_little(person: Person, weights: Weights) -> None:
    one = person(address="路" * 200_000, phones=("1" * 100_000,), name="=" + "张" * 100_000)
    other = person(address="街" * 200_000, name="=" + "李" * 100_000)
    assert len(one.address.street) < 300
    assert len(one.names[0].given) < 300
    compare(one, other, weights)
