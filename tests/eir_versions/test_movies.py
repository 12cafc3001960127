"""Multi-frame instances as movies: every frame once, in time, one at a time in memory."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from pydicom.uid import MPEG4HP41

from eir_versions import reasons
from eir_versions.cine import SEGMENT_FRAMES, encode_segment, made_movie, segment_head, segment_of
from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.errors import FrameNotFoundError, UnrenderableInstanceError
from eir_versions.movies import MP4, Movies
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.model import Condition, InstanceRecord
from tests.eir_versions.builders import encapsulated, image_dataset, opened, part10
from tests.support.tools import require_openh264


@pytest.fixture(autouse=True)
def _with_encoder() -> None:
    require_openh264()


def cine(frames: int = 40, rows: int = 48, columns: int = 64, **attributes: Any) -> bytes:
    """A bright square that goes its way over a grey ground, a step each frame."""
    pixels = np.full((frames, rows, columns), 60, "u1")
    for number in range(frames):
        pixels[number, 8:24, number : number + 16] = 250
    return part10(image_dataset(pixels, **attributes))


def boxes(data: bytes, inside: tuple[bytes, ...] = ()) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, content) of the boxes of an MP4, down the way `inside`."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">L4s", data[at : at + 8])
        content = data[at + 8 : at + size]
        if inside and kind == inside[0]:
            yield from boxes(content, inside[1:])
        elif not inside:
            yield kind, content
        at += size


def table(movie: bytes, kind: bytes) -> bytes:
    way = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    return dict(boxes(movie, way))[kind]


def movie_of(pool: DecoderPool, data: bytes, frames: int) -> bytes:
    with made_movie(pool, io.BytesIO(data), frames) as pieces:
        return b"".join(pieces)


def test_a_movie_holds_every_frame_once(pool: DecoderPool) -> None:
    movie = movie_of(pool, cine(40), 40)
    count, *sizes = struct.unpack(">41L", table(movie, b"stsz")[8:])
    assert count == 40
    (offset,) = struct.unpack(">L", table(movie, b"stco")[8:])
    kinds = [kind for kind, _ in boxes(movie)]
    assert kinds == [b"ftyp", b"moov", b"mdat"]  # the index first: played before it is whole
    assert offset + sum(sizes) == len(movie)
    assert min(sizes) > 0
    keys = struct.unpack(">2L", table(movie, b"stss")[8:])
    assert keys == (1, 1 + SEGMENT_FRAMES)
    for size in sizes:  # each is whole NAL units with their lengths before them
        end = offset + size
        while offset < end:
            (length,) = struct.unpack(">L", movie[offset : offset + 4])
            offset += 4 + length
        assert offset == end


def test_the_same_instance_gives_the_same_bytes(pool: DecoderPool) -> None:
    assert movie_of(pool, cine(3), 3) == movie_of(pool, cine(3), 3)


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ({"FrameTime": "50"}, [(6, 50)]),
        ({"CineRate": 30}, [(1, 33), (1, 34), (2, 33), (1, 34), (1, 33)]),
        ({"RecommendedDisplayFrameRate": 10}, [(6, 100)]),
        ({}, [(6, 40)]),
        ({"FrameTime": "0"}, [(6, 40)]),
        ({"FrameTimeVector": [0, 20, 20, 60, 60, 20]}, [(2, 20), (2, 60), (2, 20)]),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_frames_are_shown_for_as_long_as_the_instance_says(
    pool: DecoderPool, said: dict[str, Any], runs: list[tuple[int, int]]
) -> None:
    times = table(movie_of(pool, cine(6, **said), 6), b"stts")
    found = struct.iter_unpack(">LL", times[8:])
    assert list(found) == runs


def test_a_frame_that_is_not_there_is_told(pool: DecoderPool) -> None:
    with pytest.raises(FrameNotFoundError):
        movie_of(pool, cine(3), SEGMENT_FRAMES + 2)
    with pytest.raises(UnrenderableInstanceError):
        movie_of(pool, cine(3), 5)


def test_odd_edges_and_tall_pixels_get_an_even_size_of_true_aspect() -> None:
    segment = encode_segment(opened(cine(1, 33, 47)), 1)
    assert (segment.width, segment.height) == (48, 34)
    tall = encode_segment(opened(cine(1, PixelAspectRatio=["2", "1"])), 1)
    assert (tall.width, tall.height) == (64, 96)


def test_a_segment_survives_the_wire_and_a_lie_does_not() -> None:
    segment = encode_segment(opened(cine(2)), 1)
    head = segment_head(segment)
    assert segment_of(head, segment.data) == segment
    with pytest.raises(ValueError, match="malformed"):
        segment_of(head, segment.data[:-1])


def test_512_frames_are_never_in_memory_at_once(tmp_path: Path) -> None:
    """100 MB of frames pass through a child that may take 64; the control is one frame of 100."""
    small = PoolLimits(processes=1, memory_mb=64, timeout_s=60.0)
    whole = _of_nothing(tmp_path / "cine", 512, 256, 768)
    one = _of_nothing(tmp_path / "single", 1, 8192, 12288)
    pool = DecoderPool(small)
    try:
        with whole.open("rb") as source, made_movie(pool, source, 512) as pieces:
            assert sum(map(len, pieces)) < 2_000_000
        with one.open("rb") as source, pytest.raises(UnrenderableInstanceError) as refused:
            pool.movie_segment(source, 1)
        assert refused.value.reason in {reasons.DECODER_OUT_OF_MEMORY, reasons.DECODER_CRASHED}
    finally:
        pool.stop()


def _of_nothing(path: Path, frames: int, rows: int, columns: int) -> Path:
    """A file of black frames that takes no room on the disk."""
    dataset = image_dataset(np.zeros((1, 1), "u1"), Rows=rows, Columns=columns)
    if frames > 1:
        dataset.NumberOfFrames = frames
    content = part10(dataset)
    length = frames * rows * columns
    path.write_bytes(content[:-6] + struct.pack("<L", length))
    with path.open("r+b") as file:
        file.truncate(len(content) - 2 + length)
    return path


@dataclass
class Shelf:
    """Instances by UID; counts how often they are opened."""

    held: dict[str, bytes] = field(default_factory=dict)
    opened: int = 0

    def open_instance(self, sop_instance_uid: str) -> BinaryIO:
        self.opened += 1
        return io.BytesIO(self.held[sop_instance_uid])

    open_pixels = open_instance


def record(data: bytes, **changes: Any) -> InstanceRecord:
    dataset = opened(data).dataset
    said: dict[str, Any] = {
        "sop_instance_uid": str(dataset.SOPInstanceUID),
        "series_instance_uid": "1.2",
        "study_instance_uid": "1.2.3",
        "sop_class_uid": str(dataset.SOPClassUID),
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "instance_number": 1,
        "rows": 4,
        "columns": 4,
        "number_of_frames": int(dataset.get("NumberOfFrames", 1)),
        "bits_allocated": 8,
        "dataset_sha256": f"{hash(data):064x}"[-64:],
        "dataset_bytes": len(data),
        "storage_key": "instances/x",
        "received_at": datetime(2026, 1, 1, tzinfo=UTC),
        "condition": Condition.INTACT,
    }
    names = InstanceRecord.__dataclass_fields__
    return InstanceRecord(**{k: v for k, v in (said | changes).items() if k in names})


def movies(pool: DecoderPool, folder: Path, shelf: Shelf) -> Movies:
    return Movies(shelf, pool, FilesystemBackend(folder))


def test_a_movie_is_made_once_and_read_in_parts(pool: DecoderPool, tmp_path: Path) -> None:
    data = cine(4)
    one = record(data)
    shelf = Shelf({one.sop_instance_uid: data})
    made = movies(pool, tmp_path, shelf)
    movie = made.movie(one)
    assert movie == movies(pool, tmp_path, shelf).movie(one)
    assert (shelf.opened, movie.media_type) == (1, MP4)
    with made.open(movie, 0, movie.size) as stream:
        whole = stream.read()
    with made.open(movie, 100, 50) as stream:
        assert stream.read() == whole[100:150]
    assert whole == movie_of(pool, data, 4)


def test_what_comes_from_a_bucket_is_fetched_once_for_all_segments(
    pool: DecoderPool, tmp_path: Path
) -> None:
    """A stream without a descriptor is read from its beginning to its end a single time."""
    data = cine(3 * SEGMENT_FRAMES)
    fetched: list[int] = []

    class Fetched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            piece = super().read(size)
            fetched.append(len(piece))
            return piece

    class Bucket(Shelf):
        def open_pixels(self, sop_instance_uid: str) -> BinaryIO:
            return Fetched(self.held[sop_instance_uid])

    one = record(data)
    movie = movies(pool, tmp_path, Bucket({one.sop_instance_uid: data})).movie(one)
    assert movie.size > 0
    assert sum(fetched) == len(data)


def test_stored_video_leaves_as_it_is(pool: DecoderPool, tmp_path: Path) -> None:
    video = movie_of(pool, cine(4), 4)
    dataset = image_dataset(np.zeros((4, 4), "u1"), NumberOfFrames=4)
    stored = part10(encapsulated(dataset, [video[:500], video[500:]]), MPEG4HP41)
    one = record(stored, transfer_syntax_uid=str(MPEG4HP41))
    made = movies(pool, tmp_path, Shelf({one.sop_instance_uid: stored}))
    movie = made.movie(one)
    with made.open(movie, 0, movie.size) as stream:
        assert stream.read().removesuffix(b"\0") == video.removesuffix(b"\0")


def test_one_frame_is_no_movie_and_damaged_video_none_either(
    pool: DecoderPool, tmp_path: Path
) -> None:
    made = movies(pool, tmp_path, Shelf({}))
    with pytest.raises(UnrenderableInstanceError) as refused:
        made.movie(record(cine(1), number_of_frames=1))
    assert refused.value.reason == reasons.NOT_A_MOVIE
    dataset = image_dataset(np.zeros((4, 4), "u1"), NumberOfFrames=4)
    cut = part10(encapsulated(dataset, [b"x" * 500]), MPEG4HP41)[:-300]
    one = record(cine(4), transfer_syntax_uid=str(MPEG4HP41))
    made = movies(pool, tmp_path, Shelf({one.sop_instance_uid: cut}))
    with pytest.raises(UnrenderableInstanceError) as unreadable:
        made.movie(one)
    assert unreadable.value.reason == reasons.UNREADABLE
    assert list(made.renditions.keys()) == []
