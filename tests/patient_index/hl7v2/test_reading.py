import tracemalloc

import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from patient_index.hl7v2.problems import RefusedMessageError
from patient_index.hl7v2.reading import header_values, read_message
from tests.support.tools import require_conformance

HEADER = r"MSH|^~\&|APP|FAC|HUB|REGION|20261121080000||ADT^A01^ADT_A01|1|P|2.4"


def message(*segments: str, header: str = HEADER, end: str = "\r") -> bytes:
    return end.join((header, *segments, "")).encode()


def refused(raw: bytes) -> RefusedMessageError:
    with pytest.raises(RefusedMessageError) as caught:
        read_message(raw)
    return caught.value


def test_fields_components_and_repetitions_are_found_by_number() -> None:
    read = read_message(message("PID|1||1^^^A&1.2&ISO~2^^^B||王^小东^^^^^L~Wang^Xiaodong"))
    pid = read.required("PID")
    assert pid.text(1) == "1"
    assert pid.text(3, 4, 2) == "1.2"
    assert [one.text(4) for one in pid.repetitions(3)] == ["A", "B"]
    assert pid.repetitions(5)[1].text(2) == "Xiaodong"
    assert pid.text(3, 9, 9) == pid.text(99) == ""
    assert pid.repetitions(99) == ()
    assert pid.repetitions(2)[0].empty
    assert (read.header.text(1), read.header.text(2)) == ("|", r"^~\&")
    assert read.header.text(9, 2) == "A01"


def test_two_quotation_marks_say_nothing() -> None:
    pid = read_message(message('PID|1||1^^^A||""|""^""')).required("PID")
    assert pid.text(5) == pid.text(6, 2) == ""
    assert pid.repetitions(5)[0].empty


def test_other_delimiters_are_taken_from_the_header() -> None:
    raw = b"MSH$*!?@$APP$FAC$HUB$R$2026$$ADT*A01$1$P$2.4\rPID$1$$1***A@1.2@ISO!2***B$$O?T?B"
    pid = read_message(raw).required("PID")
    assert pid.text(3, 4, 2) == "1.2"
    assert pid.text(5) == "O@B"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_cr_crlf_and_lf_alone_end_segments(end: str) -> None:
    read = read_message(message("EVN||2026", "PID|1||1^^^A", "PV1||I", end=end))
    assert read.required("PID").text(3) == "1"


@pytest.mark.parametrize(
    ("raw", "rule", "place"),
    [
        (b"", "not-hl7", "MSH"),
        (b"hello", "not-hl7", "MSH"),
        (b"MSH|^~\\&", "not-hl7", "MSH"),
        (b"PID|1||1\rMSH|^~\\&|A|B", "not-hl7", "MSH"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not-hl7", "MSH"),
        (b"MSH||||||||||||||", "encoding-characters", "MSH-2"),
        (b"MSH|^^^^|A|B|C|D|2026", "encoding-characters", "MSH-2"),
        (b"MSH|abcd|A|B|C|D|2026", "encoding-characters", "MSH-2"),
        (b"MSHx^~\\&xAxBxCxD", "encoding-characters", "MSH-2"),
        (message("PID|1||1^^^A||smuggled\nPID|2"), "line-feed", "PID"),
        (message("PID|1||1\n^^^A"), "line-feed", "PID"),
        (message("pid|1||1^^^A"), "segment-name", "MSH"),
        (message("<script>"), "segment-name", "MSH"),
        (message("PID|1", HEADER), "several-headers", "MSH[2]"),
        (message("PID|" + "~" * 5000), "too-intricate", "MSH"),
        (message(*["NTE|x"] * 3000), "too-intricate", "MSH"),
        (HEADER.encode() + b"|||||CHN|KLINGON\rPID|1||1||\xcd\xf5", "character-set", "MSH-18"),
        (HEADER.encode() + b"|||||CHN|../../etc\rPID|1||1||\xcd\xf5", "character-set", "MSH-18"),
        (HEADER.encode() + b"\rPID|1||1^^^A||\xff\xfe\x80\x81\xff", "unreadable", "PID"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused_by_name_and_place(
    raw: bytes, rule: str, place: str
) -> None:
    refusal = refused(raw)
    assert (refusal.rule_name, str(refusal.at)) == (rule, place)
    assert refusal.rule.acknowledgement == "AR"


def test_an_unknown_set_does_not_matter_to_ascii() -> None:
    raw = HEADER.encode() + b"|||||CHN|KLINGON\rPID|1||1^^^A"
    assert read_message(raw).required("PID").text(3) == "1"


def test_segments_without_a_meaning_here_are_left_alone() -> None:
    long = "OBX|1|ED|x||" + "^" * 100_000
    read = read_message(message("PID|1||1^^^A", long, "ZZZ|anything"))
    assert [segment.name for segment in read.segments] == ["MSH", "PID"]


def test_taking_a_message_apart_costs_little_however_hostile_it_is() -> None:
    hostile = message("PID|" + "^~&|" * 990, "PID|" + "a" * 900_000)
    tracemalloc.start()
    read_message(hostile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


@given(st.binary(max_size=300))
def test_bytes_are_read_or_refused_and_never_anything_else(noise: bytes) -> None:
    for raw in (noise, b"MSH|^~\\&|" + noise, HEADER.encode() + b"\rPID|" + noise):
        try:
            read_message(raw)
        except RefusedMessageError as refusal:
            assert refusal.english
            assert refusal.chinese
        header_values(raw)


def test_a_second_library_reads_the_same_in_every_message_of_the_test_plan() -> None:
    folder = require_conformance("ohie-cr", "HL7")
    compared = 0
    for path in sorted(folder.glob("*.txt")):
        raw = path.read_bytes()
        ours = read_message(raw)
        lines = raw.decode().replace("\r\n", "\r").replace("\n", "\r").strip("\r").split("\r")
        theirs = parse_message("\r".join(line for line in lines if line.strip()), find_groups=False)
        for segment in ours.segments:
            other = getattr(theirs, segment.name.lower())[segment.sequence - 1]
            for number in range(3, 13 if segment.name == "MSH" else 22):
                name = f"{segment.name.lower()}_{number}"
                if segment.name in {"QPD", "RCP"}:
                    continue
                repeated = list(getattr(other, name, ()))
                for mine, their in zip(segment.repetitions(number), repeated, strict=False):
                    assert _plain(str(mine)) == _plain(their.to_er7()), (path.name, name)
                    compared += 1
    assert compared > 300


def _plain(text: str) -> str:
    """Without what hl7apy drops: empty ends, and the leading zeros of telephone numbers."""
    parts = text.rstrip("^& ").split("^")
    return "^".join(part.lstrip("0") if part.isdecimal() else part for part in parts)
