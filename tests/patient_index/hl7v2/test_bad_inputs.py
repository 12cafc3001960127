"""Bad inputs 51 to 58 and 80 through the HL7 door, end to end; 79 is in `test_hostile_bytes`."""

import logging
import unicodedata

import pytest

from tests.patient_index.hl7v2.conftest import Region
from tests.patient_index.hl7v2.messages import WANG, adt, merge, pdq
from tests.patient_index.hl7v2.wire import Sender, connected, repetitions, value


def asked_back(sender: Sender, number: str, charset: str = "UNICODE UTF-8") -> bytes:
    sender.send(pdq(f"@PID.3.1^{number}~@PID.3.4.1^EAST", charset=charset))
    return sender.raw_answer()


@pytest.mark.parametrize("declared", ["../../etc/passwd", "~".join(["GBK"] * 50), "KLINGON\\X00\\"])
def test_51_a_hostile_character_set_is_refused_kept_and_shows_nobody(
    sender: Sender, region: Region, declared: str
) -> None:
    sender.send(adt(f"1^^^EAST||{WANG}", charset=declared), codec="gbk")
    answer = sender.answer()
    assert value(answer, "MSA.1") == "AR"
    assert repetitions(answer, "ERR", 2)[0].startswith("MSH^1^18")
    assert region.person_of("1") is None
    assert len(region.service.refused.open()) == 1


def test_52_gb_18030_whose_second_bytes_are_delimiters_comes_back_unchanged(
    sender: Sender, region: Region
) -> None:
    raw = adt("1^^^EAST||乗俓^亅乛亊||19850312|M", charset="GB 18030-2000").encode("gb18030")
    assert value(sender.ask(raw), "MSA.1") == "AA"
    assert region.whole_person("1").name.ideographic == "乗俓^亅乛亊"
    assert "乗俓^亅乛亊".encode("gb18030") in asked_back(sender, "1", "GB 18030-2000")
    assert "乗俓^亅乛亊".encode() in asked_back(sender, "1")


def test_53_iso_2022_leaves_no_escape_byte(sender: Sender, region: Region) -> None:
    name = b"\x1b$)A" + "王".encode("gb2312") + b"^\x1b$)A" + "小东".encode("gb2312")
    message = adt("1^^^EAST||NAME||19850312|M", charset="ISO IR58").encode().replace(b"NAME", name)
    assert value(sender.ask(message), "MSA.1") == "AA"
    assert region.whole_person("1").name.ideographic == "王^小东"
    answer = asked_back(sender, "1")
    assert b"\x1b" not in answer
    assert "王^小东".encode() in answer


def test_54_gbk_labelled_utf_8_is_flagged_and_joins_nobody(sender: Sender, region: Region) -> None:
    assert value(sender.ask(adt(f"1^^^EAST||{WANG}||19850312|M")), "MSA.1") == "AA"
    mislabelled = adt(f"2^^^EAST||{WANG}||19850312|M", control_id="2").encode("gbk")
    assert value(sender.ask(mislabelled), "MSA.1") == "AA"
    assert not region.whole_person("2").name.confident
    assert region.person_of("1") != region.person_of("2")


@pytest.mark.parametrize(
    "name", ["王\u200b^小\u200d东", "\u202e王^小东\u202c", "王\ufeff^\u2066小东"]
)
def test_55_invisible_and_turning_characters_change_no_match_and_stay_in_their_field(
    sender: Sender, region: Region, name: str
) -> None:
    assert value(sender.ask(adt(f"1^^^EAST||{name}||19850312|M")), "MSA.1") == "AA"
    found = sender.ask(pdq("@PID.5.1^王~@PID.5.2^小东", charset="UNICODE UTF-8"))
    assert value(found, "QAK.2") == "OK"
    assert value(found, "PID.7") == "19850312"
    shown = region.whole_person("1").name.display
    turning = [char for char in shown if unicodedata.bidirectional(char) in {"RLO", "LRI", "PDF"}]
    assert not turning or shown.startswith("\u2068")


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<img src onerror>", "{{7*7}}", "${7*7}"]
)
def test_56_markup_in_every_field_is_text(sender: Sender, region: Region, text: str) -> None:
    message = adt(f"1^^^EAST||{text}^{text}|{text}|19850312|M|||{text}^^{text}^{text}||{text}")
    assert value(sender.ask(message), "MSA.1") == "AA"
    person = region.whole_person("1")
    assert person.name.alphabetic == f"{text}^{text}"
    assert person.demographics.address.city == text
    assert asked_back(sender, "1").decode().count(text) >= 5
    answer = sender.ask(adt(f"1^^^{text.replace('&', '')}||X", control_id="2"))
    assert value(answer, "MSA.1") == "AR"


def test_57_a_formula_is_text_and_a_name_loses_its_sign(sender: Sender, region: Region) -> None:
    formula = '=HYPERLINK("http://evil","x")'
    message = adt(f"1^^^EAST||{formula}^@SUM(1)||19850312|M|||{formula}^^上海")
    assert value(sender.ask(message), "MSA.1") == "AA"
    # "=" would begin another representation of the name (PS3.5 6.2.1.1).
    assert region.whole_person("1").name.alphabetic.strip() == f"{formula[1:]}^@SUM(1)"
    assert formula in asked_back(sender, "1").decode()


def test_58_line_ends_in_values_make_no_second_line_of_log_or_record(
    sender: Sender, region: Region, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ends = "\\X0D0A\\"
    control = f"7{ends}FORGED"
    sender.ask(adt(f"1{ends}2^^^EAST||王{ends}PID^x", control_id=control))
    sender.ask(adt(f"1^^^NOWHERE{ends}||X", control_id=control))
    assert region.audited
    for record in region.audited:
        assert record.detail.isprintable()
    for line in caplog.messages:
        assert "\r" not in line
        assert "FORGED" not in line


def test_80_merges_onto_itself_in_a_circle_and_twice_leave_nobody_behind(
    sender: Sender, region: Region
) -> None:
    for number in "123":
        sender.ask(adt(f"{number}^^^EAST||人^{number}", control_id=number))
    steps = {
        ("1", "1"): "AE",
        ("1", "2"): "AA",
        ("2", "1"): "AE",
        ("3", "1"): "AA",
        ("1", "3"): "AE",
        ("3", "2"): "AA",  # they are one already: the same again is no mistake
    }
    for number, ((survivor, subsumed), expected) in enumerate(steps.items()):
        answer = sender.ask(merge(f"{survivor}^^^EAST", f"{subsumed}^^^EAST", f"m{number}"))
        assert value(answer, "MSA.1") == expected, (survivor, subsumed)
    assert len({region.person_of(number) for number in "123"}) == 1
    ignored = [one for one in region.audited if "merge-ignored" in one.detail]
    assert len(ignored) == list(steps.values()).count("AE")


def test_80_a_merge_while_the_patient_is_registered_again_leaves_one_person(
    running: object, region: Region
) -> None:
    with running() as port, connected(port) as one, connected(port) as other:  # type: ignore[operator]
        for number in range(10):
            one.ask(adt(f"S{number}^^^EAST||人^{number}", control_id=f"s{number}"))
            one.ask(adt(f"O{number}^^^EAST||人^{number}", control_id=f"o{number}"))
            one.send(merge(f"S{number}^^^EAST", f"O{number}^^^EAST", f"m{number}"))
            other.send(adt(f"O{number}^^^EAST||人^{number}", event="A08", control_id=f"u{number}"))
            assert value(one.answer(), "MSA.1") == "AA"
            assert value(other.answer(), "MSA.1") == "AA"
            assert region.person_of(f"S{number}") == region.person_of(f"O{number}") is not None
