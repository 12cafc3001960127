"""Resident ID numbers: which are trusted, and what they say (GB 11643)."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_index.resident_id import NumberKind, is_resident_shaped, read_number
from tests.patient_index.conftest import NUMBER, resident_number

TODAY = date(2026, 11, 21)


def _kind(text: str) -> NumberKind:
    return read_number(text, TODAY).kind


def test_a_sound_number_tells_region_birth_date_and_sex() -> None:
    read = read_number(NUMBER, TODAY)
    assert (read.kind, read.region, read.birth_date, read.sex) == (
        NumberKind.RESIDENT,
        "110108",
        date(1985, 3, 12),
        "M",
    )


def test_an_even_serial_is_a_woman() -> None:
    assert read_number(resident_number(serial="002"), TODAY).sex == "F"


def test_the_example_of_the_standard_is_sound() -> None:
    # GB 11643-1999, 5: 11010519491231002X
    read = read_number("11010519491231002X", TODAY)
    assert (read.kind, read.sex) == (NumberKind.RESIDENT, "F")


@pytest.mark.parametrize(
    "spelling",
    [
        "11010519491231002x",
        " 11010519491231002X ",
        "110105 19491231 002X",
        "110105-19491231-002X",
        "１１０１０５１９４９１２３１００２Ｘ",
        "\u200e11010519491231002X",
    ],
)
def test_spellings_of_the_field_are_one_number(spelling: str) -> None:
    assert read_number(spelling, TODAY).value == "11010519491231002X"
    assert _kind(spelling) is NumberKind.RESIDENT


@given(place=st.integers(0, 17), digit=st.sampled_from("0123456789X"))
def test_one_wrong_digit_is_always_noticed(place: int, digit: str) -> None:
    wrong = NUMBER[:place] + digit + NUMBER[place + 1 :]
    assert wrong == NUMBER or _kind(wrong) is not NumberKind.RESIDENT


@given(place=st.integers(0, 16))
def test_swapped_neighbours_are_always_noticed(place: int) -> None:
    swapped = NUMBER[:place] + NUMBER[place + 1] + NUMBER[place] + NUMBER[place + 2 :]
    assert swapped == NUMBER or _kind(swapped) is not NumberKind.RESIDENT


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (resident_number(born="19850230"), NumberKind.BROKEN_RESIDENT),  # 30 February
        (resident_number(born="20270101"), NumberKind.BROKEN_RESIDENT),  # not born yet
        (resident_number(born="18500101"), NumberKind.BROKEN_RESIDENT),  # 176 years old
        (resident_number(region="990108"), NumberKind.BROKEN_RESIDENT),  # no such province
        (resident_number(region="110117", born="19500101"), NumberKind.RESIDENT),  # county of 2001
        (resident_number(region="810000"), NumberKind.RESIDENT),  # Hong Kong permit
        (resident_number(region="830000"), NumberKind.RESIDENT),  # Taiwan permit
        (resident_number(region="911840"), NumberKind.RESIDENT),  # foreign permanent resident
        ("X10105194912310021", NumberKind.OTHER),
        ("110105491231002", NumberKind.OLD_RESIDENT),
        ("110105491331002", NumberKind.OTHER),  # month 13
        ("990105491231002", NumberKind.OTHER),  # no such province
        ("12345", NumberKind.OTHER),
        ("", NumberKind.OTHER),
        ("1" * 1000, NumberKind.OTHER),
        ("² ³ ¹", NumberKind.OTHER),
    ],
)
def test_each_kind_is_told_apart(number: str, kind: NumberKind) -> None:
    assert _kind(number) is kind


def test_old_numbers_tell_birth_date_and_sex() -> None:
    read = read_number("110105491231002", TODAY)
    assert (read.birth_date, read.sex) == (date(1949, 12, 31), "F")


@pytest.mark.parametrize("text", ["12345", "P123456789AB", ""])
def test_other_numbers_are_not_resident_shaped(text: str) -> None:
    assert not is_resident_shaped(text)


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    read_number(text, TODAY)
