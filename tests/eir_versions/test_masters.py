"""A master gives its original back bit for bit, and is itself a file that readers can show."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from eir_versions import reasons
from eir_versions.codecs import decode_frame
from eir_versions.instance_file import open_instance
from eir_versions.master_format import read_block
from eir_versions.master_making import HtMasterMaker
from eir_versions.master_reading import HtMasterReader, decoded_master_frame
from image_archive.errors import NotCompactableError, UnreadableInstanceError
from tests.eir_versions.builders import image_dataset, opened, part10, real_files
from tests.support.dicom_judge import faults
from tests.support.in_process_frames import InProcessFrames

HTJ2K = "1.2.840.10008.1.2.4.202"
MAKER = HtMasterMaker(InProcessFrames())


def master_of(original: bytes) -> bytes:
    out = io.BytesIO()
    MAKER.make(lambda: io.BytesIO(original), out)
    return out.getvalue()


def restored(master: bytes) -> bytes:
    with HtMasterReader().restored(io.BytesIO(master)) as stream:
        return stream.read()


def ramp(*shape: int, dtype: str = "i2", low: int = -900) -> np.ndarray[Any, np.dtype[Any]]:
    count = int(np.prod(shape))
    return (np.arange(count) * 7 % 3000 + low).astype(dtype).reshape(shape)


def colour(planar: int, **attributes: Any) -> Dataset:
    values = ramp(20, 30, 3, dtype="u1", low=0)
    stored = values.transpose(2, 0, 1) if planar else values
    dataset = image_dataset(np.zeros((20, 30), "u1"), **attributes)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, planar
    dataset.PhotometricInterpretation = "RGB"
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    return dataset


def signed_12_bit() -> Dataset:
    """Values of 12 bits with their sign, the upper four bits left empty."""
    words = (ramp(16, 18) & 0x0FFF).astype("<u2")
    return image_dataset(words, BitsStored=12, HighBit=11, PixelRepresentation=1)


def big_endian(dataset: Dataset) -> bytes:
    """The same samples in the other order, in words where the VR is OW."""
    data = dataset.PixelData
    dataset.PixelData = np.frombuffer(data, "<u2").byteswap().tobytes()
    return part10(dataset, ExplicitVRBigEndian)


ORIGINALS = {
    "signed": lambda: part10(image_dataset(ramp(33, 47))),
    "unsigned 12 of 16": lambda: part10(
        image_dataset(ramp(33, 47, dtype="u2", low=0), BitsStored=12, HighBit=11)
    ),
    "signed 12, empty above": lambda: part10(signed_12_bit()),
    "implicit": lambda: part10(image_dataset(ramp(20, 20)), ImplicitVRLittleEndian),
    "big endian words": lambda: big_endian(image_dataset(ramp(20, 20))),
    "big endian bytes in words": lambda: big_endian(image_dataset(ramp(20, 20, dtype="u1", low=0))),
    "frames": lambda: part10(image_dataset(ramp(5, 20, 22))),
    "odd bytes and padding": lambda: part10(image_dataset(ramp(5, 7, dtype="u1", low=0))),
    "colour by pixel": lambda: part10(colour(0)),
    "colour by plane": lambda: part10(colour(1)),
    "something behind the pixels": lambda: part10(
        image_dataset(ramp(20, 20), DataSetTrailingPadding=b"\0" * 300)
    ),
    "one pixel": lambda: part10(image_dataset(ramp(1, 1))),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_original_comes_back_bit_for_bit(name: str) -> None:
    original = ORIGINALS[name]()
    assert restored(master_of(original)) == original


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_master_is_a_dicom_file_of_the_same_values(name: str) -> None:
    original = ORIGINALS[name]()
    shown, source = opened(master_of(original)), opened(original)
    assert shown.header.transfer_syntax_uid == HTJ2K
    assert shown.dataset.SOPInstanceUID == source.dataset.SOPInstanceUID
    for number in range(1, source.header.number_of_frames + 1):
        one, other = decode_frame(shown, number), decode_frame(source, number)
        np.testing.assert_array_equal(one.values, other.values)
        assert one.photometric == other.photometric


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm"])
def test_a_judge_finds_no_fault_in_a_master_that_its_original_has_not(
    name: str, tmp_path: Path
) -> None:
    original = Path(str(get_testdata_file(name, download=False))).read_bytes()
    master = master_of(original)
    # The judge is older than HTJ2K; it takes the same encapsulation under JPEG 2000's name.
    known = master.replace(HTJ2K.encode() + b"\0", JPEG2000Lossless.encode() + b"\0\0", 1)
    assert known != master
    path = tmp_path / "judged.dcm"
    before = faults(path, original)
    assert faults(path, known) <= before
    assert faults(path, restored(master)) == before
    # The control: it sees what is spoilt.
    assert faults(path, known.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x0f\x00US", 1)) - before


def test_parts_are_restored_wherever_they_begin() -> None:
    original = ORIGINALS["frames"]()
    with HtMasterReader().restored(io.BytesIO(master_of(original))) as stream:
        assert stream.seek(0, io.SEEK_END) == len(original)
        for start in range(0, len(original), 331):
            stream.seek(start)
            assert stream.read(700) == original[start : start + 700]


def test_a_header_is_read_without_decoding_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    master = master_of(ORIGINALS["frames"]())
    monkeypatch.setattr("eir_versions.master_reading.decoded_master_frame", None)
    with HtMasterReader().restored(io.BytesIO(master)) as stream:
        assert stream.read(400)[128:132] == b"DICM"
        with pytest.raises(TypeError):  # the control: pixels do need it
            stream.read()


def test_a_frame_is_decoded_once_for_its_head_and_its_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = ORIGINALS["signed"]()
    master, reader = master_of(original), HtMasterReader()
    decoded = 0

    def counted(codestream: bytes) -> Any:
        nonlocal decoded
        decoded += 1
        return decoded_master_frame(codestream)

    monkeypatch.setattr("eir_versions.master_reading.decoded_master_frame", counted)
    for _ in range(3):
        with reader.restored(io.BytesIO(master)) as stream:
            assert stream.read() == original
    assert decoded == 1
    monkeypatch.setattr("eir_versions.master_reading._REMEMBERED_BYTES", 100)
    small = HtMasterReader()
    for _ in range(2):  # the control: what is too much is not kept
        with small.restored(io.BytesIO(master)) as stream:
            assert stream.read() == original
    assert decoded == 3


@pytest.mark.filterwarnings("ignore")  # real files are what they are; the children ignore it too
def test_every_real_native_file_comes_back_or_stays_for_a_reason() -> None:
    came_back, stayed = 0, {}
    for name, path in real_files():
        original = path.read_bytes()
        if original[128:132] != b"DICM" or len(original) > 700_000:
            continue
        try:
            master = master_of(original)
        except NotCompactableError as error:
            stayed[name] = error.reason
            continue
        assert restored(master) == original, name
        came_back += 1
    assert came_back > 30
    assert set(stayed.values()) <= {
        "already_compressed",
        reasons.NO_PIXEL_DATA,
        reasons.UNSUPPORTED_PIXELS,
        reasons.UNREADABLE,
        reasons.LENGTH_MISMATCH,
        reasons.TOO_LARGE,  # Number of Frames that no bytes could hold
    }


def test_what_no_master_can_hold_stays() -> None:
    words = ramp(16, 16, dtype="u2", low=0) | 0x8000  # an overlay in the bits that are not used
    hidden = part10(image_dataset(words, BitsStored=12, HighBit=11))
    short = image_dataset(ramp(16, 16))
    short.PixelData = short.PixelData[:100]
    wide = part10(image_dataset(ramp(8, 8, dtype="u4", low=0)))
    deflated = part10(image_dataset(ramp(8, 8)), DeflatedExplicitVRLittleEndian)
    empty = image_dataset(ramp(4, 4))
    del empty.PixelData
    for original, reason in (
        (hidden, reasons.UNSUPPORTED_PIXELS),
        (part10(short), reasons.LENGTH_MISMATCH),
        (wide, reasons.UNSUPPORTED_PIXELS),
        (deflated, "already_compressed"),
        (part10(empty), reasons.NO_PIXEL_DATA),
    ):
        with pytest.raises(NotCompactableError) as stayed:
            master_of(original)
        assert stayed.value.reason == reason


def test_a_flipped_bit_anywhere_is_never_a_silent_change() -> None:
    original = part10(image_dataset(ramp(40, 40)))
    master = master_of(original)
    block = read_block(io.BytesIO(master))
    (at, length, _) = block.description.frames[0]
    told = 0
    for place in [*range(at, at + length, 97), *range(at + length + 20, len(master), 53)]:
        damaged = bytearray(master)
        damaged[place] ^= 0x10
        try:
            assert restored(bytes(damaged)) == original, place  # the length of an element, say
        except UnreadableInstanceError:
            told += 1
    assert told > 10


def test_what_is_no_master_is_said_to_be_none() -> None:
    for junk in (b"", b"DICM" * 100, part10(image_dataset(ramp(4, 4)))):
        with pytest.raises(UnreadableInstanceError):
            HtMasterReader().restored(io.BytesIO(junk))


def test_a_master_is_made_and_read_frame_by_frame(tmp_path: Path) -> None:
    """No read of the original is larger than its head, which is read at once, or one frame."""
    reads: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            reads.append(len(found))
            return found

    frames = ramp(64, 64, 64)
    original = part10(image_dataset(frames), ExplicitVRLittleEndian)
    out = io.BytesIO()
    MAKER.make(lambda: Counting(original), out)
    assert max(reads) <= 131_072 < frames.nbytes
    assert zlib.crc32(restored(out.getvalue())) == zlib.crc32(original)


def test_the_encoded_frames_follow_the_rpcl_rules() -> None:
    """PS3.5 8.2.16: RPCL order, lengths of tile-parts ahead, smallest resolution at most 64."""
    master = open_instance(io.BytesIO(master_of(part10(image_dataset(ramp(300, 500))))))
    stream = master.frame_bytes(1)
    cod = stream.index(b"\xff\x52")
    halvings = stream[cod + 9]
    assert stream[cod + 5] == 2
    assert b"\xff\x55" in stream[:200]
    assert 500 >> halvings <= 64
