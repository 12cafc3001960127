import pytest

from hub_kernel.person_names import parse_person_name
from patient_index.matching.names import blurred, read_name


def _read(text: str):  # type: ignore[no-untyped-def]
    return read_name(parse_person_name(text))


@pytest.mark.parametrize(
    ("text", "family", "given"),
    [
        ("王小东", "王", "小东"),
        ("Wang^XiaoDong=王^小东", "王", "小东"),
        ("=王^小东", "王", "小东"),
        ("欧阳峰", "欧阳", "峰"),
        ("歐陽鋒", "欧阳", "锋"),
        ("司马", "司", "马"),
        ("WANG^XIAODONG", "wang", "xiaodong"),
        ("阿依古丽·买买提", "买买提", "阿依古丽"),
        ("O'Brien^Seán", "obrien", "sean"),
        ("ｗａｎｇ^ｗｅｉ", "wang", "wei"),
    ],
)
def test_family_and_given_name_are_told_apart(text: str, family: str, given: str) -> None:
    name = _read(text).name
    assert (name.family, name.given) == (family, given)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("单雄信", "shan"),
        ("曾国藩", "zeng"),
        ("解缙", "xie"),
        ("尉迟恭", "yuchi"),
        ("單田芳", "shan"),
    ],
)
def test_surnames_are_read_as_surnames(text: str, sound: str) -> None:
    assert _read(text).name.family_sound == sound


def test_traditional_and_simplified_are_one_but_the_writing_is_kept() -> None:
    first, second = _read("張國棟").name, _read("张国栋").name
    assert (first.family, first.given) == (second.family, second.given)
    assert first.given_written != second.given_written


def test_a_character_that_is_a_name_of_its_own_is_not_folded() -> None:
    assert _read("李芸").name.given == "芸"


@pytest.mark.parametrize("text", ["王?", "王□", "王*", "王\ue123"])
def test_a_lost_character_is_marked(text: str) -> None:
    assert _read(text).name.given == "?"


@pytest.mark.parametrize(
    ("text", "parent", "sex", "ordinal"),
    [
        ("李梅之子", "李梅", "M", 0),
        ("李梅之女2", "李梅", "F", 2),
        ("李梅之大子", "李梅", "M", 1),
        ("欧阳雪梅之女", "欧阳雪梅", "F", 0),
        ("李梅女婴", "李梅", "F", 0),
        ("李^梅之子", "李梅", "M", 0),
        ("BABY BOY OF SMITH^ANN", "smith ann", "M", 0),
        ("Baby Girl 2 Smith", "smith", "F", 2),
    ],
)
def test_newborns_are_known_by_their_parent(text: str, parent: str, sex: str, ordinal: int) -> None:
    newborn = _read(text).newborn
    assert (newborn.parent.shown, newborn.sex, newborn.ordinal) == (parent, sex, ordinal)


@pytest.mark.parametrize("text", ["王子", "李君子", "张之洞", "Baby^Anna"])
def test_names_that_look_like_newborns_are_names(text: str) -> None:
    assert _read(text).name is not None


@pytest.mark.parametrize("text", ["无名氏", "不详", "UNKNOWN^MALE", "急诊患者", "", "^", "???"])
def test_who_is_not_known_has_no_name(text: str) -> None:
    assert _read(text).name is None


@pytest.mark.parametrize(("one", "other"), [("zhang", "zan"), ("lin", "ning"), ("hui", "fei")])
def test_sounds_that_are_confused_are_one_or_stay_apart(one: str, other: str) -> None:
    assert (blurred(one) == blurred(other)) is ((one, other) != ("hui", "fei"))
