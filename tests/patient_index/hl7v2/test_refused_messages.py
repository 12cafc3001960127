import pytest

from hub_kernel.errors import InvalidValueError
from patient_index.hl7v2.exchange import ExchangeRecord
from patient_index.hl7v2.refusals import (
    RefusedMessages,
    SettledRefusalError,
    UnknownRefusalError,
    message_bytes,
)
from tests.patient_index.hl7v2.conftest import Region
from tests.patient_index.hl7v2.messages import WANG, adt, merge, pix
from tests.patient_index.hl7v2.wire import Sender, value

WRONG = adt(f"1^^^NOWHERE||{WANG}||19850312|M", control_id="c1")


@pytest.fixture
def desk(region: Region) -> RefusedMessages:
    return region.service.refused


def test_a_refused_feed_message_is_kept_with_its_reason(
    sender: Sender, desk: RefusedMessages
) -> None:
    sender.ask(WRONG)
    (kept,) = desk.open()
    assert (kept.sender, kept.message_type, kept.control_id) == ("HIS|EAST", "ADT^A04", "c1")
    assert (kept.rule, kept.code, kept.place) == ("unknown-authority", 204, "PID-3.4")
    assert (kept.status, kept.times, kept.address, kept.text) == ("open", 1, "127.0.0.1", "")
    assert "NOWHERE" in kept.english
    assert "NOWHERE" in kept.chinese
    assert desk.get(kept.refusal_id).text == WRONG.strip().replace("\r", "\n")
    assert desk.count() == 1


def test_the_same_bytes_again_only_count(sender: Sender, desk: RefusedMessages) -> None:
    for _ in range(3):
        sender.ask(WRONG)
    (kept,) = desk.open()
    assert kept.times == 3


def test_gbk_is_shown_as_text(sender: Sender, desk: RefusedMessages) -> None:
    sender.send(adt("1^^^NOWHERE||王^小东", charset="GBK"), codec="gbk")
    sender.answer()
    assert "王^小东" in desk.get(desk.open()[0].refusal_id).text


def test_queries_and_rubbish_are_not_kept(sender: Sender, desk: RefusedMessages) -> None:
    sender.ask(pix("404^^^EAST"))
    sender.ask("rubbish")
    assert desk.open() == []


def test_what_fails_inside_the_hub_is_kept_too(
    sender: Sender, region: Region, desk: RefusedMessages
) -> None:
    def fail(_record: ExchangeRecord) -> None:
        region.listeners.clear()
        raise RuntimeError("the disk is gone")

    region.on_audit(fail)
    answer = sender.ask(adt(f"1^^^EAST||{WANG}"))
    assert (value(answer, "MSA.1"), value(answer, "ERR.3.1")) == ("AE", "207")
    assert "disk" not in str(answer)
    (kept,) = desk.open()
    assert kept.rule == "internal"
    assert desk.replay(kept.refusal_id, desk.get(kept.refusal_id).text, "registrar").accepted


def test_a_corrected_message_is_carried_out_in_its_senders_name(
    sender: Sender, region: Region, desk: RefusedMessages
) -> None:
    sender.ask(WRONG)
    kept = desk.get(desk.open()[0].refusal_id)
    outcome = desk.replay(kept.refusal_id, kept.text.replace("NOWHERE", "EAST"), "registrar")
    assert outcome.accepted
    assert outcome.global_ids == (region.person_of("1"),)
    assert region.whole_person("1").name.ideographic == "王^小东"
    settled = desk.get(kept.refusal_id)
    assert (settled.status, settled.decided_by) == ("replayed", "registrar")
    assert desk.open() == []
    record = region.audited[-1]
    assert (record.sender, record.replayed_by) == ("HIS|EAST", "registrar")


def test_a_correction_that_is_refused_again_stays_open_and_says_why(
    sender: Sender, desk: RefusedMessages
) -> None:
    sender.ask(WRONG)
    kept = desk.get(desk.open()[0].refusal_id)
    outcome = desk.replay(kept.refusal_id, kept.text.replace("NOWHERE", "WEST"), "registrar")
    assert not outcome.accepted
    assert (outcome.acknowledgement, outcome.place) == ("AR", "PID-3.4")
    assert outcome.chinese
    assert [one.refusal_id for one in desk.open()] == [kept.refusal_id]
    assert desk.get(kept.refusal_id).text == kept.text


def test_replaying_after_the_sender_mended_it_itself_does_nothing_twice(
    sender: Sender, region: Region, desk: RefusedMessages
) -> None:
    sender.ask(WRONG)
    kept = desk.get(desk.open()[0].refusal_id)
    mended = kept.text.replace("NOWHERE", "EAST")
    assert value(sender.ask(message_bytes(mended)), "MSA.1") == "AA"
    outcome = desk.replay(kept.refusal_id, mended, "registrar")
    assert outcome.global_ids == (region.person_of("1"),)


def test_a_refused_merge_can_be_replayed_once_both_are_known(
    sender: Sender, region: Region, desk: RefusedMessages
) -> None:
    sender.ask(merge("1^^^EAST", "2^^^EAST"))
    kept = desk.get(desk.open()[0].refusal_id)
    assert kept.place == "PID-3.1"
    sender.ask(adt(f"1^^^EAST||{WANG}", control_id="1"))
    sender.ask(adt("2^^^EAST||李^梅", control_id="2"))
    assert desk.replay(kept.refusal_id, kept.text, "registrar").accepted
    assert region.person_of("1") == region.person_of("2")


def test_a_decision_is_taken_once(sender: Sender, desk: RefusedMessages) -> None:
    sender.ask(WRONG)
    number = desk.open()[0].refusal_id
    with pytest.raises(InvalidValueError):
        desk.dismiss(number, "registrar", "  ")
    desk.dismiss(number, "registrar", "test system")
    assert desk.get(number).decision == "test system"
    with pytest.raises(SettledRefusalError):
        desk.dismiss(number, "registrar", "again")
    with pytest.raises(SettledRefusalError):
        desk.replay(number, WRONG, "registrar")
    with pytest.raises(UnknownRefusalError):
        desk.get(number + 1)
    with pytest.raises(UnknownRefusalError):
        desk.replay(number + 1, WRONG, "registrar")


def test_pages_of_refused_messages_follow_each_other(sender: Sender, desk: RefusedMessages) -> None:
    for number in range(5):
        sender.ask(adt(f"{number}^^^NOWHERE||X", control_id=str(number)))
    newest = desk.open(2)
    older = desk.page(limit=3, before=newest[-1].refusal_id)
    assert [one.control_id for one in (*newest, *older)] == ["4", "3", "2", "1", "0"]


def test_corrected_text_says_that_it_is_utf_8() -> None:
    raw = message_bytes("MSH|^~\\&|A|B|||2026||ADT^A04|1|P|2.4|||||CHN|GBK\nPID|1||1||王\n")
    assert raw.split(b"\r")[0].endswith(b"|CHN|UNICODE UTF-8")
    assert raw.endswith("王\r".encode())
    short = message_bytes("MSH|^~\\&|A|B|||2026||ADT^A04|1|P|2.4\nPID|1||1||王")
    assert short.split(b"\r")[0].split(b"|")[17] == b"UNICODE UTF-8"
