"""Names between FHIR and DICOM: nothing is lost, nothing is moved between scripts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_kernel.person_names import PersonName, parse_person_name
from patient_index.fhir.human_names import (
    REPRESENTATION,
    current_name,
    human_names,
    name_from_text,
    other_names,
)

HANZI = st.text("王小东赵敏欧阳李梅", min_size=1, max_size=3)
LETTERS = st.from_regex(r"[A-Z][a-z]{1,6}", fullmatch=True)


def named(family: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(family, st.one_of(st.just(""), family)).map(
        lambda one: "^".join(one).rstrip("^")
    )


@given(st.one_of(st.just(""), named(LETTERS)), st.one_of(st.just(""), named(HANZI)))
def test_a_name_comes_back_as_it_was(alphabetic: str, ideographic: str) -> None:
    name = PersonName(alphabetic, ideographic)
    assert current_name(human_names(name, "official")).dicom == name.dicom


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "use": st.sampled_from(["official", "usual", "temp", "old", "maiden", "nickname"]),
                "text": st.text(min_size=1),
                "family": st.text(min_size=1),
                "given": st.lists(st.text(min_size=1), min_size=1),
                "prefix": st.lists(st.text(min_size=1), min_size=1),
            },
        ),
        max_size=4,
    )
)
def test_no_text_breaks_out_of_its_component(names: Any) -> None:
    """Delimiters inside a part would make other parts, or other scripts, of it."""
    for name in (current_name(names), *other_names(names)):
        for group in (name.alphabetic, name.ideographic, name.phonetic):
            assert group.count("^") <= 4
            assert "=" not in group
            assert "\n" not in group


@pytest.mark.parametrize(
    ("names", "dicom"),
    [
        ([], ""),
        ([{"text": "王小东"}], "=王小东"),
        ([{"text": "Wang XiaoDong"}], "Wang XiaoDong"),
        ([{"family": "王", "given": ["小东"]}], "=王^小东"),
        ([{"family": "Smith", "given": ["Ann", "Mary", "Jo"]}], "Smith^Ann^Mary Jo"),
        ([{"family": "Smith", "prefix": ["Dr."], "suffix": ["Jr."]}], "Smith^^^Dr.^Jr."),
        ([{"given": ["Ann"]}], "^Ann"),
        ([{"family": "王"}, {"family": "Wang"}], "Wang=王"),
        ([{"use": "old", "family": "Old"}, {"use": "usual", "family": "Usual"},
          {"use": "official", "family": "Official"}], "Official"),
        ([{"use": "temp", "text": "张三之子"}], "=张三之子"),
        ([{"use": "nickname", "text": "x"}], ""),
        ([{"family": "a^b=c\\d"}], "a b c d"),
        ([{"family": "Wang", "extension": [{"url": REPRESENTATION, "valueCode": "SYL"}]}],
         "==Wang"),
    ],
)  # fmt: skip
def test_the_name_in_use_is_read(names: Any, dicom: str) -> None:
    assert current_name(names).dicom == dicom


def test_other_names_are_kept_apart() -> None:
    names = [{"family": "王", "given": ["小东"]}, {"use": "maiden", "family": "李"},
             {"use": "nickname", "text": "东东"}]  # fmt: skip
    assert [one.dicom for one in other_names(names)] == ["=李", "=东东"]


def test_hanzi_in_the_first_group_are_written_as_hanzi() -> None:
    [written] = human_names(parse_person_name("王^小东"), "official")
    assert (written["text"], written["family"], written["given"]) == ("王小东", "王", ["小东"])


def test_two_scripts_are_told_apart() -> None:
    written = human_names(parse_person_name("Wang^XiaoDong=王^小东"), "official")
    codes = [one["extension"][0]["valueCode"] for one in written]
    assert codes == ["IDE", "ABC"]
    assert [one["text"] for one in written] == ["王小东", "XiaoDong Wang"]


def test_free_text_is_a_name_too() -> None:
    assert name_from_text("李梅").ideographic == "李梅"
