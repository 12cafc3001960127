"""H.264 pictures by the system's OpenH264 (ISO 14496-10; BSD licence), one frame after another.

Used only in a child of `eir_versions.decoding`. The library's structures are those of its ABI 7
(versions 2.3 and 2.4); another ABI is not loaded.
"""

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_bool, c_float, c_int, c_longlong, c_short, c_uint
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eir_versions import reasons
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.pixels.model import PictureArray

LIBRARY = "libopenh264.so.7"
LARGEST_EDGE = 2048  # within level 5.1 for every shape
SMALLEST_EDGE = 16
_QUALITY = 22  # quantisation, 0 to 51: finer than broadcast
_MAIN_PROFILE, _CABAC, _RATE_CONTROL_OFF, _CONSTANT_IDS = 77, 1, -1, 0
_I420, _SKIPPED = 23, 4
_BT709, _BT601, _UNSPECIFIED_FORMAT = 1, 6, 5
_SPS, _PPS, _IDR = 7, 8, 5
_LAYERS = 128
_START_CODE = b"\0\0\0\1"


class _Slices(Structure):
    _fields_ = [("mode", c_int), ("count", c_uint), ("sizes", c_uint * 35), ("limit", c_uint)]


class _Layer(Structure):
    _fields_ = [
        ("width", c_int),
        ("height", c_int),
        ("frame_rate", c_float),
        ("bit_rate", c_int),
        ("largest_bit_rate", c_int),
        ("profile", c_int),
        ("level", c_int),
        ("quality", c_int),
        ("slices", _Slices),
        ("has_signal_type", c_bool),
        ("video_format", ctypes.c_ubyte),
        ("full_range", c_bool),
        ("has_colours", c_bool),
        ("primaries", ctypes.c_ubyte),
        ("transfer", ctypes.c_ubyte),
        ("matrix", ctypes.c_ubyte),
        ("has_aspect", c_bool),
        ("aspect", c_int),
        ("aspect_width", ctypes.c_ushort),
        ("aspect_height", ctypes.c_ushort),
    ]


class _Parameters(Structure):
    _fields_ = [
        ("usage", c_int),
        ("width", c_int),
        ("height", c_int),
        ("bit_rate", c_int),
        ("rate_control", c_int),
        ("frame_rate", c_float),
        ("temporal_layers", c_int),
        ("spatial_layers", c_int),
        ("layers", _Layer * 4),
        ("complexity", c_int),
        ("intra_period", c_uint),
        ("references", c_int),
        ("parameter_sets", c_int),
        ("prefix_nal", c_bool),
        ("ssei", c_bool),
        ("simulcast", c_bool),
        ("padding", c_int),
        ("entropy_coding", c_int),
        ("may_skip", c_bool),
        ("largest_bit_rate", c_int),
        ("largest_quantiser", c_int),
        ("smallest_quantiser", c_int),
        ("largest_nal", c_uint),
        ("long_term", c_bool),
        ("long_term_count", c_int),
        ("long_term_period", c_uint),
        ("threads", ctypes.c_ushort),
        ("balanced", c_bool),
        ("loop_filter", c_int),
        ("loop_alpha", c_int),
        ("loop_beta", c_int),
        ("denoise", c_bool),
        ("background", c_bool),
        ("adaptive", c_bool),
        ("cropping", c_bool),
        ("scene_change", c_bool),
        ("lossless_link", c_bool),
        ("fix_overshoot", c_bool),
        ("intra_ratio", c_int),
        ("reserve", ctypes.c_ubyte * 64),
    ]


class _LayerBits(Structure):
    _fields_ = [
        ("ids", ctypes.c_ubyte * 3),
        ("frame_type", c_int),
        ("layer_type", ctypes.c_ubyte),
        ("sub_sequence", c_int),
        ("nal_count", c_int),
        ("nal_lengths", POINTER(c_int)),
        ("data", POINTER(ctypes.c_ubyte)),
    ]


class _FrameBits(Structure):
    _fields_ = [
        ("layer_count", c_int),
        ("layers", _LayerBits * _LAYERS),
        ("frame_type", c_int),
        ("size", c_int),
        ("time", c_longlong),
    ]


class _Source(Structure):
    _fields_ = [
        ("format", c_int),
        ("strides", c_int * 4),
        ("planes", ctypes.c_void_p * 4),
        ("width", c_int),
        ("height", c_int),
        ("time", c_longlong),
        ("reserve", c_short * 8),
    ]


@dataclass(frozen=True)
class AccessUnit:
    """One encoded frame: its NAL units with lengths of four bytes before them (ISO 14496-15)."""

    data: bytes
    is_key: bool


class H264Encoder:
    """Encodes frames of one size; the first is a key frame. Deterministic: one thread, fixed steps.

    `width` and `height` are even and from `SMALLEST_EDGE` to `LARGEST_EDGE`. Equal arguments give
    equal parameter sets, so that what two encoders made can follow each other in one movie.

    Raises:
        UnrenderableInstanceError: no_video_encoder, or the library refuses the size.
    """

    def __init__(self, width: int, height: int, key_frame_every: int) -> None:
        self._size = (width, height)
        self.parameter_sets: tuple[bytes, bytes] = (b"", b"")
        self._time = 0
        self._library = _load()
        self._encoder = ctypes.c_void_p()
        if self._library.WelsCreateSVCEncoder(byref(self._encoder)):
            raise UnrenderableInstanceError(reasons.NO_VIDEO_ENCODER)
        table = ctypes.cast(self._encoder, POINTER(POINTER(ctypes.c_void_p * 9)))[0][0]
        self._initialize = _method(table[1], ctypes.c_void_p)
        self._defaults = _method(table[2], ctypes.c_void_p)
        self._end = _method(table[3])
        self._encode = _method(table[4], ctypes.c_void_p, ctypes.c_void_p)
        given = self._parameters(key_frame_every)
        if self._initialize(self._encoder, byref(given)):
            self.close()
            raise UnrenderableInstanceError(reasons.NO_VIDEO_ENCODER)

    def __enter__(self) -> "H264Encoder":
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Free what the library holds; may be called twice."""
        if self._encoder:
            self._end(self._encoder)
            self._library.WelsDestroySVCEncoder(self._encoder)
            self._encoder = ctypes.c_void_p()

    def encode(self, picture: PictureArray) -> AccessUnit:
        """Return the next frame, (rows, columns) or (rows, columns, 3) uint8 of the given size.

        Raises:
            UnrenderableInstanceError: the library fails.
        """
        planes = _planes(picture)
        source = _Source(format=_I420, width=self._size[0], height=self._size[1], time=self._time)
        for index, plane in enumerate(planes):
            source.planes[index] = plane.ctypes.data
            source.strides[index] = plane.shape[1]
        self._time += 40
        found = _FrameBits()
        if self._encode(self._encoder, byref(source), byref(found)) or found.frame_type == _SKIPPED:
            raise UnrenderableInstanceError(reasons.DECODE_FAILED)
        units = list(_units(found))
        sets = {unit[0] & 31: unit for unit in units if unit[0] & 31 in (_SPS, _PPS)}
        if len(sets) == 2:
            self.parameter_sets = sets[_SPS], sets[_PPS]
        shown = [unit for unit in units if unit[0] & 31 not in (_SPS, _PPS)]
        data = b"".join(len(unit).to_bytes(4, "big") + unit for unit in shown)
        return AccessUnit(data, any(unit[0] & 31 == _IDR for unit in shown))

    def _parameters(self, key_frame_every: int) -> _Parameters:
        given = _Parameters()
        self._defaults(self._encoder, byref(given))
        width, height = self._size
        wanted: dict[str, Any] = {
            "width": width, "height": height, "rate_control": _RATE_CONTROL_OFF,
            "frame_rate": 25.0, "spatial_layers": 1, "temporal_layers": 1,
            "intra_period": key_frame_every, "parameter_sets": _CONSTANT_IDS,
            "entropy_coding": _CABAC, "may_skip": False, "threads": 1, "balanced": False,
            "denoise": False, "background": False, "adaptive": False, "scene_change": False,
        }  # fmt: skip
        for name, value in wanted.items():
            setattr(given, name, value)
        layer = given.layers[0]
        described: dict[str, Any] = {
            "width": width, "height": height, "frame_rate": 25.0, "profile": _MAIN_PROFILE,
            "quality": _QUALITY, "has_signal_type": True, "video_format": _UNSPECIFIED_FORMAT,
            "full_range": True, "has_colours": True, "primaries": _BT709, "transfer": _BT709,
            "matrix": _BT601,
        }  # fmt: skip
        for name, value in described.items():
            setattr(layer, name, value)
        return given


def _load() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise UnrenderableInstanceError(reasons.NO_VIDEO_ENCODER) from error


def _method(address: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(c_int, ctypes.c_void_p, *arguments)(address)


def _units(found: _FrameBits) -> Iterator[bytes]:
    """Yield the NAL units of a frame, without start codes."""
    for layer in found.layers[: found.layer_count]:
        at = ctypes.addressof(layer.data.contents)
        for length in layer.nal_lengths[: layer.nal_count]:
            yield ctypes.string_at(at, length).removeprefix(_START_CODE).removeprefix(b"\0\0\1")
            at += length


def _planes(picture: PictureArray) -> tuple[NDArray[np.uint8], ...]:
    """Return Y, Cb, Cr of BT.601 in full range, as JPEG has them, the chroma halved each way."""
    rows, columns = picture.shape[:2]
    if picture.ndim == 2:
        grey = np.full((rows // 2, columns // 2), 128, np.uint8)
        return np.ascontiguousarray(picture), grey, grey
    luma, *chroma = Image.fromarray(picture).convert("YCbCr").split()
    return np.asarray(luma), *(np.ascontiguousarray(plane.reduce(2)) for plane in chroma)
