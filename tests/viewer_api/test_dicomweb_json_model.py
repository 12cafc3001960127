"""The DICOM JSON Model of what devices really send (PS3.18 F)."""

import io
import json
import struct

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from viewer_api.dicomweb.json_model import Expression, dataset_to_json

# pydicom says what it dislikes of the hostile values below; the hub does not repeat it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

BULK = "http://hub/bulkdata"


def explicit(*elements: tuple[int, bytes, bytes]) -> Dataset:
    """A dataset read from these (tag, VR, value) bytes, as a device would have sent them."""
    data = b""
    for tag, vr, value in elements:
        padding = len(value) % 2 if vr not in {b"OB", b"UN"} else 0
        length = len(value) + padding
        head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
        is_long = vr in {b"OB", b"OW", b"UN", b"UT", b"SQ", b"OF", b"UC"}
        head += struct.pack("<HI", 0, length) if is_long else struct.pack("<H", length)
        data += head + value + b" " * padding
    return read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)


def as_json(dataset: Dataset) -> dict[str, dict[str, object]]:
    """What a client reads back: proves that the text is strict JSON."""
    text = json.dumps(dataset_to_json(dataset, Expression(BULK)), allow_nan=False)
    found: dict[str, dict[str, object]] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"1.5\\2", [1.5, 2]),
        (b"1e400\\3", [None, 3]),
        (b"NaN", None),
        (b"-Infinity", None),
        (b"one", None),
        (b" 7.0 ", [7]),
        (b"", None),
    ],
)
def test_decimal_strings_are_numbers_or_null(value: bytes, expected: list[object] | None) -> None:
    found = as_json(explicit((0x00180088, b"DS", value)))["00180088"]
    assert found == ({"vr": "DS"} if expected is None else {"vr": "DS", "Value": expected})


@pytest.mark.parametrize("tag", [0x00181164, 0x00182010, 0x00280030])
@pytest.mark.parametrize(
    ("value", "expected"), [(b"0.5\\0.25", [0.5, 0.25]), (b"0.000\\0.000", None), (b"-1\\1", None)]
)
def test_spacings_that_cannot_be_are_left_out(
    tag: int, value: bytes, expected: list[object] | None
) -> None:
    found = as_json(explicit((tag, b"DS", value)))[f"{tag:08X}"]
    assert found == ({"vr": "DS"} if expected is None else {"vr": "DS", "Value": expected})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"12", [12]),
        (b"12.0", [12]),
        (b"9" * 5000, None),
        (b"4294967296", None),
        (b"1A", None),
        (b"1\\x\\3", [1, None, 3]),
    ],
)
def test_integer_strings_are_numbers_or_null(value: bytes, expected: list[object] | None) -> None:
    found = as_json(explicit((0x00280008, b"IS", value)))["00280008"]
    assert found == ({"vr": "IS"} if expected is None else {"vr": "IS", "Value": expected})


def test_an_odd_vr_becomes_unknown_and_its_neighbours_stay() -> None:
    found = as_json(
        explicit((0x00080060, b"CS", b"CT"), (0x00090011, b"ZZ", b"ab"), (0x00100020, b"LO", b"7"))
    )
    assert found["00080060"]["Value"] == ["CT"]
    assert found["00090011"]["vr"] == "UN"
    assert found["00100020"]["Value"] == ["7"]


def test_not_a_number_in_binary_floats_becomes_null() -> None:
    value = struct.pack("<3d", 1.0, float("nan"), float("inf"))
    assert as_json(explicit((0x00180088 + 0, b"FD", value)))["00180088"] == {
        "vr": "FD",
        "Value": [1.0, None, None],
    }


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        (b"GB18030", "王^小东".encode("gb18030")),
        (b"ISO_IR 192", "王^小东".encode()),
        (b"ISO_IR 100", "王^小东".encode("gb18030")),
        (b"", "王^小东".encode()),
    ],
)
def test_chinese_names_are_read_whatever_their_label_says(charset: bytes, raw: bytes) -> None:
    found = as_json(explicit((0x00080005, b"CS", charset), (0x00100010, b"PN", raw)))
    names = found["00100010"]["Value"]
    assert isinstance(names, list)
    assert "王^小东" in names[0].values()
    assert found["00080005"]["Value"] == ["ISO_IR 192"]


@pytest.mark.parametrize("charset", [b"../../etc/passwd", b"\\".join([b"X"] * 50), b"\xff\xfe"])
def test_a_senseless_character_set_costs_no_other_element(charset: bytes) -> None:
    found = as_json(explicit((0x00080005, b"CS", charset), (0x00080060, b"CS", b"MR")))
    assert found["00080060"]["Value"] == ["MR"]


def test_html_and_quotes_are_text() -> None:
    hostile = '<script>alert("1")</script>'
    found = as_json(explicit((0x00081030, b"LO", hostile.encode())))
    assert found["00081030"]["Value"] == [hostile]


def test_short_binary_values_are_inline_and_long_ones_are_addresses() -> None:
    found = as_json(explicit((0x00090012, b"OB", b"\1\2"), (0x00090013, b"OB", b"\0" * 1000)))
    assert found["00090012"]["InlineBinary"] == "AQI="
    assert found["00090013"]["BulkDataURI"] == f"{BULK}/00090013"


def test_bulk_data_inside_items_has_an_address_that_leads_there() -> None:
    item = Dataset()
    item.add_new(0x00090013, "OB", b"\0" * 1000)
    outer = Dataset()
    outer.ReferencedImageSequence = Sequence([Dataset(), item])
    found = dataset_to_json(outer, Expression(BULK))
    inner = found["00081140"]["Value"][1]
    assert inner["00090013"]["BulkDataURI"] == f"{BULK}/00081140/1/00090013"


def test_deep_nesting_ends_instead_of_exhausting_the_stack() -> None:
    innermost = Dataset()
    for _ in range(300):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([innermost])
        innermost = outer
    json.dumps(dataset_to_json(innermost, Expression(BULK)), allow_nan=False)


def test_group_lengths_and_file_meta_inside_a_dataset_never_leave() -> None:
    found = as_json(
        explicit(
            (0x00020010, b"UI", b"1.2.840.10008.1.2.1\0"),
            (0x00080000, b"UL", b"\0\0\0\0"),
            (0x00080060, b"CS", b"CT"),
        )
    )
    assert list(found) == ["00080060"]


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "emri_small.dcm"],
)
def test_pydicom_reads_back_what_the_hub_writes_of_real_files(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    source = dcmread(path, stop_before_pixels=True)
    expression = Expression(BULK, big_endian=not source.original_encoding[1])
    text = json.dumps(dataset_to_json(source, expression), allow_nan=False)
    back = Dataset.from_json(text, bulk_data_uri_handler=lambda _tag, _vr, _uri: b"")
    assert back.SOPInstanceUID == source.SOPInstanceUID
    assert back.PatientID == source.PatientID
    sent = [tag for tag in source.keys() if tag.element and tag.group > 2]  # noqa: SIM118
    assert {element.tag for element in back} >= set(sent)
