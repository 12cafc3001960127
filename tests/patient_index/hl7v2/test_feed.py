from datetime import UTC, datetime

import pytest
from stdnum.cn import ric

from patient_index.candidates import RESIDENTS
from tests.patient_index.hl7v2.conftest import CARDS, WEST, Region
from tests.patient_index.hl7v2.messages import WANG, adt, merge, pdq, pix
from tests.patient_index.hl7v2.wire import Sender, count, refusal, repetitions, value


@pytest.mark.parametrize("event", ["A01", "A04", "A05", "A08", "A28", "A31"])
@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5", "2.5.1"])
def test_every_event_of_every_version_registers_and_is_acknowledged(
    sender: Sender, region: Region, event: str, version: str
) -> None:
    answer = sender.ask(adt(f"1^^^EAST||{WANG}||19850312|M", event=event, version=version))
    assert value(answer, "MSA.1") == "AA"
    assert value(answer, "MSA.2") == "1"
    assert value(answer, "MSH.12") == version
    assert value(answer, "MSH.9.2") == event
    assert value(answer, "MSH.9.3") == ("" if version == "2.3.1" else "ACK")
    assert (value(answer, "MSH.3.1"), value(answer, "MSH.5.1")) == ("EIRHUB", "HIS")
    assert region.person_of("1") is not None


def test_the_same_message_again_does_nothing_and_is_answered_the_same(
    sender: Sender, region: Region
) -> None:
    first = adt(f"1^^^EAST||{WANG}||19850312|M", control_id="7", sent="20261121080000")
    again = adt(f"1^^^EAST||{WANG}||19850312|M", control_id="7", sent="20261121080500")
    for message in (first, again, first):
        assert value(sender.ask(message), "MSA.1") == "AA"
    details = [record.detail for record in region.audited]
    assert details == ["ADT-A04 7: new person"] * 3
    assert len({record.global_ids for record in region.audited}) == 1


def test_a_counter_that_starts_over_is_another_message(sender: Sender, region: Region) -> None:
    sender.ask(adt(f"1^^^EAST||{WANG}", control_id="1"))
    sender.ask(adt("2^^^EAST||李^梅", control_id="1"))
    sender.ask(adt("1^^^WEST||李^梅", control_id="1", facility="WEST"))
    assert region.person_of("2")
    assert region.person_of("1") != region.person_of("1", WEST)


def test_a_chinese_record_is_kept_whole(sender: Sender, region: Region) -> None:
    body = "11010819850312001"
    resident = body + ric.calc_check_digit(body + "0")
    pid = (
        f"1^^^EAST~{resident}^^^^NNCHN||王^小东^^^^^L^I~Wang^Xiaodong^^^^^L^A||19850312|男|||"
        f"泗泾镇1号^^上海^上海市^201601||^PRN^PH^^^021^57612345||zh|M|||{resident}"
    )
    assert value(sender.ask(adt(pid)), "MSA.1") == "AA"
    person = region.whole_person("1")
    assert person.name.dicom == "Wang^Xiaodong=王^小东"
    assert person.sex == "M"
    assert {one.identifier.issuer.oid for one in person.cards} == {RESIDENTS.oid}


@pytest.mark.parametrize(
    ("died", "sent", "hour", "told"),
    [
        ("202603012100", "20260302080000", 13, "20260301210000+0800"),
        ("202603012100", "20260302080000+0900", 12, "20260301200000+0800"),
        ("202603012100+0000", "20260302080000+0900", 21, "20260302050000+0800"),
    ],
)
def test_a_time_of_death_is_in_its_own_zone_else_the_messages_else_the_regions(
    sender: Sender, region: Region, died: str, sent: str, hour: int, told: str
) -> None:
    pid = f"1^^^EAST||{WANG}||19400312|M{'|' * 21}{died}"
    assert value(sender.ask(adt(pid, sent=sent)), "MSA.1") == "AA"
    person = region.whole_person("1").demographics
    assert (person.deceased, person.deceased_at) == (True, datetime(2026, 3, 1, hour, tzinfo=UTC))
    assert value(sender.ask(pdq("@PID.5.1^王")), "PID.29") == told


def test_a_day_of_death_stays_that_day(sender: Sender) -> None:
    sender.ask(adt(f"1^^^EAST||{WANG}||19400312|M{'|' * 21}20260301|Y"))
    assert value(sender.ask(pdq("@PID.5.1^王")), "PID.29") == "20260301000000+0800"


def test_gbk_labelled_as_utf_8_is_taken_but_its_name_is_not_trusted(
    sender: Sender, region: Region
) -> None:
    assert value(sender.ask(adt(f"1^^^EAST||{WANG}"), codec="gbk"), "MSA.1") == "AA"
    person = region.whole_person("1")
    assert (person.name.ideographic, person.name.confident) == ("王^小东", False)


@pytest.mark.parametrize("markup", ["<script>alert(1)</script>", "{{7*7}}", "' OR 1 --"])
def test_markup_in_a_name_is_text(sender: Sender, region: Region, markup: str) -> None:
    assert value(sender.ask(adt(f"1^^^EAST||{markup}")), "MSA.1") == "AA"
    person = region.whole_person("1")
    assert person.name.alphabetic == markup


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (adt("1||X"), ("AR", "101", "PID^1^3^1^4")),
        (adt("1^^^&&||X"), ("AR", "101", "PID^1^3^1^4")),
        (adt("1^^^NOWHERE||X"), ("AR", "204", "PID^1^3^1^4")),
        (adt("1^^^EAST~2^^^&9.9.9&ISO||X"), ("AR", "204", "PID^1^3^2^4")),
        (adt(f"1^^^EAST&{WEST.oid}&ISO||X"), ("AR", "204", "PID^1^3^1^4")),
        (adt("1^^^WEST||X"), ("AR", "204", "PID^1^3^1^4")),
        (adt("^^^EAST||X"), ("AE", "102", "PID^1^3^1^1")),
        (adt("||X"), ("AE", "101", "PID^1^3^1^1")),
        (adt(f"{'9' * 65}^^^EAST||X"), ("AE", "102", "PID^1^3^1^1")),
        (adt("1^^^EAST||X||19851399|M"), ("AE", "102", "PID^1^7^1")),
        (adt("1^^^EAST||X||1985-03-12|M"), ("AE", "102", "PID^1^7^1")),
        (adt("1^^^EAST||X||19850312|Q"), ("AE", "102", "PID^1^8^1")),
        (adt("1^^^EAST||X", type="ORU^R01"), ("AR", "200", "MSH^1^9^1^1")),
        (adt("1^^^EAST||X", event="A17"), ("AR", "201", "MSH^1^9^1^2")),
        (adt("1^^^EAST||X", type=""), ("AR", "101", "MSH^1^9^1^1")),
        (adt("1^^^EAST||X", control_id=""), ("AR", "101", "MSH^1^10^1")),
        (adt("1^^^EAST||X", processing_id="T"), ("AR", "202", "MSH^1^11^1")),
        (adt("1^^^EAST||X", version="2.8"), ("AR", "203", "MSH^1^12^1")),
        (adt("1^^^EAST||X", version=""), ("AR", "101", "MSH^1^12^1")),
        (adt("1^^^EAST||X", facility="NORTH"), ("AR", "207", "MSH^1^3^1")),
        (adt("1^^^EAST||X").replace("PID|", "ZID|"), ("AE", "100", "PID^1")),
        (adt("1^^^EAST||X", event="A40"), ("AE", "100", "MRG^1")),
    ],
)
def test_a_refusal_names_code_and_place_in_two_languages(
    sender: Sender, message: str, expected: tuple[str, str, str]
) -> None:
    answer = sender.ask(message)
    assert refusal(answer) == expected
    assert value(answer, "ERR.4") == "E"
    words = value(answer, "ERR.8")
    assert any("\u4e00" <= char <= "\u9fff" for char in words)
    assert value(answer, "ERR.7") in words


def test_a_refusal_says_what_came_and_what_is_allowed(sender: Sender) -> None:
    words = value(sender.ask(adt("1^^^NOWHERE||X")), "ERR.8")
    assert "NOWHERE" in words
    assert "EAST" in words
    assert "收到" in words
    assert "允许" in words


def test_before_2_5_the_place_is_in_err_1_too(sender: Sender) -> None:
    answer = sender.ask(adt("1^^^NOWHERE||X", version="2.3.1"))
    assert repetitions(answer, "ERR", 1)[0] == "PID^1^3^204&Unknown key identifier"


def test_refused_data_never_goes_into_a_log(
    sender: Sender, caplog: pytest.LogCaptureFixture, region: Region
) -> None:
    caplog.set_level("DEBUG")
    sender.ask(adt("SECRET1^^^NOWHERE||SECRET2||SECRET3|M"))
    sender.ask(adt("SECRET1^^^EAST||SECRET2||SECRET3|M\rPV2|x\ny"))
    assert "SECRET" not in caplog.text
    assert not any("SECRET" in record.detail for record in region.audited)


def test_the_sender_may_stand_behind_a_number_of_another_issuer(
    sender: Sender, region: Region
) -> None:
    card = adt(f"C9^^^CARD||{WANG}||19850312|M", application="CARD", facility="OFFICE")
    assert value(sender.ask(card), "MSA.1") == "AA"
    # Written first, the card is still not what EAST issues.
    sender.ask(adt(f"C9^^^CARD~1^^^EAST||{WANG}||19850312|M", control_id="2"))
    assert region.person_of("1") == region.person_of("C9", CARDS)


def test_a_merge_moves_the_subsumed_patient(sender: Sender, region: Region) -> None:
    sender.ask(adt(f"1^^^EAST||{WANG}||19850312|M", control_id="1"))
    sender.ask(adt("2^^^EAST||赵^铁柱||19700101|M", control_id="2"))
    assert region.person_of("1") != region.person_of("2")
    answer = sender.ask(merge("1^^^EAST", "2^^^EAST"))
    assert value(answer, "MSA.1") == "AA"
    assert count(answer, "ERR") == 0
    assert region.person_of("1") == region.person_of("2")
    again = sender.ask(merge("1^^^EAST", "2^^^EAST", control_id="m2"))
    assert value(again, "MSA.1") == "AA"
    assert (value(again, "ERR.3.1"), value(again, "ERR.4")) == ("205", "I")
    assert refusal(sender.ask(pix("2^^^EAST"))) == ("AE", "204", "QPD^1^3^1^1")


@pytest.mark.parametrize(
    ("survivor", "subsumed", "expected"),
    [
        ("1^^^EAST", "1^^^EAST", ("AE", "205", "MRG^1^1^1^1")),
        ("1^^^EAST", "9^^^EAST", ("AE", "204", "MRG^1^1^1^1")),
        ("9^^^EAST", "1^^^EAST", ("AE", "204", "PID^1^3^1^1")),
        ("1^^^EAST", "1^^^WEST", ("AR", "204", "MRG^1^1^1^4")),
        ("1^^^WEST", "1^^^EAST", ("AR", "204", "PID^1^3^1^4")),
        ("1^^^EAST", "1^^^NOWHERE", ("AR", "204", "MRG^1^1^1^4")),
        ("1^^^EAST", "2^^^EAST~9^^^EAST", ("AE", "204", "MRG^1^1^2^1")),
    ],
)
def test_a_merge_that_makes_no_sense_changes_nothing_and_says_so(
    sender: Sender, region: Region, survivor: str, subsumed: str, expected: tuple[str, str, str]
) -> None:
    sender.ask(adt(f"1^^^EAST||{WANG}||19850312|M", control_id="1"))
    sender.ask(adt("2^^^EAST||赵^铁柱||19700101|M", control_id="2"))
    sender.ask(adt("1^^^WEST||李^梅||19800101|F", facility="WEST"))
    before = [region.person_of("1"), region.person_of("2"), region.person_of("1", WEST)]
    assert refusal(sender.ask(merge(survivor, subsumed))) == expected
    assert [region.person_of("1"), region.person_of("2"), region.person_of("1", WEST)] == before


def test_merges_in_a_circle_leave_nobody_behind(sender: Sender, region: Region) -> None:
    for number, name in enumerate(("赵^一", "钱^二", "孙^三"), start=1):
        sender.ask(adt(f"{number}^^^EAST||{name}||19{number}00101|M", control_id=str(number)))
    assert value(sender.ask(merge("2^^^EAST", "1^^^EAST", "m1")), "MSA.1") == "AA"
    assert value(sender.ask(merge("3^^^EAST", "2^^^EAST", "m2")), "MSA.1") == "AA"
    answer = sender.ask(merge("1^^^EAST", "3^^^EAST", "m3"))
    assert refusal(answer)[:2] == ("AE", "205")
    assert len({region.person_of(number) for number in ("1", "2", "3")}) == 1


def test_several_pairs_in_one_message_are_all_merged(sender: Sender, region: Region) -> None:
    for number in range(1, 5):
        sender.ask(adt(f"{number}^^^EAST||人^{'甲乙丙丁'[number - 1]}", control_id=str(number)))
    pairs = ("MRG|2^^^EAST", "PID|2||3^^^EAST", "MRG|4^^^EAST")
    answer = sender.ask(adt("1^^^EAST", *pairs, event="A40", control_id="m"))
    assert value(answer, "MSA.1") == "AA"
    assert region.person_of("1") == region.person_of("2")
    assert region.person_of("3") == region.person_of("4") != region.person_of("1")


def test_a_newborn_is_kept_apart_from_its_mother_and_named_after_her(
    sender: Sender, region: Region
) -> None:
    sender.ask(adt("1^^^EAST||李^梅||19900101|F", control_id="1"))
    sender.ask(adt("2^^^EAST||||20261121|M|||||||||||||1", control_id="2"))
    baby = region.whole_person("2")
    assert baby.global_id != region.person_of("1")
    assert baby.provisional
    assert baby.mothers == (region.person_of("1"),)
    assert baby.demographics.mother_name == region.whole_person("1").name


def test_feeds_and_refusals_are_audited(sender: Sender, region: Region) -> None:
    sender.ask(adt(f"1^^^EAST||{WANG}"))
    sender.ask(adt("1^^^NOWHERE||X", control_id="2"))
    done, refused = region.audited
    assert (done.transaction, done.action, done.outcome) == ("ITI-8", "feed", "success")
    assert done.global_ids == (region.person_of("1"),)
    assert (done.sender, done.address) == ("HIS|EAST", "127.0.0.1")
    assert (refused.outcome, refused.detail) == (
        "refused",
        "ADT-A04 2: unknown-authority at PID-3.4",
    )
