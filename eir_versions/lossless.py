"""One frame of stored values compressed without loss, and proved so (PS3.5 Annex A.4).

Every frame is decoded again and compared before it leaves: what does not come back bit for bit is
refused. Runs in a child of `eir_versions.decoding`, as the frame was decoded from untrusted bytes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import imagecodecs
import jpeg_ls  # type: ignore[import-untyped]  # ships no types
import numpy as np
from numpy.typing import NDArray
from rle.utils import encode_pixel_data as encode_rle

from eir_versions import reasons
from eir_versions.codecs import DECODERS, DecodedFrame, decode_frame
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import ImageHeader
from eir_versions.instance_file import InstanceFile
from eir_versions.pixels import interleave, unpack_words

Array = NDArray[Any]
_RESOLUTIONS = 6
_SMALLEST_EDGE_BITS = 6  # the smallest resolution of an RPCL codestream has edges up to 64
_FEWEST_HALVINGS = 3
_TRANSFORMED = "YBR_RCT"

RLE = "1.2.840.10008.1.2.5"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"


def encode_frame(
    instance: InstanceFile, frame_number: int, transfer_syntax_uid: str
) -> tuple[bytes, str]:
    """Return the codestream of one frame, 1-based, and its photometric interpretation.

    Raises:
        UnrenderableInstanceError: no encoder, pixels it cannot take, or not the same when decoded.
        FrameNotFoundError: there is no such frame.
    """
    layout = instance.header.layout
    encoder = ENCODERS.get(transfer_syntax_uid)
    if encoder is None:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_TRANSFER_SYNTAX)
    if layout.floating or layout.bits_allocated not in (8, 16) or layout.samples not in (1, 3):
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS)
    frame = decode_frame(instance, frame_number)
    if instance.is_native and not _holds_all(instance, frame_number, frame):
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS)
    header = replace(
        instance.header, photometric=frame.photometric, transfer_syntax_uid=transfer_syntax_uid
    )
    try:
        data = encoder(frame.values, header)
    except (ValueError, RuntimeError, TypeError, OSError) as error:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_PIXELS) from error
    photometric = header.photometric
    if photometric == "RGB" and transfer_syntax_uid in _TRANSFORMING:
        photometric = _TRANSFORMED
    again = DECODERS[transfer_syntax_uid](data, replace(header, photometric=photometric))
    if not np.array_equal(again.values, frame.values) or again.photometric != frame.photometric:
        raise UnrenderableInstanceError(reasons.DECODE_FAILED)
    return data, photometric


def _holds_all(instance: InstanceFile, frame_number: int, frame: DecodedFrame) -> bool:
    """Tell whether the stored values are all there is in the words: no overlay in unused bits."""
    header = instance.header
    layout = header.layout
    if header.photometric == "YBR_FULL_422":
        return True
    swap = instance.is_big_endian and layout.bits_allocated > 8
    words = unpack_words(instance.frame_bytes(frame_number), layout, big_endian=swap)
    kept = _words(frame.values, layout.bits_allocated, layout.bits_allocated).ravel()
    masked = _words(frame.values, layout.bits_allocated, layout.bits_stored).ravel()
    found = interleave(words, layout, planar=header.planar).ravel()
    return layout.high_bit == layout.bits_stored - 1 and bool(
        np.array_equal(found, kept) or np.array_equal(found, masked)
    )


def _words(values: Array, bits_allocated: int, bits: int) -> Array:
    """Stored values as unsigned words that hold the lowest `bits` of each."""
    mask = (1 << bits) - 1
    return (values.astype(np.int64) & mask).astype(f"<u{bits_allocated // 8}")


def _rle(values: Array, header: ImageHeader) -> bytes:
    layout = header.layout
    words = _words(values, layout.bits_allocated, layout.bits_allocated)
    return bytes(
        encode_rle(
            words.tobytes(),
            byteorder="<",
            rows=layout.rows,
            columns=layout.columns,
            samples_per_pixel=layout.samples,
            bits_allocated=layout.bits_allocated,
        )
    )


def _jpeg_ls(values: Array, header: ImageHeader) -> bytes:
    layout = header.layout
    words = _words(values, layout.bits_allocated, layout.bits_stored)
    return bytes(
        jpeg_ls.encode_pixel_data(
            words.tobytes(),
            rows=layout.rows,
            columns=layout.columns,
            samples_per_pixel=layout.samples,
            bits_stored=layout.bits_stored,
            planar_configuration=0,
        )
    )


def _jpeg2000(values: Array, header: ImageHeader) -> bytes:
    layout = header.layout
    return bytes(
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(values),
            level=0,
            codecformat="j2k",
            bitspersample=layout.bits_stored,
            resolutions=min(_RESOLUTIONS, min(layout.rows, layout.columns).bit_length()),
            reversible=True,
            mct=header.photometric == "RGB",
        )
    )


def _htj2k(values: Array, header: ImageHeader) -> bytes:
    return bytes(
        imagecodecs.htj2k_encode(
            np.ascontiguousarray(values), reversible=True, rgb=header.photometric == "RGB"
        )
    )


def _htj2k_rpcl(values: Array, header: ImageHeader) -> bytes:
    """One tile, a part for each resolution, their lengths ahead in TLM (PS3.5 8.2.16)."""
    layout = header.layout
    halvings = (max(layout.rows, layout.columns) - 1).bit_length() - _SMALLEST_EDGE_BITS
    return bytes(
        imagecodecs.htj2k_encode(
            np.ascontiguousarray(values),
            reversible=True,
            rgb=header.photometric == "RGB",
            resolutions=max(_FEWEST_HALVINGS, halvings),
            tlm=True,
            tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
        )
    )


Encoder = Callable[[Array, ImageHeader], bytes]
ENCODERS: dict[str, Encoder] = {
    HTJ2K_LOSSLESS: _htj2k,
    HTJ2K_LOSSLESS_RPCL: _htj2k_rpcl,
    JPEG_LS_LOSSLESS: _jpeg_ls,
    JPEG_2000_LOSSLESS: _jpeg2000,
    RLE: _rle,
}
_TRANSFORMING = frozenset({HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, JPEG_2000_LOSSLESS})
