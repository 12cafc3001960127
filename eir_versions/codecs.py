"""One stored frame to stored values, for every transfer syntax the hub can show (PS3.5 Annex A).

The table at the end is the list of supported transfer syntaxes. Decoders are libraries for
untrusted bytes: this module is to run in a child of `eir_versions.decoding` only.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import jpeg_ls  # type: ignore[import-untyped]  # ships no types
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode as decode_jpeg2000
from rle.utils import decode_pixel_data as decode_rle

from eir_versions import reasons
from eir_versions.codestreams import Codestream, read_jpeg, read_jpeg2000, read_jpegxl
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.headers import ImageHeader
from eir_versions.instance_file import InstanceFile
from eir_versions.pixels import PixelFormat, interleave, stored_values, unpack_words
from eir_versions.pixels.colour import expand_422

Array = NDArray[Any]
_RGB_IDS = b"RGB"


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """Stored values (rows, columns[, samples]) and their photometric interpretation.

    `words` are the words as allocated, unused bits included, where the coding keeps those.
    """

    values: Array
    photometric: str
    words: Array | None = None


Decoder = Callable[[bytes, ImageHeader], DecodedFrame]


def decode_frame(instance: InstanceFile, frame_number: int) -> DecodedFrame:
    """Return the stored values of one frame, 1-based.

    Raises:
        UnrenderableInstanceError: no decoder, sizes that contradict the attributes, or bad bytes.
        FrameNotFoundError: there is no such frame.
    """
    if instance.is_native:
        return _native(instance, frame_number)
    decoder = DECODERS.get(instance.header.transfer_syntax_uid)
    if decoder is None:
        raise UnrenderableInstanceError(reasons.UNSUPPORTED_TRANSFER_SYNTAX)
    data = instance.frame_bytes(frame_number)
    try:
        return decoder(data, instance.header)
    except MemoryError as error:
        raise UnrenderableInstanceError(reasons.DECODER_OUT_OF_MEMORY) from error
    except (ValueError, RuntimeError, TypeError, IndexError, OSError, zlib.error) as error:
        raise UnrenderableInstanceError(reasons.DECODE_FAILED) from error


def _native(instance: InstanceFile, frame_number: int) -> DecodedFrame:
    swap = instance.is_big_endian and instance.header.layout.bits_allocated > 8
    return _samples(instance.frame_bytes(frame_number), instance.header, big_endian=swap)


def _samples(data: bytes, header: ImageHeader, *, big_endian: bool = False) -> DecodedFrame:
    """A frame whose samples stand as they are."""
    if header.photometric == "YBR_FULL_422" and header.layout.bits_allocated == 8:
        samples = expand_422(np.frombuffer(data, np.uint8), header.layout)
        return DecodedFrame(samples, "YBR_FULL")
    words = unpack_words(data, header.layout, big_endian=big_endian)
    values = words if header.layout.floating else stored_values(words, header.layout)
    shaped = interleave(values, header.layout, planar=header.planar)
    return DecodedFrame(shaped, header.photometric, words)


def _jpeg(data: bytes, header: ImageHeader) -> DecodedFrame:
    claimed = _checked(read_jpeg(data), header.layout)
    if header.layout.samples == 1:
        decoded = imagecodecs.jpeg8_decode(data)
        return DecodedFrame(_meant(decoded, claimed, header.layout), header.photometric)
    stored_as = "RGB" if _is_rgb_stream(claimed, header.photometric) else "YCBCR"
    decoded = imagecodecs.jpeg8_decode(data, colorspace=stored_as, outcolorspace="RGB")
    return DecodedFrame(_meant(decoded, claimed, header.layout), "RGB")


def _lossless_jpeg(data: bytes, header: ImageHeader) -> DecodedFrame:
    claimed = _checked(read_jpeg(data), header.layout)
    decoded = imagecodecs.ljpeg_decode(data) if _is_plain(claimed) else _sof3(data)
    return DecodedFrame(_meant(decoded, claimed, header.layout), header.photometric)


def _sof3(data: bytes) -> Array:
    decoded: Array = imagecodecs.jpegsof3_decode(data)
    return decoded


def _is_plain(claimed: Codestream) -> bool:
    return claimed.components == 1


def _jpeg_ls(data: bytes, header: ImageHeader) -> DecodedFrame:
    claimed = _checked(read_jpeg(data), header.layout)
    decoded = jpeg_ls.decode(np.frombuffer(data, np.uint8))
    if decoded.ndim == 3 and decoded.shape[0] == claimed.components != decoded.shape[-1]:
        decoded = decoded.transpose(1, 2, 0)
    return DecodedFrame(_meant(decoded, claimed, header.layout), header.photometric)


def _jpeg2000(data: bytes, header: ImageHeader) -> DecodedFrame:
    claimed = _checked(read_jpeg2000(data), header.layout)
    decoded = decode_jpeg2000(data)
    values = _meant(decoded, claimed, header.layout)
    return DecodedFrame(values, _after_component_transform(header.photometric))


def _htj2k(data: bytes, header: ImageHeader) -> DecodedFrame:
    claimed = _checked(read_jpeg2000(data), header.layout)
    decoded = imagecodecs.htj2k_decode(data, planar=False)
    values = _meant(decoded, claimed, header.layout)
    return DecodedFrame(values, _after_component_transform(header.photometric))


def _jpeg_xl(data: bytes, header: ImageHeader) -> DecodedFrame:
    """Codestreams of PS3.5 A.4.12; the decoder gives RGB, whatever the stream is made of."""
    layout = header.layout
    if read_jpegxl(data) != (layout.rows, layout.columns):
        raise UnrenderableInstanceError(reasons.CODESTREAM_MISMATCH)
    decoded = imagecodecs.jpegxl_decode(data)
    claimed = Codestream(layout.rows, layout.columns, layout.samples, decoded.dtype.itemsize * 8)
    values = _meant(decoded, claimed, layout)
    return DecodedFrame(values, header.photometric if layout.samples == 1 else "RGB")


def _deflated(data: bytes, header: ImageHeader) -> DecodedFrame:
    """One frame deflated (PS3.5 A.4.13); never more is inflated than the frame can hold."""
    needed = -(-header.layout.frame_bits // 8)
    return _samples(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, needed), header)


def _rle(data: bytes, header: ImageHeader) -> DecodedFrame:
    layout = header.layout
    raw = decode_rle(
        data,
        version=2,
        rows=layout.rows,
        columns=layout.columns,
        bits_allocated=layout.bits_allocated,
        byteorder="<",
    )
    words = unpack_words(bytes(raw), layout)
    values = stored_values(words, layout)
    return DecodedFrame(interleave(values, layout, planar=True), header.photometric, words)


def _checked(claimed: Codestream | None, layout: PixelFormat) -> Codestream:
    """The header before the decoder: a size that is not the attributes' own is refused."""
    if claimed is None:
        raise UnrenderableInstanceError(reasons.DECODE_FAILED)
    size = (claimed.rows, claimed.columns, claimed.components)
    if size != (layout.rows, layout.columns, layout.samples):
        raise UnrenderableInstanceError(reasons.CODESTREAM_MISMATCH)
    if not 0 < claimed.precision <= layout.bits_allocated:
        raise UnrenderableInstanceError(reasons.CODESTREAM_MISMATCH)
    return claimed


def _meant(decoded: Array, claimed: Codestream, layout: PixelFormat) -> Array:
    """Decoded samples as stored values; a signed image in an unsigned stream gets its sign back."""
    shape = (layout.rows, layout.columns) + ((layout.samples,) if layout.samples > 1 else ())
    if decoded.size != np.prod(shape):
        raise UnrenderableInstanceError(reasons.CODESTREAM_MISMATCH)
    words = np.ascontiguousarray(decoded.reshape(shape))
    if words.dtype.itemsize * 8 < layout.bits_stored:
        words = words.astype(np.int64)  # a narrower stream: its sign must reach the wider value
    bits = layout.bits_stored
    if layout.signed and not claimed.signed:
        bits = min(bits, claimed.precision)
    meant = PixelFormat(
        layout.rows, layout.columns, layout.bits_allocated, bits, bits - 1, signed=layout.signed
    )
    return stored_values(words, meant)


def _is_rgb_stream(claimed: Codestream, photometric: str) -> bool:
    """Whether a colour JPEG holds RGB: the stream's own markers first, then the attribute."""
    if claimed.adobe_transform is not None:
        return claimed.adobe_transform == 0
    if claimed.component_ids == _RGB_IDS:
        return True
    return photometric == "RGB" and not claimed.has_jfif


def _after_component_transform(photometric: str) -> str:
    return "RGB" if photometric in ("YBR_RCT", "YBR_ICT") else photometric


DECODERS: dict[str, Decoder] = {
    "1.2.840.10008.1.2.1.98": _samples,
    "1.2.840.10008.1.2.5": _rle,
    "1.2.840.10008.1.2.4.50": _jpeg,
    "1.2.840.10008.1.2.4.51": _jpeg,
    "1.2.840.10008.1.2.4.53": _jpeg,
    "1.2.840.10008.1.2.4.55": _jpeg,
    "1.2.840.10008.1.2.4.57": _lossless_jpeg,
    "1.2.840.10008.1.2.4.70": _lossless_jpeg,
    "1.2.840.10008.1.2.4.80": _jpeg_ls,
    "1.2.840.10008.1.2.4.81": _jpeg_ls,
    "1.2.840.10008.1.2.4.90": _jpeg2000,
    "1.2.840.10008.1.2.4.91": _jpeg2000,
    "1.2.840.10008.1.2.4.110": _jpeg_xl,
    "1.2.840.10008.1.2.4.111": _jpeg_xl,
    "1.2.840.10008.1.2.4.112": _jpeg_xl,
    "1.2.840.10008.1.2.4.201": _htj2k,
    "1.2.840.10008.1.2.4.202": _htj2k,
    "1.2.840.10008.1.2.4.203": _htj2k,
    "1.2.840.10008.1.2.8.1": _deflated,
}
