"""Stored values of every supported transfer syntax, against uncompressed twins and other codecs."""

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut

from eir_versions import reasons
from eir_versions.codecs import DECODERS, decode_frame
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.instance_file import NATIVE_SYNTAXES
from eir_versions.rendering import FrameRequest
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

LOSSLESS_TWINS = [
    (SAMPLES / "693_J2KR.dcm", SAMPLES / "693_UNCR.dcm"),
    (SAMPLES / "MR2_J2KR.dcm", SAMPLES / "MR2_UNCR.dcm"),
    (SAMPLES / "RG3_J2KR.dcm", SAMPLES / "RG3_UNCR.dcm"),
    (SAMPLES / "US1_J2KR.dcm", SAMPLES / "US1_UNCR.dcm"),
    (SAMPLES / "emri_small_RLE.dcm", SAMPLES / "emri_small.dcm"),
    (SAMPLES / "emri_small_big_endian.dcm", SAMPLES / "emri_small.dcm"),
    (SAMPLES / "emri_small_jpeg_2k_lossless.dcm", SAMPLES / "emri_small.dcm"),
    (SAMPLES / "emri_small_jpeg_ls_lossless.dcm", SAMPLES / "emri_small.dcm"),
    (SAMPLES / "liver_expb.dcm", SAMPLES / "liver.dcm"),
    (SAMPLES / "SC_rgb_expb_16bit.dcm", SAMPLES / "SC_rgb_16bit.dcm"),
    (SAMPLES / "SC_rgb_expb_32bit.dcm", SAMPLES / "SC_rgb_32bit.dcm"),
    (SAMPLES / "gdcm-US-ALOKA-16_big.dcm", SAMPLES / "gdcm-US-ALOKA-16.dcm"),
    (SAMPLES / "OBXXXX1A_rle.dcm", SAMPLES / "OBXXXX1A.dcm"),
    (SAMPLES / "color-pl.dcm", SAMPLES / "color-px.dcm"),
    (TEST_FILES / "rtdose_expb.dcm", TEST_FILES / "rtdose.dcm"),
    (TEST_FILES / "rtdose_rle.dcm", TEST_FILES / "rtdose.dcm"),
    (TEST_FILES / "MR_small_jp2klossless.dcm", TEST_FILES / "MR_small.dcm"),
    (TEST_FILES / "MR_small_jpeg_ls_lossless.dcm", TEST_FILES / "MR_small.dcm"),
    (TEST_FILES / "SC_rgb_rle_32bit.dcm", TEST_FILES / "SC_rgb_rle.dcm"),
]
HTJ2K = [f"1.2.840.10008.1.2.4.{last}" for last in (201, 202, 203)]
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def ramp(dtype: type[np.integer], low: int, high: int) -> NDArray[np.integer]:
    return np.linspace(low, high, 48 * 40).astype(dtype).reshape(48, 40)


@pytest.mark.parametrize(("packed", "plain"), LOSSLESS_TWINS, ids=lambda path: Path(path).stem)
def test_a_lossless_file_shows_what_its_uncompressed_twin_shows(packed: Path, plain: Path) -> None:
    assert (rendered(packed) == rendered(plain)).all()


@pytest.mark.parametrize("name", ["JPEG-LL", "bad_sequence", "JPGLosslessP14SV1_1s_1f_8b"])
def test_two_independent_decoders_agree_on_lossless_jpeg(name: str) -> None:
    instance = opened(SAMPLES / f"{name}.dcm")
    ours = decode_frame(instance, 1).values
    other = imagecodecs.jpeg8_decode(instance.frame_bytes(1))
    assert (ours.astype(np.uint16) == other.astype(np.uint16)).all()


def test_two_independent_decoders_agree_on_jpeg_ls() -> None:
    instance = opened(TEST_FILES / "MR_small_jpeg_ls_lossless.dcm")
    other = imagecodecs.jpegls_decode(instance.frame_bytes(1))
    ours = decode_frame(instance, 1).values
    assert (ours.astype(np.uint16) == other.astype(np.uint16)).all()


@pytest.mark.parametrize("syntax", HTJ2K)
@pytest.mark.parametrize(
    "pixels",
    [ramp(np.uint16, 0, 4095), ramp(np.int16, -2000, 2000), ramp(np.uint8, 0, 255)],
    ids=["unsigned", "signed", "bytes"],
)
def test_htj2k_gives_back_the_stored_values(syntax: str, pixels: NDArray[np.integer]) -> None:
    stream = imagecodecs.htj2k_encode(pixels, reversible=True)
    instance = opened(part10(encapsulated(image_dataset(pixels), [stream]), syntax))
    assert (decode_frame(instance, 1).values == pixels).all()


@pytest.mark.parametrize("has_bot", [True, False])
def test_each_frame_of_an_encapsulated_object_is_found(has_bot: bool) -> None:  # noqa: FBT001
    frames = [ramp(np.uint16, 0, top) for top in (100, 200, 300)]
    streams = [imagecodecs.ljpeg_encode(frame) for frame in frames]
    dataset = encapsulated(image_dataset(np.stack(frames)), streams, has_bot=has_bot)
    instance = opened(part10(dataset, JPEG_LOSSLESS))
    for number, frame in enumerate(frames, start=1):
        assert (decode_frame(instance, number).values == frame).all()
        assert instance.frame_bytes(number).rstrip(b"\0") == streams[number - 1].rstrip(b"\0")


def test_each_frame_of_a_native_object_is_found() -> None:
    frames = np.arange(3 * 4 * 4, dtype=np.uint16).reshape(3, 4, 4)
    instance = opened(part10(image_dataset(frames)))
    assert [instance.frame_bytes(number) for number in (1, 2, 3)] == [
        frame.tobytes() for frame in frames
    ]


def test_frames_of_single_bits_need_not_start_at_a_byte() -> None:
    bits = (np.arange(3 * 9) % 2).astype(np.uint8).reshape(3, 3, 3)
    packed = np.packbits(bits, axis=None, bitorder="little").tobytes()
    dataset = image_dataset(bits, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed)
    instance = opened(part10(dataset))
    for number in (1, 2, 3):
        assert (decode_frame(instance, number).values == bits[number - 1]).all()


@pytest.mark.parametrize("number", [0, -1, 4, 2**31])
def test_a_frame_outside_the_object_does_not_exist(number: int) -> None:
    instance = opened(part10(image_dataset(np.zeros((3, 4, 4), np.uint16))))
    with pytest.raises(FrameNotFoundError):
        instance.frame_bytes(number)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_colour_jpeg_is_shown_in_the_colours_it_was_made_of(photometric: str) -> None:
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:, :] = (200, 40, 90)
    stored_as = "RGB" if photometric == "RGB" else "YCBCR"
    stream = imagecodecs.jpeg8_encode(colours, level=98, colorspace="RGB", outcolorspace=stored_as)
    dataset = image_dataset(
        np.zeros((32, 32), np.uint8), SamplesPerPixel=3, PhotometricInterpretation=photometric
    )
    dataset.PlanarConfiguration = 0
    picture = rendered(part10(encapsulated(dataset, [stream]), JPEG_BASELINE))
    assert np.abs(picture.astype(int) - colours).max() <= 3


def test_a_narrow_signed_stream_keeps_its_sign_in_a_wider_image() -> None:
    pixels = ramp(np.int8, -100, 100)
    stream = imagecodecs.jpeg2k_encode(pixels, reversible=True, codecformat="j2k")
    dataset = encapsulated(image_dataset(pixels.astype(np.int16)), [stream])
    instance = opened(part10(dataset, "1.2.840.10008.1.2.4.90"))
    assert (decode_frame(instance, 1).values == pixels).all()


def test_a_signed_image_in_an_unsigned_stream_gets_its_sign_back() -> None:
    instance = opened(TEST_FILES / "J2K_pixelrep_mismatch.dcm")
    values = decode_frame(instance, 1).values
    assert (int(values.min()), int(values[0, 0])) == (-2000, -2000)


@pytest.mark.parametrize("name", ["OBXXXX1A", "gdcm-US-ALOKA-16"], ids=["plain", "segmented"])
def test_palettes_give_the_colours_that_pydicom_gives(name: str) -> None:
    dataset = pydicom.dcmread(SAMPLES / f"{name}.dcm")
    theirs = apply_color_lut(dataset.pixel_array, dataset)
    assert (rendered(SAMPLES / f"{name}.dcm") == (theirs >> 8 * (theirs.itemsize - 1))).all()


def test_the_second_frame_is_not_the_first() -> None:
    path = SAMPLES / "color3d_jpeg_baseline.dcm"
    assert (rendered(path, FrameRequest(1)) != rendered(path, FrameRequest(60))).any()


def test_a_burned_overlay_is_white_where_its_bits_are() -> None:
    path = TEST_FILES / "examples_overlay.dcm"
    plain, burned = rendered(path), rendered(path, FrameRequest(overlays=True))
    assert (burned != plain).any()
    assert set(burned[burned != plain].tolist()) == {255}


def test_an_unknown_transfer_syntax_is_named_as_the_reason() -> None:
    dataset = encapsulated(image_dataset(ramp(np.uint8, 0, 255)), [b"\0\0"])
    with pytest.raises(UnrenderableInstanceError) as caught:
        rendered(part10(dataset, "1.2.840.10008.1.2.4.102"))
    assert caught.value.reason == reasons.UNSUPPORTED_TRANSFER_SYNTAX


def test_no_transfer_syntax_is_both_native_and_compressed() -> None:
    assert not NATIVE_SYNTAXES & set(DECODERS)
