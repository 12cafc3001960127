"""Every lossless transfer syntax: the values put in come out, and a second decoder agrees."""

import importlib.util
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import decode as openjpeg_decode
from PIL import Image
from pydicom.pixels.decoders.rle import _rle_decode_frame
from pydicom.uid import UID_dictionary
from rle.utils import encode_pixel_data

from eir_versions import reasons
from eir_versions.codecs import DECODERS, decode_frame
from eir_versions.codestreams import read_jpegxl
from eir_versions.decoding import DecoderPool
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.instance_file import NATIVE_SYNTAXES
from eir_versions.jobs import PictureJob
from tests.eir_versions.builders import (
    encapsulated,
    image_dataset,
    opened,
    part10_of_new_syntax,
)

Array = NDArray[Any]
# The largest difference of the published tiles that are compressed with loss; the others have none.
LOSSY = {
    "Near-Lossless": 1,
    "JPEG_2000_Image_Compression-GRAYSCALE-16": 28,
    "JPEG_2000_Image_Compression-": 3,
    "JPEG_Baseline": 16,
    "JPEG_Extended": 9,
}
_PACKAGE = importlib.util.find_spec("wsidicom_data")  # found, not imported: it loads a toolkit
assert _PACKAGE is not None
TILES = Path(str(_PACKAGE.origin)).parent / "data" / "encoded"
ROWS, COLUMNS = 48, 40
NOISE = np.random.default_rng(11)
GRAY = {
    "8 bits": NOISE.integers(0, 256, (ROWS, COLUMNS)).astype(np.uint8),
    "12 bits": (np.arange(ROWS * COLUMNS) * 7 % 4096).astype(np.uint16).reshape(ROWS, COLUMNS),
    "16 bits": NOISE.integers(0, 65536, (ROWS, COLUMNS)).astype(np.uint16),
}
COLOUR = NOISE.integers(0, 256, (ROWS, COLUMNS, 3)).astype(np.uint8)
DEFLATED, UNCOMPRESSED = "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.1.98"
JPEG_XL = [f"1.2.840.10008.1.2.4.{last}" for last in (110, 112)]


@dataclass(frozen=True)
class Lossless:
    """A way to put samples into a codestream, and another library that takes them out."""

    syntax: str
    encode: Callable[[Array], bytes]
    other: Callable[[bytes, Array], Array] | None


def by_ffmpeg(codec: str) -> Callable[[bytes, Array], Array]:
    """FFmpeg's own decoders, no code of which is in ours."""

    def decode(data: bytes, _like: Array) -> Array:
        context = av.CodecContext.create(codec, "r")
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
        found: Array = frames[0].to_ndarray()
        return found

    return decode


def by_turbo(data: bytes, _like: Array) -> Array:
    found: Array = imagecodecs.jpeg8_decode(data)
    return found


def native(pixels: Array) -> bytes:
    return pixels.tobytes()


def deflated(pixels: Array) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(pixels.tobytes()) + packer.flush()


def rle(pixels: Array) -> bytes:
    data: bytes = encode_pixel_data(
        pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(),
        rows=ROWS,
        columns=COLUMNS,
        samples_per_pixel=1 if pixels.ndim == 2 else 3,
        bits_allocated=pixels.itemsize * 8,
        byteorder="<",
    )
    return data


def other_rle(data: bytes, like: Array) -> Array:
    """pydicom's, in Python: planes of samples, the most significant bytes first."""
    raw = _rle_decode_frame(data, ROWS, COLUMNS, 1, like.itemsize * 8, ">")
    return np.frombuffer(bytes(raw), like.dtype).reshape(like.shape)


def jpeg_2000(pixels: Array) -> bytes:
    data: bytes = imagecodecs.jpeg2k_encode(pixels, reversible=True, level=0, codecformat="j2k")
    return data


LOSSLESS = {
    "encapsulated uncompressed": Lossless(UNCOMPRESSED, native, None),
    "deflated frames": Lossless(DEFLATED, deflated, None),
    "RLE": Lossless("1.2.840.10008.1.2.5", rle, other_rle),
    "lossless JPEG .57": Lossless(
        "1.2.840.10008.1.2.4.57", imagecodecs.ljpeg_encode, by_turbo
    ),
    "lossless JPEG .70": Lossless(
        "1.2.840.10008.1.2.4.70", imagecodecs.ljpeg_encode, by_turbo
    ),
    "JPEG-LS": Lossless("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode, by_ffmpeg("jpegls")),
    "JPEG 2000": Lossless("1.2.840.10008.1.2.4.90", jpeg_2000, by_ffmpeg("jpeg2000")),
    "JPEG 2000 .91": Lossless("1.2.840.10008.1.2.4.91", jpeg_2000, by_ffmpeg("jpeg2000")),
    **{
        f"HTJ2K .{last}": Lossless(
            f"1.2.840.10008.1.2.4.{last}",
            lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
            lambda data, _: openjpeg_decode(data),
        )
        for last in (201, 202, 203)
    },
    **{
        f"JPEG XL .{uid[-3:]}": Lossless(
            uid, lambda pixels: imagecodecs.jpegxl_encode(pixels, lossless=True), None
        )
        for uid in JPEG_XL
    },
}  # fmt: skip
COLOUR_TOO = (
    "encapsulated uncompressed",
    "deflated frames",
    "RLE",
    "JPEG-LS",
    "JPEG 2000",
    "HTJ2K .202",
    "JPEG XL .110",
)


def decoded(stream: bytes, pixels: Array, syntax: str) -> Array:
    """What the hub makes of a codestream of these pixels."""
    dataset = image_dataset(pixels[..., 0] if pixels.ndim == 3 else pixels)
    if pixels.ndim == 3:
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
        dataset.PhotometricInterpretation = "RGB"
    return decode_frame(
        opened(part10_of_new_syntax(encapsulated(dataset, [stream]), syntax)), 1
    ).values


@pytest.mark.parametrize("depth", GRAY)
@pytest.mark.parametrize("name", LOSSLESS)
def test_gray_values_come_out_and_a_second_decoder_agrees(name: str, depth: str) -> None:
    way, pixels = LOSSLESS[name], GRAY[depth]
    stream = way.encode(pixels)
    ours = decoded(stream, pixels, way.syntax)
    assert (ours == pixels).all()
    if way.other is not None:
        assert (way.other(stream, pixels) == ours).all()


@pytest.mark.parametrize("name", COLOUR_TOO)
def test_colours_come_out(name: str) -> None:
    way = LOSSLESS[name]
    assert (decoded(way.encode(COLOUR), COLOUR, way.syntax) == COLOUR).all()


@pytest.mark.parametrize("syntax", JPEG_XL)
def test_signed_values_in_jpeg_xl_keep_their_sign(syntax: str) -> None:
    pixels = np.linspace(-2000, 2000, ROWS * COLUMNS).astype(np.int16).reshape(ROWS, COLUMNS)
    stream = imagecodecs.jpegxl_encode(pixels.view(np.uint16), lossless=True)
    assert (decoded(stream, pixels, syntax) == pixels).all()


def test_a_recompressed_jpeg_shows_what_the_jpeg_showed() -> None:
    smooth = np.stack([np.add.outer(np.arange(ROWS), np.arange(COLUMNS))] * 3, -1).astype(np.uint8)
    stream = imagecodecs.jpeg8_encode(smooth, level=95)
    packed = imagecodecs.jpegxl_encode_jpeg(stream)
    ours = decoded(packed, smooth, "1.2.840.10008.1.2.4.111")
    assert np.abs(ours.astype(int) - imagecodecs.jpeg8_decode(stream)).max() <= 4


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"])
def test_progressive_jpeg_is_shown(syntax: str) -> None:
    smooth = np.add.outer(np.arange(ROWS), np.arange(COLUMNS)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(smooth).save(out, "JPEG", progressive=True, quality=98)
    assert np.abs(decoded(out.getvalue(), smooth, syntax).astype(int) - smooth).max() <= 3


@pytest.mark.parametrize(
    "size", [(8, 8), (48, 40), (256, 256), (240, 320), (1000, 1600), (513, 300), (9000, 17)]
)
def test_the_size_that_jpeg_xl_claims_is_read_without_decoding(size: tuple[int, int]) -> None:
    stream = imagecodecs.jpegxl_encode(np.zeros(size, np.uint8), lossless=True, effort=1)
    assert read_jpegxl(stream) == size
    boxed = imagecodecs.jpegxl_encode(
        np.zeros(size, np.uint8), lossless=True, effort=1, usecontainer=True
    )
    assert read_jpegxl(boxed) == size


@pytest.mark.parametrize(
    "data", [b"", b"\xff\x0a", b"\xff\x0a\0", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0" * 64]
)
def test_what_is_no_jpeg_xl_claims_no_size(data: bytes) -> None:
    assert read_jpegxl(data) is None


def test_a_jpeg_xl_of_another_size_is_refused_before_it_is_decoded() -> None:
    stream = imagecodecs.jpegxl_encode(np.zeros((ROWS * 2, COLUMNS), np.uint8), lossless=True)
    with pytest.raises(UnrenderableInstanceError) as caught:
        decoded(stream, GRAY["8 bits"], JPEG_XL[0])
    assert caught.value.reason == reasons.CODESTREAM_MISMATCH


def test_a_frame_that_inflates_without_end_costs_no_more_than_the_frame(pool: DecoderPool) -> None:
    bomb = deflated(np.zeros(1 << 28, np.uint8))
    dataset = encapsulated(image_dataset(GRAY["8 bits"]), [bomb])
    picture = pool.picture(io.BytesIO(part10_of_new_syntax(dataset, DEFLATED)), PictureJob())
    assert (picture.width, picture.height) == (COLUMNS, ROWS)


def tile(name: str) -> Array:
    """The uncompressed tile that the compressed ones of wsidicom-data are of."""
    channels, bits = name.rsplit(".", 1)[0].rsplit("-", 2)[1:]
    kind = "GRAYSCALE" if channels == "GRAYSCALE" else "RGB"
    depth = 16 if bits in ("12", "16") else 8
    raw = (TILES / f"Explicit_VR_Little_Endian-{kind}-{depth}.raw").read_bytes()
    shape = (240, 240) if kind == "GRAYSCALE" else (240, 240, 3)
    found: Array = np.frombuffer(raw, f"<u{depth // 8}").reshape(shape)
    return found >> 4 if bits == "12" else found


@pytest.mark.parametrize("name", sorted(path.name for path in TILES.iterdir()))
def test_the_published_tiles_decode_to_the_tile_they_are_of(name: str) -> None:
    words = name.rsplit("-", 2)[0].replace("_", " ")
    syntax = next(uid for uid, entry in UID_dictionary.items() if entry[0] == words)
    truth = tile(name)
    if syntax not in DECODERS:
        assert syntax in NATIVE_SYNTAXES
        return
    found = decoded((TILES / name).read_bytes(), truth, syntax)
    difference = int(np.abs(found.astype(int) - truth).max())
    assert difference <= next((most for word, most in LOSSY.items() if word in name), 0)
