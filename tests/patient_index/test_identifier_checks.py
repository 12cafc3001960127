"""Numbers are checked as far as their kind can be."""

from datetime import date

import pytest

from hub_kernel.person_names import parse_person_name
from patient_index.identifier_checks import Worth, check_identifier
from patient_index.model import IdentifierKind
from patient_index.placeholders import is_placeholder
from tests.patient_index.conftest import CARDS, NUMBER, card

K = IdentifierKind


@pytest.mark.parametrize(
    ("kind", "value", "worth"),
    [
        (K.RESIDENT_ID, NUMBER, Worth.VERIFIED),
        (K.RESIDENT_ID, NUMBER.lower(), Worth.VERIFIED),
        (K.RESIDENT_ID, NUMBER[:-1] + "0", Worth.BROKEN),
        (K.RESIDENT_ID, "110108850312001", Worth.PLAUSIBLE),
        (K.RESIDENT_ID, "110108859912001", Worth.BROKEN),
        (K.RESIDENT_ID, "12345", Worth.BROKEN),
        (K.HEALTH_CARD, NUMBER, Worth.VERIFIED),
        (K.HEALTH_CARD, "0a" * 32, Worth.PLAUSIBLE),
        (K.HEALTH_CARD, "SJ-00017", Worth.UNCHECKED),
        (K.HEALTH_RECORD, "31011710200100017", Worth.PLAUSIBLE),
        (K.HEALTH_RECORD, "310117", Worth.BROKEN),
        (K.PASSPORT, "E12345678", Worth.PLAUSIBLE),
        (K.PASSPORT, "ed1234567", Worth.PLAUSIBLE),
        (K.PASSPORT, "ABCDEFGH", Worth.BROKEN),
        (K.PASSPORT, "E1234567890", Worth.BROKEN),
        (K.INSURANCE, "whatever", Worth.UNCHECKED),
        (K.LOCAL, "12345", Worth.UNCHECKED),
    ],
)
def test_a_number_is_worth(kind: IdentifierKind, value: str, worth: Worth) -> None:
    assert check_identifier(card(CARDS, value, kind), date(2026, 11, 21)) is worth


@pytest.mark.parametrize(
    "name",
    [
        "无名氏", "無名氏", "张三之子", "王芳之长子", "王芳之双胎大", "欧阳娜娜的儿子",
        "李小梅之女", "新生儿", "王芳男婴1",
        "Unknown", "UNKNOWN^MALE", "Doe^John", "Baby Boy^Smith", "NONAME",
        "Test^Patient",
    ],
)  # fmt: skip
def test_a_placeholder_names_nobody(name: str) -> None:
    assert is_placeholder(parse_person_name(name))


@pytest.mark.parametrize(
    "name",
    [
        "王小东",
        "王羲之",
        "张之洞",
        "李子",
        "欧阳男",
        "Wang^XiaoDong",
        "Tester^Ann",
        "",
        "Babyak^Jo",
    ],
)
def test_a_name_is_no_placeholder(name: str) -> None:
    assert not is_placeholder(parse_person_name(name))
