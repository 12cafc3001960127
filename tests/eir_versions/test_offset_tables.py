"""Offset tables of encapsulated pixels: believed where they point at fragments, else refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from eir_versions.errors import UnrenderableInstanceError
from eir_versions.offset_tables import within_file
from tests.eir_versions.builders import image_dataset, opened, part10

FRAMES = [b"first frame.", b"the second frame", b"third."]


def file_with(
    table: bytes, *, extended: tuple[bytes, bytes] | None = None, frames: list[bytes] = FRAMES
) -> bytes:
    """Three frames behind a Basic Offset Table that says what it wants."""
    items = [table, *frames]
    dataset: Dataset = image_dataset(np.zeros((8, 8), np.uint8), NumberOfFrames=len(frames))
    dataset.PixelData = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(i)) + i for i in items)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    if extended is not None:
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = extended
    return part10(dataset, JPEG2000Lossless)


def words(form: str, *numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}{form}", *numbers)


TRUE = (0, 20, 44)


def frames_of(data: bytes) -> list[bytes | str]:
    instance, found = opened(data), []
    for number in range(1, len(FRAMES) + 1):
        try:
            found.append(instance.frame_bytes(number))
        except UnrenderableInstanceError as error:
            found.append(error.reason)
    return found


@pytest.mark.parametrize(
    "data",
    [
        file_with(b""),
        file_with(words("L", *TRUE)),
        file_with(b"", extended=(words("Q", *TRUE), words("Q", *map(len, FRAMES)))),
    ],
    ids=["none", "basic", "extended"],
)
def test_frames_are_found_without_and_with_a_true_table(data: bytes) -> None:
    assert frames_of(data) == FRAMES


@pytest.mark.parametrize(
    ("offsets", "refused"),
    [
        ((0, 20, 2**32 - 1), {2, 3}),  # where the second ends is not known either
        ((0, 44, 20), {1, 2, 3}),
        ((0, 0, 44), {1, 2, 3}),
        ((4, 20, 44), {1, 2, 3}),
        ((0, 21, 44), {1, 2}),
        ((0, 20), {3}),
    ],
)
def test_a_frame_is_refused_where_a_basic_table_lies_about_it(
    offsets: tuple[int, ...], refused: set[int]
) -> None:
    found = frames_of(file_with(words("L", *offsets)))
    assert {number for number, one in enumerate(found, 1) if one == "length_mismatch"} == refused
    assert 1 in refused or found[0] == FRAMES[0]


@pytest.mark.parametrize(
    "extended",
    [
        (words("Q", 0, 2**63, 44), words("Q", 12, 16, 6)),
        (words("Q", 0, 21, 44), words("Q", 12, 16, 6)),
        (words("Q", 0, 20, 44), words("Q", 12, 2**40, 6)),
        (words("Q", 0), words("Q", 12)),
    ],
)
def test_a_frame_is_refused_where_an_extended_table_lies_about_it(
    extended: tuple[bytes, bytes],
) -> None:
    found = frames_of(file_with(b"", extended=extended))
    assert found[0] in {FRAMES[0], "length_mismatch"}
    assert found[1] == "length_mismatch"


def test_a_length_that_lies_takes_no_memory() -> None:
    source = within_file(io.BytesIO(b"0123456789"))
    source.seek(4)
    assert source.read(2**62) == b"456789"
    source.seek(100)
    assert source.read() == b""
