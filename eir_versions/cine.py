"""A multi-frame instance as a movie: segments encoded in children, joined to an MP4 (PS3.18 8.7).

A segment is a closed group of frames, so each is a job of its own within the children's limits, and
never more than one decoded frame is in memory anywhere.
"""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np

from eir_versions import reasons
from eir_versions.encoders import resized
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.h264 import LARGEST_EDGE, SMALLEST_EDGE, H264Encoder
from eir_versions.headers import numbers
from eir_versions.instance_file import InstanceFile
from eir_versions.mp4 import Track, movie_head
from eir_versions.pixels import display_size, fit_within
from eir_versions.pixels.model import PictureArray
from eir_versions.rendering import FrameRequest, render_frame
from eir_versions.transforms import pixel_spacing

SEGMENT_FRAMES = 32
MOVIE_REVISION = 3
"""Counts up whenever the bytes of a movie change for the same instance."""

_USUAL_MS, _SHORTEST_MS, _LONGEST_MS = 40.0, 4.0, 4000.0
_CHUNK_BYTES = 262_144


@dataclass(frozen=True)
class MovieSegment:
    """Frames one after another as `data`, of `sizes` bytes each; the first needs no other.

    `durations_ms` says how long each is shown, rounded so that the whole keeps its length.
    """

    data: bytes
    sizes: tuple[int, ...]
    durations_ms: tuple[int, ...]
    width: int
    height: int
    parameter_sets: tuple[bytes, bytes]


class SegmentMaker(Protocol):
    """What is asked of the decoder children (`eir_versions.decoding.DecoderPool`)."""

    def movie_segment(self, source: BinaryIO, first_frame: int) -> MovieSegment:
        """Return the segment that begins with a frame, 1-based."""
        ...


def encode_segment(instance: InstanceFile, first_frame: int) -> MovieSegment:
    """Encode up to `SEGMENT_FRAMES` frames, 1-based from `first_frame`; runs in a child.

    Raises:
        UnrenderableInstanceError: with the reason; FrameNotFoundError for a number out of range.
    """
    last = min(first_frame + SEGMENT_FRAMES - 1, instance.header.number_of_frames)
    frames = range(first_frame, max(first_frame, last) + 1)
    picture = render_frame(instance, FrameRequest(first_frame))
    width, height = _movie_size(instance)
    units = []
    with H264Encoder(width, height, SEGMENT_FRAMES) as encoder:
        for number in frames:
            if number > first_frame:
                picture = render_frame(instance, FrameRequest(number))
            units.append(encoder.encode(_fitted(picture, width, height)))
        sets = encoder.parameter_sets
    return MovieSegment(
        b"".join(unit.data for unit in units),
        tuple(len(unit.data) for unit in units),
        tuple(_durations(instance, frames)),
        width,
        height,
        sets,
    )


@contextmanager
def made_movie(maker: SegmentMaker, source: BinaryIO, frames: int) -> Iterator[Iterator[bytes]]:
    """Give the MP4 of an instance of `frames` frames in pieces.

    Raises:
        UnrenderableInstanceError: with the reason; FrameNotFoundError when it has fewer frames.
    """
    with tempfile.TemporaryFile() as spool:
        sizes: list[int] = []
        durations: list[int] = []
        segment = None
        for first in range(1, frames + 1, SEGMENT_FRAMES):
            source.seek(0)
            segment = maker.movie_segment(source, first)
            spool.write(segment.data)
            sizes += segment.sizes
            durations += segment.durations_ms
        if segment is None or len(sizes) != frames:
            raise UnrenderableInstanceError(reasons.NOT_A_MOVIE)
        keys = range(0, frames, SEGMENT_FRAMES)
        size = segment.width, segment.height
        head = movie_head(Track(*size, segment.parameter_sets, sizes, durations, keys))
        yield _pieces(head, spool)


def segment_head(segment: MovieSegment) -> dict[str, Any]:
    """Return all of a segment but its frames as a JSON object."""
    return {
        "sizes": segment.sizes,
        "durations_ms": segment.durations_ms,
        "width": segment.width,
        "height": segment.height,
        "parameter_sets": [one.hex() for one in segment.parameter_sets],
    }


def segment_of(head: dict[str, Any], data: bytes) -> MovieSegment:
    """Return the segment of a head and its frames.

    Raises:
        ValueError, KeyError, TypeError: it is malformed.
    """
    sps, pps = (bytes.fromhex(one) for one in head["parameter_sets"])
    sizes = tuple(int(size) for size in head["sizes"])
    durations = tuple(int(duration) for duration in head["durations_ms"])
    if sum(sizes) != len(data) or len(sizes) != len(durations) or len(sps) < 4:
        raise ValueError("a malformed segment")
    return MovieSegment(data, sizes, durations, int(head["width"]), int(head["height"]), (sps, pps))


def _movie_size(instance: InstanceFile) -> tuple[int, int]:
    """Return even edges of the true aspect, within what the encoder takes."""
    layout = instance.header.layout
    shown = display_size(layout.rows, layout.columns, pixel_spacing(instance.dataset, 0))
    fitted = fit_within(shown, (LARGEST_EDGE, LARGEST_EDGE))
    width, height = (max(SMALLEST_EDGE, edge + edge % 2) for edge in fitted)
    return width, height


def _fitted(picture: PictureArray, width: int, height: int) -> PictureArray:
    """Return the picture at that size; a row or column more than it has is a border, not a blur."""
    rows, columns = picture.shape[:2]
    missing = (height - rows, width - columns)
    if missing != (0, 0) and all(0 <= part <= 1 for part in missing):
        beyond = ((0, missing[0]), (0, missing[1]), (0, 0))[: picture.ndim]
        return np.pad(picture, beyond, mode="edge")
    return resized(picture, (width, height))


def _durations(instance: InstanceFile, frames: range) -> Iterator[int]:
    """Yield how long each frame is shown, in whole milliseconds that add up (PS3.3 C.7.6.5)."""
    vector = numbers(instance.dataset, "FrameTimeVector")  # its first value is before frame 1
    steps = [_sane(step) for step in vector[1:]] or None
    usual = _usual_ms(instance)
    if steps is None or len(steps) + 1 != instance.header.number_of_frames:
        for number in frames:
            yield round(number * usual) - round((number - 1) * usual)
        return
    steps.append(steps[-1])
    for number in frames:
        yield max(1, round(steps[number - 1]))


def _usual_ms(instance: InstanceFile) -> float:
    for keyword, is_rate in (
        ("FrameTime", False),
        ("RecommendedDisplayFrameRate", True),
        ("CineRate", True),
    ):
        said = numbers(instance.dataset, keyword)
        if said and math.isfinite(said[0]) and said[0] > 0:
            return _sane(1000.0 / said[0] if is_rate else said[0])
    return _USUAL_MS


def _sane(milliseconds: float) -> float:
    if not math.isfinite(milliseconds) or milliseconds <= 0:
        return _USUAL_MS
    return min(max(milliseconds, _SHORTEST_MS), _LONGEST_MS)


def _pieces(head: bytes, spool: BinaryIO) -> Iterator[bytes]:
    yield head
    spool.seek(0)
    while piece := spool.read(_CHUNK_BYTES):
        yield piece
