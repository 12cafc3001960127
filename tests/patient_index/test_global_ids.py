"""Global IDs: unlike any resident number, and safe against slips of the pen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_index.global_ids import SystemGlobalIdFactory, global_id_of, is_global_id
from patient_index.resident_id import is_resident_shaped

ISSUED = global_id_of("4K7M2Q9T1V8Z")


def test_new_ids_are_valid_and_differ() -> None:
    factory = SystemGlobalIdFactory()
    issued = {factory.new_global_id() for _ in range(500)}
    assert len(issued) == 500
    assert all(map(is_global_id, issued))


def test_a_global_id_is_never_shaped_like_a_resident_number() -> None:
    factory = SystemGlobalIdFactory()
    for _ in range(200):
        issued = factory.new_global_id()
        assert issued[0] == "P"
        assert len(issued) == 14
        assert not is_resident_shaped(issued)


@given(place=st.integers(1, 13), letter=st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_one_wrong_character_is_noticed(place: int, letter: str) -> None:
    wrong = ISSUED[:place] + letter + ISSUED[place + 1 :]
    assert wrong == ISSUED or not is_global_id(wrong)


@given(place=st.integers(1, 12))
def test_swapped_neighbours_are_noticed(place: int) -> None:
    swapped = ISSUED[:place] + ISSUED[place + 1] + ISSUED[place] + ISSUED[place + 2 :]
    assert swapped == ISSUED or not is_global_id(swapped)


@pytest.mark.parametrize(
    "text", ["", "P", "11010519491231002X", "Ｐ" * 14, ISSUED.lower(), "P" * 15]
)
def test_other_texts_are_not_global_ids(text: str) -> None:
    assert not is_global_id(text)
