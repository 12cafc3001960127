"""From raw elements to the typed header: texts, names, dates and numbers as devices send them."""

from datetime import date
from typing import Any

import pytest
from pydicom import Dataset

from image_archive.elements import Encoding, walk
from image_archive.header import WANTED, InstanceHeader, interpret
from image_archive.rows import time_key
from tests.image_archive.datasets import ct_slice, encoded

EXPLICIT = Encoding()


def header_of(data: bytes, encoding: Encoding = EXPLICIT, habit: str = "") -> InstanceHeader:
    elements = walk(data, len(data), encoding, WANTED)
    return interpret(elements, big_endian=encoding.big_endian, charset_habit=habit)


def with_name(charset: bytes, name: bytes) -> bytes:
    """A dataset whose character set and patient's name are exactly these bytes."""

    def element(tag: bytes, vr: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        return tag + vr + len(value).to_bytes(2, "little") + value

    rest = encoded(ct_slice(SpecificCharacterSet=None, PatientName=None, StudyDescription=None))
    place = rest.index(b"\x10\x00\x20\x00LO")
    head = element(b"\x08\x00\x05\x00", b"CS", charset) if charset else b""
    return head + rest[:place] + element(b"\x10\x00\x10\x00", b"PN", name) + rest[place:]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (b"GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
        (b"ISO_IR 192", "Wang^XiaoDong=王^小东".encode()),
        (b"\\ISO 2022 IR 58", b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"),
        (b"ISO_IR 100", "Wang^XiaoDong=王^小东".encode("gb18030")),
        (b"", "Wang^XiaoDong=王^小东".encode("gb18030")),
    ],
    ids=["GB18030", "UTF-8", "ISO 2022 IR 58", "GBK labelled Latin-1", "GBK without a label"],
)
def test_a_chinese_name_is_read_whatever_its_label_says(charset: bytes, name: bytes) -> None:
    found = header_of(with_name(charset, name)).patient.name
    assert found.ideographic == "王^小东"
    assert found.alphabetic == "Wang^XiaoDong"


def test_explicit_implicit_and_big_endian_give_one_header() -> None:
    dataset = ct_slice(NumberOfFrames=1, SeriesDate="20260102", StationName="CT1")
    expected = header_of(encoded(dataset))
    assert header_of(encoded(dataset, implicit=True), Encoding(implicit=True)) == expected
    assert header_of(encoded(dataset, big_endian=True), Encoding(big_endian=True)) == expected
    assert expected.rows == 4
    assert expected.series.series_date == date(2026, 1, 2)
    assert expected.series.station_name == "CT1"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"20260102", date(2026, 1, 2)),
        (b"20260230", None),
        (b"2026    ", None),
        (b"garbage!", None),
    ],
)
def test_a_date_that_is_none_is_left_empty(raw: bytes, expected: date | None) -> None:
    data = encoded(ct_slice(StudyDate="20001111")).replace(b"20001111", raw)
    assert header_of(data).study.study_date == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"0007", 7), (b" -12", -12), (b"+3  ", 3), (b"1.5 ", None), (b"NaN ", None), (b"    ", None)],
)
def test_a_number_that_is_none_is_left_empty(raw: bytes, expected: int | None) -> None:
    data = encoded(ct_slice(InstanceNumber="4242")).replace(b"IS\x04\x004242", b"IS\x04\x00" + raw)
    assert header_of(data).instance_number == expected


@pytest.mark.parametrize(
    ("raw", "expected"), [(b"3   ", 3), (b"3.0 ", 3), (b"0   ", 1), (b"    ", 1)]
)
def test_number_of_frames_is_at_least_one(raw: bytes, expected: int) -> None:
    data = encoded(ct_slice(NumberOfFrames="1234")).replace(b"1234", raw)
    assert header_of(data).number_of_frames == expected


@pytest.mark.parametrize(
    ("time", "key"),
    [
        ("08", "080000.000000"),
        ("0815", "081500.000000"),
        ("081530.5", "081530.500000"),
        ("08:15:30", "081530.000000"),
        ("081530.1234567", "081530.123456"),
        ("noon", ""),
        ("", ""),
        ("8", ""),
    ],
)
def test_times_compare_as_text(time: str, key: str) -> None:
    assert time_key(time) == key


@pytest.mark.filterwarnings("ignore:The value length")
def test_texts_are_cut_to_their_columns() -> None:
    header = header_of(encoded(ct_slice(StudyDescription="胸" * 300, AccessionNumber="A" * 70)))
    assert len(header.study.description) == 256
    assert len(header.study.accession_number) == 64


def test_nul_is_left_out_of_texts() -> None:
    with_nul = encoded(ct_slice(AccessionNumber="ABCD")).replace(b"ABCD", b"A\0CD")
    assert header_of(with_nul).study.accession_number == "ACD"


def test_the_same_bytes_under_another_character_set_are_read_anew() -> None:
    name = "Wang^XiaoDong=王^小东".encode("gb18030")
    headers = [header_of(with_name(charset, name)) for charset in (b"GB18030", b"ISO_IR 100")]
    assert {header.patient.name.ideographic for header in headers} == {"王^小东"}
    assert len({header.patient.name.rule for header in headers}) == 2


def test_what_differs_between_two_instances_of_one_study_differs_in_their_headers() -> None:
    first = header_of(encoded(ct_slice(1)))
    sent_later = header_of(encoded(ct_slice(2, SeriesInstanceUID="1.2.3.2", PatientSex="F")))
    assert first.study == sent_later.study
    assert (first.series.series_instance_uid, first.patient.sex) == ("1.2.3.1", "M")
    assert (sent_later.series.series_instance_uid, sent_later.patient.sex) == ("1.2.3.2", "F")
    assert (first.instance_number, sent_later.instance_number) == (1, 2)


def _request(**priority: str) -> list[Dataset]:
    item = Dataset()
    for keyword, value in priority.items():
        setattr(item, keyword, value)
    return [item]


@pytest.mark.parametrize(
    ("said", "emergency"),
    [
        ({}, False),
        ({"RequestedProcedurePriority": "ROUTINE"}, False),
        ({"RequestedProcedurePriority": "stat "}, True),
        ({"StudyPriorityID": "HIGH"}, True),
        ({"RequestAttributesSequence": _request(RequestedProcedurePriority="STAT")}, True),
        ({"RequestAttributesSequence": _request(RequestedProcedureID="STAT")}, False),
    ],
)
def test_an_order_says_whether_it_is_an_emergency(said: dict[str, Any], *, emergency: bool) -> None:
    assert header_of(encoded(ct_slice(**said))).emergency == emergency
