from collections.abc import Callable

import pytest

from hub_kernel.person_names import PersonName, decode_person_name
from patient_index.matching import MatchRecord, blocking_keys, prepare
from patient_index.model import Demographics, IdentifierKind

NUMBER = "11010819850312001X"
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
