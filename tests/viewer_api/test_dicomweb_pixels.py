"""Frames cut out of real files, and instances turned into Explicit VR Little Endian."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames

from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.wire import NativeFrame
from image_archive.model import Condition, InstanceRecord
from tests.viewer_api.region import part10, sample
from viewer_api.dicomweb.decoded_frames import decoded_frames
from viewer_api.dicomweb.stored_frames import stored_frame
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.dicomweb.transcoding import decoded_instance
from viewer_api.errors import UnusableBytesError

EXPLICIT = "1.2.840.10008.1.2.1"
NATIVE = [
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "rtdose_expb.dcm",
    "SC_rgb_expb_2frame.dcm",
    "image_dfl.dcm",
    "liver.dcm",
    "liver_expb.dcm",
]
COMPRESSED = [
    "emri_small_RLE.dcm",
    "emri_small_jpeg_ls_lossless.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
]


@contextmanager
def pool(limits: PoolLimits | None = None) -> Iterator[DecoderPool]:
    children = DecoderPool(limits)
    try:
        yield children
    finally:
        children.stop()


def file_of(name: str) -> tuple[Path, FileDataset]:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path), dcmread(path)


@pytest.mark.parametrize("name", NATIVE)
def test_native_frames_are_little_endian_whatever_is_stored(name: str) -> None:
    path, dataset = file_of(name)
    pixels = np.atleast_2d(dataset.pixel_array)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    expected = pixels.reshape(frames, *pixels.shape[-len(pixels.shape) + (frames > 1) :])
    with path.open("rb") as file:
        stored = read_object(file, dataset.file_meta.TransferSyntaxUID)
        for number in range(1, frames + 1):
            found = stored_frame(stored, number)
            wanted = expected[number - 1]
            if dataset.BitsAllocated == 1:
                packed = np.packbits(wanted.ravel().astype(np.uint8), bitorder="little")
                assert found == packed.tobytes()
            else:
                assert found == wanted.astype(wanted.dtype.newbyteorder("<")).tobytes()
        with pytest.raises(UnusableBytesError):
            stored_frame(stored, frames + 1)


@pytest.mark.parametrize("name", COMPRESSED)
def test_encapsulated_frames_are_the_stored_codestreams(name: str) -> None:
    path, dataset = file_of(name)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    expected = list(generate_frames(dataset.PixelData, number_of_frames=frames))
    with path.open("rb") as file:
        stored = read_object(file, dataset.file_meta.TransferSyntaxUID)
        for number in range(1, frames + 1):
            assert stored_frame(stored, number) == expected[number - 1]


def encapsulated(*, fragments: int, lie: int = 0) -> tuple[bytes, list[bytes]]:
    """Three frames in `fragments` each; `lie` is added to the second entry of the offset table."""
    frames = [bytes([number]) * 64 for number in (1, 2, 3)]
    dataset = sample("emri_small_jpeg_2k_lossless.dcm", NumberOfFrames="3")
    value = bytearray(encapsulate(frames, fragments_per_frame=fragments))
    second = int.from_bytes(value[12:16], "little")
    value[12:16] = (second + lie).to_bytes(4, "little")
    dataset.PixelData = bytes(value)
    return part10(dataset), frames


@pytest.mark.parametrize("fragments", [1, 2, 4])
def test_frames_in_several_fragments_are_joined(fragments: int) -> None:
    data, frames = encapsulated(fragments=fragments)
    stored = read_object(io.BytesIO(data), "1.2.840.10008.1.2.4.90")
    assert [stored_frame(stored, number) for number in (1, 2, 3)] == frames


@pytest.mark.parametrize("lie", [2, 4096, 0x7FFFFFFF, -72])
def test_an_offset_table_that_lies_gives_no_frame_or_the_true_one(lie: int) -> None:
    data, frames = encapsulated(fragments=1, lie=lie)
    stored = read_object(io.BytesIO(data), "1.2.840.10008.1.2.4.90")
    assert stored_frame(stored, 2) == frames[1]
    data, _ = encapsulated(fragments=2, lie=lie)
    stored = read_object(io.BytesIO(data), "1.2.840.10008.1.2.4.90")
    with pytest.raises(UnusableBytesError):
        stored_frame(stored, 2)


@pytest.mark.parametrize("kept", [0, 100, 132, 200, 1000])
def test_bytes_that_end_early_are_unusable_and_nothing_worse(kept: int) -> None:
    path, dataset = file_of("CT_small.dcm")
    data = path.read_bytes()[:kept]
    with pytest.raises(UnusableBytesError):
        stored_frame(read_object(io.BytesIO(data), dataset.file_meta.TransferSyntaxUID), 1)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Rows", 65535), ("NumberOfFrames", "2147483647"), ("BitsAllocated", 64), ("Columns", 0)],
)
def test_sizes_that_the_bytes_do_not_bear_out_allocate_nothing(keyword: str, value: Any) -> None:
    dataset = sample("CT_small.dcm", **{keyword: value})
    stored = read_object(io.BytesIO(part10(dataset)), EXPLICIT)
    with pytest.raises(UnusableBytesError):
        stored_frame(stored, 2 if keyword == "NumberOfFrames" else 1)


def transcoded(name: str) -> tuple[FileDataset, FileDataset]:
    path, dataset = file_of(name)
    record = InstanceRecord(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
        instance_number=1,
        rows=1,
        columns=1,
        number_of_frames=1,
        dataset_sha256="",
        dataset_bytes=0,
        storage_key="",
        received_at=datetime.now(UTC),
        condition=Condition.INTACT,
    )
    with pool() as children:

        def decode(_uid: str, number: int) -> NativeFrame:
            with path.open("rb") as source:
                return children.native_frame(source, number)

        body = decoded_instance(path.open("rb"), record, decode)
        assert body is not None
        data = b"".join(body.chunks)
        assert len(data) == body.size
        return dataset, dcmread(io.BytesIO(data))


@pytest.mark.parametrize("name", [*NATIVE, *COMPRESSED[:3], "rtplan.dcm"])
def test_the_default_transfer_syntax_changes_framing_and_nothing_else(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = transcoded(name)
        assert after.file_meta.TransferSyntaxUID == EXPLICIT
        ignored = {"PixelData", "PlanarConfiguration", "PhotometricInterpretation"}
        for element in before:
            if element.keyword not in ignored and element.tag.group > 2 and element.tag.element:
                assert after[element.tag].value == element.value, element.keyword
        if "PixelData" in before:
            assert np.array_equal(after.pixel_array, before.pixel_array)


def test_a_hostile_codestream_costs_a_child_and_not_the_hub() -> None:
    dataset = sample("emri_small_jpeg_2k_lossless.dcm", NumberOfFrames="1")
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=10)))
    frame[8:24] = b"\x7f\xff\xff\xff" * 4
    dataset.PixelData = encapsulate([bytes(frame)])
    source = io.BytesIO(part10(dataset))
    limits = PoolLimits(memory_mb=256, timeout_s=20)
    with pool(limits) as children, pytest.raises(UnusableBytesError):
        list(decoded_frames(lambda _uid, n: children.native_frame(source, n), "1.2", [1]))
