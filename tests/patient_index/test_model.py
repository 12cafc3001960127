"""The table of link rules: every line decides something, and contradictions never link."""

from datetime import date

import pytest

from hub_kernel.person_names import PersonName, decode_person_name, name_keys, parse_person_name
from patient_index.link_rules import LINK_RULES, Evidence, Observation, Verdict, decide_link
from patient_index.model import known_sex, names_agree
from patient_index.resident_id import IdentityNumber, read_number
from tests.patient_index.conftest import BORN, NUMBER, WANG, resident_number

TODAY = date(2026, 11, 21)
OLD = "110108850312001"


def _number(text: str) -> IdentityNumber:
    return read_number(text, TODAY)


def _evidence(
    name: PersonName | str = WANG,
    birth_date: date | None = BORN,
    sex: str = "M",
    number: str = NUMBER,
) -> Evidence:
    known = parse_person_name(name) if isinstance(name, str) else name
    return Evidence((Observation(known, birth_date, sex),), frozenset({_number(number)}))


MISLABELLED = decode_person_name("王^小东".encode("gbk"), ["ISO_IR 192"])
ME = _evidence()

PAIRS: list[tuple[str, Evidence, str]] = [
    ("all agrees", _evidence("王^小东"), "verified-number"),
    ("letters against Hanzi", _evidence("Wang^XiaoDong"), "verified-number"),
    ("capitals", _evidence("WANG^XIAODONG"), "verified-number"),
    ("given name first", _evidence("XiaoDong^Wang"), "verified-number"),
    ("a homophone", _evidence("王^晓东"), "verified-number"),
    ("sex unknown", _evidence(sex="O"), "verified-number"),
    ("name unknown, birth date agrees", _evidence(""), "verified-number"),
    ("birth date unknown, name agrees", _evidence(birth_date=None, sex=""), "verified-number"),
    ("another birth date", _evidence(birth_date=date(1985, 12, 3)), "birth-date-contradicts"),
    ("another sex", _evidence(sex="F"), "sex-contradicts"),
    ("another name", _evidence("李^娜"), "name-contradicts"),
    ("the newborn with its mother's number", _evidence("王小东之子"), "name-contradicts"),
    ("a name read with doubt", _evidence(MISLABELLED), "name-uncertain"),
    ("nothing but the number", _evidence("", None, ""), "nothing-confirms"),
    ("an old number", _evidence(number=OLD), "unverified-number"),
    ("a broken number", _evidence(number=NUMBER[:-1] + "9"), "unverified-number"),
]


@pytest.mark.parametrize(("title", "other", "rule"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_the_first_rule_that_applies_decides(title: str, other: Evidence, rule: str) -> None:
    assert decide_link(ME, other).name == rule
    assert decide_link(other, ME).name == rule
    assert (decide_link(ME, other).verdict is Verdict.LINK) == (rule == "verified-number")


def test_a_second_verified_number_is_a_contradiction() -> None:
    both = Evidence(ME.observations, ME.numbers | {_number(resident_number(serial="003"))})
    assert decide_link(ME, both).name == "several-numbers"


def test_the_spouses_card_is_noticed_from_the_number_alone() -> None:
    """Both sites typed the husband's number for her: they agree together, not with it."""
    wife = _evidence("李^娜", date(1986, 5, 1), "F")
    assert decide_link(wife, wife).verdict is Verdict.REVIEW


def test_every_rule_is_reached_by_some_pair() -> None:
    reached = {rule for _, _, rule in PAIRS} | {"several-numbers"}
    assert reached == {rule.name for rule in LINK_RULES}


def test_reasons_are_written_for_people() -> None:
    assert all(len(rule.reason) > 20 for rule in LINK_RULES)


def test_an_unknown_name_disagrees_with_nobody() -> None:
    assert names_agree(name_keys(PersonName()), name_keys(WANG))


@pytest.mark.parametrize(
    ("text", "sex"),
    [("M", "M"), ("f", "F"), ("O", ""), ("", ""), (" M ", "M"), ("Male", "M"), ("男", "")],
)
def test_only_m_and_f_say_something_about_sex(text: str, sex: str) -> None:
    assert known_sex(text) == sex
