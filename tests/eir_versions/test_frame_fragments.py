"""Fragments of encapsulated pixels: given to a frame where that is certain, else to none."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from eir_versions.errors import UnrenderableInstanceError
from eir_versions.frame_fragments import file_identity, remembered_fragments
from eir_versions.instance_file import open_instance
from tests.eir_versions.builders import image_dataset, opened, part10
from viewer_api.dicomweb.stored_frames import stored_frame
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.errors import UnusableBytesError

WHOLE = [b"first frame.", b"the second frame", b"third."]
TORN = [b"first ", b"frame.", b"the second frame", b"th", b"ird."]
TRUE, TRUE_OF_TORN = (0, 20, 44), (0, 28, 52)
SOC = b"\xff\x4f\xff\x51"
NOBODY = ["length_mismatch"] * 3


def file_with(items: list[bytes], table: bytes = b"", *, extended: bytes | None = None) -> bytes:
    """Three frames in fragments behind a Basic Offset Table that says what it wants."""
    dataset: Dataset = image_dataset(np.zeros((8, 8), np.uint8), NumberOfFrames=3)
    dataset.PixelData = b"".join(
        struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in [table, *items]
    )
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    if extended is not None:
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = extended, bytes(24)
    return part10(dataset, JPEG2000Lossless)


def words(form: str, *numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}{form}", *numbers)


def frames_of(data: bytes) -> list[bytes | str]:
    """What rendering takes for the frames; DICOMweb serves just these bytes, or refuses as well."""
    instance, found = opened(data), list[bytes | str]()
    for number in (1, 2, 3):
        try:
            found.append(instance.frame_bytes(number))
        except UnrenderableInstanceError as error:
            found.append(error.reason)
        stored = read_object(io.BytesIO(data), JPEG2000Lossless)
        if isinstance(found[-1], bytes):
            assert stored_frame(stored, number) == found[-1]
        else:
            with pytest.raises(UnusableBytesError):
                stored_frame(stored, number)
    return found


@pytest.mark.parametrize(
    "offsets",
    [
        (), TRUE, (0, 20), (0,), (0, 20, 2**32 - 1), (0, 44, 20), (0, 0, 44), (4, 20, 44),
        (0, 21, 44), (0, 44, 60), (0, 20, 44, 62),
    ],
)  # fmt: skip
def test_as_many_fragments_as_frames_are_one_each_whatever_a_table_says(
    offsets: tuple[int, ...],
) -> None:
    assert frames_of(file_with(WHOLE, words("L", *offsets))) == WHOLE
    assert frames_of(file_with(WHOLE, extended=words("Q", *offsets))) == WHOLE


@pytest.mark.parametrize(
    "data",
    [
        file_with(TORN, words("L", *TRUE_OF_TORN)),
        file_with(TORN, extended=words("Q", *TRUE_OF_TORN)),
        file_with(TORN, words("L", *TRUE_OF_TORN), extended=words("Q", 0, 2**63, 52)),
    ],
    ids=["basic", "extended", "basic beside a lying extended"],
)
def test_frames_in_several_fragments_are_joined_as_a_true_table_says(data: bytes) -> None:
    assert frames_of(data) == WHOLE


@pytest.mark.parametrize(
    "offsets",
    [
        (), (0,), (0, 28), (0, 28, 2**32 - 1), (0, 52, 28), (0, 0, 52), (4, 28, 52), (0, 29, 52),
        (14, 28, 52), (0, 28, 52, 62),
    ],
)  # fmt: skip
def test_a_table_that_is_short_or_lies_gives_no_frame_in_several_fragments(
    offsets: tuple[int, ...],
) -> None:
    assert frames_of(file_with(TORN, words("L", *offsets))) == NOBODY
    assert frames_of(file_with(TORN, extended=words("Q", *offsets))) == NOBODY


@pytest.mark.parametrize("table", [(), (0, 28)])
def test_codestreams_tell_where_frames_begin_when_they_are_as_many(table: tuple[int, ...]) -> None:
    whole = [SOC + frame for frame in WHOLE]
    torn = [SOC + TORN[0], TORN[1], SOC + TORN[2], SOC + TORN[3], TORN[4]]
    assert frames_of(file_with(torn, words("L", *table))) == whole
    torn[1] = SOC + torn[1]
    assert frames_of(file_with(torn, words("L", *table))) == NOBODY


@pytest.mark.parametrize("missing", [1, 2])
def test_fewer_fragments_than_frames_give_none(missing: int) -> None:
    assert frames_of(file_with(WHOLE[:-missing], words("L", *TRUE))) == NOBODY
    assert frames_of(file_with([SOC] * (3 - missing))) == NOBODY


def test_what_is_remembered_is_not_believed_of_a_file_put_in_its_place(tmp_path: Path) -> None:
    path, other = tmp_path / "stored", tmp_path / "repaired"
    path.write_bytes(file_with([b"FIRST FRAME.", *WHOLE[1:]]))
    other.write_bytes(file_with([b"ANEW", b"FIRST!", *WHOLE[1:]], words("L", 0, 26, 50)))
    seen = []
    for _ in range(2):
        with path.open("rb") as file:
            instance, identity = open_instance(file), file_identity(file)
            seen.append((identity, instance.frame_bytes(1)))
            again = remembered_fragments(file, instance.element.offset, 3)
            assert again is remembered_fragments(file, instance.element.offset, 3)
        if other.exists():
            other.replace(path)
    assert [frame for _, frame in seen] == [b"FIRST FRAME.", b"ANEWFIRST!"]
    assert seen[0][0] != seen[1][0]


def test_bytes_in_memory_are_not_known_again() -> None:
    assert file_identity(io.BytesIO(b"any")) is None
