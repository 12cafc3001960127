"""MP4 files of one H.264 track, ready to be played before they are whole (ISO 14496-12, -14, -15).

The index (moov) stands before the frames, so a browser shows the first one after a few kilobytes
and jumps with byte ranges.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_TIMESCALE = 1000
_MATRIX = struct.pack(">9L", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LARGEST_OFFSET = 0xFFFFFFFF


@dataclass(frozen=True)
class Track:
    """One movie: its size in pixels, its parameter sets, and each frame's bytes and milliseconds.

    `keys` are the 0-based numbers of frames that need no other.
    """

    width: int
    height: int
    parameter_sets: tuple[bytes, bytes]
    sizes: Sequence[int]
    durations_ms: Sequence[int]
    keys: Sequence[int]


def movie_head(track: Track) -> bytes:
    """Return all that stands before the first byte of the first frame.

    Raises:
        ValueError: the frames are more than 4 GiB.
    """
    total = sum(track.sizes)
    kinds = _box(b"ftyp", b"isom", struct.pack(">L", 0x200), b"isomiso2avc1mp41")
    offset = len(kinds) + len(_index(track, 0)) + 8
    if offset + total > _LARGEST_OFFSET:
        raise ValueError("a movie of more than 4 GiB")
    return kinds + _index(track, offset) + struct.pack(">L4s", total + 8, b"mdat")


def _index(track: Track, offset: int) -> bytes:
    duration = sum(track.durations_ms)
    head = _full(b"mvhd", 0, struct.pack(">4L", 0, 0, _TIMESCALE, duration),
                 struct.pack(">LHHLL", 0x10000, 0x100, 0, 0, 0), _MATRIX, bytes(24),
                 struct.pack(">L", 2))  # fmt: skip
    track_head = _full(b"tkhd", 3, struct.pack(">5L", 0, 0, 1, 0, duration), bytes(16), _MATRIX,
                       struct.pack(">LL", track.width << 16, track.height << 16))  # fmt: skip
    media_head = _full(b"mdhd", 0, struct.pack(">4LHH", 0, 0, _TIMESCALE, duration, 0x55C4, 0))
    handler = _full(b"hdlr", 0, struct.pack(">L4s", 0, b"vide"), bytes(12), b"cine\0")
    own = _full(b"url ", 1)
    where = _box(b"dinf", _full(b"dref", 0, struct.pack(">L", 1), own))
    media = _box(b"minf", _full(b"vmhd", 1, bytes(8)), where, _table(track, offset))
    return _box(b"moov", head, _box(b"trak", track_head, _box(b"mdia", media_head, handler, media)))


def _table(track: Track, offset: int) -> bytes:
    """One chunk holds every frame; times, sizes and key frames are listed."""
    times = _runs(track.durations_ms)
    count = len(track.sizes)
    return _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">L", 1), _sample_entry(track)),
        _full(b"stts", 0, struct.pack(">L", len(times)), *(struct.pack(">LL", *t) for t in times)),
        _full(b"stss", 0, struct.pack(f">L{len(track.keys)}L", len(track.keys),
                                      *(key + 1 for key in track.keys))),
        _full(b"stsc", 0, struct.pack(">4L", 1, 1, count, 1)),
        _full(b"stsz", 0, struct.pack(f">LL{count}L", 0, count, *track.sizes)),
        _full(b"stco", 0, struct.pack(">LL", 1, offset)),
    )  # fmt: skip


def _sample_entry(track: Track) -> bytes:
    sps, pps = track.parameter_sets
    configuration = _box(
        b"avcC",
        bytes((1, sps[1], sps[2], sps[3], 0xFF, 0xE1)),
        struct.pack(">H", len(sps)), sps, b"\1", struct.pack(">H", len(pps)), pps,
    )  # fmt: skip
    fixed = struct.pack(">6xH16xHHLLLH32xHh", 1, track.width, track.height,
                        0x480000, 0x480000, 0, 1, 24, -1)  # fmt: skip
    return _box(b"avc1", fixed, configuration)


def _runs(durations: Sequence[int]) -> list[tuple[int, int]]:
    """Return (count, duration) of each run of equal durations."""
    runs: list[tuple[int, int]] = []
    for duration in durations:
        if runs and runs[-1][1] == duration:
            runs[-1] = runs[-1][0] + 1, duration
        else:
            runs.append((1, duration))
    return runs


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">L4s", len(body) + 8, kind) + body


def _full(kind: bytes, flags: int, *content: bytes) -> bytes:
    return _box(kind, struct.pack(">L", flags), *content)
