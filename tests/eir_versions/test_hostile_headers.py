"""Attributes and bytes that lie: refused with a reason before memory is taken for them."""

import struct
import tracemalloc
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from tests.eir_versions.builders import (
    SAMPLES,
    TEST_FILES,
    encapsulated,
    image_dataset,
    opened,
    part10,
    rendered,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = np.arange(64, dtype=np.uint16).reshape(8, 8)
J2K = "1.2.840.10008.1.2.4.90"
LJPEG = "1.2.840.10008.1.2.4.70"
JPEG = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"


def refused(data: bytes) -> str:
    with pytest.raises(UnrenderableInstanceError) as caught:
        rendered(data)
    return caught.value.reason


@pytest.mark.parametrize(
    "attributes",
    [
        {"BitsAllocated": 0},
        {"BitsAllocated": 7},
        {"BitsAllocated": 64},
        {"BitsStored": 0},
        {"BitsStored": 17},
        {"HighBit": 40},
        {"SamplesPerPixel": 0},
        {"SamplesPerPixel": 2},
        {"SamplesPerPixel": 255},
        {"Rows": 0},
        {"Columns": 0},
    ],
    ids=str,
)
def test_impossible_attributes_are_refused(attributes: dict[str, Any]) -> None:
    assert refused(part10(image_dataset(SMALL, **attributes))) == reasons.UNSUPPORTED_PIXELS


def giant(**attributes: Any) -> Dataset:
    return image_dataset(
        SMALL,
        Rows=65535,
        Columns=65535,
        NumberOfFrames=str(2**31 - 1),
        PixelData=b"\0" * 100,
        **attributes,
    )


@pytest.mark.parametrize("frames", ["1", str(2**31 - 1), "99999999999999999999", "-1", "0"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_giant_in_a_hundred_bytes_is_refused_without_memory(
    frames: str, *, compressed: bool
) -> None:
    dataset = giant()
    dataset.add_new("NumberOfFrames", "LO", frames)
    dataset["NumberOfFrames"].VR = "IS"
    syntax = J2K if compressed else "1.2.840.10008.1.2.1"
    if compressed:
        encapsulated(dataset, [b"\0" * 100])
    data = part10(dataset, syntax)
    tracemalloc.start()
    try:
        assert refused(data) == reasons.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_fewer_bytes_than_one_frame_are_refused() -> None:
    short = image_dataset(SMALL, PixelData=SMALL.tobytes()[:-2])
    assert refused(part10(short)) == reasons.LENGTH_MISMATCH
    assert refused((TEST_FILES / "MR_truncated.dcm").read_bytes()) == reasons.LENGTH_MISMATCH


def test_a_claimed_frame_without_bytes_is_refused_and_the_others_are_shown() -> None:
    instance = opened(part10(image_dataset(SMALL, NumberOfFrames="1000")))
    assert instance.frame_bytes(1) == SMALL.tobytes()
    with pytest.raises(UnrenderableInstanceError) as caught:
        instance.frame_bytes(1000)
    assert caught.value.reason == reasons.LENGTH_MISMATCH
    with pytest.raises(FrameNotFoundError):
        instance.frame_bytes(1001)


def test_a_file_cut_inside_its_pixels_is_refused() -> None:
    assert refused(part10(image_dataset(SMALL))[:-20]) == reasons.LENGTH_MISMATCH


@pytest.mark.parametrize("keep", [0, 3, 100, 132, 200, 400])
def test_a_file_cut_before_its_pixels_is_refused(keep: int) -> None:
    data = part10(image_dataset(SMALL))[:keep]
    assert refused(data) in {
        reasons.UNREADABLE,
        reasons.NO_PIXEL_DATA,
        reasons.UNSUPPORTED_PIXELS,
    }


def test_an_object_without_pixels_says_so() -> None:
    assert refused((TEST_FILES / "test-SR.dcm").read_bytes()) == reasons.NO_PIXEL_DATA
    assert refused((TEST_FILES / "rtplan.dcm").read_bytes()) == reasons.NO_PIXEL_DATA


def streams() -> dict[str, tuple[str, bytes]]:
    eight = np.zeros((8, 8), np.uint8)
    return {
        "jpeg": (JPEG, imagecodecs.jpeg8_encode(eight)),
        "lossless": (LJPEG, imagecodecs.ljpeg_encode(eight)),
        "jpeg-ls": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode(eight)),
        "j2k": (J2K, imagecodecs.jpeg2k_encode(eight, codecformat="j2k")),
        "htj2k": ("1.2.840.10008.1.2.4.201", imagecodecs.htj2k_encode(eight)),
    }


@pytest.mark.parametrize("name", ["jpeg", "lossless", "jpeg-ls", "j2k", "htj2k"])
def test_a_codestream_of_another_size_than_the_attributes_is_refused(name: str) -> None:
    syntax, stream = streams()[name]
    right = image_dataset(np.zeros((8, 8), np.uint8))
    assert rendered(part10(encapsulated(right, [stream]), syntax)).shape == (8, 8)
    wrong = image_dataset(np.zeros((8, 16), np.uint8))
    data = part10(encapsulated(wrong, [stream]), syntax)
    assert refused(data) == reasons.CODESTREAM_MISMATCH


def test_a_jpeg2000_stream_of_2_to_the_31_pixels_is_refused() -> None:
    syntax, stream = streams()["j2k"]
    at = stream.index(b"\xff\x51") + 6
    forged = stream[:at] + struct.pack(">LL", 2**31, 2**31) + stream[at + 8 :]
    data = part10(encapsulated(image_dataset(np.zeros((8, 8), np.uint8)), [forged]), syntax)
    assert refused(data) == reasons.CODESTREAM_MISMATCH


@pytest.mark.parametrize("name", ["jpeg", "lossless", "jpeg-ls", "j2k", "htj2k"])
def test_a_codestream_without_a_header_is_refused(name: str) -> None:
    syntax, stream = streams()[name]
    for cut in (1, 2, 10, 20):
        dataset = image_dataset(np.zeros((8, 8), np.uint8))
        assert refused(part10(encapsulated(dataset, [stream[:cut]]), syntax)) in {
            reasons.DECODE_FAILED,
            reasons.CODESTREAM_MISMATCH,
        }


def test_rle_offsets_beyond_the_item_are_refused() -> None:
    header = struct.pack("<16L", 2, 64, 2**31, *[0] * 13)
    dataset = encapsulated(image_dataset(SMALL), [header + b"\0" * 32])
    assert refused(part10(dataset, RLE)) == reasons.DECODE_FAILED


def test_pixels_of_definite_length_in_a_compressed_syntax_are_refused() -> None:
    data = part10(encapsulated(image_dataset(SMALL), [b"\0\0"]), LJPEG)
    at = data.index(b"\xe0\x7f\x10\x00OB\0\0") + 8
    forged = data[:at] + struct.pack("<L", 16) + data[at + 4 :]
    assert refused(forged) == reasons.UNREADABLE


def test_a_palette_without_tables_is_refused() -> None:
    dataset = image_dataset(SMALL, PhotometricInterpretation="PALETTE COLOR")
    assert refused(part10(dataset)) == reasons.UNSUPPORTED_PIXELS


def test_a_palette_shorter_than_its_indices_is_shown_with_its_last_colour() -> None:
    dataset = image_dataset(SMALL, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [64, 0, 8])
        dataset[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes([7, 9]))
    assert rendered(part10(dataset))[7, 7].tolist() == [9, 9, 9]


def test_a_giant_overlay_is_refused_and_the_plain_picture_is_shown() -> None:
    from eir_versions.rendering import FrameRequest

    dataset = image_dataset(SMALL)
    dataset.add_new(0x60000010, "US", 65535)
    dataset.add_new(0x60000011, "US", 65535)
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60003000, "OW", b"\0\0")
    data = part10(dataset)
    assert rendered(data).shape == (8, 8)
    with pytest.raises(UnrenderableInstanceError) as caught:
        rendered(data, FrameRequest(overlays=True))
    assert caught.value.reason == reasons.UNSUPPORTED_PIXELS


def test_rows_of_another_vr_are_refused_or_read_as_they_are() -> None:
    data = (SAMPLES / "693_UNCI.dcm").read_bytes()
    at = data.index(b"\x28\x00\x10\x00US")
    forged = data[:at] + b"\x28\x00\x10\x00UL" + data[at + 6 :]
    assert refused(forged) in {
        reasons.UNREADABLE,
        reasons.UNSUPPORTED_PIXELS,
        reasons.NO_PIXEL_DATA,
    }
